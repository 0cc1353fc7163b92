//! What operators see at a glance and no metric tells: how deletes ended and how soon, since the start, and which
//! were refused or went wrong last. Outlives a reload. A delete that passes costs one addition here, and no
//! allocation.

use std::array;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use crate::delete::DeletePath;
use crate::ids::{CallerName, RequestId};
use crate::refusal::{Code, Outcome, Refusal};

/// How a delete ended, in as many kinds as can be told apart in a chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// SMH answered 200 or 204.
    Deleted,
    /// SMH answered 404.
    Absent,
    /// SMH answered something else, and that was relayed.
    OtherAnswer,
    /// The gateway refused it: a 4xx of its own.
    Refused,
    /// It could not be carried out, and SMH certainly did not act.
    Failed,
    /// It was sent, and no whole answer came.
    Unknown,
}

impl End {
    /// Each of them, in the order of a chart.
    pub const ALL: [Self; 6] = [
        Self::Deleted,
        Self::Absent,
        Self::OtherAnswer,
        Self::Refused,
        Self::Failed,
        Self::Unknown,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Absent => "absent",
            Self::OtherAnswer => "other_answer",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether SMH answered.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        matches!(self, Self::Deleted | Self::Absent | Self::OtherAnswer)
    }

    /// Of an answer of SMH's.
    #[must_use]
    pub const fn of_answer(status: u16) -> Self {
        match status {
            200 | 204 => Self::Deleted,
            404 => Self::Absent,
            _ => Self::OtherAnswer,
        }
    }

    /// Of an answer of ours.
    #[must_use]
    pub fn of_refusal(refusal: &Refusal) -> Self {
        match refusal.outcome() {
            Outcome::Unknown => Self::Unknown,
            Outcome::NotSent if refusal.code().status().is_client_error() => Self::Refused,
            Outcome::NotSent => Self::Failed,
        }
    }
}

/// A delete that an operator may want to look at.
#[derive(Debug)]
pub struct Noted {
    /// When it ended.
    pub at: SystemTime,
    /// Its request.
    pub id: RequestId,
    /// Who asked, once that was known.
    pub caller: Option<CallerName>,
    /// For which tenant: as the caller wrote it, unless it was permitted.
    pub tenant: Option<String>,
    /// For which file.
    pub path: Option<DeletePath>,
    /// Whether a permanent delete was asked for.
    pub is_permanent: bool,
    /// Why it is noted.
    pub why: Why,
}

/// Why a delete is noted.
#[derive(Debug)]
pub enum Why {
    /// It was refused, or could not be carried out.
    Refused {
        /// As the caller was told.
        refusal: Box<Refusal>,
        /// What went wrong on the way to SMH, which the caller was not told.
        cause: Option<String>,
    },
    /// SMH destroyed a file that should have gone to the recycle bin.
    Irreversible,
    /// SMH knows no such library, space or route.
    Misdirected,
}

/// What is seen so far.
pub struct Glance {
    /// By how it ended, then by how soon.
    ended: [[AtomicU64; WITHIN_MS.len() + 1]; End::ALL.len()],
    /// By code: a flood of one leaves the others in sight.
    refused: [Latest; Code::ALL.len()],
    irreversible: Latest,
    misdirected: Latest,
}

/// The latest of one kind, and how many there were in all.
#[derive(Default)]
struct Latest {
    total: AtomicU64,
    kept: Mutex<VecDeque<Arc<Noted>>>,
}

