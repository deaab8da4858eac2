//! Body parts (RFC 2045, RFC 2046 §5.1) as spans of the bytes that came. A delimiter is found by its text alone, one
//! multipart at a time; nothing is copied and nothing recurses.

use std::ops::Range;

use memchr::memmem::Finder;

use super::{comments::without_comments, decode::Encoding, headers::Head, hex, lines::is_space};
use crate::limits;

/// A Content-Type, Content-Disposition or Content-Transfer-Encoding: its value in lower case, and its parameters. All
/// are read here, so that comments, quotes and blanks (RFC 2045 §5.1) mean the same in each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContentType {
    pub essence: String,
    params: Vec<(String, Vec<u8>)>,
}

impl ContentType {
    /// Parameters may be quoted, folded, commented, or in RFC 2231 pieces.
    pub fn read(value: &[u8]) -> ContentType {
        let value = &value[..value.len().min(limits::HEADER_TEXT_BYTES_MAX)];
        let value = without_comments(value);
        let mut pieces = Pieces { rest: &value };
        let essence = essence_of(pieces.next().unwrap_or_default());
        let params = pieces.filter_map(|piece| {
            let equals = memchr::memchr(b'=', piece)?;
            let name = String::from_utf8_lossy(piece[..equals].trim_ascii()).to_ascii_lowercase();
            Some((name, unquote(piece[equals + 1..].trim_ascii())))
        });
        ContentType { essence, params: params.take(PARAMS_MAX).collect() }
    }

    /// Of the part with these header fields; `text/plain` where none is given (RFC 2045 §5.2).
    pub fn of(head: &Head) -> ContentType {
        let read = head.get("Content-Type").map(|value| ContentType::read(&value)).unwrap_or_default();
        if read.essence.is_empty() { ContentType { essence: "text/plain".into(), params: read.params } } else { read }
    }

    pub fn is(&self, essence: &str) -> bool {
        self.essence == essence
    }

    pub fn is_multipart(&self) -> bool {
        self.essence.starts_with("multipart/")
    }

    /// A parameter's value, its RFC 2231 pieces joined and percent-decoded.
    pub fn param(&self, name: &str) -> Option<Vec<u8>> {
        let plain = self.params.iter().find(|(given, _)| given == name).map(|(_, value)| value.clone());
        plain.or_else(|| self.extended_param(name))
    }

    fn extended_param(&self, name: &str) -> Option<Vec<u8>> {
        let mut joined: Option<Vec<u8>> = None;
        for index in 0..PARAMS_MAX {
            let piece = self.params.iter().find_map(|(given, value)| {
                let section = given.strip_prefix(name)?.strip_prefix('*')?;
                let (number, encoded) = section.strip_suffix('*').map_or((section, false), |number| (number, true));
                let whole = index == 0 && section.is_empty();
                let wanted = whole || number.parse() == Ok(index);
                wanted.then(|| if encoded || whole { percent_decode(value, index == 0) } else { value.clone() })
            });
            let Some(piece) = piece else { break };
            joined.get_or_insert_default().extend(piece);
        }
        joined
    }
}

/// More parameters than any writer gives; bounds the search for RFC 2231 pieces.
const PARAMS_MAX: usize = 50;

/// A value cut at its semicolons, but for those in quotes.
struct Pieces<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = self.rest.iter().position(|&byte| {
            if escaped {
                escaped = false;
                return false;
            }
            match byte {
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                b';' if !quoted => return true,
                _ => {}
            }
            false
        });
        let piece = &self.rest[..end.unwrap_or(self.rest.len())];
        self.rest = end.map_or(&[], |end| &self.rest[end + 1..]);
        Some(piece)
    }
}

/// `Text / Plain (x)` → `text/plain`, `"base64"` → `base64`.
fn essence_of(piece: &[u8]) -> String {
    let piece = String::from_utf8_lossy(piece).to_ascii_lowercase();
    let first_word = |text: &str| text.split_ascii_whitespace().next().unwrap_or_default().to_owned();
    let piece = piece.trim().trim_matches('"');
    match piece.split_once('/') {
        Some((kind, subtype)) => format!("{}/{}", kind.trim(), first_word(subtype)),
        None => first_word(piece),
    }
}

