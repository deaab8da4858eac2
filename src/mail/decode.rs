//! Transfer encodings, charsets and encoded words: bytes → the bytes or the text that were meant. Never fails:
//! what cannot be decoded stays as it is.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::{headers::Head, hex, lines::Lines, parts::ContentType};
use crate::limits;

/// A Content-Transfer-Encoding (RFC 2045 §6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// 7bit, 8bit, binary, or one that we do not know.
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
}

impl Encoding {
    pub fn of(head: &Head) -> Encoding {
        let Some(value) = head.get("Content-Transfer-Encoding") else { return Encoding::Identity };
        match ContentType::read(&value).essence.as_str() {
            "base64" => Encoding::Base64,
            "quoted-printable" => Encoding::QuotedPrintable,
            _ => Encoding::Identity,
        }
    }

    pub fn decode(self, bytes: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Encoding::Identity => Cow::Borrowed(bytes),
            Encoding::Base64 => Cow::Owned(decode_base64(bytes)),
            Encoding::QuotedPrintable => Cow::Owned(decode_quoted_printable(bytes)),
        }
    }
}

/// Base64 (RFC 2045 §6.8): what is not of its alphabet is passed over; padding ends a group, not the whole.
pub fn decode_base64(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len() / 4 * 3 + 3);
    let (mut bits, mut count) = (0u32, 0u32);
    for &byte in bytes {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                flush_group(&mut decoded, bits, count);
                (bits, count) = (0, 0);
                continue;
            }
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        count += 1;
        if count == 4 {
            decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
            (bits, count) = (0, 0);
        }
    }
    flush_group(&mut decoded, bits, count);
    decoded
}

/// The bytes of a group of two or three digits; a single digit holds none.
fn flush_group(decoded: &mut Vec<u8>, bits: u32, count: u32) {
    match count {
        2 => decoded.push((bits >> 4).to_be_bytes()[3]),
        3 => decoded.extend_from_slice(&(bits >> 2).to_be_bytes()[2..]),
        _ => {}
    }
}

/// Quoted-printable (RFC 2045 §6.7): a malformed escape stays as it is.
pub fn decode_quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'=', rest) {
        decoded.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(byte) = rest.get(..2).and_then(hex::byte) {
            decoded.push(byte);
            rest = &rest[2..];
        } else if let Some(next) = soft_break(rest) {
            rest = &rest[next..];
        } else {
            decoded.push(b'=');
        }
    }
    decoded.extend_from_slice(rest);
    decoded
}

/// Where the text goes on behind a soft line break, if this is one.
fn soft_break(rest: &[u8]) -> Option<usize> {
    let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    match rest[spaces..] {
        [] => Some(spaces),
        [b'\r', b'\n', ..] => Some(spaces + 2),
        [b'\n' | b'\r', ..] => Some(spaces + 1),
        _ => None,
    }
}

/// Bytes whose charset nobody told: UTF-8, else windows-1252, which reads every byte.
pub fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(
            decode_charset(b"windows-1252", bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned()),
        ),
    }
}

/// Text in a declared charset, without a byte order mark; what UTF-8 reads or no charset names falls back to
/// [`text_of`].
pub fn text_in<'a>(charset: Option<&[u8]>, bytes: &'a [u8]) -> Cow<'a, str> {
    let charset = charset.filter(|charset| !is_ascii_superset(charset));
    let text = charset.and_then(|charset| decode_charset(charset, bytes)).map_or_else(|| text_of(bytes), Cow::Owned);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)),
        Cow::Owned(text) if text.starts_with(BYTE_ORDER_MARK) => {
            Cow::Owned(text[BYTE_ORDER_MARK.len_utf8()..].to_owned())
        }
        owned => owned,
    }
}

const BYTE_ORDER_MARK: char = '\u{feff}';

fn is_ascii_superset(charset: &[u8]) -> bool {
    charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"us-ascii") || charset.is_empty()
}

/// None if we know no charset of that name.
fn decode_charset(charset: &[u8], bytes: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(charset).to_ascii_lowercase().replace('_', "-");
    match name.as_str() {
        "utf-7" | "csutf7" | "unicode-1-1-utf-7" => Some(decode_utf_7(bytes)),
        // mail-parser reads the whole as one character, ASCII and all.
        "iso-2022-kr" | "csiso2022kr" | "iso-2022-cn" | "iso-2022-cn-ext" | "hz-gb-2312" => None,
        "iso-2022-jp" | "csiso2022jp" => charset_decoder(charset).map(|decoder| decode_lines(decoder, bytes)),
        _ => charset_decoder(charset).map(|decoder| decoder(bytes)),
    }
}

