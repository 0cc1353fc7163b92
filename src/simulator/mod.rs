//! A simulated SMH, in memory: for tests, for `smh-gateway demo`, and, as `smh-gateway simulate`,
//! for trying things out.
//!
//! It shares no code with the rest of the crate, so that no mistake is shared either: it decodes
//! targets by rules of its own, and where SMH's documents are silent it is as dangerous as the real
//! one may be. A request that climbs out of its space by `..` really empties the recycle bin here;
//! see [`Behaviour`].
//!
//! # Control over HTTP
//!
//! Unless it is switched off ([`Simulator::without_control`]), requests below `/_simulator/` set
//! the simulator up and show what it did. They need no credential: serve them on loopback only.
//! Bodies and answers are JSON.
//!
//! | request | body or answer |
//! | --- | --- |
//! | `POST /_simulator/libraries` | `{"id":"smh1","secret":"…","tenancy":"single","recycle_bin":{"on":{"retention_days":30}}}` |
//! | `PUT /_simulator/recycle-bin` | `{"library":"smh1","recycle_bin":"off"}` |
//! | `PUT /_simulator/behaviour` | the fields of [`Behaviour`], as in `{"dot_segments":"literal"}`; those left out return to their defaults |
//! | `POST /_simulator/spaces` | `{"library":"smh1","space":"space1"}` |
//! | `POST /_simulator/files` | `{"library":"smh1","space":"space1","paths":["a/b.txt"]}` |
//! | `GET /_simulator/files?library=&space=` | `{"files":["a/b.txt"]}` |
//! | `GET /_simulator/recycled?library=&space=` | `{"recycled":[{"id":1,…}]}` |
//! | `POST /_simulator/tokens` | [`TokenSpec`], as in `{"library":"smh1","grants":["delete_file"],"period_seconds":60}`; answers `{"token":"…"}` |
//! | `GET /_simulator/tokens[?raw=1]` | the live tokens, their strings redacted unless raw |
//! | `DELETE /_simulator/tokens` | `{"token":"…"}` |
//! | `POST /_simulator/faults` | [`Injection`], as in `{"fault":{"slow_ms":500},"when":{"route":"delete_file"},"times":{"n":3},"every_nth":2}` |
//! | `DELETE /_simulator/faults` | clears them |
//! | `GET /_simulator/received[?raw=1]` | the record, without credentials and bodies unless raw |
//! | `DELETE /_simulator/received` | clears it |

mod access;
mod answer;
mod behaviour;
mod body;
mod clock;
mod control;
mod errors;
mod exchange;
mod faults;
mod library;
mod operations;
mod record;
mod redact;
mod routes;
mod serve;
mod space;
mod target;
mod tokens;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::Serialize;
use tracing::warn;

use exchange::Inner;
use space::Full;
use world::NotSetUp;

pub use behaviour::{
    BadPermanent, BatchThreshold, Behaviour, ContentCas, CredentialPlaces, DotSegments,
    ForeignToken, LibraryWideTokens, MintSpaceCheck, Renewal, RestoreDefault, SoftDeleteGrants,
    TokenPeriod, UnknownRevocation,
};
pub use faults::{Fault, Injection, Matcher, Times};
pub use library::{Library, RecycleBin, Tenancy};
pub use record::{Answered, Effect, Received};
pub use routes::RouteKind;
pub use tokens::{TokenInfo, TokenSpec};

/// A simulated SMH. Clones share one state.
///
/// Set-up calls that name a library which does not exist change nothing and log a warning.
#[derive(Clone)]
pub struct Simulator {
    inner: Arc<Mutex<Inner>>,
    control: Control,
}

/// An item of a recycle bin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecycledItem {
    /// Its `recycledItemId`.
    pub id: u64,
    /// The decoded path it had.
    pub original_path: String,
    /// When it was removed.
    #[serde(serialize_with = "control::as_timestamp")]
    pub removed_at: SystemTime,
    /// In whose name it was removed: the token's user, or, for an admin without one, the `user_id`
    /// parameter.
    pub removed_by: Option<String>,
}

/// Whether the control interface is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Control {
    On,
    Off,
}

impl Simulator {
    /// An SMH without libraries.
    pub fn new() -> Self {
        Self { inner: Arc::new(Mutex::new(Inner::new())), control: Control::On }
    }

    /// The same simulator without its control interface: what it serves is SMH's surface and
    /// nothing else. Other clones keep theirs.
    #[must_use]
    pub fn without_control(self) -> Self {
        Self { control: Control::Off, ..self }
    }

