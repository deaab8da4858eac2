//! A history as it happens: instances, each a real [`Instance`] with the real rooms in it, on the model of Kafka. What a
//! shell does around an instance is done here in steps between which anything else may happen.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    correlate::{Rules, Timing, TopicNames},
    mail::Key,
    record::{ArchiveFormat, Disposition, LedgerRow, ValueBytesMax},
    turn::{
        Bodies, Encoding, Outgoing, Output, TurnRules,
        instance::{Bounds, Gathered, INPUTS, Instance, Parcel, Positions, Step},
        stray,
    },
};

use crate::{
    check::{Check, Limits},
    kafka::{At, DRAFTS, Entry, Kafka, Refusal, Told, Topic},
    mutation::Mutation,
    script::{Given, NAMES, Operation, Script, read_as},
};

pub const EPOCH: i64 = 1_772_438_400_000;
const SECOND: i64 = 1_000;
/// Steps of each instance after the last fault, within which all must have come to rest.
const ROUNDS_MAX: usize = 4_000;

/// A promise that was not kept.
pub type Broken = String;

pub fn rules(script: &Script) -> TurnRules {
    let seconds = std::time::Duration::from_secs;
    TurnRules {
        rules: Rules {
            timing: Timing { settle: seconds(1), quiet: seconds(4), patience: seconds(10), remember: seconds(900_000) },
            topic_names: TopicNames {
                reports: "journal.reports".into(),
                envelopes: "journal.envelopes".into(),
                strays: "journal.strays".into(),
            },
            value_bytes_max: ValueBytesMax::default(),
            archive_format: ArchiveFormat::Record,
        },
        partitions: script.partitions,
        passed_on_bytes_max: None,
        encoding: Encoding::Json,
        recent_bytes_max: script.recent_bytes_max,
    }
}

pub struct World<'s> {
    script: &'s Script,
    pub kafka: Kafka,
    now: i64,
    given: usize,
    seats: Vec<Seat>,
    pub check: Check,
    mutation: Option<Mutation>,
}

/// Where a process of one name runs, or does not.
#[derive(Default)]
struct Seat {
    process: Option<Process>,
    paused: bool,
    skew: i64,
}

struct Process {
    id: &'static str,
    /// None until the last process of this name is fenced.
    epoch: Option<u32>,
    instance: Instance,
    generation: u32,
    /// Where each input partition is read next, while they are read.
    reading: Option<Positions>,
    /// Where the changelog is read next.
    cursors: BTreeMap<i32, i64>,
    held: Held,
    writer: Option<Writer>,
    /// The highest arrival time of each input partition since it was taken up.
    highest: BTreeMap<(Input, i32), i64>,
    fail_next: bool,
    doubt_next: Option<bool>,
    /// Message-IDs of arrivals, for one mutation.
    seen: BTreeSet<Key>,
}

/// Between two steps of a turn.
enum Held {
    Nothing,
    Gathered(Gathered, Positions),
    Built(Parcel, Limits),
}

struct Writer {
    values: Vec<(At, Entry)>,
    next: usize,
    positions: Positions,
    positioned: bool,
    generation: u32,
    claims: bool,
    outcome: Option<Result<(), Failure>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Abort,
    StartAnew,
}

struct Lookup<'k> {
    kafka: &'k Kafka,
    failed: bool,
}

impl Bodies for Lookup<'_> {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        self.failed |= self.kafka.away && !wanted.is_empty();
        let one = |position: &Position| {
            let log = self.kafka.logs.get(&(Topic::Input(position.input), position.partition));
            let entry = log.and_then(|log| log.committed(position.offset));
            entry.and_then(|entry| entry.value.clone()).ok_or_else(|| "its topic has deleted it".to_owned())
        };
        wanted.iter().map(one).collect()
    }
}

