//! One turn → one Kafka transaction.

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use super::{
    client::{self, Notes, Role, Sizes},
    fault::{Faults, Phase},
    next_step::{Cause, NextStep, Trouble},
    stop::Stop,
};
use crate::{
    limits,
    settings::{KafkaSettings, Topic, TopicSettings},
    telemetry,
    turn::{Outgoing, Output, Written},
};

/// librdkafka hands over delivery reports every few milliseconds at most; asking more often only burns the processor.
const NAP: Duration = Duration::from_millis(1);

/// One turn, ready to be written.
pub struct Parcel {
    pub outgoing: Vec<Outgoing>,
    pub positions: TopicPartitionList,
    /// As the member knew the group when the partitions came to it: a generation that is over is refused. What it knows
    /// later may be none at all, once a heartbeat was told that it is over, and that is refused by no empty group.
    pub group: Arc<ConsumerGroupMetadata>,
    pub faults: Arc<Faults>,
}

/// What passes between the thread that writes and the one that waits for it.
pub struct Pulse {
    /// When the client was last called.
    beaten: Mutex<Instant>,
    /// Whoever asked for a turn is gone: what is under way is given up.
    abandoned: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse { beaten: Mutex::new(Instant::now()), abandoned: AtomicBool::new(false) }
    }
}

impl Pulse {
    pub fn beat(&self) {
        *self.beaten.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the last call has taken so far.
    pub fn silence(&self) -> Duration {
        self.beaten.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Relaxed)
    }
}

pub struct Transactions {
    config: ClientConfig,
    producer: ThreadedProducer<Notes>,
    topics: TopicSettings,
    stop: Stop,
    pulse: Arc<Pulse>,
    /// A transaction was begun and neither committed nor aborted.
    open: Cell<bool>,
    /// How many values of the changelog were sent so far: each has the number that makes.
    sent: Cell<usize>,
    /// A question was not answered at once: the client may have asked it again, as it does where a connection is lost. A copy
    /// that comes late counts with whatever turn is open then, if that has the same epoch (KIP-890): positions go back, or
    /// half a turn is committed.
    asked_again: Cell<bool>,
}

impl Transactions {
    /// A producer whose predecessor of the same id is fenced, and its open transaction ended.
    pub fn start(
        kafka: &KafkaSettings,
        topics: &TopicSettings,
        sizes: Sizes,
        stop: Stop,
        pulse: Arc<Pulse>,
    ) -> Result<Transactions, Trouble> {
        let config = client::config(kafka, Role::Producer, sizes);
        let producer = client::create(&config)?;
        let (topics, open, sent, asked_again) = (topics.clone(), Cell::new(false), Cell::new(0), Cell::new(false));
        let this = Transactions { config, producer, topics, stop, pulse, open, sent, asked_again };
        this.take_up()?;
        Ok(this)
    }

    fn take_up(&self) -> Result<(), Trouble> {
        let deadline = Instant::now() + limits::REACH_MAX;
        self.insist("take up the transactional id", deadline, |wait| self.producer.init_transactions(wait))?;
        // What was asked before has another epoch.
        self.asked_again.set(false);
        Ok(())
    }

    /// The client's own thread takes what it has to say within moments; this is for such a moment.
    fn has_lost_a_connection(&self) -> bool {
        self.producer.poll(Duration::ZERO);
        self.producer.client().context().is_broken()
    }

    /// The same producer with a new epoch.
    fn replace(&mut self) -> Result<(), Trouble> {
        self.producer = client::create(&self.config)?;
        self.take_up().map_err(Trouble::for_new_clients)
    }

    /// Writes and commits; returns where the values of the changelog lie. An error's next step says whether the transaction
    /// is to be aborted or is out of reach.
    pub fn write(&mut self, parcel: Parcel) -> Result<Vec<Written>, Trouble> {
        let Parcel { outgoing, positions, group, faults } = parcel;
        let lost_connection = self.has_lost_a_connection();
        if lost_connection || self.asked_again.get() {
            tracing::debug!(lost_connection, "a new epoch: the last turn's end may have been asked for twice");
            self.replace()?;
        }
        let deadline = Instant::now() + limits::TURN_WRITE_MAX;
        self.producer.begin_transaction().map_err(|error| Trouble::of("begin a turn", &error).given_up())?;
        self.open.set(true);
        faults.pass(Phase::Begun)?;
        let (first, mut drafts) = (self.sent.get() + 1, Vec::new());
        // Each value goes as soon as the client has its copy.
        for value in outgoing {
            self.pulse.beat();
            let number = match (value.output, value.partition, &value.key) {
                (Output::Drafts, Some(partition), Some(key)) if value.value.is_some() => {
                    drafts.push((partition, key.clone()));
                    self.sent.update(|sent| sent + 1);
                    self.sent.get()
                }
                _ => 0,
            };
            self.send(&value, number, deadline)?;
        }
        faults.pass(Phase::Sent)?;
        self.insist("add the positions to a turn", deadline, |wait| {
            self.producer.send_offsets_to_transaction(&positions, &group, wait)
        })?;
        faults.pass(Phase::Positioned)?;
        self.flush(deadline)?;
        faults.pass(Phase::Flushed)?;
        self.insist("commit a turn", deadline, |wait| self.producer.commit_transaction(wait))?;
        self.open.set(false);
        faults.pass(Phase::Committed)?;
        let delivered = self.producer.client().context().take_delivered();
        let written = delivered.into_iter().filter_map(|(number, place)| {
            // What an earlier turn sent may be told of late. A value that was written twice has no offset in the report.
            let (partition, key) = drafts.get(number.checked_sub(first)?)?.clone();
            (place >= 0).then_some(Written { partition, key, place })
        });
        Ok(written.collect())
    }

