//! SHA-256 digests: of arrivals, of originals, of bodies.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::hex::{self, Hex};

/// A SHA-256 digest, written as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Of several pieces with a NUL between each two.
    pub fn of_joined(pieces: &[&[u8]]) -> Digest {
        let mut hasher = Sha256::new();
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 {
                hasher.update([0]);
            }
            hasher.update(piece);
        }
        Digest(hasher.finalize().into())
    }

    /// The first eight bytes: the 16 hex digits that record ids carry.
    pub fn short(&self) -> [u8; 8] {
        let mut short = [0; 8];
        short.copy_from_slice(&self.0[..8]);
        short
    }

    /// Reads 64 hex digits, of either case.
    pub fn from_hex(text: &str) -> Option<Digest> {
        hex::parse(text).map(Digest)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Drafts and records hold many: no formatting, no text on the heap.
        serializer.serialize_str(hex::spell(&self.0, &mut [0; 64]))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        hex::deserialize(deserializer).map(Digest)
    }
}
