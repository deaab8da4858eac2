//! The text part of a journal report: `Key: value` lines that tell the envelope (MS-XJRNL §2.1; journal-formats §1.5,
//! §2.3, §8.2). One pass, never fails: what is not understood is passed over, and stays in the arrival.

use std::borrow::Cow;

use std::collections::BTreeMap;

use super::{Hop, How, RecipientClaim, RecipientKind, Role};
use crate::{
    limits,
    mail::{
        address::{self, Mailbox, strip_prefix_any_case},
        lines::is_space,
    },
};

/// What the text of a report tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvelopeText {
    /// `""` is the null sender.
    pub sender: Option<String>,
    pub on_behalf_of: Option<String>,
    pub subject: Option<String>,
    /// As found.
    pub message_id: Option<String>,
    pub recipients: Vec<RecipientClaim>,
    /// The fields of managed folders and retention (MRM), by their names in lower case; the first of a name counts.
    pub tags: BTreeMap<String, String>,
    /// A key that may stand once stood again; the first counts.
    pub duplicate_field: bool,
    /// Recipients came with `(To)` behind them, as mail clients export them.
    pub exported: bool,
    /// Redirections were left out: too many, or too long.
    pub truncated: bool,
}

impl EnvelopeText {
    /// Reads the decoded text of a report. `subject` is the original's, decoded: lines that it brings into the text by
    /// line ends of its own are no statements of the server.
    pub fn read(text: &str, subject: Option<&str>) -> EnvelopeText {
        let mut reader = Reader::default();
        let mut held = HeldLine::default();
        let injected = subject.map(injected_lines).unwrap_or_default();
        let mut injected = injected.iter().peekable();
        for line in text.split(['\n', '\r']) {
            if held.0.is_none()
                && reader.open == Open::Unique(Unique::Subject)
                && injected.next_if(|&&part| part == line.trim()).is_some()
            {
                continue;
            }
            held.take(line, &mut reader);
        }
        held.release(&mut reader);
        reader.read
    }

    /// Whether it tells anything of an envelope.
    pub fn is_envelope(&self) -> bool {
        self.sender.is_some() || !self.recipients.is_empty()
    }

    /// Whether it tells both who sent and who received.
    pub fn is_whole(&self) -> bool {
        self.sender.is_some() && !self.recipients.is_empty()
    }

    /// How much it tells, to be compared: an envelope before a Message-ID alone, before nothing.
    pub fn told(&self) -> usize {
        let sides = usize::from(self.sender.is_some()) + usize::from(!self.recipients.is_empty());
        2 * sides + usize::from(self.message_id.is_some())
    }
}

/// What a report of messaging records management tells beside the envelope (journal-formats §1.5).
const TAGS: [&str; 4] = ["label", "mailbox", "receivedutc", "sentutc"];

/// The lines that a subject with line ends in it adds behind its own line.
fn injected_lines(subject: &str) -> Vec<&str> {
    subject.split(['\n', '\r']).skip(1).map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unique {
    Sender,
    OnBehalfOf,
    Subject,
    MessageId,
}

/// What a continuation line continues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Unique(Unique),
    Recipients(Role),
    /// A label of retention.
    Tag(&'static str),
    /// `Recipients:`, one a line (Exchange 2000 and 2003, exports).
    List,
}

/// A recipient's line that may go on in the next: with a comma before `Expanded:`, or with the address behind it.
#[derive(Default)]
struct HeldLine<'a>(Option<Cow<'a, str>>);

impl<'a> HeldLine<'a> {
    fn take(&mut self, line: &'a str, reader: &mut Reader) {
        if line.trim().is_empty() {
            return;
        }
        let is_led = line.as_bytes().first().copied().is_some_and(is_space);
        if let Some(held) = self.0.as_mut().filter(|held| is_led && goes_on(held, line)) {
            let held = held.to_mut();
            held.push(' ');
            held.push_str(line.trim());
            return;
        }
        self.release(reader);
        if reader.is_of_recipients(line) {
            self.0 = Some(Cow::Borrowed(line));
        } else {
            reader.take(line);
        }
    }

    fn release(&mut self, reader: &mut Reader) {
        if let Some(line) = self.0.take() {
            reader.take(&line);
        }
    }
}

/// Whether the line behind a recipient's belongs to the same recipient.
fn goes_on(line: &str, next: &str) -> bool {
    if next.trim_start().starts_with([',', ';']) {
        return true;
    }
    let Some(label) = line.trim_end().strip_suffix(':') else { return false };
    let label = label.trim_end();
    let label = strip_suffix_any_case(label, "from").map_or(label, str::trim_end);
    ["expanded", "forwarded"]
        .iter()
        .find_map(|word| strip_suffix_any_case(label, word))
        .is_some_and(|before| before.trim_end().ends_with([',', ';']))
}

fn strip_suffix_any_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    tail.eq_ignore_ascii_case(suffix).then_some(head)
}

