//! Values of topics → their structs: refused, or the same when written again; and what strays carry beside their bytes.

use std::fmt::Debug;

use bytes::Bytes;
use mailjournal::{
    arrival::{Format, Input, Position},
    avro::{self, Schema},
    correlate::StoredDraft,
    evidence::{EnvelopeEvent, envelope_event::content_message, read_envelope_event},
    limits,
    mail::{Digest, Key},
    record::{self, JournalActivity, JournalRecord, LedgerRow, NonDelivery},
    turn::stray,
};
use serde::{Serialize, de::DeserializeOwned};

use super::evidence::{check, check_rejection};

/// The bytes as a value of every schema, in every version, and as the lines of JSON that stand for values.
pub fn value(bytes: &[u8]) {
    check_shape::<EnvelopeEvent>(Schema::EnvelopeEvent, bytes);
    check_shape::<StoredDraft>(Schema::Draft, bytes);
    check_shape::<JournalRecord>(Schema::JournalRecord, bytes);
    check_shape::<NonDelivery>(Schema::NonDelivery, bytes);
    check_shape::<JournalActivity>(Schema::JournalActivity, bytes);
    check_shape::<LedgerRow>(Schema::Ledger, bytes);
    event(&Bytes::copy_from_slice(bytes));
    event_line(bytes);
    if let Ok(read) = record::read(bytes) {
        assert_eq!(record::read(&read.to_avro()), Ok(read));
    }
    stray(bytes);
}

fn check_shape<T: Serialize + DeserializeOwned + PartialEq + Debug>(schema: Schema, bytes: &[u8]) {
    match avro::decode::<T>(schema, bytes) {
        Ok(value) => {
            assert!(avro::decode::<T>(schema, &bytes[..bytes.len() - 1]).is_err(), "no value begins another");
            let written = avro::encode(schema, &value);
            assert_eq!(avro::decode::<T>(schema, &written).as_ref(), Ok(&value), "as Avro");
            let line = record::to_json(&value);
            assert!(!line.contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<T>(&line).expect("what is written as JSON is read"), value);
        }
        // The detail is bounded; the sentence around it names the schema.
        Err(error) => assert!(error.to_string().chars().count() <= limits::ERROR_DETAIL_CHARS_MAX + 200, "{error}"),
    }
}

/// A value of `journal.envelopes`.
fn event(framed: &Bytes) {
    match read_envelope_event(framed) {
        Ok(evidence) => {
            assert_eq!(evidence.id, Digest::of(avro::datum(framed)));
            check(&evidence, framed, Format::EnvelopeEvent);
            let carried = evidence.originals.first().filter(|original| original.place.uri.is_none());
            assert_eq!(carried.map(|original| original.sha256), content_message(framed).ok().map(|it| Digest::of(&it)));
        }
        Err(rejection) => check_rejection(&rejection),
    }
}

/// A line of `envelopes.jsonl`.
fn event_line(line: &[u8]) {
    match EnvelopeEvent::from_json(line) {
        Ok(read) => {
            let framed = read.to_framed();
            assert_eq!(EnvelopeEvent::from_framed(&framed), Ok(read));
            event(&framed);
        }
        Err(rejection) => check_rejection(&rejection),
    }
}

/// A value of `journal.strays`: headers as lines, an empty line, the bytes.
fn stray(input: &[u8]) {
    let end = memchr::memmem::find(input, b"\n\n").unwrap_or(input.len());
    let bytes = Bytes::copy_from_slice(input.get(end + 2..).unwrap_or_default());
    let header = |line: &[u8]| {
        let (name, value) = line.split_at(memchr::memchr(b'=', line).unwrap_or(line.len()));
        let value = value.get(1..).map(Bytes::copy_from_slice);
        (String::from_utf8_lossy(name).into_owned(), value)
    };
    let headers = input[..end].split(|byte| *byte == b'\n').map(header).collect();
    let position = Position { input: Input::Strays, partition: 0, offset: 0 };
    let Ok(received) = stray::receive(position, None, bytes, headers) else { return };
    let sent = stray::send_home(&received, &Key("<a@b>".into()), 0, None);
    let headers = sent.headers.into_iter().map(|(name, value)| (name, Some(value))).collect();
    let again =
        stray::receive(position, None, sent.value.expect("it fits"), headers).expect("what was sent is received");
    assert_eq!((again.origin, again.at, again.format), (received.origin, received.at, received.format));
    assert_eq!((again.server, again.journal_recipients), (received.server, received.journal_recipients));
    assert_eq!(again.bytes, received.bytes);
}
