//! The settings a person can write: names that scripts rely on, their defaults and what they mean.

/// One key of the settings file, and of the environment as `MAILJOURNAL_SECTION_KEY`.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// As a person would type it. `kafka.instance` has none here: it is the host's name.
    pub default: &'static str,
    /// What a value must be, for "expected …, like …".
    pub expected: &'static str,
    pub example: &'static str,
    pub meaning: &'static str,
}

const DURATION: &str = "a duration (units d, h, m, s, ms)";
const SIZE: &str = "a size (units B, KiB, MiB, GiB)";
const NUMBER: &str = "a whole number from 1";
const TOPIC: &str = "a topic name (letters, digits, '.', '_', '-')";

const fn key(
    name: &'static str,
    default: &'static str,
    expected: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, default, expected, example, meaning }
}

/// Whatever stands under it is handed to librdkafka.
pub const CLIENT_PREFIX: &str = "kafka.client.";

pub const KEYS: &[Key] = &[
    key(
        "kafka.brokers",
        "127.0.0.1:9092",
        "HOST:PORT, several by comma",
        "kafka-1:9092,kafka-2:9092",
        "where to reach Kafka",
    ),
    key("kafka.group", "mailjournal", "a name", "mailjournal", "the consumer group; all instances that share the work"),
    key(
        "kafka.instance",
        "",
        "a name without spaces",
        "mailjournal-0",
        "this instance's stable slot: its transactional id and static membership; default: the host's name",
    ),
    key("topics.prefix", "", "what a topic name may start with", "eu.", "put before every topic's name"),
    key(
        "topics.partitions",
        "6",
        NUMBER,
        "6",
        "partitions of reports, envelopes, strays and drafts, for `topics create`",
    ),
    key(
        "topics.replication",
        "3",
        NUMBER,
        "3",
        "copies of each partition, for `topics create`; fewer if the cluster is smaller",
    ),
    key("topics.reports", "journal.reports", TOPIC, "journal.reports", "in: mails as they reached a journal address"),
    key("topics.envelopes", "journal.envelopes", TOPIC, "journal.envelopes", "in: envelope events"),
    key("topics.strays", "journal.strays", TOPIC, "journal.strays", "internal: arrivals moved to their home partition"),
    key("topics.drafts", "journal.drafts", TOPIC, "journal.drafts", "internal: the changelog of drafts"),
    key("topics.archive", "journal.archive", TOPIC, "journal.archive", "out: journal records"),
    key("topics.ndr", "journal.ndr", TOPIC, "journal.ndr", "out: what could not be delivered"),
    key("topics.activity", "journal.activity", TOPIC, "journal.activity", "out: journal records without bodies"),
    key("topics.ledger", "journal.ledger", TOPIC, "journal.ledger", "out: what became of every arrival"),
    key(
        "topics.rejected",
        "journal.rejected",
        TOPIC,
        "journal.rejected",
        "out: arrivals that are no evidence, unchanged",
    ),
    key(
        "correlate.settle",
        "5s",
        DURATION,
        "5s",
        "close this long after the last evidence when all that is expected is here",
    ),
    key(
        "correlate.quiet",
        "60s",
        DURATION,
        "60s",
        "close this long after the last evidence when nothing proves completeness",
    ),
    key(
        "correlate.patience",
        "15m",
        DURATION,
        "15m",
        "publish as INCOMPLETE this long after the last evidence when something is missing",
    ),
    key("correlate.remember", "9d", DURATION, "9d", "forget a draft this long after the last evidence"),
    key(
        "archive.format",
        "avro",
        "avro or report",
        "avro",
        "what the archive topic carries: records in Avro, or merged journal reports",
    ),
    key(
        "registry.url",
        "",
        "an http or https URL",
        "http://registry:8081",
        "the Schema Registry; none: Avro single-object encoding",
    ),
    key(
        "telemetry.listen",
        "127.0.0.1:9464",
        "IP:PORT",
        "127.0.0.1:9464",
        "where /metrics, /health/live and /health/ready are served",
    ),
    key("turn.length", "100ms", DURATION, "100ms", "gather arrivals this long for one transaction"),
    key("turn.bytes", "32MiB", SIZE, "32MiB", "or until this much has come"),
    key(
        "turn.recent",
        "256MiB",
        SIZE,
        "256MiB",
        "recent arrivals kept in memory, so that closing records need not read them again",
    ),
];

/// Shortest first, and that must hold.
pub const WAITS: [&str; 4] = ["correlate.settle", "correlate.quiet", "correlate.patience", "correlate.remember"];

/// Why a librdkafka property cannot be passed through, and what to do instead.
pub fn kept_property(name: &str) -> Option<&'static str> {
    match name {
        "bootstrap.servers" | "metadata.broker.list" => Some("set `kafka.brokers`"),
        "group.id" => Some("set `kafka.group`"),
        "group.instance.id" | "transactional.id" | "client.id" => Some("set `kafka.instance`"),
        "enable.auto.commit"
        | "auto.commit.enable"
        | "enable.auto.offset.store"
        | "isolation.level"
        | "enable.idempotence"
        | "acks"
        | "request.required.acks" => Some("exactly-once depends on it; leave it out"),
        "auto.offset.reset" => Some("what came before the first start counts too; leave it out"),
        "group.protocol" | "partition.assignment.strategy" => {
            Some("equal partition numbers of all inputs must come to one instance; leave it out")
        }
        "delivery.report.only.error" => Some("where drafts lie is told by it; leave it out"),
        "log.connection.close" | "log.queue" | "log_level" => {
            Some("a lost connection is noticed by it, and exactly-once depends on that; leave it out")
        }
        "enable.partition.eof" => Some("idle partitions are noticed by it; leave it out"),
        "partitioner" => Some("readers find a message where Kafka's default partitioner puts its key; leave it out"),
        "message.max.bytes"
        | "batch.size"
        | "fetch.max.bytes"
        | "fetch.message.max.bytes"
        | "max.partition.fetch.bytes"
        | "receive.message.max.bytes" => Some("it follows from what the topics take; leave it out"),
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            Some("the order of what is written depends on it; leave it out")
        }
        "transaction.timeout.ms" | "message.timeout.ms" | "delivery.timeout.ms" => {
            Some("it follows from how long a turn may take to be written; leave it out")
        }
        _ => None,
    }
}

pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The environment variable that sets a key.
pub fn variable(name: &str) -> String {
    format!("MAILJOURNAL_{}", name.replace('.', "_").to_uppercase())
}

/// The known name nearest to a mistyped one, if one is near.
pub fn nearest<'a>(typed: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .filter(|(edits, _)| *edits <= crate::limits::SUGGESTION_EDITS_MAX)
        .min()
        .map(|(_, name)| name)
}
