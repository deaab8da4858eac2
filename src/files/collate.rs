//! The loop around the turns.

use std::path::{Path, PathBuf};

use super::{
    ENVELOPES_TOPIC, FilesError, Progress, REPORTS_TOPIC, STRAYS_TOPIC, Stage, Summary,
    changelog::COMPACT_BYTES_MIN,
    disk::{Disk, Fault},
    index::{Cursor, Index},
    read::{Read, Reader},
    write::{self, Opened, Opening, Writer},
};
use crate::{
    arrival::{Arrival, Input, Timestamp},
    correlate::{Rules, Timing, TopicNames},
    evidence::Rejection,
    record::{Disposition, LedgerRow, ValueBytesMax},
    turn::{self, ArchiveFormat, Encoding, Outgoing, Tasks, TurnOutput, TurnRules, publish},
};

/// How to collate.
pub struct CollateOptions {
    pub timing: Timing,
    pub archive_format: ArchiveFormat,
    /// Undo the quoting of mboxrd: one `>` less before `From ` at the beginning of a line. Otherwise an mbox's bytes
    /// are taken as they lie.
    pub mboxrd: bool,
    /// Whether what is committed is to survive a power failure, not only the end of the process.
    pub durable: bool,
    /// Arrivals between two commits, at most.
    pub commit_arrivals_max: u64,
    /// Bytes read and put out between two commits; one turn may go beyond.
    pub commit_bytes_max: u64,
    /// The size below which the changelog of drafts is never rewritten, bytes.
    pub compact_bytes_min: u64,
    /// For tests: fails a change to the disk.
    pub fault: Option<Fault>,
}

impl Default for CollateOptions {
    fn default() -> CollateOptions {
        CollateOptions {
            timing: Timing::default(),
            archive_format: ArchiveFormat::Record,
            mboxrd: false,
            durable: true,
            // Half a second's work: what a kill costs, against a commit's few dozen milliseconds.
            commit_arrivals_max: 20_000,
            commit_bytes_max: 128 << 20,
            compact_bytes_min: COMPACT_BYTES_MIN,
            fault: None,
        }
    }
}

/// Arrivals of one turn: enough to keep every core parsing.
const TURN_ARRIVALS_MAX: usize = 1_000;
/// Bytes of one turn's arrivals, to bound memory; a larger mail is a turn alone.
const TURN_BYTES_MAX: usize = 32 << 20;
/// Recent arrivals kept at hand for records that close soon, bytes.
const RECENT_BYTES_MAX: usize = 64 << 20;

/// Merges the arrivals below `inputs` into the output folder `out`; begun before, it goes on from the last commit.
///
/// `report` is told how far it has come, a few hundred times at most a second.
pub fn collate(
    inputs: &[PathBuf],
    out: &Path,
    mut options: CollateOptions,
    report: &mut dyn FnMut(Progress),
) -> Result<Summary, FilesError> {
    if inputs.is_empty() {
        return Err(FilesError::Usage("no input: name folders of mails, mbox files or mails".into()));
    }
    let index = Index::build(inputs, out, &manner(&options), report)?;
    let rules = turn_rules(&options);
    let mut tasks = Tasks::new(rules.clone());
    tasks.assign(PARTITION);
    let disk = Disk { durable: options.durable, fault: options.fault.take() };
    let opening = Opening {
        folder: out,
        fingerprint: &index.fingerprint,
        archive_format: options.archive_format,
        compact_bytes_min: options.compact_bytes_min,
    };
    let restore = |key: &[u8], value: Option<&[u8]>| tasks.restore(PARTITION, key, value);
    let writer = match Writer::open(&opening, disk, restore)? {
        Opened::Finished(summary) => return Ok(Summary { already_done: true, ..summary }),
        Opened::Writing(writer) => writer,
    };
    tasks.restored(PARTITION).map_err(|error| FilesError::Failed(error.to_string()))?;
    let bytes_total = index.bytes();
    let mut run = Run {
        cursor: writer.commit.read,
        now: writer.commit.now,
        reader: Reader::new(index, options.mboxrd),
        rules,
        tasks,
        writer: *writer,
        options,
        bytes_read: 0,
        bytes_total,
        arrivals_uncommitted: 0,
        report,
    };
    run.writer.commit.summary.skipped = run.reader.index.skipped;
    run.run_to_the_end()?;
    run.writer.finish(run.cursor, run.now)
}

