//! The whole configuration, checked and compiled. Immutable, and without any state.

mod policy;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::AuditPlan;
use crate::authenticate::Credential;
use crate::config::gateway_file::{Admin, LogPlan, RateLimitHeaders, Shutdown};
use crate::config::lint::Places;
use crate::config::watched::Watched;
use crate::delete::Paths;
use crate::directory::{Caller, Library, Tenant, UserIdRule};
use crate::ids::{CallerName, LibraryId, TenantName};
use crate::issuer_keys::{IssuerPlan, JwksSource};
use crate::limit_store::{StoreAt, StorePlan};
use crate::limits::{LimitRule, Sharing};
use crate::listener::{At, Bounds, Group, PerAddress, Plan};
use crate::policy::Policy;
use crate::secret::{REDACTED, Source};
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

    /// Everything, for people: references to secrets as they stand, secrets as `[redacted]`.
    #[must_use]
    pub fn redacted(&self) -> Value {
        let libraries = self.libraries.iter().map(|configured| {
            let ConfiguredLibrary { library, token, max_in_flight } = configured;
            let value = json!({
                "url": library.origin.to_string(),
                "recycle_bin": library.recycle_bin.as_str(),
                "token": token_source(token),
                "max_in_flight": max_in_flight,
            });
            (library.id.to_string(), value)
        });
        let tenants = self.tenants.iter().map(|tenant| {
            let value = json!({
                "library": tenant.library.id.as_str(),
                "space": tenant.space.as_str(),
                "user_id": user_id(&tenant.user_id),
            });
            (tenant.name.to_string(), value)
        });
        let callers = self.callers.iter().map(|ConfiguredCaller { caller, credentials }| {
            let tenants: Vec<_> = caller.tenants().iter().map(ToString::to_string).collect();
            let ways: Vec<_> = credentials.iter().map(way).collect();
            (caller.name.to_string(), json!({ "credentials": ways, "tenants": tenants }))
        });
        json!({
            "listeners": self.listeners.iter().map(listener).collect::<Vec<_>>(),
            "admin": {
                "address": self.admin.address,
                "socket": self.admin.socket.as_ref().map(|socket| socket.path.display().to_string()),
                "allow_quit": self.admin.allow_quit,
            },
            "rate_limit_store": self.limit_store.as_ref().map(limit_store),
            "audit": self.audit.as_ref().map(audit),
            "rate_limit_state": self.limit_state.as_ref().map(|path| path.display().to_string()),
            "ratelimit_headers": self.limit_headers.as_str(),
            "upstream": {
                "connect_timeout": format!("{:?}", self.upstream.connect_timeout),
                "timeout": format!("{:?}", self.upstream.timeout),
                "max_in_flight": self.max_in_flight,
                "ease_off": self.ease_off,
                "private_addresses": self.upstream.private_addresses.as_str(),
            },
            "libraries": object(libraries),
            "tenants": object(tenants),
            "callers": object(callers),
            "jwt_issuers": object(self.issuers.iter().map(issuer)),
            "workers": self.workers,
            "shutdown": {
                "delay": format!("{:?}", self.shutdown.delay),
                "drain": format!("{:?}", self.shutdown.drain),
            },
            "log": { "level": self.log.level.map(|level| level.as_str().to_ascii_lowercase()) },
            "traces": self.traces.as_ref().map(traces),
            "undo": self.undo.as_ref().map(undo),
            "policy": policy::shown(&self.policy, &self.limits),
            "policy_tests": self.policy_tests.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
            "sha256": self.sha256,
        })
    }
}

fn object(entries: impl Iterator<Item = (String, Value)>) -> Value {
    Value::Object(entries.collect())
}

fn reference(source: &Source) -> Value {
    match source {
        Source::Environment(name) => json!({ "env": name }),
        Source::File(path) => json!({ "file": path.display().to_string() }),
    }
}

fn traces(plan: &TracesPlan) -> Value {
    let collector = &plan.collector;
    let headers = collector.headers.iter();
    json!({
        "otlp": {
            // Its path may hold what only its owner should know.
            "url": collector.origin.to_string(),
            "ca_file": collector.ca_file.as_ref().map(|path| path.display().to_string()),
            "bearer_token": collector.bearer_token.as_ref().map(reference),
            "headers": object(headers.map(|(name, source)| (name.to_string(), reference(source)))),
        },
        "sample": plan.sample.to_string(),
        "service_name": plan.service,
        "attributes": object(plan.attributes.iter().map(|(name, value)| (name.clone(), json!(value)))),
    })
}

fn undo(plan: &UndoPlan) -> Value {
    let libraries = plan.tokens.iter();
    let libraries = libraries.map(|(id, source)| (id.to_string(), token_source(source)));
    json!({
        "file": plan.file.as_ref().map(|path| path.display().to_string()),
        "libraries": object(libraries),
    })
}

