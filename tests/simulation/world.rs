//! A history as it happens: operation by operation, then until all has come to rest.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailjournal::{
    arrival::Timestamp,
    correlate::{Rules, Timing, TopicNames},
    record::{ArchiveFormat, ValueBytesMax},
    turn::{Encoding, TurnRules, stray},
};

use crate::{
    check::Check,
    kafka::{DRAFTS, Entry, Kafka, Topic},
    mutation::Mutation,
    process::{Failure, Held, Process},
    script::{Given, NAMES, Operation, Script},
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
            awake_max: script.awake_max,
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
        let mut processes = self.seats.iter().flat_map(|seat| &seat.process);
        let reading = processes.any(|process| !process.instance.changelog_unread().is_empty());
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
        if let Seat { process: Some(process), paused: false, .. } = &mut self.seats[who] {
            process.write(&mut self.kafka, self.mutation);
        }
        self.check.see(&mut self.kafka)
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
        for (who, (name, seat)) in NAMES.iter().zip(&mut self.seats).enumerate() {
            (seat.paused, seat.skew) = (false, 0);
            match &mut seat.process {
                Some(process) => (process.fail_next, process.doubt_next) = (false, None),
                // Who is gone for good leaves the group by its session's end.
                None if who > 0 => self.kafka.remove_member(name),
                None => {}
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
                self.time_out_who_is_gone();
            }
            self.now += SECOND / 5;
            calm = if self.is_at_rest() { calm + 1 } else { 0 };
            if calm > 3 * NAMES.len() {
                return self.end();
            }
        }
        Err("it does not come to rest".to_owned())
    }

    /// The broker's transaction timeout, for what nobody could know of.
    fn time_out_who_is_gone(&mut self) {
        let gone = NAMES.iter().zip(&self.seats).filter(|(_, seat)| seat.process.is_none());
        gone.for_each(|(name, _)| self.kafka.time_out(name));
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
        self.time_out_who_is_gone();
        for round in 0..ROUNDS_MAX {
            // Who was left behind learns it by its first turn, and then remembers nothing until all is restored elsewhere.
            let remembers = |process: &Process| process.instance.drafts().1 > 0;
            if self.is_at_rest() && !self.seats.iter().flat_map(|seat| &seat.process).any(remembers) {
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
