//! What is remembered of one Message-ID: what the changelog holds of it, against what turns have consumed. Nothing else
//! may be there, and what is not there any more was old enough, was told, and went whole.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use mailjournal::{
    correlate::{Piece, StoredDraft},
    evidence::Kind,
    mail::Digest,
    record::{Flag, JournalRecord, Status},
};

use crate::{support::model, world::Broken};

/// One sighting of a piece of evidence.
struct Sighting {
    piece: Piece,
    /// When its draft was touched, at the least.
    touched: i64,
    /// Consumed in the turn that is looked at.
    new: bool,
    /// A record has told of it.
    told: bool,
}

#[derive(Default)]
pub struct Remembered {
    sightings: Vec<Sighting>,
    /// The parts of its drafts in the changelog, by key.
    stored: BTreeMap<Bytes, StoredDraft>,
    /// The record of each piece after the last turn, by the piece's identity.
    places: BTreeMap<Digest, String>,
    /// The revisions of each record since it was last begun.
    revisions: BTreeMap<String, Vec<JournalRecord>>,
    /// One of its drafts was forgotten and another was not: the set does not tell any more what belongs where.
    partly: bool,
    /// Something of it was forgotten once.
    pub forgot: bool,
    began_anew: bool,
}

/// Is shown a record of the turn, and the revisions before it.
pub type Shown<'c> = dyn FnMut(&Remembered, &JournalRecord, &[JournalRecord]) -> Result<(), Broken> + 'c;

fn names(record: &JournalRecord, piece: &Piece) -> bool {
    record.evidence.iter().any(|entry| entry.sha256 == piece.evidence.id)
}

/// Which tellings of an event count, beside the one that a record names.
#[derive(Clone, Copy)]
enum Tellings {
    Named,
    Here,
    All,
}

impl Tellings {
    const EACH: [Tellings; 3] = [Tellings::Named, Tellings::Here, Tellings::All];
}

/// What time allowed a turn to do to drafts.
#[derive(Clone, Copy)]
pub struct Until {
    /// The latest that the task's time may have been.
    pub now: i64,
    pub remember: Duration,
}

impl Until {
    fn may_forget(self, touched: i64) -> bool {
        self.now >= touched.saturating_add(i64::try_from(self.remember.as_millis()).expect("below years"))
    }
}

impl Remembered {
    /// Whether it was consumed before, or another telling of the same event.
    pub fn knows(&self, piece: &Piece) -> bool {
        let is_it = |known: &Piece| {
            known.evidence.identity() == piece.evidence.identity()
                || (known.event_name().is_some() && known.event_name() == piece.event_name())
        };
        self.sightings.iter().any(|sighting| is_it(&sighting.piece))
    }

    pub fn consume(&mut self, piece: Piece, touched: i64) {
        self.sightings.push(Sighting { piece, touched, new: true, told: false });
    }

    pub fn store(&mut self, key: Bytes, stored: Option<StoredDraft>) {
        match stored {
            Some(stored) => drop(self.stored.insert(key, stored)),
            None => drop(self.stored.remove(&key)),
        }
    }

    /// The pieces that a record names.
    pub fn named<'s>(&'s self, record: &'s JournalRecord) -> impl Iterator<Item = &'s Piece> {
        self.sightings.iter().map(|sighting| &sighting.piece).filter(|piece| names(record, piece))
    }

    fn pieces(&self) -> Vec<Piece> {
        self.sightings.iter().map(|sighting| sighting.piece.clone()).collect()
    }

    /// The pieces in the changelog, each with its record.
    fn held(&self) -> Result<BTreeMap<Digest, (String, Piece)>, Broken> {
        let mut held = BTreeMap::new();
        for (key, part) in &self.stored {
            if key.as_ref() != part.draft_key().to_text().as_bytes() {
                return Err(format!("a part of {} lies under another key", part.record_id));
            }
            if !self.stored.contains_key(part.record_id.as_bytes()) {
                return Err(format!("of {} only a later part is stored", part.record_id));
            }
            for piece in &part.pieces {
                let identity = piece.evidence.identity();
                if let Some((other, _)) = held.insert(identity, (part.record_id.clone(), piece.clone())) {
                    return Err(format!("{} and {other} hold the same piece", part.record_id));
                }
            }
        }
        Ok(held)
    }

