//! How soon the keeper may try again: after a mint that failed, and after a token was rejected.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::RngExt;
use tokio::time::Instant;

use crate::token::Issued;

/// What is going on for one pair.
pub(super) struct Work {
    pub(super) minting: bool,
    pub(super) not_before: Instant,
    pub(super) failures: u32,
    /// Replacements in a row that did not help: the new token was rejected as well.
    helpless: u32,
    /// The last replacement that did not help, so that it is counted once.
    helpless_with: Weak<Issued>,
    /// Until then, a rejected token is not replaced.
    no_replacement_before: Instant,
}

impl Work {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            minting: false,
            not_before: now,
            failures: 0,
            helpless: 0,
            helpless_with: Weak::new(),
            no_replacement_before: now,
        }
    }

    /// Whether a rejected token is worth replacing. A dead one is; but a path that SMH always answers
    /// with "Forbidden", or an SMH that takes no token at all, must not cause a mint for each delete.
    pub(super) fn may_replace(&self) -> bool {
        self.no_replacement_before <= Instant::now()
    }

    /// Learns whether a replacement helped the delete that it was made for.
    pub(super) fn replaced(&mut self, with: &Arc<Issued>, helped: bool) {
        let now = Instant::now();
        if helped {
            (self.helpless, self.no_replacement_before) = (0, now);
        } else if !std::ptr::eq(self.helpless_with.as_ptr(), Arc::as_ptr(with)) {
            self.helpless_with = Arc::downgrade(with);
            self.helpless = self.helpless.saturating_add(1);
            self.no_replacement_before = now + pause(self.helpless);
        }
    }
}

/// Twice as long after each failure, up to a minute, and never quite the same for all.
pub(super) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    let whole = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
    whole.mul_f64(rand::rng().random_range(0.8..=1.2))
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_token::AccessToken;
    use crate::secret::Secret;

    #[test]
    fn pauses_grow_to_a_minute_and_no_further() {
        for failures in 1..100 {
            let pause = pause(failures);
            assert!(pause >= FIRST_PAUSE.mul_f64(0.79), "{failures}: {pause:?}");
            assert!(pause <= LONGEST_PAUSE.mul_f64(1.21), "{failures}: {pause:?}");
        }
        assert!(pause(10) > pause(1) * 10);
    }

    fn issued() -> Arc<Issued> {
        let token = AccessToken::new(Secret::new(b"acctk1".to_vec()));
        Arc::new(Issued::given(token))
    }

    #[tokio::test(start_paused = true)]
    async fn what_helps_may_be_done_again_and_what_does_not_waits_ever_longer() {
        let mut work = Work::new();
        for _ in 0..100 {
            assert!(work.may_replace());
            work.replaced(&issued(), true);
        }
        let useless = issued();
        for _ in 0..100 {
            // However many deletes it did not help.
            work.replaced(&useless, false);
        }
        assert!(!work.may_replace());
        tokio::time::advance(FIRST_PAUSE.mul_f64(1.21)).await;
        assert!(work.may_replace());
        work.replaced(&issued(), false);
        tokio::time::advance(FIRST_PAUSE.mul_f64(1.21)).await;
        assert!(!work.may_replace(), "the second pause is longer");
        work.replaced(&issued(), true);
        assert!(work.may_replace());
    }
}
