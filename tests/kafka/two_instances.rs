//! Instances share the work, and take over from each other.

use std::time::{Duration, Instant};

use crate::{
    stream::{self, BOUND, Stream},
    support::{broker, wait_until},
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
fn an_instance_whose_name_is_taken_stops_and_says_which_setting() {
    let stream = Stream::new(&broker::shared().address, "taken", 2);
    let mut first = stream.start("same");
    first.wait_ready();
    let second = stream.start("same");
    assert_eq!(first.wait_end().code(), Some(1));
    assert!(first.log().contains("kafka.instance"), "{}", first.log());
    second.wait_ready();
}