/// A line of ISO-2022-JP begins in ASCII, whether or not the one before it switched back (RFC 1468).
fn decode_lines(decoder: fn(&[u8]) -> String, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for line in Lines::new(bytes) {
        text.push_str(&decoder(line.text));
        text.push_str(&text_of(&bytes[line.start + line.text.len()..line.next]));
    }
    text
}

/// UTF-7 (RFC 2152): UTF-16 in base64 between a `+` and what is no base64, of which only a `-` is not text.
/// mail-parser's takes away whatever that is, a line end too, and a run that ends with the text.
fn decode_utf_7(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        text.push_str(&text_of(&rest[..at]));
        rest = &rest[at + 1..];
        let is_digit = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let (run, behind) = rest.split_at(rest.iter().take_while(is_digit).count());
        if run.is_empty() {
            text.push('+');
        }
        let decoded = decode_base64(run);
        let units = decoded.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair));
        text.extend(char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)));
        rest = behind.strip_prefix(b"-").unwrap_or(behind);
    }
    text.push_str(&text_of(rest));
    text
}

/// A header value with its encoded words decoded (RFC 2047), cut at [`limits::HEADER_TEXT_BYTES_MAX`]. White space
/// between two encoded words belongs to neither. Words that cannot be decoded stay as they are.
pub fn decode_words(value: &[u8]) -> String {
    let value = &value[..value.len().min(limits::HEADER_TEXT_BYTES_MAX)];
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    let mut pending: Option<(Vec<u8>, Vec<u8>)> = None;
    while let Some(at) = memchr::memmem::find(rest, b"=?") {
        let between = &rest[..at];
        let Some(word) = EncodedWord::read(&rest[at..]) else {
            flush_word(&mut text, &mut pending);
            text.push_str(&text_of(&rest[..at + 2]));
            rest = &rest[at + 2..];
            continue;
        };
        let adjacent = pending.is_some() && super::lines::is_blank(between);
        match &mut pending {
            // A character may be split over two words of one charset (against RFC 2047 §5, but met).
            Some((charset, bytes)) if adjacent && charset.eq_ignore_ascii_case(word.charset) => {
                bytes.extend_from_slice(&word.decoded);
            }
            _ => {
                flush_word(&mut text, &mut pending);
                if !adjacent {
                    text.push_str(&text_of(between));
                }
                pending = Some((word.charset.to_vec(), word.decoded));
            }
        }
        rest = &rest[at + word.length..];
    }
    flush_word(&mut text, &mut pending);
    text.push_str(&text_of(rest));
    text
}

fn flush_word(text: &mut String, pending: &mut Option<(Vec<u8>, Vec<u8>)>) {
    if let Some((charset, bytes)) = pending.take() {
        text.push_str(&text_in(Some(&charset), &bytes));
    }
}

struct EncodedWord<'a> {
    charset: &'a [u8],
    decoded: Vec<u8>,
    length: usize,
}

/// A charset's name with a language behind it is below this, bytes; it keeps a row of `=?` linear.
const WORD_CHARSET_BYTES_MAX: usize = 80;

impl<'a> EncodedWord<'a> {
    /// `=?charset[*language]?B|Q?text?=` at the start of `bytes`.
    fn read(bytes: &'a [u8]) -> Option<EncodedWord<'a>> {
        let inner = bytes.get(2..)?;
        let charset_end = memchr::memchr(b'?', &inner[..inner.len().min(WORD_CHARSET_BYTES_MAX)])?;
        let charset = inner[..charset_end].split(|&byte| byte == b'*').next()?;
        let &[encoding, b'?', ref text @ ..] = inner.get(charset_end + 1..)? else { return None };
        let end = memchr::memchr(b'?', text)?;
        if text.get(end + 1) != Some(&b'=') || charset.is_empty() {
            return None;
        }
        let decoded = match encoding {
            b'B' | b'b' => decode_base64(&text[..end]),
            b'Q' | b'q' => decode_quoted_printable(
                &text[..end].iter().map(|&b| if b == b'_' { b' ' } else { b }).collect::<Vec<u8>>(),
            ),
            _ => return None,
        };
        Some(EncodedWord { charset, decoded, length: 2 + charset_end + 3 + end + 2 })
    }
}
