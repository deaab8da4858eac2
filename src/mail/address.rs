//! Addresses as mail servers write them: SMTP, X.500 (`[EX:…]`, IMCEAEX), and what is neither.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{decode::decode_words, hex};

/// What kind of name an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AddressKind {
    Smtp,
    X500,
    Other,
}

/// An address as it was spelled, without display name, angle brackets or `SMTP:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    pub kind: AddressKind,
    pub text: String,
}

/// An address and the name that people see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    pub address: Address,
    pub display_name: Option<String>,
}

impl Address {
    /// Reads a bare address: `a@b`, `<a@b>`, `SMTP:a@b`, `[EX:/o=…]`, `/o=…`, `EX:/o=…`, `IMCEAEX-…@b`, or anything.
    pub fn of(text: &str) -> Address {
        let (kind, text) = bare(text);
        Address { kind, text: text.to_owned() }
    }

    /// What two spellings of one address share: Exchange compares local parts without regard to case, and so do X.500
    /// names. `[EX:/o=A]`, `/o=A` and `IMCEAEX-_o=A@b` share one.
    pub fn compare_key(&self) -> String {
        key_of(self.kind, &self.text)
    }
}

/// The [`Address::compare_key`] of an address that came as text.
pub fn compare_key(text: &str) -> String {
    let (kind, text) = bare(text);
    key_of(kind, text)
}

fn key_of(kind: AddressKind, text: &str) -> String {
    match kind {
        AddressKind::X500 => distinguished_name(text).map_or_else(|| text.to_lowercase(), |name| name.to_lowercase()),
        AddressKind::Smtp | AddressKind::Other => text.to_lowercase(),
    }
}

/// What an address is, and it without what stands around it, however often: what is read of `text` reads as itself.
fn bare(text: &str) -> (AddressKind, &str) {
    let mut text = text.trim();
    loop {
        let length = text.len();
        if let Some(inner) = text.strip_prefix('<') {
            text = inner.strip_suffix('>').unwrap_or(inner).trim();
        }
        for prefix in ["smtp:", "mailto:"] {
            text = strip_prefix_any_case(text, prefix).unwrap_or(text).trim_start();
        }
        if text.len() == length {
            break;
        }
    }
    let kind = if distinguished_name(text).is_some() {
        AddressKind::X500
    } else if text.contains('@') && strip_prefix_any_case(text, "imcea").is_none() {
        AddressKind::Smtp
    } else {
        AddressKind::Other
    };
    (kind, text)
}

/// The X.500 name that an address spells, if it spells one.
fn distinguished_name(text: &str) -> Option<Cow<'_, str>> {
    // Nearly all addresses can be told by their first letter to be none.
    let first = text.as_bytes().first()?.to_ascii_lowercase();
    if first.is_ascii_alphanumeric() && !matches!(first, b'e' | b'i' | b'x') {
        return None;
    }
    let unbracketed =
        text.strip_prefix('[').map(|inner| inner.strip_suffix(']').unwrap_or(inner)).unwrap_or(text).trim();
    for prefix in ["ex:", "x500:"] {
        if let Some(name) = strip_prefix_any_case(unbracketed, prefix) {
            return Some(Cow::Borrowed(name.trim()));
        }
    }
    if strip_prefix_any_case(unbracketed, "/o=").is_some() {
        return Some(Cow::Borrowed(unbracketed));
    }
    let encoded = ["imceaex-", "imceax500-"].iter().find_map(|prefix| strip_prefix_any_case(unbracketed, prefix))?;
    Some(Cow::Owned(decode_imcea(encoded.rsplit_once('@').map_or(encoded, |(local, _)| local))))
}

