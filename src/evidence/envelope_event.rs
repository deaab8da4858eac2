//! Envelope events: what a mail server says happened to a message (contract §2), as Avro or as a line of JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    DeliveryClaim, DeliveryKind, Evidence, Flag, Form, GroupClaim, Hop, Kind, Original, Place, RecipientClaim,
    RecipientKind, Rejection, Role, bounds,
    mail::{message_id_of, network_message_id_of, normal_guid},
    original::examine_read,
    protection::{is_encrypted, is_tnef},
    report::notice_of,
};
use crate::{
    avro::{self, Schema},
    limits,
    mail::{
        Address, Digest, Key,
        headers::Head,
        key::{message_id_key, stand_in_of},
    },
};

/// One event. In JSON a missing nullable field is null, a missing list empty, and an unknown field is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvelopeEvent {
    /// The server's own id of the event, may be empty.
    #[serde(default)]
    pub event_id: String,
    pub server: String,
    #[serde(default)]
    pub server_version: Option<String>,
    pub stage: Stage,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at: i64,
    #[serde(default)]
    pub direction: Direction,
    #[serde(default)]
    pub message_id: Option<String>,
    #[serde(default)]
    pub network_message_id: Option<String>,
    #[serde(default)]
    pub internal_message_id: Option<String>,
    /// MAIL FROM; `""` is the null sender.
    #[serde(default)]
    pub sender: Option<String>,
    #[serde(default)]
    pub header_from: Option<String>,
    #[serde(default)]
    pub header_sender: Option<String>,
    #[serde(default)]
    pub authenticated_as: Option<String>,
    #[serde(default)]
    pub subject: Option<String>,
    #[serde(default)]
    pub recipients: Vec<EventRecipient>,
    #[serde(default)]
    pub group: Option<EventGroup>,
    #[serde(default)]
    pub journaled_to: Vec<String>,
    #[serde(default)]
    pub already_journaled_to: Vec<String>,
    #[serde(default)]
    pub content: Option<EventContent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Stage {
    Submitted,
    Received,
    Expanded,
    Resolved,
    Redirected,
    Routed,
    Transferred,
    Sent,
    Delivered,
    Failed,
    Dropped,
    Other,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Direction {
    Inbound,
    Outbound,
    Internal,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecipient {
    pub address: String,
    #[serde(default = "unknown_kind")]
    pub kind: RecipientKind,
    #[serde(default)]
    pub role: EventRole,
    /// Outermost first.
    #[serde(default)]
    pub via: Vec<Hop>,
    /// ORCPT.
    #[serde(default)]
    pub original: Option<String>,
    /// The mailbox database.
    #[serde(default)]
    pub store: Option<String>,
    /// What the server said.
    #[serde(default)]
    pub status: Option<String>,
}

fn unknown_kind() -> RecipientKind {
    RecipientKind::Unknown
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EventRole {
    To,
    Cc,
    Bcc,
    #[default]
    Unknown,
}

impl From<EventRole> for Role {
    fn from(role: EventRole) -> Role {
        match role {
            EventRole::To => Role::To,
            EventRole::Cc => Role::Cc,
            EventRole::Bcc => Role::Bcc,
            EventRole::Unknown => Role::Recipient,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventGroup {
    pub address: String,
    #[serde(default)]
    pub expanded: bool,
    #[serde(default)]
    pub members: Option<i64>,
}

/// The message itself: here, or by reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventContent {
    #[serde(default, with = "crate::avro::content")]
    pub message: Option<Bytes>,
    #[serde(default)]
    pub reference: Option<String>,
    /// Bytes; 0 where it is not told.
    #[serde(default)]
    pub size: i64,
    /// 64 hex digits; empty where it is not told.
    #[serde(default)]
    pub sha256: String,
}

/// Reads an event's Avro value, framed, as evidence.
pub fn read_envelope_event(framed: &Bytes) -> Result<Evidence, Rejection> {
    let id = Digest::of(avro::datum(framed));
    EnvelopeEvent::from_framed(framed)?.to_evidence(id)
}

/// The message that a framed event carries: the bytes of an original whose place is [`Content`](super::PlaceKind::Content).
pub fn content_message(framed: &Bytes) -> Result<Bytes, String> {
    let event = EnvelopeEvent::from_framed(framed).map_err(|rejection| rejection.detail)?;
    event.content.and_then(|content| content.message).ok_or_else(|| "the envelope event carries no message".to_owned())
}

impl EnvelopeEvent {
    /// Reads the Avro value of `journal.envelopes`.
    pub fn from_framed(framed: &[u8]) -> Result<EnvelopeEvent, Rejection> {
        avro::decode(Schema::EnvelopeEvent, framed).map_err(|error| not_an_event(&error))
    }

    /// Reads a line of `envelopes.jsonl`: bytes in base64. A message's size and hash are filled in where they are not
    /// told.
    pub fn from_json(line: &[u8]) -> Result<EnvelopeEvent, Rejection> {
        let mut event: EnvelopeEvent = serde_json::from_slice(line).map_err(|error| not_an_event(&error))?;
        if let Some(EventContent { message: Some(message), size, sha256, .. }) = &mut event.content {
            if *size == 0 {
                *size = size_of(message);
            }
            if sha256.is_empty() {
                *sha256 = Digest::of(message).to_string();
            }
        }
        Ok(event)
    }

    /// The event as `journal.envelopes` carries it, with today's schema.
    pub fn to_framed(&self) -> Bytes {
        let body_bytes = self.content.as_ref().and_then(|content| content.message.as_ref()).map_or(0, Bytes::len);
        avro::encode_sized(Schema::EnvelopeEvent, self, body_bytes).into()
    }

    /// What the event says; `id` is the SHA-256 of its datum.
    pub fn to_evidence(&self, id: Digest) -> Result<Evidence, Rejection> {
        let carried = self.carried();
        let (key, message_id) = self.key(id, carried.as_ref())?;
        let original = carried.as_ref().map(Carried::examine).or_else(|| self.original_elsewhere());
        let flags = self.flags(message_id.is_none(), carried.as_ref(), original.as_ref());
        let own_network_id = || carried.as_ref().and_then(|carried| network_message_id_of(&carried.head));
        let mut evidence = Evidence {
            id,
            kind: Kind::EnvelopeEvent,
            form: Form::EnvelopeEvent,
            key,
            message_id,
            network_message_id: self.network_message_id.as_deref().and_then(normal_guid).or_else(own_network_id),
            report_id: Some(self.event_id.clone()).filter(|id| !id.is_empty()),
            server: Some(self.server.clone()).filter(|server| !server.is_empty()),
            sender: self.sender.clone(),
            on_behalf_of: None,
            subject: self.subject.clone(),
            recipients: self
                .recipients
                .iter()
                .filter(|one| !one.address.is_empty())
                .map(|one| one.claim(self.delivery()))
                .collect(),
            groups: self.group.iter().map(EventGroup::claim).collect(),
            journaled_to: self.journaled_to.clone(),
            originals: original.into_iter().collect(),
            notice: carried.as_ref().and_then(|carried| notice_of(carried.bytes, &carried.head)),
            flags,
            tags: BTreeMap::new(),
        };
        bounds::bound(&mut evidence);
        Ok(evidence)
    }

    /// What its stage says became of the mail at each of its recipients.
    fn delivery(&self) -> Option<DeliveryClaim> {
        let what = match self.stage {
            Stage::Delivered => DeliveryKind::Delivered,
            Stage::Failed | Stage::Dropped => DeliveryKind::Failed,
            _ => return None,
        };
        Some(DeliveryClaim { what, at: self.at })
    }

    fn carried(&self) -> Option<Carried<'_>> {
        let bytes = self.content.as_ref()?.message.as_ref()?;
        Some(Carried { bytes, head: Head::read(bytes) })
    }

    /// The message's own Message-ID, else the one that the event tells, else a stand-in; and the id as found.
    fn key(&self, id: Digest, carried: Option<&Carried>) -> Result<(Key, Option<String>), Rejection> {
        let told = || self.message_id.as_deref().and_then(|text| Some((message_id_key(text)?, text.trim().to_owned())));
        if let Some((key, found)) = carried.and_then(|carried| message_id_of(&carried.head)).or_else(told) {
            return Ok((key, Some(found)));
        }
        match (carried, self.original_elsewhere()) {
            (Some(carried), _) => Ok((stand_in_of(&carried.head, &carried.bytes[carried.head.body_at..]), None)),
            (None, Some(_)) => Ok((Key::stand_in(id), None)),
            (None, None) => Err(nothing_to_go_by()),
        }
    }

    /// The original that the content names but does not carry. Without a hash, no record could name it.
    fn original_elsewhere(&self) -> Option<Original> {
        let content = self.content.as_ref().filter(|content| content.message.is_none())?;
        let uri = content.reference.clone().filter(|uri| !uri.is_empty())?;
        Some(Original {
            sha256: Digest::from_hex(&content.sha256)?,
            size: content.size,
            place: Place::elsewhere(uri),
            decrypted: false,
            guard: None,
            body_sha256: None,
            from: Vec::new(),
            subject: None,
        })
    }

    fn flags(&self, nameless: bool, carried: Option<&Carried>, original: Option<&Original>) -> Vec<Flag> {
        let flags = [
            (Flag::Encrypted, carried.is_some_and(|carried| is_encrypted(carried.bytes, &carried.head))),
            (Flag::MessageIdMissing, nameless),
            (
                Flag::ReportMismatch,
                carried.zip(original).is_some_and(|(carried, found)| self.disagrees(carried, found)),
            ),
            (Flag::Tnef, carried.is_some_and(|carried| is_tnef(&carried.head))),
            (Flag::Truncated, self.recipients.iter().any(|one| one.via.len() > limits::PATH_HOPS_MAX)),
        ];
        flags.into_iter().filter(|&(_, is_set)| is_set).map(|(flag, _)| flag).collect()
    }

    /// Whether the event says of the message that it carries what is not so. What the message says wins.
    fn disagrees(&self, carried: &Carried, original: &Original) -> bool {
        let told_id = self.message_id.as_deref().and_then(message_id_key);
        let own_id = message_id_of(&carried.head).map(|(key, _)| key);
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<String>>();
        let content = self.content.as_ref();
        let other_bytes = content.is_some_and(|content| {
            let other_size = content.size != 0 && content.size != original.size;
            other_size || !content.sha256.is_empty() && Digest::from_hex(&content.sha256) != Some(original.sha256)
        });
        let differ =
            |told: Option<Vec<String>>, own: Option<Vec<String>>| told.zip(own).is_some_and(|(told, own)| told != own);
        other_bytes
            || told_id.zip(own_id).is_some_and(|(told, own)| told != own)
            || differ(self.subject.as_deref().map(words), original.subject.as_deref().map(words))
    }
}

/// The message that an event carries.
struct Carried<'a> {
    bytes: &'a Bytes,
    head: Head<'a>,
}

impl Carried<'_> {
    fn examine(&self) -> Original {
        examine_read(self.bytes, Digest::of(self.bytes), &self.head, Place::content(), false)
    }
}

impl EventRecipient {
    fn claim(&self, delivery: Option<DeliveryClaim>) -> RecipientClaim {
        RecipientClaim {
            address: Address::of(&self.address),
            display_name: None,
            role: self.role.into(),
            path: self.via.iter().take(limits::PATH_HOPS_MAX).cloned().collect(),
            what: self.kind,
            original: self.original.clone(),
            delivery,
        }
    }
}

impl EventGroup {
    fn claim(&self) -> GroupClaim {
        GroupClaim { address: self.address.clone(), expanded: self.expanded, members: self.members }
    }
}

fn size_of(message: &Bytes) -> i64 {
    i64::try_from(message.len()).unwrap_or(i64::MAX)
}

fn not_an_event(error: &dyn std::fmt::Display) -> Rejection {
    let detail = error.to_string().chars().take(limits::ERROR_DETAIL_CHARS_MAX).collect();
    Rejection { reason: "not-an-envelope-event", detail }
}

fn nothing_to_go_by() -> Rejection {
    Rejection {
        reason: "no-message-id-and-no-content",
        detail: "the envelope event has neither a message_id nor content, so nothing tells which message it is about"
            .to_owned(),
    }
}
