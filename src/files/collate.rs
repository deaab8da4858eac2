//! The loop around the turns.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{
    ENVELOPES_TOPIC, FilesError, Progress, REPORTS_TOPIC, STRAYS_TOPIC, Stage, Summary,
    disk::{Disk, Fault},
    index::{Cursor, Index},
    read::{Read, Reader},
    write::{self, Opened, Opening, Writer},
};
use crate::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::{AwakeMax, Place, Rules, Timing, TopicNames, WorkMax},
    evidence::Rejection,
    limits,
    record::{Disposition, LedgerRow, ValueBytesMax},
    turn::{self, ArchiveFormat, Bodies, Encoding, Outgoing, Tasks, TurnOutput, TurnRules, publish},
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
    /// Set from outside, it ends the collate soon, with what it has done committed.
    pub stop: Arc<AtomicBool>,
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
            commit_arrivals_max: limits::FILES_COMMIT_ARRIVALS,
            commit_bytes_max: limits::FILES_COMMIT_BYTES,
            compact_bytes_min: limits::FILES_COMPACT_BYTES_MIN,
            stop: Arc::default(),
            fault: None,
        }
    }
}

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
    let index = Index::build(inputs, out, &manner(&options), &options.stop, report)?;
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
    let restore = |place, key: &[u8], value: Option<&[u8]>| tasks.restore(PARTITION, place, key, value);
    let writer = match Writer::open(&opening, disk, restore)? {
        Opened::Finished(summary) => return Ok(Summary { already_done: true, ..summary }),
        Opened::Writing(writer) => writer,
    };
    tasks.restored(PARTITION).map_err(|error| FilesError::Failed(error.to_string()))?;
    let mut run = Run {
        cursor: writer.commit.read,
        now: writer.commit.now,
        reader: Reader::new(index, options.mboxrd),
        rules,
        tasks,
        writer: *writer,
        options,
        arrivals_uncommitted: 0,
        report,
    };
    run.writer.commit.summary.skipped = run.reader.index.skipped;
    let done = run.run_to_the_end();
    done.map_err(|error| run.last_good_state(error))
}

/// All input is one partition.
pub const PARTITION: i32 = 0;

fn turn_rules(options: &CollateOptions) -> TurnRules {
    let topic_names =
        TopicNames { reports: REPORTS_TOPIC.into(), envelopes: ENVELOPES_TOPIC.into(), strays: STRAYS_TOPIC.into() };
    TurnRules {
        passed_on_bytes_max: None,
        rules: Rules {
            timing: options.timing,
            topic_names,
            value_bytes_max: ValueBytesMax::default(),
            archive_format: options.archive_format,
            awake_max: AwakeMax::default(),
            work_max: WorkMax::default(),
        },
        partitions: 1,
        encoding: Encoding::Json,
        recent_bytes_max: limits::FILES_RECENT_BYTES_MAX,
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
        self.arrivals.len() + self.rejected.len() < limits::FILES_TURN_ARRIVALS_MAX
            && self.bytes < limits::FILES_TURN_BYTES_MAX
    }

    fn push(&mut self, read: Read) {
        self.bytes += read.arrival.bytes.len();
        match read.rejection {
            Some(rejection) => self.rejected.push((read.arrival, rejection)),
            None => self.arrivals.push(read.arrival),
        }
    }
}

/// What was read and written earlier.
struct Lying<'a> {
    reader: &'a mut Reader,
    writer: &'a mut Writer,
    failure: Option<FilesError>,
}

impl Bodies for Lying<'_> {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        self.reader.fetch(wanted)
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        self.writer.read_drafts(places).map_err(|error| {
            let why = error.to_string();
            self.failure = Some(error);
            why
        })
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
    arrivals_uncommitted: u64,
    report: &'a mut dyn FnMut(Progress),
}

