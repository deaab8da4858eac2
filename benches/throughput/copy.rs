//! The bare transactional copy: reads the input topics and writes what it read to one topic, exactly once, and nothing
//! else. Its clients are configured as those of `mailjournal run` are, by the same code.

use std::{
    thread,
    time::{Duration, Instant},
};

use mailjournal::{
    arrival::Input,
    kafka::{Role, client_config, topics},
    settings::Settings,
};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer},
};

/// How long a transaction gathers.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
const BOUND: Duration = Duration::from_secs(60);

type Sender = ThreadedProducer<DefaultProducerContext>;

pub fn group(prefix: &str) -> String {
    format!("{prefix}copy")
}

pub fn output(prefix: &str) -> String {
    format!("{prefix}copied")
}

/// Copies until the process is ended. Its settings are those that the environment has for `run`.
pub fn run(prefix: &str) {
    let settings = Settings::load(None, std::env::vars()).expect("settings");
    let inspection = topics::inspect(&settings, BOUND).expect("a broker");
    let sizes = inspection.layout().expect("topics").sizes;
    let mut member = client_config(&settings.kafka, Role::Member, sizes);
    // `run` begins where the group's positions say; the copy has none at first.
    member.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = member.create().expect("a consumer");
    let producer = client_config(&settings.kafka, Role::Producer, sizes);
    let producer: Sender = producer.create_with_context(DefaultProducerContext).expect("a producer");
    producer.init_transactions(BOUND).expect("init_transactions");
    let topics = [Input::Reports, Input::Envelopes].map(|input| settings.topics.name(input));
    consumer.subscribe(&topics).expect("a subscription");
    let output = output(prefix);
    loop {
        copy_for(COMMIT_EVERY, &consumer, &producer, &output);
    }
}

/// One transaction. Positions are kept by the transaction alone: one instance, so nobody takes them away.
fn copy_for(length: Duration, consumer: &BaseConsumer, producer: &Sender, output: &str) {
    let end = Instant::now() + length;
    let mut positions = TopicPartitionList::new();
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        let Some(message) = consumer.poll(left) else { continue };
        let message = match message {
            Err(KafkaError::PartitionEOF(_)) => continue,
            message => message.expect("an arrival"),
        };
        if positions.count() == 0 {
            producer.begin_transaction().expect("begin_transaction");
        }
        send(producer, output, &message);
        set_position(&mut positions, &message);
    }
    if positions.count() == 0 {
        return;
    }
    let member = consumer.group_metadata().expect("a member of the group");
    // Not `flush` with a wait: it polls for 100 ms and does not return early.
    while producer.flush(Duration::ZERO).is_err() {
        thread::sleep(Duration::from_micros(500));
    }
    producer.send_offsets_to_transaction(&positions, &member, BOUND).expect("send_offsets_to_transaction");
    producer.commit_transaction(BOUND).expect("commit_transaction");
}

fn send(producer: &Sender, output: &str, message: &BorrowedMessage<'_>) {
    let mut record = BaseRecord::<[u8], [u8]>::to(output);
    record.key = message.key();
    record.payload = message.payload();
    record.headers = message.headers().map(rdkafka::message::BorrowedHeaders::detach);
    while let Err((error, back)) = producer.send(record) {
        assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
        record = back;
        thread::sleep(Duration::from_micros(500));
    }
}

fn set_position(positions: &mut TopicPartitionList, message: &BorrowedMessage<'_>) {
    let (topic, partition, next) = (message.topic(), message.partition(), Offset::Offset(message.offset() + 1));
    if positions.find_partition(topic, partition).is_none() {
        positions.add_partition(topic, partition);
    }
    positions.set_partition_offset(topic, partition, next).expect("a position");
}