/// All input is one partition.
const PARTITION: i32 = 0;

fn turn_rules(options: &CollateOptions) -> TurnRules {
    let topic_names =
        TopicNames { reports: REPORTS_TOPIC.into(), envelopes: ENVELOPES_TOPIC.into(), strays: STRAYS_TOPIC.into() };
    TurnRules {
        rules: Rules {
            timing: options.timing,
            topic_names,
            value_bytes_max: ValueBytesMax::default(),
            archive_format: options.archive_format,
        },
        partitions: 1,
        encoding: Encoding::Json,
        recent_bytes_max: RECENT_BYTES_MAX,
    }
}

/// What decides the output besides the input.
fn manner(options: &CollateOptions) -> String {
    format!("{:?} {:?} mboxrd={}", options.timing, options.archive_format, options.mboxrd)
}

/// The arrivals of one turn.
#[derive(Default)]
struct Batch {
    arrivals: Vec<Arrival>,
    /// Lines that are no envelope events.
    rejected: Vec<(Arrival, Rejection)>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.arrivals.len() + self.rejected.len() < TURN_ARRIVALS_MAX && self.bytes < TURN_BYTES_MAX
    }

    fn push(&mut self, read: Read) {
        self.bytes += read.arrival.bytes.len();
        match read.rejection {
            Some(rejection) => self.rejected.push((read.arrival, rejection)),
            None => self.arrivals.push(read.arrival),
        }
    }
}