/// The text of a quoted string, or of a token up to the white space behind it.
fn unquote(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|&byte| is_space(byte)).unwrap_or(value.len());
        return value[..end].to_vec();
    };
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => text.extend(bytes.next()),
            _ => text.push(byte),
        }
    }
    text
}

/// RFC 2231 §4: `charset'language'text`, percent-encoded; only the first piece has the first two.
fn percent_decode(value: &[u8], first: bool) -> Vec<u8> {
    let mut text = value;
    if first && value.iter().filter(|&&byte| byte == b'\'').count() >= 2 {
        text = value.splitn(3, |&byte| byte == b'\'').nth(2).unwrap_or(value);
    }
    let mut decoded = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        match rest.get(..2).and_then(hex::byte) {
            Some(meant) if byte == b'%' => {
                decoded.push(meant);
                text = &rest[2..];
            }
            _ => {
                decoded.push(byte);
                text = rest;
            }
        }
    }
    decoded
}

/// What one multipart body holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The span of each part, its header block included; the line end before a delimiter belongs to the delimiter.
    pub parts: Vec<Range<usize>>,
    /// The closing delimiter was there.
    pub closed: bool,
    /// There were more parts than were asked for.
    pub truncated: bool,
}

/// Cuts `bytes[span]` at the lines that are `--boundary`, or `--boundary--` for the last, white space behind aside.
/// Without a closing delimiter the last part runs to the end.
pub fn split(bytes: &[u8], span: Range<usize>, boundary: &[u8], parts_max: usize) -> Split {
    let mut found = Split::default();
    if boundary.is_empty() || boundary.len() > limits::BOUNDARY_BYTES_MAX {
        return found;
    }
    let delimiter = [b"--", boundary].concat();
    let finder = Finder::new(&delimiter);
    let cr_only = memchr::memchr(b'\n', &bytes[span.clone()]).is_none();
    let mut part_start = None;
    let mut from = span.start;
    while let Some(at) = finder.find(&bytes[from..span.end]).map(|at| from + at) {
        let Some(line) = Delimiter::at(&bytes[..span.end], span.start, at..at + delimiter.len(), cr_only) else {
            // The next can only begin a line: each byte is looked at once, whatever stands between the lines' ends.
            let line_end = memchr::memchr(if cr_only { b'\r' } else { b'\n' }, &bytes[at..span.end]);
            let Some(line_end) = line_end else { break };
            from = at + line_end + 1;
            continue;
        };
        if let Some(start) = part_start {
            found.parts.push(start..line.part_end.max(start));
        }
        if line.closing {
            found.closed = true;
            return found;
        }
        if found.parts.len() == parts_max {
            found.truncated = true;
            return found;
        }
        part_start = Some(line.next);
        from = line.next;
    }
    found.parts.extend(part_start.map(|start| start..span.end));
    found
}

struct Delimiter {
    /// Where the part before it ends.
    part_end: usize,
    next: usize,
    closing: bool,
}

impl Delimiter {
    /// The delimiter line that `text` begins, if it is a whole line. `from` is where the multipart starts.
    fn at(bytes: &[u8], from: usize, text: Range<usize>, cr_only: bool) -> Option<Delimiter> {
        let line_end = match bytes[from..text.start] {
            [] => 0,
            [.., b'\r', b'\n'] => 2,
            [.., b'\n'] => 1,
            [.., b'\r'] if cr_only => 1,
            _ => return None,
        };
        let rest = &bytes[text.end..];
        let (closing, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
        let spaces = rest.iter().take_while(|&&byte| is_space(byte)).count();
        let end = match rest[spaces..] {
            [] => 0,
            [b'\r', b'\n', ..] => 2,
            [b'\n', ..] => 1,
            [b'\r', ..] if cr_only => 1,
            _ => return None,
        };
        let next = bytes.len() - (rest.len() - spaces - end);
        Some(Delimiter { part_end: text.start - line_end, next, closing })
    }
}

/// A part that holds no further parts: text, an attachment, an attached mail.
#[derive(Clone, Debug)]
pub struct Leaf<'a> {
    pub head: Head<'a>,
    pub kind: ContentType,
    pub encoding: Encoding,
    /// Its body, as a span of the bytes that came.
    pub body: Range<usize>,
    /// How many multiparts it lies in.
    pub depth: usize,
}

