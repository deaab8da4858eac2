//! Arrivals → one transaction. No broker inside: a shell hands in arrivals and the time, and carries out what comes
//! back, all of it or nothing.
//!
//! A shell's loop: read arrivals up to a bound; [`Tasks::turn`]; write every [`Outgoing`] and the positions read in one
//! transaction; tell where the drafts lie ([`Tasks::handle_written`]). If any of it fails: drop the tasks and restore them
//! from the changelog ([`Tasks::assign`], then [`Tasks::restore`] for each entry of its partition, then
//! [`Tasks::restored`]).

pub mod clock;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod home;
pub mod instance;
pub mod pace;
pub mod publish;
pub mod recent;
pub mod stray;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rayon::prelude::*;

pub use crate::record::ArchiveFormat;
use pace::Share;
use publish::{Lost, Publisher};
use recent::Recent;
pub use task::RestoreError;
use task::Task;

use crate::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    avro::{self, DecodeError, Schema},
    correlate::{
        Budget, Changelog, Complete, Effect, Merged, Outcome, Piece, Place, Rules, Seen, StoredDraft, StoredName,
        Unreadable,
    },
    evidence::{self, Evidence, Kind, Rejection},
    mail::{Digest, Key},
    record::{Disposition, LedgerRow},
};

/// The topics that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    Strays,
    Drafts,
    Archive,
    Ndr,
    Activity,
    Ledger,
    Rejected,
}

impl Output {
    pub const ALL: [Output; 7] = [
        Output::Strays,
        Output::Drafts,
        Output::Archive,
        Output::Ndr,
        Output::Activity,
        Output::Ledger,
        Output::Rejected,
    ];
}

/// One value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub output: Output,
    /// The partition, where it matters (strays, drafts); else the topic's own partitioner decides by key.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    /// None deletes the key (drafts).
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Bytes)>,
    /// Originals whose bytes the value carries: the files shell writes each to a file of its own.
    pub originals: Vec<(Digest, Bytes)>,
}

impl Outgoing {
    /// What its topic counts of it, about: the lengths of headers and fields take a few bytes each.
    fn bytes(&self) -> usize {
        const LENGTHS: usize = 10;
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + LENGTHS);
        let [key, value] = [&self.key, &self.value].map(|bytes| bytes.as_ref().map_or(0, Bytes::len) + LENGTHS);
        key + value + headers.sum::<usize>()
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Avro single-object encoding, for Kafka.
    Avro,
    /// One line of JSON, for files. Drafts are Avro all the same: nobody else reads them.
    Json,
}

#[derive(Clone, Debug)]
pub struct TurnRules {
    pub rules: Rules,
    /// N, of all input topics; at least 1.
    pub partitions: i32,
    /// The largest arrival, its headers counted, that is moved home or rejected whole, bytes; a larger one goes by
    /// reference. None: no bound.
    pub passed_on_bytes_max: Option<usize>,
    pub encoding: Encoding,
    /// Bytes of recent arrivals to keep at hand for records that close soon.
    pub recent_bytes_max: usize,
}

/// How far one input partition has been read, told with each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub input: Input,
    pub partition: i32,
    /// Nothing was left to read when the turn's arrivals were taken.
    pub at_end: bool,
}

/// Where a shell finds again what arrived earlier.
pub trait Bodies {
    /// The bytes of the arrivals at these positions (origins, sorted, each once), in the same order.
    /// `Err` says why one cannot be had any more; a failure that a second try may mend is the shell's to retry.
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>>;

    /// The values that the changelog's partition has at these places (sorted, each once), in the same order.
    /// `Err` gives up the turn.
    fn fetch_drafts(&mut self, partition: i32, places: &[Place]) -> Result<Vec<Bytes>, String>;
}

/// Where a turn's value of the changelog lies, once its transaction is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub partition: i32,
    pub key: Bytes,
    pub place: Place,
}

