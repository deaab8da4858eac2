//! What a value takes of its topic is never more than was counted, and what does not fit is cut, flagged and published.

use std::collections::HashMap;

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    correlate::{Place, Rules, Timing, TopicNames, WorkMax},
    evidence::{EnvelopeEvent, Flag, Hop, How, Role},
    mail::headers::Head,
    record::{
        self, ArchiveFormat, JournalRecord, OriginalRole, Status, ValueBytesMax,
        report::{self, build_with_what_is_here},
        size::{archive_bytes_at_most, fit_record, original_bytes_at_most},
    },
    turn::{Bodies, Encoding, Output, Progress, Tasks, TurnRules},
};
use proptest::{prelude::*, sample::select};

use crate::{
    samples::{self, original, recipient},
    support::laws::lying::{ALL_AWAKE, Lying},
};

const FORMATS: [ArchiveFormat; 2] = [ArchiveFormat::Record, ArchiveFormat::Report];

fn value(record: &JournalRecord, format: ArchiveFormat) -> Vec<u8> {
    match format {
        ArchiveFormat::Record => record.to_avro(),
        ArchiveFormat::Report => build_with_what_is_here(record),
    }
}

fn texts() -> impl Strategy<Value = String> {
    let piece = select(vec!["a@x.example", "\u{e4}", "\r\n", "=", " ", "\u{1F600}", "\"", "x"]);
    (prop::collection::vec(piece, 1..4), select(vec![1usize, 1, 1, 30, 3_000]))
        .prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

fn recipients() -> impl Strategy<Value = record::Recipient> {
    let hops = prop::collection::vec(texts(), 0..4);
    let roles = select(vec![vec![], vec![Role::To, Role::Bcc]]);
    (texts(), prop::option::of(texts()), prop::collection::vec(hops, 0..3), roles).prop_map(
        |(address, name, paths, claimed)| {
            let mut one = recipient(&address, Role::To, Vec::new());
            one.claimed_roles = claimed;
            let hop = |address: String| Hop { how: How::Expanded, address };
            one.paths = paths.into_iter().map(|path| path.into_iter().map(hop).collect()).collect();
            one.display_name = name;
            one
        },
    )
}

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let begin = select(vec![&b"From: a@x.example\r\nSubject: s\r\n\r\n"[..], b"\x78\x9F\x3E\x22", b"Date: d\n\n", b""]);
    let from = prop::collection::vec(texts(), 0..2);
    (begin, from, any::<u8>(), 0..9_000usize).prop_map(|(begin, from, byte, count)| {
        let from: Vec<u8> = from.iter().flat_map(|from| format!("To: {from}\r\n").into_bytes()).collect();
        [from, begin.to_vec(), vec![byte; count]].concat()
    })
}