impl Leaf<'_> {
    /// The file name that it was given, if any.
    pub fn file_name(&self) -> Option<String> {
        let disposition = self.head.get("Content-Disposition").map(|value| ContentType::read(&value));
        let name =
            disposition.and_then(|disposition| disposition.param("filename")).or_else(|| self.kind.param("name"));
        name.map(|name| super::decode::decode_words(&name))
    }

    /// Whether its file name ends so, in any case; `end` is in lower case.
    pub fn has_name_ending(&self, end: &str) -> bool {
        self.file_name().is_some_and(|name| name.to_ascii_lowercase().ends_with(end))
    }

    /// Whether this is an attached mail.
    pub fn is_mail(&self) -> bool {
        matches!(self.kind.essence.as_str(), "message/rfc822" | "message/global" | "message/rfc2822")
    }
}

/// The leaves of a mail in order, and whether all of it was there to be seen.
#[derive(Clone, Debug, Default)]
pub struct Leaves<'a> {
    pub leaves: Vec<Leaf<'a>>,
    /// Every multipart that was opened was closed.
    pub closed: bool,
    /// There was more than the limits let us look at.
    pub truncated: bool,
}

/// The leaves of the mail at `bytes[span]`, whose header block is `head`, at most [`limits::PARTS_EXAMINED_MAX`].
/// Attached mails are leaves: nobody looks into them here.
pub fn leaves<'a>(bytes: &'a [u8], span: Range<usize>, head: Head<'a>) -> Leaves<'a> {
    first_leaves(bytes, span, head, limits::PARTS_EXAMINED_MAX)
}

/// As [`leaves`], but of another number of parts at most, for a reader who knows how many there are.
pub fn first_leaves<'a>(bytes: &'a [u8], span: Range<usize>, head: Head<'a>, parts_max: usize) -> Leaves<'a> {
    let mut found = Leaves { closed: true, ..Leaves::default() };
    let kind = ContentType::of(&head);
    let mut waiting =
        vec![Leaf { encoding: Encoding::of(&head), body: span.start + head.body_at..span.end, head, kind, depth: 0 }];
    while let Some(part) = waiting.pop() {
        let boundary = if part.kind.is_multipart() { part.kind.param("boundary") } else { None };
        let Some(boundary) = boundary.filter(|_| part.depth < limits::MULTIPART_DEPTH_MAX) else {
            found.truncated |= part.kind.is_multipart() && part.depth >= limits::MULTIPART_DEPTH_MAX;
            found.leaves.push(part);
            continue;
        };
        let mut split = split(bytes, part.body.clone(), &boundary, parts_max);
        let room = parts_max.saturating_sub(found.leaves.len() + waiting.len());
        found.truncated |= split.truncated || split.parts.len() > room;
        split.parts.truncate(room);
        found.closed &= split.closed;
        let digest = part.kind.is("multipart/digest");
        waiting.extend(split.parts.into_iter().rev().map(|span| part_at(bytes, span, part.depth + 1, digest)));
    }
    found
}

fn part_at(bytes: &[u8], span: Range<usize>, depth: usize, in_digest: bool) -> Leaf<'_> {
    let head = Head::read(&bytes[span.clone()]);
    let mut kind = ContentType::of(&head);
    // RFC 2046 §5.1.5: the default within a digest.
    if in_digest && !head.has("Content-Type") {
        kind.essence = "message/rfc822".into();
    }
    Leaf { encoding: Encoding::of(&head), body: span.start + head.body_at..span.end, head, kind, depth }
}
