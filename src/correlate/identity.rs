//! Which message of a key a piece of evidence belongs to (contract §4.2). A Message-ID groups; the guard of an original
//! tells the messages of one id apart; what no original guards is placed by agreement, or stands alone.

use std::{collections::BTreeSet, fmt};

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

    /// Reads the key of a part of a draft ([`DraftKey::to_text`](super::DraftKey::to_text)): whose it is, and which part.
    /// A key is a stand-in, which holds no `#`, or ends with `>`; so what stands behind its last one tells the tag.
    pub fn of_draft_key(text: &str) -> Option<(RecordRef, usize)> {
        let numbered = text.rsplit_once('\0').and_then(|(id, part)| Some((id, part.parse().ok()?)));
        let (record_id, part) = numbered.unwrap_or((text, 0));
        let key = if record_id.ends_with('>') {
            record_id
        } else {
            record_id.rsplit_once('#').map_or(record_id, |(key, _)| key)
        };
        Some((RecordRef::parse(&Key(key.into()), record_id)?, part))
    }
}

fn short(hex: &str) -> Option<[u8; 8]> {
    // As it is written, and not otherwise: two spellings would be two drafts of one record.
    let is_ours = hex.len() == 16 && hex.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_ours.then(|| u64::from_str_radix(hex, 16).ok()).flatten().map(u64::to_be_bytes)
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

fn marks(evidence: &Evidence) -> impl Iterator<Item = Mark> {
    body_marks(evidence).chain(pair_marks(evidence))
}

/// Every pair of a subject and a sender that the evidence tells.
fn pair_marks(evidence: &Evidence) -> Vec<Mark> {
    let originals = || evidence.originals.iter().filter(|original| !original.decrypted);
    let subjects = evidence.subject.iter().chain(originals().filter_map(|original| original.subject.as_ref()));
    // The lowest of the From, however they are ordered there.
    let from: BTreeSet<String> =
        originals().flat_map(|original| &original.from).map(|sender| sender.to_lowercase()).collect();
    let from = from.into_iter().take(limits::AGREEING_SENDERS_MAX);
    let senders: Vec<String> = evidence.sender.iter().map(|sender| sender.to_lowercase()).chain(from).collect();
    let mut marks = Vec::new();
    for subject in subjects {
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        marks.extend(senders.iter().map(|sender| mark("pair", subject.as_bytes(), sender.as_bytes())));
    }
    marks.sort_unstable();
    marks.dedup();
    marks
}

/// Tells the messages of one reused id apart. Exists only for keys with several guards, so that ordinary keys pay
/// nothing. It is what the pieces that are here add up to, and shrinks with them. A mark's first and second message may
/// move the pieces that wait on it, further ones move nothing: so the cost of a key stays linear in its evidence.
#[derive(Debug, Default)]
pub struct Index {
    /// The messages that claim each mark.
    claims: BTreeSet<(Mark, Guard)>,
    /// The unguarded pieces that a change of a mark's claims may move.
    waiting: BTreeSet<(Mark, Digest)>,
}

impl Index {
    /// Takes in a guarded piece; returns the unguarded pieces that have to be placed anew.
    pub fn add_guarded(&mut self, guard: Guard, evidence: &Evidence) -> BTreeSet<Digest> {
        let mut affected = BTreeSet::new();
        for mark in marks(evidence) {
            if self.claims.insert((mark, guard)) && self.claimants(mark).nth(2).is_none() {
                affected.extend(those_of(&self.waiting, mark, Digest([0; 32])));
            }
        }
        affected
    }

    /// Takes note of an unguarded piece, so that it is found when a mark's claims change.
    pub fn add_unguarded(&mut self, evidence: &Evidence) {
        self.waiting.extend(marks(evidence).map(|mark| (mark, evidence.identity())));
    }

    /// Leaves out a piece whose draft goes, and with it everything that its message claims.
    pub fn remove(&mut self, evidence: &Evidence) {
        let guard = guard_of(evidence);
        for mark in marks(evidence) {
            match guard {
                Some(guard) => self.claims.remove(&(mark, guard)),
                None => self.waiting.remove(&(mark, evidence.identity())),
            };
        }
    }

    /// The only message that an unguarded piece agrees with.
    pub fn place(&self, evidence: &Evidence) -> Option<Guard> {
        self.sole_claimant(body_marks(evidence)).or_else(|| self.sole_claimant(pair_marks(evidence).into_iter()))
    }

    fn sole_claimant(&self, marks: impl Iterator<Item = Mark>) -> Option<Guard> {
        let mut claimants = marks.flat_map(|mark| self.claimants(mark).take(2));
        let first = claimants.next()?;
        claimants.all(|other| other == first).then_some(first)
    }

    fn claimants(&self, mark: Mark) -> impl Iterator<Item = Guard> {
        those_of(&self.claims, mark, Guard([0; 8]))
    }
}

fn those_of<T: Copy + Ord>(set: &BTreeSet<(Mark, T)>, mark: Mark, lowest: T) -> impl Iterator<Item = T> {
    set.range((mark, lowest)..).take_while(move |(of, _)| *of == mark).map(|(_, one)| *one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlate::DraftKey;

    #[test]
    fn a_drafts_key_tells_whose_part_it_is() {
        let keys = ["<a@b>", "<a#0123456789abcdef@b>", "<a\u{0}1@b>", "<#>", "sha256:00ff"];
        let tags = [Tag::Loose, Tag::Guarded(Guard([7; 8])), Tag::Ambiguous([0xFE; 8])];
        for (key, tag) in keys.iter().flat_map(|key| tags.iter().map(move |tag| (*key, *tag))) {
            let record = RecordRef { key: Key(key.into()), tag };
            for part in [0, 1, 23] {
                let text = DraftKey { record_id: record.to_string(), part }.to_text();
                let part = usize::try_from(part).unwrap();
                assert_eq!(RecordRef::of_draft_key(&text), Some((record.clone(), part)), "{text:?}");
            }
        }
        for wrong in ["<a@b>#12", "<a@b>#~zz", "sha256:00#"] {
            assert_eq!(RecordRef::of_draft_key(wrong), None, "{wrong}");
        }
    }
}
