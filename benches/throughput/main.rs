//! How fast `mailjournal run` is, beside the least that any exactly-once program on Kafka must do.
//!
//! `cargo bench --bench throughput` starts its own Apache Kafka, loads a made-up organisation's journal, and has the same
//! input go through (a) a bare transactional copy and (b) `mailjournal run`, in turns. Both are processes of their own,
//! so that their CPU time and memory compare. The tables are Markdown. Linux only: it reads /proc.
//!
//! Behind a `--`: `--original-bytes`, `--unkeyed`, `--partitions` and `--megabytes` make another load, `--grid` measures
//! many of them, and `--latency` asks how long a record takes at half of the speed that was measured. `--soak MINUTES` gives
//! evidence at a constant `--rate` instead, to an instance that another joins and leaves every minute; `--link KB` measures
//! `run` alone where only so many KB a second get through to the broker.

#[path = "../../tests/support/mod.rs"]
mod support;

mod copy;
mod latency;
mod load;
mod measure;
mod soak;
mod table;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Parser;

use load::{Load, Loaded};
use measure::{Figures, Watched};
use support::{broker::Broker, kafka, proxy::Weather};

#[derive(Parser)]
struct Arguments {
    /// The mean size of an original, bytes. 11,000 make reports of 12 KB.
    #[arg(long, default_value_t = 11_000)]
    original_bytes: usize,
    /// Give arrivals without keys, so that they lie on any partition.
    #[arg(long)]
    unkeyed: bool,
    /// Partitions of every topic.
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// How many million bytes of journal mails to load.
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// Measure loads of 2 KB to 1 MB, keyed and unkeyed, on 1 to 4 partitions, instead of one.
    #[arg(long)]
    grid: bool,
    /// Measure how soon a record is visible too.
    #[arg(long)]
    latency: bool,
    /// Instead of all that: for so many minutes, whether an instance stays as it is.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Instead of all that: how `run` fares where only so many KB a second get through to the broker.
    #[arg(long, value_name = "KB")]
    link: Option<u32>,
    /// Arrivals a second, for --soak.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// How often each of the two is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How often each of the two is run before that: a broker compiles itself in its first minutes.
    #[arg(long, default_value_t = 4)]
    warm_up: usize,
    /// Measure this program instead of the one just built.
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_mailjournal"))]
    mailjournal: PathBuf,
    /// What `cargo bench` gives every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    child: Option<ChildOf>,
}

#[derive(clap::Subcommand)]
enum ChildOf {
    /// The bare copy, as a process of its own.
    #[command(hide = true)]
    Copy { prefix: String },
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(ChildOf::Copy { prefix }) = arguments.child {
        return copy::run(&prefix);
    }
    let Arguments { original_bytes, partitions, megabytes, .. } = arguments;
    let one = Load { original_bytes, keyed: !arguments.unkeyed, partitions, megabytes };
    let loads = if arguments.grid { grid(&one) } else { vec![one] };
    if let Some(kilobytes) = arguments.link {
        return behind_link(arguments.mailjournal, &one, kilobytes);
    }
    let mut bench = Bench { broker: Broker::start_for_load(), program: arguments.mailjournal, topics: 0 };
    if let Some(minutes) = arguments.soak {
        return bench.soak(&one, arguments.rate, minutes);
    }
    for _ in 0..arguments.warm_up {
        bench.round(0, &one);
    }
    for load in loads {
        let rounds: Vec<_> = (1..=arguments.rounds).map(|round| bench.round(round, &load)).collect();
        table::print(&load, &rounds);
        if arguments.latency {
            let rate = table::rate(&rounds) / 2.0;
            let [home, moved] = bench.latency(&load, rate);
            println!("\nAt {rate:.0} arrivals/s, evidence to record: {home}; where some was sent home first: {moved}");
        }
    }
}

/// How `run` takes a load where only so much gets through to the broker.
fn behind_link(program: PathBuf, load: &Load, kilobytes: u32) {
    let (broker, proxy) = Broker::start_behind_proxy();
    let mut bench = Bench { broker, program, topics: 0 };
    bench.on_new_topics(load.partitions, |broker, program, prefix| {
        let loaded = load::load(&broker.address, prefix, load);
        eprintln!("{load}: {loaded}");
        proxy.set(Weather::Narrow(1_000 * kilobytes));
        let ran = measure_run(program, broker, prefix, &loaded);
        println!("through {kilobytes} KB/s: {ran}");
        proxy.set(Weather::Fair);
    });
}

/// The load that is asked for, and others that differ from it in one thing or two.
fn grid(one: &Load) -> Vec<Load> {
    let sized = |original_bytes, megabytes, keyed| Load { original_bytes, megabytes, keyed, ..*one };
    let mut loads = Vec::new();
    for keyed in [true, false] {
        loads.push(sized(1_500, one.megabytes / 2, keyed));
        loads.push(sized(11_000, one.megabytes, keyed));
        loads.push(sized(74_000, 2 * one.megabytes, keyed));
        loads.push(sized(1_000_000, 2 * one.megabytes, keyed));
    }
    loads.extend([1, 2].map(|partitions| Load { partitions, ..sized(11_000, one.megabytes, true) }));
    loads
}

struct Bench {
    broker: Broker,
    program: PathBuf,
    /// How many sets of topics there were.
    topics: usize,
}

