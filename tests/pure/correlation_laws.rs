//! Laws of correlation over generated evidence, and the naive model that the correlator must agree with.

use std::collections::{BTreeMap, BTreeSet};

use mailjournal::{
    arrival::Timestamp,
    avro,
    correlate::{
        Budget, Complete, Correlator, DraftKey, Effect, Merged, Piece, Rules, StoredDraft, Timing, TopicNames,
    },
    evidence::{DeliveryClaim, DeliveryKind, How, Kind, RecipientKind, Role},
    mail::{Digest, Guard},
    record::{ArchiveFormat, ClosedBecause, Flag, JournalRecord, Status, ValueBytesMax},
};
use proptest::{prelude::*, sample::select};

use crate::support::pieces::{KEY, evidence, group, original, recipient, seen};

pub const UNBOUNDED: Budget = Budget { records: usize::MAX, bytes: i64::MAX };
pub const WALL: Timestamp = Timestamp(i64::MAX);

pub fn rules() -> Rules {
    let topic_names = TopicNames {
        reports: "journal.reports".into(),
        envelopes: "journal.envelopes".into(),
        strays: "journal.strays".into(),
    };
    Rules {
        timing: Timing::default(),
        topic_names,
        value_bytes_max: ValueBytesMax::default(),
        archive_format: ArchiveFormat::Record,
    }
}

/// A correlator with its changelog, so that it can be killed and restored.
pub struct Subject {
    pub correlator: Correlator,
    pub changelog: BTreeMap<DraftKey, StoredDraft>,
    /// As the changelog carries them, since the beginning.
    pub changelog_bytes: usize,
    pub published: Vec<JournalRecord>,
    pub completes: Vec<Complete>,
    rules: Rules,
    /// What one turn may publish.
    budget: Budget,
}

impl Subject {
    pub fn new() -> Subject {
        Subject::with(rules(), UNBOUNDED)
    }

    pub fn with(rules: Rules, budget: Budget) -> Subject {
        Subject {
            correlator: Correlator::new(rules.clone()),
            changelog: BTreeMap::new(),
            changelog_bytes: 0,
            published: Vec::new(),
            completes: Vec::new(),
            rules,
            budget,
        }
    }

    pub fn take(&mut self, piece: &Piece) -> Merged {
        self.correlator.handle_evidence(piece.clone(), WALL)
    }

    pub fn drain(&mut self) {
        self.correlator.handle_turn_end();
        while let Some(effect) = self.correlator.poll_effect() {
            match effect {
                Effect::Publish(complete) => {
                    self.published.push(complete.record.clone());
                    self.completes.push(*complete);
                }
                Effect::Remember(stored) => {
                    self.changelog_bytes += avro::encode(avro::Schema::Draft, &stored).len();
                    self.changelog.insert(stored.draft_key(), *stored);
                }
                Effect::Forget(key) => assert!(self.changelog.remove(&key).is_some(), "forgot what was not stored"),
            }
        }
    }

    /// As many turns at this time as the budget needs.
    pub fn time(&mut self, now: Timestamp) {
        loop {
            self.correlator.handle_time(now, &mut self.budget.clone());
            self.drain();
            if self.correlator.poll_deadline().is_none_or(|due| due > now) {
                return;
            }
        }
    }

    pub fn restart(&mut self) {
        self.drain();
        self.correlator = Correlator::new(self.rules.clone());
        for stored in self.changelog.values().rev() {
            self.correlator.restore(stored.clone()).unwrap();
        }
        self.correlator.restored().unwrap();
    }

    pub fn run_on(&mut self) {
        while let Some(due) = self.correlator.poll_deadline() {
            self.time(due);
        }
    }

    /// The last revision of each record that still stands, revision numbers and closing times aside.
    fn last(&self) -> BTreeMap<String, JournalRecord> {
        let mut last = BTreeMap::new();
        for record in &self.published {
            last.insert(record.record_id.clone(), record.clone());
        }
        last.retain(|_, record| record.status != Status::Superseded);
        for record in last.values_mut() {
            (record.revision, record.closed_at) = (0, 0);
            record.originals.iter_mut().for_each(|original| original.reference = None);
        }
        last
    }
}

/// What happens between two pieces.
#[derive(Clone, Copy, Debug)]
enum Between {
    Nothing,
    Settle,
    CloseAll,
    Restart,
}

