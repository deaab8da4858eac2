//! Seeded histories of instances on a model of Kafka: crashes, zombies, rebalances, lost answers, clocks that jump. The
//! decisions are the real ones, from the arrival's bytes to the turn and the order of a restore; nothing waits and
//! nothing runs beside.
//!
//! `MAILJOURNAL_HISTORIES=5000000 cargo test --release --test simulation histories` runs longer than the test command
//! does; `MAILJOURNAL_SEED=1234 cargo test --release --test simulation histories` runs one history again, and tells it.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod kafka;
mod mutation;
mod process;
mod remembered;
mod script;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use mailjournal::mail::Digest;

use mutation::Mutation;
use script::Script;
use world::{Broken, World};

/// What the test command runs: so many histories, or as many as this time allows.
const HISTORIES: u64 = 100_000;
const TIME: Duration = Duration::from_secs(120);
/// A deliberate bug has to show within so many seeds.
const SEEDS_MAX: u64 = 20_000;

/// How many kinds of rarer things histories tell that they met.
const MET: usize = 13;

/// What became of a history.
#[derive(Debug, PartialEq, Eq)]
struct Ran {
    digest: Digest,
    met: BTreeSet<&'static str>,
}

fn run(script: &Script, mutation: Option<Mutation>) -> Result<Ran, Broken> {
    let mut world = World::new(script, mutation);
    world.run()?;
    Ok(Ran { digest: world.check.digest(), met: world.met })
}

/// Runs on a thread whose parallel work is its own: rayon's pool would cost more than a history.
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    let _pool = pool.expect("this thread is in no pool yet");
    work()
}

/// The least of a history that still breaks: one operation after the other is left out.
fn shrink(script: &Script, mutation: Option<Mutation>) -> Script {
    let mut least = script.clone();
    let mut size = least.operations.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < least.operations.len() {
            let mut fewer = least.clone();
            fewer.operations.drain(from..(from + size).min(least.operations.len()));
            if run(&fewer, mutation).is_err() {
                least = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    while let Some(given) = least.given.pop() {
        if run(&least, mutation).is_ok() {
            least.given.push(given);
            break;
        }
    }
    least
}

fn in_words(script: &Script, broken: &str) -> String {
    let mut words = format!("{:?}\n{:?}\n", script.rules, script.waits);
    for (index, given) in script.given.iter().enumerate() {
        words += &format!("  arrival {index}: {}, home {}\n", given.in_words, given.home);
    }
    for operation in &script.operations {
        words += &format!("  {operation}\n");
    }
    words + &format!("  then all faults end, and: {broken}\n")
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

fn tell(seed: u64, script: &Script) -> String {
    let least = shrink(script, None);
    let broken = run(&least, None).expect_err("a shrunk history still breaks");
    format!(
        "seed {seed} breaks; again: MAILJOURNAL_SEED={seed} cargo test --release --test simulation histories\n{}",
        in_words(&least, &broken)
    )
}

#[test]
fn histories_keep_every_promise() {
    if let Some(seed) = number("MAILJOURNAL_SEED") {
        let script = Script::of(seed);
        alone(|| assert!(run(&script, None).is_ok(), "{}", tell(seed, &script)));
        return;
    }
    let (histories, time) = match number("MAILJOURNAL_HISTORIES") {
        Some(histories) => (histories, Duration::MAX),
        None => (HISTORIES, TIME),
    };
    let first = number("MAILJOURNAL_FIRST_SEED").unwrap_or(0);
    let (next, operations) = (AtomicU64::new(first), AtomicUsize::new(0));
    let met: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let began = Instant::now();
    let work = || {
        alone(|| {
            while began.elapsed() < time {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + histories {
                    return;
                }
                let script = Script::of(seed);
                operations.fetch_add(script.operations.len(), Ordering::Relaxed);
                match run(&script, None) {
                    Ok(ran) => {
                        let mut met = met.lock().expect("nobody panics with it");
                        ran.met.into_iter().for_each(|what| *met.entry(what).or_default() += 1);
                    }
                    Err(_) => panic!("{}", tell(seed, &script)),
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let ran = next.load(Ordering::Relaxed).min(first + histories) - first;
    println!("{ran} histories, {} operations in {:?}", operations.load(Ordering::Relaxed), began.elapsed());
    let met = met.into_inner().expect("nobody panics with it");
    for (what, count) in &met {
        println!("{:5.1} % of them: {what}", *count as f64 * 100.0 / ran as f64);
    }
    // Each of them is in three of a thousand at least.
    assert!(ran < 10_000 || met.len() == MET, "{} of {MET} rare things were met in {ran} histories", met.len());
    assert!(ran >= histories.min(1_000), "only {ran} histories in {time:?}");
}

#[test]
fn a_seed_run_twice_gives_equal_bytes() {
    alone(|| {
        for seed in 0..300 {
            let script = Script::of(seed);
            assert_eq!(run(&script, None), run(&Script::of(seed), None), "seed {seed}");
        }
    });
}

#[test]
fn every_deliberate_bug_is_found() {
    alone(|| {
        let mut unfound = Vec::new();
        for mutation in Mutation::ALL {
            match (0..SEEDS_MAX).find(|seed| run(&Script::of(*seed), Some(mutation)).is_err()) {
                Some(seed) => {
                    let least = shrink(&Script::of(seed), Some(mutation));
                    let broken = run(&least, Some(mutation)).expect_err("a shrunk history still breaks");
                    let broken: String = broken.lines().next().unwrap_or_default().chars().take(200).collect();
                    println!("{mutation:?}: {} seeds, {} operations: {broken}", seed + 1, least.operations.len());
                }
                None => unfound.push(mutation),
            }
        }
        assert_eq!(unfound, [], "not found within {SEEDS_MAX} seeds");
    });
}
