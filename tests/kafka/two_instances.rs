//! Instances share the work, and take over from each other.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    stream::{self, BOUND, Instance, Stream},
    support::{broker, kafka, wait_until},
};

#[test]
fn one_joins_and_one_is_killed_in_mid_load() {
    let stream = Stream::new(&broker::shared().address, "joined", 4);
    let arrivals = stream::arrivals(6, 600);
    let parts: Vec<_> = arrivals.chunks(arrivals.len().div_ceil(3)).collect();
    let first = stream.start("a");
    stream.give(parts[0], true);
    stream.wait_rows(parts[0].len() / 2);
    let second = stream.start("b");
    stream.give(parts[1], false);
    second.wait_ready();
    stream.wait_rows(parts[0].len() + 1);
    first.kill();
    stream.give(parts[2], true);
    stream.expect(&arrivals);
    drop(second);
}

#[test]
fn after_a_kill_new_records_are_seen_within_ten_seconds() {
    let stream = Stream::new(&broker::shared().address, "takeover", 2);
    let arrivals = stream::arrivals(7, 60);
    let (before, after) = arrivals.split_at(30);
    let (first, second) = (stream.start("a"), stream.start("b"));
    first.wait_ready();
    second.wait_ready();
    stream.give(before, true);
    stream.wait_rows(before.len());
    first.kill();
    let killed = Instant::now();
    stream.give(after, true);
    wait_until("every arrival's row", BOUND, || stream.ledger().len() >= arrivals.len());
    let took = killed.elapsed();
    stream.expect(&arrivals);
    assert!(took < Duration::from_secs(10), "{took:?}; logs:\n{}", second.log());
}

#[test]
fn an_instance_whose_name_is_taken_does_not_start_and_says_which_setting() {
    let stream = Stream::new(&broker::shared().address, "taken", 2);
    let first = stream.start("same");
    first.wait_ready();
    // Another temporary folder stands for another machine.
    let elsewhere = tempfile::tempdir().expect("a folder");
    for (place, variables) in
        [("on this machine", &[][..]), ("elsewhere", &[("TMPDIR", elsewhere.path().to_str().expect("text"))])]
    {
        let mut second = stream.start_with("same", variables);
        assert_eq!(second.wait_end().code(), Some(1), "{place}");
        let log = second.log();
        assert!(log.contains("kafka.instance") && log.contains(place), "{place}: {log}");
    }
    let arrivals = stream::arrivals(21, 10);
    stream.give(&arrivals, true);
    stream.expect(&arrivals);
}

#[test]
fn a_member_left_behind_without_knowing_it_publishes_nothing() {
    // On a busy machine drafts may fall due before their owner is stopped: then there is nothing left to be refused.
    let shown = [9, 18, 36, 72].into_iter().any(left_behind_with_due_drafts);
    assert!(shown, "the machine is too slow: every draft was published before its owner could be stopped");
}

/// Whether the member still had its drafts to publish when it was stopped.
fn left_behind_with_due_drafts(quiet_seconds: u32) -> bool {
    let stream = Stream::new(&broker::shared().address, &format!("left-behind-{quiet_seconds}"), 2);
    // Its drafts fall due while it is away, so that what it writes on its return has no arrivals in it. The one that
    // takes over does not end its transactions for it: the broker alone keeps it out.
    let quiet = format!("{quiet_seconds}s");
    let waits = [("MAILJOURNAL_CORRELATE_QUIET", &*quiet), ("MAILJOURNAL_CORRELATE_PATIENCE", &*quiet)];
    let faults: Vec<String> = (1..=20).map(|time| format!("abort:orphaned:{time}")).collect();
    let faults = faults.join(",");
    let unfenced = [&waits[..], &[("MAILJOURNAL_TEST_FAULT", &faults)]].concat();
    let (first, second) = (stream.start_with("a", &waits), stream.start_with("b", &unfenced));
    wait_until("a share for each", BOUND, || [&first, &second].iter().all(|one| works_on(one).last() == Some(&1)));
    let mails = stream::plain_mails(400);
    kafka::produce(&stream.address, &stream.topic("reports"), &mails);
    stream.wait_rows(mails.len());
    first.signal("STOP");
    let shares = works_on(&first).len();
    if !stream.published().is_empty() {
        return false;
    }
    // Continued earlier, it would still be a member.
    wait_until("the other's taking over", BOUND, || works_on(&second).last() == Some(&2));
    wait_until("all records", BOUND, || stream.published().len() >= mails.len());
    first.signal("CONT");
    // It has come to itself when it works on its share again.
    wait_until("its rejoining", BOUND, || works_on(&first).len() > shares);
    stream.expect_nothing_doubled();
    assert_eq!(stream.published().len(), mails.len());
    true
}

/// How many partitions an instance has worked on, each time it began to.
fn works_on(instance: &Instance) -> Vec<usize> {
    let log = instance.log();
    let begun = log.split("consuming partitions=").skip(1);
    begun.map(|rest| rest.split(' ').next().and_then(|count| count.parse().ok()).expect("a count")).collect()
}

#[test]
fn instances_that_come_while_others_restore_put_nobody_out() {
    let stream = Stream::new(&broker::shared().address, "in-restore", 4);
    let first = stream.start("a");
    first.wait_ready();
    let mails = stream::plain_mails(20_000);
    kafka::produce(&stream.address, &stream.topic("reports"), &mails);
    stream.wait_rows(mails.len());
    first.kill();
    for round in 0..4 {
        let mut instances = vec![stream.start("a")];
        for name in ["b", "c"] {
            sleep(Duration::from_millis(350 + 200 * round));
            instances.push(stream.start(name));
        }
        instances.iter().for_each(Instance::wait_ready);
        for mut instance in instances {
            assert!(instance.is_running(), "{}", instance.log());
            instance.kill();
        }
    }
    let _instance = stream.start("a");
    let more = stream::arrivals(22, 30);
    stream.give(&more, true);
    stream.wait_rows(mails.len() + more.len());
    stream.expect_nothing_doubled();
}
