//! What all evidence of one mail adds up to. A pure function of the set of pieces: they are taken in the order of their
//! ids, so nothing depends on the order in which they came. Where claims conflict, all are kept, or the one of the
//! lowest id counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::{
    arrival::{Input, Position},
    correlate::{
        Piece, Seen, TopicNames,
        completion::{self, indexes},
        effect::{ClosedNotice, WantedOriginal},
        entry::Entry,
        identity::{RecordRef, Tag},
    },
    evidence::{
        DeliveryClaim, Evidence, Flag, Form, Hop, How, Kind, Notice, Original, Place, PlaceKind, RecipientClaim,
        RecipientKind, Role,
    },
    mail::{Address, AddressKind, Digest, address::compare_key},
    record::{
        ClosedBecause, Delivery, EvidenceEntry, Group, Journal, JournalRecord, OriginalRole, Recipient,
        RecordedOriginal, Status,
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

    pub fn of(entries: &[Entry]) -> Groups {
        let mut groups = Groups::default();
        for (index, entry) in entries.iter().enumerate() {
            for claim in entry.recipients() {
                groups.take_claim(claim, entry, index);
            }
            let named = if entry.groups().next().is_some() { two_recipients(entry) } else { Vec::new() };
            for claim in entry.groups() {
                // The list itself among the recipients tells nothing of its members.
                let list = compare_key(&claim.address);
                let names_another = named.iter().any(|name| *name != list);
                let members_told = claim.expanded && (claim.members == Some(0) || names_another);
                let facts = groups.met(&claim.address, index);
                facts.members = facts.members.max(claim.members);
                if members_told {
                    facts.members_told_by.insert(index);
                }
                if claim.expanded {
                    facts.expanded_by(entry);
                }
            }
        }
        groups
    }

    fn take_claim(&mut self, claim: &RecipientClaim, entry: &Entry, index: usize) {
        if claim.what == RecipientKind::Group {
            self.met(&claim.address.text, index);
        }
        for hop in claim.path.iter().filter(|hop| hop.how == How::Expanded) {
            let facts = self.met(&hop.address, index);
            facts.members_told_by.insert(index);
            facts.expanded_by(entry);
        }
    }
}

/// Of those that an entry names, two: enough to know whether it names another than a given one.
fn two_recipients(entry: &Entry) -> Vec<String> {
    let mut named: Vec<String> = Vec::new();
    for name in entry.recipients().map(|claim| claim.address.compare_key()) {
        if !named.contains(&name) {
            named.push(name);
        }
        if named.len() == 2 {
            break;
        }
    }
    named
}

impl GroupFacts {
    fn expanded_by(&mut self, entry: &Entry) {
        self.expanded = true;
        if let Some(server) = entry.server() {
            self.by.insert(server.to_owned());
        }
    }
}

/// Who is named by which report: as a recipient, or as a hop of one.
pub struct Names(HashMap<String, BTreeSet<usize>>);

