//! `(evidence, now) → effects`: the only room with state, and it owns all of it.
//!
//! A key's state is its set of evidence; a record is a pure function of that set (`merge`), and so is whether it is
//! complete (`completion`). What is incremental here is only *which* record a piece belongs to (`identity`) and *when*
//! a record is looked at.

mod checked;
mod completion;
mod draft;
pub mod effect;
mod entry;
mod identity;
mod merge;
mod resting;
mod restoring;
mod revision;
mod rules;
pub mod stored;
mod timers;

pub use effect::{ClosedNotice, Complete, DraftKey, Effect, WantedOriginal};
pub use resting::{Changelog, Place, Unreadable};
pub use restoring::Entry;
pub use rules::{AwakeMax, Budget, Rules, Timing, TopicNames, WorkMax};
pub use stored::{Carried, Piece, Published, Seen, StoredDraft, StoredName, bounded_journals};

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use draft::{Draft, Due};
use identity::{Index, RecordRef, Tag, guard_of};
use resting::{Resting, Which};
use timers::Timers;

use crate::{
    arrival::Timestamp,
    evidence::Evidence,
    mail::{Digest, Guard, Key},
    record::ClosedBecause,
};

/// What became of a piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    pub outcome: Outcome,
    /// The record that the piece belongs to as far as is known now.
    pub record_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    New,
    /// The same bytes, or another telling of the same envelope event, came before.
    Duplicate,
}

/// All drafts of one task: `handle_*` in, [`Correlator::poll_effect`] out, [`Correlator::poll_deadline`] to know when.
pub struct Correlator {
    rules: Rules,
    keys: HashMap<Key, Messages>,
    /// Where each piece is, by the identity of its evidence.
    located: HashMap<Digest, (Tag, usize)>,
    /// How many pieces tell each envelope event, by a digest of key, server and event id.
    events: HashMap<Digest, usize>,
    /// The drafts that are open.
    due: Timers,
    /// The drafts that are not: what is still to be published is never forgotten.
    forget: Timers,
    changed: BTreeSet<RecordRef>,
    resting: Resting,
    /// Keys that may rest, in the order in which a draft of theirs was closed: who rests next. A key may have an open
    /// draft again by now, or rest already.
    closed: VecDeque<Key>,
    /// The keys of large messages at hand, those first that no turn has changed for the longest time.
    large: Vec<Key>,
    /// Stored parts of drafts that are no more.
    gone: Vec<DraftKey>,
    effects: VecDeque<Effect>,
}

/// The messages of one key.
#[derive(Default)]
struct Messages {
    drafts: BTreeMap<Tag, Draft>,
    /// How many of the drafts a guard tells apart.
    guards: usize,
    /// Only where there are several guards.
    index: Option<Box<Index>>,
    /// There are so many that they do not rest.
    stays: bool,
    /// Named among those that rest next.
    queued: bool,
}

impl Messages {
    fn sole_guard(&self) -> Option<Guard> {
        self.drafts.keys().find_map(|tag| match tag {
            Tag::Guarded(guard) => Some(*guard),
            _ => None,
        })
    }

    /// Where a piece belongs that brings no guard.
    fn place(&self, evidence: &Evidence) -> Tag {
        let guard = match (self.guards, &self.index) {
            (0, _) => return Tag::Loose,
            (1, _) => self.sole_guard(),
            (_, index) => index.as_ref().and_then(|index| index.place(evidence)),
        };
        guard.map_or_else(|| Tag::Ambiguous(evidence.id.short()), Tag::Guarded)
    }

    /// There is so much that it would be too dear to read anew for each piece that comes.
    fn must_stay(&self, max: &WorkMax) -> bool {
        self.drafts.len() > max.resting_drafts
            || self.drafts.values().map(Draft::parts).sum::<usize>() > max.resting_parts
    }

    /// That their drafts take in the changelog, about.
    fn bytes(&self) -> usize {
        self.drafts.values().map(Draft::bytes).sum()
    }