fn token_source(source: &TokenSource) -> Value {
    match source {
        TokenSource::Given(source) => reference(source),
        TokenSource::Minted(plan) => json!({ "mint": {
            "library_secret": reference(&plan.library_secret),
            "period": format!("{:?}", plan.period),
            "grant": plan.grant.as_str(),
            "max_age": format!("{:?}", plan.max_age),
        }}),
    }
}

fn limit_store(plan: &StorePlan) -> Value {
    let (kind, service) = match &plan.at {
        StoreAt::Single(_) => ("single", None),
        StoreAt::Cluster(_) => ("cluster", None),
        StoreAt::Sentinel { service, .. } => ("sentinel", Some(service)),
    };
    json!({
        "redis": {
            "kind": kind,
            "urls": plan.at.urls().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "service": service,
            "username": plan.username,
            "password": plan.password.as_ref().map(reference),
            "ca_file": plan.ca_file.as_ref().map(|path| path.display().to_string()),
            "key_prefix": plan.prefix,
            "response_timeout": format!("{:?}", plan.response_timeout),
        },
        "when_unavailable": plan.when_unavailable.as_str(),
        "replicas": plan.replicas,
    })
}

fn audit(plan: &AuditPlan) -> Value {
    let time = |time: Option<Duration>| time.map(|time| format!("{time:?}"));
    json!({
        "file": plan.file.display().to_string(),
        "durability": plan.durability.as_str(),
        "when_unavailable": plan.when_unavailable.as_str(),
        "rotate": { "bytes": plan.rotate.bytes, "age": time(plan.rotate.age) },
        "keep": { "files": plan.keep.files, "age": time(plan.keep.age) },
        "compress": plan.compress,
    })
}

fn listener(plan: &Plan) -> Value {
    let path = |path: &Path| path.display().to_string();
    let tls = plan.tls.as_ref().map(|tls| {
        json!({
            "certificate": path(&tls.certificate),
            "private_key": path(&tls.private_key),
            "client_ca": tls.client_ca.as_deref().map(path),
        })
    });
    let mut shown = match &plan.at {
        At::Tcp(address) => json!({ "address": address, "tls": tls }),
        At::Unix(unix) => json!({
            "unix": path(&unix.path),
            "mode": format!("{:04o}", unix.mode),
            "group": unix.group.as_ref().map(|group| match group {
                Group::Name(name) => name.clone(),
                Group::Id(id) => id.to_string(),
            }),
        }),
    };
    let Bounds { connections, per_address, streams, head_bytes, .. } = plan.bounds;
    let (PerAddress::All(per_address) | PerAddress::Others(per_address)) = per_address;
    let time = |time: Duration| json!(format!("{time:?}"));
    if let Value::Object(shown) = &mut shown {
        shown.extend([
            ("smh_paths".to_owned(), json!(plan.paths == Paths::OwnAndSmh)),
            ("connections".to_owned(), json!(connections)),
            ("streams".to_owned(), json!(streams)),
            ("head_bytes".to_owned(), json!(head_bytes)),
            ("connections_per_address".to_owned(), json!(per_address)),
            ("head_timeout".to_owned(), time(plan.bounds.head_timeout)),
            ("idle_timeout".to_owned(), time(plan.bounds.idle_timeout)),
            ("answer_timeout".to_owned(), time(plan.bounds.answer_timeout)),
            ("max_age".to_owned(), time(plan.bounds.max_age)),
        ]);
    }
    shown
}

fn issuer(plan: &IssuerPlan) -> (String, Value) {
    let IssuerPlan { terms, jwks } = plan;
    let jwks = match jwks {
        JwksSource::File(path) => json!({ "file": path.display().to_string() }),
        JwksSource::Url(url) => json!({
            // Its path and query may hold what only its owner should know.
            "url": url.origin.to_string(),
            "ca_file": url.ca_file.as_ref().map(|path| path.display().to_string()),
            "bearer_token": url.bearer_token.as_ref().map(reference),
        }),
    };
    let value = json!({
        "issuer": terms.issuer,
        "audience": terms.audiences,
        "algorithms": terms.algorithms.iter().map(|a| a.as_str()).collect::<Vec<_>>(),
        "jwks": jwks,
    });
    (terms.name.to_string(), value)
}

fn way(credential: &Credential) -> Value {
    match credential {
        Credential::Digest(_) => json!({ "api_key": { "sha256": REDACTED } }),
        Credential::Key(source) => json!({ "api_key": reference(source) }),
        Credential::SpiffeId(pattern) => json!({ "spiffe_id": pattern.to_string() }),
        Credential::Jwt(rule) => json!({ "jwt": {
            "issuer": &*rule.issuer,
            "subject": &*rule.subject,
            "claims": rule.claims.iter().map(|claim| &claim.name).collect::<Vec<_>>(),
        }}),
        Credential::Loopback => json!({ "trust": "loopback" }),
    }
}

fn user_id(rule: &UserIdRule) -> Value {
    match rule {
        UserIdRule::Forward => json!("forward"),
        UserIdRule::Forbid => json!("forbid"),
        UserIdRule::Fixed(user) => json!({ "fixed": user.as_str() }),
    }
}
