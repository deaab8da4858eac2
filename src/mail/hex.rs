//! Hexadecimal digits: read in either case, written in lower case.

use std::fmt;

/// The byte that two digits spell.
pub fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let [high, low] = pair else { return None };
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
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
pub fn digits(byte: u8) -> [u8; 2] {
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// Bytes to be written as digits.
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| f.write_str(str::from_utf8(&digits(*byte)).map_err(|_| fmt::Error)?))
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";
