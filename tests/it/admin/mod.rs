//! The admin listener.

/// Whether it is alive, and ready.
mod probes;
/// Metrics, held to the rules of their format.
mod metrics;
/// Status, configuration, and what is no page.
mod pages;
/// The status page, and who may read it.
mod page;
/// What keeps it up to date.
mod events;
/// The same in a browser.
mod browser;

use std::net::SocketAddr;

use crate::support::{Answer, send};

async fn ask(admin: SocketAddr, line: &str, fields: &str) -> Answer {
    let request = format!("{line} HTTP/1.1\r\nHost: admin\r\n{fields}Connection: close\r\n\r\n");
    send(admin, request.as_bytes()).await
}

async fn get(admin: SocketAddr, path: &str) -> Answer {
    ask(admin, &format!("GET {path}"), "").await
}
