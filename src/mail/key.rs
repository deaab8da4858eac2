//! What correlation groups by: the normalised Message-ID, or a stand-in where there is none, and the guard against its reuse.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    comments::{comment_length, skip_comments},
    decode::text_of,
    digest::Digest,
    headers::{Head, unfold},
    hex::{self, Hex},
};
use crate::limits;

/// The key text (contract §1): `<a@b>`, or `sha256:` and 64 hex digits for a mail without a Message-ID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub Arc<str>);

impl Key {
    /// The stand-in for a mail without Message-ID.
    pub fn stand_in(digest: Digest) -> Key {
        Key(format!("sha256:{digest}").into())
    }

    pub fn is_stand_in(&self) -> bool {
        self.0.starts_with("sha256:")
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a Message-ID as found (contract §1): unfolded and trimmed, the first `<…>` in it outside of comments, else
/// the bare token in angle brackets, comments before it dropped, else the first `<…>`; case kept. None where nothing is
/// left, or more than [`limits::MESSAGE_ID_BYTES_MAX`] octets are.
pub fn message_id_key(text: &str) -> Option<Key> {
    let value = unfold(text.as_bytes());
    let id = bracketed(&value)
        .map(Cow::Borrowed)
        .or_else(|| bare_token(&value).map(Cow::Owned))
        .or_else(|| first_bracketed(&value).map(Cow::Borrowed))?;
    (id.len() <= limits::MESSAGE_ID_BYTES_MAX).then(|| Key(text_of(&id).into()))
}

/// The first `<…>` outside of comments. A parenthesis that is never closed begins no comment.
fn bracketed(value: &[u8]) -> Option<&[u8]> {
    let mut rest = value;
    loop {
        let at = memchr::memchr2(b'<', b'(', rest)?;
        rest = &rest[at..];
        if rest[0] == b'<' {
            return first_bracketed(rest);
        }
        match comment_length(rest) {
            Some(length) => rest = &rest[length..],
            None => return first_bracketed(rest),
        }
    }
}

/// The first `<…>`, if there is something in it.
fn first_bracketed(value: &[u8]) -> Option<&[u8]> {
    let start = memchr::memchr(b'<', value)?;
    let length = memchr::memchr(b'>', &value[start..])?;
    (length > 1).then(|| &value[start..=start + length])
}

/// The first word that is no comment, in angle brackets.
fn bare_token(value: &[u8]) -> Option<Vec<u8>> {
    let value = skip_comments(value);
    let token = value.split(|byte| byte.is_ascii_whitespace()).next().unwrap_or_default();
    let token = token.strip_prefix(b"<").unwrap_or(token);
    let token = token.strip_suffix(b">").unwrap_or(token);
    (!token.is_empty()).then(|| [b"<", token, b">"].concat())
}

/// The stand-in of an original without Message-ID (contract §1): of its From, its Date and its body.
pub fn stand_in_of(head: &Head, body: &[u8]) -> Key {
    let from = head.get("From").unwrap_or_default();
    let date = head.get("Date").unwrap_or_default();
    Key::stand_in(Digest::of_joined(&[&from, &date, body]))
}

/// The second factor of a message's identity: 8 bytes of SHA-256 of the original's From and Date, each unfolded and
/// trimmed, a NUL between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guard(pub [u8; 8]);

impl Guard {
    pub fn of(from: &[u8], date: &[u8]) -> Guard {
        Guard(Digest::of_joined(&[from, date]).short())
    }

    /// None where the header block has neither From nor Date.
    pub fn of_head(head: &Head) -> Option<Guard> {
        let (from, date) = (head.get("From"), head.get("Date"));
        (from.is_some() || date.is_some()).then(|| Guard::of(&from.unwrap_or_default(), &date.unwrap_or_default()))
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl Serialize for Guard {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guard {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Guard, D::Error> {
        hex::deserialize(deserializer).map(Guard)
    }
}
