//! Chaos on a real Apache Kafka of three brokers: three `mailjournal run` processes and a load whose truth is known, and
//! everything around them fails at random.
//!
//! `cargo test --release --test chaos -- --seed 7 --faults 300` replays one run's faults; without arguments it runs for
//! about three minutes with a seed of its own. Linux only.

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod disk;
mod faults;
mod follower;
mod leaders;
mod load;
mod table;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use mailjournal::record::{Disposition, JournalActivity, NonDelivery};

use arguments::{Arguments, Length};
use faults::{Fault, Faults, Kind};
use load::{Given, Probe};
use support::stream;
use table::Recovery;
use world::World;

/// After everything is mended, what was given has to come out within this: far above the worst that was seen, far below
/// what a person would wait.
const RECOVERED_WITHIN: Duration = Duration::from_secs(120);

/// Between two looks at what has come out.
const LOOK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let arguments = match Arguments::of(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    println!("chaos: {}", arguments.command());
    let begun = Instant::now();
    let mut world = None;
    let mut recoveries = Vec::new();
    let run = catch_unwind(AssertUnwindSafe(|| {
        let world = world.insert(World::start(arguments.seed));
        println!("{:>6.1}s three brokers and three instances run", begun.elapsed().as_secs_f64());
        break_things(world, &arguments, begun, &mut recoveries)?;
        expect_truth(world)
    }));
    let outcome = run.unwrap_or_else(|_| Err("the test itself failed; its message is above".to_owned()));
    println!("\n{}", table::table(&recoveries));
    match outcome {
        Ok(summary) => {
            println!("{summary}\nchaos: ok, {:.0} s", begun.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{}", arguments.seed));
            if let Some(world) = &world {
                println!("{}", world.keep_logs(&kept));
            }
            println!("chaos: FAILED\n{reason}\nlogs: {}\nreplay: {}", kept.display(), arguments.command());
            ExitCode::FAILURE
        }
    }
}

/// One fault after the other, or two at once, each until everything has recovered.
fn break_things(
    world: &mut World,
    arguments: &Arguments,
    begun: Instant,
    recoveries: &mut Vec<Recovery>,
) -> Result<(), String> {
    let mut first = world.load.probe();
    await_visible(world, &mut first, "what was given before anything was broken")?;
    println!("{:>6.1}s what is given comes out", begun.elapsed().as_secs_f64());
    let mut faults = Faults::of(arguments.seed);
    let mut done = 0;
    while match arguments.length {
        Length::Faults(count) => done < count,
        Length::Time(time) => begun.elapsed() < time,
    } {
        let mut drawn = faults.draw();
        done += drawn.len();
        let told: Vec<String> = drawn.iter().map(Fault::describe).collect();
        let told = told.join(" + ");
        println!("{:>6.1}s {done:>4} {told}", begun.elapsed().as_secs_f64());
        let recovery = strike(world, &mut drawn).map_err(|reason| format!("fault {done}, {told}: {reason}"))?;
        let Recovery { from_begin, from_end, .. } = &recovery;
        println!("             given as it began {from_begin:.1?}, as it ended {from_end:.1?}");
        recoveries.push(recovery);
    }
    Ok(())
}

/// Breaks, waits, mends, and waits until what was given meanwhile and afterwards is visible.
fn strike(world: &mut World, faults: &mut [Fault]) -> Result<Recovery, String> {
    let began = Instant::now();
    for fault in faults.iter_mut() {
        fault.begin(world)?;
    }
    let mut given_at_begin = world.load.probe();
    for fault in faults.iter() {
        let left = fault.lasts.saturating_sub(began.elapsed());
        if left > Duration::from_millis(1) {
            sleep(left);
        }
        if fault.kind == Kind::KilledAndTakenOver {
            await_visible(world, &mut given_at_begin, "the other instances' taking over")?;
        }
    }
    for fault in faults.iter_mut() {
        fault.end(world);
    }
    let ended = Instant::now();
    let mut given_at_end = world.load.probe();
    let from_begin = await_visible(world, &mut given_at_begin, "what was given as it began")?.duration_since(began);
    let from_end =
        await_visible(world, &mut given_at_end, "what was given as it ended")?.saturating_duration_since(ended);
    if faults.iter().any(Fault::is_of_a_broker) {
        world.wait_whole()?;
    }
    let kind = if let [only] = faults { Some(only.kind) } else { None };
    Ok(Recovery { kind, from_begin, from_end })
}

/// When the last of a probe's rows became visible.
fn await_visible(world: &mut World, probe: &mut Probe, what: &str) -> Result<Instant, String> {
    await_some(world, what, |world| world.visible(probe.places()?))
}

fn await_some<T>(world: &mut World, what: &str, mut look: impl FnMut(&mut World) -> Option<T>) -> Result<T, String> {
    let deadline = Instant::now() + RECOVERED_WITHIN;
    loop {
        world.check()?;
        if let Some(found) = look(world) {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {RECOVERED_WITHIN:?} for {what}"));
        }
        sleep(LOOK);
    }
}

/// All that was given has come out: each arrival has its row, each record is what `collate` makes of the same arrivals.
fn expect_truth(world: &mut World) -> Result<String, String> {
    let given = world.load.end();
    await_some(world, "the ledger rows of all that was given", |world| world.visible(&given.places))?;
    let expected = stream::collated(&given.arrivals);
    let (mut found, mut compared) = (BTreeMap::new(), None);
    let same = await_some(world, "the records", |world| {
        let seen = world.follower.seen();
        if compared.replace(seen.revisions) == Some(seen.revisions) {
            return None;
        }
        let records = seen.records.values().cloned().collect();
        found = stream::last_revisions(records);
        (found == expected).then_some(())
    });
    same.map_err(|reason| format!("{reason}: {}", difference(&found, &expected)))?;
    expect_ledger_adds_up(world, &given)?;
    expect_all_told(world, &given)?;
    world.end()?;
    let seen = world.follower.seen();
    Ok(format!(
        "{} arrivals, {} ledger rows, {} records in {} revisions with their activities, {} notices, {} rejected: all as \
         `collate` has it, nothing lost, nothing twice",
        given.arrivals.len(),
        seen.rows.len(),
        seen.records.len(),
        seen.revisions,
        seen.notices.len(),
        seen.rejected.len()
    ))
}

fn difference(found: &BTreeMap<String, serde_json::Value>, expected: &BTreeMap<String, serde_json::Value>) -> String {
    let keys = found.keys().chain(expected.keys());
    let differing: Vec<&String> = keys.filter(|key| found.get(*key) != expected.get(*key)).take(2).collect();
    let show = |value: Option<&serde_json::Value>| value.map_or("no record".to_owned(), |value| format!("{value:#}"));
    let shown = differing
        .iter()
        .map(|key| format!("{key}\nfound {}\nexpected {}", show(found.get(*key)), show(expected.get(*key))));
    format!(
        "{} records found, {} expected; they differ in\n{}",
        found.len(),
        expected.len(),
        shown.collect::<Vec<_>>().join("\n")
    )
}

/// Each record's activity is its own, and each notice that `collate` tells of is told.
fn expect_all_told(world: &mut World, given: &Given) -> Result<(), String> {
    let expected: BTreeSet<_> =
        stream::collated_values(&given.arrivals, "ndr").iter().map(|notice: &NonDelivery| notice.sha256).collect();
    // A reader may have a record before what was committed with it.
    await_some(world, "each record's activity, and what notices say", |world| {
        let seen = world.follower.seen();
        let own = seen.records.iter().all(|(id, record)| seen.activities.get(id) == Some(&JournalActivity::of(record)));
        (own && seen.activities.len() == seen.records.len() && seen.notices == expected).then_some(())
    })
}

/// Arrivals in = dispositions out: a row for each place that something was given at, and for each stray; no other.
fn expect_ledger_adds_up(world: &World, given: &Given) -> Result<(), String> {
    let seen = world.follower.seen();
    let strays = world.stream.topic("strays");
    let places: HashSet<_> = given.places.iter().collect();
    let unknown = seen.rows.keys().filter(|place| place.0 != strays && !places.contains(place)).count();
    let count = |wanted: Disposition| seen.rows.values().filter(|(disposition, _)| *disposition == wanted).count();
    let at_home = seen.rows.keys().filter(|place| place.0 == strays).count();
    let (moved, rejected) = (count(Disposition::Moved), count(Disposition::Rejected));
    if unknown > 0 || moved != at_home || rejected != seen.rejected.len() || places.len() != given.arrivals.len() {
        return Err(format!(
            "the ledger does not add up: {unknown} rows of what nobody gave; {moved} moved, {at_home} came home; \
             {rejected} rejected, {} in journal.rejected; {} places of {} arrivals",
            seen.rejected.len(),
            places.len(),
            given.arrivals.len()
        ));
    }
    Ok(())
}
