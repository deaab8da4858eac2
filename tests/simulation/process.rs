//! One process as the simulation runs it: a real [`Instance`] with the real rooms in it. What a shell does around an
//! instance is done here in steps between which anything else may happen.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::{AwakeMax, Place, WorkMax},
    mail::Key,
    record::{Disposition, LedgerRow},
    turn::{
        AtHand, Bodies, Outgoing, Output, TurnRules, Written,
        instance::{Bounds, Gathered, INPUTS, Instance, Parcel, Positions, Step, input_partitions},
        stray,
    },
};

use crate::{
    check::{Check, Limits},
    kafka::{Asks, At, Copy, DRAFTS, Entry, Kafka, Refusal, Told, Topic},
    mutation::Mutation,
    script::{Script, read_as},
    world::Broken,
};

/// One process: an instance, its writer, and what its clients know.
pub struct Process {
    pub id: &'static str,
    /// Which of the script's waits it was started with.
    pub waits: usize,
    rules: TurnRules,
    /// None until the last process of this name is fenced.
    pub epoch: Option<u32>,
    /// The first of its epochs, by which the group knows it.
    joined_as: u32,
    /// The next turn has a new epoch.
    renews: bool,
    pub instance: Instance,
    generation: u32,
    /// Where each input partition is read next, while they are read.
    pub reading: Option<Positions>,
    pub held: Held,
    writer: Option<Writer>,
    /// The highest arrival time of each input partition since it was taken up.
    highest: BTreeMap<(Input, i32), i64>,
    pub fail_next: bool,
    pub doubt_next: Option<bool>,
    /// The next end of a turn is asked for twice, and the first request comes late.
    pub twice_next: bool,
    /// The coordinator that tells positions has lost its place: it tells what it told before.
    pub stale_next: bool,
    /// What was told last, and of which generation.
    told_positions: Option<(u32, Positions)>,
    /// The leaders of the logs that it writes to answer slowly: what the client was given of a turn stays with it, and
    /// the positions, which are another broker's, go first.
    pub slow: bool,
    /// Message-IDs of arrivals, for one mutation.
    seen: BTreeSet<Key>,
    /// Where it has read arrivals, for another.
    carriers: BTreeSet<Position>,
    /// Where each draft was written first, for a third.
    first_places: BTreeMap<Bytes, Place>,
    /// What was told of notices, for a fourth.
    told: Vec<Outgoing>,
    told_before_the_restore: Vec<Outgoing>,
    claims: u64,
    /// The key of the last.
    claim: Bytes,
    /// How often it has looked into the changelog.
    looks: usize,
    /// How many parts of drafts the last two turns that wrote something stored.
    stored: [usize; 2],
}

/// Between two steps of a turn.
pub enum Held {
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
    /// Where the drafts lie that were written so far.
    written: Vec<Written>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Abort,
    StartAnew,
}

struct Lookup<'k> {
    kafka: &'k Kafka,
    failed: bool,
    /// Whose bytes come from elsewhere, for two mutations.
    elsewhere: BTreeSet<Position>,
}

impl Bodies for Lookup<'_> {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        self.failed |= self.kafka.away && !wanted.is_empty();
        let one = |position: &Position| {
            let log = self.kafka.logs.get(&(Topic::Input(position.input), position.partition));
            let entry = log.and_then(|log| match self.elsewhere.contains(position) {
                true => log.next(0).map(|(_, entry)| entry),
                false => log.committed(position.offset),
            });
            entry.and_then(|entry| entry.value.clone()).ok_or_else(|| "its topic has deleted it".to_owned())
        };
        wanted.iter().map(one).collect()
    }

    fn fetch_drafts(&mut self, partition: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        self.failed |= self.kafka.away && !places.is_empty();
        let log = self.kafka.logs.get(&(DRAFTS, partition));
        // The mark of a transaction that is committed may come later.
        let value = |place: &Place| {
            let (at, entry) = log?.next_of_any(*place)?;
            entry.value.clone().filter(|_| at == *place)
        };
        places.iter().map(|place| value(place).ok_or_else(|| "its topic has deleted it".to_owned())).collect()
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
        server: text(stray::SERVER),
        journal_recipients: text(stray::JOURNAL_RECIPIENT).into_iter().collect(),
        key: entry.key.clone(),
        headers: entry.headers.clone(),
        ..Arrival::new(position, Timestamp(entry.at), bytes)
    }
}

