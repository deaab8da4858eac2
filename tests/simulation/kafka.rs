//! What Kafka gives a transactional client, as a value: logs with open, committed and aborted entries, transactions that
//! end in steps, fencing by epoch, a group with generations, compaction and retention.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use mailjournal::{
    arrival::Input,
    turn::{
        Output,
        instance::{Positions, input_partitions},
    },
};

use crate::mutation::Mutation;

/// The topics, those of strays once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Input(Input),
    Output(Output),
}

impl From<Output> for Topic {
    fn from(output: Output) -> Topic {
        match output {
            Output::Strays => Topic::Input(Input::Strays),
            output => Topic::Output(output),
        }
    }
}

pub const DRAFTS: Topic = Topic::Output(Output::Drafts);

pub type At = (Topic, i32);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    pub at: i64,
}

#[derive(Clone, Debug)]
enum Slot {
    /// A transaction's mark, or what compaction or an abort left.
    Nothing,
    Open(usize, Entry),
    Committed(Entry),
    Aborted(Entry),
}

#[derive(Clone, Debug, Default)]
pub struct Log {
    slots: Vec<Slot>,
    pub first: i64,
}

impl Log {
    /// Behind the last entry, open transactions counted in.
    pub fn high(&self) -> i64 {
        self.slots.len() as i64
    }

    /// The first offset of an open transaction, or the end.
    pub fn stable(&self) -> i64 {
        self.slots.iter().position(|slot| matches!(slot, Slot::Open(..))).map_or(self.high(), |offset| offset as i64)
    }

    /// The next committed entry at or behind an offset, as a reader of committed values gets it.
    pub fn next(&self, from: i64) -> Option<(i64, &Entry)> {
        let from = usize::try_from(from.max(self.first)).expect("not negative");
        for (offset, slot) in self.slots.iter().enumerate().skip(from) {
            match slot {
                Slot::Committed(entry) => return Some((offset as i64, entry)),
                Slot::Open(..) => return None,
                Slot::Nothing | Slot::Aborted(_) => {}
            }
        }
        None
    }

    /// As a reader that does not care for transactions gets it.
    pub fn next_of_any(&self, from: i64) -> Option<(i64, &Entry)> {
        let from = usize::try_from(from.max(self.first)).expect("not negative");
        self.slots.iter().enumerate().skip(from).find_map(|(offset, slot)| match slot {
            Slot::Committed(entry) | Slot::Open(_, entry) | Slot::Aborted(entry) => Some((offset as i64, entry)),
            Slot::Nothing => None,
        })
    }

    /// Also where retention has deleted it since.
    pub fn committed_ever(&self, offset: i64) -> Option<&Entry> {
        match self.slots.get(usize::try_from(offset).ok()?)? {
            Slot::Committed(entry) => Some(entry),
            _ => None,
        }
    }

    pub fn committed(&self, offset: i64) -> Option<&Entry> {
        self.next(offset).filter(|(at, _)| *at == offset).map(|(_, entry)| entry)
    }

    fn end_transaction(&mut self, transaction: usize, commit: bool) {
        for slot in &mut self.slots {
            if let Slot::Open(of, entry) = slot
                && *of == transaction
            {
                let entry = std::mem::take(entry);
                *slot = if commit { Slot::Committed(entry) } else { Slot::Aborted(entry) };
            }
        }
        self.slots.push(Slot::Nothing);
    }

