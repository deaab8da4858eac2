//! What the correlator must agree with, as short and dumb as possible: every question is answered by looking at
//! everything.

use std::collections::{BTreeMap, BTreeSet};

use mailjournal::{
    correlate::Piece,
    evidence::{Hop, How, Kind, RecipientKind, Role},
    mail::{Guard, Key},
    record::{ClosedBecause, Flag, JournalRecord},
};

/// Address → roles claimed and paths.
type Recipients = BTreeMap<String, (BTreeSet<Role>, BTreeSet<Vec<(How, String)>>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    evidence: BTreeSet<String>,
    recipients: Recipients,
    groups: BTreeSet<(String, bool)>,
    unresolved: BTreeSet<String>,
    journals: BTreeSet<String>,
    because: ClosedBecause,
    reused: bool,
    ambiguous: bool,
    originals: BTreeSet<String>,
    span: (i64, i64),
}

impl Record {
    pub fn of(record: &JournalRecord) -> Record {
        let recipients = record.recipients.iter().map(|recipient| {
            let mut roles: BTreeSet<Role> = recipient.claimed_roles.iter().copied().collect();
            roles.extend((recipient.role != Role::Recipient).then_some(recipient.role));
            let path = |path: &Vec<Hop>| path.iter().map(|hop| (hop.how, hop.address.to_lowercase())).collect();
            (recipient.address.to_lowercase(), (roles, recipient.paths.iter().map(path).collect()))
        });
        Record {
            evidence: record.evidence.iter().map(|entry| entry.sha256.to_string()).collect(),
            recipients: recipients.collect(),
            groups: record.groups.iter().map(|group| (group.address.to_lowercase(), group.expanded)).collect(),
            unresolved: record.unresolved.iter().map(|list| list.to_lowercase()).collect(),
            journals: record.journals.iter().map(|journal| journal.address.clone()).collect(),
            because: record.closed_because,
            reused: record.flags.contains(&Flag::MessageIdReused),
            ambiguous: record.flags.contains(&Flag::Ambiguous),
            originals: record.originals.iter().map(|original| original.sha256.to_string()).collect(),
            span: (record.first_evidence_at, record.last_evidence_at),
        }
    }

    /// Whether both say the same, but for what depends on which sightings of their evidence count.
    pub fn says_alike(&self, other: &Record) -> bool {
        let alike = |record: &Record| Record {
            recipients: Recipients::new(),
            journals: BTreeSet::new(),
            span: (0, 0),
            ..record.clone()
        };
        alike(self) == alike(other)
    }
}

pub fn guard(piece: &Piece) -> Option<Guard> {
    piece.evidence.originals.iter().find_map(|original| original.guard)
}

fn same_body(one: &Piece, other: &Piece) -> bool {
    let bodies =
        |piece: &Piece| piece.evidence.originals.iter().map(|original| original.body_sha256).collect::<BTreeSet<_>>();
    let bytes =
        |piece: &Piece| piece.evidence.originals.iter().map(|original| original.sha256).collect::<BTreeSet<_>>();
    !bodies(one).is_disjoint(&bodies(other)) || !bytes(one).is_disjoint(&bytes(other))
}

fn agrees(one: &Piece, other: &Piece) -> bool {
    let told = |piece: &Piece| {
        let mut told = BTreeSet::new();
        let evidence = &piece.evidence;
        let subjects =
            evidence.subject.iter().chain(evidence.originals.iter().filter_map(|original| original.subject.as_ref()));
        for subject in subjects {
            let senders = evidence.sender.iter().chain(evidence.originals.iter().flat_map(|original| &original.from));
            told.extend(senders.map(|sender| (subject.clone(), sender.clone())));
        }
        told
    };
    !told(one).is_disjoint(&told(other))
}

fn only<T: Ord>(set: BTreeSet<T>) -> Option<T> {
    (set.len() == 1).then(|| set.into_iter().next()).flatten()
}

