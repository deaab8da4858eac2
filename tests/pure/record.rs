//! Records and what is published beside them.

use bytes::Bytes;
use mailjournal::{
    evidence::{Flag, Hop, How, Role},
    mail::{AddressKind, Digest},
    record::{
        self, ClosedBecause, Delivery, DeliveryKind, EvidenceEntry, Expectation, Expected, Group, Journal,
        JournalActivity, JournalRecord, Kind, NonDelivery, OriginalRole, ReadError, Recipient, RecordedOriginal,
        Status, report,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::samples;

#[test]
fn a_record_is_read_from_either_form() {
    let sample = samples::record();
    assert_eq!(record::read(&sample.to_avro()).unwrap(), sample);
    assert_eq!(record::read(&record::to_json(&sample)).unwrap(), sample);
    assert!(matches!(record::read(b"From: x"), Err(ReadError::Json(_))));
    assert!(matches!(record::read(&sample.to_avro()[..50]), Err(ReadError::Avro(_))));
}

#[test]
fn json_has_the_contracts_words() {
    let json = serde_json::to_value(samples::record()).unwrap();
    let check =
        |pointer: &str, expect: &str| assert_eq!(json.pointer(pointer).unwrap().to_string(), expect, "{pointer}");
    check("/status", "\"INCOMPLETE\"");
    check("/flags", r#"["report-mismatch","role-conflict"]"#);
    check("/recipients/2/kind", "\"X500\"");
    check("/recipients/1/paths/1/0/how", "\"FORWARDED\"");
    check("/evidence/1/kind", "\"ENVELOPE_EVENT\"");
    check("/certificate/expected/1/what", "\"EXPANSION\"");
    let content = json.pointer("/originals/0/content").unwrap().as_str().unwrap();
    assert!(content.starts_with("RnJvbTog"), "base64 of From: {content}");
}

#[test]
fn the_activity_counts_what_the_record_lists() {
    let mut record = samples::record();
    record.originals.push(samples::original(b"other", OriginalRole::Variant));
    let activity = JournalActivity::of(&record);
    assert_eq!((activity.recipient_count, activity.to_count, activity.cc_count, activity.bcc_count), (3, 1, 1, 0));
    assert_eq!((activity.role_unknown_count, activity.expanded_count, activity.forwarded_count), (1, 1, 1));
    assert_eq!((activity.delivered_count, activity.failed_count), (0, 1));
    assert_eq!(activity.sender_domain.as_deref(), Some("example.com"));
    assert_eq!(activity.recipient_domains, ["example.com", "example.net"]);
    assert_eq!((activity.original_sha256, activity.variant_count), (Some(Digest::of(samples::MAIL)), 1));
    assert_eq!((activity.evidence_count, activity.report_count, activity.envelope_event_count), (3, 1, 1));
    assert_eq!((activity.notice_count, activity.plain_copy_count), (1, 0));
    assert_eq!((activity.expected_count, activity.missing), (2, vec!["EXPANSION all@example.com".to_owned()]));
    assert_eq!(activity.servers, ["ex1.example.com"]);
}

#[test]
fn a_non_delivery_names_the_message_and_whom_it_did_not_reach() {
    let told = samples::non_delivery();
    assert_eq!(told.message_id.as_deref(), Some("<lost@example.com>"));
    assert_eq!(told.message_record_id.as_deref(), Some("<lost@example.com>#0102030405060708"));
    assert_eq!(told.failed, ["bob@example.net"]);
    assert_eq!(told.recipients.len(), 3);
    assert_eq!(told.notice.as_deref(), Some(samples::MAIL));
    assert_eq!((told.sha256, told.offset), (Some(Digest::of(samples::MAIL)), 3));
    let mut elsewhere = samples::record();
    elsewhere.originals[0].content = None;
    elsewhere.originals[0].reference = Some("1".into());
    let told = NonDelivery::build(&elsewhere, &samples::notice(), Digest::of(b"arrival 3"), Some(0)).unwrap();
    assert_eq!((told.notice, told.reference.as_deref()), (None, Some("1")));
    assert_eq!(NonDelivery::build(&elsewhere, &samples::notice(), Digest::of(b"no arrival"), Some(0)), None);
}

/// What servers and senders may write: anything.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,24}", any::<String>(), "[a-z]{0,9}\\r\\n[A-Z][a-z]: [a-z]{0,9}"]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn maybe() -> impl Strategy<Value = Option<String>> {
    option::of(text())
}

fn role() -> impl Strategy<Value = Role> {
    select(vec![Role::To, Role::Cc, Role::Bcc, Role::Recipient])
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let hop = (select(vec![How::Expanded, How::Forwarded]), text()).prop_map(|(how, address)| Hop { how, address });
    let what = select(vec![DeliveryKind::Delivered, DeliveryKind::Failed, DeliveryKind::Relayed, DeliveryKind::Read]);
    let delivery = (what, any::<i64>(), text()).prop_map(|(what, at, notice)| Delivery { what, at, notice });
    let kind = select(vec![AddressKind::Smtp, AddressKind::X500, AddressKind::Other]);
    let paths = vec(vec(hop, 0..3), 0..3);
    (text(), kind, maybe(), role(), vec(role(), 0..3), paths, option::of(delivery), vec(any::<i32>(), 0..3)).prop_map(
        |(address, kind, display_name, role, claimed_roles, paths, delivery, evidence)| Recipient {
            address,
            kind,
            display_name,
            role,
            claimed_roles,
            paths,
            delivery,
            evidence,
        },
    )
}

/// Originals with different bytes, the first of them the original; each is here or elsewhere.
fn originals() -> impl Strategy<Value = Vec<RecordedOriginal>> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(select(b"\r\n-=_ aF:".to_vec()), 0..60),
        "(From|Subject|To|Content-Type): [ -~]{0,20}\r?\n\r?\n.{0,20}\r?\n?".prop_map(String::into_bytes),
    ];
    let role = select(vec![OriginalRole::Variant, OriginalRole::Decrypted]);
    let set = proptest::collection::btree_set(bytes, 0..4);
    (set, vec((role, option::weighted(0.2, text())), 4)).prop_map(|(set, rest)| {
        let mut originals: Vec<RecordedOriginal> =
            set.into_iter().zip(rest).map(|(content, (role, reference))| recorded(content, role, reference)).collect();
        originals.iter_mut().take(1).for_each(|first| first.role = OriginalRole::Primary);
        originals
    })
}

