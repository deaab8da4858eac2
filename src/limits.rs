//! Every bound, with its unit and its reason.

/// Bytes that decoding one Avro value may ask for at once: the largest mail that Exchange carries (150 MB) fits, a
/// length field made up by an attacker does not take the machine.
pub const AVRO_ALLOCATION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes that an Avro value is first given room for, beside its content: most records and drafts need no more.
pub const AVRO_FIRST_BYTES: usize = 2 * 1024;

/// Characters of a library's error that are passed on: enough to see what was wrong, not a schema's whole text.
pub const ERROR_DETAIL_CHARS_MAX: usize = 200;
