//! Entries of the changelog: refused with a reason, or a task that works on, whose own entries are read again, and which
//! publishes the same whether its closed drafts rest or stay at hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Timestamp},
    avro::{self, Schema},
    correlate::{AwakeMax, StoredDraft},
    record::JournalRecord,
};

use super::{
    lying::{ALL_AWAKE, NONE_AWAKE},
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
    let resting = worked_on(changelog.clone(), arrivals.clone(), NONE_AWAKE);
    assert_eq!(resting, worked_on(changelog, arrivals, ALL_AWAKE), "whether drafts rest makes no difference");
}

/// What is published, if the changelog is not refused.
fn worked_on(
    changelog: BTreeMap<Bytes, Bytes>,
    arrivals: Vec<Arrival>,
    awake_max: AwakeMax,
) -> Option<Vec<JournalRecord>> {
    let mut stage = match Stage::restored(changelog, awake_max) {
        Ok(stage) => stage,
        Err(error) => {
            assert!(error.to_string().contains("cannot be worked on"), "{error}");
            return None;
        }
    };
    // What a changelog holds twice shows when both are read, at the latest when they are due.
    stage.try_turn(arrivals, NOW).ok()?;
    stage.try_run_on().ok()?;
    assert_eq!(stage.again().tasks.drafts(), stage.tasks.drafts());
    stage.try_turn(Vec::new(), Timestamp(i64::MAX)).ok()?;
    stage.try_run_on().ok()?;
    assert_eq!(stage.tasks.drafts(), (0, 0), "all is forgotten at the end of time");
    assert!(stage.changelog.is_empty(), "what is forgotten leaves the changelog");
    // Of the messages that are due at one time those at hand come first; each message's records keep their order.
    stage.published.sort_by(|one, other| one.key.cmp(&other.key));
    Some(stage.published)
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