/// The least that a turn may publish.
pub const SMALL: Budget = Budget { records: 1, bytes: 1 };

fn run(pieces: &[Piece], between: &[Between], budget: Budget) -> Subject {
    let mut subject = Subject::with(rules(), budget);
    for (index, piece) in pieces.iter().enumerate() {
        subject.correlator.handle_evidence(piece.clone(), WALL);
        match between.get(index).unwrap_or(&Between::Nothing) {
            Between::Nothing => {}
            Between::Settle => subject.time(piece.seen.at.plus(std::time::Duration::from_secs(6))),
            Between::CloseAll => subject.run_on(),
            Between::Restart => subject.restart(),
        }
    }
    subject.run_on();
    subject
}

fn addresses() -> impl Strategy<Value = &'static str> {
    select(vec!["a@x.example", "A@X.example", "b@x.example", "c@x.example", "list@x.example", "inner@x.example"])
}

fn claims() -> impl Strategy<Value = Vec<mailjournal::evidence::RecipientClaim>> {
    let hop = (select(vec![How::Expanded, How::Expanded, How::Forwarded]), addresses());
    let kind =
        select(vec![RecipientKind::Unknown, RecipientKind::Unknown, RecipientKind::Mailbox, RecipientKind::Group]);
    let role = select(vec![Role::To, Role::Cc, Role::Bcc, Role::Recipient]);
    let delivery = select(vec![
        None,
        None,
        Some(DeliveryClaim { what: DeliveryKind::Delivered, at: 1 }),
        Some(DeliveryClaim { what: DeliveryKind::Failed, at: 1 }),
        Some(DeliveryClaim { what: DeliveryKind::Delivered, at: 2 }),
    ]);
    let path = prop::collection::vec(hop, 0..3);
    let claim = (addresses(), role, path, kind, delivery).prop_map(|(address, role, path, what, delivery)| {
        let mut claim = recipient(address, role, &path);
        (claim.what, claim.delivery) = (what, delivery);
        claim
    });
    prop::collection::vec(claim, 0..4)
}

pub fn piece() -> impl Strategy<Value = Piece> {
    let kind = select(vec![Kind::Report, Kind::Report, Kind::EnvelopeEvent, Kind::PlainCopy]);
    let guard = select(vec![None, None, Some("p@x.example"), Some("q@x.example"), Some("r@x.example")]);
    let with_original = any::<bool>();
    let told = (select(vec![None, Some("s"), Some("t")]), select(vec![None, Some("p@x.example"), Some("q@x.example")]));
    let event = (select(vec![None, Some("e1"), Some("e2")]), any::<bool>(), any::<bool>());
    let seen_at = (0..2000i64, 0..40i64, select(vec![None, Some("journal@one.example"), Some("a@x.example")]));
    (0..60u8, kind, guard, with_original, select(vec!["u", "v"]), told, claims(), event, seen_at).prop_map(
        |(name, kind, guard, with_original, body, (subject, sender), claims, event, (second, offset, journal))| {
            // The bytes decide everything the evidence says: equal names must be equal evidence.
            let (event_id, promises, expanded) = event;
            let what =
                format!("{name} {kind:?} {guard:?} {with_original} {body} {subject:?} {sender:?} {event:?} {claims:?}");
            let mut evidence = evidence(kind, &what);
            evidence.subject = subject.map(str::to_owned);
            evidence.sender = sender.map(str::to_owned);
            evidence.recipients = claims;
            evidence.tags.extend(subject.map(|label| ("label".to_owned(), format!("{label} {name}"))));
            if with_original || guard.is_some() {
                evidence.originals.push(original(guard, body, &format!("{guard:?} {body} {}", name % 3)));
            }
            if kind == Kind::EnvelopeEvent {
                evidence.server = Some(if name % 2 == 0 { "ex1.example" } else { "EX1.example." }.into());
                evidence.report_id = event_id.map(str::to_owned);
                evidence.journaled_to = promises.then(|| "journal@one.example".to_owned()).into_iter().collect();
                evidence.groups = expanded.then(|| group("list@x.example", true, Some(2))).into_iter().collect();
            }
            if kind == Kind::Report && promises {
                evidence.server = Some("EX1.example.".into());
            }
            let mut piece = seen(evidence, second, offset);
            piece.journals = journal.map(str::to_owned).into_iter().collect();
            piece
        },
    )
}

