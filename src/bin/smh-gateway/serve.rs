//! `serve`: one gateway, from its files to its last delete.

use std::io;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use smh_gateway::config;
use smh_gateway::config::report::Report;
use smh_gateway::log::Readable;
use smh_gateway::reload::MOST_SHOWN;
use smh_gateway::run::{Ended, OpenFiles, Running, raise_open_files};
use smh_gateway::sandbox::{Confined, enter, written};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::events::{Form, Verbosity};
use crate::terminal::Terminal;
use crate::{Answer, Outcome};

/// Whether the gateway gives up what it does not need.
#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Sandbox {
    /// It does not.
    #[default]
    Off,
    /// As far as the kernel knows how.
    BestEffort,
    /// Wholly, or it does not serve.
    Required,
}

pub(crate) fn run(
    config: &Path,
    sandbox: Sandbox,
    verbosity: &Verbosity,
    form: Form,
    terminal: &mut Terminal,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before the files are read, which can take a while: a signal must not kill the process.
    let signals = {
        let _inside = runtime.enter();
        Signals::new()?
    };
    let snapshot = match config::load(config).linted().into_result() {
        Ok((snapshot, warnings)) => {
            tell(&warnings, form, terminal);
            snapshot
        }
        Err(report) => {
            // As every command shows it: other programs read it.
            terminal.report(&report);
            return Ok(Answer::No);
        }
    };
    provide_for(raise_open_files(&snapshot)?);
    // Before there is another thread: those that are started are confined as this one is.
    confine(sandbox, &snapshot)?;
    let served = runtime.block_on(serve(snapshot, signals, verbosity));
    // Dropping it would wait for file reads that may never end.
    runtime.shutdown_background();
    served
}

/// What is likely wrong with a configuration: an event each for programs, with its place for people.
fn tell(warnings: &Report, form: Form, terminal: &Terminal) {
    if form == Form::Text {
        return terminal.report(warnings);
    }
    for problem in warnings.warnings().take(MOST_SHOWN) {
        tracing::warn!(%problem, "it likely does not do what was meant");
    }
}

/// A connection that finds no file left is not refused, but waits until one is free.
fn provide_for(OpenFiles { limit, needed }: OpenFiles) {
    if limit < needed {
        tracing::warn!(
            limit,
            needed,
            "fewer open files are allowed than listeners' `connections` and `upstream.max_in_flight` may \
             come to need: raise the hard limit (`ulimit -Hn`, LimitNOFILE), or lower those"
        );
    } else {
        tracing::debug!(limit, needed, "open files");
    }
}

fn confine(sandbox: Sandbox, snapshot: &config::Snapshot) -> Result<(), String> {
    if sandbox == Sandbox::Off {
        return Ok(());
    }
    let folders = written(snapshot);
    let outcome = match enter(&folders) {
        Ok(Confined::Wholly) => {
            tracing::info!(?folders, "confined: runs no program, writes in these folders alone");
            return Ok(());
        }
        Ok(Confined::Partly) => "the kernel knows a part of Landlock alone".to_owned(),
        Ok(Confined::Not) => "the kernel has no Landlock".to_owned(),
        Err(error) => error.to_string(),
    };
    if sandbox == Sandbox::Required {
        return Err(format!("the sandbox is required: {outcome}"));
    }
    tracing::warn!(reason = outcome, "not confined as asked for");
    Ok(())
}

async fn serve(snapshot: config::Snapshot, mut signals: Signals, verbosity: &Verbosity) -> Outcome {
    verbosity.set(snapshot.log.level);
    let (workers, sha256) = (snapshot.workers, snapshot.sha256.clone());
    let running = match Form::of_deletes() {
        Form::Json => Running::start(snapshot, io::stdout()).await?,
        Form::Text => Running::start(snapshot, Readable(io::stdout())).await?,
    };
    for address in running.addresses() {
        tracing::info!(%address, "listening for deletes");
    }
    for path in running.sockets() {
        tracing::info!(socket = %path.display(), "listening for deletes");
    }
    if let Some(address) = running.admin() {
        tracing::info!(%address, "listening for operators");
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workers, sha256, "serving");
    for pending in running.gateway().pending() {
        tracing::warn!(pending, "not ready yet");
    }

    let reloads = Arc::clone(running.reloads());
    let gateway = Arc::clone(running.gateway());
    let hang_up = || {
        reloads.ask();
        if let Some(audit) = gateway.audit() {
            audit.reopen();
        }
    };
    let was_signal = tokio::select! {
        name = signals.leave(hang_up) => {
            tracing::info!(signal = name, "leaving; a second signal leaves at once");
            true
        }
        () = gateway.told_to_leave() => {
            tracing::info!("leaving, as POST /quitquitquit asked");
            false
        }
        never = verbosity.follow(&gateway) => match never {},
    };
    let ended = running
        .stop(async {
            if !was_signal {
                // A pod that is deleted while its job ends: that is no hurry yet.
                let name = signals.leave(hang_up).await;
                tracing::info!(signal = name, "leaving already; a second signal leaves at once");
            }
            signals.leave(hang_up).await;
        })
        .await;
    match ended {
        Ended::Finished => tracing::info!("everything was finished"),
        Ended::Overdue { cut_off } => {
            tracing::warn!(cut_off, "connections were still open after shutdown.drain");
        }
        Ended::Hurried { cut_off } => tracing::warn!(cut_off, "left at once"),
    }
    Ok(Answer::Yes)
}

/// As Linux numbers it wherever this runs (x86, Arm).
const SIGXFSZ: i32 = 25;

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    /// A file that is larger than this process may write is an error of that write, and no death.
    _too_large: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            _too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for a signal that means to leave, and names it. SIGHUP is no such.
    async fn leave(&mut self, hang_up: impl Fn()) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hang_up.recv() => {
                    tracing::info!(signal = "SIGHUP", "looking at the configuration, and at the journal's file");
                    hang_up();
                }
            }
        }
    }
}