/// What a turn did, for metrics and progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub arrivals: u64,
    pub merged: u64,
    pub duplicates: u64,
    pub notices: u64,
    pub moved: u64,
    pub rejected: u64,
    /// Revisions published; of these, `incomplete` and `superseded` are those with that status.
    pub records: u64,
    pub incomplete: u64,
    pub superseded: u64,
    /// Originals that had to be read again.
    pub refetched: u64,
    /// Originals that could not be had any more, and went by reference.
    pub lost: u64,
}

/// All that one turn writes.
#[derive(Debug, Default)]
pub struct TurnOutput {
    pub outgoing: Vec<Outgoing>,
    pub counts: Counts,
    /// More is due than one turn publishes: do not wait for arrivals before the next.
    pub more_due: bool,
    /// The turn's number, by which [`Tasks::handle_written`] speaks of it.
    pub number: u64,
}

/// What is at hand between two turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtHand {
    /// Those that no turn has changed since the last but one are at most what [`AwakeMax`](crate::correlate::AwakeMax)
    /// says, for each task.
    pub drafts: usize,
    /// At most [`TurnRules::recent_bytes_max`].
    pub arrival_bytes: usize,
}

/// The tasks of one instance, one a partition number.
pub struct Tasks {
    rules: TurnRules,
    tasks: BTreeMap<i32, Task>,
    recent: Recent,
    turns: u64,
    share: Share,
}

impl Tasks {
    pub fn new(rules: TurnRules) -> Tasks {
        let recent = Recent::new(rules.recent_bytes_max);
        Tasks { rules, tasks: BTreeMap::new(), recent, turns: 0, share: Share::WHOLE }
    }

    /// How much of what a turn may publish at most the next ones may.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// Begins an empty task; restore it before its first turn.
    pub fn assign(&mut self, partition: i32) {
        self.tasks.insert(partition, Task::new(partition, &self.rules));
    }

    /// Takes one `journal.drafts` entry of the task's partition; `value` none is a tombstone.
    pub fn restore(&mut self, partition: i32, place: Place, key: &[u8], value: Option<&[u8]>) {
        self.task(partition).restore(place, key, value);
    }

    /// Ends the restoring of a task.
    pub fn restored(&mut self, partition: i32) -> Result<(), RestoreError> {
        self.task(partition).restored()
    }

    /// Drops a task and all it knew; with the last one also the arrivals at hand, whose drafts may be another's now.
    pub fn revoke(&mut self, partition: i32) {
        self.tasks.remove(&partition);
        if self.tasks.is_empty() {
            self.recent = Recent::new(self.rules.recent_bytes_max);
        }
    }

    fn task(&mut self, partition: i32) -> &mut Task {
        self.tasks.get_mut(&partition).expect("a shell speaks only of partitions that it has assigned")
    }

