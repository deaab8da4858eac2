//! Whole turns, and the rules that all benchmarks use.

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use mailjournal::{
    arrival::{Arrival, Input, Position},
    correlate::{AwakeMax, Place, Rules, Timing, TopicNames, WorkMax},
    record::ValueBytesMax,
    turn::{ArchiveFormat, Bodies, Encoding, Outgoing, Output, Progress, Tasks, TurnRules},
};

use crate::load::{END, Load};

/// Arrivals of one turn: about what 100 ms bring.
const TURN_ARRIVALS: usize = 500;
const LOAD_BYTES: usize = 24_000_000;

/// As `run` has them on topics of its own making, but that nothing rests: nothing could be read back here.
pub fn rules() -> TurnRules {
    let topic_names = TopicNames {
        reports: "journal.reports".into(),
        envelopes: "journal.envelopes".into(),
        strays: "journal.strays".into(),
    };
    let bytes_max = Some(64 << 20);
    TurnRules {
        rules: Rules {
            timing: Timing::default(),
            topic_names,
            value_bytes_max: ValueBytesMax { archive: bytes_max, activity: bytes_max, ndr: bytes_max },
            archive_format: ArchiveFormat::Record,
            awake_max: AwakeMax { open: usize::MAX, closed: usize::MAX, large_bytes: usize::MAX },
            work_max: WorkMax::default(),
        },
        partitions: 1,
        passed_on_bytes_max: bytes_max,
        encoding: Encoding::Avro,
        recent_bytes_max: 256 << 20,
    }
}

pub fn bench(criterion: &mut Criterion) {
    let load = Load::usual(LOAD_BYTES);
    let turns: Vec<Vec<Arrival>> = load.arrivals.chunks(TURN_ARRIVALS).map(<[Arrival]>::to_vec).collect();
    let mut group = criterion.benchmark_group("turn");
    group.throughput(load.throughput());
    group.bench_function("12 KB", |bencher| {
        bencher.iter_batched(|| turns.clone(), |turns| run(turns, |_| ()), BatchSize::LargeInput);
    });
    group.finish();
}

/// Takes all turns through new tasks, then time until every draft has closed.
#[inline(never)]
pub fn run(turns: Vec<Vec<Arrival>>, mut see: impl FnMut(Outgoing)) {
    let mut tasks = Tasks::new(rules());
    tasks.assign(0);
    tasks.restored(0).expect("nothing is restored");
    let told = |at_end| {
        [Input::Reports, Input::Envelopes, Input::Strays].map(|input| Progress { input, partition: 0, at_end })
    };
    let mut progress = told(false);
    progress[2].at_end = true;
    for arrivals in turns {
        let outgoing = tasks.turn(arrivals, &progress, END, &mut Nowhere).expect("nothing rests").outgoing;
        outgoing.into_iter().for_each(&mut see);
    }
    loop {
        let output = tasks.turn(Vec::new(), &told(true), END, &mut Nowhere).expect("nothing rests");
        output.outgoing.into_iter().for_each(&mut see);
        if !output.more_due {
            return;
        }
    }
}

/// Every arrival is still at hand.
pub struct Nowhere;

impl Bodies for Nowhere {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|_| Err("nothing is read again here".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, _: &[Place]) -> Result<Vec<Bytes>, String> {
        Err("nothing rests here".to_owned())
    }
}

/// The last value of each draft that these turns write.
pub fn drafts(load: &Load) -> Vec<(Bytes, Bytes)> {
    let mut last = std::collections::BTreeMap::new();
    run(load.arrivals.chunks(TURN_ARRIVALS).map(<[Arrival]>::to_vec).collect(), |outgoing| {
        if outgoing.output == Output::Drafts {
            last.insert(outgoing.key, outgoing.value);
        }
    });
    last.into_iter().filter_map(|(key, value)| key.zip(value)).collect()
}
