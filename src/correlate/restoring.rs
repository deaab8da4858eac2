//! How drafts come to hand and go to rest. All that the changelog tells is noted where it lies, and read when something is
//! asked of its message; what waits longest goes back to rest.

use std::collections::BTreeSet;

use crate::{
    arrival::Timestamp,
    correlate::{
        Budget, Changelog, Correlator, DraftKey, Messages, Place, Timing, Unreadable, checked,
        draft::{Draft, Due},
        event_digest,
        identity::{RecordRef, Tag},
        resting::{Mark, RestingPart, Taken, Timer, Which},
        stored::{StoredDraft, StoredName},
    },
    limits,
    mail::Key,
};

/// What a correlator keeps of a part of a draft that the changelog has.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    message: Mark,
    part: RestingPart,
}

impl Entry {
    /// # Errors
    /// Says why it is no part of a draft that a correlator stored.
    pub fn of(stored: &StoredDraft, place: Place, timing: &Timing) -> Result<Entry, String> {
        let (record, part) = checked::place_of(stored)?;
        let timer = timer(timing, stored.open, stored.touched_at);
        Ok(Entry { message: Mark::of(&record.key), part: RestingPart::new(&record, part, place, timer) })
    }
}

impl Correlator {
    /// Takes an entry of the changelog, in place of what came before under the same key. All entries first, then
    /// [`Correlator::restored`].
    pub fn restore(&mut self, entry: Entry) {
        self.resting.note(entry.message, entry.part);
    }

    /// Notes the end of a part of a draft in the changelog, where `key` is its [`DraftKey`](super::DraftKey).
    pub fn restore_forgotten(&mut self, key: &[u8]) -> Result<(), String> {
        let read = str::from_utf8(key).ok().and_then(RecordRef::of_draft_key);
        let (record, part) = read.ok_or("a key without a value is no draft's")?;
        self.resting.note_forgotten(&record, part);
        Ok(())
    }

    /// Ends the restoring: what was noted is the state, with its timers.
    ///
    /// # Errors
    /// Says that there are drafts which no correlator had.
    pub fn restored(&mut self) -> Result<(), String> {
        match self.resting.restored() {
            true => Ok(()),
            false => Err("a draft lacks its first part, which tells when it closes".to_owned()),
        }
    }

