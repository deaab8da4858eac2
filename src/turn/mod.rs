//! Arrivals → one transaction. No broker inside: a shell hands in arrivals and the time, and carries out what comes
//! back, all of it or nothing.
//!
//! A shell's loop: read arrivals up to a bound; [`Tasks::turn`]; write every [`Outgoing`] and the positions read in one
//! transaction. If that fails: drop the tasks and restore them from the changelog ([`Tasks::assign`], then
//! [`Tasks::restore`] for each value of its partition, then [`Tasks::restored`]).

pub mod clock;
pub mod home;

use bytes::Bytes;

use crate::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::Rules,
    mail::Digest,
};

/// The topics that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    Strays,
    Drafts,
    Archive,
    Ndr,
    Activity,
    Ledger,
    Rejected,
}

impl Output {
    pub const ALL: [Output; 7] = [
        Output::Strays,
        Output::Drafts,
        Output::Archive,
        Output::Ndr,
        Output::Activity,
        Output::Ledger,
        Output::Rejected,
    ];
}

/// One value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub output: Output,
    /// The partition, where it matters (strays, drafts); else the topic's own partitioner decides by key.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    /// None deletes the key (drafts).
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    /// The Kafka timestamp to give it; none: now.
    pub at: Option<Timestamp>,
    /// Originals whose bytes the value carries: the files shell writes each to a file of its own.
    pub originals: Vec<(Digest, Bytes)>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Avro single-object encoding, for Kafka.
    Avro,
    /// One line of JSON, for files. Drafts and strays are Avro all the same: nobody else reads them.
    Json,
}

/// What the archive carries (`archive.format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    Record,
    Report,
}

#[derive(Clone, Debug)]
pub struct TurnRules {
    pub rules: Rules,
    /// N, of all input topics.
    pub partitions: i32,
    pub encoding: Encoding,
    pub archive_format: ArchiveFormat,
    /// Bytes of recent arrivals to keep at hand for records that close soon.
    pub recent_bytes_max: usize,
}

/// How far one input partition has been read, told with each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub input: Input,
    pub partition: i32,
    /// Nothing was left to read when the turn's arrivals were taken.
    pub at_end: bool,
}

/// Where a shell finds again what arrived earlier.
pub trait Bodies {
    /// The bytes of the arrivals at these positions (origins, sorted, each once), in the same order.
    /// `Err` says why one cannot be had any more; a failure that a second try may mend is the shell's to retry.
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>>;
}

/// What a turn did, for metrics and progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub arrivals: u64,
    pub merged: u64,
    pub duplicates: u64,
    pub notices: u64,
    pub moved: u64,
    pub rejected: u64,
    pub records: u64,
    pub incomplete: u64,
    pub superseded: u64,
    /// Originals that had to be read again.
    pub refetched: u64,
    /// Originals that could not be had any more.
    pub lost: u64,
}

/// All that one turn writes.
#[derive(Debug, Default)]
pub struct TurnOutput {
    pub outgoing: Vec<Outgoing>,
    pub counts: Counts,
}

/// The tasks of one instance, one a partition number.
pub struct Tasks {}

/// A changelog value that cannot be read: the task must not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RestoreError(pub String);

impl Tasks {
    pub fn new(_rules: TurnRules) -> Tasks {
        todo!()
    }

    /// Begins an empty task; restore it before its first turn.
    pub fn assign(&mut self, _partition: i32) {
        todo!()
    }

    /// Takes one `journal.drafts` entry of the task's partition; `value` none is a tombstone.
    pub fn restore(&mut self, _partition: i32, _key: &[u8], _value: Option<&[u8]>) -> Result<(), RestoreError> {
        todo!()
    }

    pub fn restored(&mut self, _partition: i32) {
        todo!()
    }

    /// Drops a task and all it knew.
    pub fn revoke(&mut self, _partition: i32) {
        todo!()
    }

    /// One turn: `arrivals` in the order read, every partition's progress, the wall clock.
    pub fn turn(
        &mut self,
        _arrivals: Vec<Arrival>,
        _progress: &[Progress],
        _wall: Timestamp,
        _bodies: &mut dyn Bodies,
    ) -> TurnOutput {
        todo!()
    }

    /// When the earliest open draft is due, in task time: what the files shell runs on to when its input has ended.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        todo!()
    }

    /// Draft counts: open (still to be published or again to be), remembered (published).
    pub fn drafts(&self) -> (u64, u64) {
        todo!()
    }
}
