//! A configuration as people may see it.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::AuditPlan;
use crate::authenticate::Credential;
use crate::config::snapshot::{ConfiguredCaller, ConfiguredLibrary, Snapshot, UndoPlan, policy};
use crate::delete::Paths;
use crate::directory::UserIdRule;
use crate::issuer_keys::{IssuerPlan, JwksSource};
use crate::limit_store::{StoreAt, StorePlan};
use crate::listener::{At, Bounds, Group, PerAddress, Plan};
use crate::secret::{REDACTED, Source};
use crate::token::TokenSource;
use crate::traces::TracesPlan;

impl Snapshot {
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
