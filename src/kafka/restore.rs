//! The steps of a restore (the order, and what makes it right, is [`crate::turn::instance`]'s): each asks the brokers one
//! thing and hands the answer to the instance.

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
    next_step::{Cause, NextStep, Trouble},
    transactions,
    worker::Worker,
};
use crate::{
    arrival::Input,
    limits,
    settings::{KafkaSettings, Topic},
    telemetry,
    turn::instance::{Bounds, Expired, Impossible},
};

pub(super) type ChangelogReader = BaseConsumer<Notes>;

/// The changelog is read this long before the group is served again.
const READ_SLICE: Duration = limits::CALL_MAX.checked_div(4).expect("a divisor that is not zero");

impl Worker<'_> {
    pub(super) fn end_orphans(&mut self) {
        if let Err(trouble) = self.try_to_end_orphans() {
            tracing::warn!(%trouble, "the open transaction of an instance that is gone, if any, has to time out");
        }
        self.instance.handle_orphans_ended();
    }

    /// Ends what an instance that is gone had begun on these partitions. A transaction left open would hold up the
    /// restore, and every reader, until it times out. Failing at it costs only that time: what a member that was left
    /// behind still writes is refused by its generation.
    fn try_to_end_orphans(&self) -> Result<(), Trouble> {
        self.faults.pass(Phase::Orphaned)?;
        // Not stable: a position of an open transaction would be waited for, and that transaction is what is to be ended.
        let committed = committed(self.lookup.consumer(), self.inputs(), 2 * limits::CALL_MAX)?;
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

    pub(super) fn learn_committed(&mut self) -> Result<(), Trouble> {
        let committed = committed(&self.member, self.inputs(), limits::CALL_MAX)?;
        let committed = committed.into_iter().filter_map(|(at, (offset, _))| Some((at, offset?))).collect();
        let committed = self.instance.handle_committed(bodies::positions(&self.settings.topics, committed));
        committed.map_err(|impossible| self.refusal(&impossible))
    }

    pub(super) fn learn_changelog_bounds(&mut self) -> Result<(), Trouble> {
        let end = self.changelog_offsets(Offset::End)?;
        let first = self.changelog_offsets(Offset::Beginning)?;
        let bounds = end.into_iter().map(|(number, end)| (number, Bounds { first: first[&number], end }));
        self.instance.handle_changelog_bounds(bounds.collect());
        Ok(())
    }

    pub(super) fn learn_input_bounds(&mut self) -> Result<(), Trouble> {
        let ask = |which| bodies::log_offsets(self.lookup.consumer(), self.inputs(), which, limits::CALL_MAX);
        let (first, end) = (ask(Offset::Beginning)?, ask(Offset::End)?);
        let topics = &self.settings.topics;
        let end = bodies::positions(topics, end);
        let bounds =
            bodies::positions(topics, first).into_iter().map(|(at, first)| (at, Bounds { first, end: end[&at] }));
        let expired = self.instance.handle_input_bounds(&bounds.collect());
        for Expired { input, partition, arrivals } in expired.map_err(|impossible| self.refusal(&impossible))? {
            telemetry::expired(arrivals.unsigned_abs());
            let topic = self.settings.topics.name(input);
            tracing::error!(topic, partition, arrivals, "deleted by the topic's retention before they were read");
        }
        Ok(())
    }

    /// Reads on for a moment.
    pub(super) fn read_changelog(&mut self) -> Result<(), Trouble> {
        if self.changelog.is_none() {
            self.changelog = Some(self.changelog_reader()?);
        }
        let slice_ends = Instant::now() + READ_SLICE;
        let mut came = false;
        while Instant::now() < slice_ends && self.instance.reads_changelog() {
            let reader = self.changelog.as_ref().expect("made above");
            match reader.poll(READ_SLICE) {
                Some(Ok(message)) => {
                    came = true;
                    self.instance.handle_entry(message.partition(), message.offset(), message.key(), message.payload());
                }
                // What a reader takes for the end is none before the claim was met.
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(error)) => return Err(failed(&error)),
                None => {}
            }
        }
        let read = self.instance.handle_changelog_read();
        if read.map_err(|impossible| self.refusal(&impossible))? {
            let partitions = self.instance.numbers().len();
            tracing::info!(partitions, entries = self.instance.entries_restored(), "restored");
        } else if !came {
            let why = "waiting for the rest of the drafts topic: a transaction of another instance has not ended, or a \
                       broker does not give all of it yet";
            return Err(Trouble::new(NextStep::Retry, Cause::Other, why));
        }
        Ok(())
    }

    fn changelog_reader(&self) -> Result<ChangelogReader, Trouble> {
        let config = client::config(&self.settings.kafka, Role::Restorer, self.sizes);
        let reader: ChangelogReader = client::create(&config)?;
        let topic = self.settings.topics.name(Topic::Drafts);
        let mut list = TopicPartitionList::new();
        for (number, offset) in self.instance.changelog_unread() {
            let added = list.add_partition_offset(topic, number, Offset::Offset(offset));
            added.map_err(|error| failed(&error))?;
        }
        reader.assign(&list).map_err(|error| failed(&error))?;
        Ok(reader)
    }

    fn changelog_offsets(&self, which: Offset) -> Result<BTreeMap<i32, i64>, Trouble> {
        let topic = self.settings.topics.name(Topic::Drafts);
        let partitions = self.instance.numbers().iter().map(|number| (topic.to_owned(), *number));
        let offsets: Offsets = bodies::log_offsets(self.lookup.consumer(), partitions, which, limits::CALL_MAX)?;
        Ok(offsets.into_iter().map(|((_, number), offset)| (number, offset)).collect())
    }

    fn inputs(&self) -> impl Iterator<Item = (String, i32)> + '_ {
        bodies::inputs(&self.settings.topics, self.instance.numbers())
    }

    /// What a person has to do about it, unless another broker says otherwise before recoveries are given up.
    fn refusal(&self, impossible: &Impossible) -> Trouble {
        let name = |input: Input| self.settings.topics.name(input);
        let drafts = self.settings.topics.name(Topic::Drafts);
        let why = match impossible {
            Impossible::Forgotten { input, partition } => format!(
                "Kafka has no position of group {} in {}, partition {partition}, although {drafts} holds what was made of \
                 it (an idle group is forgotten after offsets.retention.minutes, and positions in a topic go when it is \
                 deleted). Reading it from its beginning would publish records again: set the group's positions with \
                 kafka-consumer-groups --reset-offsets, or, to begin from nothing, delete {drafts} and make it anew with \
                 `mailjournal topics create`",
                self.settings.kafka.group,
                name(*input),
            ),
            Impossible::BeyondEnd { input, partition, committed, end } => format!(
                "the committed position in {}, partition {partition}, is {committed}, and the topic ends at {end}: it has \
                 lost its end, or the position was set wrongly. Set the group's positions with kafka-consumer-groups \
                 --reset-offsets",
                name(*input),
            ),
            Impossible::Behind { input, partition, committed, known } => format!(
                "the committed position in {}, partition {partition}, is {}, and this instance committed {known}: \
                 somebody has set it back, or a broker tells what was. If it was set on purpose, start this instance \
                 again",
                name(*input),
                committed.map_or("none".to_owned(), |committed| committed.to_string()),
            ),
            Impossible::Entry { .. } => impossible.to_string(),
        };
        match impossible {
            // So says a broker, too, that has lost its place and does not know it.
            Impossible::BeyondEnd { .. } | Impossible::Behind { .. } => {
                bodies::learn_leaders(self.lookup.consumer(), self.inputs());
                Trouble::abort(why)
            }
            Impossible::Forgotten { .. } | Impossible::Entry { .. } => Trouble::stop(why),
        }
    }
}

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
