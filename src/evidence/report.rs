//! Journal reports: which mails are one, and what they say (journal-formats §1–§3).

use std::borrow::Cow;

use super::{
    Evidence, Flag, Form, Kind, Original, Place, PlaceKind, html,
    mail::{Mail, first_server, header_recipients, message_id_of, network_message_id_of},
    notice, original, protection, signals,
    text::{self, EnvelopeText},
};
use crate::{
    limits,
    mail::{
        Digest, Key,
        address::strip_prefix_any_case,
        decode::{Encoding, decode_words, text_in},
        headers::Head,
        key::{message_id_key, stand_in_of},
        parts::{Leaf, leaves},
    },
};

/// What looking for a report found.
pub(super) enum Found {
    Report(Box<Evidence>),
    /// Signs of a report, but nothing that reads as one.
    NotUnderstood,
    Nothing,
}

/// Reads a mail as a journal report, if it is one.
pub(super) fn read(id: Digest, mail: &Mail) -> Found {
    let marked = signals::marked_form(&mail.head);
    let signs = signals::lesser_signs(&mail.head);
    let has_shape = has_report_shape(mail);
    let form = marked.or_else(|| (signs + usize::from(has_shape) >= 2).then_some(Form::Exchange));
    if let Some(form) = form {
        return understand(id, mail, form).map_or(Found::NotUnderstood, |read| Found::Report(Box::new(read)));
    }
    match wrapped(id, mail) {
        Found::Nothing if signs > 0 || has_shape => Found::NotUnderstood,
        found => found,
    }
}

/// A text that begins with a report's first field, and an attached mail.
fn has_report_shape(mail: &Mail) -> bool {
    let mut leaves = mail.leaves.leaves.iter();
    let Some(first) = leaves.next().filter(|leaf| leaf.kind.is("text/plain")) else { return false };
    let body = &mail.bytes[first.body.clone()];
    let start = first.encoding.decode(&body[..body.len().min(SHAPE_BYTES)]);
    let start = text_in(first.kind.param("charset").as_deref(), &start);
    strip_prefix_any_case(start.trim_ascii_start(), "sender:").is_some() && leaves.any(Leaf::is_mail)
}

/// Enough to see a text's first word, in any transfer encoding, bytes.
const SHAPE_BYTES: usize = 256;

/// A report that another mail carries. Told from a person's mail that forwards one: the wrapper says nothing of its own
/// (no text but white space), or is a machine's (`Auto-Submitted: auto-generated`), or marks the attachment as the mail
/// that it wrapped. And the attachment has a report's marker and reads as one. Anything else is a mail about a report.
fn wrapped(id: Digest, mail: &Mail) -> Found {
    let only = |is: fn(&Leaf) -> bool| {
        let mut attached = mail.leaves.leaves.iter().filter(|leaf| is(leaf));
        attached.next().filter(|_| attached.next().is_none())
    };
    let Some(leaf) = only(|leaf| leaf.is_mail()).or_else(|| only(is_mail_file)) else { return Found::Nothing };
    let body = &mail.bytes[leaf.body.clone()];
    let is_wrapper = leaf.kind.param("x-spam-type").is_some_and(|kind| kind == b"original")
        || mail
            .head
            .get("Auto-Submitted")
            .is_some_and(|value| value.to_ascii_lowercase().starts_with(b"auto-generated"))
        || mail
            .leaves
            .leaves
            .iter()
            .all(|other| other.is_mail() || is_mail_file(other) || is_empty_text(mail.bytes, other));
    if !is_wrapper {
        return Found::Nothing;
    }
    let decoded = leaf.encoding.decode(body);
    let Some(form) = signals::marked_form(&Head::read(&decoded)) else { return Found::Nothing };
    let is_encoded = leaf.encoding != Encoding::Identity;
    let inner =
        if is_encoded { Mail::read(&decoded, 0..decoded.len()) } else { Mail::read(mail.bytes, leaf.body.clone()) };
    let read = understand(id, &inner, form).filter(|read| !read.flags.contains(&Flag::EnvelopeUnparsed));
    let Some(mut read) = read else { return Found::NotUnderstood };
    for original in read.originals.iter_mut().filter(|_| is_encoded) {
        original.place = original.place.clone().within(place_of(leaf));
    }
    read.form = Form::WrappedReport;
    read.server = read.server.or_else(|| first_server(&mail.head));
    Found::Report(Box::new(read))
}

/// A mail that was saved as a file and attached as that.
fn is_mail_file(leaf: &Leaf) -> bool {
    !leaf.is_mail() && leaf.has_name_ending(".eml")
}

fn is_empty_text(bytes: &[u8], leaf: &Leaf) -> bool {
    leaf.kind.essence.starts_with("text/") && leaf.file_name().is_none() && text_of_leaf(bytes, leaf).trim().is_empty()
}