/// Which record a piece belongs to among all of its key.
pub fn record_id(piece: &Piece, all: &[Piece]) -> String {
    let key = piece.evidence.key.as_str();
    if let Some(guard) = guard(piece) {
        return format!("{key}#{guard}");
    }
    let guards_of = |holds: &dyn Fn(&Piece) -> bool| -> BTreeSet<Guard> {
        all.iter().filter(|other| holds(other)).filter_map(guard).collect()
    };
    let guards = guards_of(&|_| true);
    let found = match guards.len() {
        0 => return key.to_owned(),
        1 => only(guards),
        _ => {
            only(guards_of(&|other| same_body(piece, other))).or_else(|| only(guards_of(&|other| agrees(piece, other))))
        }
    };
    match found {
        Some(guard) => format!("{key}#{guard}"),
        None => format!("{key}#~{}", &piece.evidence.id.to_string()[..16]),
    }
}

/// Copies joined: the lowest position, every journal.
pub fn distinct(pieces: &[Piece]) -> Vec<Piece> {
    let mut distinct: BTreeMap<_, Piece> = BTreeMap::new();
    for piece in pieces {
        let known = distinct.entry(piece.evidence.id).or_insert_with(|| piece.clone());
        known.seen = known.seen.clone().min(piece.seen.clone());
        let journals: BTreeSet<String> = known.journals.iter().chain(&piece.journals).cloned().collect();
        known.journals = journals.into_iter().collect();
    }
    distinct.into_values().collect()
}

/// What a record says that these pieces belong to.
pub fn record_of(id: &str, pieces: &[Piece], reused: bool) -> Record {
    record(id, distinct(pieces), reused)
}

pub fn records(pieces: &[Piece]) -> BTreeMap<String, Record> {
    let mut keys: BTreeMap<Key, Vec<Piece>> = BTreeMap::new();
    for piece in distinct(pieces) {
        keys.entry(piece.evidence.key.clone()).or_default().push(piece);
    }
    keys.values().flat_map(|pieces| records_of_key(pieces)).collect()
}

fn records_of_key(all: &[Piece]) -> BTreeMap<String, Record> {
    let reused = all.iter().filter_map(guard).collect::<BTreeSet<_>>().len() > 1;
    let mut records: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
    for piece in all {
        records.entry(record_id(piece, all)).or_default().push(piece.clone());
    }
    records.into_iter().map(|(id, pieces)| (id.clone(), record(&id, pieces, reused))).collect()
}

fn is_same_event(one: &Piece, other: &Piece) -> bool {
    let is_event = |piece: &Piece| piece.evidence.kind == Kind::EnvelopeEvent && piece.evidence.report_id.is_some();
    is_event(one) && is_event(other) && one.evidence.report_id == other.evidence.report_id
}

/// Leaves the telling of the lowest id of each event, with what all tellings say.
fn unite(pieces: &mut Vec<Piece>) {
    pieces.sort_by_key(|piece| piece.evidence.id);
    let all = pieces.clone();
    pieces
        .retain(|piece| !all.iter().any(|other| is_same_event(piece, other) && other.evidence.id < piece.evidence.id));
    for piece in pieces {
        for other in &all {
            if is_same_event(piece, other) && other.evidence.id != piece.evidence.id {
                let told = std::sync::Arc::make_mut(&mut piece.evidence);
                told.recipients.extend(other.evidence.recipients.clone());
                told.groups.extend(other.evidence.groups.clone());
                told.journaled_to.extend(other.evidence.journaled_to.clone());
                told.originals.extend(other.evidence.originals.clone());
                piece.journals.extend(other.journals.clone());
            }
        }
    }
}

/// A report of the server that promised one.
fn keeps(piece: &Piece, promise: &Piece) -> bool {
    let server = |piece: &Piece| piece.server().map(|server| server.trim_end_matches('.').to_lowercase());
    piece.evidence.kind == Kind::Report && server(piece) == server(promise)
}

