//! Effects → the values that leave. Records are built on every core and leave in the order in which they closed.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    arrival::{Arrival, Format, Input, Position},
    avro::{self, Schema},
    correlate::{Complete, DraftKey, StoredDraft, WantedOriginal},
    evidence::{self, Flag, Rejection},
    mail::{Digest, Key},
    record::{self, JournalActivity, JournalRecord, LedgerRow, NonDelivery, Status, size},
    turn::{
        ArchiveFormat, Bodies, Encoding, Outgoing, Output, TurnOutput, TurnRules, recent::Recent, stray::RECEIVED_AT,
    },
};

/// Turns completed drafts into values for the archive, the activity topic and the NDR topic.
pub struct Publisher<'a> {
    pub rules: &'a TurnRules,
    pub recent: &'a mut Recent,
}

/// The arrivals that hold the originals of a turn's records: at hand, or read again.
enum Held {
    AtHand(Bytes),
    Refetched(Result<Bytes, String>),
}

impl Publisher<'_> {
    /// Gives each record the bytes that it wants, and tells which could not be had.
    pub fn fill(
        self,
        mut completes: Vec<Complete>,
        bodies: &mut dyn Bodies,
        output: &mut TurnOutput,
    ) -> (Vec<Complete>, Vec<Lost>) {
        let rules = self.rules;
        let held = self.gather(&completes, bodies);
        let counts = &mut output.counts;
        counts.records += completes.len() as u64;
        for complete in &completes {
            counts.incomplete += u64::from(complete.record.status == Status::Incomplete);
            counts.superseded += u64::from(complete.record.status == Status::Superseded);
        }
        counts.refetched += held.values().filter(|held| matches!(held, Held::Refetched(Ok(_)))).count() as u64;
        let lost: Vec<Vec<Lost>> = completes.par_iter_mut().map(|complete| fill(complete, &held, rules)).collect();
        let lost: Vec<Lost> = lost.into_iter().flatten().collect();
        counts.lost += lost.len() as u64;
        if !lost.is_empty() {
            correct_references(&mut completes, &lost);
        }
        (completes, lost)
    }

    /// Finds the bytes of every arrival that is wanted. What the records' originals came in is not kept at hand any more,
    /// be it a second copy that was not wanted.
    fn gather(self, completes: &[Complete], bodies: &mut dyn Bodies) -> HashMap<Position, Held> {
        let wanted: BTreeSet<Position> =
            completes.iter().flat_map(|complete| &complete.wanted).map(|wanted| wanted.position).collect();
        let mut held = HashMap::with_capacity(wanted.len());
        let mut missing = Vec::new();
        for position in wanted {
            match self.recent.get(&position) {
                Some(arrival) => drop(held.insert(position, Held::AtHand(arrival))),
                None => missing.push(position),
            }
        }
        completes.iter().flat_map(|complete| &complete.carriers).for_each(|position| self.recent.remove(position));
        if !missing.is_empty() {
            let fetched = bodies.fetch(&missing);
            held.extend(missing.into_iter().zip(fetched.into_iter().map(Held::Refetched)));
        }
        held
    }
}

/// An original that a revision was to carry, whose bytes cannot be had any more.
pub struct Lost {
    pub key: Key,
    pub record_id: String,
    pub revision: i32,
    pub sha256: Digest,
    /// The arrival that had them.
    place: String,
}

fn fill(complete: &mut Complete, held: &HashMap<Position, Held>, rules: &TurnRules) -> Vec<Lost> {
    let Complete { record, wanted, .. } = complete;
    let mut lost = Vec::new();
    for original in wanted {
        match original_bytes(original, held) {
            Ok(bytes) => record.originals[original.index].content = Some(bytes),
            Err(_) => {
                let (key, record_id) = (Key(record.key.as_str().into()), record.record_id.clone());
                let place = rules.rules.topic_names.reference(original.position);
                leave_where_it_arrived(record, original.index, place.clone());
                lost.push(Lost { key, record_id, revision: record.revision, sha256: original.sha256, place });
            }
        }
    }
    lost
}

/// A later revision of the same turn refers to one that was to carry the bytes: it says where they were instead.
fn correct_references(completes: &mut [Complete], lost: &[Lost]) {
    let lost: HashMap<(&str, Digest), &Lost> =
        lost.iter().map(|lost| ((lost.record_id.as_str(), lost.sha256), lost)).collect();
    for Complete { record, .. } in completes {
        for index in 0..record.originals.len() {
            let original = &record.originals[index];
            let Some(lost) = lost.get(&(record.record_id.as_str(), original.sha256)) else { continue };
            if original.reference.as_ref() == Some(&format!("revision:{}", lost.revision)) {
                leave_where_it_arrived(record, index, lost.place.clone());
            }
        }
    }
}

/// The values that leave of the records.
pub fn write(completes: Vec<Complete>, rules: &TurnRules, output: &mut TurnOutput) {
    let built: Vec<Vec<Outgoing>> = completes.into_par_iter().map(|complete| build(complete, rules)).collect();
    output.outgoing.extend(built.into_iter().flatten());
}

