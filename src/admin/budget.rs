//! `GET /api/limits`: what is used of each limit; and `POST /api/budget`: a one-time raise.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admin::{self, Admin};
use crate::directory::Fingerprint;
use crate::gateway::InForce;
use crate::ids::LimitName;
use crate::limit_store::{ShareOf, StoreFault};
use crate::limits::{Key, LimitRule, Limits, Per};
use crate::log::JsonLine;
use crate::refusal::render::whole_seconds;

/// What an operator grants beyond a limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    limit: String,
    caller: Option<String>,
    tenant: Option<String>,
    library: Option<String>,
    user_id: Option<String>,
    /// Those without one are counted together.
    #[serde(default)]
    no_user_id: bool,
    add: u32,
    seconds: u64,
    reason: String,
}

impl Admin {
    /// Every limit, with those who used most of it.
    pub(super) async fn limits(&self) -> Value {
        let in_force = self.gateway.in_force();
        let names = Names::of(&in_force);
        let mut used_by = self.shares(&in_force).await.into_iter().peekable();
        let mut shown = Vec::new();
        for rule in in_force.limits.rules() {
            let mut keys = Vec::new();
            while let Some(share) = used_by.next_if(|share| std::ptr::eq(share.rule, rule)) {
                keys.push(share.shown(&names));
            }
            shown.push(json!({
                "name": rule.name.as_str(),
                "per": rule.per.words().collect::<Vec<_>>(),
                "limit": rule.rate.to_string(),
                "burst": rule.burst,
                "mode": rule.mode.as_str(),
                "warn_at_percent": rule.warn_at,
                "used_by": keys,
            }));
        }
        let store = in_force.limit_store.as_ref().map(|store| {
            let status = store.status();
            json!({
                "connected_workers": status.connected,
                "last_fault": status.last_fault.map(|(fault, _)| fault.as_str()),
                "when_unavailable": store.plan().when_unavailable.as_str(),
            })
        });
        json!({ "limits": shown, "store": store })
    }

    /// The shares of which most is used, in the order of the limits: as the shared store says, asked for
    /// all of them at once, or as it is known here.
    async fn shares<'f>(&self, in_force: &'f InForce) -> Vec<Share<'f>> {
        let (limits, now) = (&in_force.limits, Instant::now());
        let mut shares: Vec<_> = limits.rules().flat_map(|rule| used_most(limits, rule)).collect();
        let Some(store) = &in_force.limit_store else { return shares };
        let within = store.plan().response_timeout;
        let claim = |share: &Share<'_>| limits.claim_of(&share.rule.name, share.key, within, now);
        // Of each: it is one of these limits.
        let looks = self.limit_store.look(store, shares.iter().filter_map(claim).collect()).await;
        let of = |share: &'_ Share<'f>| (&share.rule.name, share.rule.per, share.key);
        let of: Vec<_> = shares.iter().map(of).collect();
        let of: Vec<ShareOf<'_>> = of.iter().map(|(name, per, key)| (*name, *per, key)).collect();
        let granted = self.limit_store.granted(store, &of).await;
        for (share, verdict) in shares.iter_mut().zip(looks) {
            if let Some(verdict) = verdict {
                (share.used, share.known_by) = (verdict.used, KnownBy::Store);
            }
        }
        match granted {
            Ok(granted) => shares.iter_mut().zip(granted).for_each(|(share, granted)| {
                share.granted = granted;
            }),
            // Unknown, which is shown by who knows.
            Err(_) => shares.iter_mut().for_each(|share| share.known_by = KnownBy::Gateway),
        }
        shares
    }

    /// Returns how many are granted now, and for how long.
    async fn put_in_force(
        &self,
        in_force: &InForce,
        rule: &LimitRule,
        key: Key,
        add: u32,
        lasts: Duration,
    ) -> Result<(i64, Duration), NotGranted> {
        let Some(store) = &in_force.limit_store else {
            let granted = in_force.limits.grant(&rule.name, key, add, lasts, Instant::now());
            return if granted { Ok((i64::from(add), lasts)) } else { Err(NotGranted::TooMany) };
        };
        let granted = self.limit_store.grant(store, (&rule.name, rule.per, &key), add, lasts).await;
        granted.map_err(|fault| match fault.charged_nothing() {
            true => NotGranted::NotTold(fault),
            false => NotGranted::Unknown(fault),
        })
    }

    /// Grants so many deletes beyond a limit. `by` is who is at the other end of the socket.
    pub(super) async fn grant(&self, body: Incoming, by: u32) -> Response<Bytes> {
        let granted = match admin::whole_body(body, MAX_BODY_BYTES).await {
            Ok(body) => self.granted(&body, by).await,
            Err(error) => Err(error),
        };
        match granted {
            Ok(granted) => admin::json(StatusCode::OK, &granted),
            Err(error) => admin::json(StatusCode::BAD_REQUEST, &json!({ "error": error })),
        }
    }

    async fn granted(&self, body: &[u8], by: u32) -> Result<Value, String> {
        let grant: Grant = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let in_force = self.gateway.in_force();
        let known = || in_force.limits.rules().map(|rule| rule.name.as_str()).collect::<Vec<_>>();
        let rule = LimitName::try_from(grant.limit.as_str())
            .ok()
            .and_then(|name| in_force.limits.rule(&name))
            .ok_or_else(|| {
                format!("no limit is called `{}`; there are {:?}", grant.limit, known())
            })?;
        let names = Names::of(&in_force);
        let key = names.key(rule, &grant)?;
        if grant.add == 0 || grant.seconds == 0 || grant.seconds > MOST_SECONDS {
            return Err("`add` is at least 1, and the time from 1 second to 7 days".to_owned());
        }
        let reason = grant.reason.trim();
        if reason.is_empty() || reason.len() > 256 || reason.chars().any(char::is_control) {
            return Err("`reason` says why, in at most 256 bytes on one line".to_owned());
        }
        let lasts = Duration::from_secs(grant.seconds);
        let of = names.of_key(rule.per, key);
        let granted = self.put_in_force(&in_force, rule, key, grant.add, lasts).await;
        let is_known = !matches!(granted, Err(NotGranted::Unknown(_)));
        if granted.is_ok() || !is_known {
            self.gateway.metrics().policy.granted(&rule.name);
            tracing::warn!(
                target: "smh_gateway::audit",
                limit = %rule.name, of = %of, add = grant.add, seconds = grant.seconds, reason,
                operator_uid = by, is_known, "deletes beyond a limit were granted"
            );
            if let Some(audit) = self.gateway.audit() {
                let granted = if is_known { "yes" } else { "unknown" };
                audit.note(|buffer| grant.record((&of, reason, granted, by), buffer));
            }
        }
        let (left, lasts) = granted.map_err(|error| error.to_string())?;
        Ok(json!({
            "limit": rule.name.as_str(), "of": of, "granted_left": left,
            "for_seconds": whole_seconds(lasts),
        }))
    }
}

