//! How many bytes a value takes of its topic, and what is left out of one that does not fit. The longest lists are cut,
//! the least of their news first; a pure function of the value, so the same evidence is cut alike wherever it is merged.

use serde::Serialize;

use super::{Flag, JournalActivity, JournalRecord, NonDelivery, Recipient, report};
use crate::{
    avro::{self, FRAME_BYTES},
    limits,
};

/// What the archive carries (`archive.format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFormat {
    /// The record, as Avro.
    Record,
    /// One merged journal report.
    Report,
}

/// The largest value that each topic takes, bytes. None: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueBytesMax {
    pub archive: Option<usize>,
    pub activity: Option<usize>,
    pub ndr: Option<usize>,
}

/// Bytes that a record takes in the archive at most, with the originals whose bytes are in it.
pub fn archive_bytes_at_most(record: &JournalRecord, format: ArchiveFormat) -> usize {
    let contents = record.originals.iter().filter_map(|original| original.content.as_ref());
    let carried: usize = contents.map(|content| original_bytes_at_most(content.len(), false, format)).sum();
    let bare = match carried {
        0 => avro::encode_datum(record),
        _ => avro::encode_datum(&record.without_content()),
    };
    let bare = bare.len() + FRAME_BYTES;
    carried
        + match format {
            ArchiveFormat::Record => bare,
            ArchiveFormat::Report => base64_bytes(bare) + report::bytes_beside_record_at_most(record),
        }
}

/// Bytes that an original of this size adds to that. In a report what is not `as_it_is` stands in base64.
pub fn original_bytes_at_most(size: usize, as_it_is: bool, format: ArchiveFormat) -> usize {
    match (format, as_it_is) {
        (ArchiveFormat::Record, _) => size.saturating_add(limits::VALUE_FIELD_BYTES),
        (ArchiveFormat::Report, true) => size.saturating_add(limits::REPORT_PART_BYTES),
        (ArchiveFormat::Report, false) => base64_bytes(size).saturating_add(limits::REPORT_PART_BYTES),
    }
}

/// Base64 in lines of 76 octets and their ends.
fn base64_bytes(size: usize) -> usize {
    let digits = size.div_ceil(3).saturating_mul(4);
    digits.saturating_add(digits.div_ceil(76).saturating_mul(2))
}

/// Cuts a record without contents to what fits; returns the bytes that it takes at most.
pub fn fit_record(record: &mut JournalRecord, bytes_max: usize, format: ArchiveFormat) -> usize {
    let bytes = |record: &JournalRecord| archive_bytes_at_most(record, format);
    let taken = bytes(record);
    if taken <= bytes_max {
        return taken;
    }
    if let Err(place) = record.flags.binary_search(&Flag::Truncated) {
        record.flags.insert(place, Flag::Truncated);
    }
    record.certificate.reason.push_str(" The record was cut to fit its topic: its evidence says more than it lists.");
    let cost = |datum: usize| match format {
        ArchiveFormat::Record => datum,
        // Beside what it takes alone, for it begins anywhere in the three bytes of a base64 group and in a line.
        ArchiveFormat::Report => base64_bytes(datum) + 8,
    };
    let text = |recipient: &Recipient| match format {
        ArchiveFormat::Record => 0,
        ArchiveFormat::Report => report::recipient_text_bytes_at_most(recipient),
    };
    let with_text = |one: &Recipient| cost(datum_bytes(one)) + text(one);
    // What repeats other lists goes first, what only this record says last.
    let _ = cut(record, bytes_max, bytes, |record| &mut record.certificate.expected, |one| cost(datum_bytes(one)))
        || cut_paths(record, bytes_max, bytes, with_text)
        || cut(record, bytes_max, bytes, |record| &mut record.recipients, with_text)
        || cut(record, bytes_max, bytes, |record| &mut record.groups, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.unresolved, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.superseded_by, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.from, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.network_message_ids, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.journals, |one| cost(datum_bytes(one)))
        || cut(record, bytes_max, bytes, |record| &mut record.evidence, |one| cost(datum_bytes(one)))
        || cut(
            record,
            bytes_max,
            bytes,
            |record| &mut record.originals,
            |one| cost(datum_bytes(one)) + report::reference_bytes_at_most(one),
        );
    bytes(record)
}

