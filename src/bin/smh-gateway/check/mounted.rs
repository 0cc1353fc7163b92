//! What stands in the files that the configuration names. They may be missing where `check` is run,
//! which is no mistake: they are mounted where the gateway runs.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use smh_gateway::authenticate::Credential;
use smh_gateway::config::Snapshot;
use smh_gateway::listener::{Plan, ServerTls, TlsError};
use smh_gateway::secret::SourceError;

use crate::terminal::{Style, Terminal};

/// What was found in them.
pub(super) struct Mounted<'s> {
    listeners: Vec<(&'s Plan, Spoken)>,
    /// API keys that cannot be used, with the caller's name.
    keys: Vec<(&'s str, SourceError)>,
}

impl<'s> Mounted<'s> {
    /// Reads what can be read.
    pub(super) fn look(snapshot: &'s Snapshot) -> Self {
        let listeners = snapshot.listeners.iter().map(|plan| (plan, Spoken::of(plan)));
        let callers = snapshot.callers.iter();
        let keys = callers.flat_map(|one| {
            let unusable = one.credentials.iter().filter_map(|credential| match credential {
                Credential::Key(source) => source.read_key().err(),
                Credential::Digest(_)
                | Credential::SpiffeId(_)
                | Credential::Jwt(_)
                | Credential::Loopback => None,
            });
            unusable.map(|error| (one.caller.name.as_str(), error))
        });
        Self { listeners: listeners.collect(), keys: keys.collect() }
    }

    /// Whether anything that is there cannot be used.
    pub(super) fn is_wrong(&self) -> bool {
        self.listeners.iter().any(|(_, spoken)| matches!(spoken, Spoken::Wrong(_)))
            || self.keys.iter().any(|(_, error)| error.is_unfit())
    }

    pub(super) fn to_json(&self) -> Value {
        let keys = self.keys.iter().map(|(caller, error)| {
            json!({ "caller": caller, "problem": error.to_string(), "is_wrong": error.is_unfit() })
        });
        json!({
            "tls": self.listeners.iter().filter_map(|(plan, s)| s.to_json(plan)).collect::<Vec<_>>(),
            "api_keys": keys.collect::<Vec<_>>(),
        })
    }

    /// A line for each listener.
    pub(super) fn listeners(&self, terminal: &Terminal) -> Vec<String> {
        let line =
            |(plan, spoken): &(&Plan, Spoken)| format!("{}{}", plan.at, spoken.show(terminal));
        self.listeners.iter().map(line).collect()
    }

    /// A line for each API key that cannot be used, or is not there.
    pub(super) fn keys(&self, terminal: &Terminal) -> Vec<String> {
        let line = |(caller, error): &(&str, SourceError)| {
            if error.is_unfit() {
                format!("{caller}: {}", terminal.style(Style::Bad, error.to_string()))
            } else {
                format!("{caller}: not checked here: {error}")
            }
        };
        self.keys.iter().map(line).collect()
    }
}

/// What a listener's certificate, key and client CA are good for.
enum Spoken {
    PlainText,
    Tls { days_left: Option<i64> },
    Unseen(TlsError),
    Wrong(TlsError),
}

impl Spoken {
    fn of(plan: &Plan) -> Self {
        let Some(files) = plan.tls.clone() else { return Self::PlainText };
        match ServerTls::read(files) {
            Ok(tls) => Self::Tls { days_left: tls.expires().map(days_until) },
            Err(error @ TlsError::Unreadable(..)) => Self::Unseen(error),
            Err(error) => Self::Wrong(error),
        }
    }

    fn to_json(&self, plan: &Plan) -> Option<Value> {
        let (days, problem) = match self {
            Self::PlainText => return None,
            Self::Tls { days_left } => (*days_left, None),
            Self::Unseen(error) | Self::Wrong(error) => (None, Some(error.to_string())),
        };
        let listener = plan.at.to_string();
        Some(json!({ "listener": listener, "expires_in_days": days, "problem": problem }))
    }

    fn show(&self, terminal: &Terminal) -> String {
        match self {
            Self::PlainText => String::new(),
            Self::Tls { days_left: Some(days @ ..0) } => {
                let expired = format!("TLS, certificate EXPIRED {} days ago", -days);
                format!(", {}", terminal.style(Style::Bad, expired))
            }
            Self::Tls { days_left: Some(days) } => {
                format!(", TLS, certificate good for {days} days")
            }
            Self::Tls { days_left: None } => ", TLS".to_owned(),
            Self::Unseen(error) => format!(", TLS, not checked here: {error}"),
            Self::Wrong(error) => {
                format!(", TLS: {}", terminal.style(Style::Bad, error.to_string()))
            }
        }
    }
}

/// Negative for a time that is over.
fn days_until(time: SystemTime) -> i64 {
    const DAY: u64 = 24 * 60 * 60;
    let days = |time: Duration| i64::try_from(time.as_secs() / DAY).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::now()) {
        Ok(left) => days(left),
        Err(over) => -1 - days(over.duration()),
    }
}
