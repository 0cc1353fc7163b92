//! What a store that several gateways share is to charge for one delete, and what it said.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::ids::LimitName;
use crate::limits::key::{Key, Per};
use crate::limits::quota::Quota;
use crate::limits::standing::Standing;
use crate::limits::{Admission, Limits, ShadowLimits, Standings, is_shadow};
use crate::policy::Permit;
use crate::refusal::{Exhausted, Refusal};

/// Every limit that is about one delete.
#[derive(Debug)]
pub struct Claim {
    claimed: SmallVec<[Claimed; 4]>,
    /// When it was made, as the limits count time.
    at: u64,
}

/// One of them.
#[derive(Debug)]
pub struct Claimed {
    position: usize,
    /// Its name.
    pub limit: LimitName,
    /// What it counts for each of.
    pub per: Per,
    /// Whose share it is.
    pub key: Key,
    /// How much there is of it.
    pub quota: Quota,
    /// What is to be taken for used at least, in nanoseconds: the store may have lost what it knew.
    pub floor: u64,
    /// Whether it refuses where there is no room.
    pub enforced: bool,
}

/// What the store said of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What was used before, in nanoseconds, rounded up.
    pub used: u64,
    /// Whether it was charged.
    pub taken: Taken,
}

/// What became of one limit's charge. Where any is refused, none was charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// There was room.
    Charged,
    /// There was none, and it is not enforced.
    Shadow,
    /// There was none, and an operator had granted more.
    Granted,
    /// There was none.
    Refused,
}

impl Claim {
    /// Its limits, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Claimed> {
        self.claimed.iter()
    }

    /// Whether no limit is about the delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claimed.is_empty()
    }
}

/// What a verdict may be too high by, in nanoseconds.
const ROUNDED_BY: u64 = 1_000;

impl Limits {
    /// What a shared store is to charge for a delete.
    #[must_use]
    pub fn claim(&self, permit: &Permit, now: Instant) -> Claim {
        let (subject, at) = (permit.subject(), self.at(now));
        let claimed = self.about(&subject).map(|(position, limit)| {
            let key = limit.rule.per.key(&subject);
            Claimed {
                position,
                limit: limit.rule.name.clone(),
                per: limit.rule.per,
                key,
                quota: limit.quota,
                floor: limit.floor(&key, at),
                enforced: !is_shadow(limit, permit),
            }
        });
        Claim { claimed: claimed.collect(), at }
    }

    /// A claim for one key of one limit, to look at it.
    #[must_use]
    pub fn claim_of(&self, name: &LimitName, key: Key, now: Instant) -> Option<Claim> {
        let found = self.limits.iter().enumerate().find(|(_, limit)| limit.rule.name == *name);
        let (position, limit) = found?;
        let at = self.at(now);
        let floor = limit.floor(&key, at);
        let limit = Claimed {
            position,
            limit: name.clone(),
            per: limit.rule.per,
            key,
            quota: limit.quota,
            floor,
            enforced: true,
        };
        Some(Claim { claimed: SmallVec::from_iter([limit]), at })
    }

    /// Makes an admission of what the shared store said to a claim, and keeps what it said for when it
    /// does not answer.
    ///
    /// # Errors
    /// As [`Limits::admit`].
    pub fn settle(
        &self,
        permit: Permit,
        claim: &Claim,
        verdicts: &[Verdict],
    ) -> Result<Admission, Refusal> {
        let (mut shadow, mut warned) = (ShadowLimits::new(), ShadowLimits::new());
        let mut standings = Standings::new();
        let mut longest: Option<Exhausted> = None;
        let refused = verdicts.iter().any(|verdict| verdict.taken == Taken::Refused);
        for (claimed, verdict) in claim.iter().zip(verdicts) {
            let Some(limit) = self.limits.get(claimed.position) else { continue };
            let charged = !refused && verdict.taken == Taken::Charged;
            let used = verdict.used.saturating_add(u64::from(charged) * claimed.quota.interval());
            // The store looked at its clock after the claim was made, and rounded up: what is remembered is
            // never more than what it knows, or each delete would make the limit a little stricter.
            let surely = used.saturating_sub(ROUNDED_BY);
            let warns = limit.see(&claimed.key, surely, charged, claim.at);
            warned.extend(warns.then(|| claimed.limit.clone()));
            match verdict.taken {
                Taken::Charged if charged => {
                    standings.push(Standing::new(claimed.position, claimed.quota, used));
                }
                Taken::Shadow if !refused => shadow.push(claimed.limit.clone()),
                Taken::Refused => {
                    let wait = claimed.quota.charge(verdict.used).err().unwrap_or(Duration::ZERO);
                    if longest.as_ref().is_none_or(|longest| longest.wait < wait) {
                        longest = Some(limit.rule.exhausted(wait));
                    }
                }
                Taken::Charged | Taken::Shadow | Taken::Granted => {}
            }
        }
        match longest {
            Some(exhausted) => Err(Refusal::RateLimited(Box::new(exhausted))),
            None => Ok(Admission { permit, shadow, warned, standings }),
        }
    }
}
