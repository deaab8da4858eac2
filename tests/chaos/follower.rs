//! A read_committed reader of what comes out, from the first value on. It says at once what no reader may ever see.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use mailjournal::{
    avro::{self, Schema},
    mail::Digest,
    record::{Disposition, JournalActivity, JournalRecord, LedgerRow, NonDelivery},
};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
    message::{BorrowedMessage, Headers as _},
};

/// Topic, partition, offset of an arrival.
pub type Place = (String, i32, i64);

/// What has been seen so far.
#[derive(Default)]
pub struct Seen {
    /// Each row's disposition, and when it became visible.
    pub rows: HashMap<Place, (Disposition, Instant)>,
    /// The last revision of each record, without bodies.
    pub records: BTreeMap<String, JournalRecord>,
    /// Revisions in all.
    pub revisions: usize,
    /// What was last told of each record without its bodies.
    pub activities: BTreeMap<String, JournalActivity>,
    /// The notices that were told, by their own bytes.
    pub notices: BTreeSet<Option<Digest>>,
    pub rejected: BTreeSet<Place>,
    /// What must never be seen.
    pub wrong: Vec<String>,
}

pub struct Follower {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Follows what is published below a prefix.
    pub fn start(address: &str, prefix: &str) -> Follower {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stop = Arc::new(AtomicBool::new(false));
        let topics = ["archive", "ledger", "activity", "ndr", "rejected"].map(|name| format!("{prefix}journal.{name}"));
        let reader = reader(address, &topics);
        let (shared, stopping) = (seen.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                match reader.poll(Duration::from_millis(100)) {
                    Some(Ok(message)) => lock(&shared).take(&message, &topics),
                    // What was committed and is gone again. All else is a broker away, which the client waits out.
                    Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => lock(&shared).say(error.to_string()),
                    Some(Err(error)) if error.to_string().contains("OffsetReset") => {
                        lock(&shared).say(error.to_string())
                    }
                    Some(Err(_)) | None => {}
                }
            }
        });
        Follower { seen, stop, thread: Some(thread) }
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("the follower does not panic")
}

fn reader(address: &str, topics: &[String]) -> BaseConsumer {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", address)
        .set("group.id", "follower")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "50")
        .set("reconnect.backoff.max.ms", "500")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for topic in topics {
        let metadata = reader.fetch_metadata(Some(topic), Duration::from_secs(30)).expect("metadata");
        for partition in metadata.topics()[0].partitions() {
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("a partition");
        }
    }
    reader.assign(&list).expect("an assignment");
    reader
}

impl Seen {
    fn say(&mut self, what: String) {
        self.wrong.push(what);
    }

    fn take(&mut self, message: &BorrowedMessage<'_>, [archive, ledger, activity, ndr, _rejected]: &[String; 5]) {
        let topic = message.topic();
        let value = message.payload().unwrap_or_default();
        let taken = if topic == ledger {
            avro::decode(Schema::Ledger, value).map(|row| self.take_row(row))
        } else if topic == archive {
            avro::decode(Schema::JournalRecord, value).map(|record| self.take_record(&record))
        } else if topic == activity {
            avro::decode(Schema::JournalActivity, value).map(|activity| self.take_activity(activity))
        } else if topic == ndr {
            avro::decode(Schema::NonDelivery, value).map(|notice| self.take_notice(&notice))
        } else {
            self.take_rejected(message);
            Ok(())
        };
        if let Err(error) = taken {
            self.say(format!("an unreadable value of {topic}: {error}"));
        }
    }

    fn take_row(&mut self, row: LedgerRow) {
        let place = (row.topic, row.partition, row.offset);
        if let Some((before, _)) = self.rows.insert(place.clone(), (row.disposition, Instant::now())) {
            self.say(format!("two ledger rows for {place:?}: {before:?} and {:?}", row.disposition));
        }
    }

    /// Revisions of one record lie in one partition, so they come in their order.
    fn take_record(&mut self, record: &JournalRecord) {
        let last = self.records.get(&record.record_id).map_or(0, |last| last.revision);
        if record.revision != last + 1 {
            self.say(format!("{}: revision {} came after {last}", record.record_id, record.revision));
        }
        self.revisions += 1;
        self.records.insert(record.record_id.clone(), record.without_content());
    }

    fn take_activity(&mut self, activity: JournalActivity) {
        let last = self.activities.get(&activity.record_id).map_or(0, |last| last.revision);
        if activity.revision != last + 1 {
            self.say(format!("{}: activity {} came after {last}", activity.record_id, activity.revision));
        }
        self.activities.insert(activity.record_id.clone(), activity);
    }

    fn take_notice(&mut self, notice: &NonDelivery) {
        if !self.notices.insert(notice.sha256) {
            self.say(format!("a notice was told twice, the second time by {}", notice.record_id));
        }
    }

    fn take_rejected(&mut self, message: &BorrowedMessage<'_>) {
        let headers = message.headers();
        let header = |name: &str| {
            let found = headers.as_ref()?.iter().find(|header| header.key == name)?;
            String::from_utf8(found.value?.to_vec()).ok()
        };
        let number = |name: &str| header(name)?.parse::<i64>().ok();
        let place = header("topic").zip(number("partition")).zip(number("offset"));
        let Some(((topic, partition), offset)) = place else {
            return self.say("a rejected arrival without its place".to_owned());
        };
        let place = (topic, i32::try_from(partition).unwrap_or(-1), offset);
        if !self.rejected.insert(place.clone()) {
            self.say(format!("rejected twice: {place:?}"));
        }
    }
}
