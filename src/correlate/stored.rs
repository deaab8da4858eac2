//! What the changelog keeps of a draft. A draft with much evidence is stored in parts, so that a turn writes only
//! the part that it changed. Field changes here need a new schema version (`schemas/draft.avsc`).

use serde::{Deserialize, Serialize};

use crate::{
    arrival::{Position, Timestamp},
    correlate::effect::DraftKey,
    evidence::{Evidence, Kind},
    mail::{Digest, Key},
};

/// One part of one draft: the value of `journal.drafts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Draft")]
pub struct StoredDraft {
    pub record_id: String,
    pub key: Key,
    /// 0 is the first; the fields below `pieces` count in the first only.
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
    /// Which revision carried which original.
    pub carried: Vec<Carried>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    pub sha256: Digest,
    pub revision: i32,
    /// Where the bytes went instead, if they did not fit the topic.
    pub reference: Option<String>,
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
    pub fn new(evidence: Evidence, seen: Seen, mut journals: Vec<String>) -> Piece {
        journals.sort_unstable();
        journals.dedup();
        Piece { evidence: evidence.into(), seen, journals, non_delivery_told: Some(false) }
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
