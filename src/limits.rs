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

/// How many addresses of a From are compared when a message is looked for, beside the envelope sender; each costs a
/// hash. A From rarely has two; of more than these, the lowest count, and a piece that tells another stands alone.
pub const AGREEING_SENDERS_MAX: usize = 64;

/// About how many bytes of evidence one part of a stored draft holds: large enough that nearly every draft is one part,
/// small enough that a turn which adds one piece to a huge draft does not rewrite it.
pub const DRAFT_PART_BYTES: usize = 64 * 1024;

/// Parts of one stored draft: 64 GiB of evidence of one message, more than a task's memory. A part's number that a damaged
/// value made up takes no more memory than their list.
pub const DRAFT_PARTS_MAX: usize = 1024 * 1024;

/// Journal addresses that are kept of one arrival, the first of them in their order, over all its copies: an
/// organisation has a handful, but whoever may produce can send the same mail for another one without end.
pub const ARRIVAL_JOURNALS_MAX: usize = 100;

/// Bytes of one of them: SMTP allows 256.
pub const JOURNAL_ADDRESS_BYTES_MAX: usize = 1_024;

/// Bytes of a server's name that a producer gives with an arrival: the longest line of RFC 5322 §2.1.1.
pub const SERVER_NAME_BYTES_MAX: usize = 998;

/// Published drafts of one instance that stay at hand, about 6 KB each: what comes late comes mostly soon.
pub const AWAKE_CLOSED_MAX: usize = 4_000;

/// Open drafts of one instance that stay at hand: 300 MB of them, half a minute of 1,700 messages a second.
pub const AWAKE_OPEN_MAX: usize = 50_000;

/// Bytes, as the changelog counts them, of the large messages of one instance that stay at hand: those that name some
/// hundred recipients or more. In memory they take five times that.
pub const AWAKE_LARGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Parts of drafts, of up to [`DRAFT_PART_BYTES`] each, that are read back from the changelog at once because time has come
/// for them.
pub const WAKE_PARTS_MAX: usize = 1_000;

/// Messages of one Message-ID that rest and wake together. One that has more is somebody's constant id, and stays at hand:
/// each piece would wake and lay down all of them.
pub const RESTING_DRAFTS_MAX: usize = 64;

/// Parts of their drafts, of up to [`DRAFT_PART_BYTES`] each: 32 MiB. What has more stays at hand for the same reason.
pub const RESTING_PARTS_MAX: usize = 512;

/// Drafts that a turn forgets, each a value in the changelog: after a long stop all of a day's may be old at once.
pub const TURN_FORGOTTEN_MAX: usize = 10_000;

/// Parts of drafts that a turn brings to hand because time reaches them, and keeps there until its end: some 60 MB. After a
/// restore every open draft is looked at again, and after a long stop all may be due at once.
pub const TURN_WOKEN_MAX: usize = 20_000;

/// Names of what is gone, in a queue, that are not worth a sweep.
pub const SWEEP_SLACK: usize = 1_024;

/// Bytes of changelog entries that a restore gathers before they are read on every core: some thousand drafts, so that
/// sharing them out costs nothing beside reading them.
pub const RESTORE_BATCH_BYTES: usize = 4 * 1024 * 1024;

// The files shell.

/// Arrivals of one collate: at about 100 bytes each in memory this is 50 GB of index.
pub const FILES_ARRIVALS_MAX: u64 = 500_000_000;

/// Arrivals of one turn on files: enough to keep every core parsing.
pub const FILES_TURN_ARRIVALS_MAX: usize = 1_000;

/// Bytes of one such turn's arrivals, to bound memory; a larger mail is a turn alone.
pub const FILES_TURN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes of recent arrivals kept at hand for records that close soon; older ones are read again from their files.
pub const FILES_RECENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Arrivals between two commits of a collate where nobody says otherwise: half a second's work, which is what a kill
/// costs, against a commit's few dozen milliseconds.
pub const FILES_COMMIT_ARRIVALS: u64 = 20_000;

/// Bytes put out between two commits of a collate: what a disk syncs in about a second. One turn may go beyond.
pub const FILES_COMMIT_BYTES: u64 = 128 * 1024 * 1024;

/// The log of drafts is written anew when it is this many times larger than what it still means …
pub const FILES_COMPACT_FACTOR: u64 = 4;

