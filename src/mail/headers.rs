//! Header blocks (RFC 5322 §2.2): fields as slices of the bytes that came, unfolded on demand.

use std::borrow::Cow;

use mail_parser::DateTime;

use super::{
    decode::{decode_words, text_of},
    lines::{Line, Lines, is_space},
};
use crate::{arrival::Timestamp, limits};

/// One header field, its value still folded and without its last line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Line ends removed (RFC 5322 §2.2.3) and trimmed.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

/// A header block: all fields up to the first empty line. Lines that are no field are passed over.
#[derive(Clone, Debug, Default)]
pub struct Head<'a> {
    pub fields: Vec<Field<'a>>,
    /// Where the body starts: behind the first empty line, or at the end where there is none.
    pub body_at: usize,
    /// There were more fields than [`limits::HEADER_FIELDS_MAX`].
    pub truncated: bool,
    /// The first line, an mbox `From ` line aside, is a field by the strictest reading.
    pub begins_with_field: bool,
}

impl<'a> Head<'a> {
    /// Reads the header block that `bytes` start with. An mbox `From ` line before it is passed over.
    pub fn read(bytes: &'a [u8]) -> Head<'a> {
        let mut head = Head { fields: Vec::with_capacity(32), body_at: bytes.len(), ..Head::default() };
        let mut open: Option<(usize, usize)> = None;
        let mut value_end = 0;
        let mut at_first = true;
        for mut line in Lines::new(bytes) {
            if line.start == 0 && line.text.starts_with(BYTE_ORDER_MARK) {
                line = Line { text: &line.text[3..], start: 3, ..line };
            }
            if line.text.is_empty() {
                head.body_at = line.next;
                break;
            }
            if at_first && is_mbox_line(line.text) {
                continue;
            }
            if is_space(line.text[0]) && !at_first {
                value_end = line.start + line.text.len();
                continue;
            }
            head.close(bytes, open.take(), value_end);
            if let Some(colon) = colon_of(line.text) {
                head.begins_with_field |= at_first && line.text[..colon].iter().all(|&b| is_plain_name_byte(b));
                open = Some((line.start, line.start + colon));
                value_end = line.start + line.text.len();
            }
            at_first = false;
        }
        head.close(bytes, open, value_end);
        head
    }

    fn close(&mut self, bytes: &'a [u8], open: Option<(usize, usize)>, value_end: usize) {
        let Some((start, colon)) = open else { return };
        if self.fields.len() == limits::HEADER_FIELDS_MAX {
            self.truncated = true;
            return;
        }
        let name = bytes[start..colon].trim_ascii_end();
        self.fields.push(Field { name, value: &bytes[colon + 1..value_end] });
    }

    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|field| field.is(name))
    }

    /// The first field of that name, unfolded and trimmed.
    pub fn get(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.all(name).next().map(Field::unfolded)
    }

    /// All fields of that name, in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = &'s Field<'a>> + 's {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The first field of that name as text, unfolded and trimmed, encoded words as they are.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| text_of(&value).into_owned())
    }

    /// The first field of that name with its encoded words decoded (RFC 2047), cut at
    /// [`limits::HEADER_TEXT_BYTES_MAX`].
    pub fn decoded(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| decode_words(&value))
    }

    /// Whether the first field of that name holds `word`, in any case.
    pub fn says(&self, name: &str, word: &str) -> bool {
        let word = word.as_bytes();
        self.get(name).is_some_and(|value| value.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word)))
    }
}

/// When the mail came, by its newest (first) `Received` that has a date, else by its `Date`.
pub fn newest_received_at(bytes: &[u8]) -> Option<Timestamp> {
    let head = Head::read(bytes);
    let stamped = head.all("Received").find_map(|field| {
        let value = field.unfolded();
        let semicolon = value.iter().rposition(|&byte| byte == b';')?;
        parse_date(&value[semicolon + 1..])
    });
    stamped.or_else(|| parse_date(&head.get("Date")?))
}

/// A date as RFC 5322 §3.3 writes it.
pub fn parse_date(value: &[u8]) -> Option<Timestamp> {
    let text = String::from_utf8_lossy(value.get(..value.len().min(200))?);
    let date = DateTime::parse_rfc822(&format!("{}\n", text.trim()))?;
    (date.is_valid() && date.year > 0).then(|| Timestamp(date.to_timestamp().saturating_mul(1000)))
}

/// Removes line ends from a folded value (RFC 5322 §2.2.3), and white space around it.
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    let end = if memchr::memchr(b'\n', value).is_some() { b'\n' } else { b'\r' };
    if memchr::memchr(end, value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut unfolded = Vec::with_capacity(value.len());
    Lines::new(value).for_each(|line| unfolded.extend_from_slice(line.text));
    Cow::Owned(unfolded)
}

/// What Windows editors put before a text that they save.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The colon behind a field name (RFC 5322 §3.6.8; white space before it is obsolete but met).
fn colon_of(line: &[u8]) -> Option<usize> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    (!name.is_empty() && name.iter().all(|&byte| (33..=126).contains(&byte))).then_some(colon)
}

/// What the names of real header fields are made of: keeps JSON and other text from passing for a mail.
fn is_plain_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b' ' | b'\t')
}

fn is_mbox_line(line: &[u8]) -> bool {
    line.starts_with(b"From ") || line.starts_with(b">From ")
}
