//! A message that is not at hand any more is read back from the changelog when something comes for it.

use std::collections::BTreeMap;

use mailjournal::limits;

use crate::{
    stream::{self, Stream},
    support::{broker, kafka, wait_until},
};

const LATE: usize = 300;

/// So many of the late ones lie side by side, the others so far apart that each is jumped to.
const TOGETHER: usize = 270;
const APART: usize = 90;

/// So many more than stay at hand that all of the late ones have to be read back.
const MESSAGES: usize = limits::AWAKE_CLOSED_MAX + TOGETHER + (LATE - TOGETHER) * APART;

#[test]
fn late_evidence_of_a_message_at_rest_makes_its_next_revision() {
    let stream = Stream::new(&broker::shared().address, "rest", 1);
    let (reports, id) = (stream.topic("reports"), |n: usize| format!("<rest-{n}@example.com>"));
    let mails: Vec<_> = (0..MESSAGES).map(|n| stream::plain_mail(&id(n), 80)).collect();
    // Each is the same message with another body.
    let numbers = (0..TOGETHER).chain((TOGETHER..LATE).map(|n| TOGETHER + (n - TOGETHER) * APART));
    let late: Vec<_> = numbers.map(|n| stream::plain_mail(&id(n), 160)).collect();
    let instance = stream.start("a");
    kafka::produce(&stream.address, &reports, &mails);
    let published = || kafka::count_committed(&stream.address, &stream.topic("archive"));
    wait_until("every record", stream::BOUND, || published() >= MESSAGES);
    // A turn more, in which what was published is laid down.
    kafka::produce(&stream.address, &reports, &[stream::plain_mail(&id(MESSAGES), 80)]);
    wait_until("the record of another turn", stream::BOUND, || published() > MESSAGES);
    kafka::produce(&stream.address, &reports, &late);
    wait_until("the revisions", stream::BOUND, || published() > MESSAGES + LATE);
    let mut revisions: BTreeMap<String, Vec<(i32, usize)>> = BTreeMap::new();
    for record in stream.published() {
        revisions.entry(record.record_id).or_default().push((record.revision, record.evidence.len()));
    }
    assert_eq!(revisions.len(), MESSAGES + 1);
    let later = revisions.values().filter(|revisions| revisions.len() > 1);
    assert!(later.clone().all(|revisions| *revisions == [(1, 1), (2, 2)]), "{revisions:?}");
    let log = instance.log();
    assert_eq!(later.count(), LATE, "{log}");
    assert!(read_back(&log) >= LATE, "{} drafts were read back", read_back(&log));
    let mut told = log.lines().filter(|line| !line.contains("DEBUG"));
    assert!(told.all(|line| !line.contains("@example.com")), "the log names messages:\n{log}");
}

/// How many drafts an instance says that it read back.
fn read_back(log: &str) -> usize {
    let counts =
        log.lines().filter_map(|line| line.split_once("read back")?.1.split_once("drafts=")?.1.split(' ').next());
    counts.filter_map(|count| count.parse::<usize>().ok()).sum()
}