    /// Removes of some keys what a later entry replaces; with `tombstones` the tombstones too that came last.
    pub fn compact(&mut self, of: impl Fn(&Bytes) -> bool, tombstones: bool) {
        let clean = usize::try_from(self.stable()).expect("not negative");
        let mut later: BTreeSet<Bytes> = BTreeSet::new();
        for slot in self.slots[..clean].iter_mut().rev() {
            let Slot::Committed(Entry { key: Some(key), value, .. }) = slot else { continue };
            if !of(key) {
                continue;
            }
            let replaced = !later.insert(key.clone());
            if replaced || (tombstones && value.is_none()) {
                *slot = Slot::Nothing;
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not now.
    Again,
    /// The transaction must be aborted: the generation is over.
    Abort,
    /// A newer epoch of the transactional id is at work, or the broker has ended the transaction.
    Fenced,
}

/// A request that the client asked twice: the first has not arrived yet.
#[derive(Debug)]
pub struct Copy {
    pub id: &'static str,
    pub epoch: u32,
    pub asks: Asks,
}

#[derive(Debug)]
pub enum Asks {
    Positions(Positions, u32),
    Commit,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<Transaction>,
    /// A decided transaction whose marks are not all written: the logs that lack one.
    ending: Option<Ending>,
}

#[derive(Debug)]
struct Transaction {
    number: usize,
    logs: BTreeSet<At>,
    positions: Positions,
}

#[derive(Debug)]
struct Ending {
    transaction: Transaction,
    commit: bool,
    positions_marked: bool,
}

/// Which process of which name: a later one has a higher epoch.
pub type Writer = (&'static str, u32);

/// What a committed transaction made visible, in the order of commits.
#[derive(Debug, Default)]
pub struct Visible {
    pub values: Vec<(At, i64, Entry)>,
    pub positions: Positions,
    pub by: Writer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Revoked,
    Assigned(Vec<i32>),
}

#[derive(Debug, Default)]
struct Member {
    /// Of the process that is the member.
    epoch: u32,
    joined: bool,
    numbers: Vec<i32>,
    told: VecDeque<Told>,
}

#[derive(Debug)]
pub struct Kafka {
    partitions: i32,
    pub logs: BTreeMap<At, Log>,
    producers: BTreeMap<&'static str, Producer>,
    transactions: usize,
    /// With the name of the instance that committed it.
    committed: BTreeMap<(Input, i32), (i64, &'static str)>,
    members: BTreeMap<&'static str, Member>,
    pub generation: u32,
    preparing: bool,
    pub away: bool,
    pub copies: Vec<Copy>,
    pub visible: VecDeque<Visible>,
    mutation: Option<Mutation>,
}

impl Kafka {
    pub fn new(partitions: i32, mutation: Option<Mutation>) -> Kafka {
        Kafka {
            partitions,
            logs: BTreeMap::new(),
            producers: BTreeMap::new(),
            transactions: 0,
            committed: BTreeMap::new(),
            members: BTreeMap::new(),
            generation: 0,
            preparing: false,
            away: false,
            copies: Vec::new(),
            visible: VecDeque::new(),
            mutation,
        }
    }

    pub fn log(&mut self, at: At) -> &mut Log {
        self.logs.entry(at).or_default()
    }

    /// What a producer without transactions writes.
    pub fn give(&mut self, at: At, entry: Entry) -> i64 {
        let log = self.log(at);
        log.slots.push(Slot::Committed(entry));
        log.high() - 1
    }

    // Transactions.

    /// Fences the last holder of the id and aborts what it left open.
    pub fn init(&mut self, id: &'static str) -> Result<u32, Refusal> {
        if self.away || self.producers.get(id).is_some_and(|producer| producer.ending.is_some()) {
            return Err(Refusal::Again);
        }
        let producer = self.producers.entry(id).or_default();
        producer.epoch += 1;
        let epoch = producer.epoch;
        self.decide(id, false);
        Ok(epoch)
    }

    fn producer(&mut self, id: &'static str, epoch: u32) -> Result<&mut Producer, Refusal> {
        if self.away {
            return Err(Refusal::Again);
        }
        let fences = self.mutation != Some(Mutation::EpochNotChecked);
        let producer = self.producers.entry(id).or_default();
        if producer.epoch != epoch && fences {
            return Err(Refusal::Fenced);
        }
        // Concurrent transactions: the last one's marks come first.
        if producer.ending.is_some() { Err(Refusal::Again) } else { Ok(producer) }
    }

    fn transaction(&mut self, id: &'static str, epoch: u32) -> Result<&mut Transaction, Refusal> {
        let number = self.transactions + 1;
        let producer = self.producer(id, epoch)?;
        let new = producer.open.is_none();
        let fresh = || Transaction { number, logs: BTreeSet::new(), positions: Positions::new() };
        producer.open.get_or_insert_with(fresh);
        self.transactions += usize::from(new);
        Ok(self.producers.get_mut(id).and_then(|producer| producer.open.as_mut()).expect("opened above"))
    }

    pub fn append(&mut self, id: &'static str, epoch: u32, at: At, entry: Entry) -> Result<i64, Refusal> {
        let transaction = self.transaction(id, epoch)?;
        transaction.logs.insert(at);
        let number = transaction.number;
        let log = self.log(at);
        log.slots.push(Slot::Open(number, entry));
        Ok(log.high() - 1)
    }

    /// `member` is who asks and the generation that it knows.
    pub fn add_positions(
        &mut self,
        id: &'static str,
        epoch: u32,
        positions: &Positions,
        generation: u32,
    ) -> Result<(), Refusal> {
        self.producer(id, epoch)?;
        let known = self.members.contains_key(id) && self.generation == generation;
        if !known && self.mutation != Some(Mutation::GenerationNotChecked) {
            return Err(Refusal::Abort);
        }
        self.transaction(id, epoch)?.positions.extend(positions.clone());
        Ok(())
    }

    pub fn commit(&mut self, id: &'static str, epoch: u32) -> Result<(), Refusal> {
        self.producer(id, epoch)?;
        self.decide(id, true);
        Ok(())
    }

    /// A copy of a request arrives late, and nobody waits for its answer. Returns whether a transaction was open.
    pub fn receive_copy(&mut self, choice: usize) -> bool {
        if self.away || self.copies.is_empty() {
            return false;
        }
        let Copy { id, epoch, asks } = self.copies.swap_remove(choice % self.copies.len());
        // Where no transaction is open there is nothing to end, and none is begun by positions (KIP-890).
        let is_open = self.producers.get(id).is_some_and(|producer| producer.open.is_some());
        if is_open {
            let _ = match asks {
                Asks::Positions(positions, generation) => self.add_positions(id, epoch, &positions, generation),
                Asks::Commit => self.commit(id, epoch),
            };
        }
        is_open
    }

    pub fn abort(&mut self, id: &'static str, epoch: u32) -> Result<(), Refusal> {
        self.producer(id, epoch)?;
        self.decide(id, false);
        Ok(())
    }

    /// A newer process of the name has begun, or the broker has put this one out.
    pub fn is_fenced(&self, (id, epoch): Writer) -> bool {
        self.producers.get(id).is_some_and(|producer| producer.epoch > epoch)
    }

    /// The broker ends a transaction that was open for too long; its producer is fenced.
    pub fn time_out(&mut self, id: &'static str) {
        if let Some(producer) = self.producers.get_mut(id).filter(|producer| producer.open.is_some()) {
            producer.epoch += 1;
            self.decide(id, false);
        }
    }

    /// From here on what becomes of the transaction is settled; the marks that make it so for readers come one by one.
    fn decide(&mut self, id: &'static str, commit: bool) {
        let Some(producer) = self.producers.get_mut(id) else { return };
        let Some(transaction) = producer.open.take() else { return };
        if commit {
            let by = (id, producer.epoch);
            let mut visible = Visible { positions: transaction.positions.clone(), by, ..Visible::default() };
            for at in &transaction.logs {
                let slots = self.logs[at].slots.iter().enumerate();
                visible.values.extend(slots.filter_map(|(offset, slot)| match slot {
                    Slot::Open(number, entry) if *number == transaction.number => {
                        Some((*at, offset as i64, entry.clone()))
                    }
                    _ => None,
                }));
            }
            self.visible.push_back(visible);
        }
        producer.ending = Some(Ending { transaction, commit, positions_marked: false });
    }

    /// Writes one mark of a decided transaction, if one is missing. Returns whether one was.
    pub fn mark(&mut self, choice: usize) -> bool {
        let ending: Vec<&'static str> =
            self.producers.iter().filter(|(_, producer)| producer.ending.is_some()).map(|(id, _)| *id).collect();
        if ending.is_empty() {
            return false;
        }
        let id = ending[choice % ending.len()];
        let producer = self.producers.get_mut(id).expect("listed above");
        let Ending { transaction, commit, positions_marked } = producer.ending.as_mut().expect("filtered above");
        let logs: Vec<At> = transaction.logs.iter().copied().collect();
        let place = (choice / ending.len()) % (logs.len() + 1);
        match logs.get(place) {
            Some(at) => {
                transaction.logs.remove(at);
                self.logs.entry(*at).or_default().end_transaction(transaction.number, *commit);
            }
            None => *positions_marked = true,
        }
        if *positions_marked && *commit {
            for (at, offset) in std::mem::take(&mut transaction.positions) {
                self.committed.insert(at, (offset, id));
            }
        }
        if transaction.logs.is_empty() && *positions_marked {
            producer.ending = None;
        }
        true
    }

    /// Positions committed without a transaction.
    pub fn commit_positions(&mut self, id: &'static str, positions: &Positions) {
        self.committed.extend(positions.iter().map(|(at, offset)| (*at, (*offset, id))));
    }

    /// The committed positions of these partitions; with `stable`, only once no transaction holds others.
    pub fn committed_positions(&self, numbers: &[i32], stable: bool) -> Result<Positions, Refusal> {
        let held = |at: &(Input, i32)| {
            self.producers.values().any(|producer| {
                let open = producer.open.as_ref();
                let ending = producer.ending.as_ref().map(|ending| &ending.transaction);
                open.into_iter().chain(ending).any(|transaction| transaction.positions.contains_key(at))
            })
        };
        let of = |at: &(Input, i32)| numbers.contains(&at.1);
        if self.away || (stable && input_partitions(numbers).any(|at| held(&at))) {
            return Err(Refusal::Again);
        }
        Ok(self.committed.iter().filter(|(at, _)| of(at)).map(|(at, (offset, _))| (*at, *offset)).collect())
    }

    /// Who committed last on these partitions and is not in the group any more.
    pub fn orphans(&self, numbers: &[i32]) -> BTreeSet<&'static str> {
        let of = self.committed.iter().filter(|(at, _)| numbers.contains(&at.1)).map(|(_, (_, writer))| *writer);
        of.filter(|writer| !self.members.contains_key(writer)).collect()
    }

    // The group (eager, static members).

    /// A new process of a known member takes its place and gets its share again; nobody else notices, but for the one
    /// before, which is put out.
    pub fn poll_group(&mut self, (id, epoch): Writer, known: &mut u32) -> Result<Vec<Told>, Refusal> {
        if self.away {
            return Ok(Vec::new());
        }
        let Some(member) = self.members.get_mut(id) else {
            self.members.insert(id, Member { epoch, joined: true, ..Member::default() });
            self.prepare();
            self.complete();
            // Whoever was left behind learns it here.
            return Ok(vec![Told::Revoked]);
        };
        if epoch < member.epoch {
            return Err(Refusal::Fenced);
        }
        if epoch > member.epoch {
            member.epoch = epoch;
            member.told = VecDeque::from([Told::Assigned(member.numbers.clone())]);
        }
        if self.preparing {
            let member = self.members.get_mut(id).expect("looked up above");
            let new = !std::mem::replace(&mut member.joined, true);
            member.told.clear();
            self.complete();
            return Ok(if new { vec![Told::Revoked] } else { Vec::new() });
        }
        let generation = self.generation;
        let told: Vec<Told> = self.members.get_mut(id).expect("looked up above").told.drain(..).collect();
        if !told.is_empty() {
            *known = generation;
        }
        Ok(told)
    }

    /// The session ran out, or the member said goodbye.
    pub fn remove_member(&mut self, id: &str) {
        if self.members.remove(id).is_some() {
            self.prepare();
            self.complete();
        }
    }

    fn prepare(&mut self) {
        if !self.preparing {
            self.preparing = true;
            for member in self.members.values_mut() {
                // Who has just come has joined already.
                member.joined = member.joined && member.numbers.is_empty() && member.told.is_empty();
                member.told.clear();
            }
        }
    }

    fn complete(&mut self) {
        if !self.preparing || self.members.is_empty() || self.members.values().any(|member| !member.joined) {
            return;
        }
        self.preparing = false;
        self.generation += 1;
        let members = self.members.len() as i32;
        for (index, member) in self.members.values_mut().enumerate() {
            let turn = (index as i32 + self.generation as i32) % members;
            member.numbers = (0..self.partitions).filter(|number| number % members == turn).collect();
            member.told = VecDeque::from([Told::Assigned(member.numbers.clone())]);
            member.joined = false;
        }
    }
}
