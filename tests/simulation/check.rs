//! What must hold after every step, of what became visible; and at the end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::{Piece, Place, Seen},
    mail::Digest,
    record::{Disposition, JournalRecord, LedgerRow, Status},
    turn::{
        Output, Progress, Tasks,
        home::home_partition,
        instance::{Positions, input_partitions},
    },
};

use crate::{
    kafka::{Kafka, Topic, Visible},
    process::arrival,
    script::{Script, read_as},
    support::model,
    world::{Broken, EPOCH, rules},
};

/// Up to when a record of each partition may be closed.
pub type Limits = BTreeMap<i32, i64>;

#[derive(Default)]
pub struct Check {
    partitions: i32,
    positions: Positions,
    /// What became evidence, in the order in which turns made it visible.
    consumed: Vec<Consumed>,
    /// Every revision of each record, in order.
    revisions: BTreeMap<String, Vec<JournalRecord>>,
    /// Retention deleted something: originals may be gone.
    pub retained: bool,
    /// Of the turn that each instance writes.
    pub limits: BTreeMap<&'static str, Limits>,
    seen: Vec<u8>,
}

struct Consumed {
    piece: Piece,
    arrival: Arrival,
}

impl Check {
    pub fn of(partitions: i32) -> Check {
        Check { partitions, ..Check::default() }
    }

