//! Which message of a key a piece of evidence belongs to (contract §4.2). A Message-ID groups; the guard of an original
//! tells the messages of one id apart; what no original guards is placed by agreement, or stands alone.

use std::{collections::HashMap, fmt};

use crate::{
    evidence::Evidence,
    limits,
    mail::{Digest, Guard, Key},
};

/// Which of a key's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tag {
    /// Evidence that no original guards yet.
    Loose,
    /// The message that this guard tells from others of its id.
    Guarded(Guard),
    /// One piece that several messages of the id could claim.
    Ambiguous([u8; 8]),
}

/// A record by key and tag; written as its `record_id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRef {
    pub key: Key,
    pub tag: Tag,
}

impl fmt::Display for RecordRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.tag {
            Tag::Loose => write!(f, "{}", self.key),
            Tag::Guarded(guard) => write!(f, "{}#{guard}", self.key),
            Tag::Ambiguous(short) => write!(f, "{}#~{:016x}", self.key, u64::from_be_bytes(short)),
        }
    }
}

impl RecordRef {
    /// Reads a `record_id` of `key`; none if it is not one of that key's.
    pub fn parse(key: &Key, record_id: &str) -> Option<RecordRef> {
        let rest = record_id.strip_prefix(key.as_str())?;
        let tag = match rest.strip_prefix('#') {
            None if rest.is_empty() => Tag::Loose,
            None => return None,
            Some(hex) => match hex.strip_prefix('~') {
                Some(hex) => Tag::Ambiguous(short(hex)?),
                None => Tag::Guarded(Guard(short(hex)?)),
            },
        };
        Some(RecordRef { key: key.clone(), tag })
    }
}

fn short(hex: &str) -> Option<[u8; 8]> {
    let number = u64::from_str_radix(hex, 16).ok()?;
    (hex.len() == 16).then(|| number.to_be_bytes())
}

/// The guard that a piece brings: that of its first original which has one.
pub fn guard_of(evidence: &Evidence) -> Option<Guard> {
    evidence.originals.iter().find_map(|original| original.guard)
}

/// Something by which an unguarded piece can be told to a message: 16 bytes of a digest of a body, of an original's
/// bytes, or of a subject and a sender.
type Mark = [u8; 16];

fn mark(kind: &str, first: &[u8], second: &[u8]) -> Mark {
    let digest = Digest::of_joined(&[kind.as_bytes(), first, second]);
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest.0[..16]);
    mark
}

/// Bodies and whole originals, by which an original without From and Date finds its message.
fn body_marks(evidence: &Evidence) -> impl Iterator<Item = Mark> {
    evidence.originals.iter().filter(|original| !original.decrypted).flat_map(|original| {
        let body = original.body_sha256.map(|body| mark("body", &body.0, b""));
        [Some(mark("bytes", &original.sha256.0, b"")), body].into_iter().flatten()
    })
}

/// Every pair of a subject and a sender that the evidence tells.
fn pair_marks(evidence: &Evidence) -> Vec<Mark> {
    let originals = || evidence.originals.iter().filter(|original| !original.decrypted);
    let subjects = evidence.subject.iter().chain(originals().filter_map(|original| original.subject.as_ref()));
    let senders = evidence.sender.iter().chain(originals().flat_map(|original| &original.from));
    let senders: Vec<String> = senders.take(limits::AGREEING_SENDERS_MAX).map(|sender| sender.to_lowercase()).collect();
    let mut marks = Vec::new();
    for subject in subjects {
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        marks.extend(senders.iter().map(|sender| mark("pair", subject.as_bytes(), sender.as_bytes())));
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// Who claims a mark among the messages of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    One(Guard),
    Several,
}

/// Tells the messages of one reused id apart. Exists only for keys with several guards, so that ordinary keys pay
/// nothing. Owners only ever grow, so each unguarded piece moves a bounded number of times, and the cost of a key stays
/// linear in its evidence.
#[derive(Debug, Default)]
pub struct Index {
    owners: HashMap<Mark, Owner>,
    /// The unguarded pieces that a change of a mark's owner may move.
    waiting: HashMap<Mark, Vec<Digest>>,
}

impl Index {
    /// Takes in a guarded piece; returns the unguarded pieces that have to be placed anew.
    pub fn add_guarded(&mut self, guard: Guard, evidence: &Evidence) -> Vec<Digest> {
        let mut affected = Vec::new();
        for mark in body_marks(evidence).chain(pair_marks(evidence)) {
            let owner = self.owners.entry(mark);
            let changed = match owner {
                std::collections::hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(Owner::One(guard));
                    true
                }
                std::collections::hash_map::Entry::Occupied(mut occupied) => match occupied.get() {
                    Owner::One(other) if *other != guard => {
                        occupied.insert(Owner::Several);
                        true
                    }
                    _ => false,
                },
            };
            if changed && let Some(waiting) = self.waiting.get(&mark) {
                affected.extend_from_slice(waiting);
            }
        }
        affected.sort_unstable();
        affected.dedup();
        affected
    }

    /// Takes note of an unguarded piece, so that it is found when an owner changes.
    pub fn add_unguarded(&mut self, evidence: &Evidence) {
        for mark in body_marks(evidence).chain(pair_marks(evidence)) {
            self.waiting.entry(mark).or_default().push(evidence.id);
        }
    }

    /// The only message that an unguarded piece agrees with.
    pub fn place(&self, evidence: &Evidence) -> Option<Guard> {
        self.sole_owner(body_marks(evidence)).or_else(|| self.sole_owner(pair_marks(evidence).into_iter()))
    }

    fn sole_owner(&self, marks: impl Iterator<Item = Mark>) -> Option<Guard> {
        let mut sole = None;
        for owner in marks.filter_map(|mark| self.owners.get(&mark)) {
            match (owner, sole) {
                (Owner::One(guard), None) => sole = Some(*guard),
                (Owner::One(guard), Some(other)) if *guard == other => {}
                _ => return None,
            }
        }
        sole
    }
}
