//! Time as the simulator sees it: one clock, so that a test which pauses tokio's clock pauses all
//! of it.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::macros::format_description;
use tokio::time::Instant;

/// Derives wall-clock time from tokio's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_at: SystemTime,
}

/// One instant, on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), started_at: SystemTime::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        let instant = Instant::now();
        let elapsed = instant.saturating_duration_since(self.started);
        Moment { instant, wall: self.started_at.checked_add(elapsed).unwrap_or(self.started_at) }
    }
}

impl Moment {
    /// The instant `wait` from now; `None` where the clock cannot count so far.
    pub(crate) fn after(&self, wait: Duration) -> Option<Instant> {
        self.instant.checked_add(wait)
    }
}

/// ISO 8601 with milliseconds and `Z`, as SMH writes time.
pub(crate) fn timestamp(wall: SystemTime) -> String {
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from(wall).format(format).unwrap_or_default()
}

pub(crate) const SECONDS_PER_DAY: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_has_milliseconds_and_zulu_time() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(1_763_035_387_042);

        assert_eq!(timestamp(wall), "2025-11-13T12:03:07.042Z");
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_follows_a_paused_clock() {
        let clock = Clock::start();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3600)).await;

        let gone = clock.now().wall.duration_since(before.wall).unwrap();

        assert_eq!(gone, Duration::from_secs(3600));
    }
}
