//! The command line: arguments in, exit code out. What is done is done by the library.

mod ask;
mod audit;
mod budget;
mod check;
mod demo;
mod doctor;
mod events;
mod explain;
mod hash_key;
mod health;
mod journals;
mod replay;
mod schema;
mod serve;
mod simulate;
mod terminal;
mod test;
mod undo;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use smh_gateway::run::hide_memory;
use tracing_subscriber::filter::LevelFilter;

use self::events::Form;
use self::terminal::Terminal;

/// An authenticating, token-injecting gateway for file deletes on Tencent SMH.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gateway; SIGTERM drains, a second signal leaves at once.
    Serve {
        /// The gateway's file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Give up to run programs, and to write but in the folders of journal, sockets and budgets.
        #[arg(long, value_enum, env = "SMH_GATEWAY_SANDBOX", default_value_t)]
        sandbox: serve::Sandbox,
    },
    /// A guided tour: gateway and simulated SMH in one process, on loopback.
    Demo {
        /// End after the tour, with 0 only if each step ended as it should.
        #[arg(long)]
        once: bool,
    },
    /// Check both files, show every mistake and what is likely one, and say what would run.
    Check(check::Options),
    /// Ask SMH: is every library reachable, every token good, every recycle bin as configured.
    Doctor {
        /// The gateway's file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// For people or for programs.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// What would become of a delete, and why: each check, rule and limit. Nothing is sent.
    Explain(explain::Options),
    /// Run policy test cases: does the policy decide as they say?
    Test(test::Options),
    /// Decide past deletes again by this policy: what would change. Nothing is sent.
    Replay(replay::Options),
    /// Read the journal; prove that it is whole.
    Audit {
        /// What to do.
        #[command(subcommand)]
        audit: audit::Audit,
    },
    /// What is used of each limit; a one-time raise, with a reason. Asks the gateway that runs.
    Budget {
        /// What to do.
        #[command(subcommand)]
        budget: budget::Budget,
    },
    /// Whether the gateway that runs here lives, or is ready: for container health checks.
    Health(health::Options),
    /// Bring back from SMH's recycle bin what was deleted, as journals have it.
    Undo(Box<undo::Options>),
    /// Read an API key on standard input, print its SHA-256 for the configuration.
    HashKey {
        /// Taken so that clap does not repeat it: it is likely the key itself.
        #[arg(hide = true, num_args = 0.., allow_hyphen_values = true)]
        unexpected: Vec<OsString>,
    },
    /// Print the JSON Schema of a file, for editors, or of the journal's records.
    Schema {
        /// Which file.
        #[arg(value_enum)]
        of: schema::Of,
    },
    /// A simulated SMH alone.
    Simulate(simulate::Options),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    // clap answers `--help` with 0 and a mistake with 2.
    let arguments = Arguments::parse();
    let level = match arguments.command {
        Command::Serve { .. } | Command::Simulate(_) => LevelFilter::INFO,
        Command::Demo { .. }
        | Command::Check(_)
        | Command::Doctor { .. }
        | Command::Explain(_)
        | Command::Test(_)
        | Command::Replay(_)
        | Command::Audit { .. }
        | Command::Budget { .. }
        | Command::Health(_)
        | Command::Undo(_)
        | Command::HashKey { .. }
        | Command::Schema { .. } => LevelFilter::ERROR,
    };
    let is_served = matches!(arguments.command, Command::Serve { .. });
    let form = if is_served { Form::of_events() } else { Form::Text };
    let verbosity = events::start(level, form);

    // Before a secret is read, by whichever command. Where it cannot be, the gateway is still of use.
    if let Err(error) = hide_memory() {
        tracing::warn!(%error, "other processes of this user may read what is in memory");
    }
    let mut terminal = Terminal::new();
    let done = match arguments.command {
        Command::Serve { config, sandbox } => {
            serve::run(&config, sandbox, &verbosity, form, &mut terminal)
        }
        Command::Demo { once } => demo::run(once, &mut terminal),
        Command::Check(options) => Ok(check::run(&options, &mut terminal)),
        Command::Doctor { config, format } => doctor::run(&config, format, &mut terminal),
        Command::Explain(options) => Ok(explain::run(&options, &mut terminal)),
        Command::Test(options) => Ok(test::run(&options, &mut terminal)),
        Command::Replay(options) => Ok(replay::run(options, &mut terminal)),
        Command::Audit { audit } => audit::run(audit, &mut terminal),
        Command::Undo(options) => undo::run(&options, &mut terminal),
        Command::Health(options) => health::run(&options, &mut terminal),
        Command::Budget { budget } => budget::run(&budget, &mut terminal),
        Command::HashKey { unexpected } if unexpected.is_empty() => hash_key::run(&mut terminal),
        Command::HashKey { .. } => {
            let message = "the key is read from standard input, not from the command line";
            Arguments::command().error(ErrorKind::UnknownArgument, message).exit()
        }
        Command::Schema { of } => schema::run(of, &mut terminal),
        Command::Simulate(options) => simulate::run(&options, &mut terminal),
    };
    match done {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::FAILURE,
        Ok(Answer::Usage) => ExitCode::from(2),
        Err(error) => {
            match form {
                Form::Json => tracing::error!(%error, "it cannot serve"),
                Form::Text => terminal.error(&*error),
            }
            ExitCode::FAILURE
        }
    }
}

/// What the exit code says: 0 done, 1 the answer is no, 2 it was asked in a way that it cannot be done.
enum Answer {
    Yes,
    No,
    Usage,
}

/// At this edge errors are only read by people.
type Outcome = Result<Answer, Box<dyn std::error::Error>>;
