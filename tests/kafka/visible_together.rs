//! Readers see a turn whole or not at all.

use std::collections::BTreeSet;

use crate::{
    stream::{self, Stream},
    support::broker,
};

#[test]
fn a_record_is_never_seen_without_the_rows_of_its_evidence() {
    let stream = Stream::new(&broker::shared().address, "whole", 2);
    let arrivals = stream::arrivals(11, 300);
    let faults = "abort:sent:3,abort:flushed:5,doubt:sent:7,abort:positioned:9";
    let _instance = stream.start_with("a", &[("MAILJOURNAL_TEST_FAULT", faults)]);
    let mut seen = 0;
    for part in arrivals.chunks(arrivals.len().div_ceil(10)) {
        stream.give(part, true);
        // Records first: rows that come between the two looks only add to the second.
        let records = stream.published();
        let rows: BTreeSet<_> = stream.ledger().into_iter().map(|row| (row.topic, row.partition, row.offset)).collect();
        for evidence in records.iter().flat_map(|record| &record.evidence) {
            let place = (evidence.topic.clone(), evidence.partition, evidence.offset);
            assert!(rows.contains(&place), "{place:?} is in a record and has no row");
        }
        seen += records.len();
    }
    assert!(seen > 0, "nothing was looked at while it ran");
    stream.expect(&arrivals);
}
