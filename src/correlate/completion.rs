//! The only judge of complete (contract §4.3): what the evidence lets one expect, what of it is here, and so why a
//! draft may close.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    correlate::{
        entry::Entry,
        merge::{Groups, Names},
        stored::server_key,
    },
    evidence::{Kind, RecipientKind},
    mail::address::compare_key,
    record::{Certificate, ClosedBecause, Expectation, Expected, Status},
};

/// How a draft stands by its evidence alone; the closing timer follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub status: Status,
    pub because: ClosedBecause,
    pub certificate: Certificate,
}

/// Judges the evidence of one draft, in the order of the record's `evidence[]`.
pub fn judge(entries: &[Entry], groups: &Groups) -> Judgement {
    let expected = expected(entries, groups);
    let because = because_of(&expected, entries);
    let status = match because {
        ClosedBecause::Patience => Status::Incomplete,
        ClosedBecause::Evidence | ClosedBecause::Quiet => Status::Complete,
    };
    let reason = reason(&expected, because);
    Judgement { status, because, certificate: Certificate { expected, reason } }
}

/// Why the draft may close, without the sentence that says it: for each look at a draft that is not closed.
pub fn because(entries: &[Entry], groups: &Groups) -> ClosedBecause {
    because_of(&expected(entries, groups), entries)
}

fn because_of(expected: &[Expected], entries: &[Entry]) -> ClosedBecause {
    let missing = expected.iter().any(|expected| expected.met_by.is_empty());
    match (missing, entries.iter().any(Entry::promises_report)) {
        (true, _) => ClosedBecause::Patience,
        (false, true) => ClosedBecause::Evidence,
        (false, false) => ClosedBecause::Quiet,
    }
}

/// All that the evidence lets one expect.
fn expected(entries: &[Entry], groups: &Groups) -> Vec<Expected> {
    let promises: Vec<usize> = (0..entries.len()).filter(|&index| entries[index].promises_report()).collect();
    let mut expected = vec![original(entries)];
    expected.extend(groups.iter().map(|(_, group)| Expected {
        what: Expectation::Expansion,
        who: Some(group.address.clone()),
        because: indexes(&group.told_by),
        met_by: indexes(&group.members_told_by),
    }));
    if !promises.is_empty() {
        expected.extend(promised_servers(entries, &promises));
        expected.extend(promised_recipients(entries, &promises, groups));
    }
    expected
}

fn has_original(entry: &Entry) -> bool {
    entry.originals().any(|(_, original)| !original.decrypted)
}

fn original(entries: &[Entry]) -> Expected {
    Expected {
        what: Expectation::Original,
        who: None,
        because: Vec::new(),
        met_by: indexes(&(0..entries.len()).filter(|&index| has_original(&entries[index])).collect()),
    }
}

/// A server that has no name keeps its promise with any report.
fn promised_servers(entries: &[Entry], promises: &[usize]) -> Vec<Expected> {
    let mut reported: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind() == Kind::Report) {
        if let Some(server) = entry.server().filter(|server| !server.is_empty()) {
            reported.entry(server_key(server)).or_default().insert(index);
        }
        reported.entry(String::new()).or_default().insert(index);
    }
    let mut servers: BTreeMap<String, (&str, BTreeSet<usize>)> = BTreeMap::new();
    for &index in promises {
        let server = entries[index].server().unwrap_or_default();
        servers.entry(server_key(server)).or_insert_with(|| (server, BTreeSet::new())).1.insert(index);
    }
    let expectation = |(key, (server, because)): (String, (&str, BTreeSet<usize>))| Expected {
        what: Expectation::ReportFrom,
        who: Some(server.to_owned()).filter(|server| !server.is_empty()),
        because: indexes(&because),
        met_by: reported.get(&key).map(indexes).unwrap_or_default(),
    };
    servers.into_iter().map(expectation).collect()
}

/// Every recipient of a promising event is to be named by some report: as a recipient, or as the one who was addressed.
fn promised_recipients(entries: &[Entry], promises: &[usize], groups: &Groups) -> Vec<Expected> {
    let named = Names::of_reports(entries);
    let mut wanted: BTreeMap<String, (String, BTreeSet<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for &index in promises {
        for claim in entries[index].recipients() {
            let key = claim.address.compare_key();
            if claim.what == RecipientKind::Group || groups.get(&key).is_some() {
                continue;
            }
            let entry = wanted.entry(key.clone());
            let entry = entry.or_insert_with(|| (claim.address.text.clone(), BTreeSet::new(), BTreeSet::new()));
            entry.1.insert(index);
            let original = claim.original.as_deref().map(compare_key);
            for reports in [Some(key), original].iter().flatten().filter_map(|name| named.get(name)) {
                entry.2.extend(reports);
            }
        }
    }
    let expectation = |(who, because, met_by): (String, BTreeSet<usize>, BTreeSet<usize>)| Expected {
        what: Expectation::Recipient,
        who: Some(who),
        because: indexes(&because),
        met_by: indexes(&met_by),
    };
    wanted.into_values().map(expectation).collect()
}

/// Indexes as the record writes them.
pub fn indexes(set: &BTreeSet<usize>) -> Vec<i32> {
    set.iter().map(|&index| i32::try_from(index).expect("a draft has fewer pieces than 2^31")).collect()
}

fn reason(expected: &[Expected], because: ClosedBecause) -> String {
    match because {
        ClosedBecause::Evidence => format!("Everything that was expected is here: {}.", phrases(expected, false)),
        ClosedBecause::Quiet => format!(
            "Nothing that is known of is missing ({} here), and no more came for the quiet time.",
            match expected.len() {
                1 => "the original is".to_owned(),
                _ => format!("{} are", phrases(expected, false)),
            }
        ),
        ClosedBecause::Patience => format!("Still missing: {}.", phrases(expected, true)),
    }
}

/// How many names a sentence lists before it only counts.
const NAMES_IN_A_SENTENCE: usize = 3;

fn phrases(expected: &[Expected], missing: bool) -> String {
    let mut sentence = String::new();
    let kinds = [Expectation::Original, Expectation::Expansion, Expectation::ReportFrom, Expectation::Recipient];
    for what in kinds {
        let wanted = |expected: &&Expected| expected.what == what && (!missing || expected.met_by.is_empty());
        let who: Vec<&str> = expected
            .iter()
            .filter(wanted)
            .map(|expected| expected.who.as_deref().unwrap_or("without a name"))
            .collect();
        if who.is_empty() {
            continue;
        }
        if !sentence.is_empty() {
            sentence.push_str("; ");
        }
        let _ = match (what, who.len()) {
            (Expectation::Original, _) => write!(sentence, "the original"),
            (Expectation::Expansion, 1) => write!(sentence, "the members of the list "),
            (Expectation::Expansion, count) => write!(sentence, "the members of {count} lists: "),
            (Expectation::ReportFrom, 1) => write!(sentence, "the report promised by the server "),
            (Expectation::ReportFrom, count) => write!(sentence, "the reports promised by {count} servers: "),
            (Expectation::Recipient, 1) => write!(sentence, "a report that names the recipient "),
            (Expectation::Recipient, count) => write!(sentence, "reports that name {count} recipients: "),
        };
        if what != Expectation::Original {
            sentence.push_str(&who[..who.len().min(NAMES_IN_A_SENTENCE)].join(", "));
            if who.len() > NAMES_IN_A_SENTENCE {
                sentence.push_str(", …");
            }
        }
    }
    sentence
}
