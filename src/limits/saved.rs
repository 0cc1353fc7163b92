//! What is used of limits, as it outlives the process: `rate_limit_state`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::limits::key::Key;
use crate::limits::quota::{self, Quota};
use crate::limits::{LimitRule, Limits};

/// The form of the file. One of another form is not read.
const VERSION: u32 = 1;

/// What grows back faster than this is whole again after any restart.
const SHORTEST: Duration = Duration::from_secs(60);

/// What was used of all limits at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    version: u32,
    /// In milliseconds since 1970.
    at: u64,
    limits: Vec<SavedLimit>,
}

/// What was used of one limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedLimit {
    name: String,
    per: Vec<String>,
    /// Of how much, in nanoseconds.
    whole: u64,
    /// By key, in nanoseconds.
    used: BTreeMap<String, u64>,
}

impl SavedLimit {
    fn is_of(&self, rule: &LimitRule) -> bool {
        self.name == rule.name.as_str() && self.per.iter().map(String::as_str).eq(rule.per.words())
    }
}

impl Saved {
    /// Reads what was written.
    ///
    /// # Errors
    /// What is wrong with it, without anything that stands in it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let saved: Self = serde_json::from_slice(bytes).map_err(|error| {
            format!(
                "line {} column {}: it is not what was written there",
                error.line(),
                error.column()
            )
        })?;
        if saved.version != VERSION {
            return Err(format!(
                "it has version {}, and this program writes {VERSION}",
                saved.version
            ));
        }
        Ok(saved)
    }

    /// As JSON.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts and numbers alone: there is nothing here that JSON could not say.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Limits {
    /// What is used of every limit that takes longer than a minute to grow back.
    #[must_use]
    pub fn saved(&self, now: Instant, time: SystemTime) -> Saved {
        let now = self.at(now);
        let lasting = self.limits.iter().filter(|limit| is_lasting(limit.quota));
        let limits = lasting.map(|limit| {
            let mut used = BTreeMap::new();
            limit.each(now, |key, nanos| {
                used.insert(key.to_string(), nanos);
            });
            let per = limit.rule.per.words().map(str::to_owned).collect();
            let (name, whole) = (limit.rule.name.to_string(), limit.quota.whole());
            SavedLimit { name, per, whole, used }
        });
        Saved { version: VERSION, at: unix_millis(time), limits: limits.collect() }
    }

    /// Takes over what was used then, less what has grown back since. A clock that was set back in
    /// between lets nothing grow back.
    pub fn restore(&self, saved: &Saved, now: Instant, time: SystemTime) {
        let since = Duration::from_millis(unix_millis(time).saturating_sub(saved.at));
        let now = self.at(now);
        for limit in self.limits.iter().filter(|limit| is_lasting(limit.quota)) {
            let Some(old) = saved.limits.iter().find(|old| old.is_of(&limit.rule)) else {
                continue;
            };
            for (key, used) in &old.used {
                let Ok(key) = Key::try_from(key.as_str()) else { continue };
                let left = used.saturating_sub(quota::nanos(since)).min(old.whole);
                let share = u128::from(left) * u128::from(limit.quota.whole());
                let share = share.div_ceil(u128::from(old.whole.max(1)));
                limit.restore(&key, u64::try_from(share).unwrap_or(u64::MAX), now);
            }
        }
    }
}

fn is_lasting(quota: Quota) -> bool {
    quota.whole() >= quota::nanos(SHORTEST)
}

fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
