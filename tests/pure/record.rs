//! Records and what is published beside them.

use mailjournal::{
    mail::Digest,
    record::{self, JournalActivity, NonDelivery, OriginalRole, ReadError},
};

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