/// What lies at a place of an input topic, as the shell reads it.
pub fn arrival(position: Position, entry: &Entry) -> Arrival {
    let bytes = entry.value.clone().unwrap_or_default();
    if position.input == Input::Strays {
        return stray::receive(position, entry.key.clone(), bytes, entry.headers.clone())
            .expect("only instances write strays");
    }
    let text = |name: &str| {
        let found = entry.headers.iter().find(|(header, _)| header == name);
        found.and_then(|(_, value)| String::from_utf8(value.as_deref()?.to_vec()).ok())
    };
    Arrival {
        position,
        origin: position,
        format: if position.input == Input::Envelopes { Format::EnvelopeEvent } else { Format::Mail },
        at: Timestamp(entry.at),
        server: text(stray::SERVER),
        journal_recipients: text(stray::JOURNAL_RECIPIENT).into_iter().collect(),
        bytes,
        key: entry.key.clone(),
        headers: entry.headers.clone(),
        source: None,
    }
}

impl<'s> World<'s> {
    pub fn new(script: &'s Script, mutation: Option<Mutation>) -> World<'s> {
        World {
            script,
            kafka: Kafka::new(script.partitions, mutation),
            now: EPOCH,
            given: 0,
            seats: NAMES.iter().map(|_| Seat::default()).collect(),
            check: Check::of(script.partitions),
            mutation,
        }
    }

    pub fn run(&mut self) -> Result<(), Broken> {
        for operation in &self.script.operations {
            self.operate(operation)?;
        }
        self.heal()
    }

    fn operate(&mut self, operation: &Operation) -> Result<(), Broken> {
        match *operation {
            Operation::Give { late, elsewhere } => {
                if let Some(given) = self.script.given.get(self.given) {
                    self.given += 1;
                    self.give(given, late, elsewhere);
                }
            }
            Operation::Repeat { index, elsewhere } => {
                if index < self.given {
                    self.give(&self.script.given[index], 0, elsewhere);
                }
            }
            Operation::Step { who, writer, steps, choice } => {
                for _ in 0..steps {
                    match writer {
                        true => self.write(who)?,
                        false => self.step(who, choice)?,
                    }
                }
            }
            Operation::Crash { who } => self.seats[who].process = None,
            Operation::Restart { who } => self.start(who),
            Operation::Pause { who } => self.seats[who].paused = true,
            Operation::Resume { who } => self.seats[who].paused = false,
            Operation::Kick { who } => self.kafka.remove_member(NAMES[who]),
            Operation::Stop { who } => {
                for _ in 0..200 {
                    self.write(who)?;
                    self.kafka.mark(0);
                }
                self.seats[who].process = None;
                self.kafka.remove_member(NAMES[who]);
            }
            Operation::Fail { who } => self.with(who, |process| process.fail_next = true),
            Operation::Doubt { who, effect } => self.with(who, |process| process.doubt_next = Some(effect)),
            Operation::GiveUp { who } => self.start_anew(who),
            Operation::Away(away) => self.kafka.away = away,
            Operation::Mark(choice) => drop(self.kafka.mark(choice)),
            Operation::TimeOut { who } => self.kafka.time_out(NAMES[who]),
            Operation::ClockJump { who, millis } => self.seats[who].skew += millis,
            Operation::Time { millis } => self.now += millis,
            Operation::Compact { partition, keys, tombstones } => self.compact(partition, keys, tombstones),
            Operation::Retain { input, partition, per_mille } => {
                let log = self.kafka.log((Topic::Input(input), partition));
                log.first = log.first.max(log.stable() * per_mille / 1_000);
                self.check.retained = true;
            }
        }
        Ok(())
    }

    fn with(&mut self, who: usize, change: impl FnOnce(&mut Process)) {
        if let Some(process) = &mut self.seats[who].process {
            change(process);
        }
    }

    fn give(&mut self, given: &Given, late: i64, elsewhere: Option<i32>) {
        let header = |name: &str, value: &str| (name.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes())));
        let mut headers: Vec<(String, Option<Bytes>)> = Vec::new();
        headers.extend(given.server.map(|server| header(stray::SERVER, server)));
        headers.extend(given.journal.map(|journal| header(stray::JOURNAL_RECIPIENT, journal)));
        let at = (Topic::Input(given.input), elsewhere.unwrap_or(given.home));
        let entry = Entry { key: None, value: Some(given.bytes.clone()), headers, at: self.now - late };
        self.kafka.give(at, entry);
    }

    /// Tombstones stay as long as somebody may still be reading what they end (delete.retention.ms).
    fn compact(&mut self, partition: i32, keys: u64, tombstones: bool) {
        let reading = self.seats.iter().flat_map(|seat| &seat.process).any(|process| !process.cursors.is_empty());
        let chosen = |key: &Bytes| keys >> (key.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte)) % 64) & 1 == 1;
        self.kafka.log((DRAFTS, partition)).compact(chosen, tombstones && !reading);
    }

    fn start(&mut self, who: usize) {
        let seat = &mut self.seats[who];
        if seat.process.is_none() {
            seat.process = Some(Process::new(NAMES[who], self.script));
            self.kafka.return_member(NAMES[who]);
        }
    }

    fn start_anew(&mut self, who: usize) {
        if self.seats[who].process.take().is_some() {
            self.start(who);
        }
    }

    /// One step of the writer's thread; what it makes visible must be right.
    fn write(&mut self, who: usize) -> Result<(), Broken> {
        self.write_on(who);
        self.check.see(&mut self.kafka)
    }

    fn write_on(&mut self, who: usize) {
        let Seat { process: Some(process), paused: false, .. } = &mut self.seats[who] else { return };
        let (Some(epoch), Some(writer)) = (process.epoch, &mut process.writer) else { return };
        if writer.outcome.is_some() {
            return;
        }
        let id = process.id;
        let wrong = |mutation| self.mutation == Some(mutation);
        if std::mem::take(&mut process.fail_next) {
            writer.outcome = Some(Err(Failure::Abort));
            return;
        }
        let result = if writer.next < writer.values.len() {
            let (at, entry) = writer.values[writer.next].clone();
            self.kafka.append(id, epoch, at, entry).map(|()| writer.next += 1)
        } else if !writer.positioned {
            match writer.positions.is_empty() || wrong(Mutation::PositionsAfterTheTurn) {
                true => Ok(()),
                false => self.kafka.add_positions(id, epoch, &writer.positions, writer.generation),
            }
            .map(|()| writer.positioned = true)
        } else if let Some(effect) = process.doubt_next.take() {
            let committed = if effect { self.kafka.commit(id, epoch) } else { Ok(()) };
            committed.map(|()| match wrong(Mutation::DoubtWrittenAgain) {
                true => (writer.next, writer.positioned) = (0, false),
                false => writer.outcome = Some(Err(Failure::StartAnew)),
            })
        } else {
            self.kafka.commit(id, epoch).map(|()| {
                if wrong(Mutation::PositionsAfterTheTurn) {
                    self.kafka.commit_positions(id, &writer.positions);
                }
                writer.outcome = Some(Ok(()));
            })
        };
        match result {
            Ok(()) | Err(Refusal::Again) => {}
            Err(Refusal::Abort) => writer.outcome = Some(Err(Failure::Abort)),
            Err(Refusal::Fenced) => writer.outcome = Some(Err(Failure::StartAnew)),
        }
    }

    /// One step of the instance's loop.
    fn step(&mut self, who: usize, choice: usize) -> Result<(), Broken> {
        let wall = Timestamp(self.now + self.seats[who].skew);
        let Seat { process: Some(process), paused: false, .. } = &mut self.seats[who] else { return Ok(()) };
        let stepped = process.step(&mut self.kafka, &mut self.check, wall, choice, self.mutation);
        match stepped.map_err(|broken| format!("{}: {broken}", NAMES[who]))? {
            Ok(()) => {}
            Err(Failure::Abort) => {
                let process = self.seats[who].process.as_mut().expect("it stepped");
                process.held = Held::Nothing;
                process.reading = None;
                process.cursors.clear();
                process.instance.handle_setback();
            }
            Err(Failure::StartAnew) => self.start_anew(who),
        }
        Ok(())
    }

    /// All faults end, all arrivals come, and time passes until everything has come to rest.
    fn heal(&mut self) -> Result<(), Broken> {
        self.kafka.away = false;
        while self.given < self.script.given.len() {
            self.operate(&Operation::Give { late: 0, elsewhere: None })?;
        }
        for who in 0..NAMES.len() {
            self.seats[who].paused = false;
            self.seats[who].skew = 0;
            self.with(who, |process| (process.fail_next, process.doubt_next) = (false, None));
            if self.seats[who].process.is_none() && who > 0 {
                // Who is gone for good leaves the group by its session's end.
                self.kafka.remove_member(NAMES[who]);
            }
        }
        self.start(0);
        // Arrivals may have come from the future.
        self.now += 60 * SECOND;
        let mut calm = 0;
        for round in 0..ROUNDS_MAX {
            for who in 0..NAMES.len() {
                self.write(who)?;
                self.step(who, round)?;
            }
            self.kafka.mark(round);
            if round == ROUNDS_MAX / 4 {
                // The broker's transaction timeout, for what nobody could know of.
                let gone = NAMES.iter().zip(&self.seats).filter(|(_, seat)| seat.process.is_none());
                gone.for_each(|(name, _)| self.kafka.time_out(name));
            }
            self.now += SECOND / 5;
            calm = if self.is_at_rest() { calm + 1 } else { 0 };
            if calm > 3 * NAMES.len() {
                return self.end();
            }
        }
        Err("it does not come to rest".to_owned())
    }

    fn is_at_rest(&mut self) -> bool {
        let mut assigned = BTreeSet::new();
        for process in self.seats.iter().flat_map(|seat| &seat.process) {
            if !(process.reading.is_some() || process.instance.numbers().is_empty() && process.epoch.is_some()) {
                return false;
            }
            if process.holds_something() || process.instance.drafts().0 > 0 {
                return false;
            }
            assigned.extend(process.instance.numbers().iter().copied());
        }
        assigned.len() == self.script.partitions as usize && self.check.all_read(&self.kafka)
    }

    /// What only shows at the end; then everything is forgotten.
    fn end(&mut self) -> Result<(), Broken> {
        self.check.end(self.script)?;
        self.now += 1_000_000 * SECOND;
        for round in 0..ROUNDS_MAX {
            let remembers = |process: &Process| process.instance.drafts().1 > 0 || process.holds_something();
            if !self.seats.iter().flat_map(|seat| &seat.process).any(remembers) {
                break;
            }
            for who in 0..NAMES.len() {
                self.write(who)?;
                self.step(who, round)?;
            }
            self.kafka.mark(round);
            self.now += 1;
        }
        while self.kafka.mark(0) {}
        for partition in 0..self.script.partitions {
            let log = self.kafka.log((DRAFTS, partition));
            log.compact(|_| true, true);
            if log.next(0).is_some() {
                return Err(format!("partition {partition} of the changelog holds a draft for ever"));
            }
        }
        Ok(())
    }
}

