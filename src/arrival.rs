//! What a shell hands in: bytes, the place they came from, and the time they came.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later by a duration; stops at the end of time instead of wrapping.
    pub fn plus(self, duration: std::time::Duration) -> Timestamp {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }
}

/// The topics that are read. The order is part of what "lowest position" means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Input {
    /// `journal.reports`: mails.
    Reports,
    /// `journal.envelopes`: envelope events.
    Envelopes,
    /// `journal.strays`: arrivals that were moved to their home partition.
    Strays,
}

/// Where an arrival lies, for good: its topic, its partition and its offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    pub input: Input,
    pub partition: i32,
    pub offset: i64,
}

/// What an arrival's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Format {
    /// A raw RFC 5322 mail.
    Mail,
    /// An Avro `EnvelopeEvent`, framed.
    EnvelopeEvent,
}

/// One mail or envelope event as it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where it was read.
    pub position: Position,
    /// Where it first came in; differs from `position` for a stray only.
    pub origin: Position,
    pub format: Format,
    /// Its `received-at`, else the time its topic gave it.
    pub at: Timestamp,
    /// The mail server that sent it, if the producer said so.
    pub server: Option<String>,
    /// The journal addresses (RCPT TO) that it came to, as the producer said.
    pub journal_recipients: Vec<String>,
    pub bytes: Bytes,
    /// Its Kafka key as it came.
    pub key: Option<Bytes>,
    /// Its Kafka headers as they came, for `journal.rejected`.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The file it came from (and `@` the byte offset, in an mbox): the files shell's word, for the ledger.
    pub source: Option<String>,
}

impl Arrival {
    /// One of whose producer nothing is known. In the topic where it first came in, `position` says what it is.
    pub fn new(position: Position, at: Timestamp, bytes: Bytes) -> Arrival {
        Arrival {
            position,
            origin: position,
            format: if position.input == Input::Envelopes { Format::EnvelopeEvent } else { Format::Mail },
            at,
            server: None,
            journal_recipients: Vec::new(),
            bytes,
            key: None,
            headers: Vec::new(),
            source: None,
        }
    }
}
