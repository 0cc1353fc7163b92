//! Listeners, the threads that serve them, and how they come to an end.
//!
//! Each worker is one thread with a runtime, listening sockets and a pool of connections to SMH of
//! its own; the kernel spreads connections over them (SO_REUSEPORT). Nothing is shared on the way
//! of a delete but counters, limits and what is in force.

mod connection;
mod gate;
mod head;
mod listen;

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::authenticate::Peer;
use crate::gateway::{Gateway, Phase};
use crate::journey::Worker;
use crate::log::Log;

pub use self::listen::{BindError, Bound};

/// The running workers.
pub struct Server {
    gateway: Arc<Gateway>,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts `workers` threads that serve what was bound.
    ///
    /// # Errors
    /// If the system gives no thread, runtime or socket.
    pub fn start(gateway: &Arc<Gateway>, bound: Bound, log: &Log) -> io::Result<Self> {
        let mut workers = Vec::new();
        for (index, sockets) in bound.into_sockets().into_iter().enumerate() {
            let worker = Worker::new(Arc::clone(gateway), log.lines());
            let gateway = Arc::clone(gateway);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let run = move || runtime.block_on(run(gateway, worker, sockets));
            workers.push(thread::Builder::new().name(format!("worker-{index}")).spawn(run)?);
        }
        Ok(Self { gateway: Arc::clone(gateway), workers })
    }

    /// Accepts no more, waits until nothing is in flight or `limit` is over, and ends the workers.
    /// Says whether everything was finished.
    pub async fn drain(self, limit: impl Future<Output = ()>) -> bool {
        self.gateway.advance(Phase::Draining);
        let finished = async {
            self.gateway.connections().none_left().await;
            self.gateway.in_flight().none_left().await;
        };
        let whole = tokio::select! {
            () = finished => true,
            () = limit => false,
        };
        self.gateway.advance(Phase::Over);
        for worker in self.workers {
            // A worker that panicked has ended too.
            let _ = worker.join();
        }
        whole
    }
}

/// One worker, until the gateway is over.
async fn run(gateway: Arc<Gateway>, worker: Arc<Worker>, sockets: Vec<std::net::TcpListener>) {
    let mut phase = gateway.phase();
    for socket in sockets {
        match TcpListener::from_std(socket) {
            Ok(listener) => {
                let (gateway, worker) = (Arc::clone(&gateway), Arc::clone(&worker));
                spawn(async move { accept(gateway, worker, listener).await });
            }
            Err(error) => tracing::error!(%error, "a listener cannot be used"),
        }
    }
    // The sender lives in the gateway, which this function holds.
    let _ = phase.wait_for(|phase| *phase == Phase::Over).await;
}

async fn accept(gateway: Arc<Gateway>, worker: Arc<Worker>, listener: TcpListener) {
    let mut phase = gateway.phase();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Only fails for a connection that is gone by now.
                let _ = stream.set_nodelay(true);
                let (worker, phase) = (Arc::clone(&worker), gateway.phase());
                let counted = gateway.connections().enter();
                spawn(async move {
                    connection::serve(stream, Peer(peer), worker, phase).await;
                    drop(counted);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                // Out of file descriptors, say: trying at once would only burn the processor.
                tokio::time::sleep(ACCEPT_PAUSE).await;
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
