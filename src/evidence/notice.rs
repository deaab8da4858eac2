//! Notices: delivery status notifications (RFC 3464), other bounces, disposition notifications (RFC 8098), automatic
//! replies (RFC 3834): what they are about, and what became of it (journal-formats §7).

use std::{borrow::Cow, iter};

use super::{Form, FoundBy, Notice, RecipientStatus, bounds, signals};
use crate::{
    limits,
    mail::{
        Guard, address,
        decode::text_of,
        headers::Head,
        key::message_id_key,
        lines::{Lines, is_blank},
        parts::{ContentType, Leaf, Leaves},
    },
};

/// What a notice says, and whether the mail that it returns is a journal report.
pub(super) struct Read {
    pub notice: Notice,
    pub returns_report: bool,
}

/// Whether a mail is a notice, and of which form. Decisive are the machine-readable part and the headers that only
/// bounces carry; a null sender alone is not.
pub(super) fn form_of(head: &Head, leaves: &Leaves) -> Option<Form> {
    let kind = ContentType::of(head);
    let report_type = kind.param("report-type").unwrap_or_default().to_ascii_lowercase();
    let has = |names: &[&str]| leaves.leaves.iter().any(|leaf| names.contains(&leaf.kind.essence.as_str()));
    if has(DELIVERY_STATUS) || (kind.is("multipart/report") && report_type == b"delivery-status") {
        return Some(Form::DeliveryStatus);
    }
    if has(DISPOSITION) || (kind.is("multipart/report") && report_type == b"disposition-notification") {
        return Some(Form::Disposition);
    }
    if BOUNCE_HEADERS.iter().any(|name| head.has(name)) || head.says("Content-Class", "content-classes:dsn") {
        return Some(Form::DeliveryStatus);
    }
    if head.says("Content-Class", "content-classes:mdn") {
        return Some(Form::Disposition);
    }
    if is_from_mail_system(head) {
        return Some(Form::DeliveryStatus);
    }
    is_auto_reply(head).then_some(Form::AutoReply)
}

const DELIVERY_STATUS: &[&str] = &["message/delivery-status", "message/global-delivery-status"];
const DISPOSITION: &[&str] = &["message/disposition-notification", "message/global-disposition-notification"];
const RETURNED: &[&str] = &[
    "message/rfc822",
    "message/global",
    "message/rfc2822",
    "text/rfc822-headers",
    "message/rfc822-headers",
    "message/global-headers",
    "text/rfc822",
];

/// Headers that only bounces have: Exchange 2007 and later, Exim, Exchange 5.5 to 2003.
const BOUNCE_HEADERS: &[&str] = &["X-MS-Exchange-Message-Is-Ndr", "X-Failed-Recipients", "X-MS-Embedded-Report"];

/// `MAILER-DAEMON` writes nothing but bounces; `postmaster`, or a subject such as a bounce's, counts with a null sender.
fn is_from_mail_system(head: &Head) -> bool {
    let from = head.get("From").unwrap_or_default();
    let local_part = |name: &str| {
        let stands_there = from.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()));
        stands_there
            && address::parse_list(&text_of(&from[..from.len().min(limits::HEADER_TEXT_BYTES_MAX)])).iter().any(
                |mailbox| mailbox.address.text.split('@').next().is_some_and(|local| local.eq_ignore_ascii_case(name)),
            )
    };
    let is_bounce_like = || {
        let subject = head.decoded("Subject").unwrap_or_default().to_lowercase();
        local_part("postmaster") || BOUNCE_SUBJECTS.iter().any(|words| subject.starts_with(words))
    };
    local_part("mailer-daemon") || (has_null_sender(head) && is_bounce_like())
}

/// How the subjects of bounces begin, in lower case.
const BOUNCE_SUBJECTS: &[&str] = &[
    "undeliver",
    "mail delivery fail",
    "delivery status notification",
    "delivery fail",
    "returned mail",
    "failure notice",
    "non-delivery",
];

fn has_null_sender(head: &Head) -> bool {
    head.get("Return-Path").is_some_and(|path| path.trim_ascii() == b"<>")
}

fn is_auto_reply(head: &Head) -> bool {
    let is_replied =
        head.get("Auto-Submitted").is_some_and(|value| value.to_ascii_lowercase().starts_with(b"auto-replied"));
    let precedence = head.get("Precedence").unwrap_or_default();
    is_replied || head.has("X-Autoreply") || head.has("X-Autorespond") || precedence.eq_ignore_ascii_case(b"auto_reply")
}

