//! Arrivals read again from where they lie.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::KafkaError,
};

use super::{
    client::{self, Notes, Role, Sizes},
    next_step::{self, Cause, NextStep, Trouble},
    stop::Stop,
};
use crate::{
    arrival::Position,
    correlate::Place,
    limits,
    settings::{KafkaSettings, Topic, TopicSettings},
    turn::{
        Bodies,
        instance::{INPUTS, Positions},
    },
};

/// Reads single arrivals and drafts, and knows how far logs reach with open transactions counted in.
pub struct Lookup {
    consumer: BaseConsumer<Notes>,
    topics: TopicSettings,
    /// The partition that is being read, the offset that comes next, and the size of the message before it.
    reading: Option<(At, usize)>,
    short: ShortLogs,
    /// Why bytes that may well be there could not be had: the turn that asked for them must not be committed.
    trouble: Option<Trouble>,
    stop: Stop,
}

/// A place in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    topic: Topic,
    partition: i32,
    offset: i64,
}

impl Lookup {
    pub fn start(kafka: &KafkaSettings, topics: &TopicSettings, sizes: Sizes, stop: Stop) -> Result<Lookup, Trouble> {
        let consumer = client::create(&client::config(kafka, Role::Lookup, sizes))?;
        Ok(Lookup { consumer, topics: topics.clone(), reading: None, short: ShortLogs::default(), trouble: None, stop })
    }

    pub fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    pub fn consumer(&self) -> &BaseConsumer<Notes> {
        &self.consumer
    }

    fn one(&mut self, wanted: At, deadline: Instant) -> Result<Bytes, Missing> {
        self.go_to(wanted)?;
        let topic = self.topics.name(wanted.topic).to_owned();
        let mut at_end = false;
        loop {
            match self.consumer.poll(limits::CALL_MAX) {
                Some(Ok(message)) if message.topic() != topic => {}
                Some(Ok(message)) if message.partition() != wanted.partition || message.offset() < wanted.offset => {
                    at_end = false;
                }
                Some(Ok(message)) => {
                    let offset = message.offset();
                    self.reading = Some((At { offset: offset + 1, ..wanted }, message.payload_len()));
                    if offset > wanted.offset {
                        return Err(Missing::Gone);
                    }
                    return Ok(Bytes::copy_from_slice(message.payload().unwrap_or_default()));
                }
                // Told once, and perhaps of what was read before.
                Some(Err(KafkaError::PartitionEOF(partition))) => at_end |= partition == wanted.partition,
                Some(Err(error)) => {
                    let trouble = Trouble::of("read again what lies in a topic", &error);
                    if trouble.next != NextStep::Retry {
                        return Err(Missing::For(trouble));
                    }
                }
                None => {}
            }
            if at_end && self.is_gone(wanted)? {
                self.reading = None;
                return Err(Missing::Gone);
            }
            if Instant::now() > deadline || self.stop.expired() {
                let reason = self.consumer.context().last_error().unwrap_or_else(|| "no answer".to_owned());
                let why = format!("could not read again what lies in a topic in time: {reason}");
                return Err(Missing::For(Trouble::new(NextStep::Abort, Cause::BrokerAway, why)));
            }
        }
    }

    /// Whether what is wanted is gone for good, where the reader is at an end. Where a log begins its leader may say too low,
    /// never too high. Where it ends one may say too low that has lost its place and does not know it.
    fn is_gone(&mut self, wanted: At) -> Result<bool, Missing> {
        let at = [(self.topics.name(wanted.topic).to_owned(), wanted.partition)];
        let ask = |which| log_offsets(&self.consumer, at.iter().cloned(), which, limits::CALL_MAX);
        match ask(Offset::Beginning).and_then(|begins| Ok((begins, ask(Offset::End)?))) {
            Ok((begins, ends)) => {
                let says_so = ends.values().all(|end| *end <= wanted.offset);
                if says_so {
                    learn_leaders(&self.consumer, at.iter().cloned());
                }
                let is_short = self.short.is_short((wanted.topic, wanted.partition), says_so, Instant::now());
                Ok(is_short || begins.values().all(|begin| *begin > wanted.offset))
            }
            Err(trouble) if trouble.next == NextStep::Retry => Ok(false),
            Err(trouble) => Err(Missing::For(trouble)),
        }
    }

