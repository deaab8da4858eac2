//! How a run is asked for: our own options, and what `cargo test` gives every test binary.

use std::{
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Faults(usize),
    /// From the start of the program to the beginning of the last fault.
    Time(Duration),
}

pub struct Arguments {
    pub seed: u64,
    pub length: Length,
}

/// With the start of the cluster and the comparison at the end, about three minutes.
const SHORT: Length = Length::Time(Duration::from_secs(135));

const NAME: &str = "chaos";

const USAGE: &str = "\
Usage: cargo test --release --test chaos -- [--seed N] [--faults N | --minutes N]
Without a length it takes about three minutes; without a seed it draws one and prints it.";

impl Arguments {
    /// Nothing where this run is not meant: where a filter names other tests, or the tests are to be listed.
    pub fn of(given: impl Iterator<Item = String>) -> Result<Option<Arguments>, String> {
        let mut given = given;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut arguments = Arguments { seed: now.as_secs() % 1_000_000, length: SHORT };
        let (mut filters, mut skipped, mut listed) = (Vec::new(), false, false);
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
            match argument.as_str() {
                "--seed" => arguments.seed = number(&value()?)?,
                "--faults" => arguments.length = Length::Faults(number(&value()?)?),
                "--minutes" => {
                    let minutes: f64 = number(&value()?)?;
                    arguments.length = Length::Time(Duration::from_secs_f64(60.0 * minutes.clamp(0.0, 10_000.0)));
                }
                // What libtest knows, as far as it means something for one test.
                "--list" => listed = true,
                "--ignored" => skipped = true,
                "--skip" => skipped |= NAME.contains(&value()?),
                "--test-threads" | "--format" | "--color" => drop(value()?),
                "--nocapture" | "--no-capture" | "--show-output" | "--exact" | "--include-ignored" | "-q"
                | "--quiet" => {}
                option if option.starts_with('-') => return Err(format!("unknown option {option}\n{USAGE}")),
                filter => filters.push(filter.to_owned()),
            }
        }
        if listed {
            println!("{NAME}: test");
            return Ok(None);
        }
        if skipped || !(filters.is_empty() || filters.iter().any(|filter| NAME.contains(filter.as_str()))) {
            println!("{NAME}: not asked for");
            return Ok(None);
        }
        Ok(Some(arguments))
    }

    /// What runs the same faults again.
    pub fn command(&self) -> String {
        let length = match self.length {
            Length::Faults(count) => format!("--faults {count}"),
            Length::Time(time) => format!("--minutes {}", time.as_secs_f64() / 60.0),
        };
        format!("cargo test --release --test chaos -- --seed {} {length}", self.seed)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number\n{USAGE}"))
}
