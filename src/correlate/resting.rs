//! Messages that are not at hand: of each only where the changelog has its parts, and when time next does something to it.
//! Whoever asks for one has it read back.

use std::collections::{BTreeSet, HashMap};

use crate::{
    arrival::Timestamp,
    correlate::{
        identity::RecordRef,
        stored::{StoredDraft, StoredName},
    },
    mail::{Digest, Key},
};

/// Where the changelog has an entry, as its shell counts: an offset.
pub type Place = i64;

/// The changelog, as a shell reads it.
pub trait Changelog {
    /// What lies at these places, in the same order.
    fn read(&mut self, places: &[Place]) -> Result<Vec<StoredDraft>, Unreadable>;

    /// The names alone of what lies at these places, in the same order: all that forgetting it takes.
    fn read_names(&mut self, places: &[Place]) -> Result<Vec<StoredName>, Unreadable> {
        Ok(self.read(places)?.into_iter().map(StoredName::from).collect())
    }
}

/// What was written to the changelog cannot be read back: what was asked is not known, and nothing may be made of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a draft could not be read back: {0}")]
pub struct Unreadable(pub String);

/// The beginning of a key's SHA-256: nobody finds two keys that share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark([u8; 16]);

impl Mark {
    pub fn of(key: &Key) -> Mark {
        Mark(beginning_of(key.as_str()))
    }
}

/// The beginning of the SHA-256 of a record's id: tells the drafts of one Message-ID apart, whoever chose their dates.
type Name = [u8; 16];

/// One part of a draft that rests.
#[derive(Clone, Copy, Debug)]
pub struct RestingPart {
    draft: Name,
    part: u32,
    timer: Timer,
    place: Place,
}

/// What time does to a draft; only its first part has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// It is open, and due then.
    Due(Timestamp),
    Forget(Timestamp),
    None,
}

impl RestingPart {
    /// A part of a record's draft; what time does to the draft counts with its first part alone.
    pub fn new(record: &RecordRef, part: usize, place: Place, timer: Timer) -> RestingPart {
        let timer = if part == 0 { timer } else { Timer::None };
        let part = u32::try_from(part).expect("a draft has at most DRAFT_PARTS_MAX parts");
        RestingPart { draft: draft_name(record), part, timer, place }
    }

    fn is(&self, draft: Name, part: u32) -> bool {
        (self.draft, self.part) == (draft, part)
    }
}

fn draft_name(record: &RecordRef) -> Name {
    beginning_of(&record.to_string())
}

fn beginning_of(text: &str) -> [u8; 16] {
    let mut beginning = [0; 16];
    beginning.copy_from_slice(&Digest::of(text.as_bytes()).0[..16]);
    beginning
}

/// The two kinds of timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Due,
    Forget,
}

/// Nearly every message has one draft of one part: it is kept without a list.
enum Parts {
    One(RestingPart),
    Many(Box<[RestingPart]>),
}

impl Parts {
    fn of(parts: Vec<RestingPart>) -> Parts {
        match parts.as_slice() {
            [part] => Parts::One(*part),
            _ => Parts::Many(parts.into()),
        }
    }

    fn as_slice(&self) -> &[RestingPart] {
        match self {
            Parts::One(part) => std::slice::from_ref(part),
            Parts::Many(parts) => parts,
        }
    }

    fn drafts(&self) -> usize {
        self.as_slice().iter().filter(|part| part.part == 0).count()
    }

    /// Every draft has its first part; of what was noted.
    fn is_whole(&self) -> bool {
        // Each part stands behind those before it.
        self.as_slice().chunk_by(|one, next| one.draft == next.draft).all(|draft| draft[0].part == 0)
    }

    fn open(&self) -> usize {
        self.as_slice().iter().filter(|part| matches!(part.timer, Timer::Due(_))).count()
    }

    /// The first thing that time does to one of the drafts; it is due where any of them is open.
    fn timer(&self) -> Timer {
        let times = self.as_slice().iter().filter_map(|part| match part.timer {
            Timer::Due(at) | Timer::Forget(at) => Some(at),
            Timer::None => None,
        });
        match times.min() {
            Some(at) if self.open() > 0 => Timer::Due(at),
            Some(at) => Timer::Forget(at),
            None => Timer::None,
        }
    }
}

/// What the changelog says of a part: where it is, or that it is no more.
struct Note {
    draft: Name,
    part: u32,
    says: Option<RestingPart>,
}

/// What is noted of a message of several parts, in its order.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    /// Adds a note; before their list grows, those that later ones replace are left out, so that each is moved but a
    /// few times however many there are.
    fn push(&mut self, note: Note) {
        if self.0.len() == self.0.capacity() {
            self.settle();
            self.0.reserve(self.0.len().max(1));
        }
        self.0.push(note);
    }

    /// Leaves the last note of each part, in the order of the parts, and none of those that are no more.
    fn settle(&mut self) {
        let of = |note: &Note| (note.draft, note.part);
        self.0.reverse();
        self.0.sort_by_key(of);
        self.0.dedup_by_key(|note| of(note));
        self.0.retain(|note| note.says.is_some());
    }

    fn into_parts(mut self) -> Vec<RestingPart> {
        self.settle();
        self.0.into_iter().filter_map(|note| note.says).collect()
    }
}