/// Text that was sent as `format=flowed` (RFC 3676 §4), its soft line breaks undone: a line that ends with a blank goes
/// on in the next. A field without a value does not, nor does one swallow another field; but a subject does, for its
/// words are anybody's.
pub(super) fn unflow(text: &str, delete_space: bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let (mut is_soft, mut is_subject) = (false, false);
    let end = if text.contains('\n') { '\n' } else { '\r' };
    for line in text.split(end).map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        // Space-stuffing, RFC 3676 §4.4.
        let line = line.strip_prefix(' ').unwrap_or(line);
        let key = key_and_value(line).filter(|(key, _)| is_known_key(key));
        if is_soft && (is_subject || key.is_none()) {
            if delete_space {
                plain.pop();
            }
        } else {
            if !plain.is_empty() {
                plain.push('\n');
            }
            is_subject = key.is_some_and(|(key, _)| key.eq_ignore_ascii_case("subject"));
        }
        plain.push_str(line);
        is_soft = line.ends_with(' ') && line != "-- " && !key.is_some_and(|(_, value)| value.is_empty());
    }
    plain
}

/// The fields that reports are known to have (journal-formats §8.2).
fn is_known_key(key: &str) -> bool {
    let known = [
        "sender",
        "on-behalf-of",
        "subject",
        "message-id",
        "label",
        "mailbox",
        "sentutc",
        "sent",
        "receivedutc",
        "received",
        "to",
        "cc",
        "bcc",
        "recipient",
        "recipients",
    ];
    known.iter().any(|name| name.eq_ignore_ascii_case(key))
}

#[derive(Default)]
struct Reader {
    read: EnvelopeText,
    open: Open,
    /// Bytes of hops that the recipients so far hold.
    path_bytes: usize,
}

impl Reader {
    /// Whether a line names recipients, by its key or by what stands open before it.
    fn is_of_recipients(&self, line: &str) -> bool {
        let goes_on = matches!(self.open, Open::Recipients(_) | Open::List);
        match key_and_value(line) {
            Some((key, _)) => {
                ["to", "cc", "bcc", "recipient", "recipients"].iter().any(|name| name.eq_ignore_ascii_case(key))
            }
            None => goes_on,
        }
    }

    fn take(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if line.as_bytes().first().copied().is_some_and(is_space) {
            return self.take_continuation(line.trim());
        }
        match key_and_value(line) {
            Some((key, value)) => self.take_field(key, value),
            None if self.open == Open::List && line.contains('@') => self.add_recipients(Role::Recipient, line),
            None => self.open = Open::Nothing,
        }
    }

    fn take_field(&mut self, key: &str, value: &str) {
        self.open = match key.to_ascii_lowercase().as_str() {
            "sender" => self.take_unique(Unique::Sender, value),
            "on-behalf-of" => self.take_unique(Unique::OnBehalfOf, value),
            "subject" => self.take_unique(Unique::Subject, value),
            "message-id" => self.take_unique(Unique::MessageId, value),
            "to" => self.take_recipients(Role::To, value),
            "cc" => self.take_recipients(Role::Cc, value),
            "bcc" => self.take_recipients(Role::Bcc, value),
            "recipient" => self.take_recipients(Role::Recipient, value),
            "recipients" => {
                self.add_recipients(Role::Recipient, value);
                Open::List
            }
            name => match TAGS.into_iter().find(|tag| *tag == name) {
                Some(tag) => self.take_tag(tag, value),
                // A key that nobody knows.
                None => Open::Nothing,
            },
        };
    }

    fn take_tag(&mut self, name: &'static str, value: &str) -> Open {
        if value.is_empty() || self.read.tags.contains_key(name) {
            return Open::Nothing;
        }
        self.read.tags.insert(name.to_owned(), value.to_owned());
        Open::Tag(name)
    }

    fn take_unique(&mut self, field: Unique, value: &str) -> Open {
        let slot = self.slot(field);
        if slot.is_some() {
            self.read.duplicate_field = true;
            return Open::Nothing;
        }
        let value = match field {
            Unique::Sender | Unique::OnBehalfOf => bare_address(value),
            Unique::Subject | Unique::MessageId => value.to_owned(),
        };
        *self.slot(field) = Some(value);
        Open::Unique(field)
    }

    fn slot(&mut self, field: Unique) -> &mut Option<String> {
        match field {
            Unique::Sender => &mut self.read.sender,
            Unique::OnBehalfOf => &mut self.read.on_behalf_of,
            Unique::Subject => &mut self.read.subject,
            Unique::MessageId => &mut self.read.message_id,
        }
    }

    fn take_recipients(&mut self, role: Role, value: &str) -> Open {
        self.add_recipients(role, value);
        Open::Recipients(role)
    }

    /// A line led by white space: a further recipient, a further redirection of the last one, or the rest of a value.
    fn take_continuation(&mut self, value: &str) {
        match self.open {
            Open::Recipients(_) | Open::List if redirection(value).is_some() => self.add_redirection(value),
            Open::Recipients(role) => self.add_recipients(role, value),
            Open::List => self.add_recipients(Role::Recipient, value),
            Open::Unique(field @ (Unique::Sender | Unique::OnBehalfOf)) => {
                let slot = self.slot(field).get_or_insert_default();
                if slot.is_empty() {
                    *slot = bare_address(value);
                }
            }
            Open::Unique(field) => fold(self.slot(field).get_or_insert_default(), value),
            Open::Tag(name) => fold(self.read.tags.get_mut(name).expect("an open tag was read"), value),
            Open::Nothing => {}
        }
    }

