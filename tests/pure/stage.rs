//! The stage of the stories: the real rooms as one instance runs them, its input topics, and the clock on the wall.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::{AwakeMax, Place, Rules, Timing, TopicNames, WorkMax},
    evidence::envelope_event::EnvelopeEvent,
    record::{ClosedBecause, JournalRecord, NonDelivery, Status, ValueBytesMax},
    sample::{Incoming, JOURNAL, What, report::ReportMail},
    turn::{ArchiveFormat, Bodies, Encoding, Output, Progress, Tasks, TurnRules},
};

use crate::support::laws::lying::Lying;

pub const SECOND: i64 = 1000;

/// The stories begin on a Monday morning: 2026-03-02T08:00:00Z.
pub const MONDAY: i64 = 1_772_438_400_000;

#[derive(Default)]
struct Memory {
    arrivals: HashMap<Position, Bytes>,
    drafts: Lying,
    /// No arrival's bytes can be had again.
    forgetful: bool,
}

impl Bodies for Memory {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        let bytes = |position| self.arrivals.get(position).filter(|_| !self.forgetful).cloned();
        wanted.iter().map(|position| bytes(position).ok_or_else(|| "no such arrival".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        self.drafts.fetch(places)
    }
}

/// One instance with all its tasks.
pub struct Stage {
    tasks: Tasks,
    bodies: Memory,
    partitions: i32,
    offsets: BTreeMap<(Input, i32), i64>,
    /// Input partitions with something left to read.
    pub backlog: Vec<(Input, i32)>,
    pub wall: Timestamp,
    pub records: Vec<JournalRecord>,
    pub non_deliveries: Vec<NonDelivery>,
    pub dispositions: Vec<String>,
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with_partitions(1)
    }

    pub fn with_partitions(partitions: i32) -> Stage {
        Stage::with(partitions, 1 << 20)
    }

    pub fn with(partitions: i32, recent_bytes_max: usize) -> Stage {
        let topic_names = TopicNames {
            reports: "journal.reports".into(),
            envelopes: "journal.envelopes".into(),
            strays: "journal.strays".into(),
        };
        let mut tasks = Tasks::new(TurnRules {
            passed_on_bytes_max: None,
            rules: Rules {
                timing: Timing::default(),
                topic_names,
                value_bytes_max: ValueBytesMax::default(),
                archive_format: ArchiveFormat::Record,
                awake_max: AwakeMax { open: 2, closed: 2, large_bytes: 2_000 },
                work_max: WorkMax::default(),
            },
            partitions,
            encoding: Encoding::Json,
            recent_bytes_max,
        });
        for partition in 0..partitions {
            tasks.assign(partition);
            tasks.restored(partition).expect("nothing is restored");
        }
        Stage {
            tasks,
            bodies: Memory::default(),
            partitions,
            offsets: BTreeMap::new(),
            backlog: Vec::new(),
            wall: Timestamp(MONDAY),
            records: Vec::new(),
            non_deliveries: Vec::new(),
            dispositions: Vec::new(),
        }
    }

    /// A report comes when it was written, and time has run up to then.
    pub fn report(&mut self, report: &ReportMail<'_>) {
        self.report_to(report, JOURNAL);
    }

    pub fn report_to(&mut self, report: &ReportMail<'_>, journal: &str) {
        self.run_until(report.at.0);
        let arrival = self.mail(0, report.at.0, report.bytes(), Some(report.server), journal);
        self.turn(vec![arrival]);
    }

    pub fn event(&mut self, event: &EnvelopeEvent) {
        self.run_until(event.at);
        let arrival = self.arrival(Input::Envelopes, 0, event.at, event.to_framed());
        self.turn(vec![arrival]);
    }

    pub fn incoming(&mut self, incoming: &Incoming) {
        self.run_until(incoming.at.0);
        let arrival = match &incoming.what {
            What::Event(event) => self.arrival(Input::Envelopes, 0, incoming.at.0, event.to_framed()),
            What::Mail(mail) => {
                let arrival = self.arrival(Input::Reports, 0, incoming.at.0, mail.bytes.clone());
                let journal_recipients = mail.journal_recipients.clone();
                Arrival { server: mail.server.clone(), journal_recipients, ..arrival }
            }
        };
        self.turn(vec![arrival]);
    }

    pub fn mail(&mut self, partition: i32, at: i64, bytes: Bytes, server: Option<&str>, journal: &str) -> Arrival {
        let arrival = self.arrival(Input::Reports, partition, at, bytes);
        Arrival { server: server.map(str::to_owned), journal_recipients: vec![journal.to_owned()], ..arrival }
    }

    pub fn arrival(&mut self, input: Input, partition: i32, at: i64, bytes: Bytes) -> Arrival {
        let next = self.offsets.entry((input, partition)).or_default();
        let position = Position { input, partition, offset: *next };
        *next += 1;
        self.bodies.arrivals.insert(position, bytes.clone());
        Arrival::new(position, Timestamp(at), bytes)
    }

    /// From now on no arrival's bytes can be had again, or all can.
    pub fn forget_bodies(&mut self, forgetful: bool) {
        self.bodies.forgetful = forgetful;
    }

    pub fn turn(&mut self, arrivals: Vec<Arrival>) {
        let inputs = [Input::Reports, Input::Envelopes, Input::Strays];
        let progress: Vec<Progress> = (0..self.partitions)
            .flat_map(|partition| inputs.map(|input| (input, partition)))
            .map(|(input, partition)| Progress {
                input,
                partition,
                at_end: !self.backlog.contains(&(input, partition)),
            })
            .collect();
        let output = self.tasks.turn(arrivals, &progress, self.wall, &mut self.bodies);
        let output = output.expect("what was written can be read again");
        self.tasks.handle_written(output.number, &self.bodies.drafts.take(&output.outgoing));
        for outgoing in output.outgoing {
            let value = outgoing.value.as_deref().unwrap_or_default();
            match outgoing.output {
                Output::Archive => self.records.push(serde_json::from_slice(value).expect("a record as JSON")),
                Output::Ndr => self.non_deliveries.push(serde_json::from_slice(value).expect("a notice as JSON")),
                Output::Ledger => {
                    let row: serde_json::Value = serde_json::from_slice(value).expect("a ledger row as JSON");
                    self.dispositions.push(row["disposition"].as_str().expect("a disposition").to_owned());
                }
                _ => {}
            }
        }
    }

    /// Time runs on; every draft that falls due closes at its time.
    pub fn run_until(&mut self, at: i64) {
        while let Some(due) = self.tasks.poll_deadline().filter(|due| due.0 <= at) {
            self.wall = self.wall.max(due);
            self.turn(Vec::new());
        }
        self.wall = Timestamp(at.max(self.wall.0));
        self.turn(Vec::new());
    }

    pub fn only_record(&self) -> &JournalRecord {
        assert_eq!(self.records.len(), 1, "{:#?}", self.records.iter().map(summary).collect::<Vec<_>>());
        &self.records[0]
    }

    /// Of each record what a story says: revision, status, because, seconds from the beginning to the closing.
    pub fn told(&self) -> Vec<(i32, Status, ClosedBecause, i64)> {
        self.records.iter().map(summary).collect()
    }
}

pub fn summary(record: &JournalRecord) -> (i32, Status, ClosedBecause, i64) {
    (record.revision, record.status, record.closed_because, (record.closed_at - MONDAY) / SECOND)
}