    fn unguarded(&self) -> BTreeSet<Digest> {
        let pieces = self.drafts.values().flat_map(Draft::pieces);
        pieces.filter(|piece| guard_of(&piece.evidence).is_none()).map(|piece| piece.evidence.identity()).collect()
    }

    /// Builds the index that tells several guards apart from all that is here.
    fn build_index(&mut self) {
        let mut index = Index::default();
        for piece in self.drafts.values().flat_map(Draft::pieces) {
            match guard_of(&piece.evidence) {
                Some(guard) => drop(index.add_guarded(guard, &piece.evidence)),
                None => index.add_unguarded(&piece.evidence),
            }
        }
        self.index = Some(Box::new(index));
    }

    /// Takes a draft out, and what the index knows by it: whether a draft was forgotten or never there is the same.
    fn remove(&mut self, tag: Tag) -> Draft {
        let draft = self.drafts.remove(&tag).expect("a record that is referred to exists");
        self.guards -= usize::from(matches!(tag, Tag::Guarded(_)));
        if self.guards < 2 {
            self.index = None;
        }
        if let Some(index) = &mut self.index {
            draft.pieces().for_each(|piece| index.remove(&piece.evidence));
        }
        draft
    }
}

fn event_digest(piece: &Piece) -> Option<Digest> {
    let (server, event) = piece.event_name()?;
    let key = piece.evidence.key.as_str();
    Some(Digest::of_joined(&[key.as_bytes(), server.as_bytes(), event.as_bytes()]))
}

impl Correlator {
    pub fn new(rules: Rules) -> Correlator {
        Correlator {
            rules,
            keys: HashMap::new(),
            located: HashMap::new(),
            events: HashMap::new(),
            due: Timers::default(),
            forget: Timers::default(),
            changed: BTreeSet::new(),
            resting: Resting::default(),
            closed: VecDeque::new(),
            large: Vec::new(),
            gone: Vec::new(),
            effects: VecDeque::new(),
        }
    }

    /// Takes in a piece. `wall` bounds the time from which the closing timers count: a piece from the future would
    /// otherwise keep its draft open until then.
    ///
    /// # Errors
    /// As of [`Correlator::wake`], which spares a reading of its own for each piece.
    pub fn handle_evidence(
        &mut self,
        piece: Piece,
        wall: Timestamp,
        changelog: &mut dyn Changelog,
    ) -> Result<Merged, Unreadable> {
        self.wake([&piece.evidence.key], changelog)?;
        Ok(self.handle_awake(piece, wall))
    }

    /// As [`Correlator::handle_evidence`], of a key that [`Correlator::wake`] was told since the last turn's end:
    /// nothing goes to rest before the next.
    pub fn handle_awake(&mut self, piece: Piece, wall: Timestamp) -> Merged {
        let at = piece.seen.at.min(wall);
        let key = piece.evidence.key.clone();
        debug_assert!(!self.resting.has(&key), "its messages are at hand");
        if let Some(&(tag, part)) = self.located.get(&piece.evidence.identity()) {
            let record = RecordRef { key, tag };
            let identity = piece.evidence.identity();
            let part_bytes_max = self.rules.work_max.draft_part_bytes;
            if let Some(part) = self.draft(&record).join(part, piece, part_bytes_max) {
                self.located.insert(identity, (tag, part));
                self.touch(&record, at);
            }
            return Merged { outcome: Outcome::Duplicate, record_id: record.to_string() };
        }
        let retold = event_digest(&piece).is_some_and(|event| {
            let tellings = self.events.entry(event).or_default();
            *tellings += 1;
            *tellings > 1
        });
        let outcome = if retold { Outcome::Duplicate } else { Outcome::New };
        let record = match guard_of(&piece.evidence) {
            Some(guard) => self.take_guarded(key, guard, piece, at),
            None => self.take_unguarded(key, piece, at),
        };
        Merged { outcome, record_id: record.to_string() }
    }

