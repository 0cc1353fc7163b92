//! What came of it, for people and for programs.

use serde_json::{Value, json};

use crate::replay::{Change, Changes, Example, Group, Key, Totals};

impl Totals {
    /// What happened, in a line.
    #[must_use]
    pub fn past(&self) -> String {
        let (Some(first), Some(last)) = (&self.first, &self.last) else {
            return "no delete was decided in what was read".to_owned();
        };
        let denied = self.deletes - self.were_allowed;
        let deletes = if self.deletes == 1 { "delete" } else { "deletes" };
        format!(
            "{} {deletes} from {first} to {last}: allowed {}, denied {}",
            grouped(self.deletes),
            grouped(self.were_allowed),
            grouped(denied)
        )
    }

    /// How many change, in a line.
    #[must_use]
    pub fn changed(&self, change: Change) -> String {
        let (count, decision) = match change {
            Change::NowDenied => (self.now_denied, "denied"),
            Change::NowAllowed => (self.now_allowed, "allowed"),
        };
        let all = grouped(self.deletes);
        format!("{} of {all} deletes would now be {decision}", grouped(count))
    }

    /// Those that change because of who and where, and not of what the policy says: apart, so that a
    /// caller who has left does not hide what a rule does.
    #[must_use]
    pub fn apart(&self) -> Vec<String> {
        let lines = [
            (self.unknown_caller, "by callers that are not configured any more"),
            (self.not_granted, "in tenants that are not granted, or not configured, any more"),
        ];
        let lines = lines.into_iter().filter(|(count, _)| *count > 0);
        lines.map(|(count, which)| format!("{} of them {which}", grouped(count))).collect()
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "deletes": self.deletes,
            "first": self.first,
            "last": self.last,
            "were_allowed": self.were_allowed,
            "are_allowed": self.are_allowed,
            "now_denied": self.now_denied,
            "unknown_caller": self.unknown_caller,
            "not_granted": self.not_granted,
            "now_allowed": self.now_allowed,
            "dry_runs": self.dry_runs,
            "undecided": self.undecided,
        })
    }
}

impl Changes {
    /// For programs: one way.
    #[must_use]
    pub fn to_json(&self, change: Change) -> Value {
        let group = |(key, group): (&Key, &Group)| {
            json!({
                "caller": key.caller,
                "tenant": key.tenant,
                "code": key.code,
                "rule": key.rule,
                "deletes": group.deletes,
                "examples": group.examples.iter().map(example).collect::<Vec<_>>(),
            })
        };
        let groups: Vec<_> = self.groups(change).into_iter().map(group).collect();
        json!({ "groups": groups, "others": self.others(change) })
    }
}

fn example(example: &Example) -> Value {
    json!({
        "time": example.time,
        "path": example.path,
        "permanent": example.permanent,
        "request_id": example.request_id,
    })
}

/// `9,120`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
