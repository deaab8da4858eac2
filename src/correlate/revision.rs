//! What a closed draft publishes: its next revision, if it says something new, and how that gives each original.

use std::collections::HashMap;

use crate::{
    arrival::Timestamp,
    avro,
    correlate::{
        Complete, Rules, WantedOriginal,
        draft::{Draft, LastRevision},
        entry,
        identity::RecordRef,
        merge,
        stored::Carried,
    },
    evidence::Flag,
    mail::Digest,
    record::{ArchiveFormat, JournalRecord, size},
};

/// The next revision of a draft, unless it would say what the last one said.
pub fn complete(id: &RecordRef, draft: &mut Draft, rules: &Rules, now: Timestamp) -> Option<Complete> {
    let entries = entry::in_order(draft.pieces());
    let (mut record, wanted, non_deliveries) = if entries.is_empty() {
        (superseded(id, draft), Vec::new(), Vec::new())
    } else {
        let merge::Merge { record, wanted, notices } = merge::merge(id, &entries, draft.reused, &rules.topic_names);
        (record, wanted, notices)
    };
    let carriers = entries.iter().flat_map(|entry| entry.originals().map(|(seen, _)| seen.position)).collect();
    let digest = Digest::of(&avro::encode_datum(&record));
    if draft.published.is_some_and(|last| last.digest == digest) {
        return None;
    }
    record.revision = 1 + draft.published.map_or(0, |last| last.revision);
    record.closed_at = now.0;
    draft.published = Some(LastRevision { revision: record.revision, digest });
    let wanted = carry(&mut record, wanted, draft, rules);
    draft.mark_told(&non_deliveries);
    Some(Complete { record, wanted, carriers, non_deliveries })
}

fn superseded(id: &RecordRef, draft: &Draft) -> JournalRecord {
    let mut record = merge::empty_record(id);
    record.superseded_by = draft.moved_to.iter().cloned().collect();
    record.certificate.reason =
        "All of its evidence has gone to other records, which more evidence told it from.".into();
    (record.first_evidence_at, record.last_evidence_at) = (draft.touched_at.0, draft.touched_at.0);
    record
}

/// Decides for each original how this revision gives it: its bytes, the earlier revision that carried it, or, where it
/// does not fit the topic, the place where it arrived; and cuts a record that does not fit without any. Returns those
/// whose bytes are wanted.
fn carry(
    record: &mut JournalRecord,
    wanted: Vec<WantedOriginal>,
    draft: &mut Draft,
    rules: &Rules,
) -> Vec<WantedOriginal> {
    let carried: HashMap<Digest, &Carried> = draft.carried().map(|carried| (carried.sha256, carried)).collect();
    let again = rules.archive_format == ArchiveFormat::Report;
    let mut by_reference = record.flags.contains(&Flag::OriginalByReference);
    let mut waiting = Vec::new();
    for original in wanted {
        let earlier = carried.get(&original.sha256).filter(|carried| !again || carried.reference.is_some());
        let reference = match earlier {
            Some(Carried { reference: Some(reference), .. }) => reference.clone(),
            Some(Carried { revision, .. }) => format!("revision:{revision}"),
            None => rules.topic_names.reference(original.position),
        };
        record.originals[original.index].reference = Some(reference);
        by_reference |= earlier.is_some_and(|carried| carried.reference.is_some());
        if earlier.is_none() {
            waiting.push(original);
        }
    }
    let fitting = take_fitting(record, &waiting, rules);
    by_reference |= fitting.len() < waiting.len();
    if !by_reference {
        record.flags.retain(|flag| *flag != Flag::OriginalByReference);
    }
    let newly = waiting.iter().filter(|original| !carried.contains_key(&original.sha256)).map(|original| {
        let reference = record.originals.get(original.index).and_then(|recorded| recorded.reference.clone());
        Carried { sha256: original.sha256, revision: record.revision, reference }
    });
    let newly: Vec<Carried> = newly.collect();
    draft.carry(newly);
    fitting
}

/// Those whose bytes fit beside the record, which is flagged, cut and referring as if none did.
fn take_fitting(record: &mut JournalRecord, waiting: &[WantedOriginal], rules: &Rules) -> Vec<WantedOriginal> {
    if let Err(place) = record.flags.binary_search(&Flag::OriginalByReference) {
        record.flags.insert(place, Flag::OriginalByReference);
    }
    let format = rules.archive_format;
    let mut room = usize::MAX;
    if let Some(bytes_max) = rules.value_bytes_max.archive {
        room = bytes_max.saturating_sub(size::fit_record(record, bytes_max, format));
    }
    let mut fitting = Vec::new();
    for original in waiting {
        let Some(recorded) = record.originals.get_mut(original.index) else { continue };
        let content_bytes = usize::try_from(original.size).unwrap_or(usize::MAX);
        let bytes = size::original_bytes_at_most(content_bytes, original.as_it_is, format);
        if let Some(left) = room.checked_sub(bytes) {
            room = left;
            recorded.reference = None;
            fitting.push(original.clone());
        }
    }
    fitting
}