/// What a step came to: done, a failure of the outside world, or a broken promise.
type Stepped = Result<Result<(), Failure>, Broken>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Fenced => Failure::StartAnew,
            Refusal::Abort | Refusal::Again => Failure::Abort,
        }
    }
}

impl Process {
    fn new(id: &'static str, script: &Script) -> Process {
        Process {
            id,
            epoch: None,
            instance: Instance::new(rules(script)),
            generation: 0,
            reading: None,
            cursors: BTreeMap::new(),
            held: Held::Nothing,
            writer: None,
            highest: BTreeMap::new(),
            fail_next: false,
            doubt_next: None,
            seen: BTreeSet::new(),
        }
    }

    /// Something is on its way to be visible.
    fn holds_something(&self) -> bool {
        let held = match &self.held {
            Held::Nothing => false,
            Held::Gathered(gathered, _) => !gathered.arrivals.is_empty(),
            Held::Built(..) => true,
        };
        held || self.writer.is_some()
    }

    fn step(
        &mut self,
        kafka: &mut Kafka,
        check: &mut Check,
        wall: Timestamp,
        choice: usize,
        mutation: Option<Mutation>,
    ) -> Stepped {
        let wrong = |this| mutation == Some(this);
        let Some(epoch) = self.epoch else {
            self.epoch = kafka.init(self.id).ok();
            return Ok(Ok(()));
        };
        let aborting = self.instance.poll_step() == Step::Abort;
        if let Some(outcome) = self.take_outcome() {
            match outcome {
                Ok(()) => self.instance.handle_written(),
                Err(Failure::Abort) if wrong(Mutation::NotRewoundOnAbort) && self.reading.is_some() => {
                    let _ = kafka.abort(self.id, epoch);
                    self.instance.handle_written();
                    self.held = Held::Nothing;
                    if let Ok(positions) = kafka.committed_positions(self.instance.numbers(), false) {
                        self.reading = Some(positions);
                    }
                }
                Err(Failure::Abort) if wrong(Mutation::FailureTakenForSuccess) => {
                    let _ = kafka.abort(self.id, epoch);
                    self.instance.handle_written();
                }
                Err(Failure::Abort) if aborting => {}
                Err(failure) => return Ok(Err(failure)),
            }
        }
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Gathered(gathered, lags) => return self.build(gathered, &lags, kafka, wall, mutation),
            Held::Built(parcel, limits) => {
                self.hand_over(parcel, limits, kafka, check, mutation);
                return Ok(Ok(()));
            }
        }
        let numbers = self.instance.numbers().to_vec();
        let step = self.instance.poll_step();
        if step != Step::ReadChangelog {
            self.cursors.clear();
        }
        match step {
            Step::StandBy => {}
            Step::FinishWriting => return Ok(Ok(())),
            Step::Abort => {
                if self.writer.is_some() {
                    return Ok(Ok(()));
                }
                match kafka.abort(self.id, epoch) {
                    Ok(()) => {
                        self.reading = None;
                        self.instance.handle_aborted();
                    }
                    Err(Refusal::Again) => {}
                    Err(refusal) => return Ok(Err(refusal.into())),
                }
            }
            Step::EndOrphans => {
                // It may fail.
                if !choice.is_multiple_of(4) {
                    for id in kafka.orphans(&numbers) {
                        let _ = kafka.init(id);
                    }
                }
                self.instance.handle_orphans_ended();
            }
            Step::LearnCommitted => {
                if let Ok(positions) = kafka.committed_positions(&numbers, !wrong(Mutation::PositionsNotStable)) {
                    self.instance.handle_committed(positions);
                }
            }
            _ if kafka.away => {}
            Step::LearnChangelogBounds => {
                let bounds = numbers.iter().map(|number| {
                    let log = kafka.log((DRAFTS, *number));
                    (*number, Bounds { first: log.first, end: log.high() })
                });
                self.instance.handle_changelog_bounds(bounds.collect());
            }
            Step::LearnChangelogStable => {
                let stable = |number: &i32| {
                    let log = kafka.log((DRAFTS, *number));
                    (*number, if wrong(Mutation::RestoreDoesNotWait) { log.high() } else { log.stable() })
                };
                self.instance.handle_changelog_stable(&numbers.iter().map(stable).collect());
            }
            Step::LearnInputBounds => {
                let inputs = INPUTS.iter().flat_map(|input| numbers.iter().map(|number| (*input, *number)));
                let bounds = inputs.map(|at| {
                    let log = kafka.log((Topic::Input(at.0), at.1));
                    (at, Bounds { first: log.first, end: log.high() })
                });
                let expired = self.instance.handle_input_bounds(&bounds.collect());
                expired.map_err(|impossible| impossible.to_string())?;
            }
            Step::ReadChangelog => self.read_changelog(kafka, choice, mutation)?,
            Step::Claim => {
                self.begin(Vec::new(), self.instance.positions().clone(), true);
                return Ok(Ok(()));
            }
            Step::Consume => {
                let mut positions = self.instance.positions().clone();
                if wrong(Mutation::ResumesOneBehind) {
                    positions.values_mut().filter(|offset| **offset > 0).for_each(|offset| *offset += 1);
                }
                self.reading = Some(positions);
                self.highest.clear();
                self.instance.handle_consuming();
            }
            Step::Turn => return Ok(self.gather(kafka, choice)),
        }
        self.poll_group(kafka);
        Ok(Ok(()))
    }

    /// The outcome of the turn that was being written; a claim is answered here.
    fn take_outcome(&mut self) -> Option<Result<(), Failure>> {
        let outcome = self.writer.as_ref()?.outcome?;
        let writer = self.writer.take()?;
        if writer.claims && outcome.is_ok() && self.instance.poll_step() == Step::Claim {
            self.instance.handle_claimed();
            return None;
        }
        Some(outcome)
    }

    fn begin(&mut self, values: Vec<(At, Entry)>, positions: Positions, claims: bool) {
        if self.writer.is_none() {
            self.writer = Some(Writer {
                values,
                next: 0,
                positions,
                positioned: false,
                generation: self.generation,
                claims,
                outcome: None,
            });
        }
    }

    /// Returns whether the group said something.
    fn poll_group(&mut self, kafka: &mut Kafka) -> bool {
        let told = kafka.poll_group(self.id, &mut self.generation);
        for told in &told {
            self.reading = None;
            match told {
                Told::Revoked => self.instance.handle_revoked(),
                Told::Assigned(numbers) => self.instance.handle_assigned(numbers.clone()),
            }
        }
        !told.is_empty()
    }

    fn read_changelog(&mut self, kafka: &mut Kafka, choice: usize, mutation: Option<Mutation>) -> Result<(), Broken> {
        let wrong = |this| mutation == Some(this);
        for (number, end) in self.instance.changelog_unread() {
            let log = kafka.log((DRAFTS, number));
            let first = if wrong(Mutation::RestoreSkipsTheFirst) { log.first + 1 } else { log.first };
            let cursor = self.cursors.entry(number).or_insert(first);
            for _ in 0..1 + choice % 5 {
                let next = match wrong(Mutation::RestoreReadsUncommitted) {
                    true => log.next_of_any(*cursor),
                    false => log.next(*cursor),
                };
                let Some((offset, entry)) = next else {
                    // An open transaction hides what may come.
                    if log.stable() >= end || wrong(Mutation::RestoreDoesNotWait) {
                        self.instance.handle_changelog_end(number);
                    }
                    break;
                };
                *cursor = offset + 1;
                if wrong(Mutation::RestoreOneShort) && log.next(offset + 1).is_none() {
                    continue;
                }
                if wrong(Mutation::RestoreFirstWins)
                    && let Some((earlier, _)) = log.next(0)
                    && earlier < offset
                    && log.next(earlier).is_some_and(|(_, first)| first.key == entry.key)
                {
                    continue;
                }
                self.instance.handle_entry(number, offset, entry.key.as_deref(), entry.value.as_deref());
            }
        }
        self.instance.handle_changelog_read().map_err(|impossible| impossible.to_string())?;
        Ok(())
    }

    /// Reads some arrivals, serves the group, and asks how far the logs reach.
    fn gather(&mut self, kafka: &mut Kafka, choice: usize) -> Result<(), Failure> {
        let mut gathered = Gathered::default();
        let Some(reading) = &mut self.reading else { return Ok(()) };
        let ats: Vec<(Input, i32)> = reading.keys().copied().collect();
        for turn in 0..choice % 7 {
            if kafka.away || ats.is_empty() {
                break;
            }
            let at = ats[(choice / 7 + turn) % ats.len()];
            let log = kafka.log((Topic::Input(at.0), at.1));
            let from = reading[&at];
            if from < log.first {
                return Err(Failure::Abort);
            }
            for _ in 0..1 + choice % 3 {
                if let Some((offset, entry)) = log.next(reading[&at]) {
                    gathered.take(arrival(Position { input: at.0, partition: at.1, offset }, entry));
                    reading.insert(at, offset + 1);
                } else {
                    // The client passes marks by itself.
                    reading.insert(at, reading[&at].max(log.stable()));
                }
            }
        }
        if self.poll_group(kafka) {
            return Ok(());
        }
        let Some(reading) = &self.reading else { return Ok(()) };
        let ends: Positions = if kafka.away {
            Positions::new()
        } else {
            ats.iter().map(|at| (*at, kafka.log((Topic::Input(at.0), at.1)).stable())).collect()
        };
        let lags = self.instance.lags(&ends, reading);
        self.held = Held::Gathered(gathered, lags);
        Ok(())
    }

    fn build(
        &mut self,
        mut gathered: Gathered,
        lags: &Positions,
        kafka: &mut Kafka,
        wall: Timestamp,
        mutation: Option<Mutation>,
    ) -> Stepped {
        let wrong = |this| mutation == Some(this);
        if gathered.arrivals.is_empty() && !self.instance.is_due(wall) && wall.0 % 7 != 0 {
            return Ok(Ok(()));
        }
        for arrival in &gathered.arrivals {
            let highest = self.highest.entry((arrival.position.input, arrival.position.partition)).or_insert(i64::MIN);
            *highest = (*highest).max(arrival.at.0.min(wall.0));
        }
        let limits = self.limits(lags, wall);
        let lags = match wrong(Mutation::WallClockAlways) {
            true => lags.keys().map(|at| (*at, 0)).collect(),
            false => lags.clone(),
        };
        let unseen = if wrong(Mutation::FirstWins) { self.take_seen(&mut gathered) } else { Vec::new() };
        let empty = gathered.next.is_empty();
        let mut lookup = Lookup { kafka, failed: false };
        let parcel = self.instance.turn(gathered, &lags, wall, &mut lookup);
        if lookup.failed {
            return Ok(Err(Failure::Abort));
        }
        let Some(mut parcel) = parcel else { return Ok(Ok(())) };
        if parcel.positions.is_empty() {
            return Err("a turn without positions is not fenced".to_owned());
        }
        parcel.outgoing.extend(unseen);
        if empty && wrong(Mutation::EmptyTurnUnfenced) {
            parcel.positions.clear();
        }
        self.held = Held::Built(parcel, limits);
        Ok(Ok(()))
    }

    /// Takes out what comes under a Message-ID that came before, and calls it a duplicate.
    fn take_seen(&mut self, gathered: &mut Gathered) -> Vec<Outgoing> {
        let mut rows = Vec::new();
        gathered.arrivals.retain(|arrival| {
            let key = read_as(arrival.format, &arrival.bytes).map(|read| read.key);
            let again = arrival.position.input != Input::Strays && key.is_some_and(|key| !self.seen.insert(key));
            if again {
                let Position { input, partition, offset } = arrival.position;
                let topic = if input == Input::Reports { "journal.reports" } else { "journal.envelopes" };
                let row = LedgerRow {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                    disposition: Disposition::Duplicate,
                    record_id: None,
                    reason: None,
                    source: None,
                };
                rows.push(Outgoing {
                    output: Output::Ledger,
                    partition: None,
                    key: None,
                    value: Some(mailjournal::record::to_json(&row).into()),
                    headers: Vec::new(),
                    originals: Vec::new(),
                });
            }
            !again
        });
        rows
    }

    /// Up to when a record of each partition may be closed: a backlog holds the time back.
    fn limits(&self, lags: &Positions, wall: Timestamp) -> Limits {
        let limit = |number: &i32| {
            let of = |input: &Input| match lags.get(&(*input, *number)) {
                Some(lag) if *lag <= 0 => wall.0,
                _ => self.highest.get(&(*input, *number)).copied().unwrap_or(i64::MIN),
            };
            (*number, INPUTS.iter().map(of).min().unwrap_or(i64::MIN))
        };
        self.instance.numbers().iter().map(limit).collect()
    }

    /// Waits until the last turn is written.
    fn hand_over(
        &mut self,
        parcel: Parcel,
        limits: Limits,
        kafka: &mut Kafka,
        check: &mut Check,
        mutation: Option<Mutation>,
    ) {
        if self.writer.is_some() {
            self.held = Held::Built(parcel, limits);
            return;
        }
        let moves = parcel.moves();
        let Parcel { mut outgoing, positions, .. } = parcel;
        match mutation {
            Some(Mutation::PositionsOutsideTheTurn) => kafka.commit_positions(self.id, &positions),
            Some(Mutation::NoTombstones) => {
                outgoing.retain(|value| value.output != Output::Drafts || value.value.is_some());
            }
            Some(Mutation::StrayDropped) => {
                if let Some(place) = outgoing.iter().position(|value| value.output == Output::Strays) {
                    outgoing.remove(place);
                }
            }
            _ => {}
        }
        check.limits.insert(self.id, limits);
        let values = outgoing.into_iter().map(|value| {
            let at = (Topic::from(value.output), value.partition.unwrap_or(0));
            let headers = value.headers.into_iter().map(|(name, text)| (name, Some(text))).collect();
            (at, Entry { key: value.key, value: value.value, headers, at: 0 })
        });
        self.begin(values.collect(), positions, false);
        self.instance.handle_begun(moves);
    }
}
