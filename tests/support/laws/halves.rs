//! Arrivals in two halves: whichever half is merged first, and whatever is closed, laid to rest or restored between, the
//! records are the same, and nothing that came is missing from them.

use std::collections::{BTreeMap, BTreeSet};

use mailjournal::{
    arrival::{Arrival, Format, Timestamp},
    evidence::read_mail,
    mail::address::compare_key,
    record::{JournalRecord, report},
};

use super::{
    lying::{ALL_AWAKE, NONE_AWAKE},
    parts,
    stage::{self, Stage},
};

/// The parts: mails and lines of envelope events. A single part is cut in two.
pub fn merged(input: &[u8]) {
    let mut parts = parts(input);
    if let [whole] = parts[..] {
        let (one, other) = whole.split_at(whole.len() / 2);
        parts = vec![one, other];
    }
    let arrivals: Vec<Arrival> =
        parts.iter().enumerate().map(|(index, part)| stage::arrival(part, index, time(index))).collect();
    let (one, other) = arrivals.split_at(arrivals.len() / 2);
    let both = in_turns(&[&arrivals], Between::Nothing);
    check_nothing_lost(&arrivals, &both);
    both.values().for_each(check_report);
    assert_eq!(both, in_turns(&[other, one], Between::Nothing));
    assert_eq!(both, in_turns(&[one, other], Between::Closing));
    assert_eq!(both, in_turns(&[one, other], Between::Rest));
    assert_eq!(both, in_turns(&[other, one], Between::RestAndRestart));
}

/// Every mail that is evidence is evidence of a record, in which its recipients are.
fn check_nothing_lost(arrivals: &[Arrival], records: &BTreeMap<String, JournalRecord>) {
    for arrival in arrivals.iter().filter(|arrival| arrival.format == Format::Mail) {
        let Ok(evidence) = read_mail(&arrival.bytes) else { continue };
        let is_of = |record: &&JournalRecord| record.evidence.iter().any(|entry| entry.sha256 == evidence.id);
        let record = records.values().find(is_of).expect("evidence has its record");
        let recipients = record.recipients.iter().map(|one| compare_key(&one.address));
        let lists = record.groups.iter().map(|list| compare_key(&list.address));
        let named: BTreeSet<String> = recipients.chain(lists).collect();
        for claim in &evidence.recipients {
            assert!(named.contains(&claim.address.compare_key()), "{} is missing", claim.address.text);
        }
    }
}

fn check_report(record: &JournalRecord) {
    assert_eq!(report::read(&report::build_with_what_is_here(record)).as_ref(), Some(record));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Closing,
    Rest,
    RestAndRestart,
}

/// Times that do not rise with the positions.
fn time(index: usize) -> Timestamp {
    let seconds = i64::try_from(index * 7 % 5).expect("below five");
    Timestamp(stage::MORNING.0 + seconds * 1000)
}

fn in_turns(turns: &[&[Arrival]], between: Between) -> BTreeMap<String, JournalRecord> {
    let rests = matches!(between, Between::Rest | Between::RestAndRestart);
    let mut stage = Stage::with(if rests { NONE_AWAKE } else { ALL_AWAKE });
    for arrivals in turns {
        stage.turn(arrivals.to_vec(), time(4));
        if between != Between::Nothing {
            stage.run_on();
        }
        if between == Between::RestAndRestart {
            stage.restart();
        }
    }
    stage.run_on();
    stage.records()
}
