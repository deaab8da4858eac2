//! What the changelog keeps of a draft. A draft with much evidence is stored in parts, so that a turn writes only
//! the part that it changed. Field changes here need a new schema version (`schemas/draft.avsc`).

use serde::{Deserialize, Serialize};

use crate::{
    arrival::{Position, Timestamp},
    correlate::effect::DraftKey,
    evidence::{Evidence, Kind},
    limits,
    mail::{Digest, Key},
};

/// One part of one draft: the value of `journal.drafts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Draft")]
pub struct StoredDraft {
    pub record_id: String,
    pub key: Key,
    /// 0 is the first; the fields below `pieces` count in the first only, but for what `published` carried.
    pub part: i32,
    pub pieces: Vec<Piece>,
    /// While open: when something last came, moved or was told, which the closing timers count from. Then: when it was
    /// closed, or the former if that is later; forgetting counts from it.
    pub touched_at: Timestamp,
    /// A revision may be due: something came since the last look that closed it.
    pub open: bool,
    /// Another message was seen under this key.
    pub reused: bool,
    /// Where evidence of this draft has moved to.
    pub moved_to: Vec<String>,
    pub published: Option<Published>,
}

impl StoredDraft {
    pub fn draft_key(&self) -> DraftKey {
        DraftKey { record_id: self.record_id.clone(), part: self.part }
    }
}

/// What a stored part begins with: whose it is, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Draft")]
pub struct StoredName {
    pub record_id: String,
    pub key: Key,
    pub part: i32,
}

impl From<StoredDraft> for StoredName {
    fn from(StoredDraft { record_id, key, part, .. }: StoredDraft) -> StoredName {
        StoredName { record_id, key, part }
    }
}

/// What was last published of a draft.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    pub revision: i32,
    /// Of the record, its revision number, closing time and the originals' contents and references aside.
    pub digest: Digest,
    /// Which revision carried which original that a piece of this part brought; of an older version, of any part.
    pub carried: Vec<Carried>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub sha256: Digest,
    pub revision: i32,
    /// Where the bytes went instead, if they did not fit the topic.
    pub reference: Option<String>,
}

impl Carried {
    /// Bytes that it takes in the changelog, at most.
    pub fn datum_bytes_at_most(&self) -> usize {
        80 + self.reference.as_ref().map_or(0, String::len)
    }
}

/// A piece of evidence and where it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub evidence: std::sync::Arc<Evidence>,
    /// The lowest position of all copies; the time and the server are that copy's.
    pub seen: Seen,
    /// The journals that any of its copies came to, sorted.
    pub journals: Vec<String>,
    /// What its notice tells has gone to `journal.ndr`. None: an older version did not keep it.
    #[serde(default)]
    pub non_delivery_told: Option<bool>,
}

impl Piece {
    pub fn new(evidence: Evidence, seen: Seen, journals: Vec<String>) -> Piece {
        Piece { evidence: evidence.into(), seen, journals: bounded_journals(journals), non_delivery_told: Some(false) }
    }

    /// Joins a copy of the same bytes: the lowest position counts, and every journal. Says whether that told anything
    /// new.
    pub fn join(&mut self, copy: Piece) -> bool {
        let mut changed = false;
        if copy.seen < self.seen {
            self.seen = copy.seen;
            changed = true;
        }
        if copy.journals.iter().any(|journal| self.journals.binary_search(journal).is_err()) {
            let all = self.journals.iter().cloned().chain(copy.journals).collect();
            let before = std::mem::replace(&mut self.journals, bounded_journals(all));
            changed |= self.journals != before;
        }
        changed
    }

    /// The journals that are recorded.
    pub fn recorded_journals(&self) -> impl Iterator<Item = &String> {
        let first = self.journals.iter().take(limits::ARRIVAL_JOURNALS_MAX);
        first.filter(|journal| journal.len() <= limits::JOURNAL_ADDRESS_BYTES_MAX)
    }

    /// Some of its journals are left out.
    pub fn lacks_journals(&self) -> bool {
        self.recorded_journals().count() < self.journals.len()
    }

    /// Bytes that it takes in the changelog, at most.
    pub fn datum_bytes_at_most(&self) -> usize {
        let server = self.seen.server.as_ref().map_or(0, String::len);
        let journals = self.journals.iter().map(|journal| 4 + journal.len());
        80 + self.evidence.datum_bytes_at_most() + server + journals.sum::<usize>()
    }

    /// Who says so: as the producer told, else as the bytes tell.
    pub fn server(&self) -> Option<&str> {
        self.seen.server.as_deref().or(self.evidence.server.as_deref())
    }

    /// What makes two envelope events one: the server's name and its own id of the event.
    pub fn event_name(&self) -> Option<(String, &str)> {
        let evidence = &self.evidence;
        match (evidence.kind, &evidence.server, &evidence.report_id) {
            (Kind::EnvelopeEvent, Some(server), Some(event)) => Some((server_key(server), event)),
            _ => None,
        }
    }
}

/// The first of the journals in their order. What is left out is known by one more than are recorded, or by the
/// beginning of one that is longer: so it is the same cut whichever copy comes first.
pub fn bounded_journals(mut journals: Vec<String>) -> Vec<String> {
    for journal in &mut journals {
        journal.truncate(journal.ceil_char_boundary(limits::JOURNAL_ADDRESS_BYTES_MAX + 1));
    }
    journals.sort_unstable();
    journals.dedup();
    journals.truncate(limits::ARRIVAL_JOURNALS_MAX + 1);
    journals
}

/// A server is compared without regard to case and to the dot that may close a domain name.
pub fn server_key(server: &str) -> String {
    server.trim_end_matches('.').to_lowercase()
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen {
    pub position: Position,
    pub at: Timestamp,
    pub server: Option<String>,
    /// Of the arrival, bytes; 0 where an older version did not keep it.
    #[serde(default)]
    pub size: i64,
}
