//! Every bound, with its unit and its reason.

/// How many senders of one piece of evidence are compared when a message is looked for: a From rarely has two.
pub const AGREEING_SENDERS_MAX: usize = 8;

/// About how many bytes of evidence one part of a stored draft holds: large enough that nearly every draft is one part,
/// small enough that a turn which adds one piece to a huge draft does not rewrite it.
pub const DRAFT_PART_BYTES: usize = 64 * 1024;