    fn of<'s>(&'s self, identity: &Digest) -> impl Iterator<Item = &'s Sighting> {
        let identity = *identity;
        self.sightings.iter().filter(move |sighting| sighting.piece.evidence.identity() == identity)
    }

    fn is_new(&self, identity: &Digest) -> bool {
        self.of(identity).any(|sighting| sighting.new)
    }

    /// Since when these pieces' draft waits to be forgotten, at the least: since the last of them came. What came later
    /// under its key may have touched it with an older time, which counts today: so where evidence comes late, a draft
    /// may be forgotten sooner than `remember` after its latest.
    fn waits_since(&self, is_of: impl Fn(&Digest) -> bool) -> i64 {
        let mut seen = BTreeSet::new();
        let mut last = self.sightings.len();
        for (index, sighting) in self.sightings.iter().enumerate() {
            let identity = sighting.piece.evidence.identity();
            if is_of(&identity) && seen.insert(identity) {
                last = index;
            }
        }
        self.sightings[last..].iter().map(|sighting| sighting.touched).min().unwrap_or(i64::MIN)
    }

    /// Looks at a turn: what it published of this key, in order, and what it left in the changelog. `check` is
    /// shown each record.
    pub fn see(&mut self, records: &[JournalRecord], until: Until, check: &mut Shown<'_>) -> Result<(), Broken> {
        let held = self.held()?;
        let seen: BTreeSet<Digest> = self.sightings.iter().map(|sighting| sighting.piece.evidence.identity()).collect();
        if held.keys().any(|identity| !seen.contains(identity)) {
            return Err("a draft holds what was not consumed since its like was forgotten".to_owned());
        }
        let begun_anew = self.check_revisions(records, until)?;
        let lost: BTreeSet<Digest> = seen.into_iter().filter(|identity| !held.contains_key(identity)).collect();
        let back = held.iter().any(|(identity, (place, _))| self.is_back(identity, place, records, until));
        let mixed = !lost.is_empty() || !begun_anew.is_empty() || back;
        self.forgot |= mixed;
        self.began_anew |= self.forgot && !records.is_empty() && records.iter().any(|record| record.revision == 1);
        for record in records {
            match mixed || self.partly {
                true => self.check_loosely(record, &held)?,
                false => self.check_exactly(record)?,
            }
            check(self, record, self.revisions.get(&record.record_id).map_or(&[], Vec::as_slice))?;
            self.mark_told(record);
            self.revisions.entry(record.record_id.clone()).or_default().push(record.clone());
        }
        for identity in &lost {
            self.check_forgotten(identity, &held, until)?;
        }
        if !mixed && !self.partly {
            self.check_places(&held)?;
        }
        self.take_over(held, mixed);
        Ok(())
    }

    /// Whether a piece was forgotten with its draft and has come again, to another record, in the same turn.
    fn is_back(&self, identity: &Digest, place: &str, records: &[JournalRecord], until: Until) -> bool {
        let is_published =
            |id: &String| self.revisions.contains_key(id) || records.iter().any(|record| record.record_id == *id);
        let gone = |before: &String| {
            before != place
                && is_published(before)
                && !self.stored.contains_key(before.as_bytes())
                && until.may_forget(self.waits_since(|of| of == identity))
        };
        let told_now = records.iter().filter(|record| self.of(identity).any(|known| names(record, &known.piece)));
        let mut before = self.places.get(identity).into_iter().chain(told_now.map(|record| &record.record_id));
        self.is_new(identity) && before.any(gone)
    }

    /// Every revision is the next; or the first of a record that was old enough to be forgotten. Returns the records
    /// that were begun anew.
    fn check_revisions(&self, records: &[JournalRecord], until: Until) -> Result<BTreeSet<String>, Broken> {
        let mut begun_anew = BTreeSet::new();
        let mut last: BTreeMap<String, i32> =
            self.last().map(|record| (record.record_id.clone(), record.revision)).collect();
        // What each record told last, of which its age follows.
        let mut told: BTreeMap<String, &JournalRecord> =
            self.last().map(|record| (record.record_id.clone(), record)).collect();
        let may_begin = |told: Option<&&JournalRecord>| {
            told.is_some_and(|told| {
                let named: BTreeSet<Digest> = self.named(told).map(|piece| piece.evidence.identity()).collect();
                until.may_forget(self.waits_since(|identity| named.contains(identity)))
            })
        };
        for record in records {
            let id = &record.record_id;
            let before = last.insert(id.clone(), record.revision).unwrap_or(0);
            if record.revision != before + 1 {
                if record.revision != 1 || !may_begin(told.get(id)) {
                    return Err(format!("revision {} of {id} where {} was due", record.revision, before + 1));
                }
                begun_anew.insert(id.clone());
            }
            told.insert(id.clone(), record);
        }
        for part in self.stored.values().filter(|part| part.part == 0) {
            let id = &part.record_id;
            let (stored, seen) = (part.published.as_ref().map_or(0, |published| published.revision), last.get(id));
            if stored != seen.copied().unwrap_or(0) {
                if stored != 0 || !may_begin(told.get(id)) {
                    return Err(format!("{id} was published {seen:?} times, and its draft says {stored}"));
                }
                begun_anew.insert(id.clone());
            }
        }
        Ok(begun_anew)
    }

    /// A record says what the naive model says of all evidence from before its turn, and of so much of its turn's as
    /// was taken in when it was closed.
    fn check_exactly(&self, record: &JournalRecord) -> Result<(), Broken> {
        let (id, said) = (&record.record_id, model::Record::of(record));
        let pieces = self.pieces();
        let before = self.sightings.iter().take_while(|sighting| !sighting.new).count();
        let agrees =
            (before..=pieces.len()).rev().any(|end| match (record.status, model::records(&pieces[..end]).get(id)) {
                (Status::Superseded, expected) => expected.is_none(),
                (_, Some(expected)) => *expected == said,
                (_, None) => false,
            });
        match agrees {
            true => Ok(()),
            false => Err(format!(
                "revision {} of {id} is not what its evidence adds up to:\n  it says {said:?}\n  expected {:?}",
                record.revision,
                model::records(&pieces).remove(id)
            )),
        }
    }

    /// As [`Remembered::check_exactly`], where something was forgotten: what the record names must add up to it, and
    /// what its guard claims and is still remembered must be named.
    fn check_loosely(&self, record: &JournalRecord, held: &BTreeMap<Digest, (String, Piece)>) -> Result<(), Broken> {
        let (id, said) = (&record.record_id, model::Record::of(record));
        if record.status == Status::Superseded {
            return Ok(());
        }
        let named: BTreeSet<Digest> = record.evidence.iter().map(|entry| entry.sha256).collect();
        let is_event = |piece: &Piece| piece.evidence.kind == Kind::EnvelopeEvent;
        let before = self.sightings.iter().take_while(|sighting| !sighting.new).count();
        let reused = record.flags.contains(&Flag::MessageIdReused);
        let is_elsewhere = |piece: &Piece| {
            let identity = piece.evidence.identity();
            let place = held.get(&identity).map(|(place, _)| place).or_else(|| self.places.get(&identity));
            place.is_some_and(|place| place != id)
        };
        // Of the other tellings of an event it is not told which were here when it was closed.
        let pieces = |range: std::ops::Range<usize>, events: Tellings| {
            let all = self.sightings[range].iter().map(|sighting| &sighting.piece);
            let counts = |piece: &&Piece| {
                let retold = || is_event(piece) && self.is_retold(piece, &named);
                named.contains(&piece.evidence.id)
                    || match events {
                        Tellings::Named => false,
                        Tellings::Here => retold() && !is_elsewhere(piece),
                        Tellings::All => retold(),
                    }
            };
            all.filter(counts).cloned().collect::<Vec<Piece>>()
        };
        let expected = |range: std::ops::Range<usize>, events: Tellings| {
            let pieces = pieces(range, events);
            (!pieces.is_empty()).then(|| model::record_of(id, &pieces, reused))
        };
        let agrees = |range: std::ops::Range<usize>| {
            Tellings::EACH.into_iter().any(|events| expected(range.clone(), events).as_ref() == Some(&said))
        };
        let mut ranges = (before..=self.sightings.len())
            .rev()
            .flat_map(|end| std::iter::once(0).chain(before..end).map(move |start| start..end));
        // Of what came again it is not told which of its sightings count.
        let came_again = |piece: &Piece| {
            let identity = piece.evidence.identity();
            self.is_new(&identity) && self.of(&identity).count() > 1
        };
        let all = 0..self.sightings.len();
        let found = ranges.any(agrees)
            || pieces(all.clone(), Tellings::All).iter().any(came_again)
                && Tellings::EACH
                    .into_iter()
                    .filter_map(|events| expected(all.clone(), events))
                    .any(|expected| expected.says_alike(&said));
        if !found {
            return Err(format!("revision {} of {id} is not what it names: {said:?}", record.revision));
        }
        let claimed = |sighting: &&Sighting| {
            let (guard, identity) = (model::guard(&sighting.piece), sighting.piece.evidence.identity());
            let stays = held.get(&identity).is_some_and(|(of, _)| of == id);
            !self.is_new(&identity) && stays && guard.is_some_and(|guard| id.ends_with(&format!("#{guard}")))
        };
        let lacks = |sighting: &&Sighting| !named.contains(&sighting.piece.evidence.id) && !is_event(&sighting.piece);
        match self.sightings.iter().filter(claimed).any(|sighting| lacks(&sighting)) {
            true => Err(format!("revision {} of {id} lacks what is remembered of it", record.revision)),
            false => Ok(()),
        }
    }

    /// Whether an envelope event is told again by one that is named.
    fn is_retold(&self, piece: &Piece, named: &BTreeSet<Digest>) -> bool {
        let of = |other: &Sighting| {
            named.contains(&other.piece.evidence.id) && other.piece.event_name() == piece.event_name()
        };
        piece.event_name().is_some() && self.sightings.iter().any(of)
    }

    /// Whether a revision of the record tells of the piece, since it was last begun.
    fn tells(&self, record_id: &str, piece: &Piece) -> bool {
        let tells = |record: &JournalRecord| {
            let named: BTreeSet<Digest> = record.evidence.iter().map(|entry| entry.sha256).collect();
            named.contains(&piece.evidence.id) || self.is_retold(piece, &named)
        };
        self.revisions.get(record_id).is_some_and(|revisions| revisions.iter().any(tells))
    }

    /// Whether a record has told of a piece, or of another telling of its event, to which it added nothing. One that has
    /// moved back may find itself in what its record told before.
    fn is_told(&self, identity: &Digest) -> bool {
        let event = self.of(identity).find_map(|sighting| sighting.piece.event_name());
        let is_it =
            |piece: &Piece| piece.evidence.identity() == *identity || event.is_some() && piece.event_name() == event;
        let place = self.places.get(identity);
        self.sightings.iter().any(|sighting| sighting.told && is_it(&sighting.piece))
            || self.of(identity).any(|known| place.is_some_and(|place| self.tells(place, &known.piece)))
    }

    fn mark_told(&mut self, record: &JournalRecord) {
        let named: BTreeSet<Digest> = record.evidence.iter().map(|entry| entry.sha256).collect();
        let told: Vec<bool> = self
            .sightings
            .iter()
            .map(|sighting| named.contains(&sighting.piece.evidence.id) || self.is_retold(&sighting.piece, &named))
            .collect();
        self.sightings.iter_mut().zip(told).for_each(|(sighting, told)| sighting.told |= told);
    }

    /// What is gone was old enough, was told, and nothing of its draft stayed.
    fn check_forgotten(
        &self,
        identity: &Digest,
        held: &BTreeMap<Digest, (String, Piece)>,
        until: Until,
    ) -> Result<(), Broken> {
        if !self.is_told(identity) {
            return Err("evidence is gone that no record told of".to_owned());
        }
        let Some(place) = self.places.get(identity) else {
            return match until.may_forget(self.waits_since(|other| other == identity)) {
                true => Ok(()),
                false => Err("evidence was forgotten in the turn that it came in".to_owned()),
            };
        };
        let since = self.waits_since(|other| self.places.get(other) == Some(place));
        if !until.may_forget(since) {
            return Err(format!("{place} waits since {since} and was forgotten by {}", until.now));
        }
        // What has no guard moves where another comes: it may have been elsewhere when the draft was forgotten.
        let guarded = |sighting: &Sighting| model::guard(&sighting.piece).is_some();
        let another_came = self.sightings.iter().any(|sighting| sighting.new && guarded(sighting));
        let may_move = |identity: &Digest| another_came && !self.of(identity).any(guarded);
        if may_move(identity) {
            return Ok(());
        }
        for (other, _) in self.places.iter().filter(|(_, at)| *at == place) {
            if held.get(other).is_some_and(|(at, _)| at == place) && !self.is_new(other) && !may_move(other) {
                return Err(format!("{place} was forgotten in part"));
            }
        }
        Ok(())
    }

    /// Each piece lies in the draft of the record that the set says, with what its sightings say.
    fn check_places(&self, held: &BTreeMap<Digest, (String, Piece)>) -> Result<(), Broken> {
        let all = model::distinct(&self.pieces());
        for piece in &all {
            let Some((place, stored)) = held.get(&piece.evidence.identity()) else { continue };
            let expected = model::record_id(piece, &all);
            if *place != expected {
                return Err(format!("a piece of {expected} is stored with {place}"));
            }
            // What was told, the outputs show.
            let stored = Piece { non_delivery_told: piece.non_delivery_told, ..stored.clone() };
            if stored != *piece {
                return Err(format!("{place} stores a piece otherwise than it came: {stored:?} for {piece:?}"));
            }
        }
        Ok(())
    }

    /// What the turn left is what the next begins with.
    fn take_over(&mut self, held: BTreeMap<Digest, (String, Piece)>, mixed: bool) {
        self.partly = (mixed || self.partly) && !self.stored.is_empty();
        let stored = &self.stored;
        let published = |id: &str| stored.get(id.as_bytes()).is_some_and(|part| part.published.is_some());
        self.revisions.retain(|id, _| published(id));
        for revisions in self.revisions.values_mut() {
            let begun = revisions.iter().rposition(|record| record.revision == 1);
            revisions.drain(..begun.unwrap_or(0));
        }
        if mixed {
            let sighting = |(identity, (place, piece)): (&Digest, &(String, Piece))| Sighting {
                piece: piece.clone(),
                // What came later may be gone, and may have touched its draft.
                touched: self.waits_since(|other| other == identity),
                new: false,
                told: self.tells(place, piece),
            };
            let mut order: Vec<Digest> = Vec::new();
            for identity in self.sightings.iter().map(|sighting| sighting.piece.evidence.identity()) {
                if !order.contains(&identity) {
                    order.push(identity);
                }
            }
            let kept = order.iter().filter_map(|identity| held.get_key_value(identity));
            self.sightings = kept.map(sighting).collect();
        }
        self.sightings.iter_mut().for_each(|sighting| sighting.new = false);
        self.places = held.into_iter().map(|(identity, (place, _))| (identity, place)).collect();
    }

    /// Everything was told; and where the set tells what belongs where, the records are what it adds up to.
    pub fn end(&self) -> Result<(), Broken> {
        if self.places.keys().any(|identity| !self.is_told(identity)) {
            return Err("there is evidence at the end that no record tells of".to_owned());
        }
        let last = self.revisions.iter().filter_map(|(id, all)| Some((id.clone(), all.last()?)));
        let last = last.filter(|(_, record)| record.status != Status::Superseded);
        let said: BTreeMap<String, model::Record> = last.map(|(id, record)| (id, model::Record::of(record))).collect();
        match self.partly || said == model::records(&self.pieces()) {
            true => Ok(()),
            false => Err("the records at the end are not what all evidence adds up to".to_owned()),
        }
    }

    /// What of the rarer things it has had.
    pub fn met(&self) -> impl Iterator<Item = &'static str> {
        let met = [
            ("forgets", self.forgot),
            ("forgets a part of a message's drafts", self.partly),
            ("has a draft of several parts", self.stored.values().any(|part| part.part > 0)),
            ("begins a record anew", self.began_anew),
        ];
        met.into_iter().filter(|(_, met)| *met).map(|(what, _)| what)
    }

    /// The last revision of each of its records.
    pub fn last(&self) -> impl Iterator<Item = &JournalRecord> {
        self.revisions.values().filter_map(|revisions| revisions.last())
    }
}