    /// Learns where a turn's values of the changelog lie.
    pub fn handle_written<'w>(&mut self, turn: u64, written: impl IntoIterator<Item = &'w Written>) {
        for Written { partition, key, place } in written {
            if let Some(task) = self.tasks.get_mut(partition) {
                task.correlator.handle_written(turn, key, *place);
            }
        }
    }

    /// One turn: `arrivals` in the order read, every assigned partition's progress, the wall clock.
    ///
    /// # Errors
    /// Where a draft could not be read back. The tasks are of no use any more then, and have to be restored.
    pub fn turn(
        &mut self,
        mut arrivals: Vec<Arrival>,
        progress: &[Progress],
        wall: Timestamp,
        bodies: &mut dyn Bodies,
    ) -> Result<TurnOutput, Unreadable> {
        self.turns += 1;
        let gone = fetch_absent(&mut arrivals, bodies);
        let mut turn = Turn {
            wall,
            budget: self.share.of_budget(self.rules.rules.work_max.turn),
            output: TurnOutput { number: self.turns, ..TurnOutput::default() },
            ledger: Vec::with_capacity(arrivals.len()),
        };
        let read: Vec<Result<Evidence, Rejection>> = arrivals.par_iter().map(read_evidence).collect();
        self.wake(&arrivals, &read, bodies)?;
        let mut unread = Unread::of(&arrivals);
        for (arrival, mut evidence) in arrivals.into_iter().zip(read) {
            if let Some(reason) = gone.get(&arrival.origin).filter(|_| stray::is_absent(&arrival)) {
                let detail = format!("its bytes went home by reference and cannot be had any more: {reason}");
                evidence = Err(Rejection { reason: "gone", detail });
            }
            // The arrival itself is still unread here: the wall clock must not close what it belongs to.
            self.advance(&arrival, progress, &unread, &mut turn, bodies)?;
            unread.take(&arrival);
            self.take_arrival(arrival, evidence, &mut turn);
        }
        self.end_turn(progress, &mut turn, bodies)?;
        let completes = self.drain_completes();
        let publisher = Publisher { rules: &self.rules, recent: &mut self.recent };
        let (filled, lost) = publisher.fill(completes, bodies, &mut turn.output);
        self.tell_lost(lost);
        self.drain_drafts(&mut turn);
        publish::write(filled, &self.rules, &mut turn.output);
        publish::ledger(turn.ledger, &self.rules, &mut turn.output);
        Ok(turn.output)
    }

    /// Brings to hand what rests of the messages that the arrivals belong to, all of a task at once.
    fn wake(
        &mut self,
        arrivals: &[Arrival],
        read: &[Result<Evidence, Rejection>],
        bodies: &mut dyn Bodies,
    ) -> Result<(), Unreadable> {
        let mut keys: BTreeMap<i32, Vec<&Key>> = BTreeMap::new();
        for (arrival, evidence) in arrivals.iter().zip(read) {
            if let Ok(Evidence { key, .. }) = evidence {
                keys.entry(arrival.position.partition).or_default().push(key);
            }
        }
        for (partition, keys) in keys {
            self.task(partition).correlator.wake(keys, &mut Drafts { partition, bodies })?;
        }
        Ok(())
    }

    /// Moves the task's time on to an arrival, and closes what fell due before it.
    fn advance(
        &mut self,
        arrival: &Arrival,
        progress: &[Progress],
        unread: &Unread,
        turn: &mut Turn,
        bodies: &mut dyn Bodies,
    ) -> Result<(), Unreadable> {
        let Position { input, partition, .. } = arrival.position;
        let wall = turn.wall;
        let task = self.task(partition);
        for told in progress.iter().filter(|told| told.partition == partition) {
            task.clock.progress(told.input, told.at_end && unread.none_from(told.input, partition));
        }
        task.clock.arrival(input, arrival.at, wall);
        match task.clock.now(wall) {
            Some(now) => task.correlator.handle_time(now, &mut turn.budget, &mut Drafts { partition, bodies }),
            None => Ok(()),
        }
    }

    fn end_turn(&mut self, progress: &[Progress], turn: &mut Turn, bodies: &mut dyn Bodies) -> Result<(), Unreadable> {
        for told in progress {
            self.task(told.partition).clock.progress(told.input, told.at_end);
        }
        for (&partition, task) in &mut self.tasks {
            if let Some(now) = task.clock.now(turn.wall) {
                task.correlator.handle_time(now, &mut turn.budget, &mut Drafts { partition, bodies })?;
                turn.output.more_due |= task.correlator.poll_deadline().is_some_and(|due| due <= now);
            }
        }
        Ok(())
    }

    fn take_arrival(&mut self, arrival: Arrival, evidence: Result<Evidence, Rejection>, turn: &mut Turn) {
        turn.output.counts.arrivals += 1;
        let evidence = match evidence {
            Ok(evidence) => evidence,
            Err(rejection) => {
                self.reject(&arrival, &rejection, turn);
                return;
            }
        };
        let partition = arrival.position.partition;
        let home = home::home_partition(evidence.key.as_str().as_bytes(), self.rules.partitions);
        if partition != home {
            turn.output.counts.moved += 1;
            let stray = stray::send_home(&arrival, &evidence.key, home, self.rules.passed_on_bytes_max);
            turn.output.outgoing.push(stray);
            let reason = format!("sent to its home, partition {home}");
            self.enter(&arrival, Disposition::Moved, None, Some(reason), turn);
            return;
        }
        let kind = evidence.kind;
        let carries = !evidence.originals.is_empty();
        let piece = piece(&arrival, evidence);
        let merged = self.task(partition).correlator.handle_awake(piece, turn.wall);
        if carries && merged.outcome == Outcome::New {
            self.recent.insert(arrival.origin, arrival.bytes.clone());
        }
        self.enter_merged(&arrival, kind, merged, turn);
    }

    fn enter_merged(&mut self, arrival: &Arrival, kind: Kind, merged: Merged, turn: &mut Turn) {
        let counts = &mut turn.output.counts;
        let (disposition, count) = match (merged.outcome, kind) {
            (Outcome::Duplicate, _) => (Disposition::Duplicate, &mut counts.duplicates),
            (Outcome::New, Kind::Notice) => (Disposition::Notice, &mut counts.notices),
            (Outcome::New, _) => (Disposition::Merged, &mut counts.merged),
        };
        *count += 1;
        self.enter(arrival, disposition, Some(merged.record_id), None, turn);
    }

    fn reject(&mut self, arrival: &Arrival, rejection: &Rejection, turn: &mut Turn) {
        turn.output.counts.rejected += 1;
        let topic = self.rules.rules.topic_names.of(arrival.position.input);
        turn.output.outgoing.push(publish::rejected(arrival, rejection, topic, self.rules.passed_on_bytes_max));
        self.enter(arrival, Disposition::Rejected, None, Some(rejection.to_string()), turn);
    }

    fn enter(
        &self,
        arrival: &Arrival,
        disposition: Disposition,
        record_id: Option<String>,
        reason: Option<String>,
        turn: &mut Turn,
    ) {
        let Position { input, partition, offset } = arrival.position;
        turn.ledger.push(LedgerRow {
            topic: self.rules.rules.topic_names.of(input).to_owned(),
            partition,
            offset,
            disposition,
            record_id,
            reason,
            source: arrival.source.clone(),
        });
    }

    /// The records that every task has completed, in order.
    fn drain_completes(&mut self) -> Vec<Complete> {
        self.tasks.values_mut().flat_map(|task| std::iter::from_fn(|| task.correlator.poll_complete())).collect()
    }

    /// What was not carried must not count as carried once the drafts are written.
    fn tell_lost(&mut self, lost: Vec<Lost>) {
        for Lost { key, record_id, revision, sha256, .. } in lost {
            for task in self.tasks.values_mut() {
                task.correlator.handle_lost(&key, &record_id, revision, &sha256);
            }
        }
    }

    /// Ends every task's turn: what it changed of its drafts becomes outgoing values.
    fn drain_drafts(&mut self, turn: &mut Turn) {
        for (partition, task) in &mut self.tasks {
            task.correlator.handle_turn_end(turn.output.number);
            while let Some(effect) = task.correlator.poll_effect() {
                match effect {
                    Effect::Publish(_) => unreachable!("what was completed has been drained, and nothing came since"),
                    Effect::Remember(stored) => turn.output.outgoing.push(publish::draft(*partition, &stored)),
                    Effect::Forget(key) => turn.output.outgoing.push(publish::forgotten_draft(*partition, &key)),
                }
            }
        }
    }

    /// When the earliest open draft is due, in task time.
    pub fn poll_deadline(&self) -> Option<Timestamp> {
        self.tasks.values().filter_map(|task| task.correlator.poll_deadline()).min()
    }

    /// When time next changes anything: a draft is due, or forgotten.
    pub fn poll_change(&self) -> Option<Timestamp> {
        let forgotten = self.tasks.values().filter_map(|task| task.correlator.poll_forgotten());
        forgotten.chain(self.poll_deadline()).min()
    }

    /// What takes memory for each draft and each arrival.
    pub fn at_hand(&self) -> AtHand {
        let drafts = self.tasks.values().map(|task| task.correlator.at_hand()).sum();
        AtHand { drafts, arrival_bytes: self.recent.bytes() }
    }

    /// How many drafts wait to be closed, and how many there are in all.
    pub fn drafts(&self) -> (usize, usize) {
        let counts = self.tasks.values().map(|task| task.correlator.drafts());
        counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1))
    }
}

