//! Short words for what a test does with a broker. All block, and fail the test with what they waited for.

use std::time::{Duration, Instant};

use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers as _, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer as _},
};

/// Longer than any answer of a broker that lives, on a machine that is busy.
const BOUND: Duration = Duration::from_secs(60);
/// 50 MB: what the broker takes at most.
const MESSAGE_MAX_BYTES: &str = "52428800";

/// What a test puts into a topic.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// None: where Kafka's default (murmur2) partitioner puts the key.
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since 1970; none: now.
    pub at: Option<i64>,
}

impl Given {
    pub fn owned_headers(&self) -> OwnedHeaders {
        let none = OwnedHeaders::new_with_capacity(self.headers.len());
        self.headers.iter().fold(none, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
    }
}

/// What a topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    /// None: a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since 1970.
    pub at: Option<i64>,
}

impl Taken {
    /// The first header of that name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        value.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

fn config(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Reconnecting every 100 ms, so that a restarted broker is found when it is up.
    config.set("bootstrap.servers", address).set("reconnect.backoff.ms", "10").set("reconnect.backoff.max.ms", "100");
    config
}

/// The id of the cluster that answers at that address; none if nobody answers within a second.
pub fn cluster_id(address: &str) -> Option<String> {
    let client: BaseConsumer = config(address).set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg).create().ok()?;
    client.client().fetch_metadata(None, Duration::from_secs(1)).ok()?;
    client.client().fetch_cluster_id(Duration::from_secs(1))
}

/// Makes a topic with these settings (`[("cleanup.policy", "compact")]`) and waits until it can be written.
#[track_caller]
pub fn create_topic(address: &str, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let answers = block_on(admin(address).create_topics(&[topic], &AdminOptions::new().operation_timeout(Some(BOUND))));
    for answer in answers.expect("an answer to create_topics") {
        answer.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
    }
    // The answer comes before every topic's leader does.
    let client: BaseConsumer = config(address).create().expect("a consumer");
    super::wait_until(&format!("leaders of {name}"), BOUND, || {
        let metadata = client.fetch_metadata(Some(name), BOUND).expect("metadata");
        let found = metadata.topics()[0].partitions();
        found.len() == usize::try_from(partitions).expect("a count") && found.iter().all(|found| found.leader() >= 0)
    });
}

/// Gives a topic these settings, and no others.
#[track_caller]
pub fn set_topic(address: &str, name: &str, settings: &[(&str, &str)]) {
    let mut config = AlterConfig::new(ResourceSpecifier::Topic(name));
    for (key, value) in settings {
        config = config.set(key, value);
    }
    let answers = block_on(admin(address).alter_configs(&[config], &AdminOptions::new()));
    for answer in answers.expect("an answer to alter_configs") {
        answer.unwrap_or_else(|(resource, code)| panic!("{resource:?}: {code}"));
    }
}

/// Removes topics.
#[track_caller]
pub fn delete_topics(address: &str, names: &[&str]) {
    let answers = block_on(admin(address).delete_topics(names, &AdminOptions::new().operation_timeout(Some(BOUND))));
    for answer in answers.expect("an answer to delete_topics") {
        answer.unwrap_or_else(|(name, code)| panic!("topic {name}: {code}"));
    }
}

fn admin(address: &str) -> AdminClient<DefaultClientContext> {
    config(address).create().expect("an admin client")
}

/// One partition of a topic, its replicas with the preferred leader first, and how many of them are in sync.
pub struct Replicas {
    pub topic: String,
    pub partition: i32,
    pub leader: i32,
    pub nodes: Vec<i32>,
    pub in_sync: usize,
}

/// All partitions of all topics, Kafka's own included; none if nobody answers in time.
pub fn replicas(address: &str) -> Option<Vec<Replicas>> {
    let client: BaseConsumer = config(address).create().expect("a consumer");
    let metadata = client.fetch_metadata(None, Duration::from_secs(5)).ok()?;
    let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(move |one| (topic, one)));
    let replicas = partitions.map(|(topic, one)| Replicas {
        topic: topic.name().to_owned(),
        partition: one.id(),
        leader: one.leader(),
        nodes: one.replicas().to_vec(),
        in_sync: one.isr().len(),
    });
    Some(replicas.collect())
}

/// Deletes what lies below an offset, as retention does.
pub fn delete_records(address: &str, topic: &str, partition: i32, below: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(below)).expect("an offset");
    let deleted = block_on(admin(address).delete_records(&list, &AdminOptions::new())).expect("the records' end");
    assert!(deleted.elements().iter().all(|element| element.error().is_ok()), "{deleted:?}");
}

/// Has the broker forget a group; false while it has members.
pub fn delete_group(address: &str, group: &str) -> bool {
    let answers = block_on(admin(address).delete_groups(&[group], &AdminOptions::new())).expect("an answer");
    answers.iter().all(Result::is_ok)
}

/// Runs one of the client's futures, which its own threads drive.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// Puts records into a topic, in order, and returns where each lies (partition, offset).
#[track_caller]
pub fn produce(address: &str, topic: &str, given: &[Given]) -> Vec<(i32, i64)> {
    Giver::new(address).give(topic, given)
}

/// Gives again and again over one connection.
pub struct Giver(FutureProducer);

impl Giver {
    pub fn new(address: &str) -> Giver {
        let producer = config(address)
            .set("partitioner", "murmur2_random")
            .set("enable.idempotence", "true")
            .set("message.max.bytes", MESSAGE_MAX_BYTES)
            .set("linger.ms", "5")
            .create()
            .expect("a producer");
        Giver(producer)
    }