    /// Brings to hand what rests of these keys.
    ///
    /// # Errors
    /// Where it cannot be read back. The correlator knows nothing any more then, and has to be restored.
    pub fn wake<'k>(
        &mut self,
        keys: impl IntoIterator<Item = &'k Key>,
        changelog: &mut dyn Changelog,
    ) -> Result<(), Unreadable> {
        if self.resting.is_empty() {
            return Ok(());
        }
        let absent = keys.into_iter().filter(|key| !self.keys.contains_key(*key)).map(Mark::of);
        let taken = absent.filter_map(|mark| self.resting.take(mark)).collect();
        self.put_back(taken, changelog)
    }

    /// Brings to hand what is due by now, and before anything that is at hand, as far as the budget reaches.
    pub(super) fn wake_due(
        &mut self,
        now: Timestamp,
        budget: &mut Budget,
        changelog: &mut dyn Changelog,
    ) -> Result<(), Unreadable> {
        let taken = self.take_first(Which::Due, now, self.rules.work_max.wake_parts.min(budget.woken));
        budget.spend_woken(&taken);
        self.put_back(taken, changelog)
    }

    /// Forgets what rests and is old by now, where it is older than anything that is at hand; false where there is none. A
    /// message of one draft goes as it lies; of several, each has its own time, and all come to hand.
    pub(super) fn forget_resting(
        &mut self,
        now: Timestamp,
        budget: &mut Budget,
        changelog: &mut dyn Changelog,
    ) -> Result<bool, Unreadable> {
        let parts_max = self.rules.work_max.wake_parts.min(budget.forgotten).min(budget.woken);
        let taken = self.take_first(Which::Forget, now, parts_max);
        if taken.is_empty() {
            return Ok(false);
        }
        let (whole, several): (Vec<Taken>, Vec<Taken>) = taken.into_iter().partition(|taken| taken.drafts == 1);
        budget.spend_woken(&several);
        self.put_back(several, changelog)?;
        budget.forgotten = budget.forgotten.saturating_sub(whole.len());
        let mut names = changelog.read_names(&places_of(&whole))?.into_iter();
        for Taken { mark, places, .. } in whole {
            for (place, StoredName { record_id, key, part }) in places.into_iter().zip(names.by_ref()) {
                if Mark::of(&key) != mark || RecordRef::parse(&key, &record_id).is_none() {
                    return Err(another_lies_at(place));
                }
                self.gone.push(DraftKey { record_id, part });
            }
        }
        Ok(true)
    }

    /// What rests and time reaches by now, and before anything that is at hand.
    fn take_first(&mut self, which: Which, now: Timestamp, parts_max: usize) -> Vec<Taken> {
        let at_hand = match which {
            Which::Due => self.due.first(),
            Which::Forget => self.forget.first(),
        };
        // Of what has the same time, that at hand is first: else each that is done with would bring others to hand.
        match (self.resting.first(which), at_hand) {
            (Some(first), Some((at, _))) if first >= *at => Vec::new(),
            _ => self.resting.take_first(which, now, parts_max),
        }
    }

    fn put_back(&mut self, taken: Vec<Taken>, changelog: &mut dyn Changelog) -> Result<(), Unreadable> {
        if taken.is_empty() {
            return Ok(());
        }
        let mut read = changelog.read(&places_of(&taken))?.into_iter();
        let mut woken = Vec::with_capacity(taken.len());
        for Taken { mark, places, .. } in taken {
            let parts = places.into_iter().zip(read.by_ref());
            let mut key = None;
            for (place, stored) in parts {
                let (record, part) = checked::place_of(&stored)
                    .map_err(|reason| Unreadable(format!("what lies at {place} is no draft: {reason}")))?;
                if Mark::of(&record.key) != mark {
                    return Err(another_lies_at(place));
                }
                let messages = self.keys.entry(record.key.clone()).or_default();
                messages.drafts.entry(record.tag).or_default().restore(part, place, stored);
                key = Some(record.key);
            }
            if let Some(key) = key {
                self.index(&key).map_err(Unreadable)?;
                woken.push(key);
            }
        }
        self.note_large(&woken);
        Ok(())
    }

    /// Makes known what the drafts of a key, as they lay in the changelog, hold and wait for.
    fn index(&mut self, key: &Key) -> Result<(), String> {
        let messages = self.keys.get_mut(key).expect("it was just put back");
        checked::whole(messages)?;
        messages.guards = messages.drafts.keys().filter(|tag| matches!(tag, Tag::Guarded(_))).count();
        messages.stays = messages.must_stay(&self.rules.work_max);
        for (tag, draft) in &mut messages.drafts {
            let record = RecordRef { key: key.clone(), tag: *tag };
            draft.restored();
            for (part, piece) in draft.located() {
                self.located.insert(piece.evidence.identity(), (*tag, part));
                if let Some(event) = event_digest(piece) {
                    *self.events.entry(event).or_default() += 1;
                }
            }
            match timer(&self.rules.timing, draft.open, draft.touched_at) {
                Timer::Due(at) => {
                    draft.due = Some(Due::Look(at));
                    self.due.insert((at, record), messages.stays);
                }
                Timer::Forget(at) => self.forget.insert((at, record), messages.stays),
                Timer::None => {}
            }
        }
        if messages.guards > 1 {
            messages.build_index();
        }
        self.queue(key);
        Ok(())
    }

    /// Of these messages, each of which came to hand or was changed, the large ones are the last to rest for their size.
    pub(super) fn note_large<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>) {
        let mut noted: BTreeSet<&Key> = keys.into_iter().collect();
        noted.retain(|key| self.keys.get(*key).is_some_and(|messages| self.rules.awake_max.is_large(messages)));
        if !noted.is_empty() {
            self.large.retain(|key| !noted.contains(key));
            self.large.extend(noted.into_iter().cloned());
        }
    }

    /// Queues a key for resting, where it is not queued already.
    pub(super) fn queue(&mut self, key: &Key) {
        let messages = self.keys.get_mut(key).expect("who queues a key has it at hand");
        if !messages.stays && !std::mem::replace(&mut messages.queued, true) {
            self.closed.push_back(key.clone());
        }
    }

    /// Whether a key may ever rest has changed.
    pub(super) fn set_stays(&mut self, key: &Key, stays: bool) {
        let messages = self.keys.get_mut(key).expect("whoever changed it has it at hand");
        messages.stays = stays;
        for (tag, draft) in &messages.drafts {
            let record = RecordRef { key: key.clone(), tag: *tag };
            match draft.due {
                Some(due) => self.due.shift((due.at(), record), stays),
                None => self.forget.shift((draft.touched_at.plus(self.rules.timing.remember), record), stays),
            }
        }
        self.queue(key);
        self.note_large([key]);
    }

    /// Lays down what is too many to be at hand: of the drafts that are not open those that were closed first, of the
    /// open ones those that wait longest.
    pub(super) fn rest(&mut self) {
        // Whatever cannot rest yet is asked again next time.
        for _ in 0..self.closed.len() {
            if self.forget.ordinary().len() <= self.rules.awake_max.closed {
                break;
            }
            let key = self.closed.pop_front().expect("counted");
            let Some(messages) = self.keys.get_mut(&key) else { continue };
            messages.queued = false;
            if may_rest(messages) && !messages.drafts.values().any(|draft| draft.open) {
                self.lay_down(&key);
            } else if messages.drafts.values().any(|draft| !draft.open) {
                self.queue(&key);
            }
        }
        // Who went to rest otherwise is still named: sweep before the names outgrow what they name.
        if self.closed.len() > 2 * self.forget.ordinary().len() + limits::SWEEP_SLACK {
            self.sweep();
        }
        self.rest_large();
        let excess = self.due.ordinary().len().saturating_sub(self.rules.awake_max.open);
        let last: Vec<Key> = self.due.ordinary().rev().take(excess).map(|(_, record)| record.key.clone()).collect();
        for key in last {
            // One of several open drafts of a key takes the others with it.
            if self.keys.get(&key).is_some_and(may_rest) {
                self.lay_down(&key);
            }
        }
    }

    /// Lays down large messages until the others fit.
    fn rest_large(&mut self) {
        let keys = std::mem::take(&mut self.large);
        let sized = keys.into_iter().filter_map(|key| {
            let messages = self.keys.get(&key).filter(|messages| self.rules.awake_max.is_large(messages))?;
            Some((messages.bytes(), key))
        });
        let sized: Vec<(usize, Key)> = sized.collect();
        let mut bytes: usize = sized.iter().map(|(bytes, _)| bytes).sum();
        for (size, key) in sized {
            if bytes > self.rules.awake_max.large_bytes && may_rest(&self.keys[&key]) {
                bytes -= size;
                self.lay_down(&key);
            } else {
                self.large.push(key);
            }
        }
    }

    fn sweep(&mut self) {
        for key in self.closed.drain(..) {
            if let Some(messages) = self.keys.get_mut(&key) {
                messages.queued = false;
            }
        }
        let at_hand: Vec<Key> = self.forget.ordinary().map(|(_, record)| record.key.clone()).collect();
        at_hand.iter().for_each(|key| self.queue(key));
    }

    fn lay_down(&mut self, key: &Key) {
        let messages = self.keys.remove(key).expect("whoever lays it down has looked at it");
        let mut parts = Vec::with_capacity(messages.drafts.len());
        for (tag, draft) in &messages.drafts {
            let record = RecordRef { key: key.clone(), tag: *tag };
            let timer = match draft.due {
                Some(due) => Timer::Due(due.at()),
                None => timer(&self.rules.timing, false, draft.touched_at),
            };
            parts.extend(draft.places().map(|(part, place)| RestingPart::new(&record, part, place, timer)));
            match timer {
                Timer::Due(at) => drop(self.due.remove(&(at, record))),
                Timer::Forget(at) => drop(self.forget.remove(&(at, record))),
                Timer::None => {}
            }
            self.forget_pieces(draft);
        }
        self.resting.lay_down(key, parts);
    }
}