/// A task's drafts in the changelog.
struct Drafts<'b> {
    partition: i32,
    bodies: &'b mut dyn Bodies,
}

impl Drafts<'_> {
    fn decoded<T: Send>(
        &mut self,
        places: &[Place],
        decode: impl Fn(&[u8]) -> Result<T, DecodeError> + Sync,
    ) -> Result<Vec<T>, Unreadable> {
        let mut sorted = places.to_vec();
        sorted.sort_unstable();
        let values = self.bodies.fetch_drafts(self.partition, &sorted).map_err(Unreadable)?;
        let read = |place: &Place| {
            let at = sorted.binary_search(place).expect("they are the same places");
            decode(&values[at]).map_err(|error| Unreadable(error.to_string()))
        };
        places.par_iter().map(read).collect()
    }
}

impl Changelog for Drafts<'_> {
    fn read(&mut self, places: &[Place]) -> Result<Vec<StoredDraft>, Unreadable> {
        self.decoded(places, |value| avro::decode(Schema::Draft, value))
    }

    fn read_names(&mut self, places: &[Place]) -> Result<Vec<StoredName>, Unreadable> {
        self.decoded(places, |value| avro::decode_first::<StoredName, StoredDraft>(Schema::Draft, value))
    }
}

/// What one turn gathers on its way.
struct Turn {
    wall: Timestamp,
    budget: Budget,
    output: TurnOutput,
    ledger: Vec<LedgerRow>,
}