    /// Adds a library. One of the same id is replaced, with all that is in it.
    pub fn add_library(&self, library: Library) {
        warn_if_nothing_changed(self.inner.lock().world.add_library(library));
    }

    /// Switches the recycle bin of a library. What is in it stays, out of reach while it is off.
    pub fn set_recycle_bin(&self, library: &str, bin: RecycleBin) {
        warn_if_nothing_changed(self.inner.lock().world.set_recycle_bin(library, bin));
    }

    /// Changes the secret of a library, as a rotation does. Tokens minted with the old one live on.
    pub fn set_secret(&self, library: &str, secret: &str) {
        warn_if_nothing_changed(self.inner.lock().world.set_secret(library, secret));
    }

    /// Adds an empty space; one of that name stays as it is.
    pub fn add_space(&self, library: &str, space: &str) {
        warn_if_nothing_changed(self.inner.lock().world.ensure_space(library, space).map(|_| ()));
    }

    /// Adds a file by its decoded path, and what it needs: the directories above it, and the space.
    pub fn put_file(&self, library: &str, space: &str, path: &str) {
        warn_if_nothing_changed(self.try_put_file(library, space, path));
    }

    fn try_put_file(&self, library: &str, space: &str, path: &str) -> Result<(), NotSetUp> {
        let mut inner = self.inner.lock();
        let now = inner.clock.now();
        let space = inner.world.ensure_space(library, space)?;
        space.put_file(path, now).map_err(|Full| NotSetUp::Full)
    }

    /// The decoded paths of the files that are there, sorted; none for an unknown library or space.
    pub fn files(&self, library: &str, space: &str) -> Vec<String> {
        let inner = self.inner.lock();
        let space = inner.world.space(library, space);
        space.map(|space| space.paths().cloned().collect()).unwrap_or_default()
    }

    /// What is in the recycle bin, oldest first; nothing for an unknown library or space.
    pub fn recycled(&self, library: &str, space: &str) -> Vec<RecycledItem> {
        let mut inner = self.inner.lock();
        let now = inner.clock.now();
        let Ok(space) = inner.world.space_mut(library, space) else { return Vec::new() };
        space.forget_expired(now);
        space
            .recycled()
            .iter()
            .map(|(id, entry)| RecycledItem {
                id: *id,
                original_path: entry.original_path.clone(),
                removed_at: entry.removed.wall,
                removed_by: entry.removed_by.clone(),
            })
            .collect()
    }

    /// Makes a token, as a mint would, and returns its string.
    pub fn issue_token(&self, spec: TokenSpec) -> String {
        let mut inner = self.inner.lock();
        let now = inner.clock.now();
        inner.world.tokens.issue(spec, now)
    }

    /// Ends a token, if there is one.
    pub fn revoke_token(&self, token: &str) {
        self.inner.lock().world.tokens.revoke(token);
    }

    /// The tokens that are alive, sorted by their strings. Looking at them does not renew them.
    pub fn live_tokens(&self) -> Vec<TokenInfo> {
        let inner = self.inner.lock();
        inner.world.tokens.live(inner.clock.now())
    }

    /// Changes how the simulator behaves where SMH's documents are silent.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.inner.lock().world.behaviour = behaviour;
    }

    /// How the simulator behaves where SMH's documents are silent.
    pub fn behaviour(&self) -> Behaviour {
        self.inner.lock().world.behaviour.clone()
    }

    /// Sets a fault. Of several that are due for one request, the one set first hits it.
    pub fn inject(&self, fault: Injection) {
        self.inner.lock().faults.arm(fault);
    }

    /// Takes back all faults that are set.
    pub fn clear_faults(&self) {
        self.inner.lock().faults.clear();
    }

    /// The requests received, oldest first, without those to the control interface.
    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().record.all()
    }

    /// Forgets the requests received.
    pub fn clear_received(&self) {
        self.inner.lock().record.clear();
    }

    /// Keeps the newest so many requests from now on, instead of 100 000. Whatever the number,
    /// targets, header fields and bodies together take 256 MiB at most.
    pub fn keep_received(&self, newest: usize) {
        self.inner.lock().record.set_capacity(newest);
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its state is full of secrets.
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

fn warn_if_nothing_changed(changed: Result<(), NotSetUp>) {
    match changed {
        Ok(()) => {}
        Err(NotSetUp::NoSuchLibrary) => warn!("set-up of the simulator names no library it has"),
        Err(NotSetUp::Full) => warn!("the simulator is full: set-up changed nothing"),
    }
}

#[cfg(test)]
mod tests;
