//! One task with its changelog and its archive in memory: the shell of the laws that need turns.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    avro::{self, Schema},
    correlate::{AwakeMax, Place, Rules, Timing, TopicNames, Unreadable, WorkMax},
    evidence::EnvelopeEvent,
    mail::Digest,
    record::{ArchiveFormat, JournalRecord, Status, ValueBytesMax},
    turn::{Bodies, Encoding, Output, Progress, RestoreError, Tasks, TurnRules},
};

use super::lying::{ALL_AWAKE, Lying};

/// When the arrivals of most laws come: 2026-03-02T08:00:00Z.
pub const MORNING: Timestamp = Timestamp(1_772_438_400_000);

pub struct Stage {
    pub tasks: Tasks,
    pub changelog: BTreeMap<Bytes, Bytes>,
    pub published: Vec<JournalRecord>,
    arrived: Arrived,
    awake_max: AwakeMax,
}

/// Every arrival that there was, at its position, and every draft that was written.
#[derive(Default)]
struct Arrived {
    arrivals: BTreeMap<Position, Bytes>,
    drafts: Lying,
}

impl Bodies for Arrived {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|position| self.arrivals.get(position).cloned().ok_or_else(|| "gone".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        self.drafts.fetch(places)
    }
}

pub fn rules(awake_max: AwakeMax) -> TurnRules {
    let topic_names = TopicNames {
        reports: "journal.reports".into(),
        envelopes: "journal.envelopes".into(),
        strays: "journal.strays".into(),
    };
    TurnRules {
        rules: Rules {
            timing: Timing::default(),
            topic_names,
            value_bytes_max: ValueBytesMax::default(),
            archive_format: ArchiveFormat::Record,
            awake_max,
            work_max: WorkMax::default(),
        },
        partitions: 1,
        passed_on_bytes_max: None,
        encoding: Encoding::Avro,
        recent_bytes_max: 0,
    }
}

/// A mail, or an envelope event as a line of JSON, at this place and time.
pub fn arrival(part: &[u8], offset: usize, at: Timestamp) -> Arrival {
    let event = EnvelopeEvent::from_json(part).ok();
    let input = if event.is_some() { Input::Envelopes } else { Input::Reports };
    let position = Position { input, partition: 0, offset: i64::try_from(offset).expect("a short input") };
    let bytes = event.map_or_else(|| Bytes::copy_from_slice(part), |event| event.to_framed());
    Arrival::new(position, at, bytes)
}

impl Stage {
    pub fn new() -> Stage {
        Stage::with(ALL_AWAKE)
    }

    /// One where no more drafts than this stay at hand.
    pub fn with(awake_max: AwakeMax) -> Stage {
        Stage::restored(BTreeMap::new(), awake_max).expect("nothing is restored")
    }

    pub fn restored(changelog: BTreeMap<Bytes, Bytes>, awake_max: AwakeMax) -> Result<Stage, RestoreError> {
        let mut tasks = Tasks::new(rules(awake_max));
        tasks.assign(0);
        let mut arrived = Arrived::default();
        changelog.iter().for_each(|(key, value)| {
            tasks.restore(0, arrived.drafts.put(value.clone()), key, Some(value));
        });
        tasks.restored(0)?;
        Ok(Stage { tasks, changelog, published: Vec::new(), arrived, awake_max })
    }

    /// Drops the task, and restores it from the changelog.
    pub fn restart(&mut self) {
        let again = self.again();
        (self.tasks, self.arrived.drafts) = (again.tasks, again.arrived.drafts);
    }

    /// What was restored from the changelog as it is now.
    pub fn again(&self) -> Stage {
        Stage::restored(self.changelog.clone(), self.awake_max).expect("what a task writes is restored")
    }

    /// One turn, behind which all topics are read to their ends. Conservation holds in it.
    pub fn turn(&mut self, arrivals: Vec<Arrival>, wall: Timestamp) {
        self.try_turn(arrivals, wall).expect("what was written can be read again");
    }

    /// A changelog that no task wrote may hold what shows only when it is read again.
    pub fn try_turn(&mut self, arrivals: Vec<Arrival>, wall: Timestamp) -> Result<(), Unreadable> {
        let came = arrivals.len();
        self.arrived.arrivals.extend(arrivals.iter().map(|arrival| (arrival.position, arrival.bytes.clone())));
        let progress = [Input::Reports, Input::Envelopes, Input::Strays];
        let progress = progress.map(|input| Progress { input, partition: 0, at_end: true });
        let output = self.tasks.turn(arrivals, &progress, wall, &mut self.arrived)?;
        self.tasks.handle_written(output.number, &self.arrived.drafts.take(&output.outgoing));
        let rows = output.outgoing.iter().filter(|outgoing| outgoing.output == Output::Ledger).count();
        assert_eq!(rows, came, "one disposition an arrival");
        for outgoing in output.outgoing {
            match (outgoing.output, outgoing.key, outgoing.value) {
                (Output::Drafts, Some(key), Some(value)) => drop(self.changelog.insert(key, value)),
                (Output::Drafts, Some(key), None) => drop(self.changelog.remove(&key)),
                (Output::Archive, _, Some(value)) => self.published.push(read_archived(&value)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets time run on until every draft has closed.
    pub fn run_on(&mut self) {
        self.try_run_on().expect("what was written can be read again");
    }

    pub fn try_run_on(&mut self) -> Result<(), Unreadable> {
        // Each draft is looked at and closed, and closing opens none.
        let turns_max = 2 * self.tasks.drafts().1 + 2;
        for _ in 0..turns_max {
            let Some(due) = self.tasks.poll_deadline() else { return Ok(()) };
            self.try_turn(Vec::new(), due)?;
        }
        panic!("drafts were due after {turns_max} turns");
    }

    /// The last revision of each record that still stands, but for what its history decides.
    pub fn records(&self) -> BTreeMap<String, JournalRecord> {
        let mut last = BTreeMap::new();
        for record in &self.published {
            last.insert(record.record_id.clone(), record.clone());
        }
        last.retain(|_, record| record.status != Status::Superseded);
        for record in last.values_mut() {
            (record.revision, record.closed_at) = (0, 0);
            for original in &mut record.originals {
                (original.content, original.reference) = (None, None);
            }
        }
        last
    }
}

fn read_archived(value: &[u8]) -> JournalRecord {
    let record: JournalRecord = avro::decode(Schema::JournalRecord, value).expect("what is published is read");
    for original in &record.originals {
        let Some(content) = &original.content else { continue };
        assert_eq!(Digest::of(content), original.sha256, "an original's bytes are those that arrived");
    }
    record
}
