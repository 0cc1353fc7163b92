//! A balancer as a Kubernetes Service is one: it spreads connections, not requests, and hears late.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::binary::PATIENCE;
use crate::support::ports;

/// New connections go in turn to the gateways that were ready when it last heard of it. One that is open
/// stays where it is, whatever becomes of its gateway. Each is passed on byte by byte, and its end as well.
/// A gateway that is not there is nobody's to try again: the connection ends, as it would in a cluster.
pub(super) struct Balancer {
    pub(super) address: SocketAddr,
    gateways: Arc<[Behind]>,
    _tasks: JoinSet<()>,
}

/// A gateway as the balancer knows it.
struct Behind {
    address: SocketAddr,
    admin: SocketAddr,
    in_turn: watch::Sender<bool>,
}

impl Balancer {
    /// In front of gateways, each with its listener and its admin listener.
    pub(super) fn start(gateways: &[(SocketAddr, SocketAddr)]) -> Self {
        let behind =
            |&(address, admin)| Behind { address, admin, in_turn: watch::Sender::new(false) };
        let gateways: Arc<[_]> = gateways.iter().map(behind).collect();
        let listener = ports::listen();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        for index in 0..gateways.len() {
            let gateways = Arc::clone(&gateways);
            tasks.spawn(async move { gateways[index].follow().await });
        }
        tasks.spawn(spread(listener, Arc::clone(&gateways)));
        Self { address, gateways, _tasks: tasks }
    }

    /// Waits until new connections go to this gateway, or until none does.
    pub(super) async fn until(&self, gateway: usize, wanted: bool) {
        let mut in_turn = self.gateways[gateway].in_turn.subscribe();
        let becomes_so = in_turn.wait_for(|now| *now == wanted);
        let heard = timeout(PATIENCE, becomes_so).await;
        heard.expect("the balancer hears of it").unwrap();
    }
}

impl Behind {
    /// As a kubelet and the nodes do: a probe that fails may be a mishap, two in a row are not; and what came
    /// of it takes a while to be known where connections are spread.
    async fn follow(&self) {
        let mut failed = 0;
        loop {
            failed = if self.is_ready().await { 0 } else { failed + 1 };
            let is_well = failed < FAILURES;
            if *self.in_turn.borrow() != is_well && (failed == 0 || !is_well) {
                sleep(LAG).await;
                self.in_turn.send_replace(is_well);
            }
            sleep(PERIOD).await;
        }
    }

    async fn is_ready(&self) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            let request = "GET /readyz HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            Ok::<_, io::Error>(said.starts_with("HTTP/1.1 200 "))
        };
        matches!(timeout(PATIENCE, asked).await, Ok(Ok(true)))
    }
}

async fn spread(listener: TcpListener, gateways: Arc<[Behind]>) {
    let turn = AtomicUsize::new(0);
    let mut connections = JoinSet::new();
    loop {
        let caller = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            Some(_) = connections.join_next() => continue,
        };
        let in_turn: Vec<_> = gateways.iter().filter(|gateway| *gateway.in_turn.borrow()).collect();
        let next = turn.fetch_add(1, Ordering::Relaxed) % in_turn.len().max(1);
        if let Some(gateway) = in_turn.get(next) {
            connections.spawn(pass_on(caller, gateway.address));
        }
    }
}

async fn pass_on(mut caller: TcpStream, gateway: SocketAddr) {
    // Whatever fails, the caller sees its connection end.
    let Ok(mut gateway) = TcpStream::connect(gateway).await else { return };
    caller.set_nodelay(true).unwrap();
    gateway.set_nodelay(true).unwrap();
    let _ = copy_bidirectional(&mut caller, &mut gateway).await;
}

/// Between two probes of a gateway.
const PERIOD: Duration = Duration::from_millis(50);

/// So many in a row take it out of service, as in deploy/base.
const FAILURES: u32 = 2;

/// From the verdict to what is done of it.
const LAG: Duration = Duration::from_millis(150);
