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

/// How many senders of one piece of evidence are compared when a message is looked for: a From rarely has two.
pub const AGREEING_SENDERS_MAX: usize = 8;

/// About how many bytes of evidence one part of a stored draft holds: large enough that nearly every draft is one part,
/// small enough that a turn which adds one piece to a huge draft does not rewrite it.
pub const DRAFT_PART_BYTES: usize = 64 * 1024;

// The Kafka shell.

/// Arrivals of one turn: a ledger row each, and what a person watching the log can still call one step.
pub const TURN_ARRIVALS_MAX: usize = 20_000;

/// KiB that the group member may have read ahead: what comes in while a turn is written, at a fast disk's rate.
pub const MEMBER_QUEUE_KIB: usize = 32 * 1024;

/// KiB that a restore may have read ahead.
pub const RESTORE_QUEUE_KIB: usize = 16 * 1024;

/// KiB that the reader of single arrivals may have read ahead: more would mostly be thrown away at the next jump.
pub const LOOKUP_QUEUE_KIB: usize = 2 * 1024;

/// Bytes of one answer to a fetch, over all partitions of a broker (a larger message comes whole all the same).
pub const FETCH_BYTES: usize = 16 * 1024 * 1024;

/// KiB that the producer may hold unsent; at least two of the largest messages. A turn that writes more waits.
pub const SEND_QUEUE_KIB: usize = 64 * 1024;

/// A transaction whose producer is gone is aborted by the broker after this (readers wait until then, unless another
/// instance ends it earlier). Far above the longest commit, below the 15 min that a broker allows.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Writing one turn, from its first message to the answer of its commit. Beyond it, what became of the turn is asked
/// anew of the broker.
pub const TURN_WRITE_MAX: Duration = Duration::from_secs(90);

/// One waiting call into the Kafka client: how late a stop may be noticed.
pub const CALL_MAX: Duration = Duration::from_millis(500);

/// Reaching a broker, when a command starts.
pub const REACH_MAX: Duration = Duration::from_secs(30);

/// A broker that is away is waited for so long, then the process ends with the reason: its keeper may know better.
pub const AWAY_MAX: Duration = Duration::from_secs(30 * 60);

/// Recoveries in a row without a turn between them, for other reasons than a broker that is away.
pub const RECOVERIES_MAX: u32 = 12;

/// The wait between such recoveries: doubled from the first to the second.
pub const RECOVERY_WAIT_MIN: Duration = Duration::from_millis(100);
pub const RECOVERY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Reading back one turn's originals.
pub const REFETCH_MAX: Duration = Duration::from_secs(30);

/// Messages between two wanted ones that are read over rather than jumped: a jump costs an answer of the broker.
pub const REFETCH_GAP_MAX: i64 = 64;

/// From SIGTERM to the end of the process; the turn under way is given up after it and redone by the next owner.
pub const STOP_MAX: Duration = Duration::from_millis(4500);

/// A worker that has not come round its loop for so long is not alive: longer than every wait above that it may be in.
pub const BEAT_MAX: Duration = Duration::from_secs(180);

/// Milliseconds that an arrival's `received-at` may lie ahead of the wall clock; more is taken for a producer's mistake.
pub const RECEIVED_AT_AHEAD_MAX: i64 = 24 * 3600 * 1000;

/// How many records one turn publishes at most; the rest stays due for the next. At about 2 KB of record each this is
/// 20 MB beside the originals.
pub const TURN_RECORDS_MAX: usize = 10_000;

/// About how many bytes of originals one turn publishes at most: two of the largest mails, or 5,000 of 12 KB.
pub const TURN_ORIGINAL_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// How many bytes of an archive value are kept free for what is not its originals, where the record without them is so
/// long in Avro: a merged report says it in its text and, in base64, in its preamble, and has headers of its own.
pub const fn archive_bytes_beside_originals(record_bytes: usize) -> usize {
    3 * record_bytes + 2 * REPORT_HEADER_BYTES_MAX
}

/// Bytes that decoding one Avro value may ask for at once: the largest mail that Exchange carries (150 MB) fits, a
/// length field made up by an attacker does not take the machine.
pub const AVRO_ALLOCATION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that an Avro value is first given room for, beside its content: most records and drafts need no more.
pub const AVRO_FIRST_BYTES: usize = 2 * 1024;

/// Characters of a library's error that are passed on: enough to see what was wrong, not a schema's whole text.
pub const ERROR_DETAIL_CHARS_MAX: usize = 200;

/// How long one header field of a merged report may be, bytes: servers bound a header block (Exchange: 64 KiB), and a
/// `To` of ten thousand addresses stands in the original anyway.
pub const REPORT_HEADER_BYTES_MAX: usize = 8 * 1024;

/// How many multiparts deep we look for a report's text and original, levels. Real reports need three
/// (mixed, alternative, text); each level reads the bytes again, so this also bounds the cost.
pub const MULTIPART_DEPTH_MAX: usize = 8;

/// How many parts of one mail we look at, parts. A report has two to five; a forged one may have millions.
pub const PARTS_EXAMINED_MAX: usize = 1_000;

/// How many texts of a report are read for its envelope, parts: gateways put a banner or two before it, and each
/// is read whole.
pub const REPORT_TEXTS_MAX: usize = 8;

/// How many header fields of one block we keep, fields. Real mails have below a thousand; each costs 32 bytes here.
pub const HEADER_FIELDS_MAX: usize = 200_000;

/// How much of one header value we decode for people (subjects, display names), bytes. RFC 5322 allows 998 a line;
/// longer ones are cut, for they end up in every record and ledger.
pub const HEADER_TEXT_BYTES_MAX: usize = 64 * 1024;

/// The longest boundary we look for, bytes. RFC 2046 §5.1.1 allows 70; some writers exceed it.
pub const BOUNDARY_BYTES_MAX: usize = 998;

/// The longest Message-ID that counts as one, octets: the longest line of RFC 5322 §2.1.1.
pub const MESSAGE_ID_BYTES_MAX: usize = 998;

/// How much of a notice's human text we search for the Message-ID that it is about, bytes. Bounces quote the
/// returned header block near their top.
pub const NOTICE_TEXT_BYTES_MAX: usize = 256 * 1024;

/// How much of a diagnostic we keep, bytes: servers quote whole sessions there.
pub const DIAGNOSTIC_BYTES_MAX: usize = 4 * 1024;

/// How many redirections of one recipient we keep, hops. Lists nest a few levels; a forged line could hold millions,
/// and every recipient of the line carries them.
pub const PATH_HOPS_MAX: usize = 16;
