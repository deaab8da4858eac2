//! The same arrivals through `collate` and through `run` give the same records.

use std::collections::BTreeMap;

use mailjournal::{
    avro::Schema,
    record::{JournalActivity, NonDelivery, Status},
};

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

    let collated = stream::contents(&stream::collated_values(&arrivals, "archive"));
    assert!(stream::contents(&stream.published()) == collated && !collated.is_empty(), "the originals' bytes differ");
    let ran: Vec<NonDelivery> = stream.values("ndr", Schema::NonDelivery);
    let collated: Vec<NonDelivery> = stream::collated_values(&arrivals, "ndr");
    stream::assert_alike(&ran, &collated);
    assert_eq!(ran.len(), collated.len(), "each notice is told once");
    // Of the activity the last of each record, as of the archive.
    let ran: Vec<JournalActivity> = stream.values("activity", Schema::JournalActivity);
    let collated: Vec<JournalActivity> = stream::collated_values(&arrivals, "activity");
    let last = |all: Vec<JournalActivity>| -> Vec<JournalActivity> {
        let mut last = BTreeMap::new();
        for activity in all {
            let place = last.entry(activity.record_id.clone()).or_insert_with(|| activity.clone());
            if place.revision < activity.revision {
                *place = activity;
            }
        }
        last.into_values().filter(|activity| activity.status != Status::Superseded).collect()
    };
    stream::assert_alike(&last(ran), &last(collated));
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
