//! What is published of a message: the shape (contract §3) and its encodings. Pure.
//!
//! The shape stands before the room that fills it (`correlate`), so that a record's field names are written once.

pub mod activity;
pub mod ledger;
pub mod non_delivery;
pub mod report;
pub mod size;

use serde::{Deserialize, Serialize};

pub use activity::JournalActivity;
pub use ledger::{Disposition, LedgerRow};
pub use non_delivery::NonDelivery;
pub use size::{ArchiveFormat, ValueBytesMax};

pub use crate::evidence::{Flag, Hop, Kind, Role};
use crate::{
    avro::{self, DecodeError, Schema},
    mail::{AddressKind, Digest},
};

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
    #[serde(with = "crate::evidence::flag_names")]
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
    #[serde(with = "crate::avro::content")]
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

impl JournalRecord {
    /// The value of `journal.archive`: Avro, framed.
    pub fn to_avro(&self) -> Vec<u8> {
        let body_bytes =
            self.originals.iter().filter_map(|original| original.content.as_ref()).map(bytes::Bytes::len).sum();
        avro::encode_sized(Schema::JournalRecord, self, body_bytes)
    }

    /// The same record without its originals' bytes.
    pub fn without_content(&self) -> JournalRecord {
        let mut bare = self.clone();
        bare.originals.iter_mut().for_each(|original| original.content = None);
        bare
    }
}

/// A value as one line of JSON, bytes in base64, without the line end.
pub fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("no shape has a map whose keys are not strings")
}

/// Why bytes are no journal record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Avro(#[from] DecodeError),
    #[error("the value is neither an Avro nor a JSON JournalRecord: {0}")]
    Json(String),
}

/// Reads a record from its Avro value or from its line of JSON.
pub fn read(bytes: &[u8]) -> Result<JournalRecord, ReadError> {
    if avro::is_framed(bytes) {
        return Ok(avro::decode(Schema::JournalRecord, bytes)?);
    }
    serde_json::from_slice(bytes).map_err(|error| ReadError::Json(error.to_string()))
}