impl Run<'_> {
    fn run_to_the_end(&mut self) -> Result<Summary, FilesError> {
        while let Some(floor) = self.reader.index.floor(self.cursor) {
            self.run_time(floor, Tasks::poll_change)?;
            let batch = self.next_batch(floor)?;
            self.arrivals_uncommitted += (batch.arrivals.len() + batch.rejected.len()) as u64;
            self.take(batch)?;
            self.commit_if_due()?;
            self.tell(Stage::Reading);
            self.stop_if_asked()?;
        }
        // Nothing comes any more that it would matter to what is still remembered.
        self.run_time(Timestamp(i64::MAX), Tasks::poll_deadline)?;
        self.writer.finish(self.cursor, self.now)
    }

    /// Cuts the output back to its last commit, and says in the error how far that is.
    fn last_good_state(&mut self, error: FilesError) -> FilesError {
        let total = self.reader.index.arrivals();
        let state = match self.writer.cut_back() {
            Ok(commit) => {
                let read = commit.read.reports + commit.read.envelopes;
                format!("The output is as its last commit left it: {read} of {total} arrivals are in it.")
            }
            Err(why) => format!(
                "The output could not be cut back to its last commit, and its files may say more than counts; \
                 running the same command again cuts them back ({why})."
            ),
        };
        match error {
            FilesError::Usage(text) => FilesError::Usage(format!("{text}. {state}")),
            FilesError::Failed(text) => FilesError::Failed(format!("{text}. {state}")),
        }
    }

    /// Lets time run up to `until`, one due time after the other: what else there is to do has no say in it.
    fn run_time(&mut self, until: Timestamp, next: fn(&Tasks) -> Option<Timestamp>) -> Result<(), FilesError> {
        while let Some(due) = next(&self.tasks).filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.turn(Vec::new(), self.now, true)?;
            if self.commit_if_due()? {
                let all_read = self.reader.index.floor(self.cursor).is_none();
                self.tell(if all_read { Stage::Closing } else { Stage::Reading });
            }
            self.stop_if_asked()?;
        }
        Ok(())
    }

    fn stop_if_asked(&mut self) -> Result<(), FilesError> {
        if !self.options.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.writer.commit(self.cursor, self.now)?;
        Err(FilesError::Failed("stopped, as asked: run the same command again and it goes on".into()))
    }

    /// The arrivals of one turn: while it lasts, nothing falls due before the time of what is still unread.
    fn next_batch(&mut self, floor: Timestamp) -> Result<Batch, FilesError> {
        let mut batch = Batch::default();
        // None: nothing is due, not even at the end of time.
        let mut due = self.tasks.poll_change();
        let mut floor = Some(floor);
        while batch.has_room() && floor.is_some_and(|floor| due.is_none_or(|due| floor < due)) {
            let Some(read) = self.reader.next(&mut self.cursor)? else { break };
            let settled = read.arrival.at.plus(self.options.timing.settle);
            let settled = settled.max(Timestamp(read.arrival.at.0.saturating_add(1)));
            due = Some(due.map_or(settled, |due| due.min(settled)));
            batch.push(read);
            floor = self.reader.index.floor(self.cursor);
        }
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
        output.outgoing.push(publish::rejected(arrival, rejection, ENVELOPES_TOPIC, None));
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
        let mut lying = Lying { reader: &mut self.reader, writer: &mut self.writer, failure: None };
        let output = self.tasks.turn(arrivals, &progress, wall, &mut lying);
        if let Some(failure) = lying.failure {
            return Err(failure);
        }
        self.reader.check()?;
        let output = output.map_err(|unreadable| FilesError::Failed(unreadable.to_string()))?;
        if output.counts.lost > 0 {
            return Err(FilesError::Failed(
                "an input file changed while this collate ran: begin again with a new --out".into(),
            ));
        }
        self.count(&output.counts);
        output.outgoing.iter().try_for_each(|outgoing| self.write(outgoing))?;
        self.tasks.handle_written(output.number, &self.writer.take_placed());
        Ok(())
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
            if self.writer.commit(self.cursor, self.now)? {
                self.restore()?;
            }
            self.arrivals_uncommitted = 0;
        }
        Ok(due)
    }

    /// Goes on as after a stop: every draft lies elsewhere.
    fn restore(&mut self) -> Result<(), FilesError> {
        self.tasks = Tasks::new(self.rules.clone());
        self.tasks.assign(PARTITION);
        self.writer.restore(|place, key, value| self.tasks.restore(PARTITION, place, key, value))?;
        self.tasks.restored(PARTITION).map_err(|error| FilesError::Failed(error.to_string()))
    }

    fn tell(&mut self, stage: Stage) {
        (self.report)(Progress {
            stage,
            arrivals: self.cursor.reports + self.cursor.envelopes,
            arrivals_total: self.reader.index.arrivals(),
            records: self.writer.commit.summary.records,
        });
    }
}
