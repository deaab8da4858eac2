//! Envelope events: what a mail server says happened to a message (contract §2), as Avro or as a line of JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Evidence, Flag, Form, GroupClaim, Hop, Kind, Original, Place, RecipientClaim, RecipientKind, Rejection, Role,
    original::examine,
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
        let message = self.content.as_ref().and_then(|content| content.message.as_ref());
        let told_id = self.message_id.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let head = message.map(|message| Head::read(message));
        let own_id = head.as_ref().and_then(|head| head.text("Message-ID")).filter(|text| !text.is_empty());
        let mut flags = Vec::new();
        let original = self.original(&mut flags);
        let own_key = own_id.as_deref().and_then(message_id_key);
        let told_key = told_id.and_then(message_id_key);
        if own_key.is_some() && told_key.is_some() && own_key != told_key || self.subject_differs(original.as_ref()) {
            flags.push(Flag::ReportMismatch);
        }
        let message_id = if own_key.is_some() { own_id } else { told_key.as_ref().and(told_id).map(str::to_owned) };
        let key = match own_key.or(told_key) {
            Some(key) => key,
            None if original.is_none() => return Err(nothing_to_go_by()),
            None => {
                flags.push(Flag::MessageIdMissing);
                match (message, &head) {
                    (Some(message), Some(head)) => stand_in_of(head, &message[head.body_at..]),
                    _ => Key::stand_in(id),
                }
            }
        };
        flags.sort_unstable();
        flags.dedup();
        Ok(Evidence {
            id,
            kind: Kind::EnvelopeEvent,
            form: Form::EnvelopeEvent,
            key,
            message_id,
            network_message_id: self.network_message_id.as_deref().and_then(normal_network_id),
            report_id: Some(self.event_id.clone()).filter(|id| !id.is_empty()),
            server: Some(self.server.clone()).filter(|server| !server.is_empty()),
            sender: self.sender.clone(),
            on_behalf_of: None,
            subject: self.subject.clone(),
            recipients: self
                .recipients
                .iter()
                .filter(|one| !one.address.is_empty())
                .map(EventRecipient::claim)
                .collect(),
            groups: self.group.iter().map(EventGroup::claim).collect(),
            journaled_to: self.journaled_to.clone(),
            originals: original.into_iter().collect(),
            notice: None,
            flags,
        })
    }

    /// The original that the content is or names. What the bytes are wins over what the event says of them.
    fn original(&self, flags: &mut Vec<Flag>) -> Option<Original> {
        let content = self.content.as_ref()?;
        let told = Digest::from_hex(&content.sha256);
        if let Some(message) = &content.message {
            let original = examine(message, Place::content(), false);
            let same = told.unwrap_or(original.sha256) == original.sha256
                && (told.is_some() || content.sha256.is_empty())
                && (content.size == original.size || content.size == 0);
            if !same {
                flags.push(Flag::ReportMismatch);
            }
            return Some(original);
        }
        let uri = content.reference.clone().filter(|uri| !uri.is_empty())?;
        let Some(sha256) = told else {
            // Nothing names these bytes, so no record can.
            flags.push(Flag::OriginalMissing);
            return None;
        };
        flags.push(Flag::OriginalByReference);
        let place = Place::elsewhere(uri);
        let (guard, body_sha256, from, subject) = (None, None, Vec::new(), None);
        Some(Original { sha256, size: content.size, place, decrypted: false, guard, body_sha256, from, subject })
    }

    fn subject_differs(&self, original: Option<&Original>) -> bool {
        match (&self.subject, original.and_then(|original| original.subject.as_ref())) {
            (Some(told), Some(own)) => !told.split_whitespace().eq(own.split_whitespace()),
            _ => false,
        }
    }
}

impl EventRecipient {
    fn claim(&self) -> RecipientClaim {
        RecipientClaim {
            address: Address::of(&self.address),
            display_name: None,
            role: self.role.into(),
            path: self.via.clone(),
            what: self.kind,
            original: self.original.clone(),
        }
    }
}

impl EventGroup {
    fn claim(&self) -> GroupClaim {
        GroupClaim { address: self.address.clone(), expanded: self.expanded, members: self.members }
    }
}

/// Lower-case hex without dashes or braces; none if that leaves nothing.
fn normal_network_id(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).map(|digit| digit.to_ascii_lowercase()).collect();
    (!digits.is_empty()).then_some(digits)
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
