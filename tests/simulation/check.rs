//! What must hold after every step, of what became visible; and at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    avro::{self, Schema},
    correlate::{Piece, Place, Seen, StoredDraft},
    evidence::Kind,
    mail::{Digest, Key},
    record::{
        ArchiveFormat, Disposition, JournalActivity, JournalRecord, LedgerRow, NonDelivery, Status, ValueBytesMax,
        report,
    },
    turn::{
        Output, Progress, Tasks,
        home::home_partition,
        instance::{Positions, input_partitions},
        stray,
    },
};

use crate::{
    kafka::{DRAFTS, Entry, Kafka, Topic, Visible, Writer},
    process::arrival,
    remembered::{Remembered, Until},
    script::{FOR_EVER, Script, read_as},
    world::{Broken, EPOCH},
};

/// What time allows a turn to do.
#[derive(Clone, Default)]
pub struct Limits {
    pub wall: Timestamp,
    /// The latest that the time of each partition's task may be.
    pub until: BTreeMap<i32, i64>,
    pub remember: Duration,
}

/// What the headers take at most with which arrivals here are passed on.
const HEADERS_BYTES_MAX: usize = 600;

#[derive(Default)]
pub struct Check {
    partitions: i32,
    archive_format: Option<ArchiveFormat>,
    value_bytes_max: ValueBytesMax,
    passed_on_bytes_max: Option<usize>,
    positions: Positions,
    /// All that became evidence, in the order in which turns made it visible.
    consumed: Vec<Consumed>,
    remembered: BTreeMap<Key, Remembered>,
    /// Whose each entry of the changelog is.
    drafts: BTreeMap<Bytes, Key>,
    /// The notices that were told, by their own bytes.
    told: BTreeSet<Digest>,
    /// Retention deleted something: originals may be gone.
    pub retained: bool,
    /// Of the turn that each process writes.
    pub limits: BTreeMap<Writer, Limits>,
    /// What of the rarer things the history has had.
    pub met: BTreeSet<&'static str>,
    seen: Vec<u8>,
}

struct Consumed {
    key: Key,
    arrival: Arrival,
}

impl Check {
    pub fn of(script: &Script) -> Check {
        Check {
            partitions: script.rules.partitions,
            archive_format: Some(script.rules.rules.archive_format),
            value_bytes_max: script.rules.rules.value_bytes_max,
            passed_on_bytes_max: script.rules.passed_on_bytes_max,
            ..Check::default()
        }
    }

