//! Messages of which nothing is expected any more, as bytes. A published draft is remembered for days in case a late piece
//! comes, and is a fraction of its size meanwhile; whoever asks for it wakes it.

use std::collections::{BTreeSet, HashMap};

use crate::{
    arrival::Timestamp,
    avro,
    correlate::stored::StoredDraft,
    mail::{Digest, Key},
};

/// The beginning of a key's SHA-256: nobody finds two keys that share it.
type Mark = [u8; 16];

fn mark(key: &Key) -> Mark {
    let digest = Digest::of(key.as_str().as_bytes());
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest.0[..16]);
    mark
}

#[derive(Default)]
pub struct Resting {
    messages: HashMap<Mark, Packed>,
    /// When the first draft of each key is to be forgotten.
    forget: BTreeSet<(Timestamp, Mark)>,
    drafts: usize,
}

/// All drafts of one key.
struct Packed {
    /// Each part of each draft as the changelog has it, one behind the other.
    parts: Box<[u8]>,
    drafts: usize,
    forget_at: Timestamp,
}

impl Resting {
    /// How many drafts rest.
    pub fn drafts(&self) -> usize {
        self.drafts
    }

    /// Lays down all parts of all drafts of a key, of which there is at least one.
    pub fn lay_down(&mut self, key: &Key, parts: &[StoredDraft], forget_at: Timestamp) {
        let mark = mark(key);
        let mut packed = Vec::new();
        for part in parts {
            packed.extend(avro::encode_datum(part));
        }
        let drafts = parts.iter().filter(|part| part.part == 0).count();
        self.drafts += drafts;
        self.forget.insert((forget_at, mark));
        self.messages.insert(mark, Packed { parts: packed.into(), drafts, forget_at });
    }

    /// Takes a key's drafts out; nothing if it has none here.
    pub fn wake(&mut self, key: &Key) -> Vec<StoredDraft> {
        if self.messages.is_empty() { Vec::new() } else { self.take(mark(key)) }
    }

    /// Takes out the drafts of the key that is the first to be forgotten, if it is to be by now.
    pub fn wake_due(&mut self, now: Timestamp) -> Vec<StoredDraft> {
        match self.forget.first() {
            Some((at, mark)) if *at <= now => self.take(*mark),
            _ => Vec::new(),
        }
    }

    fn take(&mut self, mark: Mark) -> Vec<StoredDraft> {
        let Some(Packed { parts, drafts, forget_at }) = self.messages.remove(&mark) else { return Vec::new() };
        self.forget.remove(&(forget_at, mark));
        self.drafts -= drafts;
        let mut woken = Vec::with_capacity(drafts);
        let mut rest = &parts[..];
        while !rest.is_empty() {
            woken.push(avro::decode_datum(&mut rest).expect("it was written here, by this version"));
        }
        woken
    }
}