/// `_` for `/` and `+HH` for what is not alphanumeric (journal-formats §1.5).
fn decode_imcea(encoded: &str) -> String {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind.get(..2).and_then(hex::byte)) {
            (b'+', Some(meant)) => {
                decoded.push(meant);
                rest = &behind[2..];
            }
            (b'_', _) => decoded.push(b'/'),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Reads one `Name <address>`, `"Name" <address>`, `address (Name)` or bare address; none where there is no text.
pub fn parse(text: &str) -> Option<Mailbox> {
    let text = text.trim_start_matches([',', ' ', '\t']).trim_end();
    let (name, address) = name_and_address(text);
    let address = Address::of(address);
    (!address.text.is_empty()).then(|| Mailbox { address, display_name: display_name(name) })
}

fn name_and_address(text: &str) -> (&str, &str) {
    if let Some(parts) = text.strip_suffix('>').and_then(|inner| inner.rsplit_once('<')) {
        return parts;
    }
    if let Some((address, comment)) = text.strip_suffix(')').and_then(|inner| inner.split_once('('))
        && address.contains('@')
    {
        return (comment, address);
    }
    // A name before a bare address; but a quoted local part and X.500 names hold spaces of their own.
    match text.rsplit_once([' ', '\t']) {
        Some((name, address))
            if address.contains('@') && !text.starts_with(['"', '[', '/']) && !name.ends_with(':') =>
        {
            (name.trim_end_matches([',', ' ']), address)
        }
        _ => ("", text),
    }
}

/// Reads a list (RFC 5322 §3.4): commas or semicolons between addresses, groups, comments, quoted names. Tolerant: a
/// comma in an unquoted name or in a bracketed X.500 name does not part it, and no address is lost where a quote, a
/// comment or a bracket is never closed or a separator is missing. Empty entries and empty groups are no addresses.
pub fn parse_list(text: &str) -> Vec<Mailbox> {
    let mut found = Vec::new();
    let mut scan = Scan::default();
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        match scan.take(byte) {
            Token::Separator if scan.has_address || byte == b';' => {
                push_entry(&mut found, &text[start..at]);
                start = at + 1;
                scan.has_address = false;
            }
            Token::Colon if !scan.has_address && !is_address_prefix(&text[start..at]) => start = at + 1,
            _ => {}
        }
    }
    if scan.is_open() {
        push_words(&mut found, &text[start..]);
    } else {
        push_entry(&mut found, &text[start..]);
    }
    found
}

/// One entry of a list: an address, or several that only white space or brackets part.
fn push_entry(found: &mut Vec<Mailbox>, entry: &str) {
    if memchr::memchr_iter(b'@', entry.as_bytes()).nth(1).is_some() && count_addresses(entry) > 1 {
        push_words(found, entry);
    } else {
        found.extend(parse(entry));
    }
}

/// How many addresses an entry spells outside of quotes, comments and `[…]`. What stands before a `<` is a name,
/// whatever it looks like.
fn count_addresses(entry: &str) -> usize {
    let mut scan = Scan::default();
    let (mut is_counted, mut bare, mut angled) = (false, 0, 0);
    for byte in entry.bytes() {
        scan.take(byte);
        match byte {
            _ if scan.is_hidden() => {}
            b'<' => (is_counted, bare) = (false, if angled == 0 { 0 } else { bare }),
            b' ' | b'\t' | b',' | b'>' => is_counted = false,
            b'@' if !is_counted => {
                is_counted = true;
                *(if scan.angle { &mut angled } else { &mut bare }) += 1;
            }
            _ => {}
        }
    }
    bare + angled
}

/// Reads what keeps no rule: each word with an `@` between others is an address, and each piece with an X.500 name.
/// Where there is none of either, the text is what it was meant to be.
fn push_words(found: &mut Vec<Mailbox>, text: &str) {
    let before = found.len();
    for piece in text.split([',', ';']) {
        let mut words = words_with_address(piece);
        match (words.next(), words.next()) {
            // Then what stands before it is a name.
            (Some(_), None) if piece.contains('<') && piece.trim_end().ends_with('>') => found.extend(parse(piece)),
            (Some(_), _) => found.extend(words_with_address(piece).filter_map(parse)),
            (None, _) if holds_distinguished_name(piece) => found.extend(parse(piece)),
            (None, _) => {}
        }
    }
    if found.len() == before {
        found.extend(parse(text));
    }
}