    /// All that is visible, as bytes: two runs of one seed must agree.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.seen)
    }

    /// What transactions have made visible since the last look.
    pub fn see(&mut self, kafka: &mut Kafka) -> Result<(), Broken> {
        while let Some(visible) = kafka.visible.pop_front() {
            self.see_one(&visible, kafka).map_err(|broken| format!("in a turn of {}: {broken}", visible.by.0))?;
        }
        Ok(())
    }

    fn see_one(&mut self, visible: &Visible, kafka: &Kafka) -> Result<(), Broken> {
        for (at, offset, entry) in &visible.values {
            self.seen.extend(format!("{at:?} {offset} {}\n", entry.headers.len()).bytes());
            let headers =
                entry.headers.iter().flat_map(|(name, value)| name.bytes().chain(value.iter().flatten().copied()));
            self.seen.extend(headers);
            self.seen.extend(entry.key.iter().chain(&entry.value).flatten());
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
        for entry in values(Output::Strays) {
            self.check_stray(entry, &rows, kafka)?;
        }
        for entry in values(Output::Rejected) {
            self.check_dead_letter(entry, &rows, kafka)?;
        }
        let limits = self.limits.get(&visible.by).cloned().unwrap_or_default();
        let mut keys: BTreeSet<Key> = BTreeSet::new();
        for row in &rows {
            match row.disposition {
                Disposition::Moved => {}
                Disposition::Rejected => self.check_rejected(row, kafka)?,
                _ => drop(keys.insert(self.consume(row, kafka, &limits)?)),
            }
        }
        for ((_, partition), _, entry) in visible.values.iter().filter(|((of, _), ..)| *of == DRAFTS) {
            keys.extend(self.store(*partition, entry)?);
        }
        let mut records: BTreeMap<Key, Vec<JournalRecord>> = BTreeMap::new();
        let mut activities = values(Output::Activity);
        for entry in values(Output::Archive) {
            let record = self.archived(entry);
            if activities.next().map(|entry| json(entry.value.as_ref())) != Some(JournalActivity::of(&record)) {
                return Err(format!("revision {} of {} has no activity like it", record.revision, record.record_id));
            }
            records.entry(Key(record.key.as_str().into())).or_default().push(record);
        }
        if activities.next().is_some() {
            return Err("an activity value goes without a record".to_owned());
        }
        keys.extend(records.keys().cloned());
        let mut notices: Vec<NonDelivery> = values(Output::Ndr).map(|entry| json(entry.value.as_ref())).collect();
        for key in keys {
            let records = records.remove(&key).unwrap_or_default();
            self.check_key(&key, &records, &limits, &mut notices, kafka)
                .map_err(|broken| format!("of {key}: {broken}"))?;
        }
        match notices.first() {
            Some(told) => Err(format!("what a notice says is told out of turn: {told:?}")),
            None => Ok(()),
        }
    }

    fn archived(&self, entry: &Entry) -> JournalRecord {
        match self.archive_format {
            Some(ArchiveFormat::Report) => {
                report::read(entry.value.as_ref().expect("a published value")).expect("as it was built")
            }
            _ => json(entry.value.as_ref()),
        }
    }

    fn check_key(
        &mut self,
        key: &Key,
        records: &[JournalRecord],
        limits: &Limits,
        notices: &mut Vec<NonDelivery>,
        kafka: &Kafka,
    ) -> Result<(), Broken> {
        let home = home_partition(key.as_str().as_bytes(), self.partitions);
        let until = Until { now: limits.until.get(&home).copied().unwrap_or(i64::MIN), remember: limits.remember };
        let mut remembered = self.remembered.remove(key).unwrap_or_default();
        let met = &mut self.met;
        let told = &mut self.told;
        let (retained, value_bytes_max) = (self.retained, self.value_bytes_max);
        remembered.see(records, until, &mut |remembered, record, before| {
            if record.closed_at > until.now {
                return Err(format!(
                    "{} was closed {} ms too early",
                    record.record_id,
                    record.closed_at.saturating_sub(until.now)
                ));
            }
            if record
                .originals
                .iter()
                .any(|original| original.reference.as_ref().is_some_and(|it| it.starts_with("kafka")))
            {
                met.insert("has an original by reference");
            }
            check_originals(record, before, kafka, retained || value_bytes_max.archive.is_some())?;
            // A record that was begun anew has this revision twice.
            let is_it = |it: &NonDelivery| {
                let names = || record.evidence.iter().any(|entry| entry.sha256 == it.arrival_sha256);
                (&it.record_id, it.revision) == (&record.record_id, record.revision) && names()
            };
            let non_deliveries: Vec<NonDelivery> = notices.extract_if(.., |it| is_it(it)).collect();
            let due: BTreeSet<Digest> = remembered.named(record).filter_map(notice_of).collect();
            // Each notice is told once, with the first revision that it is in; what is forgotten may come, and be told,
            // again.
            if due.difference(told).count() != non_deliveries.len() && !remembered.forgot {
                return Err(format!(
                    "revision {} of {} tells of {due:?}: {non_deliveries:?}",
                    record.revision, record.record_id
                ));
            }
            for non_delivery in &non_deliveries {
                met.insert("tells of a notice");
                let by_reference = retained || value_bytes_max.archive.is_some() || value_bytes_max.ndr.is_some();
                check_non_delivery(non_delivery, remembered.named(record), by_reference)?;
            }
            if due.len() > 1 {
                met.insert("has different notices in one record");
            }
            told.extend(due);
            Ok(())
        })?;
        self.met.extend(remembered.met());
        self.remembered.insert(key.clone(), remembered);
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

    fn entry<'k>(&self, position: Position, kafka: &'k Kafka) -> Result<&'k Entry, Broken> {
        let log = kafka.logs.get(&(Topic::Input(position.input), position.partition));
        let entry = log.and_then(|log| log.committed_ever(position.offset));
        entry.ok_or_else(|| format!("{position:?} is named, where nothing lies"))
    }

    /// What lies at a place, with its bytes, wherever they are.
    fn arrival(&self, position: Position, kafka: &Kafka) -> Result<Arrival, Broken> {
        let arrival = arrival(position, self.entry(position, kafka)?);
        if !stray::is_absent(&arrival) {
            return Ok(arrival);
        }
        let bytes = self.entry(arrival.origin, kafka)?.value.clone().unwrap_or_default();
        Ok(Arrival { bytes, ..arrival })
    }

    /// A stray is the arrival that it moves.
    fn check_stray(&mut self, entry: &Entry, rows: &[LedgerRow], kafka: &Kafka) -> Result<(), Broken> {
        let value = entry.value.clone().unwrap_or_default();
        let nowhere = Position { input: Input::Strays, partition: 0, offset: 0 };
        let moved = stray::receive(nowhere, entry.key.clone(), value, entry.headers.clone())?;
        let came = self.arrival(moved.origin, kafka)?;
        has_row(rows, Disposition::Moved, moved.origin)?;
        let whole = moved.bytes == came.bytes && !stray::is_absent(&moved);
        self.met.insert(if whole { "has a stray" } else { "has a stray by reference" });
        let absent = stray::is_absent(&moved) && moved.bytes.is_empty() && self.may_leave(&came);
        let said = |arrival: &Arrival| {
            (arrival.at, arrival.format, arrival.server.clone(), arrival.journal_recipients.clone())
        };
        match (whole || absent) && said(&moved) == said(&came) {
            true => Ok(()),
            false => Err(format!("the stray of {:?} is not what came", moved.origin)),
        }
    }

    /// A dead letter is the arrival that was rejected.
    fn check_dead_letter(&self, entry: &Entry, rows: &[LedgerRow], kafka: &Kafka) -> Result<(), Broken> {
        let header = |name: &str| {
            let found = entry.headers.iter().find(|(header, _)| header == name);
            found.and_then(|(_, value)| String::from_utf8(value.as_deref()?.to_vec()).ok()).unwrap_or_default()
        };
        let number = |name: &str| header(name).parse::<i64>().unwrap_or(-1);
        let partition = i32::try_from(number("partition")).unwrap_or(-1);
        let position = Position { input: input(&header("topic")), partition, offset: number("offset") };
        has_row(rows, Disposition::Rejected, position)?;
        let came = self.entry(position, kafka)?;
        let absent = entry.value.is_none()
            && header("reference") == format!("kafka:{}/{partition}/{}", header("topic"), position.offset)
            && self.may_leave(&arrival(position, came));
        let headers = came.headers.iter().all(|header| entry.headers.contains(header));
        // Where not even the rest fits, nothing of it goes along.
        let bare = absent && entry.key.is_none() && self.passed_on_bytes_max.is_some_and(|max| max < HEADERS_BYTES_MAX);
        match (entry.value == came.value || absent) && entry.key == came.key && headers || bare {
            true => Ok(()),
            false => Err(format!("the dead letter of {position:?} is not what came")),
        }
    }

    /// Whether an arrival may be too large to be passed on.
    fn may_leave(&self, arrival: &Arrival) -> bool {
        self.passed_on_bytes_max.is_some_and(|max| arrival.bytes.len() + HEADERS_BYTES_MAX > max)
    }

    /// Nothing is rejected that can be read, unless it lies elsewhere and may be there no more.
    fn check_rejected(&self, row: &LedgerRow, kafka: &Kafka) -> Result<(), Broken> {
        let position = Position { input: input(&row.topic), partition: row.partition, offset: row.offset };
        let gone = self.retained && stray::is_absent(&arrival(position, self.entry(position, kafka)?));
        let arrival = self.arrival(position, kafka)?;
        match !gone && read_as(arrival.format, &arrival.bytes).is_some() {
            true => Err(format!("{position:?} is evidence, and its row says {:?}", row.disposition)),
            false => Ok(()),
        }
    }

    fn consume(&mut self, row: &LedgerRow, kafka: &Kafka, limits: &Limits) -> Result<Key, Broken> {
        let position = Position { input: input(&row.topic), partition: row.partition, offset: row.offset };
        let arrival = self.arrival(position, kafka)?;
        let Some(evidence) = read_as(arrival.format, &arrival.bytes) else {
            return Err(format!("{position:?} is no evidence, and its row says {:?}", row.disposition));
        };
        let seen = Seen {
            position: arrival.origin,
            at: arrival.at,
            server: arrival.server.clone(),
            size: arrival.bytes.len() as i64,
        };
        let piece = Piece::new(evidence, seen, arrival.journal_recipients.clone());
        let key = piece.evidence.key.clone();
        let remembered = self.remembered.entry(key.clone()).or_default();
        let knows = remembered.knows(&piece);
        // What is forgotten, maybe in the same turn, comes as something new.
        if limits.remember == FOR_EVER && (row.disposition == Disposition::Duplicate) != knows {
            return Err(format!("the row of {position:?} says {:?}", row.disposition));
        }
        let is_notice = piece.evidence.kind == Kind::Notice;
        if row.disposition != Disposition::Duplicate && (row.disposition == Disposition::Notice) != is_notice {
            return Err(format!("the row of {position:?} says {:?} of {:?}", row.disposition, piece.evidence.kind));
        }
        if !row.record_id.as_ref().is_some_and(|id| id.starts_with(key.as_str())) {
            return Err(format!("the row of {position:?} names {:?} for {key:?}", row.record_id));
        }
        remembered.consume(piece, arrival.at.min(limits.wall).0);
        self.consumed.push(Consumed { key: key.clone(), arrival });
        Ok(key)
    }

    /// Takes an entry of the changelog; tells whose it is.
    fn store(&mut self, partition: i32, entry: &Entry) -> Result<Option<Key>, Broken> {
        let name = entry.key.clone().ok_or("an entry of the changelog without a key")?;
        let stored: Option<StoredDraft> = match &entry.value {
            Some(value) => Some(avro::decode(Schema::Draft, value).map_err(|error| error.to_string())?),
            None => None,
        };
        if let Some(stored) = &stored {
            if home_partition(stored.key.as_str().as_bytes(), self.partitions) != partition {
                return Err(format!("{} is stored on partition {partition}", stored.record_id));
            }
            self.drafts.insert(name.clone(), stored.key.clone());
        }
        let key = self.drafts.get(&name).cloned();
        if let Some(key) = &key {
            self.remembered.entry(key.clone()).or_default().store(name, stored);
        }
        Ok(key)
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
        for (key, remembered) in &self.remembered {
            remembered.end().map_err(|broken| format!("of {key}: {broken}"))?;
        }
        let forgot = |record: &JournalRecord| {
            self.remembered.get(&Key(record.key.as_str().into())).is_some_and(|remembered| remembered.forgot)
        };
        let mut last = last(self.remembered.values().flat_map(Remembered::last));
        last.retain(|_, record| !forgot(record));
        let mut serial = self.serial(script);
        serial.retain(|_, record| !forgot(record));
        match serial.iter().find(|(id, record)| last.get(*id) != Some(record)) {
            Some((id, _)) => Err(format!("{id} is not the record that one run in order makes")),
            None if serial.len() != last.len() => Err("one run in order makes fewer records".to_owned()),
            None => Ok(()),
        }
    }

    fn serial(&self, script: &Script) -> BTreeMap<String, JournalRecord> {
        let mut rules = script.rules(0);
        rules.rules.timing.remember = FOR_EVER;
        rules.rules.archive_format = ArchiveFormat::Record;
        let mut tasks = Tasks::new(rules);
        for partition in 0..self.partitions {
            tasks.assign(partition);
            tasks.restored(partition).expect("nothing is restored");
        }
        let arrivals = self.consumed.iter().map(|Consumed { key, arrival }| {
            let partition = home_partition(key.as_str().as_bytes(), self.partitions);
            let position = Position { input: Input::Reports, partition, offset: 0 };
            Arrival { position, ..arrival.clone() }
        });
        let numbers: Vec<i32> = (0..self.partitions).collect();
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

fn has_row(rows: &[LedgerRow], disposition: Disposition, position: Position) -> Result<(), Broken> {
    let of = |row: &LedgerRow| Position { input: input(&row.topic), partition: row.partition, offset: row.offset };
    match rows.iter().any(|row| row.disposition == disposition && of(row) == position) {
        true => Ok(()),
        false => Err(format!("no row says that {position:?} was {disposition:?}")),
    }
}

/// Each original is here, or where the record says.
fn check_originals(
    record: &JournalRecord,
    before: &[JournalRecord],
    kafka: &Kafka,
    may_lack: bool,
) -> Result<(), Broken> {
    for original in &record.originals {
        let carries = |record: &JournalRecord| {
            record.originals.iter().any(|other| other.sha256 == original.sha256 && other.content.is_some())
        };
        let there = match (&original.content, &original.reference) {
            (Some(content), None) => Digest::of(content) == original.sha256,
            (None, Some(reference)) => match reference.strip_prefix("revision:").map(str::parse::<i32>) {
                Some(Ok(revision)) => {
                    before.iter().rev().find(|record| record.revision == revision).is_some_and(carries)
                }
                _ => may_lack && lies_at(kafka, reference, &original.sha256),
            },
            _ => false,
        };
        if !there {
            return Err(format!("an original of {} can be had nowhere: {:?}", record.record_id, original.reference));
        }
    }
    Ok(())
}

/// Whether the arrival there brought this original.
fn lies_at(kafka: &Kafka, reference: &str, sha256: &Digest) -> bool {
    let mut parts = reference.strip_prefix("kafka:").unwrap_or_default().split('/');
    let (Some(topic), Some(Ok(partition)), Some(Ok(offset))) =
        (parts.next(), parts.next().map(str::parse), parts.next().map(str::parse))
    else {
        return false;
    };
    let position = Position { input: input(topic), partition, offset };
    let log = kafka.logs.get(&(Topic::Input(position.input), partition));
    let Some(entry) = log.and_then(|log| log.committed_ever(offset)) else { return false };
    let arrival = arrival(position, entry);
    let read = read_as(arrival.format, &arrival.bytes);
    read.is_some_and(|evidence| evidence.originals.iter().any(|original| original.sha256 == *sha256))
}

/// The bytes of the notice that a piece is or journals.
fn notice_of(piece: &Piece) -> Option<Digest> {
    let evidence = &piece.evidence;
    evidence.notice.as_ref().filter(|notice| !notice.statuses.is_empty())?;
    evidence.originals.first().map(|original| original.sha256)
}

fn check_non_delivery<'p>(
    told: &NonDelivery,
    mut named: impl Iterator<Item = &'p Piece>,
    by_reference: bool,
) -> Result<(), Broken> {
    let says = |piece: &&Piece| {
        let notice = piece.evidence.notice.as_ref();
        piece.evidence.id == told.arrival_sha256
            && notice.is_some_and(|notice| (&notice.statuses, &notice.about) == (&told.recipients, &told.message_id))
            && notice_of(piece) == told.sha256
    };
    let there = match (&told.notice, &told.reference) {
        (Some(bytes), None) => Some(Digest::of(bytes)) == told.sha256,
        (None, Some(_)) => by_reference,
        _ => false,
    };
    match named.any(|piece| says(&piece)) && there {
        true => Ok(()),
        false => Err(format!("{} tells otherwise than its notice: {told:?}", told.record_id)),
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