fn records() -> impl Strategy<Value = JournalRecord> {
    let role = select(vec![OriginalRole::Primary, OriginalRole::Variant, OriginalRole::Decrypted]);
    let originals = prop::collection::vec((contents(), role, any::<bool>(), texts()), 0..4);
    let told = (prop::option::of(texts()), prop::option::of(texts()), prop::collection::vec(texts(), 0..3));
    (prop::collection::vec(recipients(), 0..20), originals, told).prop_map(
        |(recipients, originals, (subject, sender, lists))| {
            let mut record = samples::record();
            (record.recipients, record.subject, record.sender) = (recipients, subject, sender);
            (record.unresolved, record.from) = (lists.clone(), lists);
            record.originals = originals
                .into_iter()
                .map(|(content, role, here, reference)| {
                    let mut one = original(&content, role);
                    if !here {
                        (one.content, one.reference) = (None, Some(reference));
                    }
                    one
                })
                .collect();
            record
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_takes_more_than_was_counted(record in records()) {
        for format in FORMATS {
            let (counted, takes) = (archive_bytes_at_most(&record, format), value(&record, format).len());
            prop_assert!(takes <= counted, "{format:?}: {takes} bytes, counted {counted}");
        }
    }

    /// As the correlator counts: the record without contents, then each that fits beside it.
    #[test]
    fn what_was_counted_without_an_original_holds_with_it(record in records()) {
        for format in FORMATS {
            let mut counted = archive_bytes_at_most(&record.without_content(), format);
            for original in &record.originals {
                let Some(content) = &original.content else { continue };
                let has_guard = mailjournal::mail::Guard::of_head(&Head::read(content)).is_some();
                let as_it_is = original.role == OriginalRole::Primary && has_guard && original.sha256 == record.originals[0].sha256;
                counted += original_bytes_at_most(content.len(), as_it_is, format);
            }
            let takes = value(&record, format).len();
            prop_assert!(takes <= counted, "{format:?}: {takes} bytes, counted {counted}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut_to_what_does(record in records(), share in 1..100usize) {
        for format in FORMATS {
            let mut cut = record.without_content();
            let mut bare = cut.clone();
            (bare.recipients, bare.originals, bare.unresolved, bare.from) = Default::default();
            let (least, most) = (archive_bytes_at_most(&bare, format) + 1_000, archive_bytes_at_most(&cut, format));
            let bytes_max = least + most.saturating_sub(least) * share / 100;
            let counted = fit_record(&mut cut, bytes_max, format);
            let was_cut = cut.flags.contains(&Flag::Truncated);
            prop_assert_eq!(counted, archive_bytes_at_most(&cut, format));
            prop_assert!(value(&cut, format).len() <= bytes_max);
            prop_assert_eq!(was_cut, most > bytes_max);
            prop_assert_eq!(&cut.recipients.iter().map(|one| &one.address).collect::<Vec<_>>()[..],
                &record.recipients.iter().map(|one| &one.address).take(cut.recipients.len()).collect::<Vec<_>>()[..]);
        }
    }

    /// Mail gateways refuse a part whose charset is told twice.
    #[test]
    fn no_parameter_of_a_report_stands_twice(record in records()) {
        let report = build_with_what_is_here(&record);
        let text = String::from_utf8_lossy(&report);
        let unfolded = text.replace("\r\n ", " ").replace("\r\n\t", " ");
        let boundary = unfolded.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        for part in unfolded.split(&format!("--{boundary}")).skip(1) {
            let block = part.trim_start().split("\r\n\r\n").next().unwrap();
            for field in block.lines().filter(|line| line.starts_with("Content-")) {
                let mut names: Vec<&str> = field.split(';').skip(1).filter_map(|one| one.split('=').next()).map(str::trim).collect();
                let count = names.len();
                names.sort_unstable();
                names.dedup();
                prop_assert_eq!(names.len(), count, "{}", field);
            }
        }
    }
}

#[derive(Default)]
struct Memory(HashMap<Position, Bytes>);

impl Bodies for Memory {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|position| self.0.get(position).cloned().ok_or_else(|| "gone".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        Lying::default().fetch(places)
    }
}

/// All values that these arrivals make on topics that take so many bytes, as pairs of topic and value.
fn publish(arrivals: Vec<(Format, Bytes)>, bytes_max: usize, archive_format: ArchiveFormat) -> Vec<(Output, Bytes)> {
    let topic_names = TopicNames { reports: "reports".into(), envelopes: "envelopes".into(), strays: "strays".into() };
    let value_bytes_max = ValueBytesMax { archive: Some(bytes_max), activity: Some(bytes_max), ndr: Some(bytes_max) };
    let (timing, awake_max, work_max) = (Timing::default(), ALL_AWAKE, WorkMax::default());
    let rules = Rules { timing, topic_names, value_bytes_max, archive_format, awake_max, work_max };
    let mut tasks = Tasks::new(TurnRules {
        rules,
        partitions: 1,
        passed_on_bytes_max: None,
        encoding: Encoding::Avro,
        recent_bytes_max: 1 << 26,
    });
    tasks.assign(0);
    tasks.restored(0).unwrap();
    let progress =
        [Input::Reports, Input::Envelopes, Input::Strays].map(|input| Progress { input, partition: 0, at_end: true });
    let arrival = |(offset, (format, bytes)): (usize, (Format, Bytes))| {
        let input = if format == Format::Mail { Input::Reports } else { Input::Envelopes };
        let position = Position { input, partition: 0, offset: i64::try_from(offset).unwrap() };
        Arrival::new(position, Timestamp(0), bytes)
    };
    let arrivals = arrivals.into_iter().enumerate().map(arrival).collect();
    let mut outgoing = tasks.turn(arrivals, &progress, Timestamp(0), &mut Memory::default()).unwrap().outgoing;
    for hour in 1..3 {
        let wall = Timestamp(hour * 3_600_000);
        outgoing.extend(tasks.turn(Vec::new(), &progress, wall, &mut Memory::default()).unwrap().outgoing);
    }
    let published = [Output::Archive, Output::Activity, Output::Ndr];
    let outgoing = outgoing.into_iter().filter(|one| published.contains(&one.output));
    outgoing.map(|one| (one.output, one.value.unwrap())).collect()
}

fn record_in(values: &[(Output, Bytes)], format: ArchiveFormat) -> JournalRecord {
    let (_, value) = values.iter().rfind(|(output, _)| *output == Output::Archive).expect("a record was published");
    match format {
        ArchiveFormat::Record => record::read(value).unwrap(),
        ArchiveFormat::Report => report::read(value).unwrap(),
    }
}

/// Its metadata alone was larger than the topic takes, and the stream stopped for good.
#[test]
fn a_record_that_does_not_fit_its_topic_is_cut_and_published() {
    let mut event: EnvelopeEvent = serde_json::from_str(
        r#"{"server": "ex1.example", "stage": "SENT", "at": 0, "message_id": "<a@b>", "journaled_to": ["j@x.example"]}"#,
    )
    .unwrap();
    let recipient = r#"{"address": "recipient@contoso.example"}"#;
    event.recipients = (0..20_000)
        .map(|number| {
            let mut one: mailjournal::evidence::envelope_event::EventRecipient =
                serde_json::from_str(recipient).unwrap();
            one.address = format!("recipient.{number}@contoso.example");
            one
        })
        .collect();
    for format in FORMATS {
        let values = publish(vec![(Format::EnvelopeEvent, event.to_framed())], 400_000, format);
        assert!(values.iter().all(|(_, value)| value.len() <= 400_000));
        let record = record_in(&values, format);
        assert_eq!(record.status, Status::Incomplete);
        assert!(record.flags.contains(&Flag::Truncated) && record.certificate.reason.contains("cut to fit its topic"));
        assert!(record.recipients.len() > 1_000 && record.recipients.len() < 20_000 && record.evidence.len() == 1);
    }
}

/// The second copy stands in base64, which was not counted.
#[test]
fn a_merged_report_with_two_originals_fits_its_topic() {
    let copy = |hop: &str| {
        let body = "x".repeat(1_000_000);
        let head = "From: a@x.example\r\nTo: b@x.example\r\nDate: d\r\nMessage-ID: <m@x.example>";
        (Format::Mail, Bytes::from(format!("Received: {hop}\r\n{head}\r\n\r\n{body}")))
    };
    let values = publish(vec![copy("first"), copy("second")], 2_200_000, ArchiveFormat::Report);
    assert!(values.iter().all(|(_, value)| value.len() <= 2_200_000));
    let record = record_in(&values, ArchiveFormat::Report);
    assert!(record.originals[0].content.is_some() && record.originals[1].content.is_none());
    assert!(record.flags.contains(&Flag::OriginalByReference));
}

/// The notice is attached to what `journal.ndr` says of it, and told with its recipients.
#[test]
fn a_bounce_that_does_not_fit_its_topic_goes_by_reference() {
    let status = "Final-Recipient: rfc822; lost@x.example\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n".repeat(10_000);
    let bounce = format!(
        "From: postmaster@x.example\r\nDate: d\r\nMessage-ID: <n@x.example>\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n--b--\r\n"
    );
    let values = publish(vec![(Format::Mail, Bytes::from(bounce))], 100_000, ArchiveFormat::Record);
    assert!(values.iter().all(|(_, value)| value.len() <= 100_000));
    let (_, told) = values.iter().find(|(output, _)| *output == Output::Ndr).expect("the bounce is told");
    let told: record::NonDelivery = mailjournal::avro::decode(mailjournal::avro::Schema::NonDelivery, told).unwrap();
    assert_eq!((told.notice, told.reference.as_deref()), (None, Some("kafka:reports/0/0")));
    assert!(told.recipients.len() > 1_000 && told.failed == ["lost@x.example"]);
}