fn recorded(content: Vec<u8>, role: OriginalRole, reference: Option<String>) -> RecordedOriginal {
    RecordedOriginal {
        sha256: Digest::of(&content),
        size: i64::try_from(content.len()).unwrap(),
        role,
        content: reference.is_none().then(|| Bytes::from(content)),
        reference,
    }
}

fn evidence_entry() -> impl Strategy<Value = EvidenceEntry> {
    let kind = select(vec![Kind::Report, Kind::EnvelopeEvent, Kind::Notice, Kind::PlainCopy]);
    (kind, text(), any::<(i32, i64, i64)>(), maybe(), maybe(), digest()).prop_map(
        |(kind, topic, (partition, offset, at), report_id, server, sha256)| EvidenceEntry {
            kind,
            topic,
            partition,
            offset,
            report_id,
            server,
            at,
            sha256,
        },
    )
}

fn expected() -> impl Strategy<Value = Expected> {
    let what =
        select(vec![Expectation::Original, Expectation::Expansion, Expectation::ReportFrom, Expectation::Recipient]);
    let indexes = || vec(any::<i32>(), 0..3);
    (what, maybe(), indexes(), indexes()).prop_map(|(what, who, because, met_by)| Expected {
        what,
        who,
        because,
        met_by,
    })
}

fn group() -> impl Strategy<Value = Group> {
    let fields = (text(), any::<bool>(), texts(), any::<Option<i64>>());
    fields.prop_map(|(address, expanded, by, members)| Group { address, expanded, by, members })
}

fn journal() -> impl Strategy<Value = Journal> {
    let fields = (text(), maybe(), maybe(), maybe());
    fields.prop_map(|(address, rule, format, ndr_to)| Journal { address, rule, format, ndr_to })
}

fn journal_record() -> impl Strategy<Value = JournalRecord> {
    let status = select(vec![Status::Complete, Status::Incomplete, Status::Superseded]);
    let closed = select(vec![ClosedBecause::Evidence, ClosedBecause::Quiet, ClosedBecause::Patience]);
    let flag = select(vec![Flag::Ambiguous, Flag::MessageIdReused, Flag::OriginalByReference, Flag::Tnef]);
    let identity = (text(), any::<i32>(), status, closed, texts(), text(), maybe(), texts());
    let envelope = (maybe(), maybe(), texts(), maybe(), vec(recipient(), 0..4), vec(group(), 0..2), texts());
    let rest = (originals(), vec(journal(), 0..2), vec(flag, 0..3), vec(evidence_entry(), 0..3), vec(expected(), 0..3));
    let tags = proptest::collection::btree_map(text(), text(), 0..3);
    (identity, envelope, rest, text(), any::<(i64, i64, i64)>(), tags).prop_map(
        |(id, envelope, rest, reason, at, tags)| JournalRecord {
            record_id: id.0,
            revision: id.1,
            status: id.2,
            closed_because: id.3,
            superseded_by: id.4,
            key: id.5,
            message_id: id.6,
            network_message_ids: id.7,
            sender: envelope.0,
            on_behalf_of: envelope.1,
            from: envelope.2,
            subject: envelope.3,
            recipients: envelope.4,
            groups: envelope.5,
            unresolved: envelope.6,
            originals: rest.0,
            journals: rest.1,
            flags: rest.2,
            evidence: rest.3,
            certificate: record::Certificate { expected: rest.4, reason },
            first_evidence_at: at.0,
            last_evidence_at: at.1,
            closed_at: at.2,
            tags,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_record_comes_back_from_avro_json_and_report(any in journal_record()) {
        prop_assert_eq!(&record::read(&any.to_avro()).unwrap(), &any);
        let json = record::to_json(&any);
        prop_assert!(!json.contains(&b'\n'));
        prop_assert_eq!(&record::read(&json).unwrap(), &any);
        prop_assert_eq!(report::read(&report::build_with_what_is_here(&any)), Some(any.clone()));
        prop_assert!(JournalActivity::of(&any).recipient_count >= 0);
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in vec(any::<u8>(), 0..300), cut in 0usize..4_000) {
        let _ = record::read(&bytes);
        let _ = report::read(&bytes);
        let framed = samples::record().to_avro();
        let mut mutated = framed[..framed.len().min(cut)].to_vec();
        mutated.extend_from_slice(&bytes);
        let _ = record::read(&mutated);
        let built = report::build(&samples::record()).unwrap();
        let mut mutated = built[..built.len().min(cut)].to_vec();
        mutated.extend_from_slice(&bytes);
        let _ = report::read(&mutated);
    }
}
