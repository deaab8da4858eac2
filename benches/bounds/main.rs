//! What the rooms need where there is very much of something: memory and time, without a broker. Linux only.
//!
//! `cargo bench --no-default-features --bench bounds` measures every case, each in a process of its own; names of cases
//! behind `--` choose, and `NAME=COUNT` sets how much there is.

#[allow(dead_code)]
#[path = "../rooms/load.rs"]
mod load;
mod memory;
#[allow(dead_code)]
#[path = "../rooms/restore.rs"]
mod restore;
mod shell;
#[allow(dead_code)]
#[path = "../rooms/turn.rs"]
mod turn;

use std::{
    env,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::AwakeMax,
    limits,
};

use memory::Memory;
use shell::Shell;

/// Something of which there is very much.
struct Case {
    name: &'static str,
    /// How much, where nobody says otherwise.
    count: usize,
    measure: fn(usize),
}

const CASES: [Case; 5] = [
    Case { name: "drafts", count: 10_000_000, measure: drafts },
    Case { name: "recipients", count: 1_000_000, measure: recipients },
    Case { name: "large", count: 50, measure: large },
    Case { name: "one-id", count: 1_000_000, measure: one_id },
    Case { name: "ids", count: 10_000_000, measure: ids },
];

/// 2026-03-02T08:00:00Z.
const MORNING: Timestamp = Timestamp(1_772_438_400_000);

/// Arrivals of one turn at most, as `run` has them.
const TURN: usize = limits::TURN_ARRIVALS_MAX;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let Some(chosen) = env::var_os("MAILJOURNAL_BOUNDS_CASE") {
        let chosen = chosen.into_string().expect("as it was set below");
        let (name, count) = chosen.split_once('=').expect("as it was set below");
        let case = CASES.into_iter().find(|case| case.name == name).expect("as it was set below");
        (case.measure)(count.parse().expect("a count"));
        return ExitCode::SUCCESS;
    }
    for Case { name, count: usual, .. } in CASES {
        let chosen = arguments.iter().find(|argument| argument.split('=').next() == Some(name));
        if chosen.is_none() && !arguments.is_empty() {
            continue;
        }
        let count = chosen.and_then(|chosen| chosen.split_once('=')).map_or(usual.to_string(), |(_, n)| n.to_owned());
        println!("{name}, {count}");
        let itself = env::current_exe().expect("this program");
        let run = Command::new(itself).env("MAILJOURNAL_BOUNDS_CASE", format!("{name}={count}")).status();
        if !run.is_ok_and(|status| status.success()) {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// So many remembered drafts and a tenth of them open, from the changelog on: restored, asked for, closed.
fn drafts(remembered: usize) {
    let (open, late) = (remembered / 10, TURN.min(remembered / 10));
    let mut memory = Memory::begin();
    let mut shell = Shell::with_drafts(AwakeMax::default(), remembered + open, open);
    memory.tell("restored", shell.says());
    // A piece for every other message: all over the changelog.
    let step = remembered / late;
    let arrivals = (0..late).map(|number| shell.late_copy(open + number * step, number));
    let arrivals: Vec<Arrival> = arrivals.collect();
    shell.turn(arrivals, load::END, false);
    memory.tell(&format!("{late} late pieces taken"), shell.says());
    shell.run_on(load::END.plus(Duration::from_secs(3600)));
    memory.tell("all closed", shell.says());
}

/// One report that names so many recipients.
fn recipients(count: usize) {
    let mut shell = Shell::new(AwakeMax { open: 0, closed: 0, large_bytes: 0 });
    let mut memory = Memory::begin();
    let names = (0..count).map(|number| format!("To: r{number}@contoso.example\r\n"));
    shell.turn(vec![report(0, MORNING, "<all@contoso.example>", &names.collect::<String>())], MORNING, true);
    memory.tell("taken", shell.says());
    shell.run_on(load::END.plus(Duration::from_secs(3600)));
    memory.tell("closed", shell.says());
}

/// So many reports, ten minutes apart, that name 150,000 recipients each: messages that are large without their bodies.
fn large(count: usize) {
    let mut shell = Shell::new(AwakeMax::default());
    let mut memory = Memory::begin();
    for number in 0..count {
        let at = MORNING.plus(Duration::from_secs(600) * u32::try_from(number).expect("a day of them"));
        let names = (0..150_000).map(|name| format!("To: r{number}.{name}@contoso.example\r\n"));
        let report = report(number, at, &format!("<{number}@contoso.example>"), &names.collect::<String>());
        shell.turn(vec![report], at, true);
    }
    memory.tell("taken", shell.says());
    shell.run_on(load::END.plus(Duration::from_secs(3600)));
    memory.tell("closed", shell.says());
}

/// So many reports of one message, each with a recipient of its own, within a second.
fn one_id(count: usize) {
    let mut shell = Shell::new(AwakeMax { open: 0, closed: 0, large_bytes: 0 });
    let mut memory = Memory::begin();
    for begin in (0..count).step_by(TURN) {
        let reports = (begin..count.min(begin + TURN)).map(|number| {
            let name = format!("To: r{number}@contoso.example\r\n");
            report(number, MORNING, "<one@contoso.example>", &name)
        });
        shell.turn(reports.collect(), MORNING, true);
    }
    memory.tell("taken", shell.says());
    shell.run_on(load::END.plus(Duration::from_secs(3600)));
    memory.tell("closed", shell.says());
}

/// So many messages in an hour, a report each, as a busy instance takes them: a turn every 100 ms of their time.
fn ids(count: usize) {
    let mut shell = Shell::new(AwakeMax::default());
    let mut memory = Memory::begin();
    let a_turn = count.div_ceil(36_000);
    let mut told = Instant::now();
    for begin in (0..count).step_by(a_turn) {
        let at = MORNING.plus(Duration::from_millis(100) * u32::try_from(begin / a_turn).expect("an hour of turns"));
        let reports = (begin..count.min(begin + a_turn))
            .map(|number| report(number, at, &format!("<{number}@contoso.example>"), "To: b@contoso.example\r\n"));
        shell.turn(reports.collect(), at, true);
        if told.elapsed() > Duration::from_secs(60) {
            memory.tell(&format!("{} of {count}", begin + a_turn), shell.says());
            told = Instant::now();
        }
    }
    shell.run_on(load::END.plus(Duration::from_secs(3600)));
    memory.tell("all closed", shell.says());
}

/// A report of Exchange 2007 and later, of a small original. One report is never all the evidence: another server's may
/// come, and the record closes when it has been quiet.
fn report(number: usize, at: Timestamp, message_id: &str, recipients: &str) -> Arrival {
    let bytes = format!(
        "From: journal@contoso.example\r\nTo: archive@contoso.example\r\nMessage-ID: <report-{number}@contoso.example>\r\n\
         Date: Mon, 2 Mar 2026 08:00:00 +0000\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         Sender: a@contoso.example\r\nSubject: all\r\nMessage-Id: {message_id}\r\n{recipients}\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nMessage-ID: {message_id}\r\nFrom: a@contoso.example\r\n\
         To: b@contoso.example\r\nDate: Mon, 2 Mar 2026 07:59:59 +0000\r\nSubject: all\r\n\r\nall\r\n--b--\r\n"
    );
    arrival(number, at, bytes.into())
}

fn arrival(number: usize, at: Timestamp, bytes: Bytes) -> Arrival {
    let position = Position { input: Input::Reports, partition: 0, offset: i64::try_from(number).expect("a count") };
    Arrival::new(position, at, bytes)
}
