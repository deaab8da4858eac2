//! The only judge of complete (contract §4.3): what the evidence lets one expect, what of it is here, and so why a
//! draft may close.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use crate::{
    correlate::{
        merge::{Groups, Names},
        stored::Piece,
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

/// Judges the pieces of one draft, in the order of the record's `evidence[]`.
pub fn judge(pieces: &[&Piece], groups: &Groups) -> Judgement {
    let promises: Vec<usize> = (0..pieces.len()).filter(|&index| promises_report(pieces[index])).collect();
    let mut expected = vec![original(pieces)];
    expected.extend(groups.iter().map(|(_, group)| Expected {
        what: Expectation::Expansion,
        who: Some(group.address.clone()),
        because: indexes(&group.told_by),
        met_by: indexes(&group.members_told_by),
    }));
    if !promises.is_empty() {
        expected.extend(promised_servers(pieces, &promises));
        expected.extend(promised_recipients(pieces, &promises, groups));
    }
    let missing = expected.iter().any(|expected| expected.met_by.is_empty());
    let (status, because) = match (missing, promises.is_empty()) {
        (true, _) => (Status::Incomplete, ClosedBecause::Patience),
        (false, false) => (Status::Complete, ClosedBecause::Evidence),
        (false, true) => (Status::Complete, ClosedBecause::Quiet),
    };
    let reason = reason(&expected, because);
    Judgement { status, because, certificate: Certificate { expected, reason } }
}

/// An event that names journal addresses says that its server sends a report of its own.
fn promises_report(piece: &Piece) -> bool {
    piece.evidence.kind == Kind::EnvelopeEvent && !piece.evidence.journaled_to.is_empty()
}

fn original(pieces: &[&Piece]) -> Expected {
    let has_original = |piece: &&Piece| piece.evidence.originals.iter().any(|original| !original.decrypted);
    Expected {
        what: Expectation::Original,
        who: None,
        because: Vec::new(),
        met_by: indexes(&(0..pieces.len()).filter(|&index| has_original(&pieces[index])).collect()),
    }
}

/// A server is compared without regard to case and to the dot that may close a domain name.
fn server_key(server: &str) -> String {
    server.trim_end_matches('.').to_lowercase()
}

fn promised_servers(pieces: &[&Piece], promises: &[usize]) -> Vec<Expected> {
    let mut reported: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.evidence.kind == Kind::Report) {
        if let Some(server) = piece.server() {
            reported.entry(server_key(server)).or_default().insert(index);
        }
    }
    let mut servers: BTreeMap<String, (String, BTreeSet<usize>)> = BTreeMap::new();
    for &index in promises {
        if let Some(server) = piece_server(pieces[index]) {
            let entry = servers.entry(server_key(server)).or_insert_with(|| (server.to_owned(), BTreeSet::new()));
            entry.1.insert(index);
        }
    }
    let expectation = |(key, (server, because)): (String, (String, BTreeSet<usize>))| Expected {
        what: Expectation::ReportFrom,
        who: Some(server),
        because: indexes(&because),
        met_by: reported.get(&key).map(indexes).unwrap_or_default(),
    };
    servers.into_iter().map(expectation).collect()
}

fn piece_server(piece: &Piece) -> Option<&str> {
    piece.server().filter(|server| !server.is_empty())
}

/// Every recipient of a promising event is to be named by some report: as a recipient, or as the one who was addressed.
fn promised_recipients(pieces: &[&Piece], promises: &[usize], groups: &Groups) -> Vec<Expected> {
    let named = Names::of_reports(pieces);
    let mut wanted: BTreeMap<String, (String, BTreeSet<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for &index in promises {
        for claim in &pieces[index].evidence.recipients {
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
        let who: Vec<&str> =
            expected.iter().filter(wanted).map(|expected| expected.who.as_deref().unwrap_or_default()).collect();
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