/// The piece as another telling of one event, if it is an event: whatever it says, it says of the same.
fn retold(piece: &Piece) -> Piece {
    let mut piece = piece.clone();
    if piece.evidence.kind == Kind::EnvelopeEvent {
        let evidence = std::sync::Arc::make_mut(&mut piece.evidence);
        evidence.report_id = Some("e1".to_owned());
        evidence.id = Digest::of_joined(&[b"retold", &evidence.id.0]);
    }
    piece
}

/// Some pieces, some of them again at other positions, some events told again with other content, in some order, with
/// things happening between.
fn history() -> impl Strategy<Value = (Vec<Piece>, Vec<Piece>, Vec<Between>)> {
    let copies = prop::collection::vec((any::<prop::sample::Index>(), 0..2000i64, 0..40i64), 0..4);
    let retellings = prop::collection::vec(piece(), 0..4);
    (prop::collection::vec(piece(), 1..9), copies, retellings).prop_flat_map(|(mut pieces, copies, retellings)| {
        pieces.extend(retellings.iter().map(retold));
        for (index, second, offset) in copies {
            let piece = index.get(&pieces).clone();
            pieces.push(seen((*piece.evidence).clone(), second, offset));
        }
        let between = vec![Between::Nothing, Between::Nothing, Between::Settle, Between::CloseAll, Between::Restart];
        let between = prop::collection::vec(select(between), pieces.len());
        (Just(pieces.clone()), Just(pieces).prop_shuffle(), between)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_repetition_and_split_ends_in_the_same_records((pieces, shuffled, between) in history()) {
        let one = run(&pieces, &[], UNBOUNDED).last();
        let other = run(&shuffled, &between, SMALL).last();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn the_correlator_agrees_with_the_naive_model((pieces, shuffled, between) in history()) {
        let records = run(&shuffled, &between, SMALL).last();
        let model = model::records(&pieces);
        let seen: BTreeMap<String, model::Record> =
            records.iter().map(|(id, record)| (id.clone(), model::Record::of(record))).collect();
        prop_assert_eq!(model, seen);
    }

    #[test]
    fn no_published_record_lacks_a_recipient_that_its_evidence_names((pieces, shuffled, between) in history()) {
        for record in run(&shuffled, &between, SMALL).published {
            let named: BTreeSet<String> = record.recipients.iter().map(|recipient| recipient.address.to_lowercase())
                .chain(record.groups.iter().map(|group| group.address.to_lowercase()))
                .chain(record.journals.iter().map(|journal| journal.address.clone()))
                .collect();
            for entry in &record.evidence {
                let piece = pieces.iter().find(|piece| piece.evidence.id == entry.sha256).unwrap();
                for claim in &piece.evidence.recipients {
                    prop_assert!(named.contains(&claim.address.text.to_lowercase()), "{} lacks {}", record.record_id, claim.address.text);
                }
            }
        }
    }

    #[test]
    fn revisions_are_numbered_without_gap_and_each_says_something_new((_, shuffled, between) in history()) {
        let mut last: BTreeMap<String, JournalRecord> = BTreeMap::new();
        for record in run(&shuffled, &between, SMALL).published {
            let before = last.insert(record.record_id.clone(), record.clone());
            prop_assert_eq!(record.revision, before.as_ref().map_or(1, |before| before.revision + 1));
            if let Some(before) = before {
                let same = JournalRecord { revision: before.revision, closed_at: before.closed_at, originals: before.originals.clone(), ..record.clone() };
                let originals = |record: &JournalRecord| record.originals.iter().map(|original| original.sha256).collect::<Vec<_>>();
                prop_assert!(same != before || originals(&record) != originals(&before), "said twice: {}", record.record_id);
            }
        }
    }

    #[test]
    fn what_was_published_is_carried_once((_, shuffled, between) in history()) {
        let mut subject = Subject::new();
        let mut wanted = BTreeSet::new();
        for (index, piece) in shuffled.iter().enumerate() {
            subject.correlator.handle_evidence(piece.clone(), WALL);
            if let Some(Between::CloseAll) = between.get(index) {
                while let Some(due) = subject.correlator.poll_deadline() {
                    subject.correlator.handle_time(due, &mut UNBOUNDED.clone());
                    while let Some(effect) = subject.correlator.poll_effect() {
                        let Effect::Publish(complete) = effect else { continue };
                        for original in &complete.wanted {
                            let first = wanted.insert((complete.record.record_id.clone(), original.sha256));
                            prop_assert!(first, "the bytes of {:?} were wanted twice", original.sha256);
                        }
                    }
                }
            }
        }
    }
}

/// As short and dumb as possible: every question is answered by looking at everything.
mod model {
    use super::*;

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
                let path = |path: &Vec<mailjournal::evidence::Hop>| {
                    path.iter().map(|hop| (hop.how, hop.address.to_lowercase())).collect()
                };
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
    }

    fn guard(piece: &Piece) -> Option<Guard> {
        piece.evidence.originals.iter().find_map(|original| original.guard)
    }

    fn same_body(one: &Piece, other: &Piece) -> bool {
        let bodies = |piece: &Piece| {
            piece.evidence.originals.iter().map(|original| original.body_sha256).collect::<BTreeSet<_>>()
        };
        let bytes =
            |piece: &Piece| piece.evidence.originals.iter().map(|original| original.sha256).collect::<BTreeSet<_>>();
        !bodies(one).is_disjoint(&bodies(other)) || !bytes(one).is_disjoint(&bytes(other))
    }

    fn agrees(one: &Piece, other: &Piece) -> bool {
        let told = |piece: &Piece| {
            let mut told = BTreeSet::new();
            let evidence = &piece.evidence;
            let subjects = evidence
                .subject
                .iter()
                .chain(evidence.originals.iter().filter_map(|original| original.subject.as_ref()));
            for subject in subjects {
                let senders =
                    evidence.sender.iter().chain(evidence.originals.iter().flat_map(|original| &original.from));
                told.extend(senders.map(|sender| (subject.clone(), sender.clone())));
            }
            told
        };
        !told(one).is_disjoint(&told(other))
    }

    fn only<T: Ord>(set: BTreeSet<T>) -> Option<T> {
        (set.len() == 1).then(|| set.into_iter().next()).flatten()
    }

    fn record_id(piece: &Piece, all: &[Piece]) -> String {
        if let Some(guard) = guard(piece) {
            return format!("{KEY}#{guard}");
        }
        let guards_of = |holds: &dyn Fn(&Piece) -> bool| -> BTreeSet<Guard> {
            all.iter().filter(|other| holds(other)).filter_map(guard).collect()
        };
        let guards = guards_of(&|_| true);
        let found = match guards.len() {
            0 => return KEY.to_owned(),
            1 => only(guards),
            _ => only(guards_of(&|other| same_body(piece, other)))
                .or_else(|| only(guards_of(&|other| agrees(piece, other)))),
        };
        match found {
            Some(guard) => format!("{KEY}#{guard}"),
            None => format!("{KEY}#~{}", &piece.evidence.id.to_string()[..16]),
        }
    }

    /// Copies joined: the lowest position, every journal.
    fn distinct(pieces: &[Piece]) -> Vec<Piece> {
        let mut distinct: BTreeMap<_, Piece> = BTreeMap::new();
        for piece in pieces {
            let known = distinct.entry(piece.evidence.id).or_insert_with(|| piece.clone());
            known.seen = known.seen.clone().min(piece.seen.clone());
            let journals: BTreeSet<String> = known.journals.iter().chain(&piece.journals).cloned().collect();
            known.journals = journals.into_iter().collect();
        }
        distinct.into_values().collect()
    }

    pub fn records(pieces: &[Piece]) -> BTreeMap<String, Record> {
        let all = distinct(pieces);
        let reused = all.iter().filter_map(guard).collect::<BTreeSet<_>>().len() > 1;
        let mut records: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
        for piece in &all {
            records.entry(record_id(piece, &all)).or_default().push(piece.clone());
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
        pieces.retain(|piece| {
            !all.iter().any(|other| is_same_event(piece, other) && other.evidence.id < piece.evidence.id)
        });
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
        let promised = promising.iter().flat_map(|piece| &piece.evidence.recipients).filter(|claim| {
            claim.what != RecipientKind::Group && !groups.contains_key(&claim.address.text.to_lowercase())
        });
        let unresolved: BTreeSet<String> = groups.keys().filter(|list| !told.contains(*list)).cloned().collect();
        let missing = pieces.iter().all(|piece| piece.evidence.originals.is_empty())
            || !unresolved.is_empty()
            || !promising.is_empty()
                && !pieces.iter().any(|piece| piece.evidence.kind == Kind::Report && piece.evidence.server.is_some())
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
}