    fn take_unguarded(&mut self, key: Key, piece: Piece, at: Timestamp) -> RecordRef {
        let messages = self.keys.entry(key.clone()).or_default();
        let tag = messages.place(&piece.evidence);
        if let Some(index) = &mut messages.index {
            index.add_unguarded(&piece.evidence);
        }
        let record = RecordRef { key, tag };
        self.insert(&record, piece, at);
        record
    }

    fn take_guarded(&mut self, key: Key, guard: Guard, piece: Piece, at: Timestamp) -> RecordRef {
        let record = RecordRef { key, tag: Tag::Guarded(guard) };
        let messages = self.keys.entry(record.key.clone()).or_default();
        let new = !messages.drafts.contains_key(&record.tag);
        let evidence = piece.evidence.clone();
        self.insert(&record, piece, at);
        let messages = self.keys.get_mut(&record.key).expect("the key has the draft that was just inserted");
        messages.guards += usize::from(new);
        let moving = match (&mut messages.index, messages.guards) {
            (Some(index), _) => index.add_guarded(guard, &evidence),
            (None, _) if !new => BTreeSet::new(),
            (None, 1) => messages.unguarded(),
            (None, _) => {
                messages.build_index();
                messages.unguarded()
            }
        };
        if new {
            self.tell_reuse(&record, at);
        }
        for identity in moving {
            self.move_piece(&record.key, identity, at);
        }
        record
    }

    /// A new message came under a key: it, and the one that was alone before, learn that the id is reused.
    fn tell_reuse(&mut self, new: &RecordRef, at: Timestamp) {
        let messages = &self.keys[&new.key];
        if messages.guards < 2 {
            return;
        }
        let untold = if messages.guards == 2 {
            messages.drafts.keys().copied().filter(|tag| matches!(tag, Tag::Guarded(_))).collect()
        } else {
            vec![new.tag]
        };
        for tag in untold {
            let record = RecordRef { key: new.key.clone(), tag };
            let draft = self.draft(&record);
            if !std::mem::replace(&mut draft.reused, true) {
                self.touch(&record, at);
            }
        }
    }

    /// Moves an unguarded piece to where it belongs by now.
    fn move_piece(&mut self, key: &Key, identity: Digest, at: Timestamp) {
        let Some(&(tag, part)) = self.located.get(&identity) else { return };
        let from = RecordRef { key: key.clone(), tag };
        let messages = &self.keys[key];
        let evidence =
            messages.drafts[&tag].evidence_of(part, &identity).expect("the index names the part that holds the piece");
        let to = RecordRef { key: key.clone(), tag: messages.place(evidence) };
        if to == from {
            return;
        }
        let draft = self.draft(&from);
        let piece = draft.remove(part, &identity);
        // The piece that moves may have come later than the one that makes it move: closing counts from the latest.
        let latest = at.max(piece.seen.at.min(draft.touched_at));
        self.insert(&to, piece, latest);
        let left = self.draft(&from);
        // Who keeps other evidence says nothing of where some went.
        if left.is_empty() {
            left.moved_to.insert(to.to_string());
        }
        if left.is_empty() && left.published.is_none() {
            self.drop_draft(&from);
        } else {
            self.touch(&from, at);
        }
    }

    fn insert(&mut self, record: &RecordRef, piece: Piece, at: Timestamp) {
        let identity = piece.evidence.identity();
        let messages = self.keys.entry(record.key.clone()).or_default();
        let part = messages.drafts.entry(record.tag).or_default().insert(piece, self.rules.work_max.draft_part_bytes);
        self.located.insert(identity, (record.tag, part));
        self.touch(record, at);
    }

    fn draft(&mut self, record: &RecordRef) -> &mut Draft {
        draft_of(&mut self.keys, record)
    }

