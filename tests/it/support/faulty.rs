//! A TCP proxy on whose way things go wrong, as long as a test wants them to.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{becomes, ports};

/// What befalls the bytes of one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Each piece comes so much later.
    Delay(Duration),
    /// So many bytes of a connection come, then it is closed.
    Cut(usize),
    /// What is open is reset at once, and what is new with its first bytes or before.
    Reset,
    /// Nothing comes, until the fault is over: then it comes after all, as what TCP sends again does.
    BlackHole,
    /// A byte comes, and so much later the next one.
    Drip(Duration),
    /// All bytes that come are others, and none of HTTP.
    Corrupt,
    /// One bit of each piece is another: of its first TLS record, as what is in front of a broken one is good.
    Flip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From who connects.
    There,
    /// From who is connected to.
    Back,
}

type Faults = watch::Receiver<Option<(Fault, Way)>>;

/// Listens, and passes on what comes. One fault at a time.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    fault: watch::Sender<Option<(Fault, Way)>>,
    open: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) fn to(target: SocketAddr) -> Self {
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let (fault, faults) = watch::channel(None);
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&open);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let one = Open::of(&counted);
                let faults = faults.clone();
                connections.spawn(async move {
                    pass(stream, target, faults).await;
                    drop(one);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, fault, open, _tasks: tasks }
    }

    /// From now on, until it is lifted.
    pub(crate) fn befalls(&self, fault: Fault, way: Way) {
        self.fault.send_replace(Some((fault, way)));
    }

    pub(crate) fn lift(&self) {
        self.fault.send_replace(None);
    }

    /// Waits until no connection is left: nothing is on its way any more.
    pub(crate) async fn empties(&self) {
        becomes("no connection is left", async || self.open.load(Ordering::SeqCst) == 0).await;
    }
}

struct Open(Arc<AtomicUsize>);

impl Open {
    fn of(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How a connection ends before both sides have ended it.
enum Ends {
    Closed,
    Reset,
}

async fn pass(mut from: TcpStream, target: SocketAddr, faults: Faults) {
    let Ok(mut to) = TcpStream::connect(target).await else { return };
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let ended = {
        let ((read, write), (answers, asks)) = (from.split(), to.split());
        let there = Pump { from: read, to: asks, faults: faults.clone(), way: Way::There };
        let back = Pump { from: answers, to: write, faults, way: Way::Back };
        tokio::try_join!(there.run(), back.run())
    };
    if let Err(Ends::Reset) = ended {
        let _ = (from.set_zero_linger(), to.set_zero_linger());
    }
}

struct Pump<'s> {
    from: ReadHalf<'s>,
    to: WriteHalf<'s>,
    faults: Faults,
    way: Way,
}

impl Pump<'_> {
    async fn run(mut self) -> Result<(), Ends> {
        let (mut bytes, mut left) = (vec![0; 16_384], None);
        loop {
            let read = tokio::select! {
                read = self.from.read(&mut bytes) => read.map_err(|_| Ends::Closed)?,
                () = becomes_reset(&mut self.faults, self.way) => return Err(Ends::Reset),
            };
            if read == 0 {
                // The other side may have something to say yet.
                let _ = self.to.shutdown().await;
                return Ok(());
            }
            self.piece(&mut bytes[..read], &mut left).await?;
        }
    }

    /// `left`: what may still come before the connection is cut.
    async fn piece(&mut self, bytes: &mut [u8], left: &mut Option<usize>) -> Result<(), Ends> {
        match current(&mut self.faults, self.way) {
            None => {}
            Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Fault::Cut(after)) => {
                let left = left.get_or_insert(after);
                let come = bytes.len().min(*left);
                self.write(&bytes[..come]).await?;
                *left -= come;
                return if *left == 0 { Err(Ends::Closed) } else { Ok(()) };
            }
            Some(Fault::Reset) => return Err(Ends::Reset),
            Some(Fault::BlackHole) => {
                let _ = self.faults.changed().await;
            }
            Some(Fault::Drip(apart)) => return self.drip(bytes, apart).await,
            Some(Fault::Flip) => {
                let at = (bytes.len() / 2).min(INSIDE_A_RECORD);
                bytes[at] ^= 1;
            }
            Some(Fault::Corrupt) => bytes.iter_mut().for_each(|byte| *byte ^= 0x80),
        }
        self.write(bytes).await
    }

    async fn drip(&mut self, bytes: &[u8], apart: Duration) -> Result<(), Ends> {
        for (at, byte) in bytes.iter().enumerate() {
            self.write(&[*byte]).await?;
            if tokio::time::timeout(apart, self.faults.changed()).await.is_ok() {
                return self.write(&bytes[at + 1..]).await;
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Ends> {
        self.to.write_all(bytes).await.map_err(|_| Ends::Closed)
    }
}

fn current(faults: &mut Faults, wanted: Way) -> Option<Fault> {
    let fault = *faults.borrow_and_update();
    fault.filter(|(_, way)| *way == wanted).map(|(fault, _)| fault)
}

/// Never, where it is that already.
async fn becomes_reset(faults: &mut Faults, way: Way) {
    while faults.changed().await.is_ok() {
        if current(faults, way) == Some(Fault::Reset) {
            return;
        }
    }
    pending().await
}

/// Behind its header, and in front of the end of the shortest one (RFC 8446, section 5.2).
const INSIDE_A_RECORD: usize = 16;
