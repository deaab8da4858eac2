//! The loop: ask the [`Instance`] what to do next, do it, and hand back what came of it. A turn is handed over to the
//! [`Writer`], which writes it in one transaction while the next is gathered and built. One thread owns all but the
//! writing.
//!
//! A rebalance drops tasks; the turn that is still being written ends by itself before they are restored. If its
//! generation is over, its positions are refused, and so is all of it; the same goes for what a member writes that left
//! without knowing it.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
    error::KafkaError,
};

use super::{
    bodies::{self, Lookup},
    client::{self, Notes, Rebalance, Role, Sizes},
    endurance::Endurance,
    fault::{Faults, Phase},
    intake,
    next_step::{Cause, NextStep, Trouble},
    restore::ChangelogReader,
    stop::Stop,
    topics::Layout,
    transactions,
    writer::{Outcome, Writer},
};
use crate::{
    arrival::{Arrival, Input, Timestamp},
    correlate::{AwakeMax, Rules, WorkMax},
    limits,
    settings::Settings,
    telemetry::{self, Health},
    turn::{
        Counts, Encoding, Outgoing, TurnRules,
        instance::{Gathered, INPUTS, Instance, Parcel, Positions, Step},
        pace::{Full, Pace},
    },
};

/// Time passes for drafts that are to be forgotten too: an idle instance turns this often.
const IDLE_TURN: Duration = Duration::from_secs(1);

/// Before something that no broker answered is asked again.
const WAIT: Duration = Duration::from_millis(10);

pub struct Worker<'a> {
    pub(super) settings: &'a Settings,
    pub(super) sizes: Sizes,
    stop: Stop,
    pub(super) member: BaseConsumer<Notes>,
    pub(super) lookup: Lookup,
    pub(super) instance: Instance,
    /// While the changelog is read.
    pub(super) changelog: Option<ChangelogReader>,
    /// The group as it was when the partitions came.
    group: Option<Arc<ConsumerGroupMetadata>>,
    partitions: i32,
    writer: Writer,
    /// The turn that is being written.
    writing: Option<Writing>,
    health: &'a Health,
    endurance: &'a mut Endurance,
    pub(super) faults: &'a Arc<Faults>,
    taken_up: Instant,
    /// A recovery waits until then.
    resume_at: Instant,
    gathering_since: Instant,
    turned_at: Instant,
    pace: Pace,
}