impl Grant {
    /// For the journal: whose share it is, why, whether it is in force, and who granted it.
    fn record(&self, (of, reason, granted, by): (&Value, &str, &str, u32), buffer: &mut Vec<u8>) {
        let mut line = JsonLine::new(buffer);
        line.now().text("event", "grant").text("limit", &self.limit);
        for word in ["caller", "tenant", "library", "user_id"] {
            line.text_if(word, of.get(word).and_then(Value::as_str));
        }
        line.number("add", u64::from(self.add)).number("seconds", self.seconds);
        line.text("reason", reason).text("granted", granted);
        line.number("operator_uid", u64::from(by));
        line.end();
    }
}

/// Why deletes were not granted, as far as is known.
#[derive(Debug, thiserror::Error)]
enum NotGranted {
    #[error("there are too many grants at once")]
    TooMany,
    #[error("the rate limit store was not told: {0}")]
    NotTold(StoreFault),
    #[error("it is not known whether it was granted ({0}): see `budget show` before you try again")]
    Unknown(StoreFault),
}

/// The names behind fingerprints, as far as they are configured.
struct Names<'c> {
    in_force: &'c InForce,
    callers: HashMap<Fingerprint, &'c str>,
    tenants: HashMap<Fingerprint, &'c str>,
    libraries: HashMap<Fingerprint, &'c str>,
}

impl<'c> Names<'c> {
    fn of(in_force: &'c InForce) -> Self {
        let snapshot = &in_force.snapshot;
        let callers = snapshot.callers.iter().map(|one| &one.caller);
        Self {
            in_force,
            callers: callers.map(|one| (one.fingerprint, one.name.as_str())).collect(),
            tenants: snapshot.tenants.iter().map(|t| (t.fingerprint, t.name.as_str())).collect(),
            libraries: snapshot
                .libraries
                .iter()
                .map(|one| (one.library.fingerprint, one.library.id.as_str()))
                .collect(),
        }
    }

    /// Whose share it is. A user is not known by name: it is shown by its fingerprint.
    fn of_key(&self, per: Per, key: Key) -> Value {
        let mut shown = serde_json::Map::new();
        let named = |names: &HashMap<Fingerprint, &str>, part: Option<Fingerprint>| {
            part.map(|part| names.get(&part).map_or_else(|| part.to_string(), |n| (*n).to_owned()))
        };
        let user = key.user_id.map_or("none".to_owned(), |user| format!("#{user}"));
        for (word, name) in [
            ("caller", named(&self.callers, key.caller)),
            ("tenant", named(&self.tenants, key.tenant)),
            ("library", named(&self.libraries, key.library)),
            ("user_id", per.user_id.then_some(user)),
        ] {
            shown.extend(name.map(|name| (word.to_owned(), Value::String(name))));
        }
        Value::Object(shown)
    }

