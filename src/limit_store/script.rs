//! The one script: how claims are put to it, and what is made of its answer.

use std::collections::HashMap;
use std::fmt::Write;

use redis::Cmd;
use sha1_smol::Sha1;
use smallvec::SmallVec;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Charge,
    Look,
}

/// What a store says of all limits of a claim, in their order.
pub type Verdicts = SmallVec<[Verdict; 4]>;

pub(super) const TEXT: &str = include_str!("charge.lua");

impl Script {
    pub(super) fn new(prefix: &str) -> Self {
        Self { sha1: Sha1::from(TEXT).digest().to_string(), prefix: format!("{{{prefix}}}") }
    }

    /// A run of the script, which the server knows by name unless it has lost it.
    pub(super) fn by_name(&self, run: &Run) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.sha1);
        run.complete(command)
    }

    /// The same, and brings the script along.
    pub(super) fn whole(run: &Run) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(TEXT);
        run.complete(command)
    }

    /// All that the script does, to see whether it can: a charge to a limit that has always room.
    pub(super) fn proof(&self) -> Run {
        let mut run = Run { keys: vec![format!("{}:proof", self.prefix)], deletes: Vec::new() };
        run.begin(Purpose::Charge, 1);
        run.charge(1, [1_000, 1_000_000, 0, 0], true);
        run
    }

    /// Charges or looks at some claims, one after the other.
    pub(super) fn run<'c>(&self, claims: impl Iterator<Item = (&'c Claim, Purpose)>) -> Run {
        let mut run = Run::default();
        let mut numbers: HashMap<(&LimitName, Per, &Key), u32, foldhash::fast::RandomState> =
            HashMap::default();
        for (claim, purpose) in claims {
            run.begin(purpose, claim.iter().len());
            for Claimed { limit, per, key, quota, floor, owed, enforced, .. } in claim.iter() {
                let number = *numbers.entry((limit, *per, key)).or_insert_with(|| {
                    run.keys.push(self.state(limit, *per, key));
                    count(run.keys.len())
                });
                run.charge(number, [quota.interval(), quota.whole(), *floor, *owed], *enforced);
            }
        }
        run
    }

    /// Where the state of one limit is kept.
    fn state(&self, limit: &LimitName, per: Per, key: &Key) -> String {
        let mut name = String::with_capacity(192);
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
        name
    }

    /// Where what an operator granted beyond it is kept: the script knows it by that name.
    pub(super) fn granted(&self, limit: &LimitName, per: Per, key: &Key) -> String {
        self.state(limit, per, key) + ":grant"
    }
}

/// What the script is given.
#[derive(Default)]
pub(super) struct Run {
    keys: Vec<String>,
    deletes: Vec<u8>,
}

impl Run {
    fn begin(&mut self, purpose: Purpose, limits: usize) {
        self.deletes.push(u8::from(purpose == Purpose::Look));
        self.deletes.extend(count(limits).to_le_bytes());
    }

    fn charge(&mut self, key: u32, nanoseconds: [u64; 4], enforced: bool) {
        self.deletes.extend(key.to_le_bytes());
        for number in nanoseconds {
            #[expect(clippy::cast_precision_loss, reason = "a year has fewer than 2^55 of them")]
            let microseconds = number as f64 / 1_000.0;
            self.deletes.extend(microseconds.to_le_bytes());
        }
        self.deletes.push(u8::from(enforced));
    }

    fn complete(&self, mut command: Cmd) -> Cmd {
        command.arg(self.keys.len()).arg(&self.keys).arg(&self.deletes);
        command
    }
}

/// The limits of a policy, which is a file of 4 MiB at most, times the deletes of one run.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What the script says of one claim, checked as if it came from anybody.
///
/// # Errors
/// [`StoreFault::Garbage`].
pub fn verdicts(claim: &Claim, told: &[i64]) -> Result<Verdicts, StoreFault> {
    if told.len() != claim.iter().len() {
        return Err(StoreFault::Garbage);
    }
    let verdict = |(told, claimed): (&i64, &Claimed)| {
        let told = u64::try_from(*told).map_err(|_| StoreFault::Garbage)?;
        let used = (told / 4).saturating_mul(1_000);
        let taken = match (told % 4, claimed.enforced) {
            (0, _) => Taken::Charged,
            (1, false) => Taken::Shadow,
            (2, true) => Taken::Granted,
            (3, true) => Taken::Refused,
            _ => return Err(StoreFault::Garbage),
        };
        // Rounded up to a microsecond, it is no more than there is, no less than what we said, and what was
        // charged found room.
        let Claimed { quota, floor, owed, .. } = claimed;
        let at_least = floor.saturating_add(*owed).min(quota.whole());
        let makes_sense = used <= quota.whole().saturating_add(1_000)
            && used.saturating_add(1_000) >= at_least
            && (taken != Taken::Charged || quota.charge(used.saturating_sub(1_000)).is_ok());
        if makes_sense { Ok(Verdict { used, taken }) } else { Err(StoreFault::Garbage) }
    };
    told.iter().zip(claim.iter()).map(verdict).collect()
}