fn build(complete: Complete, rules: &TurnRules) -> Vec<Outgoing> {
    let Complete { record, non_deliveries, .. } = complete;
    let mut outgoing = vec![archive(&record, rules), activity(&record, rules)];
    outgoing.extend(non_deliveries.iter().filter_map(|closed| {
        let mut told = NonDelivery::build(&record, &closed.notice, closed.id, closed.original)?;
        if let Some(bytes_max) = rules.rules.value_bytes_max.ndr {
            size::fit_non_delivery(&mut told, bytes_max, || rules.rules.topic_names.reference(closed.position));
        }
        let key = told.message_id.as_deref().unwrap_or(&record.key).to_owned();
        Some(outgoing_value(Output::Ndr, &key, encode(rules.encoding, Schema::NonDelivery, &told, 0)))
    }));
    outgoing
}

/// Cuts an original out of its arrival. What was read again must be what once came: the hash is the proof.
fn original_bytes(wanted: &WantedOriginal, held: &HashMap<Position, Held>) -> Result<Bytes, String> {
    let format = match wanted.position.input {
        Input::Envelopes => Format::EnvelopeEvent,
        Input::Reports | Input::Strays => Format::Mail,
    };
    match &held[&wanted.position] {
        Held::AtHand(arrival) => evidence::original_bytes(arrival, format, &wanted.place),
        Held::Refetched(Ok(arrival)) => {
            let bytes = evidence::original_bytes(arrival, format, &wanted.place)?;
            if Digest::of(&bytes) == wanted.sha256 {
                Ok(bytes)
            } else {
                Err("the bytes at this position are not those that arrived".to_owned())
            }
        }
        Held::Refetched(Err(reason)) => Err(reason.clone()),
    }
}

/// The bytes cannot be had any more: the record says where they were.
fn leave_where_it_arrived(record: &mut JournalRecord, index: usize, place: String) {
    record.originals[index].reference = Some(place);
    if let Err(place) = record.flags.binary_search(&Flag::OriginalByReference) {
        record.flags.insert(place, Flag::OriginalByReference);
    }
}

fn archive(record: &JournalRecord, rules: &TurnRules) -> Outgoing {
    let carried =
        record.originals.iter().filter_map(|original| original.content.as_ref().map(|bytes| (original, bytes)));
    let originals: Vec<(Digest, Bytes)> = carried.map(|(original, bytes)| (original.sha256, bytes.clone())).collect();
    let body_bytes = originals.iter().map(|(_, bytes)| bytes.len()).sum();
    let value = match rules.rules.archive_format {
        ArchiveFormat::Record => encode(rules.encoding, Schema::JournalRecord, record, body_bytes),
        ArchiveFormat::Report => Bytes::from(record::report::build_with_what_is_here(record)),
    };
    Outgoing { originals, ..outgoing_value(Output::Archive, &record.key, value) }
}

fn activity(record: &JournalRecord, rules: &TurnRules) -> Outgoing {
    let mut activity = JournalActivity::of(record);
    let mut value = encode(rules.encoding, Schema::JournalActivity, &activity, 0);
    if let Some(bytes_max) = rules.rules.value_bytes_max.activity.filter(|max| value.len() > *max) {
        size::fit_activity(&mut activity, bytes_max);
        value = encode(rules.encoding, Schema::JournalActivity, &activity, 0);
    }
    outgoing_value(Output::Activity, &record.key, value)
}

fn outgoing_value(output: Output, key: &str, value: Bytes) -> Outgoing {
    Outgoing {
        output,
        partition: None,
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(value),
        headers: Vec::new(),
        originals: Vec::new(),
    }
}

fn encode<T: Serialize>(encoding: Encoding, schema: Schema, value: &T, body_bytes: usize) -> Bytes {
    match encoding {
        Encoding::Avro => avro::encode_sized(schema, value, body_bytes).into(),
        Encoding::Json => serde_json::to_vec(value).expect("published values have nothing that JSON cannot say").into(),
    }
}

/// The ledger rows of a turn, keyed by topic and partition.
pub fn ledger(rows: Vec<LedgerRow>, rules: &TurnRules, output: &mut TurnOutput) {
    output.outgoing.extend(rows.into_iter().map(|row| {
        let key = format!("{}-{}", row.topic, row.partition);
        outgoing_value(Output::Ledger, &key, encode(rules.encoding, Schema::Ledger, &row, 0))
    }));
}

/// A part of a draft, for the changelog.
pub fn draft(partition: i32, stored: &StoredDraft) -> Outgoing {
    let value = avro::encode(Schema::Draft, stored);
    Outgoing {
        partition: Some(partition),
        ..outgoing_value(Output::Drafts, &stored.draft_key().to_text(), value.into())
    }
}

