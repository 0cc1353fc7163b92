//! A rolling restart as deploy/central has one, on loopback: what its callers see of it.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, Simulator};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::balancer::Balancer;
use super::leaving::leaving;
use crate::support::binary::{Binary, PATIENCE, Ran};
use crate::support::{Answer, Folder, Kept, LIBRARY, SPACE, Smh, ports, request};

/// A fifth of what deploy/central allows, and as there longer than it takes the balancer to hear of it.
const SHUTDOWN: &str = "{ delay: 1s, drain: 5s }";

const RESTARTS: usize = 10;

/// SMH takes so long for some deletes, which are then under way while a gateway drains: longer than its delay.
const SLOW: Duration = Duration::from_millis(1500);

/// How a caller goes about its deletes.
#[derive(Clone, Copy)]
struct Habit {
    name: &'static str,
    /// Whether it keeps its connection for the next delete.
    keeps: bool,
    /// Each behind the answer of the one before; then it pauses.
    at_once: usize,
    pause: Duration,
}

const fn habit(name: &'static str, keeps: bool, at_once: usize, pause_ms: u64) -> Habit {
    Habit { name, keeps, at_once, pause: Duration::from_millis(pause_ms) }
}

/// None of them pauses for as long as a gateway that leaves still serves.
const HABITS: [Habit; 9] = [
    habit("kept", true, 1, 5),
    habit("calm", true, 1, 20),
    habit("batch", true, 10, 100),
    habit("single", false, 1, 15),
    habit("calm-single", false, 1, 40),
    habit("slow-a", true, 1, 0),
    habit("slow-b", true, 1, 700),
    habit("slow-single-a", false, 1, 0),
    habit("slow-single-b", false, 1, 700),
];

/// A caller, and what came of its deletes so far.
struct Caller {
    habit: Habit,
    balancer: SocketAddr,
    smh: Simulator,
    kept: Option<Kept>,
    asked: usize,
    deleted: Vec<String>,
    failed: Vec<String>,
    /// How often an answer said that it was the last of its connection.
    announced: usize,
    /// How often its connection had ended when it wanted to use it again.
    found_ended: usize,
}

impl Caller {
    fn new(habit: Habit, balancer: &Balancer, smh: &Smh) -> Self {
        Self {
            habit,
            balancer: balancer.address,
            smh: smh.simulator.clone(),
            kept: None,
            asked: 0,
            deleted: Vec::new(),
            failed: Vec::new(),
            announced: 0,
            found_ended: 0,
        }
    }

    async fn work(mut self, over: watch::Receiver<bool>) -> Self {
        while !*over.borrow() {
            for _ in 0..self.habit.at_once {
                self.delete().await;
            }
            sleep(self.habit.pause).await;
        }
        self
    }

    /// Deletes a file of its own, which is there until then: a second time is a 404.
    async fn delete(&mut self) {
        self.asked += 1;
        let path = format!("{}-{}", self.habit.name, self.asked);
        self.smh.put_file(LIBRARY, SPACE, &path);
        match self.ask(&path).await {
            Ok(answer) if answer.status() == 200 => self.deleted.push(path),
            Ok(answer) => self.failed.push(format!("{path}: {} {}", answer.head, answer.json())),
            Err(error) => self.failed.push(format!("{path}: {error}")),
        }
    }

    /// Nothing is asked twice: whatever becomes of a request that was sent is what became of the delete.
    ///
    /// A connection that is kept may end between two requests, and another one is no failure then, but only
    /// where the caller knew before it sent anything: the answer before said so, or the end had arrived, in
    /// good order and with nothing in front of it. An end that crosses the request on its way is none of these: what
    /// became of the delete cannot be told then, so it has failed here, although RFC 9112 (section 9.3.1)
    /// lets callers expect it. It must not come to that for callers that are busy: a gateway tells each of
    /// them in an answer, for as long as `shutdown.delay`, before it ends any connection.
    async fn ask(&mut self, path: &str) -> io::Result<Answer> {
        let mut kept = match self.kept.take() {
            Some(kept) if !has_ended(&kept.stream)? => kept,
            ended => {
                self.found_ended += usize::from(ended.is_some());
                Kept::over(TcpStream::connect(self.balancer).await?)
            }
        };
        let fields = if self.habit.keeps { &[][..] } else { &["Connection: close"] };
        kept.write(request(&format!("/v1/files/t1/{path}"), fields).as_bytes()).await;
        let answer = timeout(PATIENCE, kept.try_answer()).await??;
        if self.habit.keeps {
            match answer.field("connection") {
                Some("close") => self.announced += 1,
                _ => self.kept = Some(kept),
            }
        }
        Ok(answer)
    }
}