/// What is written, and where.
fn entry(value: Outgoing) -> (At, Entry) {
    let at = (Topic::from(value.output), value.partition.unwrap_or(0));
    let headers = value.headers.into_iter().map(|(name, text)| (name, Some(text))).collect();
    (at, Entry { key: value.key, value: value.value, headers, at: 0 })
}

/// What a step came to: done, a failure of the outside world, or a broken promise.
pub type Stepped = Result<Result<(), Failure>, Broken>;

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        match refusal {
            Refusal::Fenced => Failure::StartAnew,
            Refusal::Abort | Refusal::Again => Failure::Abort,
        }
    }
}

impl Process {
    pub fn new(id: &'static str, script: &Script, waits: usize, mutation: Option<Mutation>) -> Process {
        let rules = script.rules(waits);
        let mut taught = rules.clone();
        match mutation {
            Some(Mutation::ForgetsEarly) => {
                let remember = &mut taught.rules.timing.remember;
                *remember = remember.saturating_sub(Duration::from_millis(500));
            }
            Some(Mutation::NothingRests) => {
                taught.rules.awake_max = AwakeMax { open: usize::MAX, closed: usize::MAX, large_bytes: usize::MAX };
            }
            Some(Mutation::ArrivalsKept) => taught.recent_bytes_max = usize::MAX,
            _ => {}
        }
        Process {
            id,
            waits,
            rules,
            epoch: None,
            joined_as: 0,
            renews: false,
            instance: Instance::new(taught),
            generation: 0,
            reading: None,
            held: Held::Nothing,
            writer: None,
            highest: BTreeMap::new(),
            fail_next: false,
            doubt_next: None,
            twice_next: false,
            stale_next: false,
            told_positions: None,
            slow: false,
            seen: BTreeSet::new(),
            carriers: BTreeSet::new(),
            first_places: BTreeMap::new(),
            told: Vec::new(),
            told_before_the_restore: Vec::new(),
            claims: 0,
            claim: Bytes::new(),
            looks: 0,
            stored: [0; 2],
        }
    }

    /// A turn or a restore is given up.
    pub fn set_back(&mut self, mutation: Option<Mutation>) {
        self.held = Held::Nothing;
        self.reading = None;
        if mutation == Some(Mutation::StalePositions) && !self.instance.numbers().is_empty() {
            let numbers = self.instance.numbers().to_vec();
            self.instance = Instance::new(self.rules.clone());
            self.instance.handle_assigned(numbers);
        }
        self.instance.handle_setback();
    }

    pub fn writer(&self) -> crate::kafka::Writer {
        (self.id, self.epoch.unwrap_or(0))
    }

    /// Another works on what this one takes for its own.
    fn is_left_behind(&self, kafka: &Kafka) -> bool {
        self.generation != kafka.generation || kafka.is_fenced(self.writer())
    }

    /// Something is on its way to be visible.
    pub fn holds_something(&self) -> bool {
        let held = match &self.held {
            Held::Nothing => false,
            Held::Gathered(gathered, _) => !gathered.arrivals.is_empty(),
            Held::Built(..) => true,
        };
        held || self.writer.is_some()
    }

