//! What all evidence of one mail adds up to. A pure function of the set of pieces: they are taken in the order of their
//! ids, so nothing depends on the order in which they came. Where claims conflict, all are kept, or the one of the
//! lowest id counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    arrival::{Input, Position},
    correlate::{
        Piece, TopicNames,
        completion::{self, indexes},
        effect::{ClosedNotice, WantedOriginal},
        identity::{RecordRef, Tag},
    },
    evidence::{Flag, Form, Hop, How, Kind, Notice, Place, PlaceKind, RecipientClaim, RecipientKind, Role},
    mail::{Address, AddressKind, Digest, address::compare_key},
    record::{
        ClosedBecause, EvidenceEntry, Group, Journal, JournalRecord, OriginalRole, Recipient, RecordedOriginal, Status,
    },
};

/// A list that the evidence met.
#[derive(Clone, Debug, Default)]
pub struct GroupFacts {
    pub address: String,
    pub expanded: bool,
    /// Servers that say they expanded it.
    pub by: BTreeSet<String>,
    pub members: Option<i64>,
    /// Indexes of the pieces that tell it is a list.
    pub told_by: BTreeSet<usize>,
    /// Indexes of the pieces that tell who its members are.
    pub members_told_by: BTreeSet<usize>,
}

/// The lists met, by compare key.
#[derive(Debug, Default)]
pub struct Groups(BTreeMap<String, GroupFacts>);

impl Groups {
    pub fn get(&self, key: &str) -> Option<&GroupFacts> {
        self.0.get(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &GroupFacts)> {
        self.0.iter()
    }

    fn met(&mut self, address: &str, index: usize) -> &mut GroupFacts {
        let facts = self.0.entry(compare_key(address)).or_default();
        if facts.address.is_empty() {
            facts.address = address.to_owned();
        }
        facts.told_by.insert(index);
        facts
    }

    pub fn of(pieces: &[&Piece]) -> Groups {
        let mut groups = Groups::default();
        for (index, piece) in pieces.iter().enumerate() {
            for claim in &piece.evidence.recipients {
                groups.take_claim(claim, piece, index);
            }
            for claim in &piece.evidence.groups {
                let members_told =
                    claim.expanded && (claim.members == Some(0) || !piece.evidence.recipients.is_empty());
                let facts = groups.met(&claim.address, index);
                facts.members = facts.members.max(claim.members);
                if members_told {
                    facts.members_told_by.insert(index);
                }
                if claim.expanded {
                    facts.expanded_by(piece);
                }
            }
        }
        groups
    }

    fn take_claim(&mut self, claim: &RecipientClaim, piece: &Piece, index: usize) {
        if claim.what == RecipientKind::Group {
            self.met(&claim.address.text, index);
        }
        for hop in claim.path.iter().filter(|hop| hop.how == How::Expanded) {
            let facts = self.met(&hop.address, index);
            facts.members_told_by.insert(index);
            facts.expanded_by(piece);
        }
    }
}

impl GroupFacts {
    fn expanded_by(&mut self, piece: &Piece) {
        self.expanded = true;
        if let Some(server) = piece.server() {
            self.by.insert(server.to_owned());
        }
    }
}

/// Who is named by which report: as a recipient, or as a hop of one.
pub struct Names(HashMap<String, BTreeSet<usize>>);

impl Names {
    pub fn of_reports(pieces: &[&Piece]) -> Names {
        let mut names: HashMap<String, BTreeSet<usize>> = HashMap::new();
        for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| piece.evidence.kind == Kind::Report) {
            for claim in &piece.evidence.recipients {
                names.entry(claim.address.compare_key()).or_default().insert(index);
                for hop in &claim.path {
                    names.entry(compare_key(&hop.address)).or_default().insert(index);
                }
            }
        }
        Names(names)
    }

    pub fn get(&self, name: &str) -> Option<&BTreeSet<usize>> {
        self.0.get(name)
    }
}

