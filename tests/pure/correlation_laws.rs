//! Laws of correlation over generated evidence, and the naive model that the correlator must agree with.

use std::collections::{BTreeMap, BTreeSet};

use mailjournal::{
    arrival::Timestamp,
    avro,
    correlate::{
        AwakeMax, Budget, Complete, Correlator, DraftKey, Effect, Entry, Merged, Piece, Rules, StoredDraft, Timing,
        TopicNames, WorkMax,
    },
    evidence::{DeliveryClaim, DeliveryKind, How, Kind, Notice, RecipientKind, Role},
    mail::Digest,
    record::{ArchiveFormat, JournalRecord, Status, ValueBytesMax},
};
use proptest::{prelude::*, sample::select};

use crate::support::{
    laws::lying::Lying,
    model,
    pieces::{evidence, group, original, recipient, seen},
};

pub const UNBOUNDED: Budget =
    Budget { records: usize::MAX, bytes: usize::MAX, forgotten: usize::MAX, woken: usize::MAX };
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
        awake_max: AwakeMax { open: 2, closed: 2, large_bytes: 2_000 },
        work_max: WorkMax::default(),
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
    /// Of everything in the changelog, where it lies.
    lying: Lying,
    turns: u64,
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
            lying: Lying::default(),
            turns: 0,
        }
    }

    pub fn take(&mut self, piece: &Piece) -> Merged {
        self.take_at(piece, WALL)
    }

    pub fn take_at(&mut self, piece: &Piece, wall: Timestamp) -> Merged {
        self.correlator.handle_evidence(piece.clone(), wall, &mut self.lying).expect("what was written lies there")
    }

    /// Time, within a turn.
    pub fn pass(&mut self, now: Timestamp, mut budget: Budget) {
        self.correlator.handle_time(now, &mut budget, &mut self.lying).expect("what was written lies there");
    }

    pub fn drain(&mut self) {
        self.turns += 1;
        self.correlator.handle_turn_end(self.turns);
        let mut written = Vec::new();
        while let Some(effect) = self.correlator.poll_effect() {
            match effect {
                Effect::Publish(complete) => {
                    self.published.push(complete.record.clone());
                    self.completes.push(*complete);
                }
                Effect::Remember(stored) => {
                    let value = avro::encode(avro::Schema::Draft, &stored);
                    self.changelog_bytes += value.len();
                    written.push((stored.draft_key().to_text(), self.lying.put(value.into())));
                    self.changelog.insert(stored.draft_key(), *stored);
                }
                Effect::Forget(key) => assert!(self.changelog.remove(&key).is_some(), "forgot what was not stored"),
            }
        }
        for (key, place) in written {
            self.correlator.handle_written(self.turns, key.as_bytes(), place);
        }
    }

    /// As many turns at this time as the budget needs.
    pub fn time(&mut self, now: Timestamp) {
        loop {
            self.pass(now, self.budget);
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
            let place = self.lying.put(avro::encode(avro::Schema::Draft, stored).into());
            self.correlator.restore(Entry::of(stored, place, &self.rules.timing).unwrap());
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
pub const SMALL: Budget = Budget { records: 1, bytes: 1, forgotten: usize::MAX, woken: 1 };

fn run(pieces: &[Piece], between: &[Between], budget: Budget) -> Subject {
    // With little to publish in a turn goes little to keep at hand.
    let awake_max = AwakeMax { open: budget.records - 1, closed: budget.records - 1, large_bytes: budget.bytes };
    let mut subject = Subject::with(Rules { awake_max, ..rules() }, budget);
    for (index, piece) in pieces.iter().enumerate() {
        subject.take(piece);
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
    let kind = select(vec![Kind::Report, Kind::Report, Kind::EnvelopeEvent, Kind::PlainCopy, Kind::Notice]);
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
            if kind == Kind::Notice {
                evidence.notice = Some(Notice { reporting_mta: Some(what), is_bounce: true, ..Notice::default() });
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
    fn a_notice_is_told_once_and_of_each_record_that_has_any_one((pieces, shuffled, between) in history()) {
        let subject = run(&shuffled, &between, SMALL);
        let mut told = BTreeSet::new();
        for closed in subject.completes.iter().flat_map(|complete| &complete.non_deliveries) {
            prop_assert!(told.insert(closed.id), "{} is told twice", closed.id);
        }
        for record in subject.last().values() {
            let tells = |id: &&Digest| pieces.iter().any(|piece| {
                piece.evidence.id == **id && piece.evidence.notice.is_some() && !piece.evidence.originals.is_empty()
            });
            let notices: Vec<&Digest> = record.evidence.iter().map(|entry| &entry.sha256).filter(tells).collect();
            let one_told = notices.iter().any(|id| told.contains(*id));
            prop_assert!(notices.is_empty() || one_told, "{} tells of none of {notices:?}", record.record_id);
        }
    }

    #[test]
    fn what_was_published_is_carried_once((_, shuffled, between) in history()) {
        let mut subject = Subject::new();
        let mut wanted = BTreeSet::new();
        for (index, piece) in shuffled.iter().enumerate() {
            subject.take(piece);
            if let Some(Between::CloseAll) = between.get(index) {
                while let Some(due) = subject.correlator.poll_deadline() {
                    subject.pass(due, UNBOUNDED);
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