fn places_of(taken: &[Taken]) -> Vec<Place> {
    taken.iter().flat_map(|taken| &taken.places).copied().collect()
}

fn another_lies_at(place: Place) -> Unreadable {
    Unreadable(format!("another message lies at {place}, its place"))
}

/// The changelog has all of it as it is; and it is not one of those with very much, which would be read anew for each
/// piece.
fn may_rest(messages: &Messages) -> bool {
    !messages.stays && messages.drafts.values().all(Draft::may_rest)
}

/// What time does first to a draft as the changelog has it.
fn timer(timing: &Timing, open: bool, touched_at: Timestamp) -> Timer {
    if open { Timer::Due(touched_at.plus(timing.settle)) } else { Timer::Forget(touched_at.plus(timing.remember)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        arrival::{Input, Position},
        correlate::{Piece, Seen},
        evidence,
        turn::fixtures::rules,
    };

    /// Nothing was written, so nothing is read.
    struct Empty;

    impl Changelog for Empty {
        fn read(&mut self, places: &[Place]) -> Result<Vec<StoredDraft>, Unreadable> {
            panic!("nothing lies at {places:?}")
        }
    }

    /// A turn looks at each name that is queued.
    #[test]
    fn a_key_is_queued_once_and_only_if_it_may_rest() {
        for (messages, queued) in [(1, 1), (limits::RESTING_DRAFTS_MAX, 1), (limits::RESTING_DRAFTS_MAX + 1, 0)] {
            let mut correlator = Correlator::new(rules(1).rules);
            for turn in 1..4 {
                for number in 0..messages {
                    let mail = format!("Message-ID: <a@b>\r\nDate: {number}\r\nSubject: {turn}\r\n\r\n");
                    let position = Position { input: Input::Reports, partition: 0, offset: 0 };
                    let seen = Seen { position, at: Timestamp(0), server: None, size: 0 };
                    let piece = Piece::new(evidence::read_mail(mail.as_bytes()).unwrap(), seen, Vec::new());
                    correlator.handle_evidence(piece, Timestamp(0), &mut Empty).unwrap();
                }
                let mut budget =
                    Budget { records: usize::MAX, bytes: usize::MAX, forgotten: usize::MAX, woken: usize::MAX };
                let now = Timestamp(0).plus(Duration::from_secs(3600));
                // Each is looked at, and then closed.
                correlator.handle_time(now, &mut budget, &mut Empty).unwrap();
                correlator.handle_turn_end(turn);
                while correlator.poll_effect().is_some() {}
                assert_eq!((correlator.drafts(), correlator.closed.len()), ((0, messages), queued), "{messages}");
            }
        }
    }
}