/// What is to be said of a turn once it is written.
struct Writing {
    counts: Counts,
    /// Up to when it was handed over.
    building: Duration,
    full: Full,
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
        let now = Instant::now();
        Ok(Worker {
            settings,
            sizes,
            stop,
            member,
            lookup,
            instance: Instance::new(turn_rules(settings, layout)),
            changelog: None,
            group: None,
            partitions: layout.partitions,
            writer,
            writing: None,
            health,
            endurance,
            faults,
            taken_up: now,
            resume_at: now,
            gathering_since: now,
            turned_at: now,
            pace: Pace::default(),
        })
    }

    /// Works until a stop is wanted, or new clients are.
    pub fn run(mut self) -> Result<(), Trouble> {
        while !self.stop.requested() {
            self.health.beat(wall().0);
            match self.step() {
                Ok(()) => {}
                Err(trouble) if trouble.next == NextStep::Retry => {
                    self.note_wait(trouble)?;
                    self.poll_member_only(WAIT)?;
                }
                Err(trouble) if trouble.next == NextStep::Abort => self.set_back(&trouble)?,
                Err(trouble) => return Err(trouble),
            }
        }
        self.health.set_ready(false);
        self.finish_writing()
    }

    fn step(&mut self) -> Result<(), Trouble> {
        if let Some(outcome) = self.writing.is_some().then(|| self.writer.outcome()).flatten() {
            self.written(outcome)?;
        }
        let step = self.instance.poll_step();
        if step != Step::ReadChangelog {
            self.changelog = None;
        }
        match step {
            // What was gathered is gone if it is not written: nothing is simply tried again.
            Step::Turn => return self.turn().map_err(Trouble::given_up),
            Step::StandBy => return self.poll_member_only(self.settings.turn.length),
            Step::FinishWriting => self.finish_writing()?,
            Step::Abort => self.abort()?,
            Step::EndOrphans => self.end_orphans(),
            Step::LearnCommitted => self.learn_committed()?,
            Step::LearnChangelogBounds => self.learn_changelog_bounds()?,
            Step::LearnInputBounds => self.learn_input_bounds()?,
            Step::ReadChangelog => self.read_changelog()?,
            Step::Claim => self.claim()?,
            // From here on what is polled is part of a turn.
            Step::Consume => return self.consume(),
        }
        self.endurance.answered();
        // The group is served between the steps of a restore, so that it does not wait for this instance.
        self.poll_member_only(Duration::ZERO)
    }

    fn claim(&mut self) -> Result<(), Trouble> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nonce = format!("{} {} {}", self.settings.kafka.instance, std::process::id(), since.as_nanos());
        let outgoing = self.instance.claim(&nonce);
        self.writer.begin(self.parcel(outgoing, self.instance.positions(), Arc::default())?);
        self.writer.await_outcome().result?;
        self.instance.handle_claimed();
        Ok(())
    }

    fn consume(&mut self) -> Result<(), Trouble> {
        let trouble = |error: KafkaError| Trouble::of("begin to read", &error).given_up();
        let mut list = TopicPartitionList::new();
        for ((input, partition), offset) in self.instance.positions() {
            let topic = self.settings.topics.name(*input);
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).map_err(trouble)?;
        }
        self.member.assign(&list).map_err(trouble)?;
        self.instance.handle_consuming();
        telemetry::restored(self.instance.entries_restored(), self.taken_up.elapsed());
        self.health.set_ready(true);
        let partitions = self.instance.numbers().len();
        tracing::info!(partitions, seconds = self.taken_up.elapsed().as_secs_f64(), "consuming");
        Ok(())
    }

    fn parcel(
        &self,
        outgoing: Vec<Outgoing>,
        positions: &Positions,
        faults: Arc<Faults>,
    ) -> Result<transactions::Parcel, Trouble> {
        let positions = self.named_positions(positions)?;
        let group = self.group.clone().ok_or_else(|| Trouble::abort("this instance is in no group just now"))?;
        Ok(transactions::Parcel { outgoing, positions, group, faults })
    }

    /// Positions to commit, each with the name of the instance that commits it.
    fn named_positions(&self, positions: &Positions) -> Result<TopicPartitionList, Trouble> {
        let mut list = TopicPartitionList::with_capacity(positions.len());
        for ((input, partition), offset) in positions {
            let mut element = list.add_partition(self.settings.topics.name(*input), *partition);
            let set = element.set_offset(Offset::Offset(*offset));
            set.map_err(|error| Trouble::of("add the positions to a turn", &error).given_up())?;
            element.set_metadata(&self.settings.kafka.instance);
        }
        Ok(list)
    }

    /// None: a rebalance came in between, and what was read is not this instance's any more.
    fn gather(&mut self) -> Result<Option<Gathered>, Trouble> {
        let length = if self.instance.more_due() { Duration::ZERO } else { self.settings.turn.length };
        // Turns begin this often, so the time that the last one took counts; a quarter is left to gather in any case.
        let now = Instant::now();
        let end = (self.gathering_since + length).max(now + length / 4);
        self.gathering_since = now;
        let mut gathered = Gathered::default();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.poll(left) {
                Polled::Arrival(arrival) => gathered.take(arrival),
                Polled::Failed(error) => poll_failed(&error)?,
                Polled::Nothing => {}
            }
            if self.take_rebalances()? {
                return Ok(None);
            }
            let share = self.pace.gathers;
            gathered.full = gathered.bytes >= share.of(self.settings.turn.bytes_max)
                || gathered.arrivals.len() >= share.of(limits::TURN_ARRIVALS_MAX);
            if gathered.full || left.is_zero() || self.stop.requested() {
                telemetry::read(gathered.bytes);
                return Ok(Some(gathered));
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

    /// Serves the group while nothing is assigned to be read: the client will not give twice what it has given.
    fn poll_member_only(&mut self, wait: Duration) -> Result<(), Trouble> {
        match self.poll(wait) {
            Polled::Arrival(_) => return Err(Trouble::abort("an arrival came before the turn that it belongs to")),
            Polled::Failed(error) => poll_failed(&error)?,
            Polled::Nothing => {}
        }
        self.take_rebalances().map(drop)
    }

    /// Tells the instance what the group said; returns whether it said something.
    fn take_rebalances(&mut self) -> Result<bool, Trouble> {
        let rebalances = self.member.context().take_rebalances();
        for rebalance in &rebalances {
            self.forget_readiness();
            match rebalance {
                Rebalance::Revoked => {
                    self.group = None;
                    self.instance.handle_revoked();
                }
                Rebalance::Assigned(partitions) => {
                    let numbers = self.numbers_of(partitions)?;
                    telemetry::assigned(numbers.len());
                    if numbers.is_empty() {
                        tracing::info!("standing by: every partition is worked on by another instance");
                        self.health.set_ready(true);
                    }
                    self.taken_up = Instant::now();
                    self.group = self.member.group_metadata().map(Arc::new);
                    self.instance.handle_assigned(numbers);
                }
            }
        }
        Ok(!rebalances.is_empty())
    }

    fn forget_readiness(&self) {
        for (topic, partition) in bodies::inputs(&self.settings.topics, self.instance.numbers()) {
            telemetry::lag(&topic, partition, 0);
        }
        self.health.set_ready(false);
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

    fn turn(&mut self) -> Result<(), Trouble> {
        let Some(gathered) = self.gather()? else { return Ok(()) };
        let idle = gathered.arrivals.is_empty() && !self.instance.is_due(wall());
        if idle && self.turned_at.elapsed() < IDLE_TURN {
            return Ok(());
        }
        let began = Instant::now();
        self.turned_at = began;
        self.faults.pass_if(!gathered.arrivals.is_empty(), Phase::Gathered)?;
        let lags = self.lags()?;
        let gathered_full = gathered.full;
        self.instance.set_share(self.pace.publishes);
        let parcel = self.instance.turn(gathered, &lags, wall(), &mut self.lookup);
        self.pace.built(began.elapsed());
        if let Some(trouble) = self.lookup.take_trouble() {
            return Err(Trouble { next: NextStep::Abort, ..trouble });
        }
        let parcel = parcel.map_err(|unreadable| Trouble::abort(unreadable.to_string()))?;
        telemetry::drafts(self.instance.drafts());
        let Some(parcel) = parcel else { return Ok(()) };
        self.faults.pass(Phase::Built)?;
        let full = Full { gathered: gathered_full, published: self.instance.more_due() };
        self.hand_over(parcel, began, full)
    }

    /// Hands a turn over to be written, once the last one is.
    fn hand_over(&mut self, parcel: Parcel, began: Instant, full: Full) -> Result<(), Trouble> {
        let built = began.elapsed();
        self.finish_writing()?;
        tracing::debug!(?built, waited = ?(began.elapsed() - built), "built");
        let (begun, counts) = (parcel.begun(), parcel.counts);
        self.writer.begin(self.parcel(parcel.outgoing, &parcel.positions, self.faults.clone())?);
        self.writing = Some(Writing { counts, building: began.elapsed(), full });
        self.instance.handle_begun(begun);
        Ok(())
    }

    /// Waits for the turn that is being written, if there is one.
    fn finish_writing(&mut self) -> Result<(), Trouble> {
        match self.writing {
            Some(_) => self.written(self.writer.await_outcome()),
            None => Ok(()),
        }
    }

    fn written(&mut self, outcome: Outcome) -> Result<(), Trouble> {
        let turn = self.writing.take().expect("an outcome is of a turn that was handed over");
        let writing = outcome.took;
        self.pace.written(writing, turn.full);
        self.instance.handle_written(&outcome.result?);
        self.endurance.turned();
        let whole = turn.building + writing;
        telemetry::turn(&turn.counts, whole, writing);
        tracing::debug!(arrivals = turn.counts.arrivals, records = turn.counts.records, ?whole, ?writing, "turn");
        Ok(())
    }

    /// How much is left to read of each input partition. Where no broker tells, that is unknown.
    fn lags(&mut self) -> Result<Positions, Trouble> {
        let inputs = bodies::inputs(&self.settings.topics, self.instance.numbers());
        let asked = self.faults.pass(Phase::Asking);
        let asked = asked.and_then(|()| bodies::log_offsets(&self.member, inputs, Offset::End, limits::CALL_MAX));
        let ends = match asked {
            Ok(ends) => {
                self.endurance.answered();
                self.health.set_ready(true);
                bodies::positions(&self.settings.topics, ends)
            }
            Err(trouble) if trouble.next == NextStep::Retry => {
                self.note_wait(trouble)?;
                Positions::new()
            }
            Err(trouble) => return Err(trouble),
        };
        let read = self.member.position().map_err(|error| Trouble::of("learn the positions", &error).given_up())?;
        let read = read.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => {
                Some(((self.settings.topics.input(element.topic())?, element.partition()), offset))
            }
            _ => None,
        });
        let lags = self.instance.lags(&ends, &read.collect());
        for ((input, partition), lag) in &lags {
            telemetry::lag(self.settings.topics.name(*input), *partition, *lag);
        }
        Ok(lags)
    }

    /// After it the instance begins anew, with the same lines as after an assignment.
    fn set_back(&mut self, trouble: &Trouble) -> Result<(), Trouble> {
        tracing::warn!(%trouble, "a turn is given up; restoring");
        telemetry::recovery("abort");
        let wait = self.endurance.setback(trouble)?;
        self.forget_readiness();
        self.instance.handle_setback();
        self.resume_at = Instant::now() + wait;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), Trouble> {
        match self.finish_writing() {
            Err(trouble) if trouble.next != NextStep::Abort => return Err(trouble.given_up()),
            Ok(()) | Err(_) => self.writer.abort()?,
        }
        let held = self.member.assign(&TopicPartitionList::new());
        held.map_err(|error| Trouble::of("stop reading", &error).given_up())?;
        while Instant::now() < self.resume_at && !self.stop.requested() {
            self.poll_member_only(Duration::from_millis(20))?;
        }
        self.taken_up = Instant::now();
        self.instance.handle_aborted();
        Ok(())
    }

    /// A broker did not answer, or has to be waited for.
    fn note_wait(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        if trouble.cause == Cause::BrokerAway {
            self.health.set_ready(false);
        }
        self.endurance.waits(trouble, self.member.context().last_error())
    }
}

/// librdkafka goes on by itself after what may pass; whether brokers answer, the next question tells.
fn poll_failed(error: &KafkaError) -> Result<(), Trouble> {
    if matches!(error, KafkaError::PartitionEOF(_)) {
        return Ok(());
    }
    let trouble = Trouble::of("read", error);
    if trouble.next == NextStep::Retry { Ok(()) } else { Err(trouble) }
}

fn turn_rules(settings: &Settings, layout: &Layout) -> TurnRules {
    // An instance may have to work on every partition.
    let partitions = usize::try_from(layout.partitions).unwrap_or(1).max(1);
    TurnRules {
        rules: Rules {
            timing: settings.timing,
            topic_names: settings.topics.input_names(),
            value_bytes_max: layout.value_bytes_max,
            archive_format: settings.archive_format,
            awake_max: AwakeMax::default().shared_by(partitions),
            work_max: WorkMax::default(),
        },
        partitions: layout.partitions,
        passed_on_bytes_max: Some(layout.passed_on_bytes_max),
        encoding: Encoding::Avro,
        recent_bytes_max: settings.turn.recent_bytes_max,
    }
}

pub(super) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
