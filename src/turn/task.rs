//! One partition number of all input topics, with its correlator and its clock.

use std::{collections::BTreeMap, ops::Range};

use rayon::prelude::*;

use crate::{
    avro::{self, Schema},
    correlate::{Correlator, Entry, Place, StoredDraft, Timing},
    turn::{TurnRules, clock::TaskClock, home::home_partition},
};

pub struct Task {
    partition: i32,
    partitions: i32,
    pub correlator: Correlator,
    pub clock: TaskClock,
    timing: Timing,
    batch_bytes_max: usize,
    restoring: Restoring,
}

/// What of the changelog is not in the correlator yet.
#[derive(Default)]
struct Restoring {
    batch: Batch,
    /// The batch before, read but not taken.
    read: Read,
    /// Why what stands last under a key could not be taken, by key.
    unreadable: BTreeMap<Vec<u8>, String>,
}

/// Changelog entries as they come.
#[derive(Default)]
struct Batch {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    entries: Vec<Raw>,
}

/// A changelog entry, as spans of the bytes.
struct Raw {
    place: Place,
    key: Range<usize>,
    /// None deletes the key.
    value: Option<Range<usize>>,
}

/// By key: what an entry says, none where it deletes.
type Read = Vec<(Vec<u8>, Option<Result<Entry, String>>)>;

impl Batch {
    fn push(&mut self, place: Place, key: &[u8], value: Option<&[u8]>) {
        let mut keep = |part: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(part);
            start..self.bytes.len()
        };
        self.entries.push(Raw { place, key: keep(key), value: value.map(&mut keep) });
    }

    /// Reads all entries, on every core.
    fn read(&self, read_entry: impl Fn(&[u8], &[u8], Place) -> Result<Entry, String> + Sync) -> Read {
        let read = |raw: &Raw| {
            let key = &self.bytes[raw.key.clone()];
            let told = |reason| format!("at {}: {reason}", raw.place);
            let entry = raw.value.clone().map(|value| read_entry(key, &self.bytes[value], raw.place).map_err(told));
            (key.to_vec(), entry)
        };
        self.entries.par_iter().map(read).collect()
    }
}

/// A changelog entry that cannot be read: the task must not start, or evidence would be lost.
#[derive(Debug, thiserror::Error)]
#[error(
    "the drafts topic holds an entry that cannot be worked on ({0}): run the version that wrote it, or a later one, with as \
     many partitions as then"
)]
pub struct RestoreError(String);

impl Task {
    pub fn new(partition: i32, rules: &TurnRules) -> Task {
        Task {
            partition,
            partitions: rules.partitions,
            correlator: Correlator::new(rules.rules.clone()),
            clock: TaskClock::default(),
            timing: rules.rules.timing,
            batch_bytes_max: rules.rules.work_max.restore_batch_bytes,
            restoring: Restoring::default(),
        }
    }

    /// Takes the next entry of the changelog: what a later one of the same key says replaces it.
    pub fn restore(&mut self, place: Place, key: &[u8], value: Option<&[u8]>) {
        let batch = &mut self.restoring.batch;
        batch.push(place, key, value);
        if batch.bytes.len() >= self.batch_bytes_max {
            self.take_batch();
        }
    }

    /// Reads a batch while the one before goes to the correlator.
    fn take_batch(&mut self) {
        let Restoring { batch, read, unreadable } = &mut self.restoring;
        let before = std::mem::take(read);
        let read_entry = |key: &[u8], value: &[u8], place| {
            let stored = read_entry(key, value)?;
            let home = home_partition(stored.key.as_str().as_bytes(), self.partitions);
            if home != self.partition {
                return Err(format!(
                    "its home is partition {home} of {}: the topics had another number of partitions when it was written",
                    self.partitions
                ));
            }
            Entry::of(&stored, place, &self.timing)
        };
        (*read, ()) = rayon::join(|| batch.read(read_entry), || take(before, &mut self.correlator, unreadable));
        batch.bytes.clear();
        batch.entries.clear();
    }

    pub fn restored(&mut self) -> Result<(), RestoreError> {
        self.take_batch();
        let Restoring { read, mut unreadable, .. } = std::mem::take(&mut self.restoring);
        take(read, &mut self.correlator, &mut unreadable);
        if let Some((_, reason)) = unreadable.pop_first() {
            return Err(RestoreError(reason));
        }
        self.correlator.restored().map_err(RestoreError)
    }
}

fn read_entry(key: &[u8], value: &[u8]) -> Result<StoredDraft, String> {
    let draft: StoredDraft = avro::decode(Schema::Draft, value).map_err(|error| error.to_string())?;
    let own_key = draft.draft_key().to_text();
    if own_key.as_bytes() == key { Ok(draft) } else { Err("a part of a draft stands under another key".to_owned()) }
}

/// Hands entries to the correlator in their order.
fn take(read: Read, correlator: &mut Correlator, unreadable: &mut BTreeMap<Vec<u8>, String>) {
    for (key, entry) in read {
        let taken = match entry {
            Some(entry) => entry.map(|entry| correlator.restore(entry)),
            None => correlator.restore_forgotten(&key),
        };
        match taken {
            Ok(()) => drop(unreadable.remove(&key)),
            Err(reason) => drop(unreadable.insert(key, reason)),
        }
    }
}
