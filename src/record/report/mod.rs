//! A record as one merged journal report: a mail as Exchange would have sent it, had one server seen everything
//! (MS-XJRNL), so that an archive built for Exchange journaling takes it unchanged.
//!
//! ```text
//! From, To, Subject    copied from the original, as Exchange does
//! X-MS-Journal-Report  empty; the mark of a report
//! multipart/mixed
//!    preamble                    the record without bodies, Avro in base64: what MS-XJRNL has no words for
//!    text/plain                  Sender, On-Behalf-Of, Subject, Message-Id, a line a recipient, role and path
//!    message/rfc822              the original, byte for byte
//!    message/rfc822              its decrypted copy, as journal report decryption has it
//!    application/octet-stream    each variant, in base64
//! ```
//!
//! The record lies in the preamble (RFC 2046 §5.1.1), which readers of mail pass over, and neither in the header block,
//! whose size servers bound (Exchange: 64 KiB, Postfix: 100 KiB), nor in an attachment, which archives would show and
//! some would take for the original. Variants are opaque to them for the same reason: a second `message/rfc822` is a
//! decrypted copy to an Exchange archive.

mod header;
mod text;

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use mail_builder::{headers::date::Date, mime::MimePart};
use memchr::memmem;

use super::{JournalRecord, OriginalRole, Recipient, RecordedOriginal};
use crate::{
    avro::{self, Schema},
    limits,
    mail::{
        Digest, Guard,
        headers::Head,
        parts::{ContentType, first_leaves},
    },
};

/// The record names an original whose bytes it does not carry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "revision {revision} of {record_id} does not carry its original: the bytes are in {reference}; \
     build the report from a record that has them"
)]
pub struct OriginalElsewhere {
    pub record_id: String,
    pub revision: i32,
    /// As the record has it: an object's URI, a position, or the revision that carried them.
    pub reference: String,
}

/// Builds the report of a record with its original's bytes. A record without any original makes a report without
/// attachment, as Exchange sends one when the original was stripped.
pub fn build(record: &JournalRecord) -> Result<Vec<u8>, OriginalElsewhere> {
    let absent = record.originals.iter().find(|one| one.role == OriginalRole::Primary && one.content.is_none());
    match absent {
        None => Ok(build_with_what_is_here(record)),
        Some(original) => Err(OriginalElsewhere {
            record_id: record.record_id.clone(),
            revision: record.revision,
            reference: original.reference.clone().unwrap_or_else(|| "no known place".to_owned()),
        }),
    }
}

/// As [`build`], but an original that is elsewhere is named in `X-Mailjournal-Original` instead of attached: for what
/// does not fit its topic.
pub fn build_with_what_is_here(record: &JournalRecord) -> Vec<u8> {
    let attachments = attachments(record);
    let text = text::envelope(record);
    let boundary = boundary(record, &attachments, &text);
    let carried: usize = attachments.iter().map(|one| one.content.len()).sum();
    let mut out = Vec::with_capacity(carried + carried / 50 + 4 * 1024);
    write_header_block(&mut out, record, &attachments, &boundary);
    write_preamble(&mut out, record);
    write_delimiter(&mut out, &boundary, "\r\n");
    write_text(&mut out, text);
    for attachment in attachments {
        write_delimiter(&mut out, &boundary, "\r\n");
        attachment.write(&mut out);
    }
    write_delimiter(&mut out, &boundary, "--\r\n");
    out
}

