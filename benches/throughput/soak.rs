//! Whether an instance stays as it is under constant load and rebalances: its memory, file handles and threads, and how
//! soon records are visible.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    latency::{self, Latency, millis, now},
    load::Load,
    measure, start,
};

/// A second instance is there for so long, and away for so long, in turns.
const TOGETHER: Duration = Duration::from_secs(45);
const ALONE: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// One line of the table.
const LINE: Duration = Duration::from_secs(5 * 60);

struct Look {
    at: i64,
    rss_mib: u64,
    handles: usize,
    threads: usize,
}

impl Look {
    fn at(pid: u32) -> Look {
        let rss_mib = measure::memory_mib(pid, "VmRSS") as u64;
        let count = |of: &str| fs::read_dir(format!("/proc/{pid}/{of}")).expect("the instance runs").count();
        Look { at: now(), rss_mib, handles: count("fd"), threads: count("task") }
    }
}

/// Runs for so many minutes; `run` makes an instance of a name.
pub fn soak(address: &str, prefix: &str, run: impl Fn(&str) -> Command + Sync, load: &Load, rate: f64, minutes: u64) {
    let length = Duration::from_secs(minutes * 60);
    let first = start(run("soak-a"));
    let pid = first.0.id();
    let (began, done) = (Instant::now(), AtomicBool::new(false));
    let started = now();
    let mut looks = Vec::new();
    let seen = latency::seen_while(address, prefix, || {
        thread::scope(|scope| {
            scope.spawn(|| {
                latency::give(address, prefix, load, rate, length);
                done.store(true, Ordering::Relaxed);
            });
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    thread::sleep(ALONE);
                    let second = start(run("soak-b"));
                    thread::sleep(TOGETHER);
                    second.stop();
                }
            });
            while began.elapsed() < length {
                thread::sleep(LOOK_EVERY);
                looks.push(Look::at(pid));
            }
        });
    });
    first.stop();
    println!("\n| minutes | RSS, MiB | file handles | threads | evidence to record |\n|---|---:|---:|---:|---|");
    for line in 0..minutes.div_ceil(LINE.as_secs() / 60) {
        let from = started + i64::try_from(line).expect("a few") * millis(LINE);
        let within = |at: i64| (from..from + millis(LINE)).contains(&at);
        let of = |value: fn(&Look) -> u64| {
            let values = || looks.iter().filter(|look| within(look.at)).map(value);
            format!("{} to {}", values().min().unwrap_or_default(), values().max().unwrap_or_default())
        };
        let latency = Latency::of(seen.iter().filter(|record| within(record.at)).map(|record| record.after));
        let (rss, handles, threads) =
            (of(|look| look.rss_mib), of(|look| look.handles as u64), of(|look| look.threads as u64));
        let minute = line * LINE.as_secs() / 60;
        println!("| {minute} to {} | {rss} | {handles} | {threads} | {latency} |", minute + LINE.as_secs() / 60);
    }
}