/// Whether the piece tells an envelope: an event, or a report whose text could be read.
fn tells_envelope(piece: &Piece) -> bool {
    match piece.evidence.kind {
        Kind::EnvelopeEvent => true,
        Kind::Report => !piece.evidence.flags.contains(&Flag::EnvelopeUnparsed),
        Kind::Notice | Kind::PlainCopy => false,
    }
}

/// The pieces in the order of `evidence[]`: by id, each event once however its copies differ.
pub fn in_order<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Vec<&'a Piece> {
    let mut pieces: Vec<&Piece> = pieces.collect();
    pieces.sort_unstable_by_key(|piece| piece.evidence.id);
    let mut events = HashSet::new();
    pieces.retain(|piece| piece.event_name().is_none_or(|name| events.insert(name)));
    pieces
}

/// A merged record, its closing time and revision left to the caller.
pub struct Merge {
    pub record: JournalRecord,
    pub wanted: Vec<WantedOriginal>,
    pub notice: Option<ClosedNotice>,
}

/// The record that the pieces add up to, and where the bytes of its originals lie.
pub fn merge(id: &RecordRef, pieces: &[&Piece], reused: bool, names: &TopicNames) -> Merge {
    let groups = Groups::of(pieces);
    let judgement = completion::judge(pieces, &groups);
    let has_envelope = pieces.iter().any(|piece| tells_envelope(piece));
    let journals: BTreeSet<&String> = pieces.iter().flat_map(|piece| &piece.journals).collect();
    let recipients = recipients(pieces, &groups, &journals, has_envelope);
    let originals = Originals::of(pieces);
    let senders = senders(pieces, has_envelope);
    let mut record = empty_record(id);
    record.status = judgement.status;
    record.closed_because = judgement.because;
    record.certificate = judgement.certificate;
    record.message_id = first(pieces, |piece| piece.evidence.message_id.clone());
    let network_ids = pieces.iter().filter_map(|piece| piece.evidence.network_message_id.clone());
    record.network_message_ids = network_ids.collect::<BTreeSet<_>>().into_iter().collect();
    record.sender = senders.first().cloned();
    record.on_behalf_of = first(pieces, |piece| piece.evidence.on_behalf_of.clone());
    (record.from, record.subject) = originals.told(pieces);
    record.flags = flags(id, pieces, reused, has_envelope, senders.len() > 1, &recipients, &originals);
    record.recipients = recipients;
    record.unresolved = unresolved(&groups);
    record.groups = groups.0.into_values().map(group).collect();
    record.journals = journals.into_iter().map(|address| journal(address)).collect();
    record.evidence = pieces.iter().map(|piece| entry(piece, names)).collect();
    record.first_evidence_at = pieces.iter().map(|piece| piece.seen.at.0).min().unwrap_or_default();
    record.last_evidence_at = pieces.iter().map(|piece| piece.seen.at.0).max().unwrap_or_default();
    let wanted = originals.wanted();
    record.originals = originals.recorded();
    let notice = closed_notice(pieces, &record.originals);
    Merge { record, wanted, notice }
}

/// A record of nothing: what is left where all evidence has moved away.
pub fn empty_record(id: &RecordRef) -> JournalRecord {
    JournalRecord {
        record_id: id.to_string(),
        revision: 0,
        status: Status::Superseded,
        closed_because: ClosedBecause::Evidence,
        superseded_by: Vec::new(),
        key: id.key.to_string(),
        message_id: None,
        network_message_ids: Vec::new(),
        sender: None,
        on_behalf_of: None,
        from: Vec::new(),
        subject: None,
        recipients: Vec::new(),
        groups: Vec::new(),
        unresolved: Vec::new(),
        originals: Vec::new(),
        journals: Vec::new(),
        flags: Vec::new(),
        evidence: Vec::new(),
        certificate: crate::record::Certificate { expected: Vec::new(), reason: String::new() },
        first_evidence_at: 0,
        last_evidence_at: 0,
        closed_at: 0,
        tags: BTreeMap::new(),
    }
}