    fn add_recipients(&mut self, role: Role, value: &str) {
        let (value, path) = self.split_redirections(value);
        let (value, told) = split_exported_role(value);
        self.read.exported |= told.is_some();
        for mailbox in mailboxes(value) {
            let has_room = self.take_room(&path);
            self.read.recipients.push(RecipientClaim {
                address: mailbox.address,
                display_name: mailbox.display_name,
                role: told.unwrap_or(role),
                path: if has_room { path.clone() } else { Vec::new() },
                what: RecipientKind::Unknown,
                original: None,
                delivery: None,
            });
        }
    }

    /// Further from the recipient than those before it, so it goes outermost.
    fn add_redirection(&mut self, value: &str) {
        let Some(hop) = redirection(value) else { return };
        let fits = hop.address.len() <= limits::PATH_HOP_BYTES_MAX && self.take_room(std::slice::from_ref(&hop));
        match self.read.recipients.last_mut() {
            Some(claim) if fits && claim.path.len() < limits::PATH_HOPS_MAX => claim.path.insert(0, hop),
            Some(_) => self.read.truncated = true,
            None => {}
        }
    }

    /// Parts a recipient from its `, Expanded: …` and `, Forwarded: …` suffixes. The one nearest the recipient is the
    /// innermost step; the path is outermost first.
    fn split_redirections<'a>(&mut self, value: &'a str) -> (&'a str, Vec<Hop>) {
        let mut value = value.trim_end();
        let mut path = Vec::new();
        let quotes_end = end_of_quotes(value);
        while let Some((at, hop)) = last_redirection(value, quotes_end) {
            if path.len() < limits::PATH_HOPS_MAX && hop.address.len() <= limits::PATH_HOP_BYTES_MAX {
                path.push(hop);
            } else {
                self.read.truncated = true;
            }
            value = value[..at].trim_end();
        }
        (value, path)
    }

    /// Whether the recipients of this text may hold so many more hops.
    fn take_room(&mut self, path: &[Hop]) -> bool {
        let bytes: usize = path.iter().map(|hop| 4 + hop.address.len()).sum();
        let has_room = self.path_bytes + bytes <= limits::REPORT_PATH_BYTES_MAX;
        if has_room {
            self.path_bytes += bytes;
        } else {
            self.read.truncated = true;
        }
        has_room
    }
}

fn fold(value: &mut String, more: &str) {
    if !value.is_empty() {
        value.push(' ');
    }
    value.push_str(more);
}

/// `Key: value` at the start of a line: letters and hyphens, as all known keys are.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    is_key.then(|| (key, value.trim()))
}

fn bare_address(value: &str) -> String {
    address::parse(value).map(|mailbox| mailbox.address.text).unwrap_or_default()
}

/// The addresses of one recipient value: mostly one, sometimes a list.
fn mailboxes(value: &str) -> Vec<Mailbox> {
    if strip_prefix_any_case(value, "/o=").is_some() {
        return address::parse(value).into_iter().collect();
    }
    address::parse_list(value)
}

/// The last separator behind which a redirection begins, and that redirection. A comma within an X.500 name or a list
/// is none.
fn last_redirection(value: &str, from: usize) -> Option<(usize, Hop)> {
    value.rmatch_indices([',', ';']).take_while(|&(at, _)| at >= from).find_map(|(at, _)| {
        let hop = redirection(value[at + 1..].trim_start())?;
        Some((at, hop))
    })
}

/// Where a leading quoted local part or name ends: nothing in it is a suffix. 0 where none leads, or it never ends.
fn end_of_quotes(value: &str) -> usize {
    let Some(inner) = value.strip_prefix('"') else { return 0 };
    let mut escaped = false;
    let end = inner.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(0, |end| end + 2)
}

/// `Expanded: address`, `Forwarded: address`, `Expanded from: address`.
fn redirection(text: &str) -> Option<Hop> {
    let (how, rest) = [("expanded", How::Expanded), ("forwarded", How::Forwarded)]
        .into_iter()
        .find_map(|(word, how)| Some((how, strip_prefix_any_case(text, word)?.trim_start())))?;
    let rest = strip_prefix_any_case(rest, "from").map(str::trim_start).unwrap_or(rest);
    let address = bare_address(rest.strip_prefix(':')?.trim_end_matches([',', ';', ' ', '\t']));
    (!address.is_empty()).then_some(Hop { how, address })
}

/// `(To)`, `(Cc)`, `(Bcc)` behind an address, as mail clients write it.
fn split_exported_role(value: &str) -> (&str, Option<Role>) {
    let roles = [("(to)", Role::To), ("(cc)", Role::Cc), ("(bcc)", Role::Bcc)];
    for (suffix, role) in roles {
        let Some(at) = value.len().checked_sub(suffix.len()) else { continue };
        if value.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(suffix)) {
            return (value[..at].trim_end(), Some(role));
        }
    }
    (value, None)
}
