//! One partition number of all input topics, with its correlator and its clock.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use crate::{
    avro::{self, Schema},
    correlate::{Correlator, StoredDraft},
    limits,
    turn::{TurnRules, clock::TaskClock},
};

pub struct Task {
    pub correlator: Correlator,
    pub clock: TaskClock,
    restoring: Restoring,
}

/// What of the changelog is not in the correlator yet.
#[derive(Default)]
struct Restoring {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Why what stands last under a key could not be taken, by key.
    unreadable: BTreeMap<Box<[u8]>, String>,
}

/// A changelog entry, as spans of the bytes.
struct Entry {
    key: Range<usize>,
    /// None deletes the key.
    value: Option<Range<usize>>,
}

/// A changelog entry that cannot be read: the task must not start, or evidence would be lost.
#[derive(Debug, thiserror::Error)]
#[error(
    "the drafts topic holds an entry that this version cannot read ({0}): run the version that wrote it, or a later one"
)]
pub struct RestoreError(String);

impl Task {
    pub fn new(rules: &TurnRules) -> Task {
        Task {
            correlator: Correlator::new(rules.rules.clone()),
            clock: TaskClock::default(),
            restoring: Restoring::default(),
        }
    }

    /// Takes the next entry of the changelog: what a later one of the same key says replaces it.
    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Restoring { bytes, entries, .. } = &mut self.restoring;
        let mut keep = |part: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        };
        entries.push(Entry { key: keep(key), value: value.map(&mut keep) });
        if bytes.len() >= limits::RESTORE_BATCH_BYTES {
            self.take_entries();
        }
    }

    /// Reads the entries that wait, on every core, and hands them to the correlator in their order.
    fn take_entries(&mut self) {
        let Restoring { bytes, entries, unreadable } = &mut self.restoring;
        let read = |entry: &Entry| -> Option<Result<StoredDraft, String>> {
            let value = &bytes[entry.value.clone()?];
            Some(avro::decode(Schema::Draft, value).map_err(|error| error.to_string()))
        };
        let drafts: Vec<Option<Result<StoredDraft, String>>> = entries.par_iter().map(read).collect();
        for (entry, draft) in entries.drain(..).zip(drafts) {
            let key = &bytes[entry.key];
            let taken = match draft {
                Some(draft) => draft.and_then(|draft| self.correlator.restore(draft)),
                None => self.correlator.restore_forgotten(key),
            };
            match taken {
                Ok(()) => drop(unreadable.remove(key)),
                Err(reason) => drop(unreadable.insert(key.into(), reason)),
            }
        }
        bytes.clear();
        self.correlator.rest_while_restoring();
    }

    pub fn restored(&mut self) -> Result<(), RestoreError> {
        self.take_entries();
        if let Some((_, reason)) = std::mem::take(&mut self.restoring).unreadable.pop_first() {
            return Err(RestoreError(reason));
        }
        self.correlator.restored();
        Ok(())
    }
}
