//! What the tests of this room share, and those of the correlator.

use bytes::Bytes;

use super::{Bodies, Encoding, TurnRules};
use crate::{
    arrival::Position,
    correlate::{AwakeMax, Place, Rules, Timing, TopicNames, WorkMax},
    record::{ArchiveFormat, ValueBytesMax},
};

/// Nothing can be read again, and nothing rests.
pub struct Nowhere;

impl Bodies for Nowhere {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|_| Err("nothing is read again here".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, _: &[Place]) -> Result<Vec<Bytes>, String> {
        Err("nothing rests here".to_owned())
    }
}

pub fn rules(partitions: i32) -> TurnRules {
    let topic_names = TopicNames { reports: "r".into(), envelopes: "e".into(), strays: "s".into() };
    let (timing, value_bytes_max) = (Timing::default(), ValueBytesMax::default());
    let (archive_format, awake_max) = (ArchiveFormat::Record, AwakeMax { open: 0, closed: 0, large_bytes: 0 });
    let work_max = WorkMax::default();
    TurnRules {
        rules: Rules { timing, topic_names, value_bytes_max, archive_format, awake_max, work_max },
        partitions,
        passed_on_bytes_max: None,
        encoding: Encoding::Avro,
        recent_bytes_max: usize::MAX,
    }
}