    /// All that is visible, as bytes: two runs of one seed must agree.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.seen)
    }

    /// What transactions have made visible since the last look.
    pub fn see(&mut self, kafka: &mut Kafka) -> Result<(), Broken> {
        while let Some(visible) = kafka.visible.pop_front() {
            self.see_one(&visible, kafka).map_err(|broken| format!("in a turn of {}: {broken}", visible.by))?;
        }
        Ok(())
    }

    fn see_one(&mut self, visible: &Visible, kafka: &Kafka) -> Result<(), Broken> {
        for (at, offset, entry) in &visible.values {
            self.seen.extend(format!("{at:?} {offset}\n").bytes());
            self.seen.extend(entry.value.iter().flatten());
        }
        let values = |output: Output| {
            let topic = Topic::from(output);
            visible.values.iter().filter(move |((of, _), ..)| *of == topic).map(|(_, _, entry)| entry)
        };
        let rows: Vec<LedgerRow> = values(Output::Ledger).map(|entry| json(entry.value.as_ref())).collect();
        self.check_conservation(visible, &rows, kafka)?;
        let count = |disposition| rows.iter().filter(|row| row.disposition == disposition).count();
        if count(Disposition::Moved) != values(Output::Strays).count() {
            return Err("a row says MOVED without a stray, or a stray goes without a row".to_owned());
        }
        if count(Disposition::Rejected) != values(Output::Rejected).count() {
            return Err("a row says REJECTED without a dead letter, or one goes without a row".to_owned());
        }
        let before = self.consumed.len();
        for row in &rows {
            if !matches!(row.disposition, Disposition::Moved | Disposition::Rejected) {
                self.consume(row, kafka)?;
            }
        }
        for entry in values(Output::Archive) {
            self.check_record(json(entry.value.as_ref()), before, visible.by)?;
        }
        Ok(())
    }

    /// Every arrival between the positions before and after has one row, and no other has.
    fn check_conservation(&mut self, visible: &Visible, rows: &[LedgerRow], kafka: &Kafka) -> Result<(), Broken> {
        let mut told: BTreeMap<(Input, i32), BTreeSet<i64>> = BTreeMap::new();
        for row in rows {
            let input = input(&row.topic);
            if !told.entry((input, row.partition)).or_default().insert(row.offset) {
                return Err(format!("two rows of {input:?}/{}/{}", row.partition, row.offset));
            }
        }
        for (&(input, partition), &next) in &visible.positions {
            let position = self.positions.entry((input, partition)).or_default();
            if next < *position {
                return Err(format!("the position in {input:?}/{partition} goes back from {position} to {next}"));
            }
            let mut told = told.remove(&(input, partition)).unwrap_or_default();
            let log = kafka.logs.get(&(Topic::Input(input), partition));
            for offset in *position..next {
                let there = log.is_some_and(|log| log.committed(offset).is_some());
                if there != told.remove(&offset) && there {
                    return Err(format!("{input:?}/{partition}/{offset} was passed without a row"));
                }
            }
            if let Some(offset) = told.first() {
                return Err(format!("a row of {input:?}/{partition}/{offset}, which was not read in this turn"));
            }
            *position = next;
        }
        match told.first_key_value() {
            Some(((input, partition), _)) => Err(format!("rows of {input:?}/{partition} without a position")),
            None => Ok(()),
        }
    }

    fn consume(&mut self, row: &LedgerRow, kafka: &Kafka) -> Result<(), Broken> {
        let position = Position { input: input(&row.topic), partition: row.partition, offset: row.offset };
        let log = kafka.logs.get(&(Topic::Input(position.input), position.partition));
        let Some(entry) = log.and_then(|log| log.committed_ever(position.offset)) else {
            return Err(format!("a row of {position:?}, where nothing lies"));
        };
        let arrival = arrival(position, entry);
        let Some(evidence) = read_as(arrival.format, &arrival.bytes) else {
            return Err(format!("{position:?} is no evidence, and its row says {:?}", row.disposition));
        };
        let seen = Seen { position: arrival.origin, at: arrival.at, server: arrival.server.clone(), size: 0 };
        let piece = Piece::new(evidence, seen, arrival.journal_recipients.clone());
        self.consumed.push(Consumed { piece, arrival });
        Ok(())
    }

    /// A record is the next revision of its id, and says what the naive model says of all evidence that was visible
    /// before its turn, and of so much of its turn's as was taken in when it was closed.
    fn check_record(&mut self, record: JournalRecord, before: usize, by: &'static str) -> Result<(), Broken> {
        let id = record.record_id.clone();
        let revisions = self.revisions.entry(id.clone()).or_default();
        let next = revisions.len() as i32 + 1;
        if record.revision != next {
            return Err(format!("revision {} of {id} where {next} was due", record.revision));
        }
        let home = home_partition(record.key.as_bytes(), self.partitions);
        if let Some(limit) = self.limits.get(by).and_then(|limits| limits.get(&home))
            && record.closed_at > *limit
        {
            return Err(format!("{id} was closed {} ms too early", record.closed_at.saturating_sub(*limit)));
        }
        let said = model::Record::of(&record);
        let of_key: Vec<(usize, Piece)> = self
            .consumed
            .iter()
            .enumerate()
            .filter(|(_, consumed)| consumed.piece.evidence.key.as_str() == record.key)
            .map(|(index, consumed)| (index, consumed.piece.clone()))
            .collect();
        let agrees = (before..=self.consumed.len()).rev().any(|end| {
            let pieces: Vec<Piece> =
                of_key.iter().filter(|(index, _)| *index < end).map(|(_, piece)| piece.clone()).collect();
            match (record.status, model::records(&pieces).get(&id)) {
                (Status::Superseded, expected) => expected.is_none(),
                (_, Some(expected)) => *expected == said,
                (_, None) => false,
            }
        });
        if !agrees {
            let pieces: Vec<Piece> = of_key.iter().map(|(_, piece)| piece.clone()).collect();
            let expected = model::records(&pieces).remove(&id);
            return Err(format!(
                "revision {} of {id} is not what its evidence adds up to:\n  it says {said:?}\n  expected {expected:?}",
                record.revision
            ));
        }
        self.check_originals(&record)?;
        self.revisions.entry(id).or_default().push(record);
        Ok(())
    }

    fn check_originals(&self, record: &JournalRecord) -> Result<(), Broken> {
        let before = &self.revisions[&record.record_id];
        for original in &record.originals {
            let carried = |record: &JournalRecord| {
                record.originals.iter().any(|other| other.sha256 == original.sha256 && other.content.is_some())
            };
            let there = match (&original.content, &original.reference) {
                (Some(content), None) => Digest::of(content) == original.sha256,
                (None, Some(reference)) => match reference.strip_prefix("revision:").map(str::parse::<usize>) {
                    Some(Ok(revision)) => before.get(revision.wrapping_sub(1)).is_some_and(carried),
                    _ => self.retained,
                },
                _ => false,
            };
            if !there {
                return Err(format!(
                    "an original of {} can be had nowhere: {:?}",
                    record.record_id, original.reference
                ));
            }
        }
        Ok(())
    }

    /// Whether every input is read to its end, and its positions are committed.
    pub fn all_read(&self, kafka: &Kafka) -> bool {
        kafka.logs.iter().all(|((topic, partition), log)| match topic {
            Topic::Input(input) => {
                let read = self.positions.get(&(*input, *partition)).copied().unwrap_or(0);
                log.stable() == log.high() && log.next(read).is_none()
            }
            Topic::Output(_) => true,
        })
    }

    /// The same records as one run in order makes of the same arrivals, and as the model says.
    pub fn end(&self, script: &Script) -> Result<(), Broken> {
        let last = last(self.revisions.values().filter_map(|revisions| revisions.last()));
        let pieces: Vec<Piece> = self.consumed.iter().map(|consumed| consumed.piece.clone()).collect();
        let said: BTreeMap<String, model::Record> =
            last.iter().map(|(id, record)| (id.clone(), model::Record::of(record))).collect();
        if said != model::records(&pieces) {
            return Err("the records at the end are not what all evidence adds up to".to_owned());
        }
        let serial = self.serial(script);
        match serial.iter().find(|(id, record)| last.get(*id) != Some(record)) {
            Some((id, _)) => Err(format!("{id} is not the record that one run in order makes")),
            None if serial.len() != last.len() => Err("one run in order makes fewer records".to_owned()),
            None => Ok(()),
        }
    }

    fn serial(&self, script: &Script) -> BTreeMap<String, JournalRecord> {
        let mut tasks = Tasks::new(rules(script));
        for partition in 0..script.partitions {
            tasks.assign(partition);
            tasks.restored(partition).expect("nothing is restored");
        }
        let arrivals = self.consumed.iter().map(|consumed| {
            let partition = home_partition(consumed.piece.evidence.key.as_str().as_bytes(), script.partitions);
            let position = Position { input: Input::Reports, partition, offset: 0 };
            Arrival { position, ..consumed.arrival.clone() }
        });
        let numbers: Vec<i32> = (0..script.partitions).collect();
        let progress: Vec<Progress> =
            input_partitions(&numbers).map(|(input, partition)| Progress { input, partition, at_end: true }).collect();
        let mut records = Vec::new();
        let mut arrivals: Vec<Arrival> = arrivals.collect();
        let mut wall = EPOCH - 1_000_000;
        for _ in 0..1_000 {
            let output = tasks
                .turn(std::mem::take(&mut arrivals), &progress, Timestamp(wall), &mut Nothing)
                .expect("nothing rests");
            let archived = output.outgoing.into_iter().filter(|value| value.output == Output::Archive);
            records.extend(archived.map(|value| json::<JournalRecord>(value.value.as_ref())));
            wall = EPOCH + 1_000_000;
            if tasks.poll_deadline().is_none() {
                break;
            }
        }
        last(records.iter())
    }
}