struct Run<'a> {
    cursor: Cursor,
    /// How far time has run.
    now: Timestamp,
    reader: Reader,
    rules: TurnRules,
    tasks: Tasks,
    writer: Writer,
    options: CollateOptions,
    bytes_read: u64,
    bytes_total: u64,
    arrivals_uncommitted: u64,
    report: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    fn run_to_the_end(&mut self) -> Result<(), FilesError> {
        while let Some(floor) = self.reader.index.floor(self.cursor) {
            self.run_time(floor)?;
            let batch = self.next_batch(floor)?;
            self.arrivals_uncommitted += (batch.arrivals.len() + batch.rejected.len()) as u64;
            self.take(batch)?;
            self.commit_if_due()?;
            self.tell(Stage::Reading);
        }
        self.run_time(Timestamp(i64::MAX))
    }

    /// Lets time run up to `until`, one due time after the other.
    fn run_time(&mut self, until: Timestamp) -> Result<(), FilesError> {
        while let Some(due) = self.tasks.poll_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn(Vec::new(), self.now, true)?;
            if self.commit_if_due()? {
                self.tell(Stage::Closing);
            }
        }
        Ok(())
    }

    /// The arrivals of one turn: while it lasts, nothing falls due before the time of what is still unread.
    fn next_batch(&mut self, floor: Timestamp) -> Result<Batch, FilesError> {
        let mut batch = Batch::default();
        let mut due = self.tasks.poll_deadline().unwrap_or(Timestamp(i64::MAX));
        let mut floor = Some(floor);
        while batch.has_room() && floor.is_some_and(|floor| floor < due) {
            let Some(read) = self.reader.next(&mut self.cursor)? else { break };
            let settled = read.arrival.at.plus(self.options.timing.settle);
            due = due.min(settled.max(Timestamp(read.arrival.at.0.saturating_add(1))));
            batch.push(read);
            floor = self.reader.index.floor(self.cursor);
        }
        self.bytes_read += batch.bytes as u64;
        Ok(batch)
    }

    /// A turn that takes arrivals in; no time passes in it.
    fn take(&mut self, batch: Batch) -> Result<(), FilesError> {
        let latest = batch.arrivals.iter().map(|arrival| arrival.at).max().unwrap_or(self.now);
        self.turn(batch.arrivals, self.now.max(latest), false)?;
        for (arrival, rejection) in &batch.rejected {
            self.reject(arrival, rejection)?;
        }
        Ok(())
    }

    /// A line that is no envelope event never becomes Avro, so no turn can take it.
    fn reject(&mut self, arrival: &Arrival, rejection: &Rejection) -> Result<(), FilesError> {
        let row = LedgerRow {
            topic: ENVELOPES_TOPIC.to_owned(),
            partition: PARTITION,
            offset: arrival.position.offset,
            disposition: Disposition::Rejected,
            record_id: None,
            reason: Some(rejection.to_string()),
            source: arrival.source.clone(),
        };
        let mut output = TurnOutput::default();
        output.outgoing.push(publish::rejected(arrival, rejection, ENVELOPES_TOPIC));
        publish::ledger(vec![row], &self.rules, &mut output);
        self.count(&turn::Counts { arrivals: 1, rejected: 1, ..turn::Counts::default() });
        output.outgoing.iter().try_for_each(|outgoing| self.write(outgoing))
    }

    /// One turn, written but not yet committed. Only where everything up to `wall` has been read is any input at its
    /// end: then the task's time is `wall`; otherwise the strays, of which there are never any, hold it back.
    fn turn(&mut self, arrivals: Vec<Arrival>, wall: Timestamp, at_end: bool) -> Result<(), FilesError> {
        let progress = [Input::Reports, Input::Envelopes, Input::Strays].map(|input| turn::Progress {
            input,
            partition: PARTITION,
            at_end,
        });
        let output = self.tasks.turn(arrivals, &progress, wall, &mut self.reader);
        self.reader.check()?;
        if output.counts.lost > 0 {
            return Err(FilesError::Failed(
                "an input file changed while it was read: begin again with a new --out".into(),
            ));
        }
        self.count(&output.counts);
        output.outgoing.iter().try_for_each(|outgoing| self.write(outgoing))
    }

    fn write(&mut self, outgoing: &Outgoing) -> Result<(), FilesError> {
        // What is rejected is kept as it came: an envelope event as its line, not as the Avro made of it.
        if let Some(position) = write::rejected_position(outgoing).filter(|position| position.input == Input::Envelopes)
            && let Some(entry) = self.reader.index.entry(position).copied()
        {
            let line = Outgoing { value: Some(self.reader.raw(&entry)?), ..outgoing.clone() };
            return self.writer.write(&line, &self.reader.index);
        }
        self.writer.write(outgoing, &self.reader.index)
    }

    fn count(&mut self, counts: &turn::Counts) {
        let summary = &mut self.writer.commit.summary;
        summary.arrivals += counts.arrivals;
        summary.merged += counts.merged;
        summary.duplicates += counts.duplicates;
        summary.notices += counts.notices;
        summary.rejected += counts.rejected;
        summary.records += counts.records;
        summary.incomplete += counts.incomplete;
        summary.superseded += counts.superseded;
    }

    fn commit_if_due(&mut self) -> Result<bool, FilesError> {
        let due = self.arrivals_uncommitted >= self.options.commit_arrivals_max
            || self.writer.uncommitted_bytes >= self.options.commit_bytes_max;
        if due {
            self.writer.commit(self.cursor, self.now)?;
            self.arrivals_uncommitted = 0;
        }
        Ok(due)
    }

    fn tell(&mut self, stage: Stage) {
        (self.report)(Progress {
            stage,
            arrivals: self.cursor.reports + self.cursor.envelopes,
            arrivals_total: self.reader.index.arrivals(),
            bytes: self.bytes_read,
            bytes_total: self.bytes_total,
            records: self.writer.commit.summary.records,
        });
    }
}
