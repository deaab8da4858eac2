//! Writes turns on a thread of its own: one is written while the next is gathered and built. Never two at once, for a
//! transactional producer has one transaction. What is built on a turn that fails is dropped with it: the tasks are
//! restored in any case.

use std::{
    cell::Cell,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    client::Sizes,
    next_step::{Cause, NextStep, Trouble},
    stop::Stop,
    transactions::{Parcel, Pulse, Transactions},
};
use crate::{
    limits,
    settings::{KafkaSettings, TopicSettings},
    turn::Written,
};

enum Order {
    Write(Parcel),
    Abort,
}

/// What became of an order.
pub struct Outcome {
    /// Where the values of the changelog lie.
    pub result: Result<Vec<Written>, Trouble>,
    pub took: Duration,
}

/// The handle. Each order is answered before the next is given.
pub struct Writer {
    /// None only while the value is dropped.
    orders: Option<SyncSender<Order>>,
    outcomes: Receiver<Outcome>,
    pulse: Arc<Pulse>,
    /// The client did not come back from a call: neither it nor its thread is waited for any more. Its successor takes
    /// its transactional id from it.
    hangs: Cell<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Fences the last process of this instance, and begins.
    pub fn start(kafka: &KafkaSettings, topics: &TopicSettings, sizes: Sizes, stop: Stop) -> Result<Writer, Trouble> {
        let pulse = Arc::<Pulse>::default();
        let mut transactions = Transactions::start(kafka, topics, sizes, stop, pulse.clone())?;
        let (orders, ordered) = mpsc::sync_channel(1);
        let (done, outcomes) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("writer".into()).spawn(move || {
            while let Ok(order) = ordered.recv() {
                let began = Instant::now();
                let result = match order {
                    Order::Write(parcel) => transactions.write(parcel),
                    Order::Abort => transactions.abort().map(|()| Vec::new()),
                };
                if done.send(Outcome { result, took: began.elapsed() }).is_err() {
                    return;
                }
            }
        });
        let thread = thread.map_err(|error| Trouble::stop(format!("no thread to write on: {error}")))?;
        Ok(Writer { orders: Some(orders), outcomes, pulse, hangs: Cell::new(false), thread: Some(thread) })
    }

    /// Begins to write a turn; the last one's outcome was taken.
    pub fn begin(&self, parcel: Parcel) {
        self.order(Order::Write(parcel));
    }

    /// The outcome of the turn that was begun, once it is known.
    pub fn outcome(&self) -> Option<Outcome> {
        self.wait(Duration::ZERO)
    }

    /// The outcome of the turn that was begun, waited for.
    pub fn await_outcome(&self) -> Outcome {
        loop {
            if let Some(outcome) = self.wait(limits::CALL_MAX) {
                return outcome;
            }
        }
    }

    /// Each call into the client is given a time, which some overstay where a coordinator moves at the wrong moment:
    /// librdkafka looks at the clock again when a broker's connection changes, and that may be never.
    fn wait(&self, wait: Duration) -> Option<Outcome> {
        match self.outcomes.recv_timeout(wait) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Disconnected) => panic!("{ENDED}"),
            Err(RecvTimeoutError::Timeout) if self.pulse.silence() < limits::CALL_HANGS => None,
            Err(RecvTimeoutError::Timeout) => {
                self.hangs.set(true);
                let why = "the Kafka client does not come back from writing a turn";
                let trouble = Trouble::new(NextStep::StartAnew, Cause::Hangs, why);
                Some(Outcome { result: Err(trouble), took: limits::CALL_HANGS })
            }
        }
    }

    /// Ends a transaction that was begun and not committed, if there is one. After it the producer is a new one.
    pub fn abort(&self) -> Result<(), Trouble> {
        self.order(Order::Abort);
        self.await_outcome().result.map(drop)
    }

    fn order(&self, order: Order) {
        self.pulse.beat();
        let orders = self.orders.as_ref().expect("taken away by drop alone");
        orders.send(order).unwrap_or_else(|_| panic!("{ENDED}"));
    }
}

const ENDED: &str = "the writer's thread ended by a bug; its message is above";

impl Drop for Writer {
    fn drop(&mut self) {
        self.pulse.abandon();
        self.orders = None;
        if let Some(thread) = self.thread.take_if(|_| !self.hangs.get()) {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}