/// How many arrivals of the turn are still to be taken, by input and partition: until the last is, its partition has
/// not been read to its end.
struct Unread(BTreeMap<(Input, i32), usize>);

impl Unread {
    fn of(arrivals: &[Arrival]) -> Unread {
        let mut unread = BTreeMap::new();
        for Arrival { position, .. } in arrivals {
            *unread.entry((position.input, position.partition)).or_default() += 1;
        }
        Unread(unread)
    }

    fn take(&mut self, arrival: &Arrival) {
        let left = self.0.get_mut(&(arrival.position.input, arrival.position.partition));
        *left.expect("every arrival of the turn was counted") -= 1;
    }

    fn none_from(&self, input: Input, partition: i32) -> bool {
        self.0.get(&(input, partition)).is_none_or(|left| *left == 0)
    }
}

/// Brings the bytes of strays that came home by reference; returns why some cannot be had any more, by origin.
fn fetch_absent(arrivals: &mut [Arrival], bodies: &mut dyn Bodies) -> BTreeMap<Position, String> {
    let absent = || arrivals.iter().filter(|arrival| stray::is_absent(arrival)).map(|arrival| arrival.origin);
    let wanted: Vec<Position> = absent().collect::<BTreeSet<_>>().into_iter().collect();
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    let fetched: BTreeMap<Position, Result<Bytes, String>> =
        wanted.iter().copied().zip(bodies.fetch(&wanted)).collect();
    for arrival in arrivals.iter_mut().filter(|arrival| stray::is_absent(arrival)) {
        if let Ok(bytes) = &fetched[&arrival.origin] {
            arrival.bytes = bytes.clone();
        }
    }
    fetched.into_iter().filter_map(|(position, bytes)| Some((position, bytes.err()?))).collect()
}

fn read_evidence(arrival: &Arrival) -> Result<Evidence, Rejection> {
    match arrival.format {
        Format::Mail => evidence::read_mail(&arrival.bytes),
        Format::EnvelopeEvent => evidence::envelope_event::read_envelope_event(&arrival.bytes),
    }
}

fn piece(arrival: &Arrival, evidence: Evidence) -> Piece {
    let (server, size) = (arrival.server.clone(), i64::try_from(arrival.bytes.len()).unwrap_or(i64::MAX));
    let seen = Seen { position: arrival.origin, at: arrival.at, server, size };
    Piece::new(evidence, seen, arrival.journal_recipients.clone())
}
