//! The loop: gather arrivals, have the turn room work on them, hand what comes back to the [`Writer`], which writes it
//! in one transaction while the next turn is gathered and built. One thread owns all but the writing.
//!
//! A rebalance drops tasks; the turn that is still being written ends by itself before they are restored. If its
//! generation is over, its positions are refused, and so is all of it; the same goes for what a member writes that left
//! without knowing it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{
    bodies::{self, INPUTS, Lookup, Offsets},
    client::{self, Notes, Rebalance, Role, Sizes},
    endurance::Endurance,
    fault::{Faults, Phase},
    intake,
    next_step::{Cause, NextStep, Trouble},
    restore::Interrupted,
    stop::Stop,
    topics::Layout,
    transactions::Parcel,
    writer::Writer,
};
use crate::{
    arrival::{Arrival, Input, Timestamp},
    correlate::Rules,
    limits,
    settings::Settings,
    telemetry::{self, Health},
    turn::{Counts, Encoding, Outgoing, Output, Progress, Tasks, TurnOutput, TurnRules},
};

/// Time passes for drafts that are to be forgotten too: an idle instance turns this often.
const IDLE_TURN: Duration = Duration::from_secs(1);

pub struct Worker<'a> {
    pub(super) settings: &'a Settings,
    pub(super) sizes: Sizes,
    pub(super) stop: Stop,
    pub(super) member: BaseConsumer<Notes>,
    pub(super) lookup: Lookup,
    pub(super) tasks: Tasks,
    /// An assignment that is not restored yet.
    pub(super) pending: Option<Vec<i32>>,
    pub(super) entries_restored: u64,
    partitions: i32,
    writer: Writer,
    /// The turn that is being written.
    writing: Option<Writing>,
    health: &'a Health,
    endurance: &'a mut Endurance,
    faults: &'a Arc<Faults>,
    /// The partition numbers that are being worked on.
    numbers: Vec<i32>,
    /// Where reading began when they were taken up.
    began_at: Offsets,
    gathering_since: Instant,
    turned_at: Instant,
    more_due: bool,
}

/// What is to be said of a turn once it is written.
struct Writing {
    counts: Counts,
    began: Instant,
    handed_over: Instant,
    /// Strays are on their way: until they are written, nothing tells that their topic is read to its end.
    moves: bool,
}

/// What was read for one turn.
#[derive(Default)]
struct Gathered {
    arrivals: Vec<Arrival>,
    bytes: usize,
    /// Where to resume, of each partition that something came from.
    next: BTreeMap<(Input, i32), i64>,
}

enum Polled {
    Arrival(Arrival),
    Failed(KafkaError),
    Nothing,
}

