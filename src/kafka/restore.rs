//! One way to recover: what start-up, an assignment, an abort and a lost broker all run. Given the numbers of a new
//! assignment: learn the committed positions, read the changelog up to where they were committed, claim the positions.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{
    bodies::{self, Offsets},
    client::{self, Notes, Role},
    fault::Phase,
    next_step::{NextStep, Trouble},
    transactions,
    worker::Worker,
};
use crate::{
    limits,
    settings::{KafkaSettings, Topic},
    telemetry,
};

/// What waits leave to the rest of the loop: a new rebalance makes a restore pointless.
#[derive(Debug)]
pub enum Interrupted {
    Rebalanced,
    Stopped,
    Failed(Trouble),
}

impl From<Trouble> for Interrupted {
    fn from(trouble: Trouble) -> Interrupted {
        Interrupted::Failed(trouble)
    }
}

impl Worker<'_> {
    /// Restores the tasks of an assignment and returns from where to consume.
    ///
    /// The order is what makes it right. Positions are fetched stable: they are those of finished transactions. The
    /// drafts of those transactions lie below the high watermark taken afterwards, so a restore that has read up to it
    /// has seen them all, even where the last markers are still on their way.
    pub(super) fn restore(&mut self, numbers: &[i32]) -> Result<Offsets, Interrupted> {
        if let Err(trouble) = self.end_orphans(numbers) {
            tracing::warn!(%trouble, "the open transaction of an instance that is gone, if any, has to time out");
        }
        let committed = self.insist(|worker, wait| committed(&worker.member, worker.inputs(numbers), wait))?;
        let committed: Offsets = committed.into_iter().filter_map(|(at, (offset, _))| Some((at, offset?))).collect();

        let drafts = |worker: &Worker<'_>| {
            let topic = worker.settings.topics.name(Topic::Drafts).to_owned();
            numbers.iter().map(move |number| (topic.clone(), *number)).collect::<Vec<_>>()
        };
        let high = self.insist(|worker, wait| {
            bodies::log_offsets(worker.lookup.consumer(), drafts(worker).into_iter(), Offset::End, wait)
        })?;
        let first = self.insist(|worker, wait| {
            bodies::log_offsets(worker.lookup.consumer(), drafts(worker).into_iter(), Offset::Beginning, wait)
        })?;
        self.insist(|worker, wait| {
            let stable = bodies::log_offsets(&worker.member, drafts(worker).into_iter(), Offset::End, wait)?;
            match stable.iter().all(|(at, offset)| *offset >= high[at]) {
                true => Ok(()),
                false => Err(Trouble::new(NextStep::Retry, super::next_step::Cause::Other, OPEN_TRANSACTION)),
            }
        })?;

        self.check_remembered(numbers, &committed, &first, &high)?;
        let positions = self.positions(numbers, committed)?;
        for number in numbers {
            self.tasks.assign(*number);
        }
        let to_read: Vec<(i32, i64)> =
            high.iter().filter(|(at, end)| first[*at] < **end).map(|((_, number), end)| (*number, *end)).collect();
        let entries = self.read_changelog(&to_read)?;
        for number in numbers {
            self.tasks.restored(*number).map_err(|error| Trouble::stop(format!("partition {number}: {error}")))?;
        }
        tracing::info!(partitions = numbers.len(), entries, "restored");
        self.entries_restored = entries;
        Ok(positions)
    }

    /// Ends what an instance that is gone had begun on these partitions. A transaction left open would hold up the
    /// restore, and every reader, until it times out. Failing at it costs only that time: what a member that was left
    /// behind still writes is refused by its generation.
    fn end_orphans(&self, numbers: &[i32]) -> Result<(), Trouble> {
        self.faults.pass(Phase::Orphaned)?;
        // Not stable: a position of an open transaction would be waited for, and that transaction is what is to be ended.
        let committed = committed(self.lookup.consumer(), self.inputs(numbers), 2 * limits::CALL_MAX)?;
        let writers: BTreeSet<String> = committed.into_values().map(|(_, writer)| writer).collect();
        let others: Vec<&String> =
            writers.iter().filter(|name| !name.is_empty() && **name != self.settings.kafka.instance).collect();
        if others.is_empty() {
            return Ok(());
        }
        let KafkaSettings { group, instance, .. } = &self.settings.kafka;
        let members = members(&self.member, group, 4 * limits::CALL_MAX)?;
        if !members.contains(instance) {
            // This instance is a member: a list without it tells nothing of the others either.
            return Err(Trouble::abort("the group does not tell its members"));
        }
        for instance in others.into_iter().filter(|name| !members.contains(*name)) {
            match transactions::fence(&self.settings.kafka, instance, self.sizes) {
                Ok(()) => tracing::info!(instance, "took the place of an instance that is gone"),
                Err(trouble) => tracing::warn!(instance, %trouble, "its open transaction, if any, has to time out"),
            }
        }
        Ok(())
    }

    /// Whether Kafka still knows the positions of partitions that were worked on: the changelog tells that they were.
    fn check_remembered(
        &self,
        numbers: &[i32],
        committed: &Offsets,
        first: &Offsets,
        high: &Offsets,
    ) -> Result<(), Trouble> {
        let drafts = self.settings.topics.name(Topic::Drafts);
        for number in numbers {
            let at = (drafts.to_owned(), *number);
            let unknown = self.inputs(&[*number]).find(|input| !committed.contains_key(input));
            if let Some((topic, _)) = unknown.filter(|_| first[&at] < high[&at]) {
                return Err(Trouble::stop(format!(
                    "Kafka has no position of group {} in {topic}, partition {number}, although {drafts} holds what was \
                     made of it (an idle group is forgotten after offsets.retention.minutes). Reading it from its \
                     beginning would publish records again: set the group's positions with kafka-consumer-groups \
                     --reset-offsets, or, to begin from nothing, delete {drafts} and make it anew with `mailjournal \
                     topics create`",
                    self.settings.kafka.group
                )));
            }
        }
        Ok(())
    }

    /// Where to consume from: the committed position, else where the log begins. Says what was deleted unread.
    fn positions(&mut self, numbers: &[i32], committed: Offsets) -> Result<Offsets, Interrupted> {
        let begin = self.insist(|worker, wait| {
            bodies::log_offsets(worker.lookup.consumer(), worker.inputs(numbers), Offset::Beginning, wait)
        })?;
        let end = self.insist(|worker, wait| {
            bodies::log_offsets(worker.lookup.consumer(), worker.inputs(numbers), Offset::End, wait)
        })?;
        let mut positions = begin.clone();
        for (at, offset) in committed {
            let first = begin[&at];
            if offset > end[&at] {
                return Err(Interrupted::Failed(Trouble::stop(format!(
                    "the committed position in {}, partition {}, is {offset}, and the topic ends at {}: it was deleted and \
                     made anew, or has lost its end. Set the group's positions with kafka-consumer-groups \
                     --reset-offsets",
                    at.0, at.1, end[&at]
                ))));
            }
            if offset < first {
                let arrivals = (first - offset) as u64;
                telemetry::expired(arrivals);
                tracing::error!(
                    topic = at.0,
                    partition = at.1,
                    arrivals,
                    "deleted by the topic's retention before they were read"
                );
            }
            positions.insert(at, offset.max(first));
        }
        Ok(positions)
    }

    /// Reads each drafts partition up to its end offset; returns how many entries came.
    fn read_changelog(&mut self, to_read: &[(i32, i64)]) -> Result<u64, Interrupted> {
        if to_read.is_empty() {
            return Ok(0);
        }
        let config = client::config(&self.settings.kafka, Role::Restorer, self.sizes);
        let reader: BaseConsumer<Notes> = client::create(&config)?;
        let topic = self.settings.topics.name(Topic::Drafts).to_owned();
        let mut list = TopicPartitionList::new();
        for (number, _) in to_read {
            list.add_partition_offset(&topic, *number, Offset::Beginning).map_err(|error| failed(&error))?;
        }
        reader.assign(&list).map_err(|error| failed(&error))?;

        let mut missing: BTreeMap<i32, i64> = to_read.iter().copied().collect();
        let mut entries = 0;
        let mut looked_at = Instant::now();
        while !missing.is_empty() {
            match reader.poll(limits::CALL_MAX) {
                Some(Ok(message)) => {
                    let number = message.partition();
                    if let Some(key) = message.key() {
                        self.tasks.restore(number, key, message.payload());
                    }
                    entries += 1;
                    if missing.get(&number).is_some_and(|end| message.offset() + 1 >= *end) {
                        missing.remove(&number);
                    }
                }
                // All below the end was stable before this reader began, so its first end is behind all of it; the
                // last entry alone may lie lower: markers and compaction leave no entries.
                Some(Err(KafkaError::PartitionEOF(number))) => drop(missing.remove(&number)),
                Some(Err(error)) => {
                    let trouble = failed(&error);
                    if trouble.next != NextStep::Retry {
                        return Err(trouble.into());
                    }
                    self.waits(trouble)?;
                }
                None => {}
            }
            if looked_at.elapsed() > limits::CALL_MAX / 4 {
                looked_at = Instant::now();
                self.look_up()?;
            }
        }
        Ok(entries)
    }

    /// Calls until it succeeds, a rebalance makes it pointless, or it has to be given up. The member is polled all the
    /// while, so that the group does not wait for this instance.
    fn insist<T>(&mut self, mut call: impl FnMut(&mut Self, Duration) -> Result<T, Trouble>) -> Result<T, Interrupted> {
        loop {
            match call(self, limits::CALL_MAX) {
                Ok(value) => {
                    self.answered();
                    return Ok(value);
                }
                Err(trouble) if trouble.next == NextStep::Retry => self.waits(trouble)?,
                Err(trouble) => return Err(trouble.into()),
            }
            self.look_up()?;
        }
    }

    /// Serves the group for a moment.
    fn look_up(&mut self) -> Result<(), Interrupted> {
        self.beat();
        let rebalanced = self.poll_member_only(Duration::from_millis(10))?;
        match (self.stop.requested(), rebalanced) {
            (true, _) => Err(Interrupted::Stopped),
            (_, true) => Err(Interrupted::Rebalanced),
            _ => Ok(()),
        }
    }
}

