//! Minted tokens, and the truth about what a delete did.

/// What stands in a mint, for whom, and how many there are.
mod minting;
/// Tokens that are replaced before their end, and revoked at it.
mod renewal;
/// Tokens that SMH rejects, and mints that fail.
mod rejection;
/// Other library secrets, and files that come and go.
mod rotation;
/// Answers to a mint that are none.
mod hostile_mints;
/// What 204 and 404 may mean besides.
mod meaning;
/// The real binary, asking SMH.
mod doctor;
/// Everything at once.
mod soak;

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use smh_gateway::run::Running;
use smh_gateway::simulator::{Received, RouteKind, TokenInfo};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing_subscriber::prelude::*;

use crate::support::{
    Answer, Folder, GATEWAY_YAML, Gateway, KEY, LIBRARY, Lines, OTHER_KEY, SPACE, Smh, TOKEN, load,
    send,
};

pub(crate) const SECRET: &str = "sentinel-library-secret";

/// As [`GATEWAY_YAML`], but the tokens are minted, and there is a second caller.
pub(crate) fn minting_yaml() -> String {
    GATEWAY_YAML
        .replace("{ file: token }", "{ mint: { library_secret: { file: secret } } }")
        .replace("tenants: [] }", "tenants: [t1] }")
}

/// The same, with time enough for hundreds of deletes at once on a machine that has other work.
fn patient_yaml() -> String {
    minting_yaml()
        .replace("_timeout: 1s", "_timeout: 10s")
        .replace("  timeout: 3s", "  timeout: 15s")
}

/// A gateway that mints, with [`SECRET`] in the file `secret`.
async fn start(smh: SocketAddr) -> Gateway {
    start_with(&minting_yaml(), None, smh).await
}

/// The same, once its tokens are there.
pub(crate) async fn started(smh: &Smh) -> Gateway {
    started_with(&minting_yaml(), smh).await
}

async fn started_with(yaml: &str, smh: &Smh) -> Gateway {
    let gateway = start_with(yaml, None, smh.address).await;
    until("the tokens are there", async || minted(smh).len() == 3).await;
    until_ready(&gateway).await;
    gateway
}

pub(crate) async fn start_with(yaml: &str, policy: Option<&str>, smh: SocketAddr) -> Gateway {
    let folder = Folder::new(yaml, policy, smh);
    folder.write("secret", &format!("{SECRET}\n"));
    start_in(folder).await
}

async fn start_in(folder: Folder) -> Gateway {
    log_of_events();
    let (snapshot, _) = load(&folder.path("gateway.yaml"));
    let log = Lines::default();
    let running = Running::start(snapshot, log.clone()).await.unwrap();
    Gateway { running, folder, log }
}

async fn until_ready(gateway: &Gateway) {
    until("it is ready", async || gateway.admin("/readyz").await.status() == 200).await;
}

/// A pair that failed to mint at start waits for its own next try, even if another one has made
/// the gateway ready.
async fn until_deleted(gateway: &Gateway, target: &str) {
    until("it is deleted", async || {
        let answer = delete(gateway, target).await;
        assert!(matches!(answer.status(), 200 | 503), "{}", answer.code());
        answer.status() == 200
    })
    .await;
}

/// One delete on a connection that ends behind it.
async fn delete(gateway: &Gateway, target: &str) -> Answer {
    delete_as(gateway.address(), KEY, target).await
}

pub(crate) async fn delete_as(address: SocketAddr, key: &str, target: &str) -> Answer {
    let request = format!(
        "DELETE {target} HTTP/1.1\r\nHost: gateway\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n"
    );
    send(address, request.as_bytes()).await
}

/// So many deletes at once, each for a file `f0`, `f1` … of `t1` by the caller `app`.
async fn burst(gateway: &Gateway, deletes: usize) -> Vec<Answer> {
    let (address, mut tasks) = (gateway.address(), JoinSet::new());
    for number in 0..deletes {
        tasks.spawn(
            async move { delete_as(address, KEY, &format!("/v1/files/t1/f{number}")).await },
        );
    }
    tasks.join_all().await
}

