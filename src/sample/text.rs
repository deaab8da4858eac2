//! Bodies: office prose that compresses as prose does, and attachments in base64 that do not compress.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::random::Random;

/// A body and the header fields that describe it.
#[derive(Clone, Debug)]
pub struct Body {
    /// `Content-Type` and what belongs to it, each line with its CRLF.
    pub fields: String,
    pub bytes: Vec<u8>,
}

impl Body {
    /// A body of plain ASCII text; line ends must be CRLF already.
    pub fn plain(text: &str) -> Body {
        Body { fields: PLAIN.to_owned(), bytes: text.as_bytes().to_vec() }
    }
}

const PLAIN: &str = "Content-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: 7bit\r\n";

/// Bytes of prose and of base64 that bodies are cut from: large enough that few bodies of one run share a cut.
const PROSE_BYTES: usize = 256 * 1024;
const BLOB_BYTES: usize = 768 * 1024;
/// A base64 line of 76 characters and its CRLF (RFC 2045 §6.8).
const BASE64_LINE: usize = 78;
/// From this size on, bytes, a mail is mostly its attachment.
const ATTACHMENT_FROM: usize = 24 * 1024;

/// The stuff of all bodies of one organisation.
#[derive(Clone, Debug)]
pub struct Pool {
    prose: Vec<u8>,
    base64: Vec<u8>,
}

impl Pool {
    pub fn new(seed: u64) -> Pool {
        let mut random = Random::new(seed, u64::MAX);
        Pool { prose: prose(&mut random), base64: base64_lines(&mut random) }
    }

    /// A body of about `size` bytes.
    pub fn body(&self, size: usize, random: &mut Random) -> Body {
        if size >= ATTACHMENT_FROM {
            return self.with_attachment(size, random);
        }
        if random.chance(400) {
            return self.alternative(size, random);
        }
        let mut bytes = Vec::with_capacity(size + 80);
        self.put_prose(&mut bytes, size, random);
        Body { fields: PLAIN.to_owned(), bytes }
    }

    fn alternative(&self, size: usize, random: &mut Random) -> Body {
        let boundary = format!("_000_{:016x}_", random.number());
        let mut bytes = Vec::with_capacity(size + 512);
        put(&mut bytes, &["--", &boundary, "\r\n", PLAIN, "\r\n"]);
        self.put_prose(&mut bytes, size / 3, random);
        put(&mut bytes, &["\r\n--", &boundary, "\r\nContent-Type: text/html; charset=\"us-ascii\"\r\n"]);
        put(&mut bytes, &["Content-Transfer-Encoding: 7bit\r\n\r\n<html><body><p style=\"font-family:Calibri\">\r\n"]);
        self.put_prose(&mut bytes, size - size / 3, random);
        put(&mut bytes, &["</p></body></html>\r\n\r\n--", &boundary, "--\r\n"]);
        Body { fields: format!("Content-Type: multipart/alternative;\r\n\tboundary=\"{boundary}\"\r\n"), bytes }
    }

    fn with_attachment(&self, size: usize, random: &mut Random) -> Body {
        let boundary = format!("_004_{:016x}_", random.number());
        let mut bytes = Vec::with_capacity(size + 1024);
        put(&mut bytes, &["--", &boundary, "\r\n", PLAIN, "\r\n"]);
        self.put_prose(&mut bytes, size / 12, random);
        put(&mut bytes, &["\r\n--", &boundary, "\r\nContent-Type: application/pdf; name=\"figures.pdf\"\r\n"]);
        put(&mut bytes, &["Content-Disposition: attachment; filename=\"figures.pdf\"\r\n"]);
        put(&mut bytes, &["Content-Transfer-Encoding: base64\r\n\r\n"]);
        let lines = (size - size / 12) / BASE64_LINE;
        self.put_base64(&mut bytes, lines, random);
        put(&mut bytes, &["\r\n--", &boundary, "--\r\n"]);
        Body { fields: format!("Content-Type: multipart/mixed;\r\n\tboundary=\"{boundary}\"\r\n"), bytes }
    }

    fn put_prose(&self, bytes: &mut Vec<u8>, size: usize, random: &mut Random) {
        let somewhere = random.below(self.prose.len());
        let mut from = self.line_start_after(somewhere);
        let mut left = size.max(2) - 2;
        while left > 0 {
            let cut = left.min(self.prose.len() - from);
            bytes.extend_from_slice(&self.prose[from..from + cut]);
            left -= cut;
            from = 0;
        }
        // A cut may end between CR and LF.
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        bytes.extend_from_slice(b"\r\n");
    }

    fn line_start_after(&self, offset: usize) -> usize {
        memchr::memchr(b'\n', &self.prose[offset..]).map_or(0, |found| (offset + found + 1) % self.prose.len())
    }

    fn put_base64(&self, bytes: &mut Vec<u8>, lines: usize, random: &mut Random) {
        let lines_there = self.base64.len() / BASE64_LINE;
        let mut from = random.below(lines_there);
        let mut left = lines;
        while left > 0 {
            let cut = left.min(lines_there - from);
            bytes.extend_from_slice(&self.base64[from * BASE64_LINE..(from + cut) * BASE64_LINE]);
            left -= cut;
            from = 0;
        }
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        bytes.extend_from_slice(piece.as_bytes());
    }
}

/// Sentences of common words, the first of the list more often than the last, in lines of at most 72 characters.
fn prose(random: &mut Random) -> Vec<u8> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut prose = Vec::with_capacity(PROSE_BYTES + 80);
    let mut column = 0;
    let mut left_in_sentence = 0;
    while prose.len() < PROSE_BYTES {
        let word = words[random.below(words.len()).min(random.below(words.len()))];
        if column + word.len() > 70 {
            prose.extend_from_slice(b"\r\n");
            column = 0;
        } else if column > 0 {
            prose.push(b' ');
            column += 1;
        }
        prose.extend_from_slice(word.as_bytes());
        column += word.len();
        if left_in_sentence == 0 {
            prose.push(b'.');
            column += 1;
            left_in_sentence = random.between(6, 18);
        }
        left_in_sentence -= 1;
    }
    prose.extend_from_slice(b"\r\n");
    prose
}

fn base64_lines(random: &mut Random) -> Vec<u8> {
    let blob: Vec<u8> = (0..BLOB_BYTES / 8).flat_map(|_| random.number().to_le_bytes()).collect();
    let mut lines = Vec::with_capacity(BLOB_BYTES * 3 / 2);
    for chunk in blob.chunks_exact(57) {
        lines.extend_from_slice(STANDARD.encode(chunk).as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

const WORDS: &str = "\
    the of to and in a for is on we that with be as will by this it are from at please have you our not or was all \
    can if has price market report meeting contract client desk position today tomorrow order quarter figures week \
    month update review draft attached agreed limit trade account before after next number team call final signed \
    version approval budget schedule delivery invoice payment balance audit control policy risk margin spread volume \
    bond equity swap option future index rate yield curve credit currency exposure hedge liquidity settlement broker \
    custody transfer amount total average forecast target revenue cost saving growth result summary appendix section \
    clause notice deadline extension question answer comment change request issue action owner status open closed \
    pending done plan project phase milestone supplier customer office building floor room agenda minutes decision \
    proposal offer discount renewal licence system server network access backup restore upgrade window outage ticket \
    vendor training travel holiday absence cover replacement handover interview candidate salary bonus pension benefit \
    compliance surveillance retention archive journal record evidence counsel regulator filing disclosure inquiry";