/// Cuts an activity value to what fits; its counts stay.
pub fn fit_activity(activity: &mut JournalActivity, bytes_max: usize) {
    let bytes = |activity: &JournalActivity| framed_bytes(activity);
    if bytes(activity) <= bytes_max {
        return;
    }
    if let Err(place) = activity.flags.binary_search(&Flag::Truncated) {
        activity.flags.insert(place, Flag::Truncated);
    }
    let lists: [fn(&mut JournalActivity) -> &mut Vec<String>; 10] = [
        |activity| &mut activity.missing,
        |activity| &mut activity.recipients,
        |activity| &mut activity.recipient_domains,
        |activity| &mut activity.unresolved,
        |activity| &mut activity.groups,
        |activity| &mut activity.servers,
        |activity| &mut activity.superseded_by,
        |activity| &mut activity.from,
        |activity| &mut activity.network_message_ids,
        |activity| &mut activity.journals,
    ];
    let _ = lists.into_iter().any(|list| cut(activity, bytes_max, bytes, list, datum_bytes));
}

/// Takes the notice's own bytes out of a value that does not fit, then cuts its lists: `reference` is where they lie.
pub fn fit_non_delivery(told: &mut NonDelivery, bytes_max: usize, reference: impl FnOnce() -> String) {
    let bytes = |told: &NonDelivery| framed_bytes(told);
    if bytes(told) <= bytes_max {
        return;
    }
    told.notice = None;
    told.reference.get_or_insert_with(reference);
    let fits = bytes(told) <= bytes_max;
    let _ = fits
        || cut(told, bytes_max, bytes, |told| &mut told.recipients, datum_bytes)
        || cut(told, bytes_max, bytes, |told| &mut told.failed, datum_bytes);
}

fn framed_bytes<T: Serialize>(value: &T) -> usize {
    datum_bytes(value) + FRAME_BYTES
}

fn datum_bytes<T: Serialize>(value: &T) -> usize {
    avro::encode_datum(value).len()
}

/// Keeps as much of the beginning of a list as fits; says whether the value fits then.
fn cut<V, T>(
    value: &mut V,
    bytes_max: usize,
    bytes: impl Fn(&V) -> usize,
    list: impl Fn(&mut V) -> &mut Vec<T>,
    cost: impl Fn(&T) -> usize,
) -> bool {
    let mut items = std::mem::take(list(value));
    let fixed = bytes(value) + limits::VALUE_FIELD_BYTES;
    items.truncate(fitting(bytes_max.saturating_sub(fixed), items.iter().map(cost)));
    *list(value) = items;
    fixed <= bytes_max
}

/// As [`cut`], for the paths of all recipients: the first recipients keep theirs.
fn cut_paths(
    record: &mut JournalRecord,
    bytes_max: usize,
    bytes: impl Fn(&JournalRecord) -> usize,
    cost: impl Fn(&Recipient) -> usize,
) -> bool {
    let costs: Vec<usize> = record.recipients.iter().map(cost).collect();
    let paths: Vec<_> = record.recipients.iter_mut().map(|one| std::mem::take(&mut one.paths)).collect();
    let fixed = bytes(record);
    let kept = fitting(bytes_max.saturating_sub(fixed), costs.into_iter());
    for (recipient, paths) in record.recipients.iter_mut().zip(paths).take(kept) {
        recipient.paths = paths;
    }
    fixed <= bytes_max
}

/// How many of the first of these costs fit.
fn fitting(mut room: usize, costs: impl Iterator<Item = usize>) -> usize {
    costs.take_while(|cost| room.checked_sub(*cost).inspect(|left| room = *left).is_some()).count()
}
