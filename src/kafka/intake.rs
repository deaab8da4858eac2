//! A Kafka record → an [`Arrival`].

use bytes::Bytes;
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers as _},
};

use crate::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    limits, telemetry, turn,
};

/// The bytes are copied out: a borrowed message keeps the whole answer that it came in.
/// A stray is what its headers say it was; one whose headers make no sense is an arrival of its own, to be rejected by
/// what reads it.
pub fn arrival(message: &BorrowedMessage<'_>, input: Input, now: Timestamp) -> Arrival {
    let position = Position { input, partition: message.partition(), offset: message.offset() };
    let bytes = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    let key = message.key().map(Bytes::copy_from_slice);
    let stamped = Timestamp(message.timestamp().to_millis().unwrap_or(now.0));
    plain(position, bytes, key, headers(message), stamped, now)
}

fn plain(
    position: Position,
    bytes: Bytes,
    key: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
    stamped: Timestamp,
    now: Timestamp,
) -> Arrival {
    let texts = |name: &'static str| headers.iter().filter(move |(key, _)| key == name).filter_map(|(_, value)| text(value));
    let at = headers.iter().rfind(|(key, _)| key == "received-at").map_or(stamped, |(_, value)| {
        received_at(value, now).unwrap_or_else(|| {
            telemetry::ignored_header("received-at");
            stamped
        })
    });
    Arrival {
        position,
        origin: position,
        format: if position.input == Input::Envelopes { Format::EnvelopeEvent } else { Format::Mail },
        at,
        server: texts("server").next_back(),
        journal_recipients: texts("journal-recipient").collect(),
        bytes,
        key,
        headers,
        source: None,
    }
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
