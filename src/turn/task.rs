//! One partition number of all input topics, with its correlator and its clock.

use std::collections::HashMap;

use bytes::Bytes;
use rayon::prelude::*;

use crate::{
    avro::{self, Schema},
    correlate::{Correlator, StoredDraft},
    turn::{TurnRules, clock::TaskClock},
};

pub struct Task {
    pub correlator: Correlator,
    pub clock: TaskClock,
    /// The changelog so far, while the task is being restored: later entries replace earlier ones.
    restoring: HashMap<Bytes, Bytes>,
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
            restoring: HashMap::new(),
        }
    }

    pub fn restore(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => drop(self.restoring.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))),
            None => drop(self.restoring.remove(key)),
        }
    }

    pub fn restored(&mut self) -> Result<(), RestoreError> {
        let entries: Vec<(Bytes, Bytes)> = std::mem::take(&mut self.restoring).into_iter().collect();
        let drafts: Vec<Result<StoredDraft, String>> =
            entries.into_par_iter().map(|(key, value)| read_entry(&key, &value)).collect();
        for draft in drafts {
            draft.and_then(|draft| self.correlator.restore(draft)).map_err(RestoreError)?;
        }
        self.correlator.restored().map_err(RestoreError)
    }
}

fn read_entry(key: &[u8], value: &[u8]) -> Result<StoredDraft, String> {
    let draft: StoredDraft = avro::decode(Schema::Draft, value).map_err(|error| error.to_string())?;
    let own_key = draft.draft_key().to_text();
    if own_key.as_bytes() == key { Ok(draft) } else { Err(format!("a part of {own_key} stands under another key")) }
}