impl<'a> Worker<'a> {
    /// Connects, and fences the last process of this instance.
    pub fn start(
        settings: &'a Settings,
        layout: &Layout,
        health: &'a Health,
        endurance: &'a mut Endurance,
        faults: &'a Arc<Faults>,
        stop: Stop,
    ) -> Result<Worker<'a>, Trouble> {
        let (kafka, sizes) = (&settings.kafka, layout.sizes);
        let writer = Writer::start(kafka, &settings.topics, sizes, stop.clone())?;
        let lookup = Lookup::start(kafka, &settings.topics, sizes, stop.clone())?;
        let member: BaseConsumer<Notes> = client::create(&client::config(kafka, Role::Member, sizes))?;
        let topics = INPUTS.map(|input| settings.topics.name(input));
        member.subscribe(&topics).map_err(|error| Trouble::of("join the group", &error).given_up())?;
        Ok(Worker {
            settings,
            sizes,
            stop,
            member,
            lookup,
            tasks: Tasks::new(turn_rules(settings, layout)),
            pending: None,
            entries_restored: 0,
            partitions: layout.partitions,
            writer,
            writing: None,
            health,
            endurance,
            faults,
            numbers: Vec::new(),
            began_at: Offsets::new(),
            gathering_since: Instant::now(),
            turned_at: Instant::now(),
            more_due: false,
        })
    }

    /// Works until a stop is wanted, or new clients are.
    pub fn run(mut self) -> Result<(), Trouble> {
        while !self.stop.requested() {
            self.beat();
            match self.step() {
                Ok(()) => {}
                Err(trouble) if trouble.next == NextStep::Abort => self.recover(&trouble)?,
                Err(trouble) => return Err(trouble.given_up()),
            }
        }
        self.health.set_ready(false);
        self.finish_writing()
    }

    fn step(&mut self) -> Result<(), Trouble> {
        if let Some(outcome) = self.writing.is_some().then(|| self.writer.outcome()).flatten() {
            self.written(outcome)?;
        }
        if self.pending.is_some() {
            self.finish_writing()?;
        }
        if let Some(numbers) = self.pending.take() {
            return match self.take_up(&numbers) {
                Ok(()) | Err(Interrupted::Stopped) => Ok(()),
                // The tasks half restored are dropped by the next assignment's arrival.
                Err(Interrupted::Rebalanced) => Ok(()),
                Err(Interrupted::Failed(trouble)) => Err(self.hold(trouble, numbers)),
            };
        }
        let gathered = self.gather()?;
        if self.pending.is_some() {
            return Ok(());
        }
        self.turn(gathered)
    }

    /// From an assignment to consuming.
    fn take_up(&mut self, numbers: &[i32]) -> Result<(), Interrupted> {
        let began = Instant::now();
        self.numbers = numbers.to_vec();
        telemetry::assigned(numbers.len());
        if numbers.is_empty() {
            tracing::info!("standing by: every partition is worked on by another instance");
            self.health.set_ready(true);
            return Ok(());
        }
        let positions = self.restore(numbers)?;
        self.claim(&positions)?;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in &positions {
            let added = list.add_partition_offset(topic, *partition, Offset::Offset(*offset));
            added.map_err(|error| Trouble::of("begin to read", &error).given_up())?;
        }
        self.member.assign(&list).map_err(|error| Trouble::of("begin to read", &error).given_up())?;
        self.began_at = positions;
        telemetry::restored(self.entries_restored, began.elapsed());
        self.endurance.answered();
        self.health.set_ready(true);
        tracing::info!(partitions = numbers.len(), seconds = began.elapsed().as_secs_f64(), "consuming");
        Ok(())
    }

    /// Commits the positions as they are, with this instance's name: who takes over after a crash then knows whose
    /// transaction to end. It proves too that this instance may write.
    fn claim(&mut self, positions: &Offsets) -> Result<(), Trouble> {
        let parcel = self.parcel(Vec::new(), positions, Arc::default())?;
        self.writer.begin(parcel);
        self.writer.await_outcome()
    }

    fn parcel(&self, outgoing: Vec<Outgoing>, next: &Offsets, faults: Arc<Faults>) -> Result<Parcel, Trouble> {
        let positions = named_positions(next, &self.settings.kafka.instance)?;
        let group = self.member.group_metadata();
        let group = group.ok_or_else(|| Trouble::abort("this instance is in no group just now"))?;
        Ok(Parcel { outgoing, positions, group, faults })
    }

    fn gather(&mut self) -> Result<Gathered, Trouble> {
        let length = if self.more_due { Duration::ZERO } else { self.settings.turn.length };
        // Turns begin this often, so the time that the last one took counts; a quarter is left to gather in any case.
        let now = Instant::now();
        let end = (self.gathering_since + length).max(now + length / 4);
        self.gathering_since = now;
        let mut gathered = Gathered::default();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.poll(left) {
                Polled::Arrival(arrival) => gathered.take(arrival),
                Polled::Failed(error) => self.poll_failed(&error)?,
                Polled::Nothing => {}
            }
            if self.take_rebalances()? {
                return Ok(Gathered::default());
            }
            let full =
                gathered.bytes >= self.settings.turn.bytes_max || gathered.arrivals.len() >= limits::TURN_ARRIVALS_MAX;
            if full || left.is_zero() || self.stop.requested() {
                telemetry::read(gathered.bytes);
                return Ok(gathered);
            }
        }
    }

    fn poll(&self, wait: Duration) -> Polled {
        match self.member.poll(wait.min(limits::CALL_MAX)) {
            Some(Ok(message)) => match self.settings.topics.input(message.topic()) {
                Some(input) => Polled::Arrival(intake::arrival(&message, input, wall())),
                None => Polled::Nothing,
            },
            Some(Err(error)) => Polled::Failed(error),
            None => Polled::Nothing,
        }
    }

    fn poll_failed(&mut self, error: &KafkaError) -> Result<(), Trouble> {
        if matches!(error, KafkaError::PartitionEOF(_)) {
            return Ok(());
        }
        let trouble = Trouble::of("read", error);
        match trouble.next {
            // librdkafka goes on by itself; whether brokers answer, the next question tells.
            NextStep::Retry => Ok(()),
            _ => Err(trouble),
        }
    }

    /// Serves the group while nothing is assigned to be read.
    pub(super) fn poll_member_only(&mut self, wait: Duration) -> Result<(), Trouble> {
        if let Polled::Failed(error) = self.poll(wait) {
            self.poll_failed(&error)?;
        }
        self.take_rebalances().map(drop)
    }

    /// Drops the tasks that a rebalance took, and notes those that it gave. Returns whether there was one.
    fn take_rebalances(&mut self) -> Result<bool, Trouble> {
        let rebalances = self.member.context().take_rebalances();
        for rebalance in &rebalances {
            self.drop_tasks();
            self.pending = match rebalance {
                Rebalance::Revoked => None,
                Rebalance::Assigned(partitions) => Some(self.numbers_of(partitions)?),
            };
        }
        Ok(!rebalances.is_empty())
    }

    /// The partition numbers of an assignment, the same of each input topic.
    fn numbers_of(&self, partitions: &[(String, i32)]) -> Result<Vec<i32>, Trouble> {
        let of = |input: Input| {
            let name = self.settings.topics.name(input);
            let mut numbers: Vec<i32> =
                partitions.iter().filter(|(topic, _)| topic == name).map(|(_, number)| *number).collect();
            numbers.sort_unstable();
            numbers
        };
        let [reports, envelopes, strays] = INPUTS.map(of);
        if reports != envelopes || reports != strays || reports.last().is_some_and(|last| *last >= self.partitions) {
            return Err(Trouble::stop(
                "the group gave this instance different partitions of the input topics, or more than there were at the \
                 start: have all instances read the same topics, stop all before the partitions are changed, and run \
                 `mailjournal topics check`",
            ));
        }
        Ok(reports)
    }

    fn drop_tasks(&mut self) {
        for number in std::mem::take(&mut self.numbers) {
            self.tasks.revoke(number);
        }
        self.more_due = false;
        self.health.set_ready(false);
    }

    fn turn(&mut self, gathered: Gathered) -> Result<(), Trouble> {
        let idle = gathered.arrivals.is_empty() && !self.more_due;
        let due = self.tasks.poll_deadline().is_some_and(|due| due <= wall());
        if idle && !due && self.turned_at.elapsed() < IDLE_TURN {
            return Ok(());
        }
        let began = Instant::now();
        self.turned_at = began;
        self.faults.pass_if(!gathered.arrivals.is_empty(), Phase::Gathered)?;
        let progress = self.progress()?;
        let output = self.tasks.turn(gathered.arrivals, &progress, wall(), &mut self.lookup);
        if let Some(trouble) = self.lookup.take_trouble() {
            return Err(Trouble { next: NextStep::Abort, ..trouble });
        }
        telemetry::drafts(self.tasks.drafts());
        self.more_due = output.more_due;
        if output.outgoing.is_empty() && gathered.next.is_empty() {
            return Ok(());
        }
        self.faults.pass(Phase::Built)?;
        self.hand_over(output, &gathered.next, began)
    }

    /// Hands a turn over to be written, once the last one is.
    fn hand_over(
        &mut self,
        output: TurnOutput,
        next: &BTreeMap<(Input, i32), i64>,
        began: Instant,
    ) -> Result<(), Trouble> {
        let built = began.elapsed();
        self.finish_writing()?;
        tracing::debug!(?built, waited = ?(began.elapsed() - built), "built");
        let name = |input: Input| self.settings.topics.name(input).to_owned();
        let next: Offsets =
            next.iter().map(|((input, partition), offset)| ((name(*input), *partition), *offset)).collect();
        let TurnOutput { outgoing, counts, .. } = output;
        let moves = outgoing.iter().any(|value| value.output == Output::Strays);
        let parcel = self.parcel(outgoing, &next, self.faults.clone())?;
        self.writer.begin(parcel);
        self.writing = Some(Writing { counts, began, handed_over: Instant::now(), moves });
        Ok(())
    }

    /// Waits for the turn that is being written, if there is one.
    fn finish_writing(&mut self) -> Result<(), Trouble> {
        match self.writing {
            Some(_) => self.written(self.writer.await_outcome()),
            None => Ok(()),
        }
    }

    fn written(&mut self, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        let turn = self.writing.take().expect("an outcome is of a turn that was handed over");
        outcome?;
        self.endurance.turned();
        let (whole, writing) = (turn.began.elapsed(), turn.handed_over.elapsed());
        telemetry::turn(&turn.counts, whole, writing);
        tracing::debug!(arrivals = turn.counts.arrivals, records = turn.counts.records, ?whole, ?writing, "turn");
        Ok(())
    }

    /// How far each input partition has been read. Where no broker tells, nothing counts as read to its end.
    fn progress(&mut self) -> Result<Vec<Progress>, Trouble> {
        if self.numbers.is_empty() {
            return Ok(Vec::new());
        }
        let moves = self.writing.as_ref().is_some_and(|turn| turn.moves);
        let inputs = bodies::inputs(&self.settings.topics, &self.numbers);
        let ends = match bodies::log_offsets(&self.member, inputs, Offset::End, limits::CALL_MAX) {
            Ok(ends) => {
                self.answered();
                self.health.set_ready(true);
                ends
            }
            Err(trouble) if trouble.next == NextStep::Retry => {
                self.waits(trouble)?;
                Offsets::new()
            }
            Err(trouble) => return Err(trouble),
        };
        let read = self.member.position().map_err(|error| Trouble::of("learn the positions", &error).given_up())?;
        let mut progress = Vec::with_capacity(INPUTS.len() * self.numbers.len());
        for (input, partition) in INPUTS.iter().flat_map(|input| self.numbers.iter().map(|number| (*input, *number))) {
            let topic = self.settings.topics.name(input);
            let at = (topic.to_owned(), partition);
            let end = ends.get(&at);
            let position = match read.find_partition(topic, partition).map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                // Nothing was read of it since it was taken up.
                _ => self.began_at.get(&at).copied(),
            };
            if let (Some(end), Some(position)) = (end, position) {
                telemetry::lag(topic, partition, end - position);
            }
            let at_end = matches!((end, position), (Some(end), Some(position)) if position >= *end)
                && !(moves && input == Input::Strays);
            progress.push(Progress { input, partition, at_end });
        }
        Ok(progress)
    }

    /// After an abort: the same lines as after an assignment.
    fn recover(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        tracing::warn!(%trouble, "a turn is given up; restoring");
        telemetry::recovery("abort");
        let wait = self.endurance.setback(trouble)?;
        match self.finish_writing() {
            Err(trouble) if trouble.next != NextStep::Abort => return Err(trouble.given_up()),
            Ok(()) | Err(_) => self.writer.abort()?,
        }
        // Where there is neither, the group is about to give an assignment.
        if self.pending.is_none() && !self.numbers.is_empty() {
            self.pending = Some(self.numbers.clone());
        }
        self.drop_tasks();
        let held = self.member.assign(&TopicPartitionList::new());
        held.map_err(|error| Trouble::of("stop reading", &error).given_up())?;
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.stop.requested() {
            self.poll_member_only(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Puts back an assignment whose restore failed, so that a recovery finds it.
    fn hold(&mut self, trouble: Trouble, numbers: Vec<i32>) -> Trouble {
        self.pending.get_or_insert(numbers);
        trouble
    }

    pub(super) fn inputs<'b>(&'b self, numbers: &'b [i32]) -> impl Iterator<Item = (String, i32)> + 'b {
        bodies::inputs(&self.settings.topics, numbers)
    }

    /// A broker did not answer, or has to be waited for.
    pub(super) fn waits(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if trouble.cause == Cause::BrokerAway {
            self.health.set_ready(false);
        }
        let reason = self.member.context().last_error();
        self.endurance.waits(trouble, reason)
    }

    pub(super) fn answered(&mut self) {
        self.endurance.answered();
    }

    pub(super) fn beat(&self) {
        self.health.beat(wall().0);
    }
}

impl Gathered {
    fn take(&mut self, arrival: Arrival) {
        let position = arrival.position;
        self.next.insert((position.input, position.partition), position.offset + 1);
        self.bytes += arrival.bytes.len();
        self.arrivals.push(arrival);
    }
}

fn turn_rules(settings: &Settings, layout: &Layout) -> TurnRules {
    TurnRules {
        rules: Rules {
            timing: settings.timing,
            topic_names: settings.topics.input_names(),
            value_bytes_max: crate::record::ValueBytesMax {
                archive: Some(layout.archive_bytes_max),
                activity: Some(layout.archive_bytes_max),
                ndr: Some(layout.archive_bytes_max),
            },
            archive_format: settings.archive_format,
        },
        partitions: layout.partitions,
        encoding: Encoding::Avro,
        recent_bytes_max: settings.turn.recent_bytes_max,
    }
}

/// Positions to commit, each with the name of the instance that commits it.
fn named_positions(offsets: &Offsets, instance: &str) -> Result<TopicPartitionList, Trouble> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for ((topic, partition), offset) in offsets {
        let mut element = list.add_partition(topic, *partition);
        let set = element.set_offset(Offset::Offset(*offset));
        set.map_err(|error| Trouble::of("add the positions to a turn", &error).given_up())?;
        element.set_metadata(instance);
    }
    Ok(list)
}

pub(super) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
