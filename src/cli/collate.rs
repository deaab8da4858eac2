//! `mailjournal collate`: files in, files out.

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use super::{Context, Failure, counted};
use crate::files::{self, CollateOptions, FilesError, Progress, Stage, Summary};

/// Merges the journal reports and envelope events that lie in files, without Kafka.
///
/// PATH is a folder of mails (with all folders below it), an arrivals folder (mails with an arrivals.jsonl or
/// envelopes.jsonl beside them), a Maildir, an mbox file, one mail, or a file of envelope events (.jsonl).
///
/// Stopped at any moment and started again with the same arguments, it goes on and ends in the same output. Until it has
/// ended, the files in DIR may run ahead of what counts; after a kill they stay so until it is started again, which cuts
/// them back. After Ctrl-C and after any error they are cut back at once.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Collate {
    /// Folders, Maildirs, mbox files, mails.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder to write to: archive.jsonl, ndr.jsonl, activity.jsonl, ledger.jsonl, rejected.jsonl, originals/ and
    /// rejected/. New or empty, or that of the same collate before.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The mbox files are mboxrd: take one `>` off each body line that begins with `>From `, `>>From ` and so on. Without
    /// it the bytes are taken as they lie, since no mbox tells its dialect.
    #[arg(long)]
    mboxrd: bool,
    /// Commit after so many arrivals: fewer lose less work to a kill, more run faster.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[arg(default_value_t = CollateOptions::default().commit_arrivals_max)]
    commit_every: u64,
}

const EXAMPLES: &str = "\
Examples:
  mailjournal collate export/ --out records
  mailjournal collate 2024.mbox 2025.mbox ~/Maildir --out records
  MAILJOURNAL_CORRELATE_QUIET=10m mailjournal collate export/ --out records

Read the records with `jq . records/archive.jsonl`; what became of each mail is in records/ledger.jsonl.";

impl Collate {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let settings = context.settings()?;
        let options = CollateOptions {
            timing: settings.timing,
            archive_format: settings.archive_format,
            mboxrd: self.mboxrd,
            commit_arrivals_max: self.commit_every,
            ..CollateOptions::default()
        };
        for signal in [SIGINT, SIGTERM] {
            // The second one ends the process at once: that costs nothing but what is redone.
            flag::register_conditional_default(signal, options.stop.clone())
                .and_then(|_| flag::register(signal, options.stop.clone()))
                .map_err(|error| Failure::Failed(format!("signals cannot be listened to: {error}")))?;
        }
        let mut teller = Teller::new();
        let done = files::collate(&self.paths, &self.out, options, &mut |progress| teller.tell(progress));
        teller.end();
        let summary = done?;
        context.write(|out| write_summary(out, &summary, &self.out))
    }
}

impl From<FilesError> for Failure {
    fn from(error: FilesError) -> Failure {
        match error {
            FilesError::Usage(text) => Failure::Usage(text),
            FilesError::Failed(text) => Failure::Failed(text),
        }
    }
}

fn write_summary(out: &mut dyn Write, summary: &Summary, folder: &std::path::Path) -> io::Result<()> {
    let Summary { arrivals, merged, duplicates, notices, rejected, records, incomplete, superseded, skipped, .. } =
        *summary;
    let complete = records - incomplete - superseded;
    let folder = folder.display();
    if summary.already_done {
        writeln!(out, "{folder} was finished before; nothing was left to do.")?;
    }
    let (arrived, noticed) = (counted(arrivals, "arrival"), counted(notices, "notice"));
    let repeated = counted(duplicates, "duplicate");
    writeln!(out, "{arrived}: {merged} merged, {repeated}, {noticed}, {rejected} rejected")?;
    if summary.dispositions() == arrivals {
        writeln!(out, "The ledger adds up: every arrival has one disposition.")?;
    } else {
        writeln!(out, "THE LEDGER DOES NOT ADD UP: {} dispositions.", summary.dispositions())?;
    }
    let revisions = counted(records, "revision");
    writeln!(out, "{revisions} of records: {complete} complete, {incomplete} incomplete, {superseded} superseded")?;
    if skipped > 0 {
        let skipped = counted(skipped, "file");
        writeln!(out, "Passed over: {skipped}, hidden, links to folders or to nowhere, or a Maildir's own notes")?;
    }
    writeln!(out, "Output: {folder} (archive.jsonl, originals/, ledger.jsonl, rejected.jsonl)")
}

/// Tells a person how far it has come: a bar on a terminal, a line now and then off one.
struct Teller {
    bar: Option<ProgressBar>,
    last: Instant,
    stage: Stage,
}

/// Between two lines: seldom enough for a log, often enough to see that it lives.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Teller {
    fn new() -> Teller {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(0).with_style(style(WAITING)));
        Teller { bar, last: Instant::now(), stage: Stage::Finding }
    }

    fn tell(&mut self, progress: Progress) {
        let begun = std::mem::replace(&mut self.stage, progress.stage) != progress.stage;
        let Some(bar) = &self.bar else {
            if begun || self.last.elapsed() >= LINE_EVERY {
                self.last = Instant::now();
                // A log that cannot be written is no reason to stop.
                let _ = writeln!(io::stderr(), "{}", line(&progress));
            }
            return;
        };
        bar.set_message(line(&progress));
        if begun {
            bar.set_style(style(if progress.stage == Stage::Reading { READING } else { WAITING }));
            bar.set_length(progress.arrivals_total);
        }
        bar.set_position(progress.arrivals);
        bar.tick();
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Both stay on one line, however narrow the terminal.
const WAITING: &str = "{spinner} {wide_msg}";
const READING: &str = "{bar:16} {percent:>3}% {wide_msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn line(progress: &Progress) -> String {
    let Progress { stage, arrivals, arrivals_total, records, .. } = progress;
    match stage {
        Stage::Finding => format!("{} found", counted(*arrivals, "arrival")),
        Stage::Reading => format!("{arrivals} of {arrivals_total} arrivals read, {}", counted(*records, "record")),
        Stage::Closing => format!("all read; closing what is open, {}", counted(*records, "record")),
    }
}
