//! A running gateway: what is in force, what outlives a reload, and in which phase it is.

mod apply;

pub use self::apply::Applied;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::Level;

use self::apply::Before;
use crate::alarms::Alarms;
use crate::audit::{self, Audit};
use crate::authenticate::{Authenticator, Keyring, read_all};
use crate::complaints::{Complaints, Round};
use crate::config::Snapshot;
use crate::directory::Tenants;
use crate::glance::Glance;
use crate::issuer_keys::IssuerKeys;
use crate::limit_store::SharedStore;
use crate::limits::{Guesses, Limits, Sharing};
use crate::listener::{Listener, Refreshed};
use crate::metrics::Metrics;
use crate::places::Places;
use crate::tally::Tally;
use crate::token::Tokens;
use crate::traces::Exporter;
use crate::upstream::Settings;

/// What a delete is decided by: one version, seen from its start to its end.
#[derive(Clone)]
pub struct InForce {
    /// The tenants by name.
    pub tenants: Arc<Tenants>,
    /// The callers by credential.
    pub authenticator: Arc<Authenticator>,
    /// The keys of those who issue their JWTs.
    pub issuer_keys: Arc<IssuerKeys>,
    /// How many deletes may be under way, with those that are.
    pub places: Arc<Places>,
    /// The limits, with what is used of them.
    pub limits: Arc<Limits>,
    /// Who else counts them.
    pub limit_store: Option<Arc<SharedStore>>,
    /// The tokens, with what is known of them.
    pub tokens: Arc<Tokens>,
    /// Where spans go, if deletes are traced.
    pub traces: Option<Arc<Exporter>>,
    /// How SMH is reached.
    pub upstream: Settings,
    /// The configuration that all this was made of.
    pub snapshot: Arc<Snapshot>,
    /// The last one that fitted the listeners that run: this one, unless listeners wait for a restart.
    fitted: Arc<Snapshot>,
    /// Since when these files are in force.
    pub since: SystemTime,
}

/// Where a gateway is between its start and its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Accepts and serves.
    Serving,
    /// Still accepts, but asks not to be sent more: readiness says 503.
    Leaving,
    /// Accepts no more, and finishes what is in flight.
    Draining,
    /// Nothing is finished any more.
    Over,
}

impl Phase {
    /// The word for it in the status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Over => "over",
        }
    }
}

/// Shared by all workers and the admin listener.
pub struct Gateway {
    in_force: ArcSwap<InForce>,
    /// Held by the one who replaces what is in force, or a part of it.
    changing: Mutex<()>,
    keyring: Mutex<Keyring>,
    listeners: Vec<Arc<Listener>>,
    guesses: Guesses,
    complaints: Complaints,
    /// What cannot change without a restart is as it is in here.
    started_with: Arc<Snapshot>,
    metrics: Arc<Metrics>,
    /// Put there before anything is served.
    audit: OnceLock<Arc<Audit>>,
    alarms: Alarms,
    glance: Glance,
    in_flight: Tally,
    connections: Tally,
    phase: watch::Sender<Phase>,
    /// How much is to be said of rare events; `None`: as the environment has it.
    log_level: watch::Sender<Option<Level>>,
    /// Whether an operator asked it to leave.
    told_to_leave: watch::Sender<bool>,
    /// Whether it ever had all that deletes need.
    was_ready: AtomicBool,
    started: SystemTime,
}

impl Gateway {
    /// Reads the secrets that the snapshot refers to. One that cannot be read is logged, and
    /// [`Gateway::pending`] until it can.
    #[must_use]
    pub fn new(snapshot: Arc<Snapshot>, listeners: Vec<Arc<Listener>>) -> Arc<Self> {
        let complaints = Complaints::default();
        let mut round = complaints.round();
        let metrics = Arc::new(Metrics::new());
        for listener in listeners.iter().filter(|listener| listener.tls.is_some()) {
            metrics.identity.has_tls(&listener.at.to_string());
        }
        let nothing = Before {
            limit_store: None,
            traces: None,
            limits: &Limits::new(Vec::new(), Sharing::Alone, Instant::now()),
            places: &Places::default(),
            tokens: &Tokens::none(&metrics),
            issuer_keys: &IssuerKeys::default(),
            upstream: &snapshot.upstream,
            keyring: &Mutex::default(),
            fitted: &snapshot,
        };
        let grantees = snapshot.grantees();
        let (in_force, keyring) =
            nothing.succeeded_by(Arc::clone(&snapshot), &grantees, &metrics, &mut round);
        round.end();
        let in_flight = in_force.places.all().clone();
        let log_level = snapshot.log.level;
        Arc::new(Self {
            in_force: ArcSwap::from_pointee(in_force),
            changing: Mutex::default(),
            keyring: Mutex::new(keyring),
            listeners,
            guesses: Guesses::new(Instant::now()),
            complaints,
            started_with: snapshot,
            metrics,
            audit: OnceLock::new(),
            alarms: Alarms::default(),
            glance: Glance::default(),
            in_flight,
            connections: Tally::default(),
            phase: watch::Sender::new(Phase::Serving),
            log_level: watch::Sender::new(log_level),
            told_to_leave: watch::Sender::new(false),
            was_ready: AtomicBool::new(false),
            started: SystemTime::now(),
        })
    }