fn first<T>(pieces: &[&Piece], tell: impl Fn(&Piece) -> Option<T>) -> Option<T> {
    pieces.iter().find_map(|piece| tell(piece))
}

/// The senders told, each once; envelopes outweigh the headers of plain copies.
fn senders(pieces: &[&Piece], has_envelope: bool) -> Vec<String> {
    let mut seen = HashSet::new();
    let telling = pieces.iter().filter(|piece| tells_envelope(piece) == has_envelope);
    let told = telling.filter_map(|piece| piece.evidence.sender.clone());
    told.filter(|sender| seen.insert(compare_key(sender))).collect()
}

fn group(facts: GroupFacts) -> Group {
    let GroupFacts { address, expanded, by, members, .. } = facts;
    Group { address, expanded, by: by.into_iter().collect(), members }
}

fn unresolved(groups: &Groups) -> Vec<String> {
    let unresolved = groups.iter().filter(|(_, facts)| facts.members_told_by.is_empty());
    unresolved.map(|(_, facts)| facts.address.clone()).collect()
}

fn journal(address: &str) -> Journal {
    Journal { address: address.to_owned(), rule: None, format: None, ndr_to: None }
}

fn entry(piece: &Piece, names: &TopicNames) -> EvidenceEntry {
    let Position { input, partition, offset } = piece.seen.position;
    EvidenceEntry {
        kind: piece.evidence.kind,
        topic: names.of(input).to_owned(),
        partition,
        offset,
        report_id: piece.evidence.report_id.clone(),
        server: piece.server().map(str::to_owned),
        at: piece.seen.at.0,
        sha256: piece.evidence.id,
    }
}

impl TopicNames {
    pub fn of(&self, input: Input) -> &str {
        match input {
            Input::Reports => &self.reports,
            Input::Envelopes => &self.envelopes,
            Input::Strays => &self.strays,
        }
    }

    /// Where an arrival lies, as `originals[].reference` says it (contract §4.6).
    pub fn reference(&self, position: Position) -> String {
        format!("kafka:{}/{}/{}", self.of(position.input), position.partition, position.offset)
    }
}

#[derive(Default)]
struct MergedRecipient {
    address: Option<Address>,
    display_name: Option<String>,
    roles: BTreeSet<Role>,
    /// By compare key, as first spelled.
    paths: BTreeMap<Vec<(How, String)>, Vec<Hop>>,
    evidence: BTreeSet<usize>,
}

fn recipients(pieces: &[&Piece], groups: &Groups, journals: &BTreeSet<&String>, has_envelope: bool) -> Vec<Recipient> {
    let journals: HashSet<String> = journals.iter().map(|journal| compare_key(journal)).collect();
    let mut merged: BTreeMap<(AddressKind, String), MergedRecipient> = BTreeMap::new();
    for (index, piece) in pieces.iter().enumerate() {
        let tells_envelope = tells_envelope(piece);
        let tells_role = tells_envelope || !has_envelope;
        for claim in &piece.evidence.recipients {
            let key = claim.address.compare_key();
            if groups.get(&key).is_some_and(|group| group.expanded) {
                continue;
            }
            // A copy is delivered to the journal too, but the journal is not who the mail was for.
            if !tells_envelope && claim.role == Role::Recipient && journals.contains(&key) {
                continue;
            }
            merged.entry((claim.address.kind, key)).or_default().take(claim, index, tells_role);
        }
    }
    merged.into_values().map(MergedRecipient::finish).collect()
}

