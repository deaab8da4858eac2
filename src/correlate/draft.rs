//! A draft: the set of evidence of one message, kept in parts as the changelog has them.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    arrival::Timestamp,
    correlate::{
        Place,
        effect::{ClosedNotice, DraftKey},
        identity::RecordRef,
        stored::{Carried, Piece, Published, StoredDraft},
    },
    evidence::{Evidence, Notice},
    mail::Digest,
};

#[derive(Debug, Default)]
pub struct Draft {
    parts: Vec<Part>,
    /// While open: the latest of what came since the last closing. Else: that, or the closing if it was later.
    pub touched_at: Timestamp,
    pub open: bool,
    pub reused: bool,
    pub moved_to: BTreeSet<String>,
    pub published: Option<LastRevision>,
    /// What the closing timers wait for, while `open`.
    pub due: Option<Due>,
}

/// What was last published.
#[derive(Clone, Copy, Debug)]
pub struct LastRevision {
    pub revision: i32,
    pub digest: Digest,
}

/// The next thing that time does to a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Look whether all that is expected is here.
    Look(Timestamp),
    /// Publish what there is.
    Close(Timestamp),
}

impl Due {
    pub fn at(self) -> Timestamp {
        let (Due::Look(at) | Due::Close(at)) = self;
        at
    }
}

#[derive(Debug, Default)]
struct Part {
    pieces: Vec<Piece>,
    /// Which revision carried which original that a piece of this part brought: with its pieces, so that no part grows
    /// with the whole draft.
    carried: Vec<Carried>,
    /// That these take in the changelog, about.
    bytes: usize,
    /// Changed since it was last written.
    dirty: bool,
    /// The changelog has a value for it.
    stored: bool,
    /// The turn that last wrote it, and where that lies, once told.
    written_in: u64,
    place: Option<Place>,
}

impl Draft {
    /// Adds a piece that is not in the set yet, to a part of about so many bytes at most; returns the part it went to.
    pub fn insert(&mut self, piece: Piece, part_bytes_max: usize) -> usize {
        if self.is_empty() {
            self.moved_to.clear();
        }
        let bytes = piece.datum_bytes_at_most();
        let fits = |part: &Part| part.bytes == 0 || part.bytes + bytes <= part_bytes_max;
        if !self.parts.last().is_some_and(fits) {
            self.parts.push(Part::default());
        }
        let index = self.parts.len() - 1;
        let part = &mut self.parts[index];
        part.bytes += bytes;
        part.pieces.push(piece);
        part.dirty = true;
        index
    }

    /// Joins another sighting of a piece; returns the part that has it now, if that told anything new.
    pub fn join(&mut self, part: usize, copy: Piece, part_bytes_max: usize) -> Option<usize> {
        let (index, part) = (part, &mut self.parts[part]);
        let identity = copy.evidence.identity();
        let piece = part.pieces.iter_mut().find(|piece| piece.evidence.identity() == identity);
        let piece = piece.expect("the index names the part that holds the piece");
        let before = piece.datum_bytes_at_most();
        if !piece.join(copy) {
            return None;
        }
        part.bytes = part.bytes - before + piece.datum_bytes_at_most();
        part.dirty = true;
        if part.bytes <= part_bytes_max || part.pieces.len() == 1 {
            return Some(index);
        }
        let piece = self.remove(index, &identity);
        Some(self.insert(piece, part_bytes_max))
    }

    pub fn remove(&mut self, part: usize, identity: &Digest) -> Piece {
        let part = &mut self.parts[part];
        let place = part.pieces.iter().position(|piece| piece.evidence.identity() == *identity);
        let piece = part.pieces.swap_remove(place.expect("the index names the part that holds the piece"));
        part.bytes -= piece.datum_bytes_at_most();
        part.dirty = true;
        piece
    }

    /// Notices have been told, and with each every copy of it, whenever that came.
    pub fn mark_told(&mut self, newly: &[ClosedNotice]) {
        let earlier = self.pieces().filter(|piece| piece.non_delivery_told == Some(true));
        let earlier: Vec<Arc<Evidence>> = earlier.map(|piece| piece.evidence.clone()).collect();
        let newly = newly.iter().map(|closed| &closed.notice);
        let told: HashSet<&Notice> =
            earlier.iter().filter_map(|evidence| evidence.notice.as_ref()).chain(newly).collect();
        if told.is_empty() {
            return;
        }
        for part in &mut self.parts {
            for piece in &mut part.pieces {
                if piece.evidence.notice.as_ref().is_some_and(|notice| told.contains(notice)) {
                    part.dirty |= piece.non_delivery_told.replace(true) != Some(true);
                }
            }
        }
    }

    /// All its parts are restored: what older versions stored otherwise is as it is now.
    pub fn restored(&mut self) {
        if !self.is_empty() {
            self.moved_to.clear();
        }
        // They told a notice with the first revision, and did not keep that they did.
        let told = self.published.is_some();
        for piece in self.parts.iter_mut().flat_map(|part| &mut part.pieces) {
            piece.non_delivery_told.get_or_insert(told);
        }
    }

    /// Which revision carried which original.
    pub fn carried(&self) -> impl Iterator<Item = &Carried> {
        self.parts.iter().flat_map(|part| &part.carried)
    }

    /// Keeps what a revision carries, each beside a piece that brought it.
    pub fn carry(&mut self, newly: Vec<Carried>) {
        let mut newly: HashMap<Digest, Carried> = newly.into_iter().map(|carried| (carried.sha256, carried)).collect();
        for part in &mut self.parts {
            if newly.is_empty() {
                return;
            }
            let brought = part.pieces.iter().flat_map(|piece| &piece.evidence.originals);
            let brought: Vec<Carried> = brought.filter_map(|original| newly.remove(&original.sha256)).collect();
            part.bytes += brought.iter().map(Carried::datum_bytes_at_most).sum::<usize>();
            part.dirty |= !brought.is_empty();
            part.carried.extend(brought);
        }
    }

