//! Originals: the mails that people write, before any server journals them.

use bytes::Bytes;

use super::text::{Body, put};
use crate::arrival::Timestamp;

/// What a mail's header says.
#[derive(Clone, Debug)]
pub struct Letter {
    /// When it was written: its Date.
    pub at: Timestamp,
    /// The envelope sender's bare address.
    pub sender: String,
    /// Mailboxes as a header prints them.
    pub from: String,
    pub to: Vec<String>,
    pub cc: Vec<String>,
    /// Decoded; what is not ASCII is written as an encoded word.
    pub subject: String,
    /// With its angle brackets; none leaves the field out.
    pub message_id: Option<String>,
    /// Exchange's id, as a GUID with dashes; none leaves the field out.
    pub network_message_id: Option<String>,
}

impl Letter {
    pub fn original(&self, body: &Body) -> Bytes {
        let mut bytes = Vec::with_capacity(body.bytes.len() + 1024);
        put(&mut bytes, &["From: ", &self.from, "\r\n"]);
        put_mailboxes(&mut bytes, "To", &self.to);
        put_mailboxes(&mut bytes, "Cc", &self.cc);
        put(&mut bytes, &["Subject: ", &subject_field(&self.subject), "\r\nDate: ", &date(self.at), "\r\n"]);
        if let Some(message_id) = &self.message_id {
            put(&mut bytes, &["Message-ID: ", message_id, "\r\n"]);
        }
        if let Some(id) = &self.network_message_id {
            put(&mut bytes, &["X-MS-Exchange-Organization-Network-Message-Id:\r\n\t", id, "\r\n"]);
        }
        put(&mut bytes, &["MIME-Version: 1.0\r\n", &body.fields, "\r\n"]);
        bytes.extend_from_slice(&body.bytes);
        bytes.into()
    }
}

/// The mail as it is after one more server: a Received field before the others, all other bytes the same.
pub fn passed(original: &[u8], from: &str, by: &str, at: Timestamp) -> Bytes {
    let mut bytes = Vec::with_capacity(original.len() + 160);
    put_received(&mut bytes, from, by, at);
    bytes.extend_from_slice(original);
    bytes.into()
}

/// A copy of the mail with fields put before its own, as a delivery agent does it.
pub fn with_fields(original: &[u8], fields: &[(&str, &str)]) -> Bytes {
    let mut bytes = Vec::with_capacity(original.len() + 160);
    for (name, value) in fields {
        put(&mut bytes, &[name, ": ", value, "\r\n"]);
    }
    bytes.extend_from_slice(original);
    bytes.into()
}

pub(super) fn put_received(bytes: &mut Vec<u8>, from: &str, by: &str, at: Timestamp) {
    put(bytes, &["Received: from ", from, "\r\n\tby ", by, " with ESMTPS;\r\n\t", &date(at), "\r\n"]);
}

/// One mailbox a line, so that no line grows with the number of recipients.
pub(super) fn put_mailboxes(bytes: &mut Vec<u8>, field: &str, mailboxes: &[String]) {
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let before = if index == 0 { [field, ": "] } else { [",\r\n", "\t"] };
        put(bytes, &before);
        put(bytes, &[mailbox]);
    }
    if !mailboxes.is_empty() {
        put(bytes, &["\r\n"]);
    }
}

/// A subject as the header field carries it (RFC 2047).
pub(super) fn subject_field(subject: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    if subject.is_ascii() {
        return subject.to_owned();
    }
    format!("=?utf-8?B?{}?=", STANDARD.encode(subject))
}

/// An RFC 5322 date, UTC.
pub(super) fn date(at: Timestamp) -> String {
    mail_parser::DateTime::from_timestamp(at.0.div_euclid(1000)).to_rfc822()
}