/// Reads a mail that claims to be a report; none if it tells no envelope and carries no original.
fn understand(id: Digest, mail: &Mail, form: Form) -> Option<Evidence> {
    let attached = attached(mail);
    let heads: Vec<Head> = attached.iter().map(Attached::head).collect();
    let first = attached.first().zip(heads.first());
    let subject = first.and_then(|(_, head)| head.decoded("Subject"));
    let text = envelope_text(mail, &attached, subject.as_deref());
    if attached.is_empty() && !text.is_envelope() && text.message_id.is_none() {
        return None;
    }
    let mut evidence = Evidence::of_mail(id, Kind::Report, if text.exported { Form::PstExport } else { form });
    (evidence.key, evidence.message_id) = key_of(id, mail, &text, first);
    evidence.originals = attached.iter().zip(&heads).map(|(attached, head)| attached.examine(head)).collect();
    evidence.report_id = message_id_of(&mail.head).map(|(key, _)| key.as_str().to_owned());
    evidence.server = first_server(&mail.head);
    evidence.tags = text.tags.clone();
    evidence.flags = flags_of(mail, &text, &attached, &heads, subject.as_deref(), &evidence);
    if let Some((attached, head)) = first.filter(|(attached, _)| !attached.opaque) {
        evidence.network_message_id = network_message_id_of(head);
        evidence.notice = notice_of(&attached.bytes, head);
        if !text.is_envelope() {
            evidence.recipients = header_recipients(head);
        }
    }
    if text.is_envelope() {
        evidence.recipients = text.recipients;
    }
    (evidence.sender, evidence.on_behalf_of, evidence.subject) = (text.sender, text.on_behalf_of, text.subject);
    Some(evidence)
}

/// The original's own Message-ID, else the text's, else the parent that the report names, else a stand-in.
fn key_of(id: Digest, mail: &Mail, text: &EnvelopeText, first: Option<(&Attached, &Head)>) -> (Key, Option<String>) {
    let own = first.and_then(|(_, head)| message_id_of(head));
    let told = || text.message_id.clone().and_then(|found| Some((message_id_key(&found)?, found)));
    let parent = || {
        let found = mail.head.text("X-MS-Exchange-Parent-Message-Id")?;
        Some((message_id_key(&found)?, found))
    };
    match own.or_else(told).or_else(parent) {
        Some((key, found)) => (key, Some(found)),
        None => (
            first.map_or(Key::stand_in(id), |(attached, head)| stand_in_of(head, &attached.bytes[head.body_at..])),
            None,
        ),
    }
}

/// A journaled bounce, receipt or automatic reply: what the original says as a notice.
pub(super) fn notice_of(bytes: &[u8], head: &Head) -> Option<super::Notice> {
    let leaves = leaves(bytes, 0..bytes.len(), head.clone());
    notice::form_of(head, &leaves).map(|form| notice::read(form, bytes, head, &leaves).notice)
}

/// Where a leaf's bytes are.
fn place_of(leaf: &Leaf) -> Place {
    let how = match leaf.encoding {
        Encoding::Identity => PlaceKind::Cut,
        Encoding::Base64 => PlaceKind::Base64,
        Encoding::QuotedPrintable => PlaceKind::QuotedPrintable,
    };
    Place::span(how, leaf.body.clone())
}

/// An original attached to a report.
struct Attached<'a> {
    bytes: Cow<'a, [u8]>,
    place: Place,
    decrypted: bool,
    /// Not an RFC 5322 mail: TNEF or `.msg`.
    opaque: bool,
}

impl<'a> Attached<'a> {
    fn new(mail: &Mail<'a>, leaf: &Leaf, decrypted: bool, opaque: bool) -> Attached<'a> {
        let bytes = leaf.encoding.decode(&mail.bytes[leaf.body.clone()]);
        Attached { bytes, place: place_of(leaf), decrypted, opaque }
    }

    fn head(&self) -> Head<'_> {
        if self.opaque { Head::default() } else { Head::read(&self.bytes) }
    }

    fn examine(&self, head: &Head) -> Original {
        if self.opaque {
            return original::examine_opaque(&self.bytes, self.place.clone());
        }
        original::examine_read(&self.bytes, Digest::of(&self.bytes), head, self.place.clone(), self.decrypted)
    }
}

