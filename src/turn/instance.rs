//! One instance's work among others on partitioned logs, as a value: what it is to do next, and what it makes of the
//! answers. All that makes a restore, a rebalance and an abort safe is decided here, and nothing is asked of a client.
//!
//! A shell asks [`Instance::poll_step`], carries the step out, and hands back what came of it to the `handle_*` that the
//! step names; a step that could not be carried out is tried again, or given up with [`Instance::handle_setback`]. What
//! the group says may come between any two steps.
//!
//! There is one way to begin. Start-up, an assignment, an abort and a lost broker all run the same steps, in an order
//! that is what makes them right: the committed positions are those of finished transactions, and each turn's has those
//! of all partitions it may write drafts of; so the drafts of those transactions lie below a claim that is written into
//! the changelog afterwards, and a reader of committed entries that meets the claim has met them all. Where the changelog
//! ends nobody is asked: a leader that has just taken over, and one that does not know yet that another has, tell less
//! than there is.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    arrival::{Arrival, Input, Timestamp},
    correlate::Unreadable,
    turn::{
        AtHand, Bodies, Counts, Outgoing, Output, Progress, RestoreError, Tasks, TurnRules, Written, pace::Share, stray,
    },
};

/// Offsets by input and partition.
pub type Positions = BTreeMap<(Input, i32), i64>;

/// The input topics, in the order that their partitions are told in.
pub const INPUTS: [Input; 3] = [Input::Reports, Input::Envelopes, Input::Strays];

/// The partitions of these numbers, of every input topic.
pub fn input_partitions(numbers: &[i32]) -> impl Iterator<Item = (Input, i32)> + '_ {
    INPUTS.iter().flat_map(move |input| numbers.iter().map(move |number| (*input, *number)))
}

/// Where a log begins, and the offset behind its last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub first: i64,
    pub end: i64,
}

/// What the shell is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for what the group says, and for the outcome of a turn that may still be written. No answer.
    StandBy,
    /// Wait for the outcome of the turn that is being written: [`Instance::handle_written`], or a setback.
    FinishWriting,
    /// Wait for that outcome too, whatever it is, end the transaction if it is open, read nothing any more:
    /// [`Instance::handle_aborted`].
    Abort,
    /// End the transactions that instances which are gone have left open. It may fail, at the cost of time only:
    /// [`Instance::handle_orphans_ended`].
    EndOrphans,
    /// Ask for the committed positions of the inputs, without those of open transactions:
    /// [`Instance::handle_committed`].
    LearnCommitted,
    /// Ask where the changelog begins, and whether it holds anything: [`Instance::handle_changelog_bounds`].
    LearnChangelogBounds,
    /// Ask where the inputs begin and end, open transactions counted in: [`Instance::handle_input_bounds`].
    LearnInputBounds,
    /// Commit what [`Instance::claim`] says: [`Instance::handle_claimed`].
    Claim,
    /// Read the changelog's committed entries, of each partition from [`Instance::changelog_unread`] on:
    /// [`Instance::handle_entry`] for each, and [`Instance::handle_changelog_read`] after a while.
    ReadChangelog,
    /// Begin to read the inputs at [`Instance::positions`]: [`Instance::handle_consuming`].
    Consume,
    /// Gather arrivals, [`Instance::turn`], and have the [`Parcel`] written.
    Turn,
}

/// Why no instance may work on a partition until a person has looked at it.
#[derive(Debug, thiserror::Error)]
pub enum Impossible {
    #[error("no position is known of {input:?}, partition {partition}, although the changelog tells that it was read")]
    Forgotten { input: Input, partition: i32 },
    #[error("the committed position in {input:?}, partition {partition}, is {committed}, and the log ends at {end}")]
    BeyondEnd { input: Input, partition: i32, committed: i64, end: i64 },
    #[error("the committed position in {input:?}, partition {partition}, is {committed:?}, and was {known}")]
    Behind { input: Input, partition: i32, committed: Option<i64>, known: i64 },
    #[error("partition {partition}: {error}")]
    Entry { partition: i32, error: RestoreError },
}

/// Arrivals that were deleted before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    pub input: Input,
    pub partition: i32,
    pub arrivals: i64,
}