/// Bytes that a report takes at most beside its record in base64 and its attachments.
pub fn bytes_beside_record_at_most(record: &JournalRecord) -> usize {
    // A word of an encoded field takes at most three characters a byte and its frame; a plain one is folded.
    let field = |bytes: usize| 5 * bytes.min(limits::REPORT_HEADER_BYTES_MAX) + 256;
    // From, To, Subject and the parent's id stand in at most one such field each, whoever they are copied from.
    let subject = record.subject.as_deref().map_or(0, |subject| field(subject.len()));
    let copied = 4 * (limits::REPORT_HEADER_BYTES_MAX + limits::REPORT_HEADER_BYTES_MAX / 16);
    let references: usize = record.originals.iter().map(reference_bytes_at_most).sum();
    let flags = 32 * record.flags.len();
    let fixed = 4 * limits::REPORT_PART_BYTES + copied + flags;
    fixed + subject + field(record.record_id.len()) + references + text_bytes_at_most(&text::envelope(record))
}

/// Bytes of the field that says where an original is which the report does not carry.
pub fn reference_bytes_at_most(original: &RecordedOriginal) -> usize {
    let reference = original.reference.as_deref().map_or(0, str::len);
    5 * (reference + 80).min(limits::REPORT_HEADER_BYTES_MAX) + 256
}

/// Bytes that the lines of one recipient add to the text part at most, whatever the other lines are.
pub fn recipient_text_bytes_at_most(recipient: &Recipient) -> usize {
    QUOTED_BYTES_MAX * text::lines_of(recipient).len()
}

/// Three characters a byte in quoted-printable, and the soft ends of its lines.
const QUOTED_BYTES_MAX: usize = 4;

/// Quoted-printable or base64, where the text is not plain.
fn text_bytes_at_most(text: &str) -> usize {
    if is_seven_bit(text) { text.len() } else { QUOTED_BYTES_MAX * text.len() }
}

/// Reads the record back from a report that [`build`] made. None if it is none, or if its preamble was lost on the way:
/// then it is a journal report like any other. An original whose bytes were changed on the way has no content.
pub fn read(bytes: &[u8]) -> Option<JournalRecord> {
    let head = Head::read(bytes);
    if !head.has(RECORD_ID) {
        return None;
    }
    let boundary = ContentType::of(&head).param("boundary")?;
    let delimiter = [b"--", &boundary[..]].concat();
    let body = &bytes[head.body_at..];
    let preamble = &body[..memmem::find(body, &delimiter)?];
    let mut record: JournalRecord = avro::decode(Schema::JournalRecord, &read_preamble(preamble)?).ok()?;
    // The builder attaches whatever originals a record has, beside the parts that any report may have.
    let parts_max = limits::PARTS_EXAMINED_MAX.saturating_add(record.originals.len());
    let mut wanted: BTreeMap<Digest, Vec<&mut RecordedOriginal>> = BTreeMap::new();
    for original in record.originals.iter_mut().rev().filter(|one| one.content.is_none()) {
        wanted.entry(original.sha256).or_default().push(original);
    }
    for leaf in first_leaves(bytes, 0..bytes.len(), head, parts_max).leaves {
        let content = leaf.encoding.decode(&bytes[leaf.body.clone()]);
        if let Some(original) = wanted.get_mut(&Digest::of(&content)).and_then(Vec::pop) {
            original.content = Some(Bytes::copy_from_slice(&content));
        }
    }
    Some(record)
}

const RECORD_ID: &str = "X-Mailjournal-Record-Id";