/// The originals of a report: the attached mails, the first of which is the original and the next its decrypted copy;
/// else a mail attached as a file; else one in Outlook's own formats.
fn attached<'a>(mail: &Mail<'a>) -> Vec<Attached<'a>> {
    let leaves = &mail.leaves.leaves;
    let is_there = |leaf: &&Leaf| !mail.bytes[leaf.body.clone()].trim_ascii().is_empty();
    let mails: Vec<_> = leaves.iter().filter(|leaf| leaf.is_mail()).filter(is_there).collect();
    if !mails.is_empty() {
        return mails.iter().enumerate().map(|(index, leaf)| Attached::new(mail, leaf, index > 0, false)).collect();
    }
    if let Some(leaf) = leaves.iter().filter(is_there).find(|leaf| leaf.has_name_ending(".eml")) {
        return vec![Attached::new(mail, leaf, false, false)];
    }
    let is_outlook = |leaf: &&Leaf| {
        matches!(
            leaf.kind.essence.as_str(),
            "application/ms-tnef" | "application/vnd.ms-tnef" | "application/vnd.ms-outlook"
        ) || leaf.has_name_ending(".msg")
            || leaf.has_name_ending("winmail.dat")
    };
    leaves
        .iter()
        .filter(is_there)
        .find(is_outlook)
        .map(|leaf| Attached::new(mail, leaf, false, true))
        .into_iter()
        .collect()
}

/// The envelope that a report's texts tell: plain texts before HTML, and of these the first that tells most. A text
/// before it may be empty, or what a gateway says of itself. The original is no text of the report.
fn envelope_text(mail: &Mail, attached: &[Attached], subject: Option<&str>) -> EnvelopeText {
    let is_text = |leaf: &&Leaf| {
        let is_original = attached.iter().any(|attached| attached.place == place_of(leaf));
        !is_original && !leaf.has_name_ending(".eml")
    };
    let of_kind = |kind| mail.leaves.leaves.iter().filter(move |leaf| leaf.kind.is(kind)).filter(is_text);
    let mut best = EnvelopeText::default();
    for leaf in of_kind("text/plain").chain(of_kind("text/html")).take(limits::REPORT_TEXTS_MAX) {
        let read = EnvelopeText::read(&text_of_leaf(mail.bytes, leaf), subject);
        if read.told() > best.told() {
            best = read;
        }
        if best.is_whole() {
            break;
        }
    }
    best
}

/// A text part's text, decoded; of HTML, what a person reads.
fn text_of_leaf(bytes: &[u8], leaf: &Leaf) -> String {
    let decoded = leaf.encoding.decode(&bytes[leaf.body.clone()]);
    let text = text_in(leaf.kind.param("charset").as_deref(), &decoded);
    let is = |name: &str, word: &[u8]| leaf.kind.param(name).is_some_and(|value| value.eq_ignore_ascii_case(word));
    match leaf.kind.essence.as_str() {
        "text/html" => html::to_text(&text),
        "text/plain" if is("format", b"flowed") => text::unflow(&text, is("delsp", b"yes")),
        _ => text.into_owned(),
    }
}

fn flags_of(
    mail: &Mail,
    text: &EnvelopeText,
    attached: &[Attached],
    heads: &[Head],
    subject: Option<&str>,
    evidence: &Evidence,
) -> Vec<Flag> {
    let head = heads.first().filter(|_| !attached[0].opaque);
    let other_id = head.is_some_and(|head| differs_in_id(text, head));
    let other_subject = head.is_some_and(|_| differs_in_subject(text.subject.as_deref(), subject));
    let injects = subject.is_some_and(|subject| subject.contains(['\r', '\n']));
    let encrypted = attached.iter().zip(heads).any(|(attached, head)| protection::is_encrypted(&attached.bytes, head));
    let tnef = attached.iter().zip(heads).any(|(attached, head)| attached.opaque || protection::is_tnef(head));
    let flags = [
        (Flag::DecryptedCopy, attached.iter().any(|attached| attached.decrypted)),
        (Flag::DuplicateField, text.duplicate_field),
        (Flag::Encrypted, encrypted),
        (Flag::EnvelopeUnparsed, !text.is_envelope()),
        (Flag::ForgedSuspect, injects || (other_id && other_subject)),
        (Flag::MessageIdMissing, evidence.message_id.is_none()),
        (Flag::ReportMismatch, other_id || other_subject),
        (Flag::Tnef, tnef),
        (Flag::Truncated, mail.leaves.truncated || !mail.leaves.closed || mail.head.truncated || text.truncated),
    ];
    flags.into_iter().filter(|&(_, is_set)| is_set).map(|(flag, _)| flag).collect()
}

fn differs_in_id(text: &EnvelopeText, head: &Head) -> bool {
    let told = text.message_id.as_deref().and_then(message_id_key);
    let own = message_id_of(head).map(|(key, _)| key);
    matches!((told, own), (Some(told), Some(own)) if told != own)
}

/// Compares what every charset can tell: a server writes `?` for what the text's cannot.
fn differs_in_subject(told: Option<&str>, own: Option<&str>) -> bool {
    let Some(told) = told else { return false };
    let plain =
        |text: &str| -> String { text.chars().filter(|letter| letter.is_ascii_graphic() && *letter != '?').collect() };
    // A subject that was injected stands on several lines; the text tells its first.
    let own = own.unwrap_or_default().split(['\r', '\n']).next().unwrap_or_default();
    plain(&decode_words(told.as_bytes())) != plain(own)
}
