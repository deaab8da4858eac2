//! A mail that arrived → what it says. Classified from the outside in (journal-formats §7.4): a bounce is a bounce
//! whatever it returns, a report is a report whatever it carries, and all else is a copy of itself.

use bytes::Bytes;

use super::{
    Evidence, Flag, Form, Kind, Place, PlaceKind, Rejection, Within, bounds, envelope_event,
    mail::{
        Mail, first_server, has_envelope_headers, header_recipients, header_sender, message_id_of,
        network_message_id_of,
    },
    notice, original, protection, report,
};
use crate::{
    arrival::Format,
    mail::{
        Digest,
        decode::{decode_base64, decode_quoted_printable},
        key::stand_in_of,
        parts::ContentType,
    },
};

/// What a mail says. Never panics; linear in the bytes; looks at a bounded number of levels.
///
/// # Errors
/// Only what is no mail at all: no bytes, or a start that is no header field.
pub fn read_mail(bytes: &[u8]) -> Result<Evidence, Rejection> {
    if bytes.is_empty() {
        return Err(Rejection { reason: "empty", detail: "the arrival has no bytes".to_owned() });
    }
    let mail = Mail::read(bytes, 0..bytes.len());
    if !mail.head.begins_with_field {
        let detail = "its first line is no header field (`Name: value`), so it is no RFC 5322 mail".to_owned();
        return Err(Rejection { reason: "not-a-mail", detail });
    }
    let id = Digest::of(bytes);
    let mut evidence = understand(id, &mail);
    evidence.flags.sort_unstable();
    evidence.flags.dedup();
    bounds::bound(&mut evidence);
    Ok(evidence)
}

fn understand(id: Digest, mail: &Mail) -> Evidence {
    // What Exchange marks as a report is one, though its copy of the original's headers may look like a notice's;
    // but no report is a `multipart/report`.
    let form = notice::form_of(&mail.head, &mail.leaves);
    if let Some(form) = form.filter(|_| is_multipart_report(mail)) {
        return read_notice(id, mail, form);
    }
    match (report::read(id, mail), form) {
        (report::Found::Report(read), _) => *read,
        (_, Some(form)) => read_notice(id, mail, form),
        (report::Found::NotUnderstood, None) => {
            let mut copy = whole_mail(id, mail, Kind::PlainCopy, Form::PlainCopy);
            copy.flags.push(Flag::NotUnderstood);
            copy
        }
        (report::Found::Nothing, None) => read_plain_copy(id, mail),
    }
}

fn is_multipart_report(mail: &Mail) -> bool {
    ContentType::of(&mail.head).is("multipart/report")
}

fn read_plain_copy(id: Digest, mail: &Mail) -> Evidence {
    let form = if has_envelope_headers(&mail.head) { Form::EnvelopeHeaders } else { Form::PlainCopy };
    whole_mail(id, mail, Kind::PlainCopy, form)
}

fn read_notice(id: Digest, mail: &Mail, form: Form) -> Evidence {
    let mut evidence = whole_mail(id, mail, Kind::Notice, form);
    let read = notice::read(form, mail.bytes, &mail.head, &mail.leaves);
    if read.returns_report {
        evidence.form = Form::UndeliverableReport;
        evidence.flags.push(Flag::UndeliverableReport);
    }
    evidence.report_id = evidence.message_id.as_ref().map(|_| evidence.key.as_str().to_owned());
    evidence.server = read.notice.reporting_mta.clone().or_else(|| first_server(&mail.head));
    evidence.notice = Some(read.notice);
    evidence
}

/// A mail that is its own original; `id` is the digest of both.
fn whole_mail(id: Digest, mail: &Mail, kind: Kind, form: Form) -> Evidence {
    let bytes = mail.all();
    let mut evidence = Evidence::of_mail(id, kind, form);
    match message_id_of(&mail.head) {
        Some((key, found)) => (evidence.key, evidence.message_id) = (key, Some(found)),
        None => {
            evidence.key = stand_in_of(&mail.head, &bytes[mail.head.body_at..]);
            evidence.flags.push(Flag::MessageIdMissing);
        }
    }
    evidence.network_message_id = network_message_id_of(&mail.head);
    evidence.sender = header_sender(&mail.head);
    evidence.recipients = header_recipients(&mail.head);
    let place = Place::span(PlaceKind::Cut, mail.span.clone());
    evidence.originals = vec![original::examine_read(bytes, id, &mail.head, place, false)];
    let flags = [
        (Flag::Encrypted, protection::is_encrypted(bytes, &mail.head)),
        (Flag::Tnef, protection::is_tnef(&mail.head)),
        (Flag::Truncated, mail.leaves.truncated || mail.head.truncated),
    ];
    evidence.flags.extend(flags.into_iter().filter(|&(_, is_set)| is_set).map(|(flag, _)| flag));
    evidence
}

/// An original's exact bytes, found again in its arrival. A cut shares the arrival's memory.
///
/// # Errors
/// Says why the bytes are not there: the place lies outside the arrival, or elsewhere.
pub fn original_bytes(arrival: &Bytes, format: Format, place: &Place) -> Result<Bytes, String> {
    if let Some(Within { how, start, end }) = place.within {
        let report = original_bytes(arrival, format, &Place { how, start, end, uri: None, within: None })?;
        return original_bytes(&report, format, &Place { within: None, ..place.clone() });
    }
    match place.how {
        PlaceKind::Cut => cut(arrival, place),
        PlaceKind::Base64 => Ok(decode_base64(&cut(arrival, place)?).into()),
        PlaceKind::QuotedPrintable => Ok(decode_quoted_printable(&cut(arrival, place)?).into()),
        PlaceKind::Content if format == Format::EnvelopeEvent => envelope_event::content_message(arrival),
        PlaceKind::Content => Err("a mail has no event content".to_owned()),
        PlaceKind::Elsewhere => Err(format!(
            "the original is not in the arrival but at {}",
            place.uri.as_deref().unwrap_or("an unknown place")
        )),
    }
}

fn cut(arrival: &Bytes, place: &Place) -> Result<Bytes, String> {
    let span = usize::try_from(place.start).ok().zip(usize::try_from(place.end).ok());
    let span = span.filter(|&(start, end)| start <= end && end <= arrival.len());
    let out_of_bounds = || format!("bytes {} to {} are not in an arrival of {}", place.start, place.end, arrival.len());
    span.map(|(start, end)| arrival.slice(start..end)).ok_or_else(out_of_bounds)
}