/// Whether a connection on which nothing is under way has ended. A reset is an error: it is no good order. The system
/// is asked, since the runtime may not have heard of it yet.
fn has_ended(stream: &TcpStream) -> io::Result<bool> {
    match SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]) {
        Ok(0) => Ok(true),
        Ok(_) => Err(io::Error::other("there is something that was not asked for")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// The paths that SMH was asked to delete, sorted.
fn asked_of(smh: &Smh) -> Vec<String> {
    let mut paths: Vec<_> = smh
        .targets()
        .iter()
        .map(|target| {
            let path = target.split_once('?').unwrap().0;
            path.rsplit_once('/').unwrap().1.to_owned()
        })
        .collect();
    paths.sort_unstable();
    paths
}

/// The paths that gateways say they had deleted, sorted.
fn told_by(ended: &[Ran]) -> Vec<String> {
    let lines = ended.iter().flat_map(Ran::deletes);
    let mut paths: Vec<_> = lines
        .map(|line| {
            assert_eq!(line["outcome"], "relayed", "{line}");
            line["path"].as_str().unwrap().to_owned()
        })
        .collect();
    paths.sort_unstable();
    paths
}

/// It has finished all that it had, and had something.
fn assert_left_well(ran: &Ran) {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("everything was finished"), "{}", ran.err);
    assert!(ran.out.contains("relayed"), "it served nothing: {}", ran.err);
}

/// Each delete that was asked for was carried out once, and all who had to do with it say so.
fn assert_all_deleted(callers: Vec<Caller>, smh: &Smh, ended: &[Ran]) {
    for caller in &callers {
        let name = caller.habit.name;
        let none: [&str; 0] = [];
        assert_eq!(caller.failed, none, "{name}, beside {} well done", caller.deleted.len());
        assert_eq!(caller.deleted.len(), caller.asked, "{name}");
        assert!(caller.asked > 1, "{name} was no load");
    }
    assert!(callers.iter().any(|caller| caller.announced > 0), "no gateway told a caller to go");
    let mut deleted: Vec<_> = callers.into_iter().flat_map(|caller| caller.deleted).collect();
    deleted.sort_unstable();
    assert!(asked_of(smh) == deleted, "SMH got each once, and nothing else");
    assert!(told_by(ended) == deleted, "each was carried out by a gateway that says so");
    assert_eq!(smh.files(), Vec::<String>::new());
}

/// Two places for gateways, each with addresses that it keeps.
fn places(smh: &Smh) -> (Vec<(SocketAddr, SocketAddr)>, Vec<Folder>) {
    let of_one = |_| {
        let (address, admin) = (ports::nobody(), ports::nobody());
        let yaml = leaving(SHUTDOWN).replacen("127.0.0.1:0", &address.to_string(), 1);
        let yaml = yaml.replacen("127.0.0.1:0", &admin.to_string(), 1);
        ((address, admin), Folder::new(&yaml, None, smh.address))
    };
    (0..2).map(of_one).unzip()
}

#[tokio::test]
async fn ten_restarts_in_turn_under_constant_load_fail_no_delete() {
    let smh = Smh::start().await;
    let slow = Injection::forever(Fault::Slow(SLOW));
    smh.simulator.inject(slow.when(Matcher::any().path_contains("slow")));
    let (addresses, folders) = places(&smh);
    let balancer = Balancer::start(&addresses);
    let mut running = VecDeque::new();
    for (place, folder) in folders.iter().enumerate() {
        running.push_back((place, Binary::serve(folder).await));
        balancer.until(place, true).await;
    }

    let (over, is_over) = watch::channel(false);
    let mut load = JoinSet::new();
    for habit in HABITS {
        load.spawn(Caller::new(habit, &balancer, &smh).work(is_over.clone()));
    }
    // It waits for so long between two deletes that no answer can tell it that its gateway leaves; and does
    // not ask while one does.
    let mut idle = Caller::new(habit("idle", true, 1, 0), &balancer, &smh);
    idle.delete().await;

    let mut ended = Vec::new();
    for _ in 0..RESTARTS {
        let (place, gateway) = running.pop_front().unwrap();
        let ran = gateway.stop().await;
        assert_left_well(&ran);
        ended.push(ran);
        balancer.until(place, false).await;
        let mut gateway = Binary::serve(&folders[place]).await;
        balancer.until(place, true).await;
        gateway.prints("relayed").await;
        running.push_back((place, gateway));
        idle.delete().await;
    }
    over.send_replace(true);
    let mut callers = load.join_all().await;
    for (_, gateway) in running {
        let ran = gateway.stop().await;
        assert_left_well(&ran);
        ended.push(ran);
    }

    assert!(idle.found_ended > 0, "its connection never was to a gateway that left");
    callers.push(idle);
    assert_all_deleted(callers, &smh, &ended);
}
