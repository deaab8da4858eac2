//! The same arrivals through `collate` and through `run` give the same records.

use crate::{
    stream::{self, Stream},
    support::broker,
};

#[test]
fn records_of_run_are_those_of_collate() {
    let stream = Stream::new(&broker::shared().address, "agree", 3);
    let arrivals = stream::arrivals(1, 300);
    stream.give(&arrivals, true);
    let instance = stream.start("a");
    instance.wait_ready();
    stream.expect(&arrivals);
    let (_, metrics) = instance.page("/metrics");
    assert!(metrics.contains("mailjournal_arrivals_total{disposition=\"MERGED\"}"), "{metrics}");
    assert_eq!(instance.page("/health/live").0, 200);
}

#[test]
fn arrivals_without_keys_are_moved_home_and_give_the_same_records() {
    let stream = Stream::new(&broker::shared().address, "unkeyed", 3);
    let arrivals = stream::arrivals(2, 200);
    let instance = stream.start("a");
    stream.give(&arrivals, false);
    stream.expect(&arrivals);
    let moved = stream.ledger().iter().filter(|row| row.topic.ends_with("strays")).count();
    assert!(moved > arrivals.len() / 3, "{moved} of {} were moved", arrivals.len());
    drop(instance);
}
