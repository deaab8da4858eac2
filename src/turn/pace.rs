//! How much a turn may take: less where turns take long, so that the group, its rebalances and a stop do not wait minutes
//! for one, and a broker that is slow still takes it in time. What takes long to build is what has to be read back from all
//! over the changelog for late evidence.

use std::time::Duration;

use crate::{correlate::Budget, limits};

/// The part of its bounds that a turn may use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(f64);

impl Share {
    pub const WHOLE: Share = Share(1.0);
    /// What has a price of its own, however little is in a turn, does not make turns smaller without end.
    const LEAST: f64 = 1.0 / 4096.0;

    /// At least one of whatever is bounded.
    pub fn of(self, bound: usize) -> usize {
        ((bound as f64 * self.0) as usize).max(1)
    }

    pub fn of_budget(self, whole: Budget) -> Budget {
        let Budget { records, bytes, forgotten, woken } = whole;
        Budget {
            records: self.of(records),
            bytes: self.of(bytes),
            forgotten: self.of(forgotten),
            woken: self.of(woken),
        }
    }
}

/// Begins low, for nothing is known yet of how fast the brokers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Of the arrivals, and their bytes, that a turn gathers.
    pub gathers: Share,
    /// Of the records, and their originals, that it publishes.
    pub publishes: Share,
}

/// What a turn had no room for: there may be, or is, more of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Full {
    pub gathered: bool,
    pub published: bool,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { gathers: Share(1.0 / 64.0), publishes: Share(1.0 / 64.0) }
    }
}

impl Pace {
    /// A turn took so long to build: if too long, the shares fall to what would not have.
    pub fn built(&mut self, took: Duration) {
        self.took(took, limits::TURN_BUILD_MAX);
    }

    /// A turn took so long to write; a share that it used up is doubled if that was not too long.
    pub fn written(&mut self, took: Duration, full: Full) {
        self.took(took, limits::TURN_WRITE_WANTED);
        if took <= limits::TURN_WRITE_WANTED {
            for (share, full) in [(&mut self.gathers, full.gathered), (&mut self.publishes, full.published)] {
                share.0 = if full { (2.0 * share.0).min(1.0) } else { share.0 };
            }
        }
    }

    fn took(&mut self, took: Duration, wanted: Duration) {
        if took > wanted {
            let less = wanted.as_secs_f64() / took.as_secs_f64();
            for share in [&mut self.gathers, &mut self.publishes] {
                share.0 = (share.0 * less).max(Share::LEAST);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FULL: Full = Full { gathered: true, published: true };

    fn check(pace: Pace, gathers: usize, publishes: usize) {
        assert_eq!((pace.gathers.of(20_000), pace.publishes.of(20_000)), (gathers, publishes));
    }

    #[test]
    fn turns_grow_while_they_are_full_and_quick() {
        let mut pace = Pace::default();
        pace.written(SECOND, Full::default());
        check(pace, 312, 312);
        pace.written(SECOND, Full { gathered: true, published: false });
        check(pace, 625, 312);
        pace.written(SECOND, Full { gathered: false, published: true });
        check(pace, 625, 625);
        (0..20).for_each(|_| pace.written(SECOND, FULL));
        check(pace, 20_000, 20_000);
    }

    #[test]
    fn a_turn_that_took_long_is_followed_by_smaller_ones() {
        let mut pace = Pace { gathers: Share::WHOLE, publishes: Share::WHOLE };
        pace.built(100 * SECOND);
        check(pace, 400, 400);
        pace.written(20 * SECOND, FULL);
        check(pace, 100, 100);
        pace.built(2 * SECOND);
        check(pace, 100, 100);
        (0..2_000).for_each(|_| pace.built(60 * SECOND));
        check(pace, 4, 4);
        (0..20).for_each(|_| pace.written(SECOND, FULL));
        check(pace, 20_000, 20_000);
    }
}