/// … and has at least this many bytes: below, rewriting costs more than the space is worth.
pub const FILES_COMPACT_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Bytes of one read of an mbox, a list or the log of drafts, and about those of one write: large enough that a system
/// call costs nothing beside them.
pub const FILES_READ_BYTES: usize = 256 * 1024;
pub const FILES_WRITE_BYTES: usize = 256 * 1024;

/// Bytes of one line of an `arrivals.jsonl` or `envelopes.jsonl`: an envelope event with the largest mail that Exchange
/// carries (150 MB) in base64.
pub const LIST_LINE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes kept of a line of an mbox while its mails are found: more than any From_ line, or any header field's name, has.
pub const MBOX_LINE_PREFIX_BYTES: usize = 512;

/// Bytes of a mail's header block in which its newest `Received:` is looked for; it stands near the top.
pub const RECEIVED_HEADER_BYTES_MAX: usize = 1024 * 1024;

/// How often, and how far apart, an output folder's lock is tried before another collate is believed to hold it: a
/// child that this process is just starting holds it for some milliseconds.
pub const FILES_LOCK_TRIES: u32 = 10;
pub const FILES_LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Wrong lines of an `arrivals.jsonl` that one error tells: a screen of them; more have one cause.
pub const BAD_LINES_TOLD_MAX: usize = 20;

// The command line.

/// How long `demo --brokers` waits for its `run`: seconds, and many times that on a busy machine.
pub const DEMO_DONE_MAX: Duration = Duration::from_secs(120);

/// How long it waits for the first answer of a broker: a person waits for the word that there is none.
pub const DEMO_ANSWER_MAX: Duration = Duration::from_secs(5);

/// Between two looks at what has come out.
pub const DEMO_LOOK_PAUSE: Duration = Duration::from_millis(250);

// The Kafka shell.

/// Arrivals of one turn: a ledger row each, and what a person watching the log can still call one step.
pub const TURN_ARRIVALS_MAX: usize = 20_000;

/// Building one turn: after one that took longer, the next are smaller. A rebalance waits for the turn of each member.
pub const TURN_BUILD_MAX: Duration = Duration::from_secs(2);

/// Writing one turn: after one that took longer, the next are smaller, so that [`TURN_WRITE_MAX`] stays far away.
pub const TURN_WRITE_WANTED: Duration = Duration::from_secs(5);

/// KiB that the group member may have read ahead: what comes in while a turn is written, at a fast disk's rate.
pub const MEMBER_QUEUE_KIB: usize = 32 * 1024;

/// KiB that a restore may have read ahead.
pub const RESTORE_QUEUE_KIB: usize = 16 * 1024;

/// KiB that the reader of single arrivals may have read ahead: more would mostly be thrown away at the next jump.
pub const LOOKUP_QUEUE_KIB: usize = 2 * 1024;

/// Bytes of one answer to a fetch, over all partitions of a broker; one of the largest messages that the topics take,
/// where that is more (64 MiB where `topics create` made them).
pub const FETCH_BYTES: usize = 16 * 1024 * 1024;

/// KiB that the producer may hold unsent; two of the largest messages that the topics take, where that is more (128 MiB
/// where `topics create` made them). A turn that writes more waits.
pub const SEND_QUEUE_KIB: usize = 64 * 1024;

/// A transaction whose producer is gone is aborted by the broker after this (readers wait until then, unless another
/// instance ends it earlier). Far above the longest commit, below the 15 min that a broker allows.
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// Writing one turn, from its first message to the answer of its commit: below [`TRANSACTION_TIMEOUT`], so that we and
/// not the broker end a turn that takes too long. Beyond it, what became of the turn is asked anew of the broker.
pub const TURN_WRITE_MAX: Duration = Duration::from_secs(50);

/// A broker's answer to one request of the producer: after it the connection is given up and the request sent again, to
/// whoever leads then. Twice this fits into [`TURN_WRITE_MAX`]; a mail of 30 MB takes it at 1.5 MB/s.
pub const PRODUCER_ANSWER_MAX: Duration = Duration::from_secs(20);

/// One waiting call into the Kafka client: how late a stop may be noticed.
pub const CALL_MAX: Duration = Duration::from_millis(500);

/// Clients left behind that did not come back from a call, in the life of a process: each may hold a send queue
/// ([`SEND_QUEUE_KIB`]) and a turn. After so many the process ends, and its keeper starts it anew.
pub const CLIENTS_LEFT_BEHIND_MAX: u32 = 10;