/// A message that rests no more.
pub struct Taken {
    pub mark: Mark,
    /// Where its parts are.
    pub places: Vec<Place>,
    pub drafts: usize,
}

#[derive(Default)]
pub struct Resting {
    messages: HashMap<Mark, Parts>,
    /// Until [`Resting::restored`]: what was noted of messages of several parts.
    several: HashMap<Mark, Notes>,
    due: BTreeSet<(Timestamp, Mark)>,
    forget: BTreeSet<(Timestamp, Mark)>,
    drafts: usize,
    open: usize,
}

impl Resting {
    /// How many drafts rest; of these, how many are open.
    pub fn drafts(&self) -> (usize, usize) {
        (self.drafts, self.open)
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub fn has(&self, key: &Key) -> bool {
        self.messages.contains_key(&Mark::of(key))
    }

    /// When time first reaches one.
    pub fn first(&self, which: Which) -> Option<Timestamp> {
        self.timers(which).first().map(|(at, _)| *at)
    }

    fn timers(&self, which: Which) -> &BTreeSet<(Timestamp, Mark)> {
        match which {
            Which::Due => &self.due,
            Which::Forget => &self.forget,
        }
    }

    /// Lays down all parts of all drafts of a key, of which there is at least one.
    pub fn lay_down(&mut self, key: &Key, parts: Vec<RestingPart>) {
        let (mark, parts) = (Mark::of(key), Parts::of(parts));
        self.drafts += parts.drafts();
        self.open += parts.open();
        match parts.timer() {
            Timer::Due(at) => drop(self.due.insert((at, mark))),
            Timer::Forget(at) => drop(self.forget.insert((at, mark))),
            Timer::None => {}
        }
        self.messages.insert(mark, parts);
    }

    /// Takes a message out, if it rests here.
    pub fn take(&mut self, mark: Mark) -> Option<Taken> {
        let parts = self.messages.remove(&mark)?;
        let drafts = parts.drafts();
        self.drafts -= drafts;
        self.open -= parts.open();
        match parts.timer() {
            Timer::Due(at) => drop(self.due.remove(&(at, mark))),
            Timer::Forget(at) => drop(self.forget.remove(&(at, mark))),
            Timer::None => {}
        }
        Some(Taken { mark, places: parts.as_slice().iter().map(|part| part.place).collect(), drafts })
    }

    /// Takes out those that time reaches first, by `now`, until they have this many parts.
    pub fn take_first(&mut self, which: Which, now: Timestamp, parts_max: usize) -> Vec<Taken> {
        let (mut taken, mut parts) = (Vec::new(), 0);
        while parts < parts_max
            && let Some(&(at, mark)) = self.timers(which).first()
            && at <= now
        {
            let first = self.take(mark).expect("what has a timer rests here");
            parts += first.places.len();
            taken.push(first);
        }
        taken
    }

    /// Notes a part that the changelog has, in place of what was noted of it before. Timers and counts come with
    /// [`Resting::restored`].
    pub fn note(&mut self, mark: Mark, part: RestingPart) {
        let note = |part: RestingPart| Note { draft: part.draft, part: part.part, says: Some(part) };
        if let Some(Parts::One(only)) = self.messages.get_mut(&mark) {
            if only.is(part.draft, part.part) {
                *only = part;
                return;
            }
            let first = note(*only);
            self.messages.remove(&mark);
            self.several.entry(mark).or_default().push(first);
        }
        match self.several.get_mut(&mark) {
            Some(notes) => notes.push(note(part)),
            None => drop(self.messages.insert(mark, Parts::One(part))),
        }
    }

    /// Notes that the changelog has a part no more.
    pub fn note_forgotten(&mut self, record: &RecordRef, part: usize) {
        let (mark, draft) = (Mark::of(&record.key), draft_name(record));
        // A part that has no such number was never noted.
        let Ok(part) = u32::try_from(part) else { return };
        if let Some(notes) = self.several.get_mut(&mark) {
            notes.push(Note { draft, part, says: None });
        } else if self.messages.get(&mark).is_some_and(|parts| parts.as_slice()[0].is(draft, part)) {
            self.messages.remove(&mark);
        }
    }

    /// Ends the noting; false where a draft lacks its first part.
    pub fn restored(&mut self) -> bool {
        for (mark, notes) in std::mem::take(&mut self.several) {
            let parts = notes.into_parts();
            if !parts.is_empty() {
                self.messages.insert(mark, Parts::of(parts));
            }
        }
        let (mut due, mut forget) = (Vec::new(), Vec::with_capacity(self.messages.len()));
        for (mark, parts) in &self.messages {
            if !parts.is_whole() {
                return false;
            }
            self.drafts += parts.drafts();
            self.open += parts.open();
            match parts.timer() {
                Timer::Due(at) => due.push((at, *mark)),
                Timer::Forget(at) => forget.push((at, *mark)),
                Timer::None => {}
            }
        }
        // A set that is made of all at once is sorted once.
        self.due = due.into_iter().collect();
        self.forget = forget.into_iter().collect();
        true
    }
}
