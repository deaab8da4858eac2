//! librdkafka's settings, ours and the user's, and the callbacks that all clients share.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering},
};

use rdkafka::{
    ClientConfig, ClientContext, Message as _, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, DeliveryResult, ProducerContext},
    types::RDKafkaRespErr,
};

use super::next_step::Trouble;
use crate::{limits, settings::KafkaSettings};

/// Which of our clients a property is for. librdkafka warns of properties that are of no use to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Member of the group; reads the input topics.
    Member,
    /// Reads the changelog, committed turns only.
    Restorer,
    /// Reads single arrivals again, and asks how far logs reach, open transactions included.
    Lookup,
    Producer,
    Admin,
}

/// How large messages may be, as the topics say, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The largest that any topic takes.
    pub message_max: usize,
    /// The largest batch that every written topic takes.
    pub batch_max: usize,
}

impl Sizes {
    /// Before the topics were looked at: enough for all but mails, Kafka's own default.
    pub const UNKNOWN: Sizes = Sizes { message_max: 1 << 20, batch_max: 1 << 20 };
}

/// The transactional id of an instance. The group comes first, so that one prefixed right covers all instances; no name
/// has a space, so that no two groups on one cluster share an id and fence each other.
pub fn transactional_id(group: &str, instance: &str) -> String {
    format!("{group} {instance}")
}

/// Whether librdkafka takes the user's properties, each and together (which of them are not the user's to set, the
/// settings say). What does not go together shows where a client is made; none is used.
pub fn check_properties(kafka: &KafkaSettings) -> Result<(), String> {
    let of = |role| config(kafka, role, Sizes::UNKNOWN);
    let check = || -> Result<(), KafkaError> {
        for role in [Role::Admin, Role::Lookup, Role::Restorer] {
            of(role).create_native_config()?;
        }
        of(Role::Member).create_with_context::<_, BaseConsumer<Notes>>(Notes::default())?;
        of(Role::Producer).create_with_context::<_, BaseProducer<Notes>>(Notes::default())?;
        Ok(())
    };
    check().map_err(|error| format!("[kafka.client]: {error}"))
}

/// The whole configuration of a client: ours, then the user's.
pub fn config(kafka: &KafkaSettings, role: Role, sizes: Sizes) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Info)
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", &kafka.instance)
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("message.max.bytes", sizes.message_max.max(1_000_000).to_string());
    match role {
        Role::Member => member(&mut config, kafka),
        Role::Restorer => reader(&mut config, kafka, "read_committed", limits::RESTORE_QUEUE_KIB),
        Role::Lookup => {
            reader(&mut config, kafka, "read_uncommitted", limits::LOOKUP_QUEUE_KIB);
            config.set("max.partition.fetch.bytes", limits::LOOKUP_FETCH_BYTES.to_string());
        }
        Role::Producer => producer(&mut config, kafka, sizes),
        Role::Admin => {}
    }
    if matches!(role, Role::Member | Role::Restorer | Role::Lookup) {
        // A response may hold one message more than asked for, and its framing.
        let fetch_max = limits::FETCH_BYTES.max(sizes.message_max);
        config.set("fetch.max.bytes", fetch_max.to_string()).set(
            "receive.message.max.bytes",
            (fetch_max + sizes.message_max + (1 << 20)).min(2_000_000_000).to_string(),
        );
    }
    for (name, value) in kafka.client.iter() {
        if suits(name, role) {
            config.set(name, value);
        }
    }
    config
}

/// How often a client whose queue was full looks whether there is room again. librdkafka's own second leaves a reader
/// that is fast, or has jumped, without anything to read meanwhile.
const QUEUE_LOOK_MS: &str = "2";

fn member(config: &mut ClientConfig, kafka: &KafkaSettings) {
    config
        .set("group.id", &kafka.group)
        .set("group.instance.id", &kafka.instance)
        .set("partition.assignment.strategy", "range")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", QUEUE_LOOK_MS)
        // Retention that overtakes a reader must not pass unseen: a restore counts what is gone.
        .set("auto.offset.reset", "error")
        // The shortest that a broker takes by default: a killed instance is missed for so long.
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1500")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", limits::MEMBER_QUEUE_KIB.to_string());
}

/// A client that never joins the group; it bears the group's name because librdkafka asks for one.
fn reader(config: &mut ClientConfig, kafka: &KafkaSettings, isolation: &str, queue_kib: usize) {
    config
        .set("group.id", &kafka.group)
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.queue.backoff.ms", QUEUE_LOOK_MS)
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", queue_kib.to_string());
}

fn producer(config: &mut ClientConfig, kafka: &KafkaSettings, sizes: Sizes) {
    let buffer_kib = limits::SEND_QUEUE_KIB.max(2 * sizes.message_max / 1024);
    config
        .set("transactional.id", transactional_id(&kafka.group, &kafka.instance))
        .set("transaction.timeout.ms", limits::TRANSACTION_TIMEOUT.as_millis().to_string())
        .set("socket.timeout.ms", limits::PRODUCER_ANSWER_MAX.as_millis().to_string())
        .set("enable.idempotence", "true")
        // A turn that begins while the broker still marks the last one's end is told to come again: in a tenth of a second
        // if nobody says otherwise.
        .set("retry.backoff.ms", "5")
        .set("partitioner", "murmur2_random")
        .set("compression.type", "lz4")
        .set("linger.ms", "5")
        .set("batch.size", sizes.batch_max.to_string())
        .set("queue.buffering.max.kbytes", buffer_kib.to_string());
}

