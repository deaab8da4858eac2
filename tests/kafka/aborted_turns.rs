//! A turn that fails in any phase is as if it had never been.

use std::time::Duration;

use crate::{
    stream::{self, Stream},
    support::broker,
};

const PHASES: [&str; 7] = ["gathered", "built", "begun", "sent", "positioned", "flushed", "committed"];

fn check(name: &str, action: &str) {
    let stream = Stream::new(&broker::shared().address, name, 2);
    let arrivals = stream::arrivals(8, 150);
    let faults: Vec<String> = PHASES.iter().map(|phase| format!("{action}:{phase}:2")).collect();
    let instance = stream.start_with("a", &[("MAILJOURNAL_TEST_FAULT", &faults.join(","))]);
    for part in arrivals.chunks(arrivals.len().div_ceil(20)) {
        stream.give(part, true);
        std::thread::sleep(Duration::from_millis(150));
    }
    stream.expect(&arrivals);
    let struck = instance.log().matches("a test ordered it").count();
    assert!(struck >= PHASES.len(), "{struck} faults struck:\n{}", instance.log());
}

#[test]
fn an_abort_in_every_phase_leaves_no_trace() {
    check("aborted", "abort");
}

#[test]
fn a_turn_of_unknown_outcome_is_neither_lost_nor_doubled() {
    check("doubted", "doubt");
}

#[test]
fn a_crash_in_every_phase_leaves_no_trace() {
    let stream = Stream::new(&broker::shared().address, "crashed", 2);
    let arrivals = stream::arrivals(9, 150);
    for (phase, part) in PHASES.iter().zip(arrivals.chunks(arrivals.len().div_ceil(PHASES.len()))) {
        let fault = format!("kill:{phase}:2");
        let mut instance = stream.start_with("a", &[("MAILJOURNAL_TEST_FAULT", &fault)]);
        let (first, second) = part.split_at(part.len() / 2);
        instance.wait_ready();
        stream.give(first, true);
        std::thread::sleep(Duration::from_millis(300));
        stream.give(second, true);
        assert!(!instance.wait_end().success(), "{phase}");
    }
    let _instance = stream.start("a");
    stream.expect(&arrivals);
}

/// librdkafka's `send_offsets_to_transaction`, asked for half a second, has been seen to hang for a minute and more.
#[test]
fn a_client_that_does_not_come_back_is_left_behind_and_replaced() {
    let stream = Stream::new(&broker::shared().address, "hung", 2);
    let arrivals = stream::arrivals(13, 100);
    let (first, second) = arrivals.split_at(arrivals.len() / 2);
    let instance = stream.start_with("a", &[("MAILJOURNAL_TEST_FAULT", "hang:sent:3")]);
    stream.give(first, true);
    stream.wait_rows(first.len() / 4);
    stream.give(second, true);
    stream.expect(&arrivals);
    assert!(instance.log().contains("has not come back from writing a turn"), "{}", instance.log());
    // Of the thread that hangs the process does not wait.
    let (status, took) = instance.terminate();
    assert_eq!((status.code(), took < Duration::from_secs(5)), (Some(0), true), "{took:?}");
}
