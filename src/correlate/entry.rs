//! The entries of `evidence[]`. Each is one piece, but for an envelope event that was told several times: its tellings
//! are one entry, and what they claim is united, for a later telling may leave out what an earlier one said.

use std::{collections::HashMap, iter};

use crate::{
    correlate::stored::{Piece, Seen},
    evidence::{Evidence, Flag, GroupClaim, Kind, Original, RecipientClaim},
};

pub struct Entry<'a> {
    /// The telling of the lowest id: the entry's id, place and time are its.
    pub first: &'a Piece,
    /// The others, by id.
    retold: Vec<&'a Piece>,
}

/// The pieces as entries, in the order of their ids: an order of the data, not of arrival.
pub fn in_order<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Vec<Entry<'a>> {
    let mut pieces: Vec<&Piece> = pieces.collect();
    pieces.sort_unstable_by_key(|piece| (piece.evidence.id, piece.evidence.kind));
    let mut events = HashMap::new();
    let mut entries: Vec<Entry> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let known = piece.event_name().map(|name| *events.entry(name).or_insert(entries.len()));
        match known.and_then(|index| entries.get_mut(index)) {
            Some(entry) => entry.retold.push(piece),
            None => entries.push(Entry { first: piece, retold: Vec::new() }),
        }
    }
    entries
}

impl<'a> Entry<'a> {
    pub fn kind(&self) -> Kind {
        self.first.evidence.kind
    }

    pub fn server(&self) -> Option<&'a str> {
        self.first.server()
    }

    /// By id, the lowest first.
    pub fn tellings(&self) -> impl Iterator<Item = &'a Piece> {
        iter::once(self.first).chain(self.retold.iter().copied())
    }

    /// What the telling of the lowest id that tells it says.
    pub fn first_told<T>(&self, tell: impl Fn(&'a Evidence) -> Option<T>) -> Option<T> {
        self.tellings().find_map(|piece| tell(&piece.evidence))
    }

    pub fn recipients(&self) -> impl Iterator<Item = &'a RecipientClaim> {
        self.tellings().flat_map(|piece| &piece.evidence.recipients)
    }

    pub fn groups(&self) -> impl Iterator<Item = &'a GroupClaim> {
        self.tellings().flat_map(|piece| &piece.evidence.groups)
    }

    /// Each with where the arrival was seen that has it.
    pub fn originals(&self) -> impl Iterator<Item = (&'a Seen, &'a Original)> {
        self.tellings().flat_map(|piece| piece.evidence.originals.iter().map(|original| (&piece.seen, original)))
    }

    pub fn journals(&self) -> impl Iterator<Item = &'a String> {
        self.tellings().flat_map(Piece::recorded_journals)
    }

    pub fn flags(&self) -> impl Iterator<Item = Flag> {
        self.tellings().flat_map(|piece| piece.evidence.flags.iter().copied())
    }

    /// An event that names journal addresses says that its server sends a report of its own.
    pub fn promises_report(&self) -> bool {
        self.kind() == Kind::EnvelopeEvent && self.tellings().any(|piece| !piece.evidence.journaled_to.is_empty())
    }

    /// Whether it tells an envelope: an event, or a report whose text could be read.
    pub fn tells_envelope(&self) -> bool {
        match self.kind() {
            Kind::EnvelopeEvent => true,
            Kind::Report => !self.first.evidence.flags.contains(&Flag::EnvelopeUnparsed),
            Kind::Notice | Kind::PlainCopy => false,
        }
    }
}
