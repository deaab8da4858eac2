//! However an instance ends, nothing is lost and nothing doubled.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use mailjournal::sample::random::Random;

use crate::{
    stream::{self, BOUND, Stream},
    support::{broker, wait_until},
};

#[test]
fn sigterm_under_load_ends_it_within_five_seconds_with_exit_code_0() {
    let stream = Stream::new(&broker::shared().address, "sigterm", 3);
    let arrivals = stream::arrivals(3, 600);
    stream.give(&arrivals[..10], true);
    let instance = stream.start("a");
    stream.wait_rows(10);
    stream.give(&arrivals[10..], true);
    stream.wait_rows(11);
    let (status, took) = instance.terminate();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    let _instance = stream.start("a");
    stream.expect(&arrivals);
}

#[test]
fn killed_at_twenty_moments_of_a_load_it_ends_in_the_same_records() {
    let stream = Stream::new(&broker::shared().address, "killed", 3);
    let arrivals = stream::arrivals(4, 600);
    // From "hardly started" to "in full work". A failure prints the seed; MAILJOURNAL_SEED plays it again.
    let seed = std::env::var("MAILJOURNAL_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("MAILJOURNAL_SEED={seed}");
    let mut random = Random::new(seed, 0);
    for (round, part) in arrivals.chunks(arrivals.len().div_ceil(20)).enumerate() {
        let instance = stream.start("a");
        stream.give(part, round % 3 != 0);
        sleep(Duration::from_millis(300 + random.below(2700) as u64));
        instance.kill();
    }
    let _instance = stream.start("a");
    stream.expect(&arrivals);
}

#[test]
fn killed_and_restarted_in_place_it_goes_on_within_three_seconds() {
    let stream = Stream::new(&broker::shared().address, "in-place", 2);
    let arrivals = stream::arrivals(8, 60);
    let mut instance = stream.start("a");
    instance.wait_ready();
    // The best of three: other tests keep the machine busy.
    let (mut given, mut best) = (0, Duration::MAX);
    for part in arrivals.chunks(arrivals.len() / 3) {
        instance.kill();
        let killed = Instant::now();
        instance = stream.start("a");
        stream.give(part, true);
        given += part.len();
        wait_until("every arrival's row", BOUND, || stream.ledger().len() >= given);
        best = best.min(killed.elapsed());
    }
    stream.expect(&arrivals);
    assert!(best < Duration::from_secs(3), "{best:?}; log:\n{}", instance.log());
}

#[test]
fn a_new_instance_restores_what_another_left_behind() {
    let stream = Stream::new(&broker::shared().address, "wiped", 3);
    let arrivals = stream::arrivals(5, 200);
    let (first, second) = arrivals.split_at(arrivals.len() / 2);
    stream.give(first, true);
    let instance = stream.start("old");
    stream.wait_rows(first.len());
    instance.kill();
    stream.give(second, true);
    let _instance = stream.start("new");
    stream.expect(&arrivals);
}
