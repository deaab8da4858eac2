//! Header fields of a report: short lines, seven bits, nothing that could end a field early.

use mail_builder::headers::{Header as _, text::Text};

use crate::{limits, mail::headers::Head, record::JournalRecord};

/// Octets in a line without its end (RFC 5322 §2.1.1).
pub const LINE_BYTES_MAX: usize = 998;

/// Octets in a line of ours where there is a space to fold at (RFC 5322 §2.1.1).
const LINE_BYTES_WANTED: usize = 78;

/// Writes a value of printable ASCII, folded before its blanks.
pub fn plain(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut column = name.len() + 1;
    for word in value.split_ascii_whitespace() {
        if column + 1 + word.len() > LINE_BYTES_WANTED {
            out.extend_from_slice(b"\r\n");
            column = 0;
        }
        out.push(b' ');
        out.extend_from_slice(word.as_bytes());
        column += 1 + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes any text as an unstructured field, in encoded words (RFC 2047) where it needs them.
pub fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value[..value.floor_char_boundary(limits::REPORT_HEADER_BYTES_MAX)];
    if is_plain(value) && !value.contains("=?") {
        return plain(out, name, value);
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    Text::new(value).write_header(out, name.len() + 2);
}

/// Whether [`plain`] may write it: printable ASCII, single blanks, no word that is longer than a line.
pub fn is_plain(value: &str) -> bool {
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let words_fit = || value.split(' ').all(|word| !word.is_empty() && word.len() < LINE_BYTES_MAX);
    printable && words_fit() && value.len() <= limits::REPORT_HEADER_BYTES_MAX
}

pub fn date(out: &mut Vec<u8>, at_ms: i64) {
    plain(out, "Date", &super::date_text(at_ms));
}

/// From, To and Subject: the original's as they stand, where they are plain; else as the record has them.
pub fn copied(out: &mut Vec<u8>, record: &JournalRecord, original: Option<&Head>) {
    let field = |name| original.and_then(|head| head.get(name)).and_then(|value| as_plain(&value));
    plain(out, "From", &field("From").unwrap_or_else(|| from(record)));
    plain(out, "To", &field("To").unwrap_or_else(|| "undisclosed-recipients:;".to_owned()));
    match (field("Subject"), &record.subject) {
        (Some(subject), _) => plain(out, "Subject", &subject),
        (None, Some(subject)) => text(out, "Subject", subject),
        (None, None) => {}
    }
}

/// A raw value with its blanks made single, if it is plain then.
fn as_plain(value: &[u8]) -> Option<String> {
    let words = std::str::from_utf8(value).ok()?.split_ascii_whitespace();
    let value = words.collect::<Vec<&str>>().join(" ");
    is_plain(&value).then_some(value)
}

/// A group without members where there is no address that can stand here (RFC 6854 allows one in From).
fn from(record: &JournalRecord) -> String {
    let addresses: Vec<String> =
        record.from.iter().filter(|one| is_address(one)).map(|one| format!("<{one}>")).collect();
    let list = addresses.join(", ");
    if is_plain(&list) { list } else { "undisclosed-sender:;".to_owned() }
}

fn is_address(text: &str) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.@".contains(&byte);
    text.bytes().all(harmless) && text.split('@').count() == 2 && !text.starts_with('@') && !text.ends_with('@')
}
