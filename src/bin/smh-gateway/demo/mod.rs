//! `demo`: gateway and simulated SMH in one process, and a guided tour of what happens to a delete.
//!
//! The gateway is the real one, on real sockets, with real files for its configuration; only SMH is
//! simulated. Nothing leaves this machine.

mod caller;
mod folder;
mod tour;

use std::net::SocketAddr;

use smh_gateway::config;
use smh_gateway::run::Running;
use smh_gateway::simulator::{Library, RecycleBin, Simulator, TokenSpec};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::folder::Folder;
use self::tour::Tour;
use crate::Outcome;
use crate::terminal::{Style, Terminal};

/// A library with a recycle bin.
const KEEPING: &str = "smhdemokeeping01";
/// A library without one.
const FINAL: &str = "smhdemofinal0001";
const SPACE: &str = "space1";
const APP_KEY: &str = "demo-key-of-app-0001";
const BATCH_KEY: &str = "demo-key-of-batch-01";

pub(crate) fn run(once: bool, terminal: &mut Terminal) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let simulator = simulator();
        let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        let smh = listener.local_addr()?;
        let folder = configuration(&simulator, smh)?;
        let (snapshot, _) = config::load(&folder.path("gateway.yaml"))
            .into_result()
            .map_err(|report| format!("the demo's own files are wrong: {report:?}"))?;

        // The delete log would stand between the steps of the tour.
        let running = Running::start(snapshot, std::io::sink()).await?;
        let gateway = *running.addresses().first().ok_or("the gateway listens nowhere")?;
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let tour = async {
            introduce(terminal, gateway, smh, &folder);
            let ended = Tour::new(gateway, &simulator).run(terminal).await?;
            if !once {
                invite(terminal, gateway, running.admin(), smh);
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            Outcome::Ok(ended)
        };
        let served = simulator.clone().serve(listener, std::future::pending());
        let ended = tokio::select! {
            ended = tour => ended,
            () = served => Err("the simulator ended".into()),
        };
        running.stop_in_time().await;
        ended
    })
}

/// Two libraries, a few files, and one token for each.
fn simulator() -> Simulator {
    let simulator = Simulator::new();
    for (id, bin) in [(KEEPING, RecycleBin::KEEPING), (FINAL, RecycleBin::Off)] {
        simulator.add_library(
            Library::multi_tenant(id, format!("secret-of-{id}")).with_recycle_bin(bin),
        );
        simulator.add_space(id, SPACE);
    }
    for file in ["2025/a b.jpg", "2025/c.jpg", "2025/d.jpg", "2025/e.jpg", "2025/f.jpg"] {
        simulator.put_file(KEEPING, SPACE, file);
    }
    for file in ["build/1.log", "build/2.log"] {
        simulator.put_file(FINAL, SPACE, file);
    }
    simulator
}

/// The two YAML files and the secrets they refer to, in a folder that goes when the demo ends.
fn configuration(simulator: &Simulator, smh: SocketAddr) -> std::io::Result<Folder> {
    let folder = Folder::new()?;
    for library in [KEEPING, FINAL] {
        let spec = TokenSpec::new(library).with_grant("delete_file");
        folder.write(&format!("{library}.token"), &simulator.issue_token(spec))?;
    }
    folder.write("app.key", APP_KEY)?;
    folder.write("batch.key", BATCH_KEY)?;
    folder.write("policy.yaml", include_str!("policy.yaml"))?;
    let gateway = include_str!("gateway.yaml").replace("SMH_ADDRESS", &smh.to_string());
    folder.write("gateway.yaml", &gateway)?;
    Ok(folder)
}

fn introduce(terminal: &mut Terminal, gateway: SocketAddr, smh: SocketAddr, folder: &Folder) {
    let title = terminal.style(Style::Bold, "smh-gateway demo");
    terminal.line(format!("\n  {title}   everything on loopback, nothing leaves this machine"));
    terminal.line("");
    let files = folder.path("gateway.yaml");
    for (what, value) in [
        ("gateway", format!("http://{gateway}")),
        ("simulated SMH", format!("http://{smh}")),
        ("configuration", files.display().to_string()),
    ] {
        let what = terminal.style(Style::Dim, format!("{what:<14}"));
        terminal.line(format!("  {what} {value}"));
    }
}

fn invite(
    terminal: &mut Terminal,
    gateway: SocketAddr,
    admin: Option<SocketAddr>,
    smh: SocketAddr,
) {
    let title = terminal.style(Style::Bold, "Now you.");
    let hint = terminal.style(Style::Dim, "It stays up until Ctrl-C.");
    terminal.line(format!("  {title} {hint}"));
    let key = format!("-H 'Authorization: Bearer {APP_KEY}'");
    let files = format!("http://{gateway}/v1/files");
    terminal.line(format!("\n  curl -i -X DELETE {key} {files}/photos/2025/c.jpg"));
    terminal.line(format!("  curl -i -X DELETE {key} '{files}/photos/2025/d.jpg?permanent=1'"));
    terminal.line(format!("  curl -i -X DELETE {key} -H 'X-Dry-Run: 1' {files}/photos/2025/d.jpg"));
    if let Some(admin) = admin {
        terminal.line(format!("  curl http://{admin}/api/status"));
    }
    terminal.line(format!("  curl http://{smh}/_simulator/received\n"));
}
