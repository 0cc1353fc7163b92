//! What the status says of deletes: how they ended, which were refused or went wrong last, what is frozen.

use serde_json::{Map, Value, json};

use crate::admin::configuration::rfc_3339;
use crate::gateway::{Gateway, InForce};
use crate::glance::{End, Noted, WITHIN_MS, Why};
use crate::ids::{CallerName, FreezeReason, LimitName, Ticket};
use crate::policy::Freeze;
use crate::refusal::Refusal;

/// How many ended how since the start, and how soon SMH's answers were there.
pub(super) fn deletes(gateway: &Gateway) -> Value {
    let glance = gateway.glance();
    let (mut ended, mut answered) = (Map::new(), [0; WITHIN_MS.len() + 1]);
    for end in End::ALL {
        let counts = glance.count(end);
        ended.insert(end.as_str().to_owned(), counts.iter().sum::<u64>().into());
        if end.is_answer() {
            answered.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }
    json!({
        "ended": ended,
        "answered_within_ms": WITHIN_MS,
        "answered": answered,
        "irreversible": glance.irreversible(),
        "misdirected": glance.misdirected(),
    })
}

/// The latest that were refused or failed, the newest first.
pub(super) fn refusals(gateway: &Gateway) -> Vec<Value> {
    gateway.glance().refusals(MOST_SHOWN).iter().map(|noted| shown(noted)).collect()
}

/// The latest that an operator must hear of, the newest first.
pub(super) fn alarms(gateway: &Gateway) -> Vec<Value> {
    gateway.glance().alarms(MOST_SHOWN).iter().map(|noted| shown(noted)).collect()
}

/// What is frozen: by the policy, and because of what SMH did.
pub(super) fn frozen(gateway: &Gateway, in_force: &InForce) -> Vec<Value> {
    let one = |what: &str, name: Option<&str>, freeze: &Freeze| {
        json!({
            "what": what,
            "name": name,
            "by": "policy",
            "reason": freeze.reason.as_ref().map(FreezeReason::as_str),
            "line": freeze.line,
        })
    };
    let freezes = &in_force.snapshot.policy.freezes;
    let everything = freezes.everything.iter().map(|freeze| one("everything", None, freeze));
    let callers = freezes.callers.iter();
    let callers = callers.map(|(name, freeze)| one("caller", Some(name.as_str()), freeze));
    let tenants = freezes.tenants.iter();
    let tenants = tenants.map(|(name, freeze)| one("tenant", Some(name.as_str()), freeze));
    let halts = gateway.alarms().halts();
    let halts = halts.iter().map(|tenant| {
        json!({
            "what": "tenant",
            "name": tenant.as_str(),
            "by": "irreversible_deletes",
            "reason": "SMH destroyed a file that should have gone to the recycle bin",
            "line": null,
        })
    });
    everything.chain(halts).chain(tenants).chain(callers).take(MOST_SHOWN).collect()
}

fn shown(noted: &Noted) -> Value {
    let mut shown = json!({
        "at": rfc_3339(noted.at),
        "request_id": noted.id.as_str(),
        "caller": noted.caller.as_ref().map(CallerName::as_str),
        "tenant": noted.tenant,
        "path": noted.path.as_ref().map(|path| cut(path.as_str())),
        "permanent": noted.is_permanent,
    });
    let why = match &noted.why {
        Why::Refused { refusal, cause } => refused(refusal, cause.as_deref()),
        Why::Irreversible => json!({ "what": "irreversible" }),
        Why::Misdirected => json!({ "what": "misdirected" }),
    };
    if let (Some(shown), Value::Object(why)) = (shown.as_object_mut(), why) {
        shown.extend(why);
    }
    shown
}

fn refused(refusal: &Refusal, cause: Option<&str>) -> Value {
    let reason = if let Refusal::Unauthenticated(fault) = refusal {
        // As in the log: the answer does not help to guess.
        fault.to_string()
    } else {
        refusal.to_string()
    };
    let cited = refusal.cited();
    json!({
        "status": refusal.code().status().as_u16(),
        "code": refusal.code().name(),
        "outcome": refusal.outcome().as_str(),
        "rule": cited.map(|cited| cited.rule.as_str()),
        "ticket": cited.and_then(|cited| cited.ticket.as_ref()).map(Ticket::as_str),
        "limit": refusal.limit().map(LimitName::as_str),
        "reason": reason,
        "cause": cause.map(cut),
    })
}

/// A caller does not choose how much there is to send.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Of each list.
const MOST_SHOWN: usize = 50;

/// Of a path or a cause.
const MOST_CHARACTERS: usize = 400;
