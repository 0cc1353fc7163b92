//! Rare events, to standard error: for people where that is a terminal, for programs elsewhere.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, IsTerminal, Stderr};

use smh_gateway::gateway::Gateway;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, filter_fn};
use tracing_subscriber::fmt::layer;
use tracing_subscriber::prelude::*;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, reload};

/// How what is logged looks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Text,
}

impl Form {
    /// That of rare events.
    pub(crate) fn of_events() -> Self {
        Self::of(&io::stderr(), "SMH_GATEWAY_LOG_FORMAT")
    }

    /// That of the delete log.
    pub(crate) fn of_deletes() -> Self {
        Self::of(&io::stdout(), "SMH_GATEWAY_DELETES_FORMAT")
    }

    /// As the variable says, or else text for a terminal and JSON for whatever else reads it.
    #[expect(clippy::disallowed_methods, reason = "it must be known before any file is read")]
    fn of(stream: &impl IsTerminal, variable: &str) -> Self {
        match std::env::var_os(variable) {
            Some(form) if form == "json" => Self::Json,
            Some(form) if form == "text" => Self::Text,
            Some(_) | None if stream.is_terminal() => Self::Text,
            Some(_) | None => Self::Json,
        }
    }
}

/// How much is said, to be changed while it is said.
pub(crate) struct Verbosity {
    put: Box<dyn Fn(EnvFilter) + Send + Sync>,
    default: LevelFilter,
}

impl Verbosity {
    /// Follows the configuration in force, for ever.
    pub(crate) async fn follow(&self, gateway: &Gateway) -> Infallible {
        let mut wanted = gateway.log_level();
        // An edit may have come since the start.
        wanted.mark_changed();
        while wanted.changed().await.is_ok() {
            let level = *wanted.borrow_and_update();
            self.set(level);
        }
        pending().await
    }

    /// What the file says goes before what the environment says: it alone can change.
    pub(crate) fn set(&self, level: Option<Level>) {
        (self.put)(match level {
            Some(level) => EnvFilter::default().add_directive(level.into()),
            None => from_environment(self.default),
        });
    }
}

/// `SMH_GATEWAY_LOG` takes a level or a filter.
fn from_environment(default: LevelFilter) -> EnvFilter {
    let builder = EnvFilter::builder().with_env_var("SMH_GATEWAY_LOG");
    builder.with_default_directive(default.into()).from_env_lossy()
}

/// It does not reach into other crates: what they say below `info` is about the bytes of a
/// connection, among which are our secrets.
pub(crate) fn start(default: LevelFilter, form: Form) -> Verbosity {
    let ours = filter_fn(|event| {
        let is_ours = event.target().starts_with("smh_gateway") || event.target() == "audit";
        is_ours || *event.level() <= Level::INFO
    });
    // Outside, as the last word: what it does not let through costs a look at a level that is cached.
    let (filter, handle) = reload::Layer::new(from_environment(default));
    tracing_subscriber::registry().with(lines(form).with_filter(ours)).with(filter).init();
    let put = Box::new(move |filter| {
        // It is gone only if the process is.
        let _ = handle.reload(filter);
    });
    Verbosity { put, default }
}

fn lines<S>(form: Form) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let stderr: fn() -> Stderr = io::stderr;
    let lines = layer().with_writer(stderr).with_ansi(io::stderr().is_terminal());
    match form {
        Form::Json => lines.json().flatten_event(true).boxed(),
        Form::Text => lines.boxed(),
    }
}