    /// The share that a grant is for: it names just what the limit is `per`.
    fn key(&self, rule: &LimitRule, grant: &Grant) -> Result<Key, String> {
        let snapshot = &self.in_force.snapshot;
        let Per { caller, tenant, library, user_id } = rule.per;
        let part = |is_counted: bool,
                    word: &str,
                    given: &Option<String>,
                    known: &dyn Fn(&str) -> bool| {
            match (is_counted, given) {
                (false, None) => Ok(None),
                (true, Some(name)) if known(name) => Ok(Some(Fingerprint::of(name))),
                (true, Some(name)) => Err(format!("no {word} is called `{name}`")),
                (true, None) => Err(format!("the limit `{}` is per {word}: say which", rule.name)),
                (false, Some(_)) => Err(format!("the limit `{}` is not per {word}", rule.name)),
            }
        };
        let is_caller =
            |name: &str| snapshot.callers.iter().any(|one| one.caller.name.as_str() == name);
        let is_tenant = |name: &str| snapshot.tenants.iter().any(|one| one.name.as_str() == name);
        let is_library =
            |name: &str| snapshot.libraries.iter().any(|one| one.library.id.as_str() == name);
        Ok(Key {
            caller: part(caller, "caller", &grant.caller, &is_caller)?,
            tenant: part(tenant, "tenant", &grant.tenant, &is_tenant)?,
            library: part(library, "library", &grant.library, &is_library)?,
            user_id: match (user_id, grant.no_user_id) {
                (true, true) if grant.user_id.is_none() => None,
                (_, true) => return Err(format!("the limit `{}` is not per user_id", rule.name)),
                (_, false) => part(user_id, "user_id", &grant.user_id, &|_| true)?,
            },
        })
    }
}

/// What is used of one limit by one of those that it is per.
struct Share<'f> {
    rule: &'f LimitRule,
    key: Key,
    /// Nanoseconds.
    used: u64,
    /// How many deletes are left of what was granted, and for how long.
    granted: Option<(i64, Duration)>,
    known_by: KnownBy,
}

/// Who says so.
#[derive(Clone, Copy)]
enum KnownBy {
    /// The store that all gateways share.
    Store,
    /// This gateway, of what it has seen.
    Gateway,
}

impl KnownBy {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Gateway => "gateway",
        }
    }
}

impl Share<'_> {
    fn shown(&self, names: &Names<'_>) -> Value {
        let (rule, used) = (self.rule, self.used);
        let quota = rule.quota();
        let mut shown = names.of_key(rule.per, self.key);
        let parts = json!({
            "used": quota.used(used),
            "left": quota.left(used),
            "used_percent": quota.used(used) * 100 / u64::from(rule.burst.get()),
            "whole_in_seconds": whole_seconds(Duration::from_nanos(used)),
            "known_by": self.known_by.as_str(),
            "granted": self.granted.map(|(left, lasts)| json!({
                "left": left, "for_seconds": whole_seconds(lasts),
            })),
        });
        if let (Some(shown), Value::Object(parts)) = (shown.as_object_mut(), parts) {
            shown.extend(parts);
        }
        shown
    }
}

/// Those of which most is used, and those with a grant, as far as it is known here.
fn used_most<'f>(limits: &Limits, rule: &'f LimitRule) -> Vec<Share<'f>> {
    let now = Instant::now();
    let share = |(key, used)| Share { rule, key, used, granted: None, known_by: KnownBy::Gateway };
    let mut shares: Vec<_> = limits.keys_used(&rule.name, now).into_iter().map(share).collect();
    for (grant, lasts) in limits.grants(now) {
        if grant.limit != rule.name {
            continue;
        }
        let position = shares.iter().position(|share| share.key == grant.key);
        let position = position.unwrap_or_else(|| {
            shares.push(share((grant.key, limits.used(&rule.name, &grant.key, now))));
            shares.len() - 1
        });
        if let Some(share) = shares.get_mut(position) {
            let (before, longest) = share.granted.unwrap_or_default();
            share.granted = Some((before + i64::from(grant.left), longest.max(lasts)));
        }
    }
    shares.sort_by_key(|share| (std::cmp::Reverse(share.used), share.key));
    shares.truncate(MOST_SHOWN);
    shares
}

/// Of each limit.
const MOST_SHOWN: usize = 100;

const MOST_SECONDS: u64 = 7 * 24 * 60 * 60;

const MAX_BODY_BYTES: usize = 16 * 1024;