impl MergedRecipient {
    fn take(&mut self, claim: &RecipientClaim, index: usize, tells_role: bool) {
        self.address.get_or_insert_with(|| claim.address.clone());
        if self.display_name.is_none() {
            self.display_name.clone_from(&claim.display_name);
        }
        if tells_role && claim.role != Role::Recipient {
            self.roles.insert(claim.role);
        }
        if !claim.path.is_empty() {
            let key = claim.path.iter().map(|hop| (hop.how, compare_key(&hop.address))).collect();
            self.paths.entry(key).or_insert_with(|| claim.path.clone());
        }
        self.evidence.insert(index);
    }

    fn finish(self) -> Recipient {
        let address = self.address.expect("a merged recipient has at least one claim");
        let claimed_roles = if self.roles.len() > 1 { self.roles.iter().copied().collect() } else { Vec::new() };
        Recipient {
            address: address.text,
            kind: address.kind,
            display_name: self.display_name,
            role: self.roles.first().copied().unwrap_or(Role::Recipient),
            claimed_roles,
            paths: whole_paths(self.paths),
            delivery: None,
            evidence: indexes(&self.evidence),
        }
    }
}

/// Leaves out each path that is only the beginning or the end of a longer one.
fn whole_paths(paths: BTreeMap<Vec<(How, String)>, Vec<Hop>>) -> Vec<Vec<Hop>> {
    let mut partial: HashSet<&[(How, String)]> = HashSet::new();
    if paths.len() > 1 {
        for path in paths.keys() {
            partial.extend((1..path.len()).flat_map(|cut| [&path[..cut], &path[cut..]]));
        }
    }
    let whole: Vec<bool> = paths.keys().map(|path| !partial.contains(path.as_slice())).collect();
    drop(partial);
    paths.into_values().zip(whole).filter(|(_, whole)| *whole).map(|(path, _)| path).collect()
}

/// The distinct originals, the primary one first.
struct Originals(Vec<MergedOriginal>);

struct MergedOriginal {
    sha256: Digest,
    size: i64,
    role: OriginalRole,
    /// Where the bytes are: the lowest position that has them.
    at: (Position, Place),
    /// Which piece and which of its originals tells From and Subject.
    told_by: (usize, usize),
}

impl Originals {
    fn of(pieces: &[&Piece]) -> Originals {
        // Decrypted only if nobody sent the same bytes as the original itself; reports before events before copies;
        // then the smallest hash: an order of the data, not of arrival.
        type Rank = (bool, bool, bool, Kind);
        let mut merged: BTreeMap<Digest, (Rank, MergedOriginal)> = BTreeMap::new();
        for (index, piece) in pieces.iter().enumerate() {
            for (number, original) in piece.evidence.originals.iter().enumerate() {
                let elsewhere = original.place.how == PlaceKind::Elsewhere;
                let rank = (original.decrypted, elsewhere, original.guard.is_none(), piece.evidence.kind);
                let at = (piece.seen.position, original.place.clone());
                let this = || MergedOriginal {
                    sha256: original.sha256,
                    size: original.size,
                    role: OriginalRole::Variant,
                    at: at.clone(),
                    told_by: (index, number),
                };
                let (best, known) = merged.entry(original.sha256).or_insert_with(|| (rank, this()));
                let better_place = (elsewhere, &at) < (known.at.1.how == PlaceKind::Elsewhere, &known.at);
                if better_place {
                    known.at = at;
                }
                *best = rank.min(*best);
            }
        }
        let mut ranked: Vec<(Rank, MergedOriginal)> = merged.into_values().collect();
        ranked.sort_by_key(|(rank, original)| (*rank, original.sha256));
        let role = |index: usize, decrypted: bool| match (decrypted, index) {
            (true, _) => OriginalRole::Decrypted,
            (false, 0) => OriginalRole::Primary,
            (false, _) => OriginalRole::Variant,
        };
        let with_role = |(index, ((decrypted, ..), original)): (usize, (Rank, MergedOriginal))| MergedOriginal {
            role: role(index, decrypted),
            ..original
        };
        Originals(ranked.into_iter().enumerate().map(with_role).collect())
    }