/// What was read for one turn.
#[derive(Debug, Default)]
pub struct Gathered {
    pub arrivals: Vec<Arrival>,
    pub bytes: usize,
    /// There may be more, which the turn has no room for.
    pub full: bool,
    /// Where to resume, of each partition that something came from.
    pub next: Positions,
}

impl Gathered {
    pub fn take(&mut self, arrival: Arrival) {
        let position = arrival.position;
        self.next.insert((position.input, position.partition), position.offset + 1);
        self.bytes = self.bytes.saturating_add(stray::bytes(&arrival));
        self.arrivals.push(arrival);
    }
}

/// What one transaction is to carry.
#[derive(Debug)]
pub struct Parcel {
    pub outgoing: Vec<Outgoing>,
    /// Of every input partition that is worked on, read from or not: by its positions a broker checks a transaction's
    /// generation, and whoever takes a partition over waits for the transaction that holds its position. Values may
    /// reach their logs after the positions did: of a partition without one nobody would wait for the drafts.
    pub positions: Positions,
    pub counts: Counts,
    /// The turn's number.
    pub number: u64,
}

impl Parcel {
    /// What [`Instance::handle_begun`] is to know.
    pub fn begun(&self) -> Begun {
        let strays = self.outgoing.iter().filter(|outgoing| outgoing.output == Output::Strays);
        let strays_to = strays.filter_map(|stray| stray.partition).collect();
        Begun { turn: self.number, strays_to, positions: self.positions.clone() }
    }
}

/// A turn that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    turn: u64,
    /// Where strays are on their way to.
    strays_to: BTreeSet<i32>,
    positions: Positions,
}

pub struct Instance {
    tasks: Tasks,
    stage: Stage,
    /// The partition numbers that are being worked on or restored.
    numbers: Vec<i32>,
    /// An assignment that is not taken up yet.
    pending: Option<Vec<i32>>,
    /// What was last committed of the inputs, or is about to be.
    positions: Positions,
    /// What this instance knows to be committed of the inputs, worked on or not: a broker that tells less has lost its place,
    /// and does not know it. A new instance joins anew, which such a broker cannot grant.
    known: Positions,
    /// By partition of the changelog, the last place that is known: the claim's, or a turn's.
    reached: BTreeMap<i32, i64>,
    writing: Option<Begun>,
    more_due: bool,
    entries_restored: u64,
}

#[derive(Debug)]
enum Stage {
    Idle,
    Abort,
    EndOrphans,
    LearnCommitted,
    LearnChangelogBounds { committed: Positions },
    LearnInputBounds { committed: Positions, changelog: BTreeMap<i32, Bounds> },
    Claim(Unread),
    ReadChangelog(Unread),
    Consume,
    Turns,
}

/// What of the changelog is left to read.
#[derive(Debug)]
struct Unread {
    /// By partition: what comes next. Read is a partition whose claim was met.
    next: BTreeMap<i32, i64>,
    /// The key of the claim.
    claim: Bytes,
    /// Every position has been committed before. Only then is anything written into the changelog, so that what it holds
    /// tells that positions were committed, be it of a transaction that was aborted.
    is_known: bool,
}

/// The keys of claims begin so, which no draft's does. Claims have no value: compaction drops them after a while.
const CLAIM: &str = "\0claim ";

impl Instance {
    pub fn new(rules: TurnRules) -> Instance {
        Instance {
            tasks: Tasks::new(rules),
            stage: Stage::Idle,
            numbers: Vec::new(),
            pending: None,
            positions: Positions::new(),
            known: Positions::new(),
            reached: BTreeMap::new(),
            writing: None,
            more_due: false,
            entries_restored: 0,
        }
    }

    pub fn poll_step(&mut self) -> Step {
        if !matches!(self.stage, Stage::Abort) && self.pending.is_some() {
            if self.writing.is_some() {
                return Step::FinishWriting;
            }
            self.numbers = self.pending.take().unwrap_or_default();
            self.stage = if self.numbers.is_empty() { Stage::Idle } else { Stage::EndOrphans };
        }
        match &self.stage {
            Stage::Idle => Step::StandBy,
            Stage::Abort => Step::Abort,
            Stage::EndOrphans => Step::EndOrphans,
            Stage::LearnCommitted => Step::LearnCommitted,
            Stage::LearnChangelogBounds { .. } => Step::LearnChangelogBounds,
            Stage::LearnInputBounds { .. } => Step::LearnInputBounds,
            Stage::Claim(_) => Step::Claim,
            Stage::ReadChangelog(_) => Step::ReadChangelog,
            Stage::Consume => Step::Consume,
            Stage::Turns => Step::Turn,
        }
    }

