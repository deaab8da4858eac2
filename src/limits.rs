//! Every bound, with its unit and its reason.

/// How many senders of one piece of evidence are compared when a message is looked for: a From rarely has two.
pub const AGREEING_SENDERS_MAX: usize = 8;

/// About how many bytes of evidence one part of a stored draft holds: large enough that nearly every draft is one part,
/// small enough that a turn which adds one piece to a huge draft does not rewrite it.
pub const DRAFT_PART_BYTES: usize = 64 * 1024;

/// How many records one turn publishes at most; the rest stays due for the next. At about 2 KB of record each this is
/// 20 MB beside the originals.
pub const TURN_RECORDS_MAX: usize = 10_000;

/// About how many bytes of originals one turn publishes at most: two of the largest mails, or 5,000 of 12 KB.
pub const TURN_ORIGINAL_BYTES_MAX: i64 = 64 * 1024 * 1024;

/// Bytes that decoding one Avro value may ask for at once: the largest mail that Exchange carries (150 MB) fits, a
/// length field made up by an attacker does not take the machine.
pub const AVRO_ALLOCATION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that an Avro value is first given room for, beside its content: most records and drafts need no more.
pub const AVRO_FIRST_BYTES: usize = 2 * 1024;

/// Characters of a library's error that are passed on: enough to see what was wrong, not a schema's whole text.
pub const ERROR_DETAIL_CHARS_MAX: usize = 200;