    /// What decides now.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        Guard::into_inner(self.in_force.load())
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The journal, if there is one.
    #[must_use]
    pub fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.get()
    }

    /// Opens the journal that the configuration names. To be called once, before anything is served.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`audit::StartError`].
    pub fn open_journal(&self) -> Result<(), audit::StartError> {
        let snapshot = &self.started_with;
        if let Some(plan) = &snapshot.audit {
            let metrics = self.metrics.audit.clone();
            let audit = Audit::start(plan.clone(), &snapshot.sha256, metrics)?;
            let _ = self.audit.set(Arc::new(audit));
        }
        Ok(())
    }

    /// What operators must hear of.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    /// What they see of deletes.
    #[must_use]
    pub fn glance(&self) -> &Glance {
        &self.glance
    }

    /// Where callers come in.
    #[must_use]
    pub fn listeners(&self) -> &[Arc<Listener>] {
        &self.listeners
    }

    /// Who presented wrong credentials lately. Outlives a reload.
    #[must_use]
    pub fn guesses(&self) -> &Guesses {
        &self.guesses
    }

    /// Deletes being worked on.
    #[must_use]
    pub fn in_flight(&self) -> &Tally {
        &self.in_flight
    }

    /// Connections of callers.
    #[must_use]
    pub fn connections(&self) -> &Tally {
        &self.connections
    }

    /// When this process began to be a gateway.
    #[must_use]
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The phase, to be watched.
    #[must_use]
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// How much the configuration in force has to be said, to be watched.
    #[must_use]
    pub fn log_level(&self) -> watch::Receiver<Option<Level>> {
        self.log_level.subscribe()
    }

    /// Whether it was told to leave, so that nobody should keep a connection for more.
    pub fn is_leaving(&self) -> bool {
        *self.phase.borrow() >= Phase::Leaving
    }

    /// Goes on to a later phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }

    /// Asks whoever runs this gateway to end it, as a signal would. Once is as good as many times.
    pub fn tell_to_leave(&self) {
        self.told_to_leave.send_replace(true);
    }

    /// Waits until it is asked to leave.
    pub async fn told_to_leave(&self) {
        // The sender is in here, and so outlives the wait.
        let _ = self.told_to_leave.subscribe().wait_for(|told| *told).await;
    }

    /// What must still be had before deletes can be carried out, in words.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let in_force = self.in_force.load();
        let tokens = in_force.tokens.pending().into_iter();
        let keyring = self.keyring.lock();
        let keys = keyring.pending().map(|caller| format!("API key of caller {}", caller.name));
        let issuers =
            in_force.issuer_keys.pending().map(|issuer| format!("keys of JWT issuer {issuer}"));
        let tokens = tokens.map(|library| format!("token of library {library}"));
        tokens.chain(keys).chain(issuers).collect()
    }

    /// Whether it may be sent deletes. What a change of the configuration adds does not make a gateway
    /// unready that was ready: one edit would take all replicas out of service at once.
    pub fn is_ready(&self) -> bool {
        let had_all = self.was_ready.load(Ordering::Relaxed) || self.pending().is_empty();
        if had_all {
            self.was_ready.store(true, Ordering::Relaxed);
        }
        had_all && *self.phase.borrow() == Phase::Serving
    }

    /// Reads the secrets again. Blocks on files, so not for a thread that serves.
    pub fn refresh_secrets(&self) {
        let _turn = self.changing.lock();
        let mut round = self.complaints.round();
        let in_force = self.in_force();
        in_force.tokens.refresh(&mut |library, result| match result {
            Ok(()) => tracing::info!(%library, "another token was read from its source"),
            Err(error) => round.unreadable("token of library", library.as_str(), &error),
        });
        let sources = self.keyring.lock().sources();
        let read = read_all(sources);
        let mut keyring = self.keyring.lock();
        let changed = keyring.take(read, &mut |caller, error| {
            round.unreadable("API key of caller", caller.name.as_str(), error);
        });
        if changed {
            let authenticator = Arc::new(keyring.authenticator());
            self.in_force.store(Arc::new(InForce { authenticator, ..InForce::clone(&in_force) }));
            tracing::info!("another API key was read from its file");
        }
        drop(keyring);
        self.refresh_certificates(&mut round);
        round.end();
    }

    fn refresh_certificates(&self, round: &mut Round<'_>) {
        for listener in &self.listeners {
            let Some(tls) = &listener.tls else { continue };
            let name = listener.at.to_string();
            let (refreshed, wrong) = tls.refresh();
            match refreshed {
                Refreshed::Unchanged => {}
                Refreshed::Unsettled => round.still("TLS of listener", &name),
                Refreshed::Taken => {
                    self.metrics.identity.tls_reloaded(&name, true);
                    tracing::info!(listener = name, "other TLS files are in force");
                }
            }
            if let Some(error) = wrong
                && round.unusable("TLS of listener", &name, &error)
            {
                self.metrics.identity.tls_reloaded(&name, false);
            }
        }
    }
}
