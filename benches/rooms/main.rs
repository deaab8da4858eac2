//! What each room costs, without a broker, over a made-up organisation's journal that is the same in every run.
//!
//! `cargo bench --no-default-features --bench rooms` measures all; a part of a name behind `--` measures what has it in
//! its name. `RAYON_NUM_THREADS=1` gives the cost of one core. With `--test` behind the `--` everything runs once, for a
//! count of instructions: `valgrind --tool=callgrind --toggle-collect=rooms::merged …/rooms-HASH --test merge`.

mod load;
mod restore;
mod turn;

use std::{hint::black_box, time::Duration};

use criterion::{BatchSize, Criterion, Throughput};
use mailjournal::{
    arrival::Timestamp,
    correlate::{Budget, Changelog, Complete, Correlator, Effect, Piece, Place, StoredDraft, Unreadable},
    evidence::read_mail,
    turn::{TurnOutput, TurnRules, publish},
};

use load::Load;

/// How many bytes of mails one measured pass takes at least, so that it is no accident of a few mails.
const PASS_BYTES: usize = 4_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args();
    parse(&mut criterion);
    merge(&mut criterion);
    build(&mut criterion);
    turn::bench(&mut criterion);
    restore::bench(&mut criterion);
    criterion.final_summary();
}

/// A mail → what it says, for originals of several sizes.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    for (name, original_bytes) in [("2 KB", 1_500), ("12 KB", 11_000), ("75 KB", 74_000), ("1 MB", 1_000_000)] {
        let load = Load::of_reports(original_bytes, PASS_BYTES);
        group.throughput(load.throughput());
        group.bench_function(name, |bencher| {
            bencher.iter(|| parsed(&load));
        });
    }
    group.finish();
}

/// How many of these are evidence.
#[inline(never)]
fn parsed(load: &Load) -> usize {
    load.arrivals.iter().filter_map(|arrival| read_mail(&arrival.bytes).ok()).count()
}

/// Pieces → drafts → closed records, without their bytes.
fn merge(criterion: &mut Criterion) {
    let load = Load::usual(PASS_BYTES);
    let pieces = load.pieces();
    let mut group = criterion.benchmark_group("merge");
    group.throughput(load.throughput());
    group.bench_function("12 KB", |bencher| {
        bencher.iter_batched(|| pieces.clone(), |pieces| merged(pieces).len(), BatchSize::LargeInput);
    });
    group.finish();
}

/// All that the correlator does for these pieces: each in its time, then all time there is.
#[inline(never)]
fn merged(pieces: Vec<Piece>) -> Vec<Effect> {
    let mut correlator = Correlator::new(turn::rules().rules);
    let mut effects = Vec::new();
    let mut budget = Budget { records: usize::MAX, bytes: usize::MAX, forgotten: usize::MAX, woken: usize::MAX };
    for piece in pieces {
        let at = piece.seen.at;
        correlator.handle_time(at, &mut budget, &mut Nothing).expect("nothing rests");
        correlator.handle_evidence(piece, at, &mut Nothing).expect("nothing rests");
    }
    let mut end = |now: Timestamp| {
        correlator.handle_time(now, &mut budget, &mut Nothing).expect("nothing rests");
        effects.extend(std::iter::from_fn(|| correlator.poll_effect()));
        correlator.handle_turn_end(1);
        effects.extend(std::iter::from_fn(|| correlator.poll_effect()));
    };
    end(load::END);
    effects
}

struct Nothing;

impl Changelog for Nothing {
    fn read(&mut self, _: &[Place]) -> Result<Vec<StoredDraft>, Unreadable> {
        Err(Unreadable("nothing rests here".to_owned()))
    }
}

/// Closed records, drafts and dispositions → the values that leave.
fn build(criterion: &mut Criterion) {
    let load = Load::usual(PASS_BYTES);
    let rules = turn::rules();
    let (mut completes, mut drafts): (Vec<Complete>, Vec<_>) = (Vec::new(), Vec::new());
    for effect in merged(load.pieces()) {
        match effect {
            Effect::Publish(complete) => completes.push(load.filled(*complete)),
            Effect::Remember(stored) => drafts.push(stored),
            Effect::Forget(_) => {}
        }
    }
    let mut group = criterion.benchmark_group("build");
    group
        .throughput(Throughput::ElementsAndBytes { elements: completes.len() as u64, bytes: load.carried(&completes) });
    group.bench_function("records", |bencher| {
        bencher.iter_batched(|| completes.clone(), |completes| built(completes, &rules), BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(drafts.len() as u64));
    group.bench_function("drafts", |bencher| {
        bencher.iter(|| drafts.iter().filter(|stored| black_box(publish::draft(0, stored)).value.is_some()).count());
    });
    let rows = load.rows();
    group.throughput(Throughput::Elements(rows.len() as u64));
    group.bench_function("ledger", |bencher| {
        let build = |rows| {
            let mut output = TurnOutput::default();
            publish::ledger(rows, &rules, &mut output);
            output.outgoing.len()
        };
        bencher.iter_batched(|| rows.clone(), build, BatchSize::LargeInput);
    });
    group.finish();
}

#[inline(never)]
fn built(completes: Vec<Complete>, rules: &TurnRules) -> usize {
    let mut output = TurnOutput::default();
    publish::write(completes, rules, &mut output);
    output.outgoing.len()
}
