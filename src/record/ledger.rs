//! What became of one arrival (contract §4.5).

use serde::{Deserialize, Serialize};

/// One row of `journal.ledger`: every arrival has exactly one, written in the turn that consumed it; what was moved
/// has a second row at its position in `journal.strays`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Ledger")]
pub struct LedgerRow {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub disposition: Disposition,
    /// The record that it belongs to as far as is known now.
    #[serde(default)]
    pub record_id: Option<String>,
    /// Why, where the disposition alone does not say.
    #[serde(default)]
    pub reason: Option<String>,
    /// The file it came from, and `@` the byte offset in an mbox.
    #[serde(default)]
    pub source: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Disposition {
    /// New evidence of its record.
    Merged,
    /// Evidence that was there already.
    Duplicate,
    /// A notice: of its own record, and told to the mail it is about.
    Notice,
    /// Not to be journaled.
    Excluded,
    /// Sent to its home partition.
    Moved,
    /// A dead letter.
    Rejected,
}
