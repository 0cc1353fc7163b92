//! `simulate`: a simulated SMH in a process of its own.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use smh_gateway::simulator::{Library, RecycleBin, Simulator, TokenSpec};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::terminal::{Style, Terminal};
use crate::{Answer, Outcome};

#[derive(Args)]
pub(crate) struct Options {
    /// Where to listen. Anyone who reaches it can change everything: keep to loopback.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// The id of the library; its secret is `secret-of-ID`.
    #[arg(long, value_name = "ID", default_value = "smhsimulated0001")]
    library: String,
    /// A space of the library.
    #[arg(long, value_name = "ID", default_value = "space1")]
    space: String,
    /// Switch the recycle bin off: every delete is final.
    #[arg(long)]
    no_recycle_bin: bool,
    /// A token that is good for this library; without one, one is made.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// A file that is there at the start. May be repeated.
    #[arg(long = "file", value_name = "PATH")]
    files: Vec<String>,
}

pub(crate) fn run(options: &Options, terminal: &mut Terminal) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
        let simulator = Simulator::new();
        let token = set_up(&simulator, options);
        let address = listener.local_addr()?;
        terminal.line(format!("simulated SMH on http://{address}"));
        terminal.line(format!("library {}, space {}", options.library, options.space));
        // It is good for nothing but this simulator, and whoever started it needs it.
        terminal.line(format!("token   {token}"));
        let help = format!("what it received: curl http://{address}/_simulator/received");
        terminal.line(terminal.style(Style::Dim, help));
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let leave = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        simulator.serve(listener, leave).await;
        Ok(Answer::Yes)
    })
}

fn set_up(simulator: &Simulator, options: &Options) -> String {
    let bin = if options.no_recycle_bin { RecycleBin::Off } else { RecycleBin::KEEPING };
    let secret = format!("secret-of-{}", options.library);
    let library = Library::multi_tenant(&options.library, secret).with_recycle_bin(bin);
    simulator.add_library(library);
    simulator.add_space(&options.library, &options.space);
    for file in &options.files {
        simulator.put_file(&options.library, &options.space, file);
    }
    let spec = TokenSpec::new(&options.library)
        .with_grant("delete_file")
        .with_grant("delete_file_permanent")
        .with_period(PERIOD);
    simulator.issue_token(match &options.token {
        Some(token) => spec.with_value(token),
        None => spec,
    })
}

/// A day, renewed by each use, as SMH's own tokens by default.
const PERIOD: Duration = Duration::from_secs(86_400);
