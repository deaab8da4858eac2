//! Strays: arrivals on their way to their home partition, whole, with the headers that tell where they came from.

use bytes::Bytes;

use crate::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    mail::Key,
    turn::{Outgoing, Output},
};

const ORIGIN_TOPIC: &str = "origin-topic";
const ORIGIN_PARTITION: &str = "origin-partition";
const ORIGIN_OFFSET: &str = "origin-offset";
/// The value is left where the arrival lies, because it does not fit: its bytes.
const BY_REFERENCE: &str = "by-reference";
/// Milliseconds since the epoch, as producers may give it on the input topics.
pub const RECEIVED_AT: &str = "received-at";
pub const SERVER: &str = "server";
/// Repeatable.
pub const JOURNAL_RECIPIENT: &str = "journal-recipient";

/// What moves an arrival home: whole, or, where that takes more than `bytes_max`, by reference.
pub fn send_home(arrival: &Arrival, key: &Key, home: i32, bytes_max: Option<usize>) -> Outgoing {
    let topic = match arrival.format {
        Format::Mail => "reports",
        Format::EnvelopeEvent => "envelopes",
    };
    let mut headers = vec![
        (ORIGIN_TOPIC, topic.to_owned()),
        (ORIGIN_PARTITION, arrival.origin.partition.to_string()),
        (ORIGIN_OFFSET, arrival.origin.offset.to_string()),
        (RECEIVED_AT, arrival.at.0.to_string()),
    ];
    headers.extend(arrival.server.iter().map(|server| (SERVER, server.clone())));
    headers.extend(arrival.journal_recipients.iter().map(|address| (JOURNAL_RECIPIENT, address.clone())));
    let mut stray = Outgoing {
        output: Output::Strays,
        partition: Some(home),
        key: Some(Bytes::copy_from_slice(key.as_str().as_bytes())),
        value: Some(arrival.bytes.clone()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), Bytes::from(value))).collect(),
        originals: Vec::new(),
    };
    if bytes_max.is_some_and(|max| stray.bytes() > max) {
        stray.value = Some(Bytes::new());
        stray.headers.push((BY_REFERENCE.to_owned(), arrival.bytes.len().to_string().into()));
    }
    stray
}

/// Whether the arrival is a stray whose bytes lie at its origin.
pub fn is_absent(arrival: &Arrival) -> bool {
    arrival.position.input == Input::Strays && text(&arrival.headers, BY_REFERENCE).is_some()
}

/// How many bytes the arrival takes once they are here.
pub fn bytes(arrival: &Arrival) -> usize {
    let absent = text(&arrival.headers, BY_REFERENCE).filter(|_| is_absent(arrival));
    arrival.bytes.len() + absent.and_then(|bytes| bytes.parse().ok()).unwrap_or(0)
}

/// The arrival that a stray is. Whoever else writes to the strays topic gets a sentence.
pub fn receive(
    position: Position,
    key: Option<Bytes>,
    value: Bytes,
    headers: Vec<(String, Option<Bytes>)>,
) -> Result<Arrival, String> {
    let input = match text(&headers, ORIGIN_TOPIC) {
        Some("reports") => Input::Reports,
        Some("envelopes") => Input::Envelopes,
        _ => return Err(format!("a stray without a valid {ORIGIN_TOPIC} header: only mailjournal writes strays")),
    };
    let partition = number(&headers, ORIGIN_PARTITION)?;
    let origin = Position {
        input,
        partition: i32::try_from(partition).map_err(|_| format!("{ORIGIN_PARTITION} {partition} is out of range"))?,
        offset: number(&headers, ORIGIN_OFFSET)?,
    };
    let at = Timestamp(number(&headers, RECEIVED_AT)?);
    let server = text(&headers, SERVER).map(str::to_owned);
    let journal_recipients = texts(&headers, JOURNAL_RECIPIENT).map(str::to_owned).collect();
    Ok(Arrival { position, server, journal_recipients, key, headers, ..Arrival::new(origin, at, value) })
}

fn texts<'a>(headers: &'a [(String, Option<Bytes>)], name: &str) -> impl Iterator<Item = &'a str> {
    let named = headers.iter().filter(move |(header, _)| header == name);
    named.filter_map(|(_, value)| std::str::from_utf8(value.as_deref()?).ok())
}

fn text<'a>(headers: &'a [(String, Option<Bytes>)], name: &str) -> Option<&'a str> {
    texts(headers, name).next()
}

fn number(headers: &[(String, Option<Bytes>)], name: &str) -> Result<i64, String> {
    let value = text(headers, name).and_then(|value| value.parse().ok());
    value.ok_or_else(|| format!("a stray without a valid {name} header: only mailjournal writes strays"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_home_is_received_as_it_came() {
        let origin = Position { input: Input::Envelopes, partition: 3, offset: 77 };
        let sent = Arrival {
            format: Format::EnvelopeEvent,
            server: Some("ex1.contoso.example".into()),
            journal_recipients: vec!["a@journal.example".into(), "b@journal.example".into()],
            ..Arrival::new(origin, Timestamp(1_700_000_000_123), Bytes::from_static(b"\xc3\x01bytes"))
        };
        let stray = send_home(&sent, &Key("<a@b>".into()), 5, None);
        assert_eq!((stray.partition, stray.key.as_deref()), (Some(5), Some(&b"<a@b>"[..])));
        let position = Position { input: Input::Strays, partition: 5, offset: 9 };
        let headers = stray.headers.into_iter().map(|(name, value)| (name, Some(value))).collect();
        let received = receive(position, stray.key, stray.value.unwrap(), headers).unwrap();
        assert_eq!((received.position, received.origin, received.at), (position, origin, sent.at));
        assert_eq!((received.server, received.journal_recipients), (sent.server, sent.journal_recipients));
        assert_eq!((received.format, received.bytes), (sent.format, sent.bytes));
    }

    #[test]
    fn a_stray_by_reference_counts_for_what_it_will_take() {
        let origin = Position { input: Input::Reports, partition: 0, offset: 0 };
        let sent = Arrival::new(origin, Timestamp(0), vec![b'x'; 1_234].into());
        let stray = send_home(&sent, &Key("<a@b>".into()), 5, Some(1_000));
        let headers = stray.headers.into_iter().map(|(name, value)| (name, Some(value))).collect();
        let position = Position { input: Input::Strays, partition: 5, offset: 0 };
        let received = receive(position, stray.key, stray.value.unwrap(), headers).unwrap();
        assert_eq!((received.bytes.len(), bytes(&received), bytes(&sent)), (0, 1_234, 1_234));
    }

    #[test]
    fn what_others_write_to_the_strays_is_refused_with_a_sentence() {
        let position = Position { input: Input::Strays, partition: 0, offset: 0 };
        let refused = receive(position, None, Bytes::from_static(b"x"), Vec::new()).unwrap_err();
        assert!(refused.contains("origin-topic"), "{refused}");
    }
}