/// The prefixes of properties that only a producer, or only a consumer, knows.
fn suits(name: &str, role: Role) -> bool {
    const PRODUCER: &[&str] = &[
        "transaction.",
        "compression.",
        "linger.",
        "batch.",
        "queue.buffering.",
        "message.timeout.",
        "delivery.",
        "request.timeout.",
        "retries",
        "message.send.",
        "sticky.",
    ];
    const CONSUMER: &[&str] =
        &["fetch.", "queued.", "session.", "heartbeat.", "max.poll.", "check.crcs", "coordinator.", "client.rack"];
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    match role {
        Role::Producer => !begins(CONSUMER),
        Role::Member => !begins(PRODUCER),
        // What is read back is read from the leader: a follower may not have it yet.
        Role::Restorer | Role::Lookup => !begins(PRODUCER) && !name.starts_with("queued.") && name != "client.rack",
        Role::Admin => !begins(CONSUMER) && !begins(PRODUCER),
    }
}

/// What a rebalance did to the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebalance {
    /// The new assignment, whole (the protocol is eager). Nothing is read of it until its tasks are restored.
    Assigned(Vec<(String, i32)>),
    Revoked,
}

/// The callbacks of every client: they note and return, so that nothing happens inside librdkafka's calls.
#[derive(Default)]
pub struct Notes {
    rebalances: Mutex<Vec<Rebalance>>,
    delivery_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
    delivered: Mutex<Vec<(usize, i64)>>,
    last_error: Mutex<Option<String>>,
    /// A connection was lost, or one could not be made.
    broken: AtomicBool,
}

impl Notes {
    pub fn take_rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut *lock(&self.rebalances))
    }

    /// The first message of a transaction that could not be written: why, and its topic.
    pub fn take_delivery_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        lock(&self.delivery_error).take()
    }

    /// The offsets of the numbered values that were written since this was last asked.
    pub fn take_delivered(&self) -> Vec<(usize, i64)> {
        std::mem::take(&mut *lock(&self.delivered))
    }

    /// Whether the client has ever lost a connection, or could not make one. Of those that follow and say the same,
    /// librdkafka may be silent.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// What librdkafka last said of a broker.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl ClientContext for Notes {
    /// librdkafka repeats itself while a broker is away; the worker says it once, in its own words.
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(target: "librdkafka", facility, "{line}");
        // Nothing else tells of a connection that a broker has closed: it is no error to librdkafka, which asks again.
        if facility == "FAIL" {
            self.broken.store(true, Ordering::Relaxed);
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::debug!(target: "librdkafka", %error, "{reason}");
        *lock(&self.last_error) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Notes {
    fn rebalance(&self, consumer: &BaseConsumer<Notes>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        // An empty assignment answers the group and fetches nothing: the worker assigns with positions once restored.
        let (note, answer) = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let partitions = list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
                (Rebalance::Assigned(partitions), consumer.assign(&TopicPartitionList::new()))
            }
            _ => (Rebalance::Revoked, consumer.unassign()),
        };
        if let Err(error) = answer {
            tracing::debug!(%error, "the group's coordinator was not answered");
        }
        lock(&self.rebalances).push(note);
    }
}

impl ProducerContext for Notes {
    /// The number of a value whose offset is asked for; 0 of every other.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        match result {
            Ok(message) if number > 0 => lock(&self.delivered).push((number, message.offset())),
            Ok(_) => {}
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                lock(&self.delivery_error).get_or_insert_with(|| (code, message.topic().to_owned()));
            }
        }
    }
}

/// Creates a client; what fails here is a property that librdkafka does not take.
pub fn create<T: rdkafka::config::FromClientConfigAndContext<Notes>>(config: &ClientConfig) -> Result<T, Trouble> {
    config
        .create_with_context(Notes::default())
        .map_err(|error| Trouble::stop(format!("the Kafka client does not start: {error}; check [kafka.client]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_do_not_go_together_are_refused() {
        let check = |name: &str, value: &str| {
            let variable = (format!("MAILJOURNAL_KAFKA_CLIENT_{name}"), value.to_owned());
            let settings =
                crate::settings::Settings::load(None, [variable].into_iter()).expect("each is one of its own");
            check_properties(&settings.kafka)
        };
        check("SESSION_TIMEOUT_MS", "10000").expect("shorter than the longest time between two polls");
        let shorter = check("MAX_POLL_INTERVAL_MS", "1000").expect_err("shorter than a session");
        assert!(shorter.contains("max.poll.interval.ms"), "{shorter}");
        let without = check("MESSAGE_SEND_MAX_RETRIES", "0").expect_err("exactly once takes retries");
        assert!(without.contains("retries"), "{without}");
    }

    #[test]
    fn no_two_groups_share_a_transactional_id() {
        assert_ne!(transactional_id("a", "b-c"), transactional_id("a-b", "c"));
    }

    #[test]
    fn what_is_read_back_is_read_from_the_leader() {
        let follows = |role| suits("client.rack", role);
        assert_eq!([Role::Member, Role::Restorer, Role::Lookup].map(follows), [true, false, false]);
    }

    #[test]
    fn a_consumers_property_does_not_reach_the_producer_and_the_other_way_round() {
        for (name, producer, member) in [
            ("fetch.min.bytes", false, true),
            ("compression.type", true, false),
            ("sasl.username", true, true),
            ("socket.keepalive.enable", true, true),
        ] {
            assert_eq!((suits(name, Role::Producer), suits(name, Role::Member)), (producer, member), "{name}");
        }
    }
}