    pub fn step(
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
            self.joined_as = self.epoch.unwrap_or(0);
            return Ok(Ok(()));
        };
        let aborting = self.instance.poll_step() == Step::Abort;
        if let Some((outcome, written)) = self.take_outcome(mutation) {
            match outcome {
                Ok(()) => self.instance.handle_written(&written),
                Err(Failure::Abort) if wrong(Mutation::NotRewoundOnAbort) && self.reading.is_some() => {
                    let _ = kafka.abort(self.id, epoch);
                    self.instance.handle_written(&[]);
                    self.held = Held::Nothing;
                    if let Ok(positions) = kafka.committed_positions(self.instance.numbers(), false) {
                        self.reading = Some(positions);
                    }
                }
                Err(Failure::Abort) if wrong(Mutation::FailureTakenForSuccess) => {
                    let _ = kafka.abort(self.id, epoch);
                    self.instance.handle_written(&[]);
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
        match self.instance.poll_step() {
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
                    let before = self.told_positions.replace((self.generation, positions.clone()));
                    // One with whom nobody has joined since.
                    let stale = std::mem::take(&mut self.stale_next);
                    let positions = match before {
                        Some((generation, before)) if stale && generation == self.generation => before,
                        _ => positions,
                    };
                    if self.instance.handle_committed(positions).is_err() {
                        check.met.insert("is told positions of before");
                        return Ok(Err(Failure::Abort));
                    }
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
            Step::LearnInputBounds => {
                let bounds = input_partitions(&numbers).map(|at| {
                    let log = kafka.log((Topic::Input(at.0), at.1));
                    (at, Bounds { first: log.first, end: log.high() })
                });
                let expired = self.instance.handle_input_bounds(&bounds.collect());
                expired.map_err(|impossible| impossible.to_string())?;
            }
            Step::ReadChangelog => match self.read_changelog(kafka, choice, mutation) {
                // Who was left behind may meet half of what the next owner writes.
                Err(_) if self.is_left_behind(kafka) => return Ok(Err(Failure::Abort)),
                read => read?,
            },
            Step::Claim => {
                if self.writer.is_none() && self.has_renewed(kafka, mutation) {
                    self.claims += 1;
                    let epoch = self.epoch.unwrap_or(epoch);
                    let outgoing = self.instance.claim(&format!("{} {epoch} {}", self.id, self.claims));
                    self.claim = outgoing.iter().find_map(|claim| claim.key.clone()).unwrap_or_default();
                    self.begin(outgoing.into_iter().map(entry).collect(), self.instance.positions().clone(), true);
                }
                return Ok(Ok(()));
            }
            Step::Consume => {
                let mut positions = self.instance.positions().clone();
                if wrong(Mutation::ResumesOneBehind) {
                    positions.values_mut().filter(|offset| **offset > 0).for_each(|offset| *offset += 1);
                }
                self.reading = Some(positions);
                self.highest.clear();
                self.told_before_the_restore = std::mem::take(&mut self.told);
                self.instance.handle_consuming();
            }
            Step::Turn => return Ok(self.gather(kafka, choice)),
        }
        Ok(self.poll_group(kafka).map(drop))
    }

    /// After a turn whose end was asked for twice the producer is replaced, so that no copy counts with the next.
    fn has_renewed(&mut self, kafka: &mut Kafka, mutation: Option<Mutation>) -> bool {
        if self.renews && mutation != Some(Mutation::CopiesCount) {
            let Ok(epoch) = kafka.init(self.id) else { return false };
            self.epoch = Some(epoch);
        }
        self.renews = false;
        true
    }

    /// One step of the writer's thread.
    pub fn write(&mut self, kafka: &mut Kafka, mutation: Option<Mutation>) {
        let (Some(epoch), Some(writer)) = (self.epoch, &mut self.writer) else { return };
        if writer.outcome.is_some() {
            return;
        }
        let id = self.id;
        let wrong = |this| mutation == Some(this);
        if std::mem::take(&mut self.fail_next) {
            writer.outcome = Some(Err(Failure::Abort));
            return;
        }
        let unsent = writer.next < writer.values.len();
        if unsent && self.slow && writer.positioned {
            return;
        }
        let result = if unsent && !self.slow {
            let (at, entry) = writer.values[writer.next].clone();
            let draft = (at.0 == DRAFTS && entry.value.is_some()).then(|| entry.key.clone()).flatten();
            kafka.append(id, epoch, at, entry).map(|place| {
                writer.next += 1;
                writer.written.extend(draft.map(|key| Written { partition: at.1, key, place }));
            })
        } else if !writer.positioned {
            match writer.positions.is_empty() || wrong(Mutation::PositionsAfterTheTurn) {
                true => Ok(()),
                false => kafka.add_positions(id, epoch, &writer.positions, writer.generation),
            }
            .map(|()| writer.positioned = true)
        } else if std::mem::take(&mut self.twice_next) && !self.renews {
            let copy = |asks| Copy { id, epoch, asks };
            let positions = Asks::Positions(writer.positions.clone(), writer.generation);
            kafka.copies.extend([copy(Asks::Commit), copy(positions)]);
            self.renews = true;
            Ok(())
        } else if let Some(effect) = self.doubt_next.take() {
            let committed = if effect { kafka.commit(id, epoch) } else { Ok(()) };
            committed.map(|()| match wrong(Mutation::DoubtWrittenAgain) {
                true => (writer.next, writer.positioned) = (0, false),
                false => writer.outcome = Some(Err(Failure::StartAnew)),
            })
        } else {
            kafka.commit(id, epoch).map(|()| {
                if wrong(Mutation::PositionsAfterTheTurn) {
                    kafka.commit_positions(id, &writer.positions);
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

    /// The outcome of the turn that was being written; a claim is answered here.
    fn take_outcome(&mut self, mutation: Option<Mutation>) -> Option<(Result<(), Failure>, Vec<Written>)> {
        let outcome = self.writer.as_ref()?.outcome?;
        let mut writer = self.writer.take()?;
        if mutation == Some(Mutation::FirstPlaces) {
            for Written { key, place, .. } in &mut writer.written {
                *place = *self.first_places.entry(key.clone()).or_insert(*place);
            }
        }
        if mutation == Some(Mutation::PlacesUntold) {
            writer.written.clear();
        }
        if writer.claims && outcome.is_ok() && self.instance.poll_step() == Step::Claim {
            self.instance.handle_claimed();
            return None;
        }
        Some((outcome, writer.written))
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
                written: Vec::new(),
            });
        }
    }

    /// Returns whether the group said something.
    fn poll_group(&mut self, kafka: &mut Kafka) -> Result<bool, Failure> {
        let told = kafka.poll_group((self.id, self.joined_as), &mut self.generation)?;
        for told in &told {
            self.reading = None;
            match told {
                Told::Revoked => self.instance.handle_revoked(),
                Told::Assigned(numbers) => self.instance.handle_assigned(numbers.clone()),
            }
        }
        Ok(!told.is_empty())
    }

    fn read_changelog(&mut self, kafka: &mut Kafka, choice: usize, mutation: Option<Mutation>) -> Result<(), Broken> {
        let wrong = |this| mutation == Some(this);
        let claim = self.claim.clone();
        self.looks += 1;
        for (index, (number, mut from)) in self.instance.changelog_unread().into_iter().enumerate() {
            // A leader that has just taken over, or does not know yet that another has, does not give all.
            if (choice + index + self.looks).is_multiple_of(7) {
                if wrong(Mutation::RestoreTrustsAnyEnd) {
                    self.instance.handle_entry(number, from, Some(&claim), None);
                }
                continue;
            }
            let log = kafka.log((DRAFTS, number));
            if from <= log.first && wrong(Mutation::RestoreSkipsTheFirst) {
                from = log.first + 1;
            }
            for _ in 0..1 + choice % 5 {
                let next = match wrong(Mutation::RestoreReadsUncommitted) {
                    true => log.next_of_any(from),
                    false => log.next(from),
                };
                let Some((offset, entry)) = next else {
                    if wrong(Mutation::RestoreDoesNotWait) {
                        self.instance.handle_entry(number, from, Some(&claim), None);
                    }
                    break;
                };
                from = offset + 1;
                let is_claim = |entry: &Entry| entry.key.as_deref() == Some(&claim);
                let is_last = || log.next(from).is_some_and(|(_, next)| is_claim(next));
                if wrong(Mutation::RestoreOneShort) && is_last() {
                    continue;
                }
                if wrong(Mutation::RestoreFirstWins)
                    && let Some((earlier, _)) = log.next(0)
                    && earlier < offset
                    && log.next(earlier).is_some_and(|(_, first)| first.key == entry.key)
                {
                    continue;
                }
                if wrong(Mutation::RestoreKeepsTheForgotten) && entry.value.is_none() && !is_claim(entry) {
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
        if self.poll_group(kafka)? {
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
        let next = gathered.next.clone();
        let absent = gathered.arrivals.iter().filter(|arrival| stray::is_absent(arrival));
        let elsewhere = match mutation {
            Some(Mutation::StraysFromElsewhere) => absent.map(|arrival| arrival.origin).collect(),
            Some(Mutation::OriginalsFromElsewhere) => self.carriers.clone(),
            _ => BTreeSet::new(),
        };
        self.carriers.extend(gathered.arrivals.iter().filter(|_| mutation.is_some()).map(|arrival| arrival.origin));
        let mut lookup = Lookup { kafka, failed: false, elsewhere };
        let parcel = self.instance.turn(gathered, &lags, wall, &mut lookup);
        if lookup.failed {
            return Ok(Err(Failure::Abort));
        }
        let parcel = match parcel {
            // Who was left behind may miss what the next owner has replaced.
            Err(_) if self.is_left_behind(kafka) => return Ok(Err(Failure::Abort)),
            parcel => parcel.map_err(|unreadable| unreadable.to_string())?,
        };
        self.check_memory(parcel.as_ref())?;
        let Some(mut parcel) = parcel else { return Ok(Ok(())) };
        if parcel.positions.is_empty() {
            return Err("a turn without positions is not fenced".to_owned());
        }
        parcel.outgoing.extend(unseen);
        match mutation {
            Some(Mutation::EmptyTurnUnfenced) if next.is_empty() => parcel.positions.clear(),
            Some(Mutation::PositionsOfWhatWasRead) if !next.is_empty() => parcel.positions = next,
            Some(Mutation::PositionsOfWhatWasRead) => parcel.positions = parcel.positions.into_iter().take(1).collect(),
            _ => {}
        }
        self.held = Held::Built(parcel, limits);
        Ok(Ok(()))
    }

    /// What no turn has changed since the last but one that wrote something rests, but for so many; and drafts of one key go
    /// together.
    fn check_memory(&mut self, parcel: Option<&Parcel>) -> Result<(), Broken> {
        const DRAFTS_OF_A_KEY_MAX: usize = 8;
        const KEYS_MAX: usize = 9;
        if let Some(Parcel { outgoing, .. }) = parcel {
            let stored = |value: &&Outgoing| value.output == Output::Drafts && value.value.is_some();
            self.stored = [self.stored[1], outgoing.iter().filter(stored).count()];
        }
        let AtHand { drafts, arrival_bytes } = self.instance.at_hand();
        let tasks = self.instance.numbers().len();
        let AwakeMax { open, closed, .. } = self.rules.rules.awake_max;
        // Of a key with more drafts, or parts of them, than may rest together none does.
        let WorkMax { resting_drafts, resting_parts, .. } = self.rules.rules.work_max;
        let restless = if resting_drafts.min(resting_parts) < DRAFTS_OF_A_KEY_MAX { KEYS_MAX } else { 0 };
        let stored = self.stored.iter().sum::<usize>();
        let drafts_max = DRAFTS_OF_A_KEY_MAX * (tasks * (open + closed) + stored + restless);
        if drafts > drafts_max || arrival_bytes > self.rules.recent_bytes_max {
            return Err(format!("at hand are {drafts} drafts of {drafts_max}, and {arrival_bytes} bytes of arrivals"));
        }
        Ok(())
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
        Limits {
            wall,
            until: self.instance.numbers().iter().map(limit).collect(),
            remember: self.rules.rules.timing.remember,
        }
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
        if self.writer.is_some() || !self.has_renewed(kafka, mutation) {
            self.held = Held::Built(parcel, limits);
            return;
        }
        let begun = parcel.begun();
        let Parcel { mut outgoing, positions, .. } = parcel;
        match mutation {
            Some(Mutation::PositionsOutsideTheTurn) => kafka.commit_positions(self.id, &positions),
            Some(Mutation::NoticeToldAgain) => {
                // A restore ends where nothing of this process is being written.
                outgoing.append(&mut self.told_before_the_restore);
                self.told.extend(outgoing.iter().filter(|value| value.output == Output::Ndr).cloned());
            }
            Some(mutation) => mutation.spoil(&mut outgoing),
            None => {}
        }
        check.limits.insert(self.writer(), limits);
        self.begin(outgoing.into_iter().map(entry).collect(), positions, false);
        self.instance.handle_begun(begun);
    }
}