fn record(id: &str, mut pieces: Vec<Piece>, reused: bool) -> Record {
    // An event told twice is one: what any telling says, under the lowest id.
    unite(&mut pieces);
    let is_envelope = |piece: &Piece| matches!(piece.evidence.kind, Kind::Report | Kind::EnvelopeEvent);
    let has_envelope = pieces.iter().any(is_envelope);
    let journals: BTreeSet<String> = pieces.iter().flat_map(|piece| piece.journals.clone()).collect();
    let (mut groups, mut told, mut names) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for piece in &pieces {
        let evidence = &piece.evidence;
        for claim in &evidence.recipients {
            if claim.what == RecipientKind::Group {
                groups.entry(claim.address.text.to_lowercase()).or_insert(false);
            }
            for hop in &claim.path {
                if hop.how == How::Expanded {
                    groups.insert(hop.address.to_lowercase(), true);
                    told.insert(hop.address.to_lowercase());
                }
                if evidence.kind == Kind::Report {
                    names.insert(hop.address.to_lowercase());
                }
            }
            if evidence.kind == Kind::Report {
                names.insert(claim.address.text.to_lowercase());
            }
        }
        for claim in &evidence.groups {
            groups.insert(claim.address.to_lowercase(), true);
            let list = claim.address.to_lowercase();
            if evidence.recipients.iter().any(|claim| claim.address.text.to_lowercase() != list) {
                told.insert(list);
            }
        }
    }
    let mut recipients: Recipients = BTreeMap::new();
    for piece in &pieces {
        for claim in &piece.evidence.recipients {
            let address = claim.address.text.to_lowercase();
            let is_journal = !is_envelope(piece) && claim.role == Role::Recipient && journals.contains(&address);
            if groups.get(&address) == Some(&true) || is_journal {
                continue;
            }
            let (roles, paths) = recipients.entry(address).or_default();
            if claim.role != Role::Recipient && (is_envelope(piece) || !has_envelope) {
                roles.insert(claim.role);
            }
            if !claim.path.is_empty() {
                paths.insert(claim.path.iter().map(|hop| (hop.how, hop.address.to_lowercase())).collect());
            }
        }
    }
    for (_, paths) in recipients.values_mut() {
        let all = paths.clone();
        paths.retain(|path| {
            !all.iter().any(|other| other != path && (other.starts_with(path) || other.ends_with(path)))
        });
    }
    let promising: Vec<&Piece> = pieces.iter().filter(|piece| !piece.evidence.journaled_to.is_empty()).collect();
    let promised = promising
        .iter()
        .flat_map(|piece| &piece.evidence.recipients)
        .filter(|claim| claim.what != RecipientKind::Group && !groups.contains_key(&claim.address.text.to_lowercase()));
    let unresolved: BTreeSet<String> = groups.keys().filter(|list| !told.contains(*list)).cloned().collect();
    let missing = pieces.iter().all(|piece| piece.evidence.originals.is_empty())
        || !unresolved.is_empty()
        || promising.iter().any(|promise| !pieces.iter().any(|piece| keeps(piece, promise)))
        || promised.clone().any(|claim| !names.contains(&claim.address.text.to_lowercase()));
    let because = match (missing, promising.is_empty()) {
        (true, _) => ClosedBecause::Patience,
        (false, true) => ClosedBecause::Quiet,
        (false, false) => ClosedBecause::Evidence,
    };
    let at = || pieces.iter().map(|piece| piece.seen.at.0);
    Record {
        evidence: pieces.iter().map(|piece| piece.evidence.id.to_string()).collect(),
        recipients,
        groups: groups.into_iter().collect(),
        unresolved,
        journals,
        because,
        reused: reused && id.contains('#') && !id.contains("#~"),
        ambiguous: id.contains("#~"),
        originals: pieces
            .iter()
            .flat_map(|piece| &piece.evidence.originals)
            .map(|original| original.sha256.to_string())
            .collect(),
        span: (at().min().unwrap(), at().max().unwrap()),
    }
}