    /// As [`produce`].
    #[track_caller]
    pub fn give(&self, topic: &str, given: &[Given]) -> Vec<(i32, i64)> {
        let mut waiting = Vec::with_capacity(given.len());
        for given in given {
            let mut record = to_record(topic, given);
            waiting.push(loop {
                match self.0.send_result(record) {
                    Ok(delivery) => break delivery,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
                    Err((error, _)) => panic!("produce to {topic}: {error}"),
                }
                std::thread::sleep(Duration::from_millis(5));
            });
        }
        self.0.flush(BOUND).expect("all delivered");
        let delivered = waiting.into_iter().map(|delivery| match block_on(delivery) {
            Ok(Ok(place)) => (place.partition, place.offset),
            Ok(Err((error, _))) => panic!("produce to {topic}: {error}"),
            Err(_) => panic!("produce to {topic}: the producer is gone"),
        });
        delivered.collect()
    }
}

fn to_record<'a>(topic: &'a str, given: &'a Given) -> FutureRecord<'a, Vec<u8>, Vec<u8>> {
    let mut record = FutureRecord::to(topic).payload(&given.value).headers(given.owned_headers());
    record.key = given.key.as_ref();
    record.partition = given.partition;
    record.timestamp = given.at;
    record
}

/// Everything that a topic holds now for a read_committed reader, partition by partition, each in its order.
#[track_caller]
pub fn read_all(address: &str, topic: &str) -> Vec<Taken> {
    let mut taken = Vec::new();
    each_committed(address, topic, |record| taken.push(to_taken(record)));
    taken.sort_by_key(|taken: &Taken| (taken.partition, taken.offset));
    taken
}

/// Hands over every record that a topic holds now for a read_committed reader; each partition in its order.
#[track_caller]
fn each_committed(address: &str, topic: &str, mut take: impl FnMut(&BorrowedMessage<'_>)) {
    let consumer: BaseConsumer = config(address)
        .set("group.id", "read-all")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.message.max.bytes", MESSAGE_MAX_BYTES)
        .set("receive.message.max.bytes", "104857600")
        .create()
        .expect("a consumer");
    let mut unfinished = assign_whole(&consumer, topic);
    let mut deadline = Instant::now() + BOUND;
    // A partition's end is told by its reader; the offset of its last record does not, because markers follow it.
    while !unfinished.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => take(&record),
            Some(Err(KafkaError::PartitionEOF(partition))) => unfinished.retain(|&other| other != partition),
            Some(Err(error)) => panic!("read {topic}: {error}"),
            None => {
                assert!(Instant::now() < deadline, "waited {BOUND:?} for the end of {topic}");
                continue;
            }
        }
        deadline = Instant::now() + BOUND;
    }
}

/// Has a consumer read a topic from its beginning; returns the partitions.
pub fn assign_whole(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let partitions = partitions(consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for &partition in &partitions {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&assignment).expect("an assignment");
    partitions
}

fn to_taken(record: &BorrowedMessage<'_>) -> Taken {
    let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
    Taken {
        partition: record.partition(),
        offset: record.offset(),
        key: record.key().map(<[u8]>::to_vec),
        value: record.payload().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        at: record.timestamp().to_millis(),
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), BOUND).expect("metadata");
    let partitions = metadata.topics()[0].partitions();
    assert!(!partitions.is_empty(), "no topic {topic}");
    let mut ids: Vec<i32> = partitions.iter().map(rdkafka::metadata::MetadataPartition::id).collect();
    ids.sort_unstable();
    ids
}

/// How many records a topic holds for a read_committed reader.
#[track_caller]
pub fn count_committed(address: &str, topic: &str) -> usize {
    let mut count = 0;
    each_committed(address, topic, |_| count += 1);
    count
}

/// The end offset of each partition (one behind the last record or marker).
#[track_caller]
pub fn end_offsets(address: &str, topic: &str) -> Vec<i64> {
    Eyes::new(address, "nobody").end_offsets(topic)
}

/// What a group has committed for each partition of a topic; none where it has not.
#[track_caller]
pub fn committed(address: &str, group: &str, topic: &str) -> Vec<Option<i64>> {
    Eyes::new(address, group).committed(topic)
}

/// Sets a group's position; false where it has members.
pub fn commit(address: &str, group: &str, topic: &str, partition: i32, offset: i64) -> bool {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
    Eyes::new(address, group).0.commit(&list, CommitMode::Sync).is_ok()
}

/// Whether a group has committed everything that a topic holds.
#[track_caller]
pub fn caught_up(address: &str, group: &str, topic: &str) -> bool {
    let eyes = Eyes::new(address, group);
    eyes.end_offsets(topic).iter().zip(eyes.committed(topic)).all(|(&end, committed)| committed.unwrap_or(0) >= end)
}

/// Looks at one group's progress and at topics again and again over one connection.
pub struct Eyes(BaseConsumer);

impl Eyes {
    pub fn new(address: &str, group: &str) -> Eyes {
        Eyes(config(address).set("group.id", group).create().expect("a consumer"))
    }

    /// As [`end_offsets`].
    #[track_caller]
    pub fn end_offsets(&self, topic: &str) -> Vec<i64> {
        let end = |partition| self.0.fetch_watermarks(topic, partition, BOUND).expect("watermarks").1;
        partitions(&self.0, topic).into_iter().map(end).collect()
    }

    /// As [`committed`].
    #[track_caller]
    pub fn committed(&self, topic: &str) -> Vec<Option<i64>> {
        let partitions = partitions(&self.0, topic);
        let mut list = TopicPartitionList::new();
        for &partition in &partitions {
            list.add_partition(topic, partition);
        }
        let found = self.0.committed_offsets(list, BOUND).expect("committed offsets");
        let offset = |partition| match found.find_partition(topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        partitions.into_iter().map(offset).collect()
    }
}
