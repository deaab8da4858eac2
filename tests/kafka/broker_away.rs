//! A broker that goes away for a while is waited for.

use std::{thread::sleep, time::Duration};

use crate::{
    stream::{self, BOUND, Stream},
    support::{broker::Broker, proxy::Weather, wait_until},
};

#[test]
fn a_broker_stopped_and_started_in_mid_load_costs_only_time() {
    let mut broker = Broker::start();
    let stream = Stream::new(&broker.address, "away", 3);
    let arrivals = stream::arrivals(12, 300);
    let (first, second) = arrivals.split_at(arrivals.len() / 2);
    let instance = stream.start("a");
    stream.give(first, true);
    stream.wait_rows(first.len() / 4);
    broker.stop();
    wait_until("that it is not ready", BOUND, || instance.page("/health/ready").0 == 503);
    assert_eq!(instance.page("/health/live").0, 200);
    sleep(Duration::from_secs(3));
    broker.restart();
    stream.give(second, false);
    stream.expect(&arrivals);
    instance.wait_ready();

    broker.kill();
    sleep(Duration::from_secs(1));
    broker.restart();
    stream.expect(&arrivals);
    let (status, _) = instance.terminate();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn without_a_broker_it_says_so_in_time() {
    let broker = Broker::start();
    let stream = Stream::new(&broker.address, "nobody", 1);
    drop(broker);
    let mut instance = stream.start("a");
    assert_eq!(instance.wait_end().code(), Some(1));
    assert!(instance.log().contains("kafka.brokers"), "{}", instance.log());
}

#[test]
fn a_turn_whose_end_was_long_in_coming_is_followed_by_a_new_epoch() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let stream = Stream::new(&broker.address, "long", 2);
    let instance = stream.start("a");
    instance.wait_ready();
    let arrivals = stream::arrivals(13, 60);
    let (slowly, quickly) = arrivals.split_at(arrivals.len() / 2);
    // An answer takes twice that, and a turn's end several of them: more than one of the client's waits.
    proxy.set(Weather::Slow(Duration::from_millis(150)));
    for part in slowly.chunks(10) {
        stream.give(part, true);
    }
    wait_until("a new epoch", BOUND, || instance.log().contains("a new epoch"));
    proxy.set(Weather::Fair);
    stream.give(quickly, true);
    stream.expect(&arrivals);
}

#[test]
fn a_turn_that_lost_a_connection_is_followed_by_a_new_epoch() {
    let (broker, proxy) = Broker::start_behind_proxy();
    let stream = Stream::new(&broker.address, "cut", 2);
    let instance = stream.start("a");
    instance.wait_ready();
    let arrivals = stream::arrivals(14, 40);
    let (before, after) = arrivals.split_at(arrivals.len() / 2);
    stream.give(before, true);
    stream.wait_rows(before.len());
    proxy.cut();
    stream.give(after, true);
    wait_until("a new epoch", BOUND, || instance.log().contains("lost_connection=true"));
    stream.expect(&arrivals);
}
