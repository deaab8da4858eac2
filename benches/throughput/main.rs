//! How fast `mailjournal run` is, beside the least that any exactly-once program on Kafka must do.
//!
//! `cargo bench --bench throughput` starts its own Apache Kafka, loads a made-up organisation's journal, and has the same
//! input go through (a) a bare transactional copy and (b) `mailjournal run`, in turns. Both are processes of their own,
//! so that their CPU time and memory compare. The table is Markdown. Linux only: it reads /proc.

#[path = "../../tests/support/mod.rs"]
mod support;

mod copy;
mod load;
mod measure;
mod table;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::Parser;

use load::Loaded;
use measure::{Figures, Watched};
use support::{broker::Broker, kafka};

/// Partitions of every topic.
const PARTITIONS: i32 = 4;

#[derive(Parser)]
struct Arguments {
    /// How many million bytes of journal mails to load.
    #[arg(long, default_value_t = 300)]
    megabytes: usize,
    /// How often each of the two is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
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
    Copy { brokers: String, prefix: String },
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(ChildOf::Copy { brokers, prefix }) = arguments.child {
        return copy::run(&brokers, &prefix);
    }
    let broker = Broker::start_for_load();
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        let prefix = format!("round{round}.");
        // The names and settings of the topics are the product's own.
        let created = mailjournal(&arguments.mailjournal, &broker, &prefix).args(["topics", "create"]).output();
        let created = created.expect("mailjournal topics create");
        assert!(created.status.success(), "topics create: {}", String::from_utf8_lossy(&created.stderr));
        kafka::create_topic(&broker.address, &copy::output(&prefix), PARTITIONS, &[("max.message.bytes", "41943040")]);
        let loaded = load::load(&broker.address, &prefix, arguments.megabytes);
        if round == 1 {
            eprintln!("{loaded}");
        }
        let copied = measure_copy(&broker, &prefix, &loaded);
        eprintln!("round {round}, bare copy:       {copied}");
        let ran = measure_run(&arguments.mailjournal, &broker, &prefix, &loaded);
        eprintln!("round {round}, mailjournal run: {ran}");
        rounds.push((copied, ran));
        let names: Vec<String> = measure::topics(&prefix).chain([copy::output(&prefix)]).collect();
        kafka::delete_topics(&broker.address, &names.iter().map(String::as_str).collect::<Vec<_>>());
    }
    table::print(&rounds);
}

fn measure_copy(broker: &Broker, prefix: &str, loaded: &Loaded) -> Figures {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["copy", &broker.address, prefix]);
    let watched = Watched { group: copy::group(prefix), outputs: vec![copy::output(prefix)] };
    let figures = measure::until_done(&broker.address, prefix, start(command), &watched, loaded);
    let copied = kafka::count_committed(&broker.address, &copy::output(prefix));
    assert_eq!(copied, loaded.arrivals, "the bare copy copied each arrival once");
    figures
}

fn measure_run(program: &std::path::Path, broker: &Broker, prefix: &str, loaded: &Loaded) -> Figures {
    let mut command = mailjournal(program, broker, prefix);
    command.arg("run");
    let outputs = ["journal.archive", "journal.ledger"].map(|name| format!("{prefix}{name}"));
    let watched = Watched { group: format!("{prefix}mailjournal"), outputs: outputs.to_vec() };
    let figures = measure::until_done(&broker.address, prefix, start(command), &watched, loaded);
    measure::check_ledger(&broker.address, prefix, loaded);
    figures
}

/// The program with the settings of this run and with no others.
fn mailjournal(program: &std::path::Path, broker: &Broker, prefix: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MAILJOURNAL_")) {
        command.env_remove(name);
    }
    command
        .env("MAILJOURNAL_KAFKA_BROKERS", &broker.address)
        .env("MAILJOURNAL_KAFKA_GROUP", format!("{prefix}mailjournal"))
        .env("MAILJOURNAL_KAFKA_INSTANCE", "bench")
        .env("MAILJOURNAL_TOPICS_PREFIX", prefix)
        .env("MAILJOURNAL_TOPICS_PARTITIONS", PARTITIONS.to_string())
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
