//! Every bound, with its unit and its reason. What a person may set has its bounds here and its default in
//! [`crate::settings`].

use std::time::Duration;

/// Bytes of a settings file. Ours has some thirty keys; a larger file is another file.
pub const SETTINGS_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The longest of the `correlate.*` waits: ten years. Retention laws ask for records to be kept, not for drafts to wait.
pub const WAIT_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// Partitions of a topic. A broker carries a few thousand in all.
pub const PARTITIONS_MAX: i32 = 10_000;

/// Copies of a partition. Each is a broker, and every write waits for most of them.
pub const REPLICATION_MAX: i32 = 100;

/// How long a turn may gather arrivals. Readers wait at least this long for what is in it, and the transaction's own
/// timeout (60 s in Kafka) must stay far away.
pub const TURN_LENGTH_MAX: Duration = Duration::from_secs(10);

/// Bytes of arrivals in one turn: at least one Kafka fetch, at most what a machine can hold twice.
pub const TURN_BYTES_MIN: usize = 1024 * 1024;
pub const TURN_BYTES_MAX: usize = 1024 * 1024 * 1024;

/// Bytes of recent arrivals kept at hand. None means that every original is read again when its record closes.
pub const RECENT_BYTES_MAX: usize = 64 * 1024 * 1024 * 1024;

/// Characters of a Kafka topic name (`Topic.MAX_NAME_LENGTH` in Apache Kafka).
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Edits between an unknown name and the known one that is suggested for it: more is another word.
pub const SUGGESTION_EDITS_MAX: usize = 4;
