//! Lines of a mail: ended by LF or CRLF, or by CR in the files of old Macs.

use memchr::memchr;

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    pub text: &'a [u8],
    pub start: usize,
    /// Where the next line starts.
    pub next: usize,
}

/// The lines of some bytes, in order. Bytes without any LF are read as having CR line ends; where there is an LF,
/// a CR that stands alone is a byte like any other, so that it cannot smuggle in a line.
#[derive(Clone, Debug)]
pub struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    end: u8,
}

impl<'a> Lines<'a> {
    pub fn new(bytes: &'a [u8]) -> Lines<'a> {
        let end = if memchr(b'\n', bytes).is_some() { b'\n' } else { b'\r' };
        Lines { bytes, at: 0, end }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let start = self.at;
        let rest = self.bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = memchr(self.end, rest).unwrap_or(rest.len());
        self.at = (start + length + 1).min(self.bytes.len());
        let text = &rest[..length];
        let text = if self.end == b'\n' { text.strip_suffix(b"\r").unwrap_or(text) } else { text };
        Some(Line { text, start, next: self.at })
    }
}

/// Whether a line is white space only, or empty.
pub fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|&byte| is_space(byte))
}

/// Space or tab: what begins a continuation line.
pub fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
