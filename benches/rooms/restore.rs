//! Drafts from the changelog. That it takes time linear in bytes shows in MB/s that do not fall by more than a cache's
//! misses take.

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use mailjournal::{
    avro::{self, Schema},
    correlate::StoredDraft,
    mail::{Digest, Key},
    turn::Tasks,
};

use crate::{load::Load, turn};

/// Bytes of mails from which the drafts are made that all others repeat.
const PATTERN_BYTES: usize = 2_000_000;

/// Drafts of different messages, made from those of a few.
pub struct Pattern {
    drafts: Vec<StoredDraft>,
}

impl Pattern {
    pub fn load() -> Load {
        Load::usual(PATTERN_BYTES)
    }

    pub fn of(load: &Load) -> Pattern {
        let read = |(_, value): (Bytes, Bytes)| avro::decode(Schema::Draft, &value).expect("a draft");
        let drafts = turn::drafts(load).into_iter().map(read).collect();
        Pattern { drafts }
    }

    /// The changelog's entry of draft `number`, as it is before it is closed or after.
    pub fn entry(&self, number: usize, open: bool) -> (Bytes, Bytes) {
        let mut draft = self.drafts[number % self.drafts.len()].clone();
        let old = draft.key.as_str().to_owned();
        draft.key = Key(format!("<{number}.{}", old.trim_start_matches('<')).into());
        draft.record_id = draft.record_id.replace(&old, draft.key.as_str());
        if open {
            (draft.open, draft.published) = (true, None);
        }
        for piece in &mut draft.pieces {
            let evidence = std::sync::Arc::make_mut(&mut piece.evidence);
            evidence.key = draft.key.clone();
            evidence.id = Digest::of_joined(&[&evidence.id.0, &number.to_be_bytes()]);
        }
        (draft.draft_key().to_text().into(), avro::encode(Schema::Draft, &draft).into())
    }
}

pub fn bench(criterion: &mut Criterion) {
    let pattern = Pattern::of(&Pattern::load());
    let entries = |count| (0..count).map(|number| pattern.entry(number, false)).collect::<Vec<_>>();
    let bytes: usize = entries(pattern.drafts.len()).iter().map(|(key, value)| key.len() + value.len()).sum();
    let mut group = criterion.benchmark_group("restore");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for count in [1_000, 10_000, 100_000, 1_000_000] {
        let bytes = (bytes * count / pattern.drafts.len()) as u64;
        group.throughput(Throughput::ElementsAndBytes { elements: count as u64, bytes });
        let mut log = Vec::new();
        group.bench_function(BenchmarkId::new("drafts", count), |bencher| {
            if log.is_empty() {
                log = entries(count);
            }
            bencher.iter_custom(|times| (0..times).map(|_| restore(&log)).sum());
        });
    }
    group.finish();
}

/// How long one restore takes; the end of what it made does not count.
#[inline(never)]
fn restore(log: &[(Bytes, Bytes)]) -> Duration {
    let mut tasks = Tasks::new(turn::rules());
    tasks.assign(0);
    let began = Instant::now();
    for (place, (key, value)) in log.iter().enumerate() {
        tasks.restore(0, place as i64, key, Some(value));
    }
    tasks.restored(0).expect("what was written is read");
    let took = began.elapsed();
    assert_eq!(tasks.drafts().1, log.len());
    took
}
