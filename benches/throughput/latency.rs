//! How long after its last evidence a record is visible, while evidence comes at a steady rate.

use std::{
    collections::HashSet,
    fmt,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mailjournal::{
    avro::{self, Schema},
    record::{ClosedBecause, Disposition, JournalRecord, LedgerRow},
    sample::What,
};
use rdkafka::{
    ClientConfig, Message as _,
    consumer::BaseConsumer,
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};

use crate::{
    load::{self, Load},
    start,
    support::kafka,
};

/// Evidence is given for so long, and the first of it is not counted: the instance has to join its group.
const GIVING: Duration = Duration::from_secs(40);
const SETTLING_IN: Duration = Duration::from_secs(10);
const BOUND: Duration = Duration::from_secs(60);

/// Records that closed because their evidence was complete (the others wait by rule), in the order in which they were read
/// by a read_committed reader.
pub type Seen = Vec<SeenRecord>;

pub struct SeenRecord {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Since its last evidence was given, milliseconds.
    pub after: i64,
    /// Where its evidence came: topic, partition, offset.
    evidence: Vec<Place>,
}

type Place = (String, i32, i64);

/// Of how many records, and how long half, 99 in a hundred and all of them took at most, milliseconds.
pub struct Latency(Vec<i64>);

impl Latency {
    pub fn of(after: impl Iterator<Item = i64>) -> Latency {
        let mut all: Vec<i64> = after.collect();
        all.sort_unstable();
        Latency(all)
    }

    fn at(&self, share: f64) -> i64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, median, p99, worst) = (self.0.len(), self.at(0.5), self.at(0.99), self.at(1.0));
        write!(f, "p50 {median} ms, p99 {p99} ms, worst {worst} ms, of {count} records")
    }
}

/// Gives evidence at this rate (arrivals a second) to a program that is run for it, whose `settle` is 0. Returns the
/// latency of records all of whose evidence came to its home at once, and of those of which some was sent home first.
pub fn measure(address: &str, prefix: &str, run: Command, load: &Load, rate: f64) -> [Latency; 2] {
    let process = start(run);
    let began = now() + millis(SETTLING_IN);
    let mut seen = seen_while(address, prefix, || give(address, prefix, load, rate, GIVING));
    process.stop();
    seen.retain(|record| record.at - record.after > began);
    let moved = moved(address, prefix);
    let (some, none): (Seen, Seen) =
        seen.into_iter().partition(|record| record.evidence.iter().any(|place| moved.contains(place)));
    [none, some].map(|seen| Latency::of(seen.iter().map(|record| record.after)))
}

/// The arrivals that were sent home.
fn moved(address: &str, prefix: &str) -> HashSet<Place> {
    let rows = kafka::read_all(address, &format!("{prefix}journal.ledger"));
    let rows = rows.iter().filter_map(|row| row.value.as_ref());
    let rows = rows.map(|row| avro::decode::<LedgerRow>(Schema::Ledger, row).expect("a ledger row"));
    rows.filter(|row| row.disposition == Disposition::Moved).map(|row| (row.topic, row.partition, row.offset)).collect()
}

/// Gives evidence at a rate for so long, each piece as one that has just come.
pub fn give(address: &str, prefix: &str, load: &Load, rate: f64, length: Duration) {
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("message.max.bytes", "41943040")
        .create()
        .expect("a producer");
    let topics = ["journal.reports", "journal.envelopes"].map(|topic| format!("{prefix}{topic}"));
    let began = Instant::now();
    for (number, incoming) in load.organisation().arrivals().enumerate() {
        let due = Duration::from_secs_f64(number as f64 / rate);
        if due > length {
            break;
        }
        thread::sleep(due.saturating_sub(began.elapsed()));
        let topic = &topics[usize::from(matches!(incoming.what, What::Event(_)))];
        let given = load::to_given_now(&incoming);
        let mut record = BaseRecord::to(topic).payload(&given.value).headers(given.owned_headers());
        record.key = given.key.as_ref().filter(|_| load.keyed);
        producer.send(record).unwrap_or_else(|(error, _)| panic!("give to {topic}: {error}"));
    }
    producer.flush(BOUND).expect("all is given");
}

/// Reads records as they come, until `doing` is done.
pub fn seen_while(address: &str, prefix: &str, doing: impl FnOnce()) -> Seen {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reading = scope.spawn(|| read(address, &format!("{prefix}journal.archive"), &done));
        doing();
        done.store(true, Ordering::Relaxed);
        reading.join().expect("the reader of records")
    })
}

fn read(address: &str, topic: &str, done: &AtomicBool) -> Seen {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "latency")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "10")
        .create()
        .expect("a consumer");
    kafka::assign_whole(&reader, topic);
    let mut seen = Vec::new();
    while !done.load(Ordering::Relaxed) {
        // A broker that is away for a moment shows in the latency.
        let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) else { continue };
        let at = now();
        let value = message.payload().expect("a record has a value");
        let record: JournalRecord = avro::decode(Schema::JournalRecord, value).expect("a record");
        if record.closed_because == ClosedBecause::Evidence {
            let evidence = record.evidence.into_iter().map(|entry| (entry.topic, entry.partition, entry.offset));
            seen.push(SeenRecord { at, after: at - record.last_evidence_at, evidence: evidence.collect() });
        }
    }
    seen
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set"))
}

pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).expect("a time of our age")
}