impl Bench {
    /// Topics of their own, with the settings that are the product's own; what is done with them; and their end.
    fn on_new_topics<T>(&mut self, partitions: i32, doing: impl FnOnce(&mut Broker, &Path, &str) -> T) -> T {
        self.topics += 1;
        let prefix = format!("set{}.", self.topics);
        let mut create = mailjournal(&self.program, &self.broker, &prefix);
        create.env("MAILJOURNAL_TOPICS_PARTITIONS", partitions.to_string());
        let created = create.args(["topics", "create"]).output().expect("mailjournal topics create");
        assert!(created.status.success(), "topics create: {}", String::from_utf8_lossy(&created.stderr));
        let copied = copy::output(&prefix);
        kafka::create_topic(&self.broker.address, &copied, partitions, &[("max.message.bytes", "41943040")]);
        let done = doing(&mut self.broker, &self.program, &prefix);
        let names: Vec<String> = measure::topics(&prefix).chain([copied]).collect();
        kafka::delete_topics(&self.broker.address, &names.iter().map(String::as_str).collect::<Vec<_>>());
        done
    }

    /// What the copy and `run` did of the same input.
    fn round(&mut self, round: usize, load: &Load) -> (Figures, Figures) {
        self.on_new_topics(load.partitions, |broker, program, prefix| {
            let loaded = load::load(&broker.address, prefix, load);
            if round == 1 {
                eprintln!("{load}: {loaded}");
            }
            let copied = measure_copy(broker, prefix, &loaded);
            eprintln!("round {round}, bare copy:       {copied}");
            let ran = measure_run(program, broker, prefix, &loaded);
            eprintln!("round {round}, mailjournal run: {ran}");
            (copied, ran)
        })
    }

    fn latency(&mut self, load: &Load, rate: f64) -> [latency::Latency; 2] {
        self.on_new_topics(load.partitions, |broker, program, prefix| {
            let mut run = mailjournal(program, broker, prefix);
            run.arg("run").env("MAILJOURNAL_CORRELATE_SETTLE", "0s");
            latency::measure(&broker.address, prefix, run, load, rate)
        })
    }

    /// What is published is soon forgotten, so that after a few minutes as much goes as comes.
    fn soak(&mut self, load: &Load, rate: f64, minutes: u64) {
        const WAITS: [(&str, &str); 4] = [("SETTLE", "0s"), ("QUIET", "10s"), ("PATIENCE", "20s"), ("REMEMBER", "60s")];
        self.on_new_topics(load.partitions, |broker, program, prefix| {
            let run = |instance: &str| {
                let mut run = mailjournal(program, broker, prefix);
                run.arg("run").env("MAILJOURNAL_KAFKA_INSTANCE", instance);
                run.envs(WAITS.map(|(name, value)| (format!("MAILJOURNAL_CORRELATE_{name}"), value)));
                run
            };
            soak::soak(&broker.address, prefix, run, load, rate, minutes);
        });
    }
}

fn measure_copy(broker: &mut Broker, prefix: &str, loaded: &Loaded) -> Figures {
    let mut command = mailjournal(&std::env::current_exe().expect("this program"), broker, prefix);
    command.env("MAILJOURNAL_KAFKA_GROUP", copy::group(prefix)).args(["copy", prefix]);
    let watched = Watched { group: copy::group(prefix), outputs: vec![copy::output(prefix)] };
    let figures = measure::until_done(broker, prefix, start(command), &watched, loaded);
    let copied = kafka::count_committed(&broker.address, &copy::output(prefix));
    assert_eq!(copied, loaded.arrivals, "the bare copy copied each arrival once");
    figures
}

fn measure_run(program: &Path, broker: &mut Broker, prefix: &str, loaded: &Loaded) -> Figures {
    let mut command = mailjournal(program, broker, prefix);
    command.arg("run");
    let outputs = ["journal.archive", "journal.ledger"].map(|name| format!("{prefix}{name}"));
    let watched = Watched { group: format!("{prefix}mailjournal"), outputs: outputs.to_vec() };
    let figures = measure::until_done(broker, prefix, start(command), &watched, loaded);
    measure::check_ledger(&broker.address, prefix, loaded);
    figures
}

/// The program, or the copy, with the settings of this run and with no others.
fn mailjournal(program: &Path, broker: &Broker, prefix: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAILJOURNAL_")) {
        command.env_remove(name);
    }
    command
        .env("MAILJOURNAL_KAFKA_BROKERS", &broker.address)
        .env("MAILJOURNAL_KAFKA_GROUP", format!("{prefix}mailjournal"))
        .env("MAILJOURNAL_KAFKA_INSTANCE", "bench")
        .env("MAILJOURNAL_TOPICS_PREFIX", prefix)
        .env("MAILJOURNAL_TELEMETRY_LISTEN", "127.0.0.1:0")
        .env("RUST_LOG", "warn");
    command
}

fn start(mut command: Command) -> Running {
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("the program that is measured"))
}

/// A process that is ended with this value.
struct Running(Child);

impl Running {
    /// Asks the process to end (SIGTERM), so that it leaves its group.
    fn stop(mut self) {
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()), "the program that is measured ended by itself");
        support::wait_until("the end of the program that is measured", Duration::from_secs(20), || {
            self.0.try_wait().is_ok_and(|ended| ended.is_some())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
