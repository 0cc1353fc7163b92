//! `GET /api/status`: what the gateway is doing.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Value, json};

use crate::admin::{self, configuration, seen};
use crate::config::ConfiguredLibrary;
use crate::directory::RecycleBin;
use crate::gateway::{Gateway, InForce};
use crate::ids::LibraryId;
use crate::issuer_keys::IssuerStatus;
use crate::places::ShareStatus;
use crate::reload::Reloads;
use crate::token::{MintError, SecretStatus, TokenSource, TokenStatus};

/// For programs, and for the page.
pub(super) fn status(gateway: &Gateway, reloads: &Reloads) -> Value {
    let (phase, ready) = (*gateway.phase().borrow(), gateway.is_ready());
    let (pending, in_force) = (gateway.pending(), gateway.in_force());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "phase": phase.as_str(),
        "ready": ready,
        "pending": pending,
        "uptime_seconds": admin::since(gateway.started()).as_secs(),
        "in_flight": gateway.in_flight().count(),
        "max_in_flight": in_force.snapshot.max_in_flight,
        "connections": gateway.connections().count(),
        "libraries": libraries(&in_force),
        "tokens": in_force.tokens.status().iter().map(token).collect::<Vec<_>>(),
        "library_secrets": in_force.tokens.secrets().iter().map(secret).collect::<Vec<_>>(),
        "deletes": seen::deletes(gateway),
        "latest_refusals": seen::refusals(gateway),
        "latest_alarms": seen::alarms(gateway),
        "frozen": seen::frozen(gateway, &in_force),
        "halted_tenants": gateway
            .alarms()
            .halts()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>(),
        "certificates": admin::certificates(gateway)
            .map(|(listener, days)| json!({ "listener": listener, "expires_in_days": days }))
            .collect::<Vec<_>>(),
        "jwt_issuers": in_force.issuer_keys.status().iter().map(issuer).collect::<Vec<_>>(),
        "audit": gateway.audit().map(|audit| {
            let status = audit.status();
            json!({ "head": status.head.to_string(), "fault": status.fault })
        }),
        "rate_limit_store": in_force.limit_store.as_ref().map(|store| {
            let status = store.status();
            json!({
                "connected_workers": status.connected,
                "last_fault": status.last_fault.map(|(fault, _)| fault.as_str()),
            })
        }),
        "config": configuration::status(gateway, reloads),
    })
}

fn issuer(issuer: &IssuerStatus) -> Value {
    json!({
        "name": issuer.name,
        "keys": issuer.keys,
        "seconds_since_fetched": issuer.age.map(|age| age.as_secs()),
        "last_error": issuer.last_error,
    })
}

fn libraries(in_force: &InForce) -> Vec<Value> {
    let configured: HashMap<_, _> =
        in_force.snapshot.libraries.iter().map(|one| (&one.library.id, one)).collect();
    in_force.places.status(Instant::now()).iter().map(|share| library(share, &configured)).collect()
}

fn library(share: &ShareStatus, configured: &HashMap<&LibraryId, &ConfiguredLibrary>) -> Value {
    let configured = configured.get(&share.library);
    json!({
        "library": share.library.as_str(),
        "url": configured.map(|one| one.library.origin.to_string()),
        "recycle_bin": configured.map(|one| match one.library.recycle_bin {
            RecycleBin::On => "on",
            RecycleBin::Off => "off",
        }),
        "token": configured.map(|one| match one.token {
            TokenSource::Given(_) => "given",
            TokenSource::Minted(_) => "minted",
        }),
        "in_flight": share.in_flight,
        "max_in_flight": share.most,
        "eased_to_per_second": share.eased_to,
    })
}

fn token(token: &TokenStatus) -> Value {
    json!({
        "caller": token.caller.as_str(),
        "tenant": token.tenant.as_str(),
        "age_seconds": token.age.map(|age| age.as_secs()),
        "expires_in_at_least_seconds": token.expires_in.map(|left| left.as_secs()),
        "failed_mints": token.failures,
        "last_error": token.last_error.map(MintError::name),
    })
}

fn secret(secret: &SecretStatus) -> Value {
    json!({
        "library": secret.library.as_str(),
        "in_force": secret.in_force,
        "new_secret_error": secret.new_secret_error.map(MintError::name),
    })
}
