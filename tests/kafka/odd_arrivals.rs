//! What is too large, or no mail at all, does not stop the stream.

use std::process::Command;

use mailjournal::record::{Disposition, JournalRecord};

use crate::{
    stream::{self, BOUND, Stream},
    support::{
        broker,
        kafka::{self, Given},
        wait_for, wait_until,
    },
};

fn mail(message_id: &str, body_bytes: usize) -> Given {
    let header = format!(
        "Message-ID: {message_id}\r\nFrom: a@example.com\r\nTo: b@example.com\r\nDate: Mon, 2 Mar 2026 08:00:00 +0000\r\nSubject: large\r\n\r\n"
    );
    let mut value = header.into_bytes();
    let line = [&[b'x'; 76][..], b"\r\n"].concat();
    value.extend(line.iter().cycle().take(body_bytes));
    Given { key: Some(message_id.as_bytes().to_vec()), value, ..Given::default() }
}

fn record_of(stream: &Stream, message_id: &str) -> JournalRecord {
    wait_for("the record", BOUND, || stream.published().into_iter().find(|record| record.key == message_id))
}

#[test]
fn a_mail_of_30_mb_comes_out_byte_for_byte() {
    let stream = Stream::new(&broker::shared().address, "large", 2);
    let given = mail("<large@example.com>", 30_000_000);
    let _instance = stream.start("a");
    kafka::produce(&stream.address, &stream.topic("reports"), std::slice::from_ref(&given));
    let record = record_of(&stream, "<large@example.com>");
    assert_eq!(record.originals.len(), 1);
    assert_eq!(record.originals[0].content.as_deref(), Some(&given.value[..]));
}

#[test]
fn what_the_archive_topic_does_not_take_goes_by_reference() {
    let stream = Stream::new(&broker::shared().address, "small-archive", 2);
    kafka::delete_topics(&stream.address, &[&stream.topic("archive")]);
    wait_until("the topic's end", BOUND, || {
        let output = stream.command("nobody").args(["topics", "check"]).output().expect("it starts");
        String::from_utf8_lossy(&output.stdout).contains("archive is missing")
    });
    kafka::create_topic(&stream.address, &stream.topic("archive"), 2, &[("max.message.bytes", "100000")]);
    let _instance = stream.start("a");
    let (large, small) = (mail("<big@example.com>", 200_000), mail("<little@example.com>", 1000));
    let places = kafka::produce(&stream.address, &stream.topic("reports"), &[large, small.clone()]);
    let record = record_of(&stream, "<big@example.com>");
    assert_eq!(record.originals[0].content, None);
    let place = format!("kafka:{}/{}/{}", stream.topic("reports"), places[0].0, places[0].1);
    assert_eq!(record.originals[0].reference.as_deref(), Some(&place[..]));
    let record = record_of(&stream, "<little@example.com>");
    assert_eq!(record.originals[0].content.as_deref(), Some(&small.value[..]));
}

#[test]
fn what_is_no_evidence_is_rejected_unchanged_and_the_rest_goes_on() {
    let stream = Stream::new(&broker::shared().address, "poison", 2);
    let _instance = stream.start("a");
    let odd = Given { partition: Some(0), value: b"\xc3\x01neither Avro nor JSON".to_vec(), ..Given::default() };
    let empty = Given { partition: Some(0), ..Given::default() };
    kafka::produce(&stream.address, &stream.topic("envelopes"), &[odd.clone(), empty]);
    kafka::produce(&stream.address, &stream.topic("reports"), &[Given { partition: Some(1), ..Given::default() }]);
    let arrivals = stream::arrivals(10, 20);
    stream.give(&arrivals, true);
    wait_until("all rows", BOUND, || stream.ledger().len() >= arrivals.len() + 3);
    let rejected = kafka::read_all(&stream.address, &stream.topic("rejected"));
    let same = rejected.iter().find(|taken| taken.value.as_ref() == Some(&odd.value)).expect("the odd one, unchanged");
    assert_eq!(same.header("topic"), Some(stream.topic("envelopes")));
    assert_eq!(same.header("offset").as_deref(), Some("0"));
    assert!(same.header("reason").is_some());
    let rows = stream.ledger().into_iter().filter(|row| row.disposition == Disposition::Rejected).count();
    assert_eq!(rows, rejected.len());
}

#[test]
fn a_start_on_unfit_topics_is_refused_with_what_to_do() {
    let stream = Stream::new(&broker::shared().address, "unfit", 2);
    let set = |command: &mut Command| command.arg("run").output().expect("it starts");
    let output = set(stream
        .command("a")
        .env("MAILJOURNAL_CORRELATE_PATIENCE", "60d")
        .env("MAILJOURNAL_CORRELATE_REMEMBER", "61d"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("retention.ms") && said.contains("correlate.patience"), "{said}");

    kafka::create_topic(&stream.address, "other.drafts", 5, &[("max.message.bytes", "100000")]);
    let output = set(stream
        .command("a")
        .env("MAILJOURNAL_TOPICS_PREFIX", "")
        .envs(
            ["reports", "envelopes", "strays", "archive", "ndr", "activity", "ledger", "rejected"]
                .map(|name| (format!("MAILJOURNAL_TOPICS_{}", name.to_uppercase()), stream.topic(name))),
        )
        .env("MAILJOURNAL_TOPICS_DRAFTS", "other.drafts"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for reason in ["5 partitions", "cleanup.policy=delete", "max.message.bytes"] {
        assert!(said.contains(reason), "{reason}: {said}");
    }
}
