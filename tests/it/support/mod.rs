//! Starts a gateway and a simulated SMH on free ports, and talks to them in bytes. Asserts nothing
//! itself but that the stage is set.

/// The real binary as a child process.
pub(crate) mod binary;
/// A simulated SMH.
mod smh;
/// A gateway in this process, and the folder that it is started from.
mod gateway;
/// A caller: requests, answers, and connections that are kept.
mod client;
/// An upstream of fixed answers.
mod canned;
/// Addresses for servers.
pub(crate) mod ports;
/// Redis servers.
pub(crate) mod redis;
/// A TCP proxy on whose way things go wrong.
pub(crate) mod faulty;

use std::time::{Duration, Instant};

use self::binary::PATIENCE;

pub(crate) use canned::Canned;
pub(crate) use client::{Answer, Kept, read_answer, request, send};
pub(crate) use gateway::{Folder, Gateway, Lines, load};
pub(crate) use smh::Smh;

pub(crate) const LIBRARY: &str = "smhxxx";
pub(crate) const SPACE: &str = "spacexxx";
pub(crate) const TOKEN: &str = "acctksentineltoken0123456789abcdef0123456789";
pub(crate) const KEY: &str = "sentinel-key-of-app-0123456789";
pub(crate) const OTHER_KEY: &str = "sentinel-key-of-other-0123456789";

/// A caller with a tenant, one without, and a library with its recycle bin on.
pub(crate) const GATEWAY_YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
  connect_timeout: 1s
  timeout: 3s
libraries:
  smhxxx:
    token: { file: token }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  t2: { library: smhxxx, space: space2, user_id: forbid }
callers:
  app: { api_key: { file: app.key }, tenants: [t1, t2] }
  other: { api_key: { file: other.key }, tenants: [] }
workers: 2
shutdown: { delay: 0s, drain: 2s }
";

/// Asks until the answer is this, which it must be soon.
pub(crate) async fn becomes(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < until, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
