//! How long recoveries took, by kind of fault.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use crate::faults::Kind;

/// One fault, and when what was given became visible on every partition.
pub struct Recovery {
    /// The kind; none where two came at once.
    pub kind: Option<Kind>,
    /// What was given as it began: from its beginning.
    pub from_begin: Duration,
    /// What was given once it had been mended: from then.
    pub from_end: Duration,
}

const HEAD: &str = "\
| fault | n | given as it begins: median | worst | given as it ends: median | worst |
|---|---:|---:|---:|---:|---:|
";

/// A Markdown table, seconds.
pub fn table(recoveries: &[Recovery]) -> String {
    let mut by_kind: BTreeMap<Option<Kind>, Vec<&Recovery>> = BTreeMap::new();
    for recovery in recoveries {
        by_kind.entry(recovery.kind).or_default().push(recovery);
    }
    // Two at once stand last.
    let pairs = by_kind.remove_entry(&None);
    let mut text = HEAD.to_owned();
    for (kind, of_kind) in by_kind.into_iter().chain(pairs) {
        row(&mut text, kind.map_or("two at once", Kind::name), &of_kind);
    }
    row(&mut text, "all", &recoveries.iter().collect::<Vec<_>>());
    text
}

fn row(text: &mut String, name: &str, recoveries: &[&Recovery]) {
    let begin = spread(recoveries.iter().map(|one| one.from_begin).collect());
    let end = spread(recoveries.iter().map(|one| one.from_end).collect());
    let _ = writeln!(text, "| {name} | {} | {begin} | {end} |", recoveries.len());
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let seconds =
        |time: Option<&Duration>| time.map_or_else(|| "–".to_owned(), |time| format!("{:.1}", time.as_secs_f64()));
    format!("{} | {}", seconds(times.get(times.len() / 2)), seconds(times.last()))
}
