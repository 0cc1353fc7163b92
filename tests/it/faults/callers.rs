//! Callers that delete one file after the other, and keep what they were told of each.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smh_gateway::simulator::Simulator;
use tokio::task::JoinSet;

use crate::support::{Answer, Kept, LIBRARY, SPACE};

/// What a caller knows of one delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// SMH's answer.
    Relayed(u16),
    /// The gateway's own.
    Refused { status: u16, code: String, outcome: String },
    /// No whole answer came, or not as long as it waited.
    Nothing,
    /// It left before there was one.
    Left,
}

impl Told {
    fn of(answer: &Answer) -> Self {
        match answer.outcome() {
            none if none.is_empty() => Self::Relayed(answer.status()),
            outcome => Self::Refused { status: answer.status(), code: answer.code(), outcome },
        }
    }

    /// For a table: the code, or SMH's status.
    pub(crate) fn short(&self) -> String {
        match self {
            Self::Relayed(status) => status.to_string(),
            Self::Refused { code, outcome, .. } => format!("{code} {outcome}"),
            Self::Nothing => "nothing".to_owned(),
            Self::Left => "left".to_owned(),
        }
    }
}

/// One delete of one file that nobody else deletes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) told: Told,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
}

/// Where callers go, and how long they wait for an answer.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) patience: Duration,
    /// So that each file is there before it is deleted.
    pub(crate) simulator: Simulator,
}

impl Door {
    /// Deletes one file, on this connection if there is one and it is still good afterwards.
    pub(crate) async fn delete(&self, kept: &mut Option<Kept>, path: String) -> Request {
        self.simulator.put_file(LIBRARY, SPACE, &path);
        let began = Instant::now();
        let asked = async {
            let mut connection = match kept.take() {
                Some(kept) => kept,
                None => Kept::over(connect(self.address).await?),
            };
            let target = format!("/v1/files/t1/{path}");
            connection.write(crate::support::request(&target, &[]).as_bytes()).await;
            let answer = connection.try_answer().await?;
            if answer.field("connection") != Some("close") {
                *kept = Some(connection);
            }
            std::io::Result::Ok(answer)
        };
        let told = match tokio::time::timeout(self.patience, asked).await {
            Ok(Ok(answer)) => Told::of(&answer),
            Ok(Err(_)) | Err(_) => Told::Nothing,
        };
        Request { path, told, began, took: began.elapsed() }
    }

    /// Asks, and is gone before the answer.
    pub(crate) async fn leave(&self, path: String) -> Request {
        self.simulator.put_file(LIBRARY, SPACE, &path);
        let began = Instant::now();
        let target = format!("/v1/files/t1/{path}");
        if let Ok(stream) = connect(self.address).await {
            Kept::over(stream).write(crate::support::request(&target, &[]).as_bytes()).await;
        }
        Request { path, told: Told::Left, began, took: began.elapsed() }
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Several callers at once, each on a connection that it keeps.
pub(crate) struct Callers {
    over: Arc<AtomicBool>,
    /// Of each: how many deletes it has begun.
    begun: Arc<Vec<AtomicUsize>>,
    requests: Arc<Mutex<Vec<Request>>>,
    tasks: JoinSet<()>,
}

const CALLERS: usize = 5;

/// One delete in so many is not waited for.
const LEAVES_AFTER: usize = 7;

/// Between two deletes of one caller: what is tested is truth, not speed.
const APART: Duration = Duration::from_millis(80);

impl Callers {
    pub(crate) fn start(door: &Door) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let begun = Arc::new((0..CALLERS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        for caller in 0..CALLERS {
            let (door, over) = (door.clone(), Arc::clone(&over));
            let (begun, requests) = (Arc::clone(&begun), Arc::clone(&requests));
            tasks.spawn(async move {
                let mut kept = None;
                while !over.load(Ordering::Relaxed) {
                    let number = begun[caller].fetch_add(1, Ordering::SeqCst);
                    let path = format!("f{caller}-{number}");
                    let done = match (caller + number) % LEAVES_AFTER {
                        0 => door.leave(path).await,
                        _ => door.delete(&mut kept, path).await,
                    };
                    requests.lock().unwrap().push(done);
                    tokio::time::sleep(APART).await;
                }
            });
        }
        Self { over, begun, requests, tasks }
    }

    /// Waits until each has begun so many deletes after now, and ended them.
    pub(crate) async fn each_ends(&self, times: usize) {
        let now = || self.begun.iter().map(|begun| begun.load(Ordering::SeqCst));
        let wanted: Vec<usize> = now().map(|begun| begun + times + 1).collect();
        let until = || now().zip(&wanted).all(|(begun, wanted)| begun >= *wanted);
        crate::support::becomes("each caller ends some deletes", async || until()).await;
    }

    /// Waits until each was told 200 of a delete that it began after now.
    pub(crate) async fn each_succeeds(&self) {
        let now = Instant::now();
        let name = |caller: usize| format!("f{caller}-");
        crate::support::becomes("each caller deletes a file", async || {
            let requests = self.requests.lock().unwrap();
            (0..CALLERS).all(|caller| {
                requests.iter().rev().take_while(|one| one.began > now).any(|one| {
                    one.told == Told::Relayed(200) && one.path.starts_with(&name(caller))
                })
            })
        })
        .await;
    }

    /// Lets each end what it has begun.
    pub(crate) async fn end(self) -> Vec<Request> {
        self.over.store(true, Ordering::Relaxed);
        self.tasks.join_all().await;
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}