/// What was answered, and how often.
fn tally(answers: &[Answer]) -> BTreeMap<(u16, String), usize> {
    answers.iter().fold(BTreeMap::new(), |mut tally, answer| {
        *tally.entry((answer.status(), answer.code())).or_default() += 1;
        tally
    })
}

fn assert_all_deleted(answers: &[Answer]) {
    let wanted = BTreeMap::from([((200, String::new()), answers.len())]);
    assert_eq!(tally(answers), wanted);
}

fn with_files(smh: Smh, files: usize) -> Smh {
    (0..files).fold(smh, |smh, number| smh.with_file(&format!("f{number}")))
}

/// Lets time pass for what runs on the test's runtime: the gateway's keeper, and SMH.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Waits, in real time, until something is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(8);
    while !is_so().await {
        assert!(Instant::now() < patience, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Long enough for the keeper to do what it should not.
async fn a_while() {
    sleep(Duration::from_millis(1500)).await;
}

/// What arrived of one kind, in order.
fn arrived(smh: &Smh, kind: RouteKind) -> Vec<Received> {
    smh.received().into_iter().filter(|request| request.route == Some(kind)).collect()
}

pub(crate) fn mints(smh: &Smh) -> Vec<HashMap<String, String>> {
    arrived(smh, RouteKind::IssueToken).iter().map(parameters).collect()
}

fn deletes(smh: &Smh) -> Vec<Received> {
    arrived(smh, RouteKind::DeleteFile)
}

pub(crate) fn revocations(smh: &Smh) -> usize {
    arrived(smh, RouteKind::RevokeToken).len()
}

/// The query of a request. Nothing in ours needs decoding but the comma.
fn parameters(request: &Received) -> HashMap<String, String> {
    let (_, query) = request.target.split_once('?').unwrap();
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.replace("%2C", ","))).collect()
}

/// The tokens that are alive, but for the one that the stage is set with.
pub(crate) fn minted(smh: &Smh) -> Vec<TokenInfo> {
    let mut live = smh.simulator.live_tokens();
    live.retain(|token| token.value != TOKEN);
    live
}

/// The live token of a caller for a space.
pub(crate) fn token_of(smh: &Smh, caller: &str, space: &str) -> String {
    let mut all = minted(smh).into_iter().filter(|token| {
        token.user_id.as_deref() == Some(caller) && token.spaces == Some(vec![space.to_owned()])
    });
    let token = all.next().expect("a token of this pair");
    assert!(all.next().is_none(), "one token for one pair");
    token.value
}

/// The value of one sample, 0 if it is not there.
async fn metric(gateway: &Gateway, sample: &str) -> f64 {
    let text = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    value.map_or(0.0, |value| value.parse().unwrap())
}

/// What `/api/status` says of one pair.
async fn status_of(gateway: &Gateway, caller: &str, tenant: &str) -> serde_json::Value {
    let status = gateway.admin("/api/status").await.json();
    let mut all = status["tokens"].as_array().unwrap().iter();
    let one = all.find(|one| one["caller"] == caller && one["tenant"] == tenant);
    one.expect("a line for this pair").clone()
}

/// The line of the delete log about a file. Two workers write them, so they are in no order.
fn line_about<'l>(lines: &'l [serde_json::Value], path: &str) -> &'l serde_json::Value {
    lines.iter().find(|line| line["path"] == path).expect("a line about this file")
}

/// Every event that this process logs, of all tests: look for what only yours can have said.
fn log_of_events() -> &'static Events {
    static EVENTS: OnceLock<Events> = OnceLock::new();
    EVENTS.get_or_init(|| {
        let events = Events::default();
        let writer = events.clone();
        let ours = tracing_subscriber::filter::filter_fn(|event| {
            event.target().starts_with("smh_gateway")
                && !event.target().starts_with("smh_gateway::simulator")
        });
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .with_filter(ours);
        // Another module's may be there already; then nothing is found here, and tests fail.
        let _ = tracing_subscriber::registry().with(lines).try_init();
        events
    })
}

#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<u8>>>);

impl Events {
    /// The lines that hold all of these words.
    fn with(&self, words: &[&str]) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        let lines = text.lines().filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(str::to_owned).collect()
    }
}

impl Write for Events {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
