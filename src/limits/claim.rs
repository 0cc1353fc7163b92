//! What a store that several gateways share is to charge for one delete, and what it said.

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::ids::LimitName;
use crate::limits::key::{Key, Per};
use crate::limits::limit::Limit;
use crate::limits::quota::{Quota, nanos};
use crate::limits::standing::Standing;
use crate::limits::{Admission, Limits, ShadowLimits, Standings, is_shadow};
use crate::policy::Permit;
use crate::refusal::Refusal;

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
    /// What was used without the store, in nanoseconds: it is added to what it knows.
    pub owed: u64,
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
    /// What a shared store is to charge for a delete, and will within this time or never: meanwhile what
    /// is known here to be used grows back.
    ///
    /// What becomes of it is to be told to [`Limits::settle`], or to [`Limits::unsettled`].
    #[must_use]
    pub fn claim(&self, permit: &Permit, within: Duration, now: Instant) -> Claim {
        self.claimed(permit, within, now, Limit::take_owed)
    }

    /// The same, to look only.
    #[must_use]
    pub fn question(&self, permit: &Permit, within: Duration, now: Instant) -> Claim {
        self.claimed(permit, within, now, |_, _, _| 0)
    }

    fn claimed(
        &self,
        permit: &Permit,
        within: Duration,
        now: Instant,
        owed: impl Fn(&Limit, &Key, u64) -> u64,
    ) -> Claim {
        let within = nanos(within);
        let (subject, at) = (permit.subject(), self.at(now));
        let claimed = self.about(&subject).map(|(position, limit)| {
            let key = limit.rule.per.key(&subject);
            Claimed {
                position,
                limit: limit.rule.name.clone(),
                per: limit.rule.per,
                key,
                quota: limit.quota,
                floor: limit.floor(&key, at).saturating_sub(within),
                owed: owed(limit, &key, at),
                enforced: !is_shadow(limit, permit),
            }
        });
        Claim { claimed: claimed.collect(), at }
    }

    /// A claim for one key of one limit, to look at it.
    #[must_use]
    pub fn claim_of(
        &self,
        name: &LimitName,
        key: Key,
        within: Duration,
        now: Instant,
    ) -> Option<Claim> {
        let found = self.limits.iter().enumerate().find(|(_, limit)| limit.rule.name == *name);
        let (position, limit) = found?;
        let at = self.at(now);
        let floor = limit.floor(&key, at).saturating_sub(nanos(within));
        let limit = Claimed {
            position,
            limit: name.clone(),
            per: limit.rule.per,
            key,
            quota: limit.quota,
            floor,
            owed: 0,
            enforced: true,
        };
        Some(Claim { claimed: SmallVec::from_iter([limit]), at })
    }

    /// The store did not answer a claim.
    pub fn unsettled(&self, claim: &Claim) {
        for claimed in claim.iter() {
            if let Some(limit) = self.limits.get(claimed.position) {
                limit.owe_again(&claimed.key, claimed.owed, claim.at);
            }
        }
    }

    /// What [`Limits::settle`] would refuse with. Keeps nothing.
    #[must_use]
    pub fn would_settle(&self, claim: &Claim, verdicts: &[Verdict]) -> Option<Refusal> {
        let refused =
            claim.iter().zip(verdicts).filter(|(_, verdict)| verdict.taken == Taken::Refused);
        let exhausted = refused.filter_map(|(claimed, verdict)| {
            let wait = claimed.quota.charge(verdict.used).err().unwrap_or(Duration::ZERO);
            Some(self.limits.get(claimed.position)?.rule.exhausted(wait))
        });
        let longest = exhausted.max_by_key(|exhausted| exhausted.wait)?;
        Some(Refusal::RateLimited(Box::new(longest)))
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
        let refused = verdicts.iter().any(|verdict| verdict.taken == Taken::Refused);
        for (claimed, verdict) in claim.iter().zip(verdicts) {
            let Some(limit) = self.limits.get(claimed.position) else { continue };
            let charged = !refused && verdict.taken == Taken::Charged;
            let used = verdict.used.saturating_add(u64::from(charged) * claimed.quota.interval());
            // It counts from when the claim was made, which is before the store looked at its clock, and
            // was rounded up.
            let at_least = used.saturating_sub(ROUNDED_BY);
            let warns = limit.see(&claimed.key, at_least, charged, claim.at);
            warned.extend(warns.then(|| claimed.limit.clone()));
            if !charged {
                limit.owe_again(&claimed.key, claimed.owed, claim.at);
            }
            match verdict.taken {
                Taken::Charged if charged => {
                    standings.push(Standing::new(claimed.position, claimed.quota, used));
                }
                Taken::Shadow if !refused => shadow.push(claimed.limit.clone()),
                Taken::Charged | Taken::Shadow | Taken::Granted | Taken::Refused => {}
            }
        }
        match self.would_settle(claim, verdicts) {
            Some(refusal) => Err(refusal),
            None => Ok(Admission { permit, shadow, warned, standings }),
        }
    }
}