const OPEN_TRANSACTION: &str = "waiting for a transaction of another instance to end";

fn failed(error: &KafkaError) -> Trouble {
    Trouble::of("read the drafts topic", error)
}

/// By partition: the committed position, if there is one, and the instance that committed it.
type Committed = BTreeMap<(String, i32), (Option<i64>, String)>;

fn committed(
    consumer: &BaseConsumer<Notes>,
    partitions: impl Iterator<Item = (String, i32)>,
    wait: Duration,
) -> Result<Committed, Trouble> {
    let trouble = |error: KafkaError| Trouble::of("learn the committed positions", &error);
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition(&topic, partition);
    }
    let answer = consumer.committed_offsets(list, wait).map_err(trouble)?;
    let mut committed = Committed::new();
    for element in answer.elements() {
        element.error().map_err(trouble)?;
        let offset = match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        let at = (element.topic().to_owned(), element.partition());
        committed.insert(at, (offset, element.metadata().to_owned()));
    }
    Ok(committed)
}

/// The instances that are members of the group now.
pub(super) fn members(
    consumer: &BaseConsumer<Notes>,
    group: &str,
    wait: Duration,
) -> Result<BTreeSet<String>, Trouble> {
    let doing = "ask who is in the group";
    let list = consumer.fetch_group_list(Some(group), wait).map_err(|error| Trouble::of(doing, &error))?;
    let members = list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    Ok(members.map(|member| member.client_id().to_owned()).collect())
}