impl Names {
    pub fn of_reports(entries: &[Entry]) -> Names {
        let mut names: HashMap<String, BTreeSet<usize>> = HashMap::new();
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind() == Kind::Report) {
            for claim in entry.recipients() {
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

/// A merged record, its closing time and revision left to the caller.
pub struct Merge {
    pub record: JournalRecord,
    pub wanted: Vec<WantedOriginal>,
    /// Those that tell of a failed or late delivery and were not told yet.
    pub notices: Vec<ClosedNotice>,
}

/// The record that the entries add up to, and where the bytes of its originals lie.
pub fn merge(id: &RecordRef, entries: &[Entry], reused: bool, names: &TopicNames) -> Merge {
    let groups = Groups::of(entries);
    let judgement = completion::judge(entries, &groups);
    let has_envelope = entries.iter().any(Entry::tells_envelope);
    let journals: BTreeSet<&String> = entries.iter().flat_map(Entry::journals).collect();
    let recipients = recipients(entries, &groups, &journals, has_envelope);
    let originals = Originals::of(entries);
    let senders = senders(entries, has_envelope);
    let mut record = empty_record(id);
    record.status = judgement.status;
    record.closed_because = judgement.because;
    record.certificate = judgement.certificate;
    record.message_id = first(entries, |evidence| evidence.message_id.clone());
    let tellings = entries.iter().flat_map(Entry::tellings);
    let network_ids = tellings.filter_map(|piece| piece.evidence.network_message_id.clone());
    record.network_message_ids = network_ids.collect::<BTreeSet<_>>().into_iter().collect();
    record.sender = senders.first().cloned();
    record.on_behalf_of = first(entries, |evidence| evidence.on_behalf_of.clone());
    (record.from, record.subject) = originals.told(entries);
    record.flags = flags(id, entries, reused, has_envelope, senders.len() > 1, &recipients, &originals);
    record.recipients = recipients;
    record.unresolved = unresolved(&groups);
    record.groups = groups.0.into_values().map(group).collect();
    record.journals = journals.into_iter().map(|address| journal(address)).collect();
    record.evidence = entries.iter().map(|entry| recorded(entry.first, names)).collect();
    record.first_evidence_at = record.evidence.iter().map(|entry| entry.at).min().unwrap_or_default();
    record.last_evidence_at = record.evidence.iter().map(|entry| entry.at).max().unwrap_or_default();
    for (name, value) in entries.iter().flat_map(Entry::tellings).flat_map(|piece| &piece.evidence.tags) {
        record.tags.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let wanted = originals.wanted();
    record.originals = originals.recorded();
    let notices = untold_notices(entries, &record.originals);
    Merge { record, wanted, notices }
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

fn first<T>(entries: &[Entry], tell: impl Fn(&Evidence) -> Option<T>) -> Option<T> {
    entries.iter().find_map(|entry| entry.first_told(&tell))
}

/// The senders told, each once; envelopes outweigh the headers of plain copies.
fn senders(entries: &[Entry], has_envelope: bool) -> Vec<String> {
    let mut seen = HashSet::new();
    let telling = entries.iter().filter(|entry| entry.tells_envelope() == has_envelope).flat_map(Entry::tellings);
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

fn recorded(piece: &Piece, names: &TopicNames) -> EvidenceEntry {
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
    /// The last one told; of one time the more final; of equals the lowest id's.
    delivery: Option<(DeliveryClaim, Digest)>,
    evidence: BTreeSet<usize>,
}

fn recipients(entries: &[Entry], groups: &Groups, journals: &BTreeSet<&String>, has_envelope: bool) -> Vec<Recipient> {
    let journals: HashSet<String> = journals.iter().map(|journal| compare_key(journal)).collect();
    let mut merged: BTreeMap<(AddressKind, String), MergedRecipient> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let tells_envelope = entry.tells_envelope();
        let tells_role = tells_envelope || !has_envelope;
        for claim in entry.recipients() {
            let key = claim.address.compare_key();
            if groups.get(&key).is_some_and(|group| group.expanded) {
                continue;
            }
            // A copy is delivered to the journal too, but the journal is not who the mail was for.
            if !tells_envelope && claim.role == Role::Recipient && journals.contains(&key) {
                continue;
            }
            merged.entry((claim.address.kind, key)).or_default().take(claim, (index, entry), tells_role);
        }
    }
    merged.into_values().map(MergedRecipient::finish).collect()
}

impl MergedRecipient {
    fn take(&mut self, claim: &RecipientClaim, (index, entry): (usize, &Entry), tells_role: bool) {
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
        if let Some(claimed) = claim.delivery {
            let rank = |claimed: DeliveryClaim| (claimed.at, claimed.what.finality());
            if self.delivery.is_none_or(|(known, _)| rank(claimed) > rank(known)) {
                self.delivery = Some((claimed, entry.first.evidence.id));
            }
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
            delivery: self.delivery.map(|(claim, id)| Delivery {
                what: claim.what,
                at: claim.at,
                notice: id.to_string(),
            }),
            evidence: indexes(&self.evidence),
        }
    }
}

/// Leaves out each path that is only the beginning or the end of a longer one. In their order, what begins with a path
/// stands right behind it; so it is with the ends where they are ordered backwards.
fn whole_paths(paths: BTreeMap<Vec<(How, String)>, Vec<Hop>>) -> Vec<Vec<Hop>> {
    let keys: Vec<&[(How, String)]> = paths.keys().map(Vec::as_slice).collect();
    let mut whole: Vec<bool> = vec![true; keys.len()];
    for (index, pair) in keys.windows(2).enumerate() {
        whole[index] = !pair[1].starts_with(pair[0]);
    }
    let mut backwards: Vec<usize> = (0..keys.len()).collect();
    backwards.sort_by(|&one, &other| keys[one].iter().rev().cmp(keys[other].iter().rev()));
    for pair in backwards.windows(2) {
        whole[pair[0]] &= !keys[pair[1]].ends_with(keys[pair[0]]);
    }
    paths.into_values().zip(whole).filter(|(_, whole)| *whole).map(|(path, _)| path).collect()
}

/// The distinct originals, the primary one first.
struct Originals<'a>(Vec<MergedOriginal<'a>>);

struct MergedOriginal<'a> {
    role: OriginalRole,
    /// Where the bytes are: the lowest position that has them.
    at: (&'a Seen, &'a Place),
    /// What is known of it: from the best that has it, so that what only names it does not hide what its bytes say.
    told: &'a Original,
}

/// Decrypted only if nobody sent the same bytes as the original itself; reports before events before copies; then the
/// smallest hash: an order of the data, not of arrival.
type Rank = (bool, bool, bool, Kind);

impl<'a> Originals<'a> {
    fn of(entries: &[Entry<'a>]) -> Originals<'a> {
        let mut merged: BTreeMap<Digest, (Rank, MergedOriginal)> = BTreeMap::new();
        for entry in entries {
            for (seen, original) in entry.originals() {
                let elsewhere = original.place.how == PlaceKind::Elsewhere;
                let rank = (original.decrypted, elsewhere, original.guard.is_none(), entry.kind());
                let at = (seen, &original.place);
                let this = || (rank, MergedOriginal { role: OriginalRole::Variant, at, told: original });
                let (best, known) = merged.entry(original.sha256).or_insert_with(this);
                let better_place = (elsewhere, &at) < (known.at.1.how == PlaceKind::Elsewhere, &known.at);
                if better_place {
                    known.at = at;
                }
                if rank < *best {
                    (*best, known.told) = (rank, original);
                }
            }
        }
        let mut ranked: Vec<(Rank, MergedOriginal)> = merged.into_values().collect();
        ranked.sort_by_key(|(rank, original)| (*rank, original.told.sha256));
        let role = |index: usize, decrypted: bool| match (decrypted, index) {
            (true, _) => OriginalRole::Decrypted,
            (false, 0) => OriginalRole::Primary,
            (false, _) => OriginalRole::Variant,
        };
        let with_role = |(index, ((decrypted, ..), original)): (usize, (Rank, MergedOriginal<'a>))| MergedOriginal {
            role: role(index, decrypted),
            ..original
        };
        Originals(ranked.into_iter().enumerate().map(with_role).collect())
    }

    /// The original's own From and Subject; without one, the Subject that the envelope tells.
    fn told(&self, entries: &[Entry]) -> (Vec<String>, Option<String>) {
        let told = self.0.first().map(|original| original.told);
        let from = told.map(|original| original.from.clone()).unwrap_or_default();
        let subject = told.and_then(|original| original.subject.clone());
        (from, subject.or_else(|| first(entries, |evidence| evidence.subject.clone())))
    }

    fn wanted(&self) -> Vec<WantedOriginal> {
        let here = self.0.iter().enumerate().filter(|(_, original)| original.at.1.how != PlaceKind::Elsewhere);
        let wanted = here.map(|(index, original)| WantedOriginal {
            index,
            position: original.at.0.position,
            place: original.at.1.clone(),
            sha256: original.told.sha256,
            size: original.told.size,
            read_size: original.at.0.size.max(original.told.size),
            as_it_is: original.role == OriginalRole::Primary && original.told.guard.is_some(),
        });
        wanted.collect()
    }

    fn recorded(self) -> Vec<RecordedOriginal> {
        let record = |original: MergedOriginal| RecordedOriginal {
            sha256: original.told.sha256,
            size: original.told.size,
            role: original.role,
            content: None,
            reference: original.at.1.uri.clone(),
        };
        self.0.into_iter().map(record).collect()
    }
}

fn flags(
    id: &RecordRef,
    entries: &[Entry],
    reused: bool,
    has_envelope: bool,
    senders_conflict: bool,
    recipients: &[Recipient],
    originals: &Originals,
) -> Vec<Flag> {
    let mut flags: BTreeSet<Flag> = entries.iter().flat_map(Entry::flags).collect();
    let decrypted = |original: &MergedOriginal| original.role == OriginalRole::Decrypted;
    let found = [
        (Flag::Ambiguous, matches!(id.tag, Tag::Ambiguous(_))),
        (Flag::MessageIdReused, reused),
        (Flag::MessageIdMissing, id.key.is_stand_in()),
        (Flag::OriginalMissing, originals.0.iter().all(decrypted)),
        (Flag::DecryptedCopy, originals.0.iter().any(decrypted)),
        (Flag::OriginalByReference, originals.0.iter().any(|original| original.at.1.how == PlaceKind::Elsewhere)),
        (Flag::EnvelopeMissing, !has_envelope),
        (Flag::Truncated, entries.iter().flat_map(Entry::tellings).any(Piece::lacks_journals)),
        (Flag::SenderConflict, senders_conflict),
        (Flag::RoleConflict, recipients.iter().any(|recipient| !recipient.claimed_roles.is_empty())),
    ];
    flags.extend(found.into_iter().filter(|(_, found)| *found).map(|(flag, _)| flag));
    flags.into_iter().collect()
}

/// The notices that tell of a failed or late delivery and were not told yet, in the order of their ids. Copies of one
/// notice say the same: it is told once, as that of the lowest id.
fn untold_notices(entries: &[Entry], originals: &[RecordedOriginal]) -> Vec<ClosedNotice> {
    let telling = || {
        entries.iter().flat_map(|entry| entry.tellings().map(move |piece| (entry.first, piece))).filter_map(
            |(first, piece)| {
                let Evidence { notice, form, originals, .. } = &*piece.evidence;
                let notice = notice.as_ref().filter(|notice| tells_non_delivery(notice, *form))?;
                Some((first, notice, originals.first()?.sha256, piece.non_delivery_told == Some(true)))
            },
        )
    };
    let mut known: HashSet<&Notice> = telling().filter(|(.., told)| *told).map(|(_, notice, ..)| notice).collect();
    let untold = telling().filter(|(_, notice, ..)| known.insert(notice));
    let closed = untold.map(|(first, notice, own, _)| ClosedNotice {
        position: first.seen.position,
        id: first.evidence.id,
        at: first.seen.at.0,
        notice: notice.clone(),
        original: originals.iter().position(|original| original.sha256 == own),
    });
    closed.collect()
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
