//! What makes state of what was stored: from the changelog at the beginning, and from rest whenever something is asked of a
//! message. And the way to rest.

use std::collections::HashMap;

use crate::{
    arrival::Timestamp,
    correlate::{
        Correlator, Messages, Timing, checked,
        draft::{Draft, Due},
        event_digest,
        identity::{RecordRef, Tag},
        stored::StoredDraft,
    },
    limits,
    mail::{Digest, Key},
};

impl Correlator {
    /// Takes a part of a draft from the changelog, in place of what came before under the same key. All entries first,
    /// then [`Correlator::restored`].
    ///
    /// # Errors
    /// Says why it is no part of a draft that a correlator stored.
    pub fn restore(&mut self, stored: StoredDraft) -> Result<(), String> {
        let (record, part) = checked::place_of(&stored)?;
        let resting = self.resting.wake(&record.key);
        self.put_back(resting);
        let messages = self.keys.entry(record.key.clone()).or_default();
        messages.drafts.entry(record.tag).or_default().restore(part, stored);
        self.closed.push_back(record.key);
        Ok(())
    }

    /// Takes the end of a part of a draft from the changelog, where `key` is its [`DraftKey`].
    pub fn restore_forgotten(&mut self, key: &[u8]) -> Result<(), String> {
        let read = str::from_utf8(key).ok().and_then(RecordRef::of_draft_key);
        let (record, part) = read.ok_or("a key without a value is no draft's")?;
        let resting = self.resting.wake(&record.key);
        self.put_back(resting);
        let Some(messages) = self.keys.get_mut(&record.key) else { return Ok(()) };
        if messages.drafts.get_mut(&record.tag).is_some_and(|draft| draft.restore_forgotten(part)) {
            messages.drafts.remove(&record.tag);
        }
        if messages.drafts.is_empty() {
            self.keys.remove(&record.key);
        }
        Ok(())
    }

    /// Between two entries of the changelog: lays down what is too many to be at hand.
    pub fn rest_while_restoring(&mut self) {
        let mut awake = self.keys.len();
        while awake > self.rules.awake_drafts_max
            && let Some(key) = self.closed.pop_front()
        {
            // What is not whole may still become so: an entry to come replaces what is here.
            if self.may_rest(&key) && checked::whole(&key, &self.keys[&key]).is_ok() {
                let messages = self.keys.remove(&key).expect("it was just looked at");
                self.lay_down(&key, &messages);
                awake -= 1;
            }
        }
    }

    /// Ends the restoring: what was stored is the state, with its timers.
    ///
    /// # Errors
    /// Names a draft that no correlator had.
    pub fn restored(&mut self) -> Result<(), String> {
        // Gathered first: a set that is made of all at once is sorted once.
        let mut timers = Timers { due: Vec::new(), forget: Vec::with_capacity(self.keys.len()) };
        self.located.reserve(self.keys.len());
        for (key, messages) in &mut self.keys {
            checked::whole(key, messages)?;
            index(key, messages, &self.rules.timing, &mut self.located, &mut self.events, &mut timers);
        }
        self.due = timers.due.into_iter().collect();
        self.forget = timers.forget.into_iter().collect();
        self.closed = self.forget.iter().map(|(_, record)| record.key.clone()).collect();
        Ok(())
    }

    /// Brings back what rests of a key.
    pub(super) fn wake(&mut self, key: &Key) {
        let parts = self.resting.wake(key);
        self.put_back_indexed(parts);
    }

    /// Brings back the key that rests and is the first to be forgotten, if it is to be by now; says whether one was.
    pub(super) fn wake_due(&mut self, now: Timestamp) -> bool {
        let parts = self.resting.wake_due(now);
        self.put_back_indexed(parts)
    }

