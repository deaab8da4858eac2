//! `(evidence, now) → effects`: the only room with state, and it owns all of it.

pub mod effect;
pub mod stored;

pub use effect::{ClosedNotice, Complete, DraftKey, Effect, WantedOriginal};
pub use stored::{Carried, Piece, Published, Seen, StoredDraft};

use crate::arrival::Timestamp;

/// The closing settings (contract §4.3): settle ≤ quiet ≤ patience ≤ remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub settle: std::time::Duration,
    pub quiet: std::time::Duration,
    pub patience: std::time::Duration,
    pub remember: std::time::Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        let seconds = std::time::Duration::from_secs;
        Timing { settle: seconds(5), quiet: seconds(60), patience: seconds(15 * 60), remember: seconds(9 * 86_400) }
    }
}

/// What a correlator is told at its birth.
#[derive(Clone, Debug)]
pub struct Rules {
    pub timing: Timing,
    /// What records say of where their evidence lies.
    pub topic_names: TopicNames,
    /// The largest archive value, bytes: what does not fit goes by reference. None: no bound.
    pub archive_bytes_max: Option<usize>,
}

/// All drafts of one task.
pub struct Correlator {}

/// What became of a piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub outcome: Outcome,
    /// The record that the piece belongs to as far as is known now.
    pub record_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    New,
    Duplicate,
}

impl Correlator {
    pub fn new(_rules: Rules) -> Correlator {
        todo!()
    }

    /// Takes a part of a draft from the changelog. All parts first, in any order, then `restored`.
    pub fn restore(&mut self, _part: StoredDraft) {
        todo!()
    }

    pub fn restored(&mut self) {
        todo!()
    }

    pub fn handle_evidence(&mut self, _piece: Piece) -> Merged {
        todo!()
    }

    /// Closes what is due.
    pub fn handle_time(&mut self, _now: Timestamp) {
        todo!()
    }

    /// Ends a turn: every draft part that the turn changed becomes one `Remember`, however often it changed.
    pub fn handle_turn_end(&mut self) {
        todo!()
    }

    /// The next effect; drain after every `handle_*`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        todo!()
    }

    /// When `handle_time` next has something to do to close a draft; forgetting does not count.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        todo!()
    }
}

/// The names under which records, ledger rows and references speak of the input topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    pub reports: std::sync::Arc<str>,
    pub envelopes: std::sync::Arc<str>,
    pub strays: std::sync::Arc<str>,
}