struct Nothing;

impl mailjournal::turn::Bodies for Nothing {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|_| Err("kept nowhere".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, _: &[Place]) -> Result<Vec<Bytes>, String> {
        Err("kept nowhere".to_owned())
    }
}

/// The last revision of each record that still stands, without what depends on when it was closed.
fn last<'r>(records: impl Iterator<Item = &'r JournalRecord>) -> BTreeMap<String, JournalRecord> {
    let mut last: BTreeMap<String, JournalRecord> = BTreeMap::new();
    for record in records {
        last.insert(record.record_id.clone(), record.without_content());
    }
    last.retain(|_, record| record.status != Status::Superseded);
    for record in last.values_mut() {
        (record.revision, record.closed_at) = (0, 0);
        record.flags.retain(|flag| *flag != mailjournal::record::Flag::OriginalByReference);
        record.originals.iter_mut().for_each(|original| original.reference = None);
    }
    last
}

fn json<T: serde::de::DeserializeOwned>(value: Option<&Bytes>) -> T {
    serde_json::from_slice(value.expect("a published value")).expect("as it was written")
}

fn input(topic: &str) -> Input {
    match topic {
        "journal.reports" => Input::Reports,
        "journal.envelopes" => Input::Envelopes,
        _ => Input::Strays,
    }
}
