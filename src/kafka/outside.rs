//! What others do on the same brokers: give arrivals, and read what is committed. `demo --brokers` shows the stream
//! from there.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use super::{
    client::{self, Notes, Role},
    intake,
    next_step::{NextStep, Trouble},
    topics::{self, Layout},
    worker::wall,
};
use crate::{
    arrival::{Arrival, Input},
    limits,
    settings::{Settings, Topic},
    turn::instance::INPUTS,
};

/// One arrival for an input topic, as a producer writes it.
#[derive(Clone, Debug)]
pub struct Given {
    pub input: Input,
    /// None: any partition.
    pub key: Option<Bytes>,
    pub headers: Vec<(&'static str, String)>,
    pub value: Bytes,
}

/// Producers and readers beside the stream of these settings.
pub struct Outside<'a> {
    settings: &'a Settings,
    layout: Layout,
}

impl Outside<'_> {
    /// Asks how large messages may be. An error is a sentence.
    pub fn of(settings: &Settings) -> Result<Outside<'_>, String> {
        Ok(Outside { settings, layout: topics::layout_or_refusal(settings)? })
    }

    pub fn name(&self, topic: impl Into<Topic>) -> &str {
        self.settings.topics.name(topic)
    }

    /// Writes all, keys partitioned as Java's producers do, and waits until the brokers have them.
    pub fn give(&self, given: &[Given]) -> Result<(), String> {
        let mut config = client::config(&self.settings.kafka, Role::Admin, self.layout.sizes);
        config.set("partitioner", "murmur2_random").set("enable.idempotence", "true").set("linger.ms", "5");
        let producer: ThreadedProducer<Notes> = client::create(&config).map_err(|trouble| trouble.why)?;
        let deadline = Instant::now() + limits::REACH_MAX;
        for given in given {
            self.send(&producer, given, deadline)?;
        }
        let flushed = producer.flush(deadline.saturating_duration_since(Instant::now()));
        let refused = producer.context().take_delivery_error().map(|(code, _)| KafkaError::MessageProduction(code));
        match flushed.err().or(refused) {
            Some(error) => Err(Trouble::of("write arrivals", &error).why),
            None => Ok(()),
        }
    }

    fn send(&self, producer: &ThreadedProducer<Notes>, given: &Given, deadline: Instant) -> Result<(), String> {
        let headers = given
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (name, value)| all.insert(Header { key: name, value: Some(value) }));
        let mut message: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(self.name(given.input), 0);
        message.key = given.key.as_deref();
        message.payload = Some(&given.value);
        message.headers = Some(headers);
        loop {
            match producer.send(message) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                    if Instant::now() < deadline =>
                {
                    message = back;
                    sleep(Duration::from_millis(5));
                }
                Err((error, _)) => return Err(Trouble::of("write arrivals", &error).why),
            }
        }
    }

    /// What lies in the input topics now, strays included.
    pub fn arrivals(&self) -> Result<Vec<Arrival>, String> {
        let mut arrivals = Vec::new();
        for input in INPUTS {
            self.read(input.into(), |message| arrivals.push(intake::arrival(message, input, wall())))?;
        }
        Ok(arrivals)
    }

    /// The values that lie in a topic now, partition by partition, each in its order.
    pub fn values(&self, topic: Topic) -> Result<Vec<Bytes>, String> {
        let mut values = Vec::new();
        self.read(topic, |message| {
            let place = (message.partition(), message.offset());
            values.push((place, Bytes::copy_from_slice(message.payload().unwrap_or_default())));
        })?;
        values.sort_by_key(|(place, _)| *place);
        Ok(values.into_iter().map(|(_, value)| value).collect())
    }

    /// Hands over every committed message up to where the topic ends now.
    fn read(&self, topic: Topic, mut take: impl FnMut(&BorrowedMessage<'_>)) -> Result<(), String> {
        let name = self.name(topic);
        let doing = format!("read {name}");
        let config = client::config(&self.settings.kafka, Role::Restorer, self.layout.sizes);
        let reader: BaseConsumer<Notes> = client::create(&config).map_err(|trouble| trouble.why)?;
        let mut unfinished: Vec<i32> = (0..self.partitions(&reader, name)?).collect();
        let mut list = TopicPartitionList::new();
        for &partition in &unfinished {
            let added = list.add_partition_offset(name, partition, Offset::Beginning);
            added.map_err(|error| Trouble::of(&doing, &error).why)?;
        }
        reader.assign(&list).map_err(|error| Trouble::of(&doing, &error).why)?;
        let mut deadline = Instant::now() + limits::REACH_MAX;
        // The reader tells the end: transaction markers leave no message at the last offset.
        while !unfinished.is_empty() {
            match reader.poll(limits::CALL_MAX) {
                Some(Ok(message)) => {
                    take(&message);
                    deadline = Instant::now() + limits::REACH_MAX;
                }
                Some(Err(KafkaError::PartitionEOF(ended))) => unfinished.retain(|&partition| partition != ended),
                Some(Err(error)) => {
                    let trouble = Trouble::of(&doing, &error);
                    if trouble.next != NextStep::Retry {
                        return Err(trouble.why);
                    }
                }
                None => {}
            }
            if Instant::now() > deadline {
                let reason = reader.context().last_error().unwrap_or_else(|| "no answer".to_owned());
                return Err(format!("could not {doing} in time: {reason}"));
            }
        }
        Ok(())
    }

    fn partitions(&self, reader: &BaseConsumer<Notes>, name: &str) -> Result<i32, String> {
        let metadata = reader.fetch_metadata(Some(name), limits::REACH_MAX);
        let metadata = metadata.map_err(|error| Trouble::of(&format!("look at {name}"), &error).why)?;
        let partitions = metadata.topics().iter().find(|topic| topic.name() == name).map(|topic| topic.partitions());
        let count = partitions.map_or(0, <[_]>::len);
        match count {
            0 => Err(format!("{name} is gone: somebody deleted it")),
            count => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
        }
    }
}
