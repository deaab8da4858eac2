//! Bytes → what they say: one arrival becomes one [`Evidence`], or is rejected with a reason a person understands.
//! Pure. Nothing here knows of other arrivals.

mod bounds;
pub mod envelope_event;
mod html;
mod mail;
mod notice;
pub mod original;
mod protection;
mod read;
mod report;
pub mod show;
mod signals;
pub mod text;

pub use envelope_event::{EnvelopeEvent, read_envelope_event};
pub use read::{original_bytes, read_mail};
pub use show::show;

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::mail::{Address, Digest, Guard, Key};

/// What one arrival says of one mail. A function of the arrival's bytes alone, so that equal bytes are equal evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 of the arrival; of an envelope event: of its Avro datum without framing.
    pub id: Digest,
    pub kind: Kind,
    pub form: Form,
    pub key: Key,
    /// The Message-ID as found; none where the key is a stand-in.
    pub message_id: Option<String>,
    /// Exchange's Network-Message-Id, lower-case hex without dashes.
    pub network_message_id: Option<String>,
    /// A report's or notice's own Message-ID; an envelope event's `event_id`, if it has one.
    pub report_id: Option<String>,
    /// The server that says so, as far as the bytes tell.
    pub server: Option<String>,
    /// The envelope (P1) sender; `""` is the null sender.
    pub sender: Option<String>,
    pub on_behalf_of: Option<String>,
    /// The subject as the envelope tells it (a report's text, an event), not as the original does.
    pub subject: Option<String>,
    pub recipients: Vec<RecipientClaim>,
    pub groups: Vec<GroupClaim>,
    /// Journal addresses to which `server` promises its own report.
    pub journaled_to: Vec<String>,
    /// The originals attached: the first is the original, a decrypted copy follows it.
    pub originals: Vec<Original>,
    pub notice: Option<Notice>,
    #[serde(with = "crate::evidence::flag_names")]
    pub flags: Vec<Flag>,
    /// Retention and other labels that the arrival tells: `label`, `mailbox`, … in lower case.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

impl Evidence {
    /// What tells it from all other evidence: [`Evidence::id`], turned over for an envelope event, because somebody may
    /// send the bytes of an event's datum as a mail.
    pub fn identity(&self) -> Digest {
        match self.kind {
            Kind::EnvelopeEvent => Digest(self.id.0.map(|byte| !byte)),
            Kind::Report | Kind::Notice | Kind::PlainCopy => self.id,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Report,
    EnvelopeEvent,
    Notice,
    PlainCopy,
}

/// The shape in which the evidence came (journal-formats §1–§3, §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Form {
    /// MS-XJRNL: Exchange 2007 to 2019 and Exchange Online.
    Exchange,
    /// Exchange 2000/2003 envelope journaling: `Content-Identifer: ExJournalReport`.
    Exchange2003,
    /// Amazon WorkMail: `X-WM-Journal-Report`.
    WorkMail,
    /// A report as mail clients export it: `Recipients:` with `(To)` behind each address.
    PstExport,
    /// A report attached to, or wrapped once by, another mail.
    WrappedReport,
    /// A delivery status notification (RFC 3464) or a bounce of another form.
    DeliveryStatus,
    /// A message disposition notification (RFC 8098).
    Disposition,
    /// An out-of-office or other automatic reply (RFC 3834).
    AutoReply,
    /// A non-delivery report that returns a journal report.
    UndeliverableReport,
    /// A mail without an envelope.
    PlainCopy,
    /// A mail with `X-Envelope-To` or `X-Envelope-From`.
    EnvelopeHeaders,
    EnvelopeEvent,
}

/// One statement that someone received, or was to receive, the mail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecipientClaim {
    pub address: Address,
    pub display_name: Option<String>,
    pub role: Role,
    /// How the mail got from the one addressed to this recipient, outermost first.
    pub path: Vec<Hop>,
    pub what: RecipientKind,
    /// ORCPT: the address before the server rewrote it.
    pub original: Option<String>,
    #[serde(default)]
    pub delivery: Option<DeliveryClaim>,
}

/// What a server says became of the mail at a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeliveryClaim {
    pub what: DeliveryKind,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
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

impl DeliveryKind {
    /// How little can come after it: a failure is an end, a mail that was read had been delivered.
    pub fn finality(self) -> u8 {
        match self {
            DeliveryKind::Delayed => 0,
            DeliveryKind::Expanded => 1,
            DeliveryKind::Relayed => 2,
            DeliveryKind::Delivered => 3,
            DeliveryKind::Failed => 4,
            DeliveryKind::Read => 5,
        }
    }
}

/// How a recipient was addressed. The order is the order of preference where claims conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    To,
    Cc,
    Bcc,
    /// Not told.
    Recipient,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RecipientKind {
    Mailbox,
    Group,
    Contact,
    PublicFolder,
    Unknown,
}

/// One step between the one addressed and the one who received.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hop {
    pub how: How,
    pub address: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum How {
    Expanded,
    Forwarded,
}