/// A call that was given [`CALL_MAX`] and has not come back after so long hangs, and its client is replaced. What is cut
/// off by that is at worst a coordinator that needs longer to answer, which is asked anew.
pub const CALL_HANGS: Duration = Duration::from_secs(10);

/// Reaching a broker, when a command starts.
pub const REACH_MAX: Duration = Duration::from_secs(30);

/// A broker that is away is waited for so long, then the process ends with the reason: its keeper may know better.
pub const AWAY_MAX: Duration = Duration::from_secs(30 * 60);

/// Recoveries in a row without a turn between them, for other reasons than a broker that is away.
pub const RECOVERIES_MAX: u32 = 12;

/// The wait between such recoveries: doubled from the first to the second.
pub const RECOVERY_WAIT_MIN: Duration = Duration::from_millis(100);
pub const RECOVERY_WAIT_MAX: Duration = Duration::from_secs(5);

/// Reading back one value: where brokers answer, it takes milliseconds.
pub const REFETCH_MAX: Duration = Duration::from_secs(30);

/// A log that ends before what was once read of it is believed to have lost it after its leaders have said so for so long:
/// twice what a cluster takes to replace a leader (`broker.session.timeout.ms`, 9 s), and within [`REFETCH_MAX`].
pub const SHORT_LOG_BELIEVED: Duration = Duration::from_secs(20);

/// Messages between two wanted ones that are read over rather than jumped: a jump costs an answer of the broker, …
pub const REFETCH_GAP_MAX: i64 = 64;

/// … in which this many bytes come as well, if they are as large as the last one.
pub const REFETCH_GAP_BYTES: usize = 1024 * 1024;

/// Bytes that the reader of single values asks for at once. A broker gives at least one batch, so that a larger value
/// comes whole; what comes beside the wanted one is mostly thrown away.
pub const LOOKUP_FETCH_BYTES: usize = 64 * 1024;

/// A member of our own instance name that is still in the group after so long is alive: longer than the session that a
/// dead one is missed by.
pub const SLOT_WAIT_MAX: Duration = Duration::from_secs(8);

/// From SIGTERM to the end of the process; the turn under way is given up after it and redone by the next owner.
pub const STOP_MAX: Duration = Duration::from_millis(4500);

/// A worker that has not come round its loop for so long is not alive: longer than every wait above that it may be in.
pub const BEAT_MAX: Duration = Duration::from_secs(180);

/// Milliseconds that an arrival's `received-at` may lie ahead of the wall clock; more is taken for a producer's mistake.
pub const RECEIVED_AT_AHEAD_MAX: i64 = 24 * 3600 * 1000;

/// How many records one turn publishes at most; the rest stays due for the next. At about 2 KB of record each this is
/// 20 MB beside the originals.
pub const TURN_RECORDS_MAX: usize = 10_000;

/// About how many bytes of records and of the arrivals that their originals came in one turn publishes at most: one of
/// the largest mails, or 2,500 of 12 KB. One turn is written while the next is built, so memory holds this twice, and
/// the client's copy.
pub const TURN_PUBLISHED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes that a field of an Avro value takes at most beside its content: the branch of its union, a length of ten
/// digits of seven bits, the ends of blocks.
pub const VALUE_FIELD_BYTES: usize = 32;

/// Bytes that a part of a merged report takes at most beside its content: its boundary and header block.
pub const REPORT_PART_BYTES: usize = 1024;

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

/// The longest address of one such hop that we keep, bytes: X.500 names of nested units have some hundred.
pub const PATH_HOP_BYTES_MAX: usize = 4 * 1024;

/// How much of a recipient's display name we keep, bytes: Exchange allows 256 characters.
pub const DISPLAY_NAME_BYTES_MAX: usize = 4 * 1024;

/// Bytes of hops that all recipients of one report's text hold together: a line gives each of its recipients the hops
/// behind it, so that a forged one of a few kilobytes would make many megabytes of them. 100,000 members of a list
/// fit.
pub const REPORT_PATH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes that the claims of one arrival may take in the changelog, whose entries (64 MiB) hold at least one piece of
/// evidence whole. A million recipients with addresses of the usual 26 characters fit.
pub const EVIDENCE_BYTES_MAX: usize = 48 * 1024 * 1024;
