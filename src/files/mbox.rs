//! Where the mails of an mbox file lie (RFC 4155 and what writers really do).
//!
//! A mail begins behind a *From_ line*: the file's first line, or a line `From SENDER DATE` (or `From -`, or an address
//! alone) that is followed by a header field. It ends before the next one; an empty line in between is the mbox's, not
//! the mail's. That a From_ line follows an empty line is not asked for: many writers leave it out.
//!
//! Dialects differ in how they hide a body line that begins with `From `, and no file tells which one it is. So the
//! bytes are taken as they lie, and a `>From ` stays, unless a person says that the file is mboxrd, the only dialect
//! whose quoting can be undone without guessing ([`unquote`]). A `Content-Length` counts only where *every* mail of
//! the file has one that ends at a From_ line or at the end of the file (mboxcl, mboxcl2): senders can write that
//! field too, and one alone could hide the mails behind it.

use std::{
    borrow::Cow,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

use crate::limits::{FILES_READ_BYTES, MBOX_LINE_PREFIX_BYTES, RECEIVED_HEADER_BYTES_MAX};

/// Bytes of a file: from `start`, `length` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub length: u64,
}

impl Span {
    fn between(start: u64, end: u64) -> Span {
        Span { start, length: end.saturating_sub(start) }
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a file that begins so is an mbox.
pub fn is_mbox(beginning: &[u8]) -> bool {
    let beginning = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
    beginning.starts_with(b"From ")
}

/// Where the mails of a file lie, and whether it is an mbox. Any file is one mail unless it begins with a From_ line; a
/// file named `….eml` is one mail even then, behind that line.
pub fn mails_of<F: Read + Seek>(path: &Path, file: &mut F) -> io::Result<(bool, Vec<Span>)> {
    let size = file.seek(SeekFrom::End(0))?;
    let named = |extension: &str| path.extension().is_some_and(|given| given.eq_ignore_ascii_case(extension));
    let first_line = line_at(file, 0)?;
    match is_mbox(&first_line) {
        true if named("eml") => Ok((false, vec![Span::between(first_line.len() as u64, size)])),
        true => Ok((true, split(file)?)),
        false if size == 0 && named("mbox") => Ok((true, Vec::new())),
        false => Ok((false, vec![Span::between(0, size)])),
    }
}

/// The mails of an mbox file, in its order.
pub fn split<F: Read + Seek>(file: &mut F) -> io::Result<Vec<Span>> {
    if let Some(spans) = split_by_content_length(file)? {
        return Ok(spans);
    }
    file.seek(SeekFrom::Start(0))?;
    split_by_from_lines(BufReader::with_capacity(FILES_READ_BYTES, file))
}

/// Undoes mboxrd quoting: one `>` less before each line that is `From ` behind any number of them.
pub fn unquote(mail: &[u8]) -> Cow<'_, [u8]> {
    let quoted = |line: &[u8]| {
        line.first() == Some(&b'>')
            && line.iter().position(|b| *b != b'>').is_some_and(|at| line[at..].starts_with(b"From "))
    };
    let mut plain = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while at < mail.len() {
        if quoted(&mail[at..]) {
            plain.extend_from_slice(&mail[copied..at]);
            copied = at + 1;
        }
        at = memchr::memchr(b'\n', &mail[at..]).map_or(mail.len(), |end| at + end + 1);
    }
    if copied == 0 {
        return Cow::Borrowed(mail);
    }
    plain.extend_from_slice(&mail[copied..]);
    Cow::Owned(plain)
}

/// The header block at `start`, with the empty line that ends it; cut after `RECEIVED_HEADER_BYTES_MAX`.
pub fn header_block<F: Read + Seek>(file: &mut F, span: Span) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(span.start))?;
    let bytes_max = usize::try_from(span.length).unwrap_or(usize::MAX).min(RECEIVED_HEADER_BYTES_MAX);
    let mut block = Vec::new();
    let mut searched = 0;
    while block.len() < bytes_max {
        let chunk = (block.len().max(8 << 10)).min(bytes_max - block.len());
        let read = file.by_ref().take(chunk as u64).read_to_end(&mut block)?;
        if let Some(end) = end_of_header(&block, searched) {
            block.truncate(end);
            return Ok(block);
        }
        searched = block.len().saturating_sub(3);
        if read == 0 {
            break;
        }
    }
    Ok(block)
}

/// Behind the empty line that ends a header block; `from` is where to begin to look.
fn end_of_header(block: &[u8], from: usize) -> Option<usize> {
    if from == 0 && block.starts_with(b"\n") {
        return Some(1);
    }
    if from == 0 && block.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memchr_iter(b'\n', &block[from..]).map(|at| from + at + 1).find_map(|next| match &block[next..] {
        [b'\n', ..] => Some(next + 1),
        [b'\r', b'\n', ..] => Some(next + 2),
        _ => None,
    })
}

/// One line of a file: where it lies, and how it begins.
struct Line {
    start: u64,
    /// Behind its line end.
    end: u64,
    prefix: Vec<u8>,
}

