//! The bytes of an event's datum, sent as a mail. Whoever did that stopped the stream for good: mail and event were taken
//! for copies of one piece, which the key of neither could find.

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input},
    avro,
    evidence::envelope_event::EnvelopeEvent,
};

use crate::stage::{MONDAY, SECOND, Stage};

#[test]
fn a_mail_of_the_bytes_of_an_events_datum_is_evidence_of_its_own() {
    let line = br#"{"event_id": "-event: 4711 of this server", "server": "s.example", "stage": "SENT", "at": 1,
                    "message_id": "<m@b>"}"#;
    let event: EnvelopeEvent = serde_json::from_slice(line).expect("an event");
    let framed = event.to_framed();
    let datum = framed.slice(avro::FRAME_BYTES..);
    let told = |inputs: [Input; 4]| {
        let mut stage = Stage::new();
        for input in inputs {
            let bytes: Bytes = if input == Input::Envelopes { framed.clone() } else { datum.clone() };
            let arrival: Arrival = stage.arrival(input, 0, MONDAY, bytes);
            stage.turn(vec![arrival]);
        }
        stage.run_until(MONDAY + 3_600 * SECOND);
        let mut hashes: Vec<_> = stage.records.iter().flat_map(|record| &record.evidence).map(|of| of.sha256).collect();
        hashes.sort_unstable();
        (stage.records.len(), hashes)
    };
    let (records, hashes) = told([Input::Envelopes, Input::Reports, Input::Envelopes, Input::Reports]);
    assert_eq!((records, hashes.len()), (2, 2), "{hashes:?}");
    assert_eq!(hashes[0], hashes[1], "the same bytes");
    assert_eq!((records, hashes), told([Input::Reports, Input::Reports, Input::Envelopes, Input::Envelopes]));
}
