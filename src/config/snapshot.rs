//! The whole configuration, checked and compiled. Immutable, and without any state.

mod policy;
mod redacted;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::AuditPlan;
use crate::authenticate::Credential;
use crate::config::gateway_file::{Admin, RateLimitHeaders, Shutdown};
use crate::config::lint::Places;
use crate::config::log_file::LogPlan;
use crate::config::watched::Watched;
use crate::directory::{Caller, Library, Tenant};
use crate::ids::{CallerName, LibraryId, TenantName};
use crate::issuer_keys::IssuerPlan;
use crate::limit_store::StorePlan;
use crate::limits::{LimitRule, Sharing};
use crate::listener::Plan;
use crate::policy::Policy;
use crate::token::{Grantee, TokenSource};
use crate::traces::TracesPlan;
use crate::upstream::Settings;

/// What both files say, after every check.
#[derive(Debug)]
pub struct Snapshot {
    /// Where callers are listened for.
    pub listeners: Vec<Plan>,
    /// Where operators are.
    pub admin: Admin,
    /// The libraries.
    pub libraries: Vec<ConfiguredLibrary>,
    /// The tenants.
    pub tenants: Vec<Arc<Tenant>>,
    /// The callers.
    pub callers: Vec<ConfiguredCaller>,
    /// Who issues their JWTs.
    pub issuers: Vec<IssuerPlan>,
    /// What is allowed.
    pub policy: Policy,
    /// How much of it.
    pub limits: Vec<LimitRule>,
    /// Who else counts them; `None`: nobody.
    pub limit_store: Option<StorePlan>,
    /// Where what is used of them outlives the process.
    pub limit_state: Option<PathBuf>,
    /// Which answers say how they stand.
    pub limit_headers: RateLimitHeaders,
    /// How SMH is reached.
    pub upstream: Settings,
    /// Whether less is sent to a library that answers 429.
    pub ease_off: bool,
    /// Most deletes at once.
    pub max_in_flight: usize,
    /// Threads that serve.
    pub workers: NonZeroUsize,
    /// How to leave.
    pub shutdown: Shutdown,
    /// What is logged.
    pub log: LogPlan,
    /// Where the journal is, and how it is written; `None`: there is none.
    pub audit: Option<AuditPlan>,
    /// What `smh-gateway undo` works with, if it may.
    pub undo: Option<UndoPlan>,
    /// Where deletes are traced; `None`: nowhere.
    pub traces: Option<TracesPlan>,
    /// Where names are defined.
    pub lines: Lines,
    /// The same for whoever points at them.
    pub(super) places: Places,
    /// The file that was read.
    pub file: PathBuf,
    /// The policy file that it names, if it does.
    pub policy_file: Option<PathBuf>,
    /// The files of test cases that the policy was held to, or is to be.
    pub policy_tests: Vec<PathBuf>,
    /// Of the bytes of both files, one after the other, in hexadecimal digits.
    pub sha256: String,
    /// The files that it was made of, as they were read.
    pub watched: Watched,
}

/// What `smh-gateway undo` works with. Whoever serves reads none of these secrets.
#[derive(Debug)]
pub struct UndoPlan {
    /// Its own journal, where the file names one.
    pub file: Option<PathBuf>,
    /// Where the token comes from that restores, for each library that has one.
    pub tokens: Vec<(LibraryId, TokenSource)>,
}

/// On which line of gateway.yaml each name is defined, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lines {
    pub(super) libraries: HashMap<LibraryId, u32>,
    pub(super) tenants: HashMap<TenantName, u32>,
    pub(super) callers: HashMap<CallerName, u32>,
}

impl Lines {
    /// Where a library is defined.
    #[must_use]
    pub fn library(&self, id: &LibraryId) -> Option<u32> {
        self.libraries.get(id).copied()
    }

    /// Where a tenant is defined.
    #[must_use]
    pub fn tenant(&self, name: &TenantName) -> Option<u32> {
        self.tenants.get(name).copied()
    }

    /// Where a caller is defined.
    #[must_use]
    pub fn caller(&self, name: &CallerName) -> Option<u32> {
        self.callers.get(name).copied()
    }
}

/// A library and where its token comes from.
#[derive(Debug)]
pub struct ConfiguredLibrary {
    /// The library.
    pub library: Arc<Library>,
    /// Where its token comes from.
    pub token: TokenSource,
    /// Most deletes in it at once.
    pub max_in_flight: usize,
}

/// A caller and how it proves who it is.
#[derive(Debug)]
pub struct ConfiguredCaller {
    /// The caller.
    pub caller: Arc<Caller>,
    /// Any of these is enough.
    pub credentials: Vec<Credential>,
}

impl Snapshot {
    /// Where each library's token comes from.
    pub fn token_sources(&self) -> impl Iterator<Item = (Arc<Library>, TokenSource)> {
        self.libraries.iter().map(|one| (Arc::clone(&one.library), one.token.clone()))
    }

    /// How many deletes each library may have under way.
    pub fn shares(&self) -> impl Iterator<Item = (LibraryId, usize)> {
        self.libraries.iter().map(|one| (one.library.id.clone(), one.max_in_flight))
    }

    /// Every pair of a caller and a tenant granted to it, in the order of the file.
    #[must_use]
    pub fn grantees(&self) -> Vec<Grantee> {
        let numbered = self.tenants.iter().zip(0_usize..);
        let places: HashMap<_, _> = numbered.map(|(tenant, at)| (&tenant.name, at)).collect();
        let granted = |caller: &Arc<Caller>| {
            let tenants = caller.tenants().iter().filter_map(|name| places.get(name).copied());
            let mut tenants: Vec<_> = tenants.collect();
            tenants.sort_unstable();
            let tenants = tenants.into_iter().filter_map(|at| self.tenants.get(at));
            tenants.map(|tenant| (Arc::clone(caller), Arc::clone(tenant))).collect::<Vec<_>>()
        };
        self.callers.iter().flat_map(|one| granted(&one.caller)).collect()
    }

    /// Every way in which a caller proves who it is.
    pub fn credentials(&self) -> impl Iterator<Item = (Arc<Caller>, Credential)> {
        self.callers.iter().flat_map(|one| {
            one.credentials.iter().map(|way| (Arc::clone(&one.caller), way.clone()))
        })
    }

    /// Who else counts the limits.
    #[must_use]
    pub fn sharing(&self) -> Sharing {
        self.limit_store.as_ref().map_or(Sharing::Alone, |plan| Sharing::Among(plan.replicas))
    }
}
