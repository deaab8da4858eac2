//! The text part of a report: MS-XJRNL §2.1, `Key: value` lines.

use std::fmt::Write as _;

use crate::{
    evidence::{Hop, How},
    mail::AddressKind,
    record::{JournalRecord, Recipient, Role, Status},
};

/// The envelope: a line a field, then a line for each recipient, role and path. Display names are left out, as Exchange
/// does: nothing escapes a comma in them.
pub fn envelope(record: &JournalRecord) -> String {
    let mut text = String::with_capacity(256 + 64 * record.recipients.len());
    match record.sender.as_deref() {
        Some("") => line(&mut text, "Sender", "<>"),
        Some(sender) => line(&mut text, "Sender", sender),
        None => {}
    }
    let optional =
        [("On-Behalf-Of", &record.on_behalf_of), ("Subject", &record.subject), ("Message-Id", &record.message_id)];
    for (name, value) in optional {
        if let Some(value) = value {
            line(&mut text, name, value);
        }
    }
    record.recipients.iter().for_each(|recipient| recipient_lines(&mut text, recipient));
    text
}

pub fn status(status: Status) -> &'static str {
    match status {
        Status::Complete => "COMPLETE",
        Status::Incomplete => "INCOMPLETE",
        Status::Superseded => "SUPERSEDED",
    }
}

/// The lines of one recipient.
pub fn lines_of(recipient: &Recipient) -> String {
    let mut text = String::new();
    recipient_lines(&mut text, recipient);
    text
}

/// A path each in the role that counts, then the first path in each further role that was claimed.
fn recipient_lines(text: &mut String, recipient: &Recipient) {
    let first = recipient.paths.first().map_or(&[][..], Vec::as_slice);
    recipient_line(text, recipient, recipient.role, first);
    for path in recipient.paths.iter().skip(1) {
        recipient_line(text, recipient, recipient.role, path);
    }
    for &role in recipient.claimed_roles.iter().filter(|&&role| role != recipient.role) {
        recipient_line(text, recipient, role, first);
    }
}

fn recipient_line(text: &mut String, recipient: &Recipient, role: Role, path: &[Hop]) {
    let mut value = address(recipient);
    // The hop nearest the recipient stands first, and a path's outermost hop comes first.
    for hop in path.iter().rev() {
        let how = match hop.how {
            How::Expanded => "Expanded",
            How::Forwarded => "Forwarded",
        };
        let _ = write!(value, ", {how}: {}", hop.address);
    }
    let name = match role {
        Role::To => "To",
        Role::Cc => "Cc",
        Role::Bcc => "Bcc",
        Role::Recipient => "Recipient",
    };
    line(text, name, &value);
}

/// An X.500 name in the form that MS-XJRNL §2.1.4.2 has for it, `[EX:…]`.
fn address(recipient: &Recipient) -> String {
    let text = &recipient.address;
    if recipient.kind == AddressKind::X500 && text.starts_with('/') { format!("[EX:{text}]") } else { text.clone() }
}

/// One line, whatever the value holds: nothing that a server or a sender wrote may become a line of its own.
fn line(text: &mut String, name: &str, value: &str) {
    let breaks = |letter: char| letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}');
    text.push_str(name);
    text.push_str(": ");
    text.extend(value.chars().map(|letter| if breaks(letter) { ' ' } else { letter }));
    text.push_str("\r\n");
}
