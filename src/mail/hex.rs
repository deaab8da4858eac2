//! Hexadecimal digits: read in either case, written in lower case.

use std::fmt;

use serde::{
    Deserializer,
    de::{self, Visitor},
};

/// The byte that two digits spell.
pub fn byte(pair: &[u8]) -> Option<u8> {
    let [high, low] = pair else { return None };
    let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
    (high | low < 16).then_some(high << 4 | low)
}

/// The bytes that exactly `2 * N` digits spell.
pub fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (meant, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *meant = byte(pair)?;
    }
    Some(bytes)
}

/// The two digits of a byte.
fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Bytes to be written as digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chunks(32).try_for_each(|bytes| f.write_str(spell(bytes, &mut [0; 64])))
    }
}

/// Spells up to 32 bytes in the room for them.
pub fn spell<'t>(bytes: &[u8], text: &'t mut [u8; 64]) -> &'t str {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&digits(*byte));
    }
    str::from_utf8(&text[..2 * bytes.len()]).expect("hex digits are ASCII")
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What each byte is worth as a digit; 16 and more: it is none.
const VALUES: [u8; 256] = {
    let mut values = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value] as usize] = value as u8;
        values[DIGITS[value].to_ascii_uppercase() as usize] = value as u8;
        value += 1;
    }
    values
};

/// Reads a text of exactly `2 * N` digits, without a copy of it: drafts hold many.
pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_str(Digits::<N>)
}

struct Digits<const N: usize>;

impl<const N: usize> Visitor<'_> for Digits<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hex digits", 2 * N)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<[u8; N], E> {
        parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
