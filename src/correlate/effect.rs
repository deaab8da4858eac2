//! What the correlator wants done. Few, closed, each observed once.

use crate::{
    arrival::Position,
    correlate::stored::StoredDraft,
    evidence::{Notice, Place},
    mail::Digest,
    record::JournalRecord,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish this revision; the originals listed want their bytes first.
    Publish(Box<Complete>),
    /// Write this part of a draft to the changelog.
    Remember(Box<StoredDraft>),
    /// Delete this part of a draft from the changelog.
    Forget(DraftKey),
}

/// A draft that `completion` has closed: the record but for the bytes, and where those lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// Every `originals[].content` is null; what an earlier revision carried has its `reference` already.
    pub record: JournalRecord,
    /// The originals that no earlier revision carried: index into `record.originals`, and where the bytes are.
    pub wanted: Vec<WantedOriginal>,
    /// The arrivals, at their origins, that its originals came in: none is wanted again soon.
    pub carriers: Vec<Position>,
    /// The notices among the evidence that tell of a failed or late delivery, each once, but for those that were told
    /// before, be it by a copy.
    pub non_deliveries: Vec<ClosedNotice>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedOriginal {
    pub index: usize,
    /// The arrival that has them, at its origin.
    pub position: Position,
    pub place: Place,
    pub sha256: Digest,
    /// Bytes.
    pub size: i64,
    /// Bytes that are read for it: of its arrival, which has it.
    pub read_size: i64,
    /// A mail that a merged report attaches as it is, not in base64.
    pub as_it_is: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedNotice {
    pub position: Position,
    /// SHA-256 of the notice's arrival.
    pub id: Digest,
    pub at: i64,
    pub notice: Notice,
    /// Index into `record.originals` of the notice itself, which is its own original.
    pub original: Option<usize>,
}

/// The Kafka key of one part of a draft: its record id, and for the parts after the first a NUL and their number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftKey {
    pub record_id: String,
    pub part: i32,
}

impl DraftKey {
    /// No record id holds a NUL behind its last `>` or digit, so no two keys meet.
    pub fn to_text(&self) -> String {
        match self.part {
            0 => self.record_id.clone(),
            part => format!("{}\0{part}", self.record_id),
        }
    }
}