fn write_header_block(out: &mut Vec<u8>, record: &JournalRecord, attachments: &[Attachment], boundary: &str) {
    let original = attachments.first().filter(|one| one.form == Form::Mail).map(|one| Head::read(one.content));
    header::date(out, record.closed_at);
    header::copied(out, record, original.as_ref());
    header::plain(out, "Message-ID", &message_id(record));
    header::plain(out, "Auto-Submitted", "auto-generated");
    out.extend_from_slice(b"X-MS-Journal-Report:\r\n");
    if let Some(id) = record.message_id.as_deref().filter(|id| header::is_plain(id)) {
        header::plain(out, "X-MS-Exchange-Parent-Message-Id", id);
    }
    header::text(out, RECORD_ID, &record.record_id);
    header::plain(out, "X-Mailjournal-Revision", &record.revision.to_string());
    header::plain(out, "X-Mailjournal-Status", text::status(record.status));
    if !record.flags.is_empty() {
        let flags: Vec<String> = record.flags.iter().map(ToString::to_string).collect();
        header::plain(out, "X-Mailjournal-Flags", &flags.join(", "));
    }
    for elsewhere in record.originals.iter().filter(|one| one.content.is_none()) {
        let reference = elsewhere.reference.as_deref().unwrap_or_default();
        header::text(out, "X-Mailjournal-Original", &format!("sha256={} {reference}", elsewhere.sha256));
    }
    header::plain(out, "MIME-Version", "1.0");
    header::plain(out, "Content-Type", &format!("multipart/mixed; boundary=\"{boundary}\""));
    // A multipart's own encoding says what the widest of its parts needs (RFC 2045 §6.4).
    if let Some(width) = attachments.iter().filter_map(|one| one.width()).max() {
        header::plain(out, "Content-Transfer-Encoding", width.word());
    }
    out.extend_from_slice(b"\r\n");
}

/// The same for the same record and revision, so that a report built twice is known as one.
fn message_id(record: &JournalRecord) -> String {
    let identity = Digest::of_joined(&[record.record_id.as_bytes(), record.revision.to_string().as_bytes()]);
    let hex = identity.to_string();
    format!("<{}@mailjournal.report.generator>", &hex[..32])
}

/// Found in nothing that it separates. Who could choose bytes that hold it would have to know the hash of those bytes.
fn boundary(record: &JournalRecord, attachments: &[Attachment], text: &str) -> String {
    let hashes: Vec<String> = record.originals.iter().map(|original| original.sha256.to_string()).collect();
    let mut seed = format!("{} {} {}", record.record_id, record.revision, hashes.join(" "));
    loop {
        let digest = Digest::of(seed.as_bytes()).to_string();
        let boundary = format!("=_mailjournal_{}", &digest[..32]);
        let finder = memmem::Finder::new(&boundary);
        let meets =
            finder.find(text.as_bytes()).is_some() || attachments.iter().any(|one| finder.find(one.content).is_some());
        if !meets {
            return boundary;
        }
        seed = digest;
    }
}

