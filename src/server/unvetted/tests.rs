use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, repeat};
use tokio::time::timeout;

use super::*;
use crate::delete::Paths;
use crate::listener::{At, Bounds, Listener, Plan};

fn inbound() -> Arc<Inbound> {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let bounds = Bounds::default();
    let plan = Plan { at: At::Tcp(address), tls: None, paths: Paths::Own, bounds };
    Inbound::new(Listener::open(&plan).unwrap(), address.into())
}

fn endless(inbound: &Arc<Inbound>) -> Unvetted<tokio::io::Repeat> {
    Unvetted::new(repeat(0), b"begin".to_vec(), 5, Arc::clone(inbound))
}

/// How much of it is read in so many seconds.
async fn read_within(stream: &mut Unvetted<tokio::io::Repeat>, seconds: u64) -> usize {
    let (mut read, mut buffer) = (0, [0; 1024]);
    let reading = async {
        loop {
            read += stream.read(&mut buffer).await.unwrap();
        }
    };
    let _: Result<(), _> = timeout(Duration::from_secs(seconds), reading).await;
    read
}

#[tokio::test(start_paused = true)]
async fn of_a_stranger_no_more_than_a_mebibyte_a_second_is_read() {
    let mut stranger = endless(&inbound());
    let read = read_within(&mut stranger, 10).await;
    assert!((9 << 20..=10 << 20).contains(&read), "{read}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_strangers_are_read_no_faster_than_eight() {
    let at = inbound();
    let mut strangers: Vec<_> = (0..100).map(|_| endless(&at)).collect();
    let reading = strangers.iter_mut().map(|stranger| read_within(stranger, 10));
    let read = futures_util::future::join_all(reading).await;
    let (all, least) = (read.iter().sum::<usize>(), *read.iter().min().unwrap());
    assert!((40 << 20..=82 << 20).contains(&all), "{all}");
    assert!(least > all / 200, "{least} of {all}");
    drop(strangers);
    assert!(read_within(&mut endless(&at), 10).await > 9 << 20, "those who left hold nobody up");
}

#[tokio::test(start_paused = true)]
async fn what_comes_slowly_is_read_as_it_comes() {
    let (mut caller, gateway) = tokio::io::duplex(64);
    let mut stranger = Unvetted::new(gateway, Vec::new(), 0, inbound());
    let mut piece = [0; 64];
    for _ in 0..4 * TURN_BYTES / 64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        caller.write_all(&[7; 64]).await.unwrap();
        stranger.read_exact(&mut piece).now_or_never().expect("it is there already").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_is_known_waits_for_no_time_but_lets_others_run_in_between() {
    let from = inbound();
    from.set_known();
    let mut known = endless(&from);
    let begun = Instant::now();
    let (turns, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (mut buffer, mut read) = ([0; 1024], 0);
    let others = async {
        while !ended.get() {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let reading = async {
        while read < 64 * TURN_BYTES {
            read += known.read(&mut buffer).await.unwrap();
        }
        ended.set(true);
    };
    tokio::join!(reading, others);
    assert!(turns.get() >= 63, "{} turns of others", turns.get());
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn who_proves_itself_while_it_waits_is_read_at_once() {
    let from = inbound();
    let mut stream = endless(&from);
    assert!(read_within(&mut stream, 1).await < 2 << 20);
    from.set_known();
    let begun = Instant::now();
    stream.read_exact(&mut [0; 64 * TURN_BYTES]).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

proptest! {
    #[test]
    fn nothing_is_lost_or_twice_whatever_was_read_before(
        begin in proptest::collection::vec(any::<u8>(), 0..200),
        rest in proptest::collection::vec(any::<u8>(), 0..3 * TURN_BYTES),
        known: bool,
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let from = inbound();
        if known {
            from.set_known();
        }
        let mut room = begin.clone();
        room.resize(room.len() + 10, 0);
        let mut stream = Unvetted::new(&rest[..], room, begin.len(), from);
        let mut read = Vec::new();
        runtime.block_on(stream.read_to_end(&mut read)).unwrap();
        prop_assert_eq!(read, [begin, rest].concat());
    }
}