    /// Reads on where the wanted offset is near ahead, else jumps.
    fn go_to(&mut self, wanted: At) -> Result<(), Missing> {
        let near = self.reading.is_some_and(|(next, bytes)| {
            let gap_max = i64::try_from(limits::REFETCH_GAP_BYTES / bytes.max(1)).unwrap_or(i64::MAX);
            (next.topic, next.partition) == (wanted.topic, wanted.partition)
                && (next.offset..=next.offset + gap_max.min(limits::REFETCH_GAP_MAX)).contains(&wanted.offset)
        });
        if near {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        let topic = self.topics.name(wanted.topic);
        let offset = Offset::Offset(wanted.offset);
        let jumped =
            list.add_partition_offset(topic, wanted.partition, offset).and_then(|()| self.consumer.assign(&list));
        self.reading = Some((wanted, 0));
        jumped.map_err(|error| Missing::For(Trouble::of("read again what lies in a topic", &error).given_up()))
    }
}

/// Logs of which a leader says that they end before what was once read of them. One that has lost its place and does not know
/// it may say so for a while; that it is still said after the leader was asked for again and again is believed.
#[derive(Default)]
struct ShortLogs {
    /// Since when without a break, and when last.
    said: BTreeMap<(Topic, i32), (Instant, Instant)>,
}

impl ShortLogs {
    /// Takes an answer about a log's end; returns whether it is to be believed that the log is too short.
    fn is_short(&mut self, log: (Topic, i32), says_so: bool, now: Instant) -> bool {
        if !says_so {
            self.said.remove(&log);
            return false;
        }
        let (since, last) = self.said.entry(log).or_insert((now, now));
        if now.duration_since(*last) > limits::SHORT_LOG_BELIEVED {
            *since = now;
        }
        *last = now;
        now.duration_since(*since) >= limits::SHORT_LOG_BELIEVED
    }
}

enum Missing {
    /// For good.
    Gone,
    /// Now.
    For(Trouble),
}

impl Lookup {
    /// Bytes, or why there are none; where they may be had later, that is noted too.
    fn noted(&mut self, wanted: At) -> Result<Bytes, String> {
        let deadline = Instant::now() + limits::REFETCH_MAX;
        if let Some(trouble) = &self.trouble {
            return Err(trouble.why.clone());
        }
        if self.stop.expired() {
            let why = "stopped while it was read back";
            return Err(self.trouble.insert(Trouble::abort(why)).why.clone());
        }
        self.one(wanted, deadline).map_err(|missing| match missing {
            Missing::Gone => "its topic has deleted it".to_owned(),
            Missing::For(trouble) => {
                self.reading = None;
                self.trouble.insert(trouble).why.clone()
            }
        })
    }
}

impl Bodies for Lookup {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        let at = |position: &Position| At {
            topic: Topic::from(position.input),
            partition: position.partition,
            offset: position.offset,
        };
        wanted.iter().map(|position| self.noted(at(position))).collect()
    }

    fn fetch_drafts(&mut self, partition: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        let began = Instant::now();
        let at = |place: &Place| At { topic: Topic::Drafts, partition, offset: *place };
        let values = places.iter().map(|place| self.noted(at(place))).collect();
        tracing::debug!(partition, drafts = places.len(), took = ?began.elapsed(), "read back");
        values
    }
}

/// Partitions by topic name, with an offset each.
pub type Offsets = BTreeMap<(String, i32), i64>;

/// Where the logs of partitions begin (`Offset::Beginning`) or end (`Offset::End`), as the consumer's isolation sees
/// them. One request a broker.
pub fn log_offsets(
    consumer: &BaseConsumer<Notes>,
    partitions: impl Iterator<Item = (String, i32)>,
    which: Offset,
    wait: Duration,
) -> Result<Offsets, Trouble> {
    let doing = "ask how far topics reach";
    let trouble = |error: KafkaError| Trouble::of(doing, &error);
    let mut list = TopicPartitionList::new();
    for (topic, partition) in partitions {
        list.add_partition_offset(&topic, partition, which).map_err(trouble)?;
    }
    if list.count() == 0 {
        return Ok(Offsets::new());
    }
    let trouble = |error: KafkaError| {
        if next_step::is_of_a_moved_leader(&error) {
            learn_leaders(consumer, list.elements().iter().map(|one| (one.topic().to_owned(), one.partition())));
        }
        trouble(error)
    };
    let answer = consumer.offsets_for_times(list.clone(), wait).map_err(trouble)?;
    let mut offsets = Offsets::new();
    for element in answer.elements() {
        element.error().map_err(trouble)?;
        let Offset::Offset(offset) = element.offset() else {
            return Err(Trouble::new(NextStep::Retry, Cause::BrokerAway, format!("could not {doing}: no answer")));
        };
        offsets.insert((element.topic().to_owned(), element.partition()), offset);
    }
    Ok(offsets)
}

/// Asks who leads these partitions now, for the next question. Who cannot be asked is asked again then.
pub fn learn_leaders(consumer: &BaseConsumer<Notes>, partitions: impl Iterator<Item = (String, i32)>) {
    let topics: BTreeSet<String> = partitions.map(|(topic, _)| topic).collect();
    for topic in topics {
        let _ = consumer.fetch_metadata(Some(&topic), limits::CALL_MAX);
    }
}

/// The input topics' partitions of these numbers.
pub fn inputs<'a>(topics: &'a TopicSettings, numbers: &'a [i32]) -> impl Iterator<Item = (String, i32)> + 'a {
    numbers.iter().flat_map(move |number| INPUTS.map(|input| (topics.name(input).to_owned(), *number)))
}

/// The same offsets, of inputs by what they are rather than by name.
pub fn positions(topics: &TopicSettings, offsets: Offsets) -> Positions {
    let known = |((topic, partition), offset): ((String, i32), i64)| Some(((topics.input(&topic)?, partition), offset));
    offsets.into_iter().filter_map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_too_short_where_its_leaders_go_on_saying_so() {
        let began = Instant::now();
        let believed = limits::SHORT_LOG_BELIEVED.as_secs();
        let mut logs = ShortLogs::default();
        let mut says =
            |says_so, seconds| logs.is_short((Topic::Reports, 0), says_so, began + Duration::from_secs(seconds));
        assert!(!says(true, 0) && !says(true, believed - 1) && says(true, believed));
        assert!(!says(false, 30) && !says(true, 31) && !says(true, 30 + believed), "another answer puts an end to it");
        assert!(!says(true, 3_600) && !says(true, 3_599 + believed), "nobody asked in between");
        assert!(says(true, 3_600 + believed) && says(true, 3_601 + believed));
    }
}