    /// A revision did not carry an original after all.
    pub fn handle_lost(&mut self, sha256: &Digest, revision: i32) {
        for part in &mut self.parts {
            let lost = |carried: &Carried| (carried.sha256, carried.revision) == (*sha256, revision);
            while let Some(place) = part.carried.iter().position(lost) {
                part.bytes -= part.carried.remove(place).datum_bytes_at_most();
                part.dirty = true;
            }
        }
    }

    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Bytes that it takes in the changelog, about.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| part.pieces.is_empty())
    }

    pub fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.parts.iter().flat_map(|part| &part.pieces)
    }

    /// The pieces with the part that each is in.
    pub fn located(&self) -> impl Iterator<Item = (usize, &Piece)> {
        self.parts.iter().enumerate().flat_map(|(index, part)| part.pieces.iter().map(move |piece| (index, piece)))
    }

    pub fn evidence_of(&self, part: usize, identity: &Digest) -> Option<&Evidence> {
        let part = self.parts.get(part)?;
        part.pieces.iter().find(|piece| piece.evidence.identity() == *identity).map(|piece| &*piece.evidence)
    }

    /// What the first part carries besides pieces has changed.
    pub fn head_changed(&mut self) {
        if self.parts.is_empty() {
            self.parts.push(Part::default());
        }
        self.parts[0].dirty = true;
    }

    /// The parts to write and those to delete in this turn, and nothing is changed any more.
    pub fn take_changes(&mut self, id: &RecordRef, turn: u64) -> (Vec<StoredDraft>, Vec<DraftKey>) {
        let (mut write, mut delete) = (Vec::new(), Vec::new());
        for index in 0..self.parts.len() {
            let part = &mut self.parts[index];
            if !std::mem::take(&mut part.dirty) {
                continue;
            }
            let number = part_number(index);
            if index > 0 && part.pieces.is_empty() && part.carried.is_empty() {
                part.place = None;
                if std::mem::take(&mut part.stored) {
                    delete.push(DraftKey { record_id: id.to_string(), part: number });
                }
                continue;
            }
            (part.stored, part.written_in, part.place) = (true, turn, None);
            let (pieces, carried) = (part.pieces.clone(), part.carried.clone());
            write.push(self.stored(id, number, pieces, carried));
        }
        (write, delete)
    }

    fn stored(&self, id: &RecordRef, part: i32, pieces: Vec<Piece>, carried: Vec<Carried>) -> StoredDraft {
        let head = part == 0;
        let told = self.published.filter(|_| head || !carried.is_empty());
        StoredDraft {
            record_id: id.to_string(),
            key: id.key.clone(),
            part,
            pieces,
            touched_at: self.touched_at,
            open: self.open,
            reused: self.reused,
            moved_to: if head { self.moved_to.iter().cloned().collect() } else { Vec::new() },
            published: told.map(|LastRevision { revision, digest }| Published { revision, digest, carried }),
        }
    }

    /// The parts that the changelog has.
    pub fn stored_parts(&self, id: &RecordRef) -> Vec<DraftKey> {
        let stored = self.parts.iter().enumerate().filter(|(_, part)| part.stored);
        stored.map(|(index, _)| DraftKey { record_id: id.to_string(), part: part_number(index) }).collect()
    }

    /// Whether the changelog has its first part, which tells what is not of one piece.
    pub fn has_first_part(&self) -> bool {
        self.parts.first().is_some_and(|part| part.stored)
    }

    /// Learns where the changelog has what a turn wrote of a part; a later turn may have written it anew.
    pub fn handle_written(&mut self, part: usize, turn: u64, place: Place) {
        if let Some(part) = self.parts.get_mut(part).filter(|part| part.stored && part.written_in == turn) {
            part.place = Some(place);
        }
    }

    /// The changelog has all of it, and it is known where.
    pub fn may_rest(&self) -> bool {
        let at_rest = |part: &Part| !part.dirty && part.stored == part.place.is_some();
        self.has_first_part() && self.parts.iter().all(at_rest)
    }

    /// Where the parts are that the changelog has.
    pub fn places(&self) -> impl Iterator<Item = (usize, Place)> {
        self.parts.iter().enumerate().filter_map(|(index, part)| Some((index, part.place?)))
    }

    /// Takes a part back from the changelog.
    pub fn restore(&mut self, part: usize, place: Place, stored: StoredDraft) {
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, Part::default);
        }
        let published = stored.published.as_ref();
        let published = published.map(|&Published { revision, digest, .. }| LastRevision { revision, digest });
        let carried = stored.published.map(|published| published.carried).unwrap_or_default();
        let bytes = stored.pieces.iter().map(Piece::datum_bytes_at_most).sum::<usize>()
            + carried.iter().map(Carried::datum_bytes_at_most).sum::<usize>();
        self.parts[part] = Part {
            pieces: stored.pieces,
            carried,
            bytes,
            dirty: false,
            stored: true,
            written_in: 0,
            place: Some(place),
        };
        if part == 0 {
            self.touched_at = stored.touched_at;
            self.open = stored.open;
            self.reused = stored.reused;
            self.moved_to = stored.moved_to.into_iter().collect();
            self.published = published;
        }
    }
}

fn part_number(index: usize) -> i32 {
    i32::try_from(index).expect("a draft has fewer parts than memory has room for")
}
