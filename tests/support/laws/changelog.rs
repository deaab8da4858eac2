//! Entries of the changelog: refused with a reason, or a task that works on, whose own entries are read again.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailjournal::{
    arrival::Timestamp,
    avro::{self, Schema},
    correlate::StoredDraft,
};

use super::{
    parts,
    stage::{self, Stage},
};

/// Behind all arrivals.
const NOW: Timestamp = Timestamp(1_772_438_500_000);

/// The parts: drafts (framed, or as JSON), each under its key; a draft behind a `!` stands under another; and mails.
pub fn restored(input: &[u8]) {
    let mut changelog = BTreeMap::new();
    let mut arrivals = Vec::new();
    for (index, part) in parts(input).into_iter().enumerate() {
        match entry(part) {
            Some((key, value)) => drop(changelog.insert(key, value)),
            None => arrivals.push(stage::arrival(part, index, Timestamp(1_772_438_400_000))),
        }
    }
    let mut stage = match Stage::restored(changelog) {
        Ok(stage) => stage,
        Err(error) => return assert!(error.to_string().contains("cannot read"), "{error}"),
    };
    stage.turn(arrivals, NOW);
    stage.run_on();
    let again = Stage::restored(stage.changelog.clone()).expect("what a task writes is restored");
    assert_eq!(again.tasks.drafts(), stage.tasks.drafts());
    stage.turn(Vec::new(), Timestamp(i64::MAX));
    stage.run_on();
    assert_eq!(stage.tasks.drafts(), (0, 0), "all is forgotten at the end of time");
    assert!(stage.changelog.is_empty(), "what is forgotten leaves the changelog");
}

fn entry(part: &[u8]) -> Option<(Bytes, Bytes)> {
    let (elsewhere, part) = part.strip_prefix(b"!").map_or((false, part), |rest| (true, rest));
    let draft = match serde_json::from_slice::<StoredDraft>(part) {
        Ok(draft) => Ok(draft),
        Err(_) if avro::is_framed(part) => avro::decode(Schema::Draft, part),
        Err(_) => return None,
    };
    let key = draft.as_ref().map_or_else(|_| "<unread>".to_owned(), |draft| draft.draft_key().to_text());
    let key = if elsewhere { format!("{key}#") } else { key };
    let value = draft.map_or_else(|_| Bytes::copy_from_slice(part), |draft| avro::encode(Schema::Draft, &draft).into());
    Some((key.into(), if avro::is_framed(part) { Bytes::copy_from_slice(part) } else { value }))
}
