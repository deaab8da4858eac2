//! A Kafka record → an [`Arrival`].

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};

use crate::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::bounded_journals,
    limits, telemetry,
    turn::stray::{self, JOURNAL_RECIPIENT, RECEIVED_AT, SERVER},
};

/// The bytes are copied out: a borrowed message keeps the whole answer that it came in.
///
/// A stray is what its headers say that it was. Whoever else writes to the strays topic hands in a mail: it is read as
/// one, so that nothing is dropped.
pub fn arrival(message: &BorrowedMessage<'_>, input: Input, now: Timestamp) -> Arrival {
    let position = Position { input, partition: message.partition(), offset: message.offset() };
    let bytes = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let key = message.key().map(Bytes::copy_from_slice);
    let headers = headers(message);
    if input == Input::Strays {
        match stray::receive(position, key.clone(), bytes.clone(), headers.clone()) {
            Ok(arrival) => return bounded(arrival),
            Err(reason) => tracing::warn!(partition = position.partition, offset = position.offset, "{reason}"),
        }
    }
    let stamped = Timestamp(message.timestamp().to_millis().unwrap_or(now.0));
    bounded(plain(position, bytes, key, headers, stamped, now))
}

/// Leaves out what a producer said beyond the bounds: it goes home with the arrival, and into every record.
fn bounded(mut arrival: Arrival) -> Arrival {
    if arrival.server.take_if(|server| server.len() > limits::SERVER_NAME_BYTES_MAX).is_some() {
        telemetry::ignored_header(SERVER);
    }
    arrival.journal_recipients = bounded_journals(arrival.journal_recipients);
    arrival
}

fn plain(
    position: Position,
    bytes: Bytes,
    key: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    stamped: Timestamp,
    now: Timestamp,
) -> Arrival {
    let texts =
        |name: &'static str| headers.iter().filter(move |(key, _)| key == name).filter_map(|(_, value)| text(value));
    let at = headers.iter().rfind(|(key, _)| key == RECEIVED_AT).map_or(stamped, |(_, value)| {
        received_at(value, now).unwrap_or_else(|| {
            telemetry::ignored_header(RECEIVED_AT);
            stamped
        })
    });
    let (server, journal_recipients) = (texts(SERVER).next_back(), texts(JOURNAL_RECIPIENT).collect());
    Arrival { server, journal_recipients, key, headers, ..Arrival::new(position, at, bytes) }
}

fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Option<Bytes>)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    headers.iter().map(|header| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice))).collect()
}

fn text(value: &Option<Bytes>) -> Option<String> {
    let text = std::str::from_utf8(value.as_deref()?).ok()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Milliseconds since 1970 as decimal text, or as the eight bytes, big-endian, that Java's serialiser writes. Nothing if
/// it is neither, or a time before 1970 or further ahead than clocks differ.
fn received_at(value: &Option<Bytes>, now: Timestamp) -> Option<Timestamp> {
    let value = value.as_deref()?;
    let decimal = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
    let millis: i64 = decimal.or_else(|| value.try_into().ok().map(i64::from_be_bytes))?;
    (0..=now.0.saturating_add(limits::RECEIVED_AT_AHEAD_MAX)).contains(&millis).then_some(Timestamp(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn check(headers: &[(&str, &[u8])], expect: (i64, Option<&str>, &[&str])) {
        let position = Position { input: Input::Reports, partition: 1, offset: 2 };
        let headers = headers.iter().map(|(k, v)| ((*k).to_owned(), Some(Bytes::copy_from_slice(v)))).collect();
        let arrival = plain(position, Bytes::new(), None, headers, Timestamp(5), NOW);
        assert_eq!((arrival.at.0, arrival.server.as_deref()), (expect.0, expect.1));
        assert_eq!(arrival.journal_recipients, expect.2);
    }

    #[test]
    fn headers_tell_time_server_and_journals() {
        check(&[], (5, None, &[]));
        let told: &[(&str, &[u8])] = &[
            ("received-at", b"1699999999000"),
            ("server", b"ex1.contoso.example"),
            ("journal-recipient", b"j1@contoso.example"),
            ("journal-recipient", b"j2@contoso.example"),
        ];
        let both: &[&str] = &["j1@contoso.example", "j2@contoso.example"];
        check(told, (1_699_999_999_000, Some("ex1.contoso.example"), both));
        check(&[("received-at", &1_699_999_999_000_i64.to_be_bytes())], (1_699_999_999_000, None, &[]));
    }

    #[test]
    fn what_a_producer_says_beyond_the_bounds_is_left_out() {
        let position = Position { input: Input::Reports, partition: 1, offset: 2 };
        let mut told = Arrival::new(position, NOW, Bytes::new());
        told.server = Some("s".repeat(999));
        told.journal_recipients = (0..1_000).map(|number| format!("{number}@journal.example")).collect();
        let bounded = bounded(told);
        assert_eq!((bounded.server, bounded.journal_recipients.len()), (None, limits::ARRIVAL_JOURNALS_MAX + 1));
    }

    #[test]
    fn a_time_that_cannot_be_is_ignored() {
        for odd in [&b"yesterday"[..], b"", b"-1", b"99999999999999", b"\xff\xff"] {
            check(&[("received-at", odd)], (5, None, &[]));
        }
    }
}
