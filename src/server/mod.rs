//! Listeners, the threads that serve them, and how they come to an end.
//!
//! Each worker is one thread with a runtime, listening sockets and a pool of connections to SMH of
//! its own; the kernel spreads connections over them (SO_REUSEPORT). Nothing is shared on the way
//! of a delete but counters, limits and what is in force.

mod connection;
mod gate;
pub mod head;
mod http2;
mod leaving;
mod listen;
mod patient;
mod streams;
mod tls;
mod unvetted;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tokio::net::{TcpListener, UnixListener};

use self::connection::Accepted;
use self::listen::{Listening, Share};
use crate::audit::Attendant;
use crate::authenticate::PeerAddress;
use crate::gateway::{Gateway, Phase};
use crate::journey::Worker;
use crate::listener::{Listener, NoRoom, PerAddress, UnixSocket};
use crate::log::Log;
use crate::metrics::Metrics;

pub use self::listen::{BindError, Bound};

/// The running workers.
pub struct Server {
    gateway: Arc<Gateway>,
    workers: Vec<JoinHandle<()>>,
    /// The files of listening sockets, which go with the last handle.
    files: Vec<UnixSocket>,
}

impl Server {
    /// Starts `workers` threads that serve what was bound.
    ///
    /// # Errors
    /// If the system gives no thread, runtime or socket.
    pub fn start(gateway: &Arc<Gateway>, bound: Bound, log: &Log) -> io::Result<Self> {
        let (sockets, files) = bound.into_sockets();
        let mut server = Self { gateway: Arc::clone(gateway), workers: Vec::new(), files };
        for (index, sockets) in sockets.into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(gateway), log.lines());
            if let Err(error) = server.add_worker(index, worker, sockets) {
                // Those that were started already must not serve on with nobody to end them.
                gateway.advance(Phase::Over);
                return Err(error);
            }
        }
        Ok(server)
    }

    fn add_worker(
        &mut self,
        index: usize,
        (worker, attendant): (Arc<Worker>, Option<Attendant>),
        sockets: Vec<Listening>,
    ) -> io::Result<()> {
        let gateway = Arc::clone(&self.gateway);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners: Vec<_> = {
            let _inside = runtime.enter();
            sockets.into_iter().map(Open::of).collect::<io::Result<_>>()?
        };
        let run = move || {
            runtime.block_on(run(gateway, worker, attendant, listeners));
            // Dropping it would wait for name look-ups and file reads that may never end.
            runtime.shutdown_background();
        };
        self.workers.push(thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        Ok(())
    }

    /// Accepts no more, waits until nothing is in flight or `limit` is over, and ends the workers.
    /// `None`: everything was finished; else how many deletes were cut off.
    pub async fn drain(mut self, limit: impl Future<Output = ()>) -> Option<usize> {
        self.gateway.advance(Phase::Draining);
        // Else the kernel would still let callers queue up here, for nobody.
        self.files.clear();
        let finished = async {
            self.gateway.connections().none_left().await;
            self.gateway.in_flight().none_left().await;
        };
        let cut_off = tokio::select! {
            () = finished => None,
            () = limit => Some(self.gateway.in_flight().count()),
        };
        self.gateway.advance(Phase::Over);
        for worker in self.workers {
            // A worker that panicked has ended too.
            let _ = worker.join();
        }
        cut_off
    }
}

/// A listener as one worker serves it.
struct Open {
    listener: Arc<Listener>,
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Open {
    fn of(Listening { listener, socket }: Listening) -> io::Result<Self> {
        let socket = match socket {
            Share::Tcp(socket) => Socket::Tcp(TcpListener::from_std(socket)?),
            Share::Unix(socket) => Socket::Unix(UnixListener::from_std(socket)?),
        };
        Ok(Self { listener, socket })
    }

    async fn accept(&self) -> io::Result<Accepted> {
        match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // Only fails for a connection that is gone by now.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, address))
            }
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let of = stream.peer_cred()?;
                let address = PeerAddress::Unix { uid: of.uid(), pid: of.pid() };
                Ok(Accepted::Unix(stream, address))
            }
        }
    }
}

/// One worker, until the gateway is over.
async fn run(
    gateway: Arc<Gateway>,
    worker: Arc<Worker>,
    attendant: Option<Attendant>,
    listeners: Vec<Open>,
) {
    let mut phase = gateway.phase();
    worker.prepare();
    if let Some(attendant) = attendant {
        spawn(attendant.attend());
    }
    for listener in listeners {
        spawn(accept(Arc::clone(&gateway), Arc::clone(&worker), listener));
    }
    // The sender lives in the gateway, which this function holds.
    let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
}

async fn accept(gateway: Arc<Gateway>, worker: Arc<Worker>, open: Open) {
    let mut phase = gateway.phase();
    let listener = &*open.listener;
    let refused = Refused::of(listener, gateway.metrics());
    loop {
        let accepted = tokio::select! {
            accepted = open.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
        };
        match accepted {
            Ok(accepted) => {
                let place = match listener.room.enter(accepted.address()) {
                    Ok(place) => place,
                    // Closed rather than left where it is: it would fill the kernel's queue, and be
                    // served when nobody waits for it any more.
                    Err(why) => {
                        refused.note(why, accepted.address());
                        continue;
                    }
                };
                let (worker, phase) = (Arc::clone(&worker), gateway.phase());
                let listener = Arc::clone(&open.listener);
                let counted = (place, gateway.connections().enter());
                spawn(async move {
                    connection::serve(accepted, listener, worker, phase).await;
                    drop(counted);
                });
            }
            Err(error) => {
                tracing::warn!(listener = %listener.at, %error, "no connection can be accepted");
                // Out of file descriptors, say: trying at once would only burn the processor.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Those that found no room on a listener.
struct Refused<'l> {
    listener: &'l Listener,
    full: Counter,
    crowded: Counter,
}

impl<'l> Refused<'l> {
    fn of(listener: &'l Listener, metrics: &Metrics) -> Self {
        let full = metrics.load.connections_refused(listener.at.to_string());
        let crowded = metrics.load.connections_per_address_refused(listener.at.to_string());
        Self { listener, full, crowded }
    }

    fn note(&self, why: NoRoom, from: Option<IpAddr>) {
        let Listener { at, room, bounds, .. } = self.listener;
        match why {
            NoRoom::Listener => self.full.inc(),
            NoRoom::Address => self.crowded.inc(),
        };
        let Some(closed) = room.turn_away(why, Instant::now()) else { return };
        match (why, from) {
            (NoRoom::Address, Some(from)) => {
                let (PerAddress::All(most) | PerAddress::Others(most)) = bounds.per_address;
                tracing::warn!(listener = %at, most, closed, %from, "an address has as many connections as it may have: new ones are closed at once");
            }
            _ => {
                let most = bounds.connections;
                tracing::warn!(listener = %at, most, closed, "a listener has as many connections as it may have: new ones are closed at once");
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a worker's tasks end with its runtime; draining waits by count"
)]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
