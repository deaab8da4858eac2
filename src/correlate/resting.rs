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
        let mut mark = [0; 16];
        mark.copy_from_slice(&Digest::of(key.as_str().as_bytes()).0[..16]);
        Mark(mark)
    }
}

/// One part of a draft that rests.
#[derive(Clone, Copy, Debug)]
pub struct RestingPart {
    /// The beginning of the SHA-256 of the record's id: tells the drafts of one Message-ID apart.
    draft: u64,
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

    fn is(&self, draft: u64, part: u32) -> bool {
        (self.draft, self.part) == (draft, part)
    }
}

fn draft_name(record: &RecordRef) -> u64 {
    let mut name = [0; 8];
    name.copy_from_slice(&Digest::of(record.to_string().as_bytes()).0[..8]);
    u64::from_be_bytes(name)
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

    /// Every draft has its first part.
    fn is_whole(&self) -> bool {
        let parts = self.as_slice();
        parts.iter().all(|part| part.part == 0 || parts.iter().any(|first| first.is(part.draft, 0)))
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
        let Some(parts) = self.messages.get_mut(&mark) else {
            self.messages.insert(mark, Parts::One(part));
            return;
        };
        match parts {
            Parts::One(only) if only.is(part.draft, part.part) => *only = part,
            _ => {
                let mut all = without(parts, part.draft, part.part);
                all.push(part);
                *parts = Parts::of(all);
            }
        }
    }

    /// Notes that the changelog has a part no more.
    pub fn note_forgotten(&mut self, record: &RecordRef, part: usize) {
        let mark = Mark::of(&record.key);
        let Some(parts) = self.messages.get_mut(&mark) else { return };
        // A part that has no such number was never noted.
        let left = u32::try_from(part)
            .map_or_else(|_| parts.as_slice().to_vec(), |part| without(parts, draft_name(record), part));
        if left.is_empty() {
            self.messages.remove(&mark);
        } else {
            *parts = Parts::of(left);
        }
    }

    /// Ends the noting; false where a draft lacks its first part.
    pub fn restored(&mut self) -> bool {
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

fn without(parts: &Parts, draft: u64, part: u32) -> Vec<RestingPart> {
    parts.as_slice().iter().filter(|it| !it.is(draft, part)).copied().collect()
}
