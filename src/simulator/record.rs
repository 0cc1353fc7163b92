//! The record: every request as it came, and what became of it.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Version;
use serde::Serialize;

use crate::simulator::routes::RouteKind;

/// A request as the simulator received it. It holds secrets as they came: that is what tests look
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// Path and query exactly as received, nothing decoded; without a fragment, which hyper drops.
    pub target: String,
    /// The authority, where the target or an HTTP/2 pseudo-header named one.
    pub authority: Option<String>,
    /// The version of HTTP.
    pub version: Version,
    /// Header fields in the order received, their names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Bytes,
    /// What the request asked for; `None` if it was no route of SMH.
    pub route: Option<RouteKind>,
    /// What was answered.
    pub answered: Answered,
    /// What the request changed, in order; nothing for one that was refused.
    pub effects: Vec<Effect>,
    /// When it was received.
    pub time: SystemTime,
    /// The same, counted from the making of the simulator by tokio's clock, which tests can pause.
    pub since_start: Duration,
    /// The connection it came on: 1 for the first, and so on.
    pub connection: u64,
}

impl Received {
    /// The values of a header field, its name in lower case.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }
}

/// What was answered to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Nothing: it is still being worked on, or hangs, or its client went away.
    Nothing,
    /// A whole answer of this status.
    Status(u16),
    /// The status and half of the body; then the connection was cut.
    Partly(u16),
    /// The connection was cut without an answer.
    Cut,
}

/// A change that a request made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A file or directory went to the recycle bin.
    Recycled {
        /// Its decoded path.
        path: String,
        /// Its id in the bin.
        id: u64,
    },
    /// A file or directory is gone for good.
    Destroyed {
        /// Its decoded path.
        path: String,
    },
    /// An item of the recycle bin is back.
    Restored {
        /// Where it is now.
        path: String,
        /// The id it had in the bin.
        id: u64,
    },
    /// An item of the recycle bin is gone for good.
    Purged {
        /// The id it had in the bin.
        id: u64,
    },
    /// The recycle bin was emptied.
    BinEmptied {
        /// How many items are gone for good.
        items: usize,
    },
    /// The retention of a space was set.
    RetentionSet {
        /// The new term.
        days: u32,
    },
    /// A space was made.
    SpaceCreated {
        /// Its SpaceId.
        space: String,
    },
    /// A space is gone, with all that was in it.
    SpaceDeleted {
        /// Its SpaceId.
        space: String,
    },
    /// A token was made.
    TokenIssued,
    /// A token was renewed by request, not just by use.
    TokenRenewed,
    /// Tokens were ended.
    TokensRevoked {
        /// How many.
        count: usize,
    },
}

/// The newest requests.
pub(crate) struct Record {
    newest: VecDeque<Received>,
    /// The number of the first request that is still there.
    first: u64,
    bytes: usize,
    capacity: usize,
}

impl Record {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { newest: VecDeque::new(), first: 0, bytes: 0, capacity }
    }

    /// Keeps a request; its number, by which it can be amended.
    pub(crate) fn add(&mut self, received: Received) -> u64 {
        self.bytes = self.bytes.saturating_add(weight(&received));
        self.newest.push_back(received);
        let number = self.first.saturating_add(self.len()).saturating_sub(1);
        while self.newest.len() > self.capacity || self.bytes > MAX_BYTES {
            let Some(oldest) = self.newest.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(weight(&oldest));
            self.first = self.first.saturating_add(1);
        }
        number
    }

    /// Adds to a request what became known later; nothing, if it was forgotten in between.
    pub(crate) fn amend(&mut self, number: u64, amend: impl FnOnce(&mut Received)) {
        let position = number.checked_sub(self.first).and_then(|gap| usize::try_from(gap).ok());
        if let Some(received) = position.and_then(|position| self.newest.get_mut(position)) {
            amend(received);
        }
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.newest.iter().cloned().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Received> {
        self.newest.iter()
    }

    pub(crate) fn clear(&mut self) {
        // Numbers go on, so that a late amendment finds nothing instead of a stranger.
        self.first = self.first.saturating_add(self.len());
        self.newest.clear();
        self.bytes = 0;
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    fn len(&self) -> u64 {
        u64::try_from(self.newest.len()).unwrap_or(u64::MAX)
    }
}

fn weight(received: &Received) -> usize {
    let headers = received.headers.iter().map(|(name, value)| name.len() + value.len());
    received.target.len() + received.body.len() + headers.sum::<usize>()
}

/// How many requests are kept unless told otherwise.
pub(crate) const DEFAULT_CAPACITY: usize = 100_000;

/// What all targets, header fields and bodies in the record may take together.
const MAX_BYTES: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn received(target: &str) -> Received {
        Received {
            method: "DELETE".to_owned(),
            target: target.to_owned(),
            authority: None,
            version: Version::HTTP_11,
            headers: Vec::new(),
            body: Bytes::new(),
            route: None,
            answered: Answered::Nothing,
            effects: Vec::new(),
            time: SystemTime::UNIX_EPOCH,
            since_start: Duration::ZERO,
            connection: 1,
        }
    }

    #[test]
    fn the_record_keeps_the_newest_and_amends_only_what_it_still_has() {
        let mut record = Record::new(2);
        let numbers: Vec<u64> =
            ["/a", "/b", "/c"].iter().map(|target| record.add(received(target))).collect();

        for number in numbers {
            record.amend(number, |received| received.answered = Answered::Status(200));
        }

        let kept = record.all();
        assert_eq!(kept.iter().map(|kept| kept.target.as_str()).collect::<Vec<_>>(), ["/b", "/c"]);
        assert!(kept.iter().all(|kept| kept.answered == Answered::Status(200)));
    }

    #[test]
    fn a_late_amendment_does_not_touch_what_came_after_a_clearing() {
        let mut record = Record::new(2);
        let cleared = record.add(received("/a"));
        record.clear();
        record.add(received("/b"));

        record.amend(cleared, |received| received.answered = Answered::Cut);

        assert_eq!(record.all().first().map(|kept| kept.answered), Some(Answered::Nothing));
    }
}