fn write_delimiter(out: &mut Vec<u8>, boundary: &str, end: &str) {
    for piece in ["\r\n--", boundary, end] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// The line that the record follows in the preamble.
const PREAMBLE_MARK: &str = "mailjournal-record:";

/// Octets of base64 a line (RFC 2045 §6.8).
const BASE64_LINE_BYTES: usize = 76;

fn write_preamble(out: &mut Vec<u8>, record: &JournalRecord) {
    out.extend_from_slice(b"This is a journal report in MIME format. The lines below are for mailjournal.\r\n");
    out.extend_from_slice(PREAMBLE_MARK.as_bytes());
    let bare = avro::encode(Schema::JournalRecord, &record.without_content());
    for line in STANDARD.encode(bare).as_bytes().chunks(BASE64_LINE_BYTES) {
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\r\n");
}

fn read_preamble(preamble: &[u8]) -> Option<Vec<u8>> {
    let start = memmem::find(preamble, PREAMBLE_MARK.as_bytes())? + PREAMBLE_MARK.len();
    let digits: Vec<u8> = preamble[start..].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(digits).ok()
}

fn write_text(out: &mut Vec<u8>, text: String) {
    if is_seven_bit(&text) {
        out.extend_from_slice(
            b"Content-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n",
        );
        out.extend_from_slice(text.as_bytes());
    } else {
        // The builder adds the charset.
        MimePart::new("text/plain", text).write_part(out);
    }
}

fn is_seven_bit(text: &str) -> bool {
    text.is_ascii() && text.lines().all(|line| line.len() <= header::LINE_BYTES_MAX)
}

/// An original whose bytes are here, and how it is attached.
struct Attachment<'a> {
    content: &'a Bytes,
    form: Form,
    name: Cow<'static, str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `message/rfc822`, as it is.
    Mail,
    /// A type of its own, in base64.
    Opaque(&'static str),
}

/// The original first, then its decrypted copy, then the rest in the record's order.
fn attachments(record: &JournalRecord) -> Vec<Attachment<'_>> {
    let mut originals: Vec<&RecordedOriginal> = record.originals.iter().collect();
    originals.sort_by_key(|original| match original.role {
        OriginalRole::Primary => 0,
        OriginalRole::Decrypted => 1,
        OriginalRole::Variant => 2,
    });
    let mut attachments: Vec<Attachment> = Vec::new();
    let mut before: Option<OriginalRole> = None;
    for original in originals {
        let Some(content) = &original.content else { continue };
        let place = match (before, original.role) {
            (None, OriginalRole::Primary) => form_of_original(content),
            (Some(OriginalRole::Primary), OriginalRole::Decrypted) => (Form::Mail, "".into()),
            _ => (Form::Opaque("application/octet-stream"), format!("copy-{}.bin", attachments.len()).into()),
        };
        attachments.push(Attachment { content, form: place.0, name: place.1 });
        before = Some(original.role);
    }
    attachments
}

/// What is no mail (managed-folder journaling attaches TNEF, exports attach `.msg`) keeps its type. What has a guard is
/// a mail whatever its first bytes: the correlator counts on it where it asks whether the report will fit its topic.
fn form_of_original(content: &[u8]) -> (Form, Cow<'static, str>) {
    match content {
        _ if Guard::of_head(&Head::read(content)).is_some() => (Form::Mail, "".into()),
        [0x78, 0x9F, 0x3E, 0x22, ..] => (Form::Opaque("application/ms-tnef"), "winmail.dat".into()),
        [0xD0, 0xCF, 0x11, 0xE0, ..] => (Form::Opaque("application/vnd.ms-outlook"), "original.msg".into()),
        _ => (Form::Mail, "".into()),
    }
}

/// What a part that is attached as it is asks of a transport (RFC 2045 §2.7–§2.9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    EightBit,
    Binary,
}

impl Width {
    fn word(self) -> &'static str {
        match self {
            Width::EightBit => "8bit",
            Width::Binary => "binary",
        }
    }
}

impl Attachment<'_> {
    /// None: seven bits are enough.
    fn width(&self) -> Option<Width> {
        match self.form {
            Form::Mail if has_odd_lines(self.content) => Some(Width::Binary),
            Form::Mail if !self.content.is_ascii() => Some(Width::EightBit),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self.form {
            Form::Mail => {
                header::plain(out, "Content-Type", "message/rfc822");
                if let Some(width) = self.width() {
                    header::plain(out, "Content-Transfer-Encoding", width.word());
                }
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(self.content);
            }
            Form::Opaque(kind) => {
                MimePart::new(kind, &self.content[..]).attachment(self.name.clone()).write_part(out);
            }
        }
    }
}

/// Whether it has a NUL, a bare CR or LF, or a line over 998 octets: no line of text as SMTP knows it.
fn has_odd_lines(content: &[u8]) -> bool {
    let mut line_start = 0;
    for at in memchr::memchr3_iter(b'\r', b'\n', 0, content) {
        let is_end = content[at] == b'\r' && content.get(at + 1) == Some(&b'\n');
        let is_second = content[at] == b'\n' && at > 0 && content[at - 1] == b'\r';
        if !is_end && !is_second || at - line_start > header::LINE_BYTES_MAX {
            return true;
        }
        if is_second {
            line_start = at + 1;
        }
    }
    content.len() - line_start > header::LINE_BYTES_MAX
}

/// The date of a report, RFC 5322 §3.3; what no calendar holds becomes its nearest end.
fn date_text(at_ms: i64) -> String {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    Date::new((at_ms / 1000).clamp(0, LAST_SECOND_OF_9999)).to_rfc822()
}
