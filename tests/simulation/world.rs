//! A history as it happens: operation by operation, then until all has come to rest.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailjournal::{arrival::Timestamp, turn::stray};

use crate::{
    check::Check,
    kafka::{DRAFTS, Entry, Kafka, Topic},
    mutation::Mutation,
    process::{Failure, Process},
    script::{Given, NAMES, Operation, Script},
};

pub const EPOCH: i64 = 1_772_438_400_000;
const SECOND: i64 = 1_000;
/// Steps of each instance after the last fault, within which all must have come to rest.
const ROUNDS_MAX: usize = 4_000;

/// A promise that was not kept.
pub type Broken = String;

pub struct World<'s> {
    script: &'s Script,
    pub kafka: Kafka,
    now: i64,
    given: usize,
    seats: Vec<Seat>,
    pub check: Check,
    /// What of the rarer things the history has had.
    pub met: BTreeSet<&'static str>,
    mutation: Option<Mutation>,
}

/// Where a process of one name runs, or does not.
#[derive(Default)]
struct Seat {
    process: Option<Process>,
    /// The process before, where it has not noticed yet that there is another.
    older: Option<Process>,
    paused: bool,
    skew: i64,
}

impl<'s> World<'s> {
    pub fn new(script: &'s Script, mutation: Option<Mutation>) -> World<'s> {
        World {
            script,
            kafka: Kafka::new(script.rules.partitions, mutation),
            now: EPOCH,
            given: 0,
            seats: NAMES.iter().map(|_| Seat::default()).collect(),
            check: Check::of(script),
            met: BTreeSet::new(),
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
            Operation::Restart { who, waits } => self.start(who, waits),
            Operation::Twin { who, waits } => {
                if let Some(older) = self.seats[who].process.take() {
                    self.seats[who].older = Some(older);
                    self.seats[who].paused = false;
                    self.check.met.insert("has two processes of one name");
                    self.start(who, waits);
                }
            }
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
            Operation::Twice { who } => self.with(who, |process| process.twice_next = true),
            Operation::Copy(choice) => {
                if self.kafka.receive_copy(choice) {
                    self.check.met.insert("has a late copy of a turn's end");
                }
                self.check.see(&mut self.kafka)?;
            }
            Operation::Stale { who } => self.with(who, |process| process.stale_next = true),
            Operation::GiveUp { who } => self.start_anew(who),
            Operation::Away(away) => self.kafka.away = away,
            Operation::Slow { who, slow } => self.with(who, |process| process.slow = slow),
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
        let entry = Entry { key: given.key.clone(), value: Some(given.bytes.clone()), headers, at: self.now - late };
        self.kafka.give(at, entry);
    }

    /// Tombstones stay as long as somebody may still be reading what they end (delete.retention.ms).
    fn compact(&mut self, partition: i32, keys: u64, tombstones: bool) {
        let mut processes = self.seats.iter().flat_map(|seat| seat.process.iter().chain(&seat.older));
        let reading = processes.any(|process| !process.instance.changelog_unread().is_empty());
        let chosen = |key: &Bytes| keys >> (key.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte)) % 64) & 1 == 1;
        self.kafka.log((DRAFTS, partition)).compact(chosen, tombstones && !reading);
    }

    fn start(&mut self, who: usize, waits: usize) {
        let seat = &mut self.seats[who];
        if seat.process.is_none() {
            seat.process = Some(Process::new(NAMES[who], self.script, waits, self.mutation));
        }
    }

    fn start_anew(&mut self, who: usize) {
        if let Some(process) = self.seats[who].process.take() {
            self.start(who, process.waits);
        }
    }

    /// One step of the writer's thread; what it makes visible must be right.
    fn write(&mut self, who: usize) -> Result<(), Broken> {
        let Seat { process, older, paused, .. } = &mut self.seats[who];
        for process in process.iter_mut().filter(|_| !*paused).chain(older) {
            process.write(&mut self.kafka, self.mutation);
        }
        self.check.see(&mut self.kafka)
    }

    /// One step of the loops of this name's processes.
    fn step(&mut self, who: usize, choice: usize) -> Result<(), Broken> {
        let wall = Timestamp(self.now + self.seats[who].skew);
        if !self.seats[who].paused {
            let mut process = self.seats[who].process.take();
            let ended = self.step_one(process.as_mut(), wall, choice)?;
            self.seats[who].process = process;
            if ended {
                self.start_anew(who);
            }
        }
        let mut older = self.seats[who].older.take();
        let ended = self.step_one(older.as_mut(), wall, choice / 3)?;
        self.seats[who].older = older.filter(|_| !ended);
        Ok(())
    }

    /// Returns whether the process has to end.
    fn step_one(&mut self, process: Option<&mut Process>, wall: Timestamp, choice: usize) -> Result<bool, Broken> {
        let Some(process) = process else { return Ok(false) };
        let stepped = process.step(&mut self.kafka, &mut self.check, wall, choice, self.mutation);
        match stepped.map_err(|broken| format!("{}: {broken}", process.id))? {
            Ok(()) => Ok(false),
            Err(Failure::Abort) => {
                process.set_back(self.mutation);
                Ok(false)
            }
            Err(Failure::StartAnew) => Ok(true),
        }
    }

    /// All faults end, all arrivals come, and time passes until everything has come to rest.
    fn heal(&mut self) -> Result<(), Broken> {
        if self.check.met.contains("forgets") {
            self.check.met.insert("forgets while there are faults");
        }
        self.kafka.away = false;
        while self.given < self.script.given.len() {
            self.operate(&Operation::Give { late: 0, elsewhere: None })?;
        }
        for (who, (name, seat)) in NAMES.iter().zip(&mut self.seats).enumerate() {
            seat.process = seat.process.take().or_else(|| seat.older.take());
            (seat.paused, seat.skew) = (false, 0);
            seat.older.iter_mut().for_each(|older| older.slow = false);
            match &mut seat.process {
                Some(process) => {
                    (process.fail_next, process.doubt_next, process.slow) = (false, None, false);
                    (process.twice_next, process.stale_next) = (false, false);
                }
                // Who is gone for good leaves the group by its session's end.
                None if who > 0 => self.kafka.remove_member(name),
                None => {}
            }
        }
        self.start(0, 0);
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

    /// The broker's transaction timeout, for what nobody could know of: who began it is gone, and who may live under its
    /// name has been put out by it.
    fn time_out_who_is_gone(&mut self) {
        for (name, seat) in NAMES.iter().zip(&self.seats) {
            if seat.process.as_ref().is_none_or(|process| self.kafka.is_fenced(process.writer())) {
                self.kafka.time_out(name);
            }
        }
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
        assigned.len() == self.script.rules.partitions as usize && self.check.all_read(&self.kafka)
    }

    /// What only shows at the end; then everything is forgotten.
    fn end(&mut self) -> Result<(), Broken> {
        self.check.end(self.script)?;
        // What follows forgets everything, in every history.
        self.met = self.check.met.clone();
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
        for partition in 0..self.script.rules.partitions {
            let log = self.kafka.log((DRAFTS, partition));
            log.compact(|_| true, true);
            if log.next(0).is_some() {
                return Err(format!("partition {partition} of the changelog holds a draft for ever"));
            }
        }
        Ok(())
    }
}
