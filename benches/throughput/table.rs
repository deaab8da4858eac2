//! What a person reads at the end.

use crate::{load::Load, measure::Figures};

type Value = fn(&Figures) -> f64;

const COLUMNS: [(&str, usize, Value); 5] = [
    ("arrivals/s", 0, |figures| figures.arrivals_per_second),
    ("MB/s", 1, |figures| figures.megabytes_per_second),
    ("client CPU-s per 100,000 arrivals", 1, |figures| figures.cpu_seconds_per_100k),
    ("the broker's", 1, |figures| figures.broker_cpu_seconds_per_100k),
    ("peak RSS, MiB", 0, |figures| figures.peak_rss_mib),
];

/// Prints the medians of all rounds of one load.
pub fn print(load: &Load, rounds: &[(Figures, Figures)]) {
    println!("\n| {load}; median of {} | {} |", rounds.len(), COLUMNS.map(|(title, ..)| title).join(" | "));
    println!("|---|{}", "---:|".repeat(COLUMNS.len()));
    let copied = COLUMNS.map(|(.., value)| median(rounds.iter().map(|(copied, _)| value(copied))));
    let ran = COLUMNS.map(|(.., value)| median(rounds.iter().map(|(_, ran)| value(ran))));
    for (title, values) in [("(a) bare transactional copy", copied), ("(b) mailjournal run", ran)] {
        let cells: Vec<String> =
            COLUMNS.iter().zip(values).map(|((_, digits, _), value)| format!("{value:.digits$}")).collect();
        println!("| {title} | {} |", cells.join(" | "));
    }
    let ratios: Vec<String> = ran.iter().zip(copied).map(|(ran, copied)| format!("{:.2}", ran / copied)).collect();
    println!("| ratio (b)/(a) | {} |", ratios.join(" | "));
}

/// The median of what `run` did, arrivals a second.
pub fn rate(rounds: &[(Figures, Figures)]) -> f64 {
    median(rounds.iter().map(|(_, ran)| ran.arrivals_per_second))
}

/// The middle value; of an even number, the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
