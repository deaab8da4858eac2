//! What is too large, or no mail at all, does not stop the stream.

use std::process::Command;

use mailjournal::{
    record::{Disposition, JournalRecord},
    turn::home::home_partition,
};

use crate::{
    stream::{self, BOUND, Stream},
    support::{
        broker,
        kafka::{self, Given},
        wait_for, wait_until,
    },
};

fn record_of(stream: &Stream, message_id: &str) -> JournalRecord {
    wait_for("the record", BOUND, || stream.published().into_iter().find(|record| record.key == message_id))
}

#[test]
fn a_mail_of_30_mb_comes_out_byte_for_byte() {
    let stream = Stream::new(&broker::shared().address, "large", 2);
    let given = stream::plain_mail("<large@example.com>", 30_000_000);
    let _instance = stream.start("a");
    kafka::produce(&stream.address, &stream.topic("reports"), std::slice::from_ref(&given));
    let record = record_of(&stream, "<large@example.com>");
    assert_eq!(record.originals.len(), 1);
    assert_eq!(record.originals[0].content.as_deref(), Some(&given.value[..]));
}

#[test]
fn what_the_archive_topic_does_not_take_goes_by_reference() {
    let stream = Stream::new(&broker::shared().address, "small-archive", 2);
    stream.remake_topic("archive", &[("max.message.bytes", "100000")]);
    let _instance = stream.start("a");
    let (large, small) =
        (stream::plain_mail("<big@example.com>", 200_000), stream::plain_mail("<little@example.com>", 1000));
    let places = kafka::produce(&stream.address, &stream.topic("reports"), &[large, small.clone()]);
    let record = record_of(&stream, "<big@example.com>");
    assert_eq!(record.originals[0].content, None);
    let place = format!("kafka:{}/{}/{}", stream.topic("reports"), places[0].0, places[0].1);
    assert_eq!(record.originals[0].reference.as_deref(), Some(&place[..]));
    let record = record_of(&stream, "<little@example.com>");
    assert_eq!(record.originals[0].content.as_deref(), Some(&small.value[..]));
}

#[test]
fn a_topic_that_begins_to_refuse_ends_it_with_what_to_raise_and_nothing_is_lost() {
    let stream = Stream::new(&broker::shared().address, "refusing", 2);
    let archive = stream.topic("archive");
    let mut instance = stream.start("a");
    instance.wait_ready();
    kafka::set_topic(&stream.address, &archive, &[("max.message.bytes", "100")]);
    let arrivals = stream::arrivals(12, 20);
    stream.give(&arrivals, true);
    assert_eq!(instance.wait_end().code(), Some(1));
    let (log, advice) =
        (instance.log(), format!("{archive} refuses a value as too large: raise its max.message.bytes"));
    assert!(log.contains(&advice), "{log}");
    kafka::set_topic(&stream.address, &archive, &[("max.message.bytes", "41943040")]);
    let _instance = stream.start("a");
    stream.expect(&arrivals);
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

#[test]
fn an_unkeyed_mail_that_fills_its_topic_comes_home_by_reference() {
    let stream = Stream::new(&broker::shared().address, "filled", 2);
    for name in ["reports", "envelopes", "strays", "rejected"] {
        stream.remake_topic(name, &[("max.message.bytes", "200000")]);
    }
    let _instance = stream.start("a");
    let key = "<filled@example.com>";
    let mut given = stream::plain_mail(key, 199_000);
    (given.key, given.partition) = (None, Some(1 - home_partition(key.as_bytes(), 2)));
    // Compressed, it is small for the broker; what is written of it must be, too.
    kafka::produce(&stream.address, &stream.topic("reports"), std::slice::from_ref(&given));
    let record = record_of(&stream, key);
    assert_eq!(record.originals[0].content.as_deref(), Some(&given.value[..]));
    let strays = kafka::read_all(&stream.address, &stream.topic("strays"));
    assert!(strays[0].value.as_ref().is_none_or(Vec::is_empty), "it went by reference");
}