/// Reads the notice that a mail was found to be.
pub(super) fn read(form: Form, bytes: &[u8], head: &Head, leaves: &Leaves) -> Read {
    let mut notice = Notice { is_bounce: form == Form::DeliveryStatus, ..Notice::default() };
    let mut original_message_id = None;
    for leaf in &leaves.leaves {
        let body = &bytes[leaf.body.clone()];
        if DELIVERY_STATUS.contains(&leaf.kind.essence.as_str()) {
            read_delivery_status(&leaf.encoding.decode(body), &mut notice);
        } else if DISPOSITION.contains(&leaf.kind.essence.as_str()) {
            original_message_id = read_disposition(&leaf.encoding.decode(body), &mut notice);
        }
    }
    if notice.statuses.is_empty() {
        notice.statuses = failed_recipients(head);
    }
    let returned = if form == Form::AutoReply { None } else { leaves.leaves.iter().find(|leaf| is_returned(leaf)) };
    let returned_bytes = returned.map(|leaf| leaf.encoding.decode(&bytes[leaf.body.clone()])).unwrap_or_default();
    let returned_head = Head::read(&returned_bytes);
    notice.about_guard = Guard::of_head(&returned_head);
    let about = about(head, &returned_head, original_message_id, || scan_text(bytes, leaves));
    (notice.about, notice.found_by) = about.map_or((None, None), |(id, by)| (Some(id), Some(by)));
    Read { notice, returns_report: signals::is_report_head(&returned_head) }
}

fn is_returned(leaf: &Leaf) -> bool {
    RETURNED.contains(&leaf.kind.essence.as_str())
}

/// The Message-ID of the mail that a notice is about, by the first step that finds one (journal-formats §7.3).
fn about(
    head: &Head,
    returned: &Head,
    original_message_id: Option<String>,
    scan: impl FnOnce() -> Option<String>,
) -> Option<(String, FoundBy)> {
    let normal = |text: String| message_id_key(&text).map(|key| key.as_str().to_owned());
    let found = |id: Option<String>, by| id.and_then(normal).map(|id| (id, by));
    found(returned.text("Message-ID"), FoundBy::ReturnedHeaders)
        .or_else(|| found(original_message_id, FoundBy::OriginalMessageId))
        .or_else(|| found(head.text("In-Reply-To"), FoundBy::InReplyTo))
        .or_else(|| found(last_reference(head), FoundBy::References))
        .or_else(|| found(scan(), FoundBy::Text))
}

fn last_reference(head: &Head) -> Option<String> {
    let references = head.text("References")?;
    let start = references.rfind('<')?;
    Some(references[start..].to_owned())
}

/// A `Message-ID:` line in the human text: bounces of other forms quote the returned headers there.
fn scan_text(bytes: &[u8], leaves: &Leaves) -> Option<String> {
    leaves.leaves.iter().filter(|leaf| leaf.kind.is("text/plain")).find_map(|leaf| {
        let body = &bytes[leaf.body.clone()];
        let text = leaf.encoding.decode(&body[..body.len().min(limits::NOTICE_TEXT_BYTES_MAX)]);
        let mut lines = Lines::new(&text).map(|line| line.text.trim_ascii());
        while let Some(line) = lines.next() {
            let Some(name) = line.get(..11).filter(|name| name.eq_ignore_ascii_case(b"message-id:")) else { continue };
            let value = line[name.len()..].trim_ascii();
            let value = if value.is_empty() { lines.next().unwrap_or_default() } else { value };
            if value.contains(&b'<') {
                return Some(text_of(value).into_owned());
            }
        }
        None
    })
}

/// Exim names who failed in a header.
fn failed_recipients(head: &Head) -> Vec<RecipientStatus> {
    let value = head.get("X-Failed-Recipients").unwrap_or_default();
    let failed = |mailbox: address::Mailbox| RecipientStatus {
        final_recipient: Some(mailbox.address.text),
        original_recipient: None,
        action: Some("failed".to_owned()),
        status: None,
        diagnostic: None,
    };
    address::parse_list(&text_of(&value)).into_iter().map(failed).collect()
}

