//! The one script: how a claim is put to it, and what is made of its answer.

use std::fmt::Write;

use redis::Cmd;
use sha1_smol::Sha1;

use crate::ids::LimitName;
use crate::limit_store::fault::StoreFault;
use crate::limits::{Claim, Claimed, Key, Per, Taken, Verdict};

pub(super) struct Script {
    sha1: String,
    /// What every key begins with. The braces hold all keys of a delete, and so all keys there are, in one
    /// slot of a cluster.
    prefix: String,
}

/// Whether a claim is charged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Charge,
    Look,
}

pub(super) const TEXT: &str = include_str!("charge.lua");

impl Script {
    pub(super) fn new(prefix: &str) -> Self {
        Self { sha1: Sha1::from(TEXT).digest().to_string(), prefix: format!("{{{prefix}}}") }
    }

    /// Names the script, which the server knows unless it has lost it.
    pub(super) fn by_name(&self, claim: &Claim, purpose: Purpose) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha1);
        self.complete(command, claim, purpose)
    }

    /// Brings the script along.
    pub(super) fn whole(&self, claim: &Claim, purpose: Purpose) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(TEXT);
        self.complete(command, claim, purpose)
    }

    fn complete(&self, mut command: Cmd, claim: &Claim, purpose: Purpose) -> Cmd {
        command.arg(claim.iter().len());
        let mut name = String::with_capacity(192);
        for Claimed { limit, per, key, .. } in claim.iter() {
            name.clear();
            self.write_state(&mut name, limit, *per, key);
            command.arg(&name);
        }
        command.arg(u8::from(purpose == Purpose::Look));
        for Claimed { quota, floor, enforced, .. } in claim.iter() {
            command.arg(quota.interval()).arg(quota.whole()).arg(*floor).arg(u8::from(*enforced));
        }
        command
    }

    /// What is written to see whether anything can be.
    pub(super) fn proof(&self) -> String {
        format!("{}:proof", self.prefix)
    }

    /// Where the state of one limit is kept.
    fn write_state(&self, name: &mut String, limit: &LimitName, per: Per, key: &Key) {
        name.push_str(&self.prefix);
        name.push_str(":limit:");
        name.push_str(limit.as_str());
        name.push(':');
        for (index, word) in per.words().enumerate() {
            name.push_str(if index == 0 { "" } else { "," });
            name.push_str(word);
        }
        // Writing to a string cannot fail.
        let _ = write!(name, ":{key}");
    }

    /// Where what an operator granted beyond it is kept: the script knows it by that name.
    pub(super) fn granted(&self, limit: &LimitName, per: Per, key: &Key) -> String {
        let mut name = String::new();
        self.write_state(&mut name, limit, per, key);
        name.push_str(":grant");
        name
    }
}

/// What the script says, checked as if it came from anybody.
pub(super) fn verdicts(claim: &Claim, told: &[i64]) -> Result<Vec<Verdict>, StoreFault> {
    if told.len() != claim.iter().len() * 2 {
        return Err(StoreFault::Garbage);
    }
    let verdict = |(pair, claimed): (&[i64], &Claimed)| {
        let [used, taken] = pair else { return Err(StoreFault::Garbage) };
        let used = u64::try_from(*used).map_err(|_| StoreFault::Garbage)?.saturating_mul(1_000);
        let taken = match (*taken, claimed.enforced) {
            (0, _) => Taken::Charged,
            (1, false) => Taken::Shadow,
            (2, true) => Taken::Granted,
            (3, true) => Taken::Refused,
            _ => return Err(StoreFault::Garbage),
        };
        // Rounded up to a microsecond, it is no more than there is, no less than what we said, and what was
        // charged found room.
        let Claimed { quota, floor, .. } = claimed;
        let makes_sense = used <= quota.whole().saturating_add(1_000)
            && used.saturating_add(1_000) >= *floor
            && (taken != Taken::Charged || quota.charge(used.saturating_sub(1_000)).is_ok());
        if makes_sense { Ok(Verdict { used, taken }) } else { Err(StoreFault::Garbage) }
    };
    told.chunks_exact(2).zip(claim.iter()).map(verdict).collect()
}