    /// How much of its bounds what a turn publishes may use.
    pub fn set_share(&mut self, share: Share) {
        self.tasks.set_share(share);
    }

    /// The partition numbers that are being worked on or restored.
    pub fn numbers(&self) -> &[i32] {
        &self.numbers
    }

    /// What was last committed of the inputs, or is about to be.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Changelog entries that the last restore read.
    pub fn entries_restored(&self) -> u64 {
        self.entries_restored
    }

    /// How many drafts wait to be closed, and how many there are in all.
    pub fn drafts(&self) -> (usize, usize) {
        self.tasks.drafts()
    }

    /// What takes memory for each draft and each arrival.
    pub fn at_hand(&self) -> AtHand {
        self.tasks.at_hand()
    }

    /// The group takes everything back.
    pub fn handle_revoked(&mut self) {
        self.drop_tasks();
        self.pending = None;
    }

    /// The group gives these partition numbers, and no others.
    pub fn handle_assigned(&mut self, numbers: Vec<i32>) {
        self.drop_tasks();
        self.pending = Some(numbers);
    }

    /// A turn or a restore has to be given up: the same numbers are begun anew.
    pub fn handle_setback(&mut self) {
        if self.pending.is_none() && !self.numbers.is_empty() {
            self.pending = Some(self.numbers.clone());
        }
        self.drop_tasks();
        self.stage = Stage::Abort;
    }

    pub fn handle_aborted(&mut self) {
        self.writing = None;
        self.stage = Stage::Idle;
    }

    fn drop_tasks(&mut self) {
        for number in std::mem::take(&mut self.numbers) {
            self.tasks.revoke(number);
        }
        self.positions.clear();
        self.more_due = false;
        if !matches!(self.stage, Stage::Abort) {
            self.stage = Stage::Idle;
        }
    }

    pub fn handle_orphans_ended(&mut self) {
        self.stage = Stage::LearnCommitted;
    }

    /// `committed` lacks the partitions that nothing was committed of.
    pub fn handle_committed(&mut self, committed: Positions) -> Result<(), Impossible> {
        for at in input_partitions(&self.numbers) {
            let (committed, known) = (committed.get(&at).copied(), self.known.get(&at).copied());
            if let Some(known) = known.filter(|known| committed < Some(*known)) {
                return Err(Impossible::Behind { input: at.0, partition: at.1, committed, known });
            }
        }
        self.stage = Stage::LearnChangelogBounds { committed };
        Ok(())
    }

    /// Of each partition of the changelog that is worked on.
    pub fn handle_changelog_bounds(&mut self, changelog: BTreeMap<i32, Bounds>) {
        if let Stage::LearnChangelogBounds { committed } = &mut self.stage {
            let committed = std::mem::take(committed);
            self.stage = Stage::LearnInputBounds { committed, changelog };
        }
    }

    /// Of each partition of the inputs that is worked on. Tells what was deleted unread.
    pub fn handle_input_bounds(&mut self, inputs: &BTreeMap<(Input, i32), Bounds>) -> Result<Vec<Expired>, Impossible> {
        let Stage::LearnInputBounds { committed, changelog } = &mut self.stage else { return Ok(Vec::new()) };
        let (committed, changelog) = (std::mem::take(committed), std::mem::take(changelog));
        let is_known = inputs.keys().all(|at| committed.contains_key(at));
        let holds_something = |number| changelog.get(&number).is_some_and(|bounds| bounds.first < bounds.end);
        let mut expired = Vec::new();
        for (&(input, partition), &Bounds { first, end }) in inputs {
            let position = match committed.get(&(input, partition)) {
                // Reading it from its beginning would publish records again.
                None if holds_something(partition) => return Err(Impossible::Forgotten { input, partition }),
                None => first,
                Some(&committed) if committed > end => {
                    return Err(Impossible::BeyondEnd { input, partition, committed, end });
                }
                Some(&committed) => {
                    if committed < first {
                        expired.push(Expired { input, partition, arrivals: first - committed });
                    }
                    committed.max(first)
                }
            };
            self.positions.insert((input, partition), position);
        }
        for number in &self.numbers {
            self.tasks.assign(*number);
        }
        self.entries_restored = 0;
        let next = changelog.into_iter().map(|(number, bounds)| (number, bounds.first)).collect();
        self.stage = Stage::Claim(Unread { next, claim: Bytes::new(), is_known });
        Ok(expired)
    }

