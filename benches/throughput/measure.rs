//! Watches a process from outside until it has done its input: what it has committed, its CPU time, its memory.

use std::{
    collections::HashSet,
    fmt, fs, thread,
    time::{Duration, Instant},
};

use mailjournal::{
    avro::{self, Schema},
    record::LedgerRow,
};

use crate::{
    Running,
    load::Loaded,
    support::{broker::Broker, kafka},
};

/// Two looks are this far apart.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The outputs are whole when they have not grown for so long after the last arrival was committed.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
const BOUND: Duration = Duration::from_secs(900);
/// /proc counts CPU time in these (`getconf CLK_TCK`; Linux shows 100 to programs on every architecture).
const TICKS_PER_SECOND: f64 = 100.0;

/// How to see what a process has done.
pub struct Watched {
    pub group: String,
    pub outputs: Vec<String>,
}

/// What one run showed.
#[derive(Clone, Copy)]
pub struct Figures {
    pub arrivals_per_second: f64,
    /// 1 MB is 1,000,000 bytes of input.
    pub megabytes_per_second: f64,
    pub cpu_seconds_per_100k: f64,
    /// What the broker needed for it.
    pub broker_cpu_seconds_per_100k: f64,
    pub peak_rss_mib: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} arrivals/s, {:.1} MB/s, {:.1} CPU-s per 100,000 arrivals (broker {:.1}), {:.0} MiB",
            self.arrivals_per_second,
            self.megabytes_per_second,
            self.cpu_seconds_per_100k,
            self.broker_cpu_seconds_per_100k,
            self.peak_rss_mib
        )
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Look {
    at: Instant,
    committed: i64,
    written: i64,
    cpu_seconds: f64,
    broker_cpu_seconds: f64,
}

impl Look {
    fn differs_from(&self, other: &Look) -> bool {
        (self.committed, self.written) != (other.committed, other.written)
    }
}

/// Watches the process until all input is committed and its outputs stand still, then stops it. Starting up is not
/// counted: the clock runs from the first commit that is seen to the last change of an output.
pub fn until_done(broker: &mut Broker, prefix: &str, process: Running, watched: &Watched, loaded: &Loaded) -> Figures {
    let eyes = kafka::Eyes::new(&broker.address, &watched.group);
    let broker = broker.pid().expect("a broker that runs");
    let inputs = ["journal.reports", "journal.envelopes"].map(|name| format!("{prefix}{name}"));
    let total = i64::try_from(loaded.arrivals).expect("a count");
    let deadline = Instant::now() + BOUND;
    let mut first: Option<Look> = None;
    let mut last: Option<Look> = None;
    loop {
        let look = Look {
            committed: inputs.iter().map(|topic| eyes.committed(topic).into_iter().flatten().sum::<i64>()).sum(),
            written: watched.outputs.iter().map(|topic| eyes.end_offsets(topic).into_iter().sum::<i64>()).sum(),
            at: Instant::now(),
            cpu_seconds: cpu_seconds(process.0.id()),
            broker_cpu_seconds: cpu_seconds(broker),
        };
        if look.committed > 0 {
            first.get_or_insert(look);
        }
        if last.is_none_or(|last| look.differs_from(&last)) {
            last = Some(look);
        }
        let last = last.expect("just set");
        if last.committed == total && look.at - last.at > SETTLED_AFTER {
            let figures = figures(&first.expect("a first commit"), &last, memory_mib(process.0.id(), "VmHWM"), loaded);
            process.stop();
            return figures;
        }
        assert!(look.at < deadline, "after {BOUND:?} {} of {total} arrivals were committed", last.committed);
        thread::sleep(LOOK_EVERY);
    }
}

fn figures(first: &Look, last: &Look, peak_rss_mib: f64, loaded: &Loaded) -> Figures {
    let arrivals = (last.committed - first.committed) as f64;
    let seconds = (last.at - first.at).as_secs_f64();
    Figures {
        arrivals_per_second: arrivals / seconds,
        megabytes_per_second: arrivals / seconds * loaded.bytes as f64 / loaded.arrivals as f64 / 1e6,
        cpu_seconds_per_100k: (last.cpu_seconds - first.cpu_seconds) / arrivals * 100_000.0,
        broker_cpu_seconds_per_100k: (last.broker_cpu_seconds - first.broker_cpu_seconds) / arrivals * 100_000.0,
        peak_rss_mib,
    }
}

/// User and system time of a process, all threads (proc(5), fields 14 and 15 of `stat`).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process that is measured");
    // The second field is the program's name in brackets, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = |index: usize| -> f64 {
        fields.split_whitespace().nth(index).and_then(|text| text.parse().ok()).expect("a number of ticks")
    };
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// A size that the kernel tells of a process, MiB (proc(5), `status`): `VmRSS` now, `VmHWM` at most.
pub fn memory_mib(pid: u32, which: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process that is measured");
    let size = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':')).expect("a size");
    let kib: f64 = size.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number of KiB");
    kib / 1024.0
}

/// Fails unless each arrival has exactly one row in the ledger.
pub fn check_ledger(address: &str, prefix: &str, loaded: &Loaded) {
    let rows = kafka::read_all(address, &format!("{prefix}journal.ledger"));
    let rows = rows.iter().filter_map(|row| row.value.as_ref());
    let strays = format!("{prefix}journal.strays");
    let mut seen = HashSet::new();
    for row in rows {
        let row: LedgerRow = avro::decode(Schema::Ledger, row).expect("a ledger row");
        if row.topic != strays {
            assert!(seen.insert((row.topic.clone(), row.partition, row.offset)), "an arrival has two rows: {row:?}");
        }
    }
    assert_eq!(seen.len(), loaded.arrivals, "each arrival has a row in the ledger");
}

/// All topics of mailjournal.
pub fn topics(prefix: &str) -> impl Iterator<Item = String> {
    ["reports", "envelopes", "strays", "drafts", "archive", "ndr", "activity", "ledger", "rejected"]
        .into_iter()
        .map(move |name| format!("{prefix}journal.{name}"))
}
