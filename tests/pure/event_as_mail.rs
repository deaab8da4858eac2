//! The bytes of an event's datum, sent as a mail. Whoever did that stopped the stream for good: mail and event were taken
//! for copies of one piece, which the key of neither could find.

use mailjournal::{
    arrival::{Arrival, Format, Input, Position},
    avro,
    mail::Digest,
};

use crate::support::laws::stage::{self, MORNING, Stage};

#[test]
fn a_mail_of_the_bytes_of_an_events_datum_is_evidence_of_its_own() {
    let line = br#"{"event_id": "-event: 4711 of this server", "server": "s.example", "stage": "SENT", "at": 1,
                    "message_id": "<m@b>"}"#;
    let event = stage::arrival(line, 0, MORNING);
    let position = Position { input: Input::Reports, partition: 0, offset: 0 };
    let bytes = event.bytes.slice(avro::FRAME_BYTES..);
    let mail = Arrival { position, origin: position, format: Format::Mail, bytes, ..event.clone() };
    let records = |arrivals: [&Arrival; 4]| {
        let mut stage = Stage::new();
        for arrival in arrivals {
            stage.turn(vec![arrival.clone()], MORNING);
            stage.restart();
        }
        stage.run_on();
        stage.records()
    };
    let both = records([&event, &mail, &event, &mail]);
    let ids: Vec<Digest> = both.values().flat_map(|record| &record.evidence).map(|entry| entry.sha256).collect();
    assert_eq!((both.len(), ids[0], ids.len()), (2, ids[1], 2));
    assert_eq!(both, records([&mail, &mail, &event, &event]));
}
