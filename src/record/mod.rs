//! What is published of a message: the shape (contract §3) and its encodings. Pure.
//!
//! The shape stands before the room that fills it (`correlate`), so that a record's field names are written once.

use serde::{Deserialize, Serialize};

pub use crate::evidence::{Flag, Hop, Kind, Role};
use crate::mail::{AddressKind, Digest};

/// One message and revision, as `journal.archive` carries it. Field names and meanings are the contract's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    pub record_id: String,
    pub revision: i32,
    pub status: Status,
    pub closed_because: ClosedBecause,
    pub superseded_by: Vec<String>,
    pub key: String,
    pub message_id: Option<String>,
    pub network_message_ids: Vec<String>,
    pub sender: Option<String>,
    pub on_behalf_of: Option<String>,
    pub from: Vec<String>,
    pub subject: Option<String>,
    pub recipients: Vec<Recipient>,
    pub groups: Vec<Group>,
    pub unresolved: Vec<String>,
    pub originals: Vec<RecordedOriginal>,
    pub journals: Vec<Journal>,
    pub flags: Vec<Flag>,
    pub evidence: Vec<EvidenceEntry>,
    pub certificate: Certificate,
    pub first_evidence_at: i64,
    pub last_evidence_at: i64,
    pub closed_at: i64,
    pub tags: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Complete,
    Incomplete,
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClosedBecause {
    Evidence,
    Quiet,
    Patience,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: String,
    pub kind: AddressKind,
    pub display_name: Option<String>,
    pub role: Role,
    pub claimed_roles: Vec<Role>,
    pub paths: Vec<Vec<Hop>>,
    pub delivery: Option<Delivery>,
    pub evidence: Vec<i32>,
}

/// What became of the mail at one recipient, as a notice told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub what: DeliveryKind,
    pub at: i64,
    /// Hex SHA-256 of the notice's arrival.
    pub notice: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeliveryKind {
    Delivered,
    Failed,
    Delayed,
    Relayed,
    Expanded,
    Read,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    pub address: String,
    pub expanded: bool,
    pub by: Vec<String>,
    pub members: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedOriginal {
    pub sha256: Digest,
    pub size: i64,
    pub role: OriginalRole,
    #[serde(with = "crate::record::content")]
    pub content: Option<bytes::Bytes>,
    pub reference: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OriginalRole {
    Primary,
    Variant,
    Decrypted,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub address: String,
    pub rule: Option<String>,
    pub format: Option<String>,
    pub ndr_to: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceEntry {
    pub kind: Kind,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub report_id: Option<String>,
    pub server: Option<String>,
    pub at: i64,
    pub sha256: Digest,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    pub expected: Vec<Expected>,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    pub what: Expectation,
    /// The list, server or recipient; none for the original.
    pub who: Option<String>,
    pub because: Vec<i32>,
    pub met_by: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Expectation {
    Original,
    Expansion,
    ReportFrom,
    Recipient,
}

/// An original's bytes: base64 in JSON, bytes in Avro.
pub(crate) mod content {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(content: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return content.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer);
        }
        content.as_ref().map(|bytes| serde_bytes::Bytes::new(bytes)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        if deserializer.is_human_readable() {
            let text = Option::<String>::deserialize(deserializer)?;
            return text.map(|text| STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)).transpose();
        }
        Ok(Option::<serde_bytes::ByteBuf>::deserialize(deserializer)?.map(|bytes| Bytes::from(bytes.into_vec())))
    }
}