/// RFC 3464 §2: groups of fields with empty lines between; the first is of the whole message. Of statuses as many are
/// taken as one arrival may claim, and one more, so that it shows that there were others.
fn read_delivery_status(text: &[u8], notice: &mut Notice) {
    let mut room = limits::EVIDENCE_BYTES_MAX;
    for group in groups(text) {
        if let Some(mta) = group.text("Reporting-MTA") {
            notice.reporting_mta.get_or_insert_with(|| without_type(&mta).to_owned());
        }
        if let Some(id) = group.text("Original-Envelope-Id") {
            notice.original_envelope_id.get_or_insert(id);
        }
        if ["Final-Recipient", "Original-Recipient", "Action"].iter().any(|name| group.has(name)) {
            let status = status_of(&group);
            let left = room.checked_sub(bounds::status_bytes(&status));
            notice.statuses.push(status);
            let Some(left) = left else { return };
            room = left;
        }
    }
}

fn status_of(group: &Head) -> RecipientStatus {
    let stated = group.text("Status");
    let status = stated.as_deref().and_then(enhanced_status).map(str::to_owned);
    let mut diagnostic = group.text("Diagnostic-Code").filter(|text| !text.is_empty());
    if diagnostic.is_none() && status.is_none() {
        diagnostic = stated;
    }
    RecipientStatus {
        final_recipient: recipient(group, "Final-Recipient"),
        original_recipient: recipient(group, "Original-Recipient"),
        action: group.text("Action").and_then(|text| first_word(&text)),
        status,
        diagnostic: diagnostic.map(|text| cut(text, limits::DIAGNOSTIC_BYTES_MAX)),
    }
}

/// RFC 8098 §3: one group; returns its Original-Message-ID.
fn read_disposition(text: &[u8], notice: &mut Notice) -> Option<String> {
    let group = groups(text).next()?;
    let disposition = group.text("Disposition").unwrap_or_default();
    let what = disposition.rsplit(';').next().unwrap_or_default();
    notice.statuses.push(RecipientStatus {
        final_recipient: recipient(&group, "Final-Recipient"),
        original_recipient: recipient(&group, "Original-Recipient"),
        action: what.split('/').next().and_then(first_word),
        status: None,
        diagnostic: ["Error", "Failure", "Warning"].iter().find_map(|name| group.text(name)),
    });
    group.text("Original-Message-ID")
}

/// Groups of fields, parted by lines that are empty or white space. A group may be of two bytes: none is kept.
fn groups(text: &[u8]) -> impl Iterator<Item = Head<'_>> {
    let mut lines = Lines::new(text);
    iter::from_fn(move || {
        let start = lines.find(|line| !is_blank(line.text))?.start;
        let end = lines.find(|line| is_blank(line.text)).map_or(text.len(), |line| line.start);
        Some(Head::read(&text[start..end]))
    })
}

/// An address without its type (`rfc822;`, `utf-8;`).
fn recipient(group: &Head, name: &str) -> Option<String> {
    let value = group.text(name)?;
    let plain = without_type(&value);
    let is_unicode = value.get(..6).is_some_and(|kind| kind.eq_ignore_ascii_case("utf-8;"));
    let plain = if is_unicode { decode_unicode_escapes(plain) } else { Cow::Borrowed(plain) };
    let address = address::Address::of(&plain).text;
    (!address.is_empty()).then_some(address)
}

fn without_type(value: &str) -> &str {
    value.split_once(';').map_or(value, |(_, plain)| plain).trim()
}

/// RFC 6533 §3: `\x{HEX}` for a character.
fn decode_unicode_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains("\\x{") {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut pieces = text.split("\\x{");
    decoded.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let meant = piece.split_once('}').and_then(|(hex, rest)| {
            let letter = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
            Some((letter, rest))
        });
        match meant {
            Some((letter, rest)) => {
                decoded.push(letter);
                decoded.push_str(rest);
            }
            None => decoded.push_str(&format!("\\x{{{piece}")),
        }
    }
    Cow::Owned(decoded)
}

fn first_word(text: &str) -> Option<String> {
    let word = text
        .split(|letter: char| letter.is_whitespace() || matches!(letter, '(' | ';'))
        .find(|word| !word.is_empty())?;
    Some(word.to_lowercase())
}

/// `5.1.1` (RFC 3463) at the start of a Status.
fn enhanced_status(text: &str) -> Option<&str> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let status = &text[..end];
    let mut numbers = status.split('.');
    let is_status = numbers.clone().count() == 3 && numbers.all(|number| (1..=3).contains(&number.len()));
    is_status.then_some(status)
}

fn cut(mut text: String, bytes_max: usize) -> String {
    let end = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.truncate(end);
    text
}