    /// Ends a transaction that was begun and not committed, if there is one. The producer is replaced: what librdkafka takes
    /// back of messages that it had not sent yet may leave a gap in its sequence numbers, and the next turn then fails.
    pub fn abort(&mut self) -> Result<(), Trouble> {
        if !self.open.replace(false) {
            return Ok(());
        }
        self.pulse.beat();
        // Its successor ends the transaction too, only half a second later.
        if let Err(error) = self.producer.abort_transaction(limits::CALL_MAX) {
            tracing::debug!(%error, "the transaction is left to the next producer");
        }
        self.replace()
    }

    fn send(&self, value: &Outgoing, number: usize, deadline: Instant) -> Result<(), Trouble> {
        let topic = self.topics.name(Topic::from(value.output));
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, number);
        record.partition = value.partition;
        record.key = value.key.as_deref();
        record.payload = value.value.as_deref();
        record.headers = headers(&value.headers);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    self.check_time("write a turn", deadline)?;
                    record = returned;
                    sleep(NAP);
                }
                Err((error, _)) => return Err(refused(topic, error.rdkafka_error_code(), &error)),
            }
        }
        telemetry::written(topic, value.value.as_ref().map_or(0, bytes::Bytes::len));
        Ok(())
    }

    /// Waits for every delivery report without the 100 ms that rdkafka's own flush takes at least.
    fn flush(&self, deadline: Instant) -> Result<(), Trouble> {
        while let Err(error) = self.producer.flush(Duration::ZERO) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::OperationTimedOut) {
                return Err(Trouble::of("write a turn", &error).given_up());
            }
            self.check_time("write a turn", deadline)?;
            sleep(NAP);
        }
        match self.producer.client().context().take_delivery_error() {
            Some((code, topic)) => Err(refused(&topic, Some(code), &KafkaError::MessageProduction(code))),
            None => Ok(()),
        }
    }

    /// Calls until it is done, cannot be done, or time is up.
    fn insist(
        &self,
        doing: &str,
        deadline: Instant,
        call: impl Fn(Duration) -> KafkaResult<()>,
    ) -> Result<(), Trouble> {
        loop {
            self.pulse.beat();
            let Err(error) = call(limits::CALL_MAX) else { return Ok(()) };
            let trouble = Trouble::of(doing, &error);
            if trouble.next != NextStep::Retry || Instant::now() > deadline || self.is_given_up() {
                return Err(trouble.given_up());
            }
            self.asked_again.set(true);
            sleep(NAP);
        }
    }

    fn is_given_up(&self) -> bool {
        self.stop.expired() || self.pulse.is_abandoned()
    }

    fn check_time(&self, doing: &str, deadline: Instant) -> Result<(), Trouble> {
        self.pulse.beat();
        if Instant::now() < deadline && !self.is_given_up() {
            return Ok(());
        }
        let reason = self.producer.client().context().last_error().unwrap_or_else(|| "no broker takes it".to_owned());
        Err(Trouble::new(NextStep::StartAnew, Cause::BrokerAway, format!("could not {doing} in time: {reason}")))
    }
}

/// A value that its topic does not take: what topics take is learned anew.
fn refused(topic: &str, code: Option<RDKafkaErrorCode>, error: &KafkaError) -> Trouble {
    if code == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
        let why = format!("{topic} refuses a value as too large: raise its max.message.bytes (and then the broker's)");
        return Trouble::new(NextStep::StartAnew, Cause::TooLarge, why);
    }
    Trouble::of(&format!("write to {topic}"), error).for_new_clients()
}

fn headers(headers: &[(String, bytes::Bytes)]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    Some(headers.iter().fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(&value[..]) })))
}

/// Ends the open transaction of another instance that is gone, by taking its transactional id for a moment.
pub fn fence(kafka: &KafkaSettings, instance: &str, sizes: Sizes) -> Result<(), Trouble> {
    let mut config = client::config(kafka, Role::Producer, sizes);
    config.set("transactional.id", client::transactional_id(&kafka.group, instance));
    let producer: ThreadedProducer<Notes> = client::create(&config)?;
    let doing = "end the transactions of an instance that is gone";
    producer.init_transactions(4 * limits::CALL_MAX).map_err(|error| Trouble::of(doing, &error).given_up())
}
