//! What Kafka has deleted or forgotten is said, and never made up for by reading twice.

use crate::{
    stream::{self, BOUND, Instance, Stream},
    support::{broker, kafka, wait_until},
};

#[test]
fn arrivals_that_retention_deletes_before_a_running_instance_reads_them_are_counted() {
    let stream = Stream::new(&broker::shared().address, "overtaken", 1);
    let instance = stream.start("a");
    instance.wait_ready();
    instance.signal("STOP");
    let mails = stream::plain_mails(50);
    kafka::produce(&stream.address, &stream.topic("reports"), &mails);
    kafka::delete_records(&stream.address, &stream.topic("reports"), 0, 40);
    instance.signal("CONT");
    stream.wait_rows(10);
    wait_until("the count", BOUND, || instance.page("/metrics").1.contains("mailjournal_expired_arrivals_total 40"));
    assert!(instance.log().contains("deleted by the topic's retention"), "{}", instance.log());
    stream.expect_nothing_doubled();
}

/// Five drafts that are open, whose originals are nowhere but in their topic.
fn five_open(stream: &Stream) -> Instance {
    let slowly = [
        ("MAILJOURNAL_CORRELATE_QUIET", "4s"),
        ("MAILJOURNAL_CORRELATE_PATIENCE", "4s"),
        ("MAILJOURNAL_TURN_RECENT", "0B"),
    ];
    let instance = stream.start_with("a", &slowly);
    instance.wait_ready();
    kafka::produce(&stream.address, &stream.topic("reports"), &stream::plain_mails(5));
    stream.wait_rows(5);
    instance
}

fn expect_five_lost(stream: &Stream, instance: &Instance) {
    wait_until("the records", BOUND, || stream.published().len() == 5);
    let published = stream.published();
    assert!(published.iter().flat_map(|record| &record.originals).all(|original| original.content.is_none()));
    let (_, metrics) = instance.page("/metrics");
    assert!(metrics.contains("mailjournal_originals_total{outcome=\"lost\"} 5"), "{metrics}");
}

#[test]
fn originals_that_retention_deletes_before_their_records_close_are_said_to_be_lost() {
    let stream = Stream::new(&broker::shared().address, "emptied", 1);
    let instance = five_open(&stream);
    kafka::delete_records(&stream.address, &stream.topic("reports"), 0, 5);
    expect_five_lost(&stream, &instance);
}

#[test]
fn originals_beyond_the_end_of_a_topic_made_anew_are_said_to_be_lost() {
    let stream = Stream::new(&broker::shared().address, "anew", 1);
    five_open(&stream).terminate();
    let reports = stream.topic("reports");
    kafka::delete_topics(&stream.address, &[&reports]);
    kafka::create_topic(&stream.address, &reports, 1, &[]);
    // As `run` advises, which refuses to begin without a position.
    wait_until("the group's end", BOUND, || kafka::commit(&stream.address, "anew", &reports, 0, 0));
    let instance = stream.start("a");
    expect_five_lost(&stream, &instance);
}

#[test]
fn a_group_that_kafka_has_forgotten_is_not_read_from_its_beginning() {
    let stream = Stream::new(&broker::shared().address, "forgotten", 1);
    let instance = stream.start("a");
    let mails = stream::plain_mails(20);
    kafka::produce(&stream.address, &stream.topic("reports"), &mails);
    wait_until("all records", BOUND, || stream.published().len() == mails.len());
    instance.terminate();
    wait_until("the group's end", BOUND, || kafka::delete_group(&stream.address, "forgotten"));
    let mut again = stream.start("a");
    assert_eq!(again.wait_end().code(), Some(1));
    let log = again.log();
    assert!(log.contains("no position of group forgotten") && log.contains("offsets.retention.minutes"), "{log}");
    assert_eq!(stream.ledger().len(), mails.len());
}

#[test]
fn a_topic_that_ends_before_what_was_read_of_it_is_not_read_on() {
    let stream = Stream::new(&broker::shared().address, "beyond", 1);
    let instance = stream.start("a");
    kafka::produce(&stream.address, &stream.topic("reports"), &stream::plain_mails(20));
    stream.wait_rows(20);
    instance.terminate();
    let beyond = || kafka::commit(&stream.address, "beyond", &stream.topic("reports"), 0, 1_000);
    wait_until("the group's end", BOUND, beyond);
    let mut again = stream.start("a");
    assert_eq!(again.wait_end().code(), Some(1));
    let log = again.log();
    assert!(log.contains("is 1000, and the topic ends at 20") && log.contains("--reset-offsets"), "{log}");
}