    /// The original's own From and Subject; without one, the Subject that the envelope tells.
    fn told(&self, pieces: &[&Piece]) -> (Vec<String>, Option<String>) {
        let told = self.0.first().map(|original| {
            let (piece, number) = original.told_by;
            &pieces[piece].evidence.originals[number]
        });
        let from = told.map(|original| original.from.clone()).unwrap_or_default();
        let subject = told.and_then(|original| original.subject.clone());
        (from, subject.or_else(|| first(pieces, |piece| piece.evidence.subject.clone())))
    }

    fn wanted(&self) -> Vec<WantedOriginal> {
        let here = self.0.iter().enumerate().filter(|(_, original)| original.at.1.how != PlaceKind::Elsewhere);
        let wanted = here.map(|(index, original)| WantedOriginal {
            index,
            position: original.at.0,
            place: original.at.1.clone(),
            sha256: original.sha256,
            size: original.size,
        });
        wanted.collect()
    }

    fn recorded(self) -> Vec<RecordedOriginal> {
        let record = |original: MergedOriginal| RecordedOriginal {
            sha256: original.sha256,
            size: original.size,
            role: original.role,
            content: None,
            reference: original.at.1.uri,
        };
        self.0.into_iter().map(record).collect()
    }
}

fn flags(
    id: &RecordRef,
    pieces: &[&Piece],
    reused: bool,
    has_envelope: bool,
    senders_conflict: bool,
    recipients: &[Recipient],
    originals: &Originals,
) -> Vec<Flag> {
    let mut flags: BTreeSet<Flag> = pieces.iter().flat_map(|piece| piece.evidence.flags.iter().copied()).collect();
    let decrypted = |original: &MergedOriginal| original.role == OriginalRole::Decrypted;
    let found = [
        (Flag::Ambiguous, matches!(id.tag, Tag::Ambiguous(_))),
        (Flag::MessageIdReused, reused),
        (Flag::MessageIdMissing, id.key.is_stand_in()),
        (Flag::OriginalMissing, originals.0.iter().all(decrypted)),
        (Flag::DecryptedCopy, originals.0.iter().any(decrypted)),
        (Flag::OriginalByReference, originals.0.iter().any(|original| original.at.1.how == PlaceKind::Elsewhere)),
        (Flag::EnvelopeMissing, !has_envelope),
        (Flag::SenderConflict, senders_conflict),
        (Flag::RoleConflict, recipients.iter().any(|recipient| !recipient.claimed_roles.is_empty())),
    ];
    flags.extend(found.into_iter().filter(|(_, found)| *found).map(|(flag, _)| flag));
    flags.into_iter().collect()
}

/// The notice of the lowest id that tells of a failed or late delivery: copies of one notice say the same.
fn closed_notice(pieces: &[&Piece], originals: &[RecordedOriginal]) -> Option<ClosedNotice> {
    pieces.iter().find_map(|piece| {
        let notice = piece.evidence.notice.as_ref().filter(|notice| tells_non_delivery(notice, piece.evidence.form))?;
        let own = piece.evidence.originals.first()?.sha256;
        Some(ClosedNotice {
            position: piece.seen.position,
            id: piece.evidence.id,
            at: piece.seen.at.0,
            notice: notice.clone(),
            original: originals.iter().position(|original| original.sha256 == own),
        })
    })
}

/// A bounce that names no recipient status still says that something was not delivered.
fn tells_non_delivery(notice: &Notice, form: Form) -> bool {
    let undelivered = |action: &String| action == "failed" || action == "delayed";
    match notice.statuses.is_empty() {
        // Drafts of version 1 tell it by the form alone.
        true => notice.is_bounce || matches!(form, Form::DeliveryStatus | Form::UndeliverableReport),
        false => notice.statuses.iter().filter_map(|status| status.action.as_ref()).any(undelivered),
    }
}