/// What an envelope event says of a distribution list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupClaim {
    pub address: String,
    pub expanded: bool,
    /// How many members the server counted.
    pub members: Option<i64>,
}

/// An original that the evidence carries or names: which bytes, and what they say of their identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    pub sha256: Digest,
    /// Bytes.
    pub size: i64,
    pub place: Place,
    /// A clear-text copy beside an encrypted original (journal report decryption).
    pub decrypted: bool,
    /// None where the original has neither From nor Date, or is not here to be looked at.
    pub guard: Option<Guard>,
    /// Of what follows the first empty line.
    pub body_sha256: Option<Digest>,
    /// The addresses in its From.
    pub from: Vec<String>,
    /// Its Subject, decoded.
    pub subject: Option<String>,
}

/// Where an original's bytes are, seen from its arrival.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    pub how: PlaceKind,
    /// Byte span of the arrival; 0 and 0 where `how` is `CONTENT` or `ELSEWHERE`.
    pub start: i64,
    pub end: i64,
    /// Where they lie, for `ELSEWHERE`.
    pub uri: Option<String>,
    /// The encoded report that the span counts in; none: in the arrival itself.
    pub within: Option<Within>,
}

/// Where another mail carries a report encoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Within {
    pub how: PlaceKind,
    /// Byte span of the arrival.
    pub start: i64,
    pub end: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlaceKind {
    /// The span itself.
    Cut,
    /// The span, decoded from base64.
    Base64,
    /// The span, decoded from quoted-printable.
    QuotedPrintable,
    /// The `content.message` of the envelope event that arrived.
    Content,
    /// Not in the arrival.
    Elsewhere,
}

/// What a DSN, MDN or automatic reply says of the mail it is about (RFC 3464, RFC 8098, RFC 3834).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// The Message-ID of the mail it is about, and which step found it (journal-formats §7.3).
    pub about: Option<String>,
    pub found_by: Option<FoundBy>,
    /// The guard of the headers that it returns.
    pub about_guard: Option<Guard>,
    pub reporting_mta: Option<String>,
    pub original_envelope_id: Option<String>,
    pub statuses: Vec<RecipientStatus>,
    /// It is a delivery status notification or a bounce of another form, be it journaled: without any status, too, it
    /// says that something was not delivered.
    pub is_bounce: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FoundBy {
    ReturnedHeaders,
    OriginalMessageId,
    InReplyTo,
    References,
    Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecipientStatus {
    pub final_recipient: Option<String>,
    pub original_recipient: Option<String>,
    /// failed, delayed, delivered, relayed, expanded (RFC 3464 §2.3.3); displayed, deleted, … for an MDN; lower-case.
    pub action: Option<String>,
    /// `5.1.1` (RFC 3463).
    pub status: Option<String>,
    pub diagnostic: Option<String>,
}

/// What was odd, in the words of the contract (§3 `flags[]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    Ambiguous,
    DecryptedCopy,
    /// A field that may stand once stood again in a report's text; the first counts.
    DuplicateField,
    Encrypted,
    EnvelopeMissing,
    /// A report whose text could not be read as an envelope.
    EnvelopeUnparsed,
    ForgedSuspect,
    MessageIdMissing,
    MessageIdReused,
    /// A mail that looks like a report but is not understood as one.
    NotUnderstood,
    OriginalByReference,
    OriginalMissing,
    /// A report's text and its original disagree about Message-ID or Subject.
    ReportMismatch,
    RoleConflict,
    SenderConflict,
    Tnef,
    Truncated,
    UndeliverableReport,
}

impl fmt::Display for Flag {
    /// The contract's word: `report-mismatch`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Flags as strings: Avro's enum symbols know no hyphen, and a new flag then needs no new schema version.
pub(crate) mod flag_names {
    use std::fmt;

    use serde::{
        Deserialize, Deserializer, Serializer,
        de::{Error, IntoDeserializer as _, Visitor, value},
    };

    use super::Flag;

    pub fn serialize<S: Serializer>(flags: &[Flag], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(flags.iter().map(Flag::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Flag>, D::Error> {
        Ok(Vec::<Named>::deserialize(deserializer)?.into_iter().map(|named| named.0).collect())
    }

    struct Named(Flag);

    impl<'de> Deserialize<'de> for Named {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Named, D::Error> {
            deserializer.deserialize_str(Name).map(Named)
        }
    }

    struct Name;

    impl Visitor<'_> for Name {
        type Value = Flag;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the name of a flag")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<Flag, E> {
            Flag::deserialize(name.into_deserializer()).map_err(|error: value::Error| E::custom(error))
        }
    }
}

/// Why an arrival is no evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Rejection {
    /// A word for machines: `empty`, `not-a-mail`, `not-an-envelope-event`, `no-message-id-and-no-content`, …
    pub reason: &'static str,
    /// A sentence for people.
    pub detail: String,
}
