//! How many arrivals a turn may gather: fewer where the last ones took long, so that the group, its rebalances and a stop do
//! not wait minutes for a turn. What takes long is reading back from all over the changelog what late evidence belongs to.

use std::time::Duration;

use crate::limits;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    arrivals_max: usize,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { arrivals_max: limits::TURN_ARRIVALS_MAX }
    }
}

impl Pace {
    pub fn arrivals_max(self) -> usize {
        self.arrivals_max
    }

    /// A turn of so many arrivals took so long to build. The bound falls to what would not have taken too long, and is
    /// doubled by each turn that did not.
    pub fn built(&mut self, arrivals: usize, took: Duration) {
        if took <= limits::TURN_BUILD_MAX {
            self.arrivals_max = (2 * self.arrivals_max).min(limits::TURN_ARRIVALS_MAX);
        } else if arrivals > 0 {
            let share = limits::TURN_BUILD_MAX.as_secs_f64() / took.as_secs_f64();
            self.arrivals_max = ((arrivals as f64 * share) as usize).max(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_that_took_long_is_followed_by_smaller_ones() {
        let mut pace = Pace::default();
        let mut built = |arrivals, seconds| {
            pace.built(arrivals, Duration::from_secs(seconds));
            pace.arrivals_max()
        };
        assert_eq!(built(20_000, 1), 20_000);
        assert_eq!(built(20_000, 100), 400);
        assert_eq!(built(400, 4), 200);
        assert_eq!(built(200, 2), 400);
        assert_eq!((built(1, 60), built(0, 60)), (1, 1), "one arrival is the least");
        assert_eq!((0..20).map(|_| built(1, 0)).last(), Some(20_000));
    }
}
