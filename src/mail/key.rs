//! What correlation groups by: the normalised Message-ID, or a stand-in where there is none, and the guard against its reuse.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::digest::{Digest, write_hex};

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

/// The second factor of a message's identity: 8 bytes of SHA-256 of the original's From and Date, each unfolded and
/// trimmed, a NUL between.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guard(pub [u8; 8]);

impl Guard {
    pub fn of(from: &[u8], date: &[u8]) -> Guard {
        Guard(Digest::of_joined(&[from, date]).short())
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Serialize for Guard {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Guard {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Guard, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        if text.len() != 16 {
            return Err(serde::de::Error::custom("a guard is 16 hex digits"));
        }
        Ok(Guard(number.to_be_bytes()))
    }
}
