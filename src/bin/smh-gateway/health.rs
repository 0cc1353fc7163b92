//! `health`: what a container runtime or a kubelet asks, from inside the container.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use smh_gateway::config::{self, Admin};

use crate::ask::ask;
use crate::terminal::Terminal;
use crate::{Answer, Format, Outcome};

#[derive(Args)]
pub(crate) struct Options {
    /// The admin listener of the gateway that runs.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9901")]
    address: SocketAddr,
    /// The file that names it, of which nothing else is looked at. A probe should not depend on a file
    /// that is edited: name the address there.
    #[arg(long, value_name = "FILE", conflicts_with = "address")]
    config: Option<PathBuf>,
    /// Ask /readyz instead of /livez: may it be sent deletes?
    #[arg(long)]
    ready: bool,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Outcome {
    let admin = match &options.config {
        None => Admin { address: Some(options.address), socket: None, allow_quit: false },
        Some(file) => match config::load_admin(file) {
            Ok(admin) => admin,
            Err(report) => {
                terminal.report(&report);
                return Ok(Answer::No);
            }
        },
    };
    let admin = Admin { address: admin.address.map(from_inside), ..admin };
    let path = if options.ready { "/readyz" } else { "/livez" };
    let request =
        Request::builder().uri(path).header("host", "admin").body(Full::new(Bytes::new()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(ask(&admin, request, PATIENCE));
    let (healthy, said) = match asked {
        Ok((StatusCode::OK, _)) => (true, "ok".to_owned()),
        Ok((status, body)) => (false, format!("{path} says {status}{}", pending(&body))),
        Err(error) => (false, error.to_string()),
    };
    match (options.format, healthy) {
        (Format::Json, _) => {
            let answer = json!({ "healthy": healthy, "asked": path, "said": said });
            terminal.line(format!("{answer:#}"));
        }
        (Format::Text, true) => terminal.line(said),
        (Format::Text, false) => terminal.complain(format!("smh-gateway: {said}")),
    }
    Ok(if healthy { Answer::Yes } else { Answer::No })
}

/// Where an address that stands for all of them is reached from beside the gateway.
fn from_inside(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What `/readyz` says it waits for.
fn pending(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let pending = body.get("pending").and_then(Value::as_array).into_iter().flatten();
    let words = body.get("phase").into_iter().chain(pending);
    words.filter_map(Value::as_str).map(|word| format!("; {word}")).collect()
}

/// Less than a probe waits, so that it says why.
const PATIENCE: Duration = Duration::from_secs(2);
