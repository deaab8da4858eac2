//! What a correlator is told: the rules at its birth, and with each turn how much it may still do.

use std::{sync::Arc, time::Duration};

use super::{Complete, Messages, resting::Taken};
use crate::{
    limits,
    record::{ArchiveFormat, ValueBytesMax},
};

/// The closing settings (contract §4.3): settle ≤ quiet ≤ patience ≤ remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    pub settle: Duration,
    pub quiet: Duration,
    pub patience: Duration,
    pub remember: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        let seconds = Duration::from_secs;
        Timing { settle: seconds(5), quiet: seconds(60), patience: seconds(15 * 60), remember: seconds(9 * 86_400) }
    }
}

/// The names under which records, ledger rows and references speak of the input topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    pub reports: Arc<str>,
    pub envelopes: Arc<str>,
    pub strays: Arc<str>,
}

/// What a correlator is told at its birth.
#[derive(Clone, Debug)]
pub struct Rules {
    pub timing: Timing,
    /// What records say of where their evidence lies.
    pub topic_names: TopicNames,
    /// The largest values: originals that do not fit go by reference, lists that do not are cut.
    pub value_bytes_max: ValueBytesMax,
    /// As journal reports every revision carries its originals, not only the first that has them: a report without its
    /// original is of no use to an archive.
    pub archive_format: ArchiveFormat,
    pub awake_max: AwakeMax,
    pub work_max: WorkMax,
}

/// How many drafts stay at hand, by default as many as [`limits`] says; of the others only their place in the changelog is
/// known. What no turn has written yet is at hand besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AwakeMax {
    pub open: usize,
    /// Published, and remembered.
    pub closed: usize,
    /// Bytes, about, as the changelog counts them, of the large messages among them: those that take more than a
    /// thousandth of it.
    pub large_bytes: usize,
}

impl Default for AwakeMax {
    fn default() -> AwakeMax {
        AwakeMax {
            open: limits::AWAKE_OPEN_MAX,
            closed: limits::AWAKE_CLOSED_MAX,
            large_bytes: limits::AWAKE_LARGE_BYTES_MAX,
        }
    }
}

impl AwakeMax {
    /// What each may have of so many that work side by side.
    pub fn shared_by(self, count: usize) -> AwakeMax {
        let AwakeMax { open, closed, large_bytes } = self;
        AwakeMax { open: open / count, closed: closed / count, large_bytes: large_bytes / count }
    }

    pub(super) fn is_large(&self, messages: &Messages) -> bool {
        !messages.stays && messages.bytes() > self.large_bytes / 1_000
    }
}

/// How much is stored, read back or published at once. By default what [`limits`] says, which no simulation could reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkMax {
    pub draft_part_bytes: usize,
    pub wake_parts: usize,
    pub resting_drafts: usize,
    pub resting_parts: usize,
    pub turn: Budget,
    pub restore_batch_bytes: usize,
}

impl Default for WorkMax {
    fn default() -> WorkMax {
        WorkMax {
            draft_part_bytes: limits::DRAFT_PART_BYTES,
            wake_parts: limits::WAKE_PARTS_MAX,
            resting_drafts: limits::RESTING_DRAFTS_MAX,
            resting_parts: limits::RESTING_PARTS_MAX,
            turn: Budget {
                records: limits::TURN_RECORDS_MAX,
                bytes: limits::TURN_PUBLISHED_BYTES_MAX,
                forgotten: limits::TURN_FORGOTTEN_MAX,
                woken: limits::TURN_WOKEN_MAX,
            },
            restore_batch_bytes: limits::RESTORE_BATCH_BYTES,
        }
    }
}

/// How much one turn may still publish, so that a backlog of drafts that fall due at once does not fill the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    pub records: usize,
    /// Of records, about, and of the arrivals that their originals came in, which are read whole.
    pub bytes: usize,
    /// Drafts that may be forgotten: each is a value in the changelog too.
    pub forgotten: usize,
    /// Parts of drafts that may be brought to hand because time reaches them: they stay until the turn's end.
    pub woken: usize,
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.records == 0 || self.bytes == 0
    }

    pub(super) fn spend_woken(&mut self, taken: &[Taken]) {
        let parts: usize = taken.iter().map(|taken| taken.places.len()).sum();
        self.woken = self.woken.saturating_sub(parts);
    }

    pub(super) fn spend(&mut self, complete: &Complete, draft_bytes: usize) {
        self.records = self.records.saturating_sub(1);
        // A size is what evidence says of itself: it may be any number.
        let read = complete.wanted.iter().map(|wanted| usize::try_from(wanted.read_size).unwrap_or(0));
        self.bytes = read.fold(self.bytes.saturating_sub(draft_bytes), usize::saturating_sub);
    }
}