/// The end of a part of a draft.
pub fn forgotten_draft(partition: i32, key: &DraftKey) -> Outgoing {
    let outgoing = outgoing_value(Output::Drafts, &key.to_text(), Bytes::new());
    Outgoing { partition: Some(partition), value: None, ..outgoing }
}

/// A dead letter: the arrival's bytes, key and headers as they came, and headers that say what was wrong.
///
/// The time is a header: a Kafka timestamp far ahead is refused by brokers, and by one long ago they delete at once what
/// is older than a topic's retention. What takes more than `bytes_max` stays where it lies: first the value, and if that
/// is not enough, the key and the headers too.
pub fn rejected(arrival: &Arrival, rejection: &Rejection, topic: &str, bytes_max: Option<usize>) -> Outgoing {
    let Position { partition, offset, .. } = arrival.position;
    let mut said = vec![
        ("topic", topic.to_owned()),
        ("partition", partition.to_string()),
        ("offset", offset.to_string()),
        ("reason", rejection.reason.to_owned()),
        ("detail", rejection.detail.clone()),
    ];
    let letter = |said: &[(&str, String)], came: &[(String, Option<Bytes>)], key, value| {
        let said = said.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(value.clone())));
        let came = came.iter().map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()));
        let mut headers: Vec<(String, Bytes)> = said.chain(came).collect();
        if headers.iter().all(|(name, _)| name != RECEIVED_AT) {
            headers.push((RECEIVED_AT.to_owned(), arrival.at.0.to_string().into()));
        }
        Outgoing { output: Output::Rejected, partition: None, key, value, headers, originals: Vec::new() }
    };
    let fits = |letter: &Outgoing| bytes_max.is_none_or(|max| letter.bytes() <= max);
    let whole = letter(&said, &arrival.headers, arrival.key.clone(), Some(arrival.bytes.clone()));
    if fits(&whole) {
        return whole;
    }
    said.push(("reference", format!("kafka:{topic}/{partition}/{offset}")));
    let without_value = letter(&said, &arrival.headers, arrival.key.clone(), None);
    if fits(&without_value) { without_value } else { letter(&said, &[], None, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sample::{Organisation, What},
        turn::{
            Progress, Tasks,
            fixtures::{self, Nowhere},
        },
    };

    #[test]
    fn a_dead_letter_fits_whatever_came_with_it() {
        let position = Position { input: Input::Envelopes, partition: 3, offset: 7 };
        let rejection = Rejection { reason: "unreadable", detail: "it is nothing".into() };
        let check = |value: usize, key: usize, header: usize, kept: [bool; 3]| {
            let mut arrival = Arrival::new(position, crate::arrival::Timestamp(5), vec![b'v'; value].into());
            arrival.key = Some(vec![b'k'; key].into());
            arrival.headers = vec![("theirs".into(), Some(vec![b'h'; header].into()))];
            let letter = rejected(&arrival, &rejection, "journal.envelopes", Some(1_000));
            assert!(letter.bytes() <= 1_000);
            let has = |name: &str| letter.headers.iter().any(|(header, _)| header == name);
            assert_eq!([letter.value.is_some(), letter.key.is_some(), has("theirs")], kept);
            assert_eq!(has("reference"), !kept[0], "what is not here is where it came in");
            assert!(["topic", "partition", "offset", "reason", "detail", RECEIVED_AT].into_iter().all(has));
        };
        check(500, 10, 10, [true, true, true]);
        check(1_000, 10, 10, [false, true, true]);
        check(10, 10, 1_000, [false, false, false]);
        check(10, 1_000, 10, [false, false, false]);
    }

    #[test]
    fn what_published_records_came_in_is_not_kept_at_hand() {
        let rules = fixtures::rules(1);
        let patience = rules.rules.timing.patience;
        let mut tasks = Tasks::new(rules);
        tasks.assign(0);
        tasks.restored(0).unwrap();
        let arrival = |(offset, (at, bytes))| {
            let position = Position { input: Input::Reports, partition: 0, offset: offset as i64 };
            Arrival::new(position, at, bytes)
        };
        let organisation = Organisation::new(5);
        let mails = organisation.arrivals().take(200).filter_map(|incoming| match incoming.what {
            What::Mail(mail) => Some((incoming.at, mail.bytes)),
            What::Event(_) => None,
        });
        let arrivals: Vec<Arrival> = mails.enumerate().map(arrival).collect();
        let last = arrivals.last().unwrap().at;
        let progress = [Input::Reports, Input::Envelopes, Input::Strays];
        let progress = progress.map(|input| Progress { input, partition: 0, at_end: true });
        let held: usize = arrivals.iter().map(|arrival| arrival.bytes.len()).sum();
        tasks.turn(arrivals, &progress, last, &mut Nowhere).unwrap();
        assert!(tasks.recent.bytes() > held / 4, "nothing has closed yet");
        let output = tasks.turn(Vec::new(), &progress, last.plus(patience), &mut Nowhere).unwrap();
        assert_eq!((output.counts.lost, tasks.recent.bytes()), (0, 0));
    }
}