    /// What is to be committed with [`Instance::positions`] before the changelog is read: an entry in each of its
    /// partitions, by which a reader knows that it has read far enough. The positions have this instance's name: who takes
    /// over after a crash knows whose transaction to end. Where not all of them ever were, they go by themselves first.
    /// `nonce` is what no other claim has.
    pub fn claim(&mut self, nonce: &str) -> Vec<Outgoing> {
        let key = Bytes::from(format!("{CLAIM}{nonce}"));
        match &mut self.stage {
            Stage::Claim(unread) if unread.is_known => unread.claim = key.clone(),
            _ => return Vec::new(),
        }
        let entry = |number: &i32| Outgoing {
            output: Output::Drafts,
            partition: Some(*number),
            key: Some(key.clone()),
            value: None,
            headers: Vec::new(),
            originals: Vec::new(),
        };
        self.numbers.iter().map(entry).collect()
    }

    /// The claim is committed.
    pub fn handle_claimed(&mut self) {
        self.known.extend(&self.positions);
        self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Claim(unread) if unread.is_known => Stage::ReadChangelog(unread),
            Stage::Claim(unread) => Stage::Claim(Unread { is_known: true, ..unread }),
            other => other,
        };
    }

    /// The changelog's partitions that are still to be read, each from an offset on.
    pub fn changelog_unread(&self) -> BTreeMap<i32, i64> {
        match &self.stage {
            Stage::Claim(unread) | Stage::ReadChangelog(unread) => unread.next.clone(),
            _ => BTreeMap::new(),
        }
    }

    /// Whether there is more to read of it.
    pub fn reads_changelog(&self) -> bool {
        matches!(&self.stage, Stage::ReadChangelog(unread) if !unread.next.is_empty())
    }

    /// One entry of the changelog, in the order of its partition; `value` none is a tombstone. What lies behind the claim
    /// is none of this instance's yet, and counts no more than what is not there.
    pub fn handle_entry(&mut self, number: i32, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let Stage::ReadChangelog(unread) = &mut self.stage else { return };
        let Some(next) = unread.next.get_mut(&number) else { return };
        *next = offset + 1;
        match key {
            Some(key) if key == unread.claim => {
                unread.next.remove(&number);
                self.reached.insert(number, offset);
            }
            Some(key) if !key.starts_with(CLAIM.as_bytes()) => {
                self.entries_restored += 1;
                self.tasks.restore(number, offset, key, value);
            }
            _ => {}
        }
    }

    /// Goes on where every partition has been read; says whether it does.
    pub fn handle_changelog_read(&mut self) -> Result<bool, Impossible> {
        if !matches!(&self.stage, Stage::ReadChangelog(unread) if unread.next.is_empty()) {
            return Ok(false);
        }
        for &partition in &self.numbers {
            self.tasks.restored(partition).map_err(|error| Impossible::Entry { partition, error })?;
        }
        self.stage = Stage::Consume;
        Ok(true)
    }

    pub fn handle_consuming(&mut self) {
        self.stage = Stage::Turns;
    }

    /// Whether a turn without arrivals has something to publish.
    pub fn is_due(&self, wall: Timestamp) -> bool {
        self.more_due || self.tasks.poll_deadline().is_some_and(|due| due <= wall)
    }

    /// The last turn published all that one may, and there is more.
    pub fn more_due(&self) -> bool {
        self.more_due
    }

    /// How much is left to read of each input partition, given where the logs end, as a reader of committed values sees
    /// it, and where reading is; unknown where nobody answered.
    pub fn lags(&self, ends: &Positions, read: &Positions) -> Positions {
        // Where nothing was read since the partition was taken up, it is where it was taken up.
        let position = |at| read.get(&at).or_else(|| self.positions.get(&at));
        input_partitions(&self.numbers).filter_map(|at| Some((at, ends.get(&at)? - position(at)?))).collect()
    }

    /// Builds a turn: the arrivals in the order read, the lags after them, the wall clock. None: there is nothing to
    /// write.
    ///
    /// # Errors
    /// Where a draft could not be read back; what is due then is a setback.
    pub fn turn(
        &mut self,
        gathered: Gathered,
        lags: &Positions,
        wall: Timestamp,
        bodies: &mut dyn Bodies,
    ) -> Result<Option<Parcel>, Unreadable> {
        let progress: Vec<Progress> = input_partitions(&self.numbers)
            .map(|(input, partition)| {
                // Until strays that are on their way are written, nothing tells that their home is read to its end.
                let hides = |begun: &Begun| input == Input::Strays && begun.strays_to.contains(&partition);
                let hidden = self.writing.as_ref().is_some_and(hides);
                let at_end = lags.get(&(input, partition)).is_some_and(|lag| *lag <= 0) && !hidden;
                Progress { input, partition, at_end }
            })
            .collect();
        let output = self.tasks.turn(gathered.arrivals, &progress, wall, bodies)?;
        self.more_due = output.more_due;
        if output.outgoing.is_empty() && gathered.next.is_empty() {
            return Ok(None);
        }
        self.positions.extend(gathered.next);
        let positions = self.positions.clone();
        Ok(Some(Parcel { outgoing: output.outgoing, positions, counts: output.counts, number: output.number }))
    }

    /// A turn is being written. There is never a second one: its transaction would be the same.
    pub fn handle_begun(&mut self, begun: Begun) {
        debug_assert!(self.writing.is_none(), "the last turn's outcome is known before the next is begun");
        self.writing = Some(begun);
    }

    /// The turn that was being written is committed, and its values of the changelog lie here. A place before what was there
    /// already is none: some brokers do not tell where a value lies that the client had to send twice, and it makes one up.
    pub fn handle_written(&mut self, written: &[Written]) {
        let Some(Begun { turn, positions, .. }) = self.writing.take() else { return };
        self.known.extend(positions);
        let is_ahead = |it: &&Written| self.reached.get(&it.partition).is_some_and(|reached| it.place > *reached);
        self.tasks.handle_written(turn, written.iter().filter(is_ahead));
        for Written { partition, place, .. } in written {
            let reached = self.reached.entry(*partition).or_insert(*place);
            *reached = (*reached).max(*place);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        arrival::Position,
        turn::{
            fixtures::{Nowhere, rules},
            home::home_partition,
        },
    };

    /// One that has taken up two empty partitions.
    fn at_work() -> Instance {
        let mut instance = Instance::new(rules(2));
        let empty = Bounds { first: 0, end: 0 };
        instance.handle_assigned(vec![0, 1]);
        assert_eq!(instance.poll_step(), Step::EndOrphans);
        instance.handle_orphans_ended();
        instance.handle_committed(Positions::new()).unwrap();
        instance.handle_changelog_bounds([(0, empty), (1, empty)].into());
        instance.handle_input_bounds(&input_partitions(&[0, 1]).map(|at| (at, empty)).collect()).unwrap();
        assert_eq!(claimed(&mut instance, "a"), [], "nothing was ever committed");
        let claims = claimed(&mut instance, "a");
        claims.iter().for_each(|(number, key)| instance.handle_entry(*number, 0, Some(key), None));
        assert!(instance.handle_changelog_read().unwrap());
        instance.handle_consuming();
        instance
    }

    /// The `number`th mail whose home is this partition.
    fn mail(home: i32, number: usize) -> Bytes {
        let mut ids = (0..).map(|id| format!("<{id}@contoso.example>"));
        let id = ids.by_ref().filter(|id| home_partition(id.as_bytes(), 2) == home).nth(number).unwrap();
        format!("From: a@contoso.example\r\nTo: b@contoso.example\r\nMessage-ID: {id}\r\n\r\n").into()
    }

    /// Commits its claim; tells the keys that it has in the changelog.
    fn claimed(instance: &mut Instance, nonce: &str) -> Vec<(i32, Bytes)> {
        assert_eq!(instance.poll_step(), Step::Claim);
        let keys =
            instance.claim(nonce).into_iter().map(|claim| (claim.partition.unwrap(), claim.key.unwrap())).collect();
        instance.handle_claimed();
        keys
    }

    #[test]
    fn a_restore_ends_with_its_claim_and_nothing_else() {
        let mut instance = Instance::new(rules(1));
        instance.handle_assigned(vec![0]);
        assert_eq!(instance.poll_step(), Step::EndOrphans);
        instance.handle_orphans_ended();
        instance.handle_committed(input_partitions(&[0]).map(|at| (at, 0)).collect()).unwrap();
        // An end that is told may be that of a leader that was.
        instance.handle_changelog_bounds([(0, Bounds { first: 2, end: 3 })].into());
        let empty = Bounds { first: 0, end: 0 };
        instance.handle_input_bounds(&input_partitions(&[0]).map(|at| (at, empty)).collect()).unwrap();
        let [(0, claim)] = &claimed(&mut instance, "b 2")[..] else { panic!("a claim of the partition") };
        assert_eq!(instance.changelog_unread(), [(0, 2)].into());
        instance.handle_entry(0, 4, Some(b"\0claim b 1"), None);
        assert!(!instance.handle_changelog_read().unwrap(), "another's claim is passed over");
        assert_eq!((instance.poll_step(), instance.changelog_unread()), (Step::ReadChangelog, [(0, 5)].into()));
        instance.handle_entry(0, 7, Some(b"<a@b>"), None);
        assert!(!instance.handle_changelog_read().unwrap());
        instance.handle_entry(0, 9, Some(claim), None);
        instance.handle_entry(0, 10, Some(b"<c@d>"), None);
        assert!(instance.handle_changelog_read().unwrap());
        assert_eq!((instance.poll_step(), instance.entries_restored()), (Step::Consume, 1));
    }

    #[test]
    fn positions_that_go_back_are_not_taken() {
        let mut instance = at_work();
        instance.handle_setback();
        instance.handle_aborted();
        assert_eq!(instance.poll_step(), Step::EndOrphans);
        instance.handle_orphans_ended();
        let told = instance.handle_committed(Positions::new());
        assert!(matches!(told, Err(Impossible::Behind { committed: None, known: 0, .. })), "{told:?}");
        assert_eq!(instance.poll_step(), Step::LearnCommitted, "they are asked for again");
        instance.handle_committed(input_partitions(&[0, 1]).map(|at| (at, 0)).collect()).unwrap();
    }

    #[test]
    fn strays_on_their_way_hold_back_their_home_alone() {
        let mut instance = at_work();
        let mut gathered = Gathered::default();
        for (offset, (partition, bytes)) in [(0, mail(0, 0)), (1, mail(1, 0)), (0, mail(1, 1))].into_iter().enumerate()
        {
            let position = Position { input: Input::Reports, partition, offset: offset as i64 };
            gathered.take(Arrival::new(position, Timestamp(1_000), bytes));
        }
        let read: Positions = input_partitions(&[0, 1]).map(|at| (at, 0)).collect();
        let turn = |instance: &mut Instance, gathered, seconds: i64| {
            let parcel = instance.turn(gathered, &read, Timestamp(seconds * 1_000), &mut Nowhere).unwrap().unwrap();
            (parcel.begun(), parcel.counts.records, parcel.counts.moved)
        };
        let (begun, records, moved) = turn(&mut instance, gathered, 1);
        assert_eq!((records, moved), (0, 1));
        instance.handle_begun(begun);
        let (begun, records, _) = turn(&mut instance, Gathered::default(), 70);
        assert_eq!(records, 1, "nothing is on its way to partition 0");
        instance.handle_written(&[]);
        instance.handle_begun(begun);
        let (_, records, _) = turn(&mut instance, Gathered::default(), 71);
        assert_eq!(records, 1, "what was on its way to partition 1 is written, and would be read before");
    }
}