    fn put_back_indexed(&mut self, parts: Vec<StoredDraft>) -> bool {
        let Some(key) = parts.first().map(|stored| stored.key.clone()) else { return false };
        self.put_back(parts);
        let mut timers = Timers { due: Vec::new(), forget: Vec::new() };
        let messages = self.keys.get_mut(&key).expect("it was just put back");
        index(&key, messages, &self.rules.timing, &mut self.located, &mut self.events, &mut timers);
        self.forget.extend(timers.forget);
        self.closed.push_back(key);
        true
    }

    fn put_back(&mut self, parts: Vec<StoredDraft>) {
        for stored in parts {
            let record = RecordRef::parse(&stored.key, &stored.record_id).expect("it lay here under its key");
            let part = usize::try_from(stored.part).expect("it had this part before");
            let messages = self.keys.entry(record.key).or_default();
            messages.drafts.entry(record.tag).or_default().restore(part, stored);
        }
    }

    /// Lays down the drafts that were closed first, as far as too many are at hand.
    pub(super) fn rest(&mut self) {
        while self.forget.len() > self.rules.awake_drafts_max
            && let Some(key) = self.closed.pop_front()
        {
            if !self.may_rest(&key) {
                continue;
            }
            let messages = self.keys.remove(&key).expect("it was just looked at");
            for (tag, draft) in &messages.drafts {
                let record = RecordRef { key: key.clone(), tag: *tag };
                self.forget.remove(&(draft.touched_at.plus(self.rules.timing.remember), record));
                self.forget_pieces(draft);
            }
            self.lay_down(&key, &messages);
        }
        // Who is at hand may be named more than once: sweep before the names outgrow what they name.
        if self.closed.len() > 2 * self.forget.len() + limits::SWEEP_SLACK {
            self.closed = self.forget.iter().map(|(_, record)| record.key.clone()).collect();
        }
    }

    /// Nothing of the key is open; and it is not one of those with very many messages, which would be written anew for
    /// each piece.
    fn may_rest(&self, key: &Key) -> bool {
        let messages = self.keys.get(key).filter(|messages| messages.drafts.len() <= limits::RESTING_DRAFTS_MAX);
        messages.is_some_and(|messages| messages.drafts.values().all(Draft::may_rest))
    }

    fn lay_down(&mut self, key: &Key, messages: &Messages) {
        let parts = messages.drafts.iter().flat_map(|(tag, draft)| {
            let record = RecordRef { key: key.clone(), tag: *tag };
            draft.all_stored(&record)
        });
        let touched_at = messages.drafts.values().map(|draft| draft.touched_at).min().unwrap_or_default();
        let forget_at = touched_at.plus(self.rules.timing.remember);
        self.resting.lay_down(key, &parts.collect::<Vec<_>>(), forget_at);
    }
}

/// What time does to drafts.
struct Timers {
    due: Vec<(Timestamp, RecordRef)>,
    forget: Vec<(Timestamp, RecordRef)>,
}

/// Makes known what the drafts of a key, as the changelog had them, hold and wait for.
fn index(
    key: &Key,
    messages: &mut Messages,
    timing: &Timing,
    located: &mut HashMap<Digest, (Tag, usize)>,
    events: &mut HashMap<Digest, usize>,
    timers: &mut Timers,
) {
    messages.guards = messages.drafts.keys().filter(|tag| matches!(tag, Tag::Guarded(_))).count();
    for (tag, draft) in &mut messages.drafts {
        let record = RecordRef { key: key.clone(), tag: *tag };
        for (part, piece) in draft.located() {
            located.insert(piece.evidence.identity(), (*tag, part));
            if let Some(event) = event_digest(piece) {
                *events.entry(event).or_default() += 1;
            }
        }
        if draft.open {
            let look = Due::Look(draft.touched_at.plus(timing.settle));
            draft.due = Some(look);
            timers.due.push((look.at(), record));
        } else {
            timers.forget.push((draft.touched_at.plus(timing.remember), record));
        }
    }
    if messages.guards > 1 {
        messages.build_index();
    }
}