    /// Something of the draft changed: it is open again, and its timers count from now.
    fn touch(&mut self, record: &RecordRef, at: Timestamp) {
        let Timing { settle, remember, .. } = self.rules.timing;
        let messages = &self.keys[&record.key];
        let stays = messages.stays || messages.must_stay(&self.rules.work_max);
        if stays && !messages.stays {
            self.set_stays(&record.key, true);
        }
        let draft = draft_of(&mut self.keys, record);
        match draft.due {
            Some(due) => self.due.remove(&(due.at(), record.clone())),
            None => self.forget.remove(&(draft.touched_at.plus(remember), record.clone())),
        };
        // What a closed draft had was published: the timers of its next revision count from what came since.
        draft.touched_at = if draft.open { draft.touched_at.max(at) } else { at };
        draft.open = true;
        draft.head_changed();
        let due = Due::Look(draft.touched_at.plus(settle));
        draft.due = Some(due);
        self.due.insert((due.at(), record.clone()), stays);
        self.changed.insert(record.clone());
    }

    /// Closes what is due and forgets what is old, as far as the budget reaches; what is left stays due.
    ///
    /// # Errors
    /// As of [`Correlator::wake`].
    pub fn handle_time(
        &mut self,
        now: Timestamp,
        budget: &mut Budget,
        changelog: &mut dyn Changelog,
    ) -> Result<(), Unreadable> {
        while !budget.is_spent() {
            self.wake_due(now, budget, changelog)?;
            let Some((_, record)) = self.due.pop_by(now) else { break };
            match self.draft(&record).due.take() {
                Some(Due::Look(_)) => self.look(&record, now, budget),
                Some(Due::Close(_)) => self.close(&record, now, budget),
                None => {}
            }
        }
        while budget.forgotten > 0 {
            if self.forget_resting(now, budget, changelog)? {
                continue;
            }
            let Some((_, record)) = self.forget.pop_by(now) else { break };
            self.drop_draft(&record);
            budget.forgotten -= 1;
        }
        Ok(())
    }

    /// The draft has settled: close it if its evidence is complete, else wait as its evidence says.
    fn look(&mut self, record: &RecordRef, now: Timestamp, budget: &mut Budget) {
        let timing = self.rules.timing;
        let draft = self.draft(record);
        let entries = entry::in_order(draft.pieces());
        let because = match entries.is_empty() {
            true => ClosedBecause::Evidence,
            false => completion::because(&entries, &merge::Groups::of(&entries)),
        };
        let wait = match because {
            ClosedBecause::Evidence => return self.close(record, now, budget),
            ClosedBecause::Quiet => timing.quiet,
            ClosedBecause::Patience => timing.patience,
        };
        let due = Due::Close(draft.touched_at.plus(wait));
        draft.due = Some(due);
        self.due.insert((due.at(), record.clone()), self.keys[&record.key].stays);
    }

    /// Publishes what the draft adds up to, if that differs from what was published before.
    fn close(&mut self, record: &RecordRef, now: Timestamp, budget: &mut Budget) {
        let stays = self.keys[&record.key].stays;
        let draft = draft_of(&mut self.keys, record);
        draft.open = false;
        // Evidence of a backlog is old already when it comes, and what belongs to it may still be on its way.
        draft.touched_at = draft.touched_at.max(now);
        self.forget.insert((draft.touched_at.plus(self.rules.timing.remember), record.clone()), stays);
        draft.head_changed();
        if let Some(complete) = revision::complete(record, draft, &self.rules, now) {
            budget.spend(&complete, draft.bytes());
            self.effects.push_back(Effect::Publish(Box::new(complete)));
        }
        self.changed.insert(record.clone());
        self.queue(&record.key);
    }

    /// Forgets a draft and every piece in it.
    fn drop_draft(&mut self, record: &RecordRef) {
        let messages = self.keys.get_mut(&record.key).expect("a record that is referred to exists");
        let draft = messages.remove(record.tag);
        if messages.drafts.is_empty() {
            self.keys.remove(&record.key);
        } else if messages.stays && !messages.must_stay(&self.rules.work_max) {
            self.set_stays(&record.key, false);
        }
        self.forget_pieces(&draft);
        match draft.due {
            Some(due) => self.due.remove(&(due.at(), record.clone())),
            None => self.forget.remove(&(draft.touched_at.plus(self.rules.timing.remember), record.clone())),
        };
        self.changed.remove(record);
        self.gone.extend(draft.stored_parts(record));
    }

