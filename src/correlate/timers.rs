//! When time next does something to the drafts at hand. Apart are those of keys that do not rest: the others are
//! counted and walked without them.

use std::collections::{BTreeSet, btree_set};

use crate::{arrival::Timestamp, correlate::identity::RecordRef};

pub type Timer = (Timestamp, RecordRef);

#[derive(Default)]
pub struct Timers {
    ordinary: BTreeSet<Timer>,
    staying: BTreeSet<Timer>,
}

impl Timers {
    pub fn insert(&mut self, timer: Timer, stays: bool) {
        let of_its_kind = if stays { &mut self.staying } else { &mut self.ordinary };
        of_its_kind.insert(timer);
    }

    pub fn remove(&mut self, timer: &Timer) -> bool {
        self.ordinary.remove(timer) || self.staying.remove(timer)
    }

    /// Whether its key rests has changed.
    pub fn shift(&mut self, timer: Timer, stays: bool) {
        if self.remove(&timer) {
            self.insert(timer, stays);
        }
    }

    pub fn first(&self) -> Option<&Timer> {
        [self.ordinary.first(), self.staying.first()].into_iter().flatten().min()
    }

    /// The first, if it is reached by now.
    pub fn pop_by(&mut self, now: Timestamp) -> Option<Timer> {
        let first = self.first().filter(|(at, _)| *at <= now)?.clone();
        self.remove(&first);
        Some(first)
    }

    pub fn len(&self) -> usize {
        self.ordinary.len() + self.staying.len()
    }

    /// Those of keys that may rest.
    pub fn ordinary(&self) -> btree_set::Iter<'_, Timer> {
        self.ordinary.iter()
    }
}