fn words_with_address(text: &str) -> impl Iterator<Item = &str> {
    let parts = |letter: char| letter.is_whitespace() || matches!(letter, '<' | '>');
    text.split(parts)
        .map(|word| word.trim_matches(['"', '(', ')', ':']))
        .filter(|word| word.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty()))
}

fn holds_distinguished_name(text: &str) -> bool {
    let is_start = |start: &[u8]| start.eq_ignore_ascii_case(b"/o=") || start.eq_ignore_ascii_case(b"ex:");
    text.as_bytes().windows(3).any(is_start)
}

/// Whether a colon ends a prefix such as `SMTP:` or `EX:` of an address, and not a group's name.
fn is_address_prefix(before: &str) -> bool {
    let name = before.as_bytes().rsplit(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
    ["smtp", "mailto", "ex", "x500"].iter().any(|prefix| name.eq_ignore_ascii_case(prefix.as_bytes()))
}

enum Token {
    Separator,
    Colon,
    Other,
}

/// Where in an address list a byte stands: within quotes, a comment, `<…>` or `[…]` nothing separates.
#[derive(Default)]
struct Scan {
    quoted: bool,
    /// The last byte was a letter or a digit: a quote behind it is a mark like any other (`O"Brien`, `5" disk`).
    in_word: bool,
    escaped: bool,
    comment: u32,
    bracket: bool,
    angle: bool,
    /// An address was seen since the last separator.
    has_address: bool,
}

impl Scan {
    fn take(&mut self, byte: u8) -> Token {
        if self.escaped {
            self.escaped = false;
            return Token::Other;
        }
        let follows_word = std::mem::replace(&mut self.in_word, byte.is_ascii_alphanumeric() || !byte.is_ascii());
        match byte {
            b'\\' if self.quoted || self.comment > 0 => self.escaped = true,
            b'"' if self.quoted => self.quoted = false,
            _ if self.quoted => {}
            _ if self.bracket && byte != b']' => {}
            b'"' if self.comment == 0 => self.quoted = !follows_word,
            b'(' => self.comment += 1,
            b')' => self.comment = self.comment.saturating_sub(1),
            _ if self.comment > 0 => {}
            b'[' => self.bracket = true,
            b']' => {
                self.bracket = false;
                self.has_address = true;
            }
            b'<' => self.angle = true,
            b'>' => {
                self.angle = false;
                self.has_address = true;
            }
            b'@' | b'/' => self.has_address = true,
            b',' | b';' if !self.angle => return Token::Separator,
            b':' if !self.angle => return Token::Colon,
            _ => {}
        }
        Token::Other
    }

    /// Within what only a byte of its own can close.
    fn is_open(&self) -> bool {
        self.is_hidden() || self.angle
    }

    /// Where an `@` is none of an address in a list: quotes, comments, X.500 names.
    fn is_hidden(&self) -> bool {
        self.quoted || self.comment > 0 || self.bracket
    }
}

/// A display name without its quotes, its encoded words decoded; none where nothing is left.
pub fn display_name(text: &str) -> Option<String> {
    let text = text.trim();
    let unquoted = text.strip_prefix('"').map(|inner| inner.strip_suffix('"').unwrap_or(inner)).unwrap_or(text);
    let plain = if unquoted.contains('\\') { unescape(unquoted) } else { unquoted.to_owned() };
    let name = decode_words(plain.as_bytes()).replace(char::is_control, " ").trim().to_owned();
    (!name.is_empty()).then_some(name)
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut escaped = false;
    for letter in text.chars() {
        escaped = letter == '\\' && !escaped;
        if !escaped {
            plain.push(letter);
        }
    }
    plain
}

/// `text` without `prefix`, whatever the case of its ASCII letters.
pub fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
