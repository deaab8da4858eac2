//! Recent arrivals, kept at hand for records that close soon, so that most originals are not read a second time.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::{arrival::Position, limits};

/// At most so many bytes of the latest arrivals; the oldest go first.
#[derive(Debug)]
pub struct Recent {
    bytes_max: usize,
    bytes: usize,
    arrivals: HashMap<Position, Bytes>,
    /// Oldest first; what was taken out early is still named here.
    order: VecDeque<Position>,
}

impl Recent {
    pub fn new(bytes_max: usize) -> Recent {
        Recent { bytes_max, bytes: 0, arrivals: HashMap::new(), order: VecDeque::new() }
    }

    pub fn insert(&mut self, position: Position, arrival: Bytes) {
        self.bytes += arrival.len();
        if let Some(before) = self.arrivals.insert(position, arrival) {
            self.bytes -= before.len();
        } else {
            self.order.push_back(position);
        }
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.remove(&oldest);
        }
        // What was taken out early is still named in the queue: sweep it before it outgrows what is kept.
        if self.order.len() > 2 * self.arrivals.len() + limits::SWEEP_SLACK {
            self.order.retain(|position| self.arrivals.contains_key(position));
        }
    }

    pub fn get(&self, position: &Position) -> Option<Bytes> {
        self.arrivals.get(position).cloned()
    }

    /// Bytes of what is kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn remove(&mut self, position: &Position) {
        if let Some(arrival) = self.arrivals.remove(position) {
            self.bytes -= arrival.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::Input;

    fn at(offset: i64) -> Position {
        Position { input: Input::Reports, partition: 0, offset }
    }

    #[test]
    fn the_oldest_go_first_and_the_bound_holds() {
        let mut recent = Recent::new(10);
        for offset in 0..100 {
            recent.insert(at(offset), Bytes::from_static(b"four"));
            assert!(recent.bytes <= 10 && recent.order.len() <= 3);
        }
        assert_eq!(
            (recent.get(&at(97)), recent.get(&at(98)).is_some(), recent.get(&at(99)).is_some()),
            (None, true, true)
        );
        recent.remove(&at(98));
        recent.remove(&at(99));
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn one_too_large_is_not_kept() {
        let mut recent = Recent::new(3);
        recent.insert(at(1), Bytes::from_static(b"four"));
        assert_eq!((recent.get(&at(1)), recent.bytes), (None, 0));
    }
}
