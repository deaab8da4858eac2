//! How much a turn may take: less where turns take long, so that the group, its rebalances and a stop do not wait minutes
//! for one, and a broker that is slow still takes it in time. What takes long to build is what has to be read back from all
//! over the changelog for late evidence.

use std::time::Duration;

use crate::limits;

/// The part of its bounds that a turn may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    pub const WHOLE: Share = Share(1.0);

    /// At least one of whatever is bounded.
    pub fn of(self, bound: usize) -> usize {
        ((bound as f64 * self.0) as usize).max(1)
    }
}

/// Begins low, for nothing is known yet of how fast the brokers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace(Share);

impl Default for Pace {
    fn default() -> Pace {
        Pace(Share(1.0 / 64.0))
    }
}

impl Pace {
    pub fn share(self) -> Share {
        self.0
    }

    /// A turn took so long to build: if too long, the share falls to what would not have.
    pub fn built(&mut self, took: Duration) {
        self.took(took, limits::TURN_BUILD_MAX);
    }

    /// A turn took so long to write; the share is doubled by each that did not take too long though it was full.
    pub fn written(&mut self, took: Duration, full: bool) {
        self.took(took, limits::TURN_WRITE_WANTED);
        if full && took <= limits::TURN_WRITE_WANTED {
            self.0 = Share((2.0 * self.0.0).min(1.0));
        }
    }

    fn took(&mut self, took: Duration, wanted: Duration) {
        if took > wanted {
            self.0.0 *= wanted.as_secs_f64() / took.as_secs_f64();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn arrivals(pace: Pace) -> usize {
        pace.share().of(20_000)
    }

    #[test]
    fn turns_grow_while_they_are_full_and_quick() {
        let mut pace = Pace::default();
        pace.written(SECOND, false);
        assert_eq!(arrivals(pace), 312);
        pace.written(SECOND, true);
        assert_eq!(arrivals(pace), 625);
        (0..20).for_each(|_| pace.written(SECOND, true));
        assert_eq!(arrivals(pace), 20_000);
    }

    #[test]
    fn a_turn_that_took_long_is_followed_by_smaller_ones() {
        let mut pace = Pace(Share::WHOLE);
        pace.built(100 * SECOND);
        assert_eq!(arrivals(pace), 400);
        pace.written(20 * SECOND, true);
        assert_eq!(arrivals(pace), 100);
        pace.built(2 * SECOND);
        assert_eq!(arrivals(pace), 100);
        (0..9).for_each(|_| pace.built(60 * SECOND));
        assert_eq!(arrivals(pace), 1, "one arrival is the least");
    }
}
