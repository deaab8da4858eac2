//! A changelog in memory, where every value lies at a place of its own and stays.

use bytes::Bytes;
use mailjournal::{
    avro::{self, Schema},
    correlate::{AwakeMax, Changelog, Place, StoredDraft, Unreadable},
    turn::{Outgoing, Output, Written},
};

/// Everything stays at hand.
pub const ALL_AWAKE: AwakeMax = AwakeMax { open: usize::MAX, closed: usize::MAX, large_bytes: usize::MAX };

/// Whatever was written rests.
pub const NONE_AWAKE: AwakeMax = AwakeMax { open: 0, closed: 0, large_bytes: 0 };

#[derive(Default)]
pub struct Lying(Vec<Bytes>);

impl Lying {
    pub fn put(&mut self, value: Bytes) -> Place {
        self.0.push(value);
        Place::try_from(self.0.len()).expect("a short log") - 1
    }

    /// Takes what a turn writes of drafts.
    pub fn take(&mut self, outgoing: &[Outgoing]) -> Vec<Written> {
        let drafts = outgoing.iter().filter(|outgoing| outgoing.output == Output::Drafts);
        let written = drafts.filter_map(|outgoing| {
            let (partition, key) = (outgoing.partition?, outgoing.key.clone()?);
            Some(Written { partition, key, place: self.put(outgoing.value.clone()?) })
        });
        written.collect()
    }

    pub fn fetch(&self, places: &[Place]) -> Result<Vec<Bytes>, String> {
        assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
        let value = |place: &Place| self.0.get(usize::try_from(*place).ok()?).cloned();
        places.iter().map(|place| value(place).ok_or_else(|| format!("nothing lies at {place}"))).collect()
    }
}

impl Changelog for Lying {
    fn read(&mut self, places: &[Place]) -> Result<Vec<StoredDraft>, Unreadable> {
        let value = |place: &Place| self.fetch(&[*place]).map_err(Unreadable);
        let draft = |place| value(place).map(|values| avro::decode(Schema::Draft, &values[0]).expect("a draft"));
        places.iter().map(draft).collect()
    }
}