impl Glance {
    /// Counts a delete.
    pub fn ended(&self, end: End, took: Duration) {
        let is_within = |most: &u64| took <= Duration::from_millis(*most);
        let within = WITHIN_MS.iter().position(is_within).unwrap_or(WITHIN_MS.len());
        if let Some(count) = self.ended.get(end as usize).and_then(|row| row.get(within)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Keeps what may be looked at, for a while.
    pub fn note(&self, noted: Noted) {
        let latest = match &noted.why {
            Why::Refused { refusal, .. } => self.refused.get(refusal.code() as usize),
            Why::Irreversible => Some(&self.irreversible),
            Why::Misdirected => Some(&self.misdirected),
        };
        if let Some(latest) = latest {
            latest.push(Arc::new(noted));
        }
    }

    /// How many ended so: for each of [`WITHIN_MS`] those that took no longer, but longer than the one before;
    /// then those that took even longer.
    #[must_use]
    pub fn count(&self, end: End) -> [u64; WITHIN_MS.len() + 1] {
        let row = self.ended.get(end as usize);
        array::from_fn(|at| {
            row.and_then(|row| row.get(at)).map_or(0, |count| count.load(Ordering::Relaxed))
        })
    }

    /// The latest that were refused or failed, the newest first.
    #[must_use]
    pub fn refusals(&self, most: usize) -> Vec<Arc<Noted>> {
        newest(self.refused.iter(), most)
    }

    /// The latest that an operator must hear of, the newest first.
    #[must_use]
    pub fn alarms(&self, most: usize) -> Vec<Arc<Noted>> {
        newest([&self.irreversible, &self.misdirected].into_iter(), most)
    }

    /// How many files SMH destroyed that should have gone to the recycle bin.
    #[must_use]
    pub fn irreversible(&self) -> u64 {
        self.irreversible.total.load(Ordering::Relaxed)
    }

    /// How many deletes went to a place that is not there.
    #[must_use]
    pub fn misdirected(&self) -> u64 {
        self.misdirected.total.load(Ordering::Relaxed)
    }
}

impl Default for Glance {
    fn default() -> Self {
        Self {
            ended: array::from_fn(|_| array::from_fn(|_| AtomicU64::default())),
            refused: array::from_fn(|_| Latest::default()),
            irreversible: Latest::default(),
            misdirected: Latest::default(),
        }
    }
}

impl Latest {
    fn push(&self, noted: Arc<Noted>) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.kept.lock();
        let oldest = if kept.len() >= MOST_KEPT { kept.pop_front() } else { None };
        kept.push_back(noted);
        drop(kept);
        drop(oldest); // Not while others wait.
    }
}

fn newest<'l>(latest: impl Iterator<Item = &'l Latest>, most: usize) -> Vec<Arc<Noted>> {
    let mut all = Vec::new();
    for latest in latest {
        all.extend(latest.kept.lock().iter().rev().cloned());
    }
    all.sort_by_key(|noted| std::cmp::Reverse(noted.at));
    all.truncate(most);
    all
}

/// How soon deletes end is told in these steps, in milliseconds.
pub const WITHIN_MS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// Of each kind. A path has at most 8 KiB, so all together are a few MiB at the worst.
const MOST_KEPT: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::UpstreamFault;

    fn refused(refusal: Refusal, seconds: u64) -> Noted {
        Noted {
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            id: RequestId::random(),
            caller: None,
            tenant: None,
            path: None,
            is_permanent: false,
            why: Why::Refused { refusal: Box::new(refusal), cause: None },
        }
    }

    fn seconds(noted: &[Arc<Noted>]) -> Vec<u64> {
        let since = |noted: &Arc<Noted>| noted.at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        noted.iter().map(|noted| since(noted).as_secs()).collect()
    }

    #[test]
    fn a_flood_of_one_kind_is_bounded_and_leaves_the_others_in_sight() {
        let glance = Glance::default();
        glance.note(refused(Refusal::TenantNotGranted, 1));
        for second in 2..=1_000 {
            glance.note(refused(Refusal::Overloaded, second));
        }
        let seen = seconds(&glance.refusals(usize::MAX));
        assert_eq!((seen.len(), seen[0], seen[MOST_KEPT]), (MOST_KEPT + 1, 1_000, 1));
        assert_eq!(seconds(&glance.refusals(2)), [1_000, 999]);
        assert!(glance.alarms(usize::MAX).is_empty());
    }

    #[test]
    fn each_is_counted_by_its_end_and_its_step() {
        let glance = Glance::default();
        glance.ended(End::of_answer(204), Duration::from_millis(1));
        glance.ended(End::of_answer(404), Duration::from_micros(1_001));
        glance.ended(End::of_answer(429), Duration::from_secs(60));
        let unknown = Refusal::Upstream(UpstreamFault::Timeout);
        glance.ended(End::of_refusal(&unknown), Duration::from_secs(10));
        for end in
            [End::of_refusal(&Refusal::TenantNotGranted), End::of_refusal(&Refusal::Overloaded)]
        {
            glance.ended(end, Duration::ZERO);
        }
        let at = |end| glance.count(end).iter().position(|count| *count == 1);
        let steps = [Some(0), Some(1), Some(13), Some(0), Some(0), Some(12)];
        assert_eq!(End::ALL.map(at), steps);
    }
}