impl Line {
    fn is_empty(&self) -> bool {
        matches!(self.prefix.as_slice(), b"\n" | b"\r\n")
    }
}

/// Reads the next line, however long, into a buffer of bounded size.
fn next_line(reader: &mut impl BufRead, line: &mut Line) -> io::Result<bool> {
    line.start = line.end;
    line.prefix.clear();
    loop {
        let available = reader.fill_buf()?;
        if available.is_empty() {
            return Ok(line.end > line.start);
        }
        let newline = memchr::memchr(b'\n', available);
        let taken = newline.map_or(available.len(), |at| at + 1);
        let kept = taken.min(MBOX_LINE_PREFIX_BYTES - line.prefix.len());
        line.prefix.extend_from_slice(&available[..kept]);
        reader.consume(taken);
        line.end += taken as u64;
        if newline.is_some() {
            return Ok(true);
        }
    }
}

fn split_by_from_lines(mut reader: impl BufRead) -> io::Result<Vec<Span>> {
    let mut spans = Vec::new();
    let mut line = Line { start: 0, end: 0, prefix: Vec::new() };
    if !next_line(&mut reader, &mut line)? {
        return Ok(spans);
    }
    let mut begun = line.end;
    // Where the mail would end, and the next begin, if the line that comes is a header field.
    let mut from_line: Option<(u64, u64)> = None;
    let mut empty_line: Option<u64> = None;
    while next_line(&mut reader, &mut line)? {
        if let Some((end, next)) = from_line.take().filter(|_| is_field(&line.prefix)) {
            spans.push(Span::between(begun, end));
            begun = next;
        }
        if is_from_line(&line.prefix) {
            from_line = Some((empty_line.unwrap_or(line.start), line.end));
        }
        empty_line = line.is_empty().then_some(line.start);
    }
    spans.push(Span::between(begun, empty_line.unwrap_or(line.end).max(begun)));
    Ok(spans)
}

/// `From `, a sender, and a date; or a sender alone, if it is an address or `-`.
fn is_from_line(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let Some(sender) = words.next() else { return false };
    let (mut any, mut year, mut time) = (false, false, false);
    for word in words {
        any = true;
        year |= word.len() == 4 && word.iter().all(u8::is_ascii_digit);
        time |= is_time_of_day(word);
    }
    (year && time) || (!any && (sender == b"-" || sender.contains(&b'@')))
}

/// `12:50` or `12:50:27`.
fn is_time_of_day(word: &[u8]) -> bool {
    let mut parts = word.split(|byte| *byte == b':');
    let pair = |part: Option<&[u8]>| part.is_some_and(|p| matches!(p.len(), 1 | 2) && p.iter().all(u8::is_ascii_digit));
    pair(parts.next()) && pair(parts.next()) && (parts.clone().next().is_none() || pair(parts.next()))
}

/// A header field, or a From_ line that a program quoted although it stood in the header.
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().take_while(|byte| byte.is_ascii_graphic() && **byte != b':').count();
    let colon = line[name..].iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    (name > 0 && colon == Some(&b':')) || line.starts_with(b">From ")
}

/// The mails as their `Content-Length` fields tell them, if all of them do and every one holds.
fn split_by_content_length<F: Read + Seek>(file: &mut F) -> io::Result<Option<Vec<Span>>> {
    let size = file.seek(SeekFrom::End(0))?;
    let mut spans = Vec::new();
    let mut at = 0;
    while at < size {
        let Some((start, end)) = mail_by_content_length(file, at, size)? else { return Ok(None) };
        spans.push(Span::between(start, end));
        let separator = line_at(file, end)?;
        at = match separator.as_slice() {
            b"\n" | b"\r\n" => end + separator.len() as u64,
            _ => end,
        };
    }
    Ok(Some(spans))
}

/// Start and end of the mail whose From_ line is at `at`, if a `Content-Length` tells.
fn mail_by_content_length<F: Read + Seek>(file: &mut F, at: u64, size: u64) -> io::Result<Option<(u64, u64)>> {
    let from_line = line_at(file, at)?;
    let first = at == 0 && is_mbox(&from_line);
    if !from_line.ends_with(b"\n") || !(first || is_from_line(&from_line)) {
        return Ok(None);
    }
    let start = at + from_line.len() as u64;
    let header = header_block(file, Span::between(start, size))?;
    let length = header.split(|byte| *byte == b'\n').find_map(content_length);
    let Some(end) = length.and_then(|length| (start + header.len() as u64).checked_add(length)) else {
        return Ok(None);
    };
    Ok((end <= size).then_some((start, end)))
}

fn content_length(line: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"content-length:";
    let value = line.split_at_checked(NAME.len()).filter(|(name, _)| name.eq_ignore_ascii_case(NAME))?.1;
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The line at `at`, cut after `MBOX_LINE_PREFIX_BYTES`.
fn line_at<F: Read + Seek>(file: &mut F, at: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut line = Vec::new();
    file.by_ref().take(MBOX_LINE_PREFIX_BYTES as u64).read_to_end(&mut line)?;
    if let Some(end) = memchr::memchr(b'\n', &line) {
        line.truncate(end + 1);
    }
    Ok(line)
}