    fn forget_pieces(&mut self, draft: &Draft) {
        for piece in draft.pieces() {
            self.located.remove(&piece.evidence.identity());
            let Some(event) = event_digest(piece) else { continue };
            let tellings = self.events.get_mut(&event).expect("every telling was counted");
            *tellings -= 1;
            if *tellings == 0 {
                self.events.remove(&event);
            }
        }
    }

    /// The bytes of an original that this revision wanted cannot be had: it has not been carried, and the next revision
    /// wants it again. Told in the turn that published the revision.
    pub fn handle_lost(&mut self, key: &Key, record_id: &str, revision: i32, sha256: &Digest) {
        let record = RecordRef::parse(key, record_id).filter(|record| self.keys.contains_key(&record.key));
        // A turn may reach over so much time that it forgets what it published.
        let Some(record) = record else { return };
        let draft = self.keys.get_mut(&record.key).and_then(|messages| messages.drafts.get_mut(&record.tag));
        let Some(draft) = draft else { return };
        draft.handle_lost(sha256, revision);
        draft.head_changed();
        self.changed.insert(record);
    }

    /// Ends a turn: every part of a draft that the turn changed becomes one `Remember`, however often it changed. Of the
    /// turn's number [`Correlator::handle_written`] may speak later.
    pub fn handle_turn_end(&mut self, turn: u64) {
        // The same whatever was at hand.
        self.gone.sort_unstable();
        self.effects.extend(self.gone.drain(..).map(Effect::Forget));
        let changed = std::mem::take(&mut self.changed);
        self.note_large(changed.iter().map(|record| &record.key));
        for record in changed {
            let (write, delete) = self.draft(&record).take_changes(&record, turn);
            self.effects.extend(delete.into_iter().map(Effect::Forget));
            self.effects.extend(write.into_iter().map(|stored| Effect::Remember(Box::new(stored))));
        }
        self.rest();
    }

    /// Learns where the changelog has a value that a turn wrote, whose transaction is committed. What it was never told of
    /// stays at hand.
    pub fn handle_written(&mut self, turn: u64, draft_key: &[u8], place: Place) {
        let of = str::from_utf8(draft_key).ok().and_then(RecordRef::of_draft_key);
        let Some((RecordRef { key, tag }, part)) = of else { return };
        if let Some(draft) = self.keys.get_mut(&key).and_then(|messages| messages.drafts.get_mut(&tag)) {
            draft.handle_written(part, turn, place);
        }
    }

    /// The next completed record, before anything else that is to be done.
    pub fn poll_complete(&mut self) -> Option<Complete> {
        match self.effects.pop_front()? {
            Effect::Publish(complete) => Some(*complete),
            other => {
                self.effects.push_front(other);
                None
            }
        }
    }

    /// The next effect; drain after every `handle_*`.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When `handle_time` next has a draft to look at or close; forgetting does not count.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        let at_hand = self.due.first().map(|(at, _)| *at);
        at_hand.into_iter().chain(self.resting.first(Which::Due)).min()
    }

    /// When `handle_time` next forgets a draft.
    pub fn poll_forgotten(&self) -> Option<Timestamp> {
        let at_hand = self.forget.first().map(|(at, _)| *at);
        at_hand.into_iter().chain(self.resting.first(Which::Forget)).min()
    }

    /// How many drafts are at hand.
    pub fn at_hand(&self) -> usize {
        self.due.len() + self.forget.len()
    }

    /// How many drafts wait to be closed, and how many there are in all.
    pub fn drafts(&self) -> (usize, usize) {
        let (resting, resting_open) = self.resting.drafts();
        (self.due.len() + resting_open, self.due.len() + self.forget.len() + resting)
    }
}

fn draft_of<'a>(keys: &'a mut HashMap<Key, Messages>, record: &RecordRef) -> &'a mut Draft {
    let messages = keys.get_mut(&record.key);
    messages.and_then(|messages| messages.drafts.get_mut(&record.tag)).expect("a record that is referred to exists")
}
