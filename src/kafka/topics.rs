//! The topics: making them, and finding out before a start what would hurt later.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, ConfigResource, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
        TopicReplication,
    },
    error::RDKafkaErrorCode,
};

use super::{
    client::{self, Notes, Role, Sizes},
    next_step::{Cause, NextStep, Trouble},
};
use crate::{
    limits,
    record::ValueBytesMax,
    settings::{Settings, Topic},
};

/// `max.message.bytes` of the input topics that `topics create` makes: a mail of 30 MB, and what is put around it.
const INPUT_MESSAGE_BYTES: usize = 40 * 1024 * 1024;

/// `max.message.bytes` of the topics that are written: an arrival and the headers that tell of it, or all evidence that
/// one arrival may hold.
const MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// What each topic that is written must take at least: a ledger row, a record without its originals.
const MESSAGE_BYTES_MIN: usize = 64 * 1024;

/// `max.message.bytes` that the drafts topic needs: all that one arrival may say, and what is put around it.
const DRAFT_MESSAGE_BYTES: usize = limits::EVIDENCE_BYTES_MAX + 4 * 1024 * 1024;

/// Bytes of a value that its topic counts beside it: key, headers, and the batch around it.
const FRAMING_BYTES: usize = 4 * 1024;

/// How long input topics keep arrivals: two holidays. Strays and reports are read again when late evidence comes.
const INPUT_RETENTION: Duration = Duration::from_secs(14 * 86_400);

/// How long the drafts topic that `topics create` makes keeps what says that a draft is forgotten, once it is cleaned: a
/// restore that has read the draft must find its end too.
const DELETE_RETENTION: Duration = Duration::from_secs(3_600);

/// The longest restore that is reckoned with: a million drafts take seconds.
const RESTORE_MAX: Duration = Duration::from_secs(600);

/// What a worker needs to know of the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// N.
    pub partitions: i32,
    pub sizes: Sizes,
    /// The largest values that the topics of records take.
    pub value_bytes_max: ValueBytesMax,
    /// The largest value, with its headers, that both the strays and the rejected topic take.
    pub passed_on_bytes_max: usize,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// `run` refuses to start.
    Wrong(String),
    /// Works, but a person should know.
    Note(String),
}

/// What a topic is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub partitions: i32,
    pub replication: i32,
    pub config: BTreeMap<String, String>,
}

impl Found {
    fn number(&self, name: &str) -> Option<i64> {
        self.config.get(name)?.parse().ok()
    }

    fn message_bytes(&self) -> usize {
        self.number("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(1024 * 1024)
    }

    fn has_policy(&self, policy: &str) -> bool {
        self.config.get("cleanup.policy").is_some_and(|all| all.split(',').any(|one| one.trim() == policy))
    }
}

/// The topics as they are, those that are missing left out.
pub struct Inspection<'a> {
    settings: &'a Settings,
    pub brokers: usize,
    pub topics: BTreeMap<Topic, Found>,
}

/// Asks the cluster, for at most `wait`.
pub fn inspect(settings: &Settings, wait: Duration) -> Result<Inspection<'_>, Trouble> {
    let admin = admin(settings)?;
    let deadline = Instant::now() + wait;
    loop {
        match look(&admin, settings, wait.min(Duration::from_secs(5))) {
            // A broker may go away between two questions.
            Err(trouble) if trouble.next == NextStep::Retry && Instant::now() < deadline => {
                tracing::debug!(%trouble, "asked again");
                sleep(limits::RECOVERY_WAIT_MIN);
            }
            inspected => return inspected,
        }
    }
}

fn look<'s>(admin: &AdminClient<Notes>, settings: &'s Settings, wait: Duration) -> Result<Inspection<'s>, Trouble> {
    let metadata = admin.inner().fetch_metadata(None, wait).map_err(|error| {
        let trouble = Trouble::of("look at the topics", &error);
        // Only a poll hands out what librdkafka has to say of its brokers; the admin client polls itself.
        let reason = admin.inner().context().last_error().unwrap_or(trouble.why);
        let why = format!(
            "no broker answers at {} ({reason}): is Kafka running, and is kafka.brokers right?",
            settings.kafka.brokers
        );
        Trouble::new(trouble.next, Cause::BrokerAway, why)
    })?;
    let mut topics = BTreeMap::new();
    for topic in Topic::ALL {
        let name = settings.topics.name(topic);
        let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else { continue };
        let partitions = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
        if found.error().is_some() || partitions == 0 {
            continue;
        }
        let replication = found.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0);
        let replication = i32::try_from(replication).unwrap_or(i32::MAX);
        topics.insert(topic, Found { partitions, replication, config: BTreeMap::new() });
    }
    describe(admin, settings, &mut topics)?;
    Ok(Inspection { settings, brokers: metadata.brokers().len(), topics })
}

fn admin(settings: &Settings) -> Result<AdminClient<Notes>, Trouble> {
    client::create(&client::config(&settings.kafka, Role::Admin, Sizes::UNKNOWN))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(limits::REACH_MAX)).operation_timeout(Some(limits::REACH_MAX))
}

/// rdkafka's admin calls are futures that any executor may wait for.
fn wait_for<T>(future: impl Future<Output = rdkafka::error::KafkaResult<T>>, doing: &str) -> Result<T, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Trouble::stop(format!("could not {doing}: {error}")))?;
    runtime.block_on(future).map_err(|error| Trouble::of(doing, &error))
}

/// Fills in each topic's configuration.
fn describe(
    admin: &AdminClient<Notes>,
    settings: &Settings,
    topics: &mut BTreeMap<Topic, Found>,
) -> Result<(), Trouble> {
    let resources: Vec<ResourceSpecifier<'_>> =
        topics.keys().map(|topic| ResourceSpecifier::Topic(settings.topics.name(*topic))).collect();
    if resources.is_empty() {
        return Ok(());
    }
    let doing = "read the topics' configuration";
    let answers = wait_for(admin.describe_configs(&resources, &options()), doing)?;
    for answer in answers {
        let ConfigResource { specifier, entries } =
            answer.map_err(|code| Trouble::of(doing, &rdkafka::error::KafkaError::AdminOp(code)))?;
        let OwnedResourceSpecifier::Topic(name) = specifier else { continue };
        let topic = Topic::ALL.into_iter().find(|topic| settings.topics.name(*topic) == name);
        let Some(found) = topic.and_then(|topic| topics.get_mut(&topic)) else { continue };
        found.config = entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect();
    }
    Ok(())
}

impl Inspection<'_> {
    /// All that is wrong or worth knowing, each with what to do.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.find_missing(&mut findings);
        self.find_unequal(&mut findings);
        self.find_deleted(&mut findings);
        self.find_unsafe(&mut findings);
        self.find_sizes(&mut findings);
        findings
    }

    /// What a worker needs; the sentences of all that is wrong otherwise.
    pub fn layout(&self) -> Result<Layout, String> {
        let findings = self.findings();
        let wrong: Vec<&str> = findings
            .iter()
            .filter_map(|finding| match finding {
                Finding::Wrong(text) => Some(text.as_str()),
                Finding::Note(_) => None,
            })
            .collect();
        if !wrong.is_empty() {
            return Err(format!("the topics are not fit for a start:\n  {}", wrong.join("\n  ")));
        }
        let bytes = || self.topics.values().map(Found::message_bytes);
        let message_max = bytes().max().unwrap_or(MESSAGE_BYTES).min(1_000_000_000);
        // A batch is counted with its framing, and one that is larger than any topic takes is refused whole.
        let batch_max = bytes().min().unwrap_or(MESSAGE_BYTES).saturating_sub(FRAMING_BYTES).clamp(1024, 1_000_000);
        let room = |topic: Topic| self.topics[&topic].message_bytes().saturating_sub(FRAMING_BYTES);
        Ok(Layout {
            partitions: self.topics[&Topic::Reports].partitions,
            sizes: Sizes { message_max: message_max + FRAMING_BYTES, batch_max },
            value_bytes_max: ValueBytesMax {
                archive: Some(room(Topic::Archive)),
                activity: Some(room(Topic::Activity)),
                ndr: Some(room(Topic::Ndr)),
            },
            passed_on_bytes_max: room(Topic::Strays).min(room(Topic::Rejected)),
        })
    }

    fn name(&self, topic: Topic) -> &str {
        self.settings.topics.name(topic)
    }

    fn find_missing(&self, findings: &mut Vec<Finding>) {
        for topic in Topic::ALL.into_iter().filter(|topic| !self.topics.contains_key(topic)) {
            let name = self.name(topic);
            findings.push(Finding::Wrong(format!("{name} is missing: `mailjournal topics create` makes it")));
        }
    }

    fn find_unequal(&self, findings: &mut Vec<Finding>) {
        let Some(reports) = self.topics.get(&Topic::Reports) else { return };
        let alike = self.topics.iter().filter(|(topic, _)| topic.is_partitioned_alike());
        for (topic, found) in alike.filter(|(_, found)| found.partitions != reports.partitions) {
            findings.push(Finding::Wrong(format!(
                "{} has {} partitions and {} has {}: they must be equal, because a message's home is one number in all \
                 of them. Before anything has run, add partitions to the smaller one; later, stop all, and begin with new \
                 topics (another topics.prefix and kafka.group): more partitions would give messages other homes than \
                 their drafts have",
                self.name(*topic),
                found.partitions,
                self.name(Topic::Reports),
                reports.partitions
            )));
        }
    }

    /// Topics that would lose what is still needed.
    fn find_deleted(&self, findings: &mut Vec<Finding>) {
        let drafts = self.topics.get(&Topic::Drafts);
        if let Some(drafts) = drafts.filter(|found| !found.has_policy("compact") || found.has_policy("delete")) {
            let policy = drafts.config.get("cleanup.policy").map_or("unknown", String::as_str);
            findings.push(Finding::Wrong(format!(
                "{} has cleanup.policy={policy}: it must be compact and nothing else, or drafts are lost. Set it with \
                     kafka-configs",
                self.name(Topic::Drafts)
            )));
        }
        let patience = self.settings.timing.patience;
        for topic in [Topic::Reports, Topic::Envelopes, Topic::Strays] {
            let Some(found) = self.topics.get(&topic) else { continue };
            let name = self.name(topic);
            if found.has_policy("compact") {
                findings.push(Finding::Wrong(format!(
                    "{name} is compacted: reports of one message have one key, and all but the last would be lost. Set \
                     its cleanup.policy to delete"
                )));
            }
            let retention = found.number("retention.ms").and_then(|millis| u64::try_from(millis).ok());
            if let Some(retention) = retention.map(Duration::from_millis).filter(|retention| *retention < patience) {
                findings.push(Finding::Wrong(format!(
                    "{name} keeps arrivals for {} s and correlate.patience is {} s: originals would be gone before their \
                     record is published. Raise its retention.ms or lower correlate.patience",
                    retention.as_secs(),
                    patience.as_secs()
                )));
            }
        }
    }

    /// Topics of which brokers may lose what they have acknowledged, or a restore misread what it finds.
    fn find_unsafe(&self, findings: &mut Vec<Finding>) {
        let mut note = |text: String| findings.push(Finding::Note(text));
        for (topic, found) in &self.topics {
            let (name, copies) = (self.name(*topic), found.replication);
            if copies < 2 && self.brokers > 1 {
                note(format!("{name} has {copies} copy a partition: one lost broker loses it"));
            }
            if copies > 2 && found.number("min.insync.replicas").is_some_and(|copies| copies < 2) {
                note(format!(
                    "{name} has min.insync.replicas=1: a broker may be lost that alone has what was acknowledged. Set it \
                     to 2"
                ));
            }
            if found.config.get("unclean.leader.election.enable").is_some_and(|enabled| enabled == "true") {
                note(format!(
                    "{name} has unclean.leader.election.enable=true: a broker that lacks committed values may lead it, and \
                     they are lost. Set it to false"
                ));
            }
        }
        let kept = self.topics.get(&Topic::Drafts).and_then(|found| found.number("delete.retention.ms"));
        if let Some(kept) = kept.filter(|kept| i128::from(*kept) < RESTORE_MAX.as_millis().cast_signed()) {
            note(format!(
                "{} has delete.retention.ms={kept}: a restore that takes longer may meet a draft whose end was deleted \
                 meanwhile, and publish it again. Set it to {} or more",
                self.name(Topic::Drafts),
                DELETE_RETENTION.as_millis()
            ));
        }
    }

    /// Topics that take less than what must go into them.
    fn find_sizes(&self, findings: &mut Vec<Finding>) {
        let inputs = [Topic::Reports, Topic::Envelopes].into_iter().filter_map(|topic| self.topics.get(&topic));
        let Some(needed) = inputs.map(Found::message_bytes).max() else { return };
        for (topic, found) in &self.topics {
            let bytes = found.message_bytes();
            let name = self.name(*topic);
            let needed = if *topic == Topic::Drafts { needed.max(DRAFT_MESSAGE_BYTES) } else { needed };
            if bytes >= needed {
                continue;
            }
            if bytes < MESSAGE_BYTES_MIN {
                findings.push(Finding::Wrong(format!(
                    "{name} takes {bytes} bytes: not even small values fit. Raise its max.message.bytes to {needed}"
                )));
                continue;
            }
            match topic {
                Topic::Strays | Topic::Rejected => findings.push(Finding::Wrong(format!(
                    "{name} takes {bytes} bytes and the inputs {needed}: arrivals are passed on there whole. Raise its \
                     max.message.bytes to {needed}"
                ))),
                Topic::Drafts => findings.push(Finding::Wrong(format!(
                    "{name} takes {bytes} bytes: all that one arrival says must fit. Raise its max.message.bytes to \
                     {needed}"
                ))),
                Topic::Archive => findings.push(Finding::Note(format!(
                    "{name} takes {bytes} bytes and the inputs {needed}: originals that do not fit go by reference"
                ))),
                Topic::Ndr | Topic::Activity => findings.push(Finding::Note(format!(
                    "{name} takes {bytes} bytes and the inputs {needed}: what does not fit is cut or goes by reference"
                ))),
                Topic::Ledger | Topic::Reports | Topic::Envelopes => {}
            }
        }
    }
}

/// The layout, or why `run` does not start. Notes are logged.
pub(super) fn layout_or_refusal(settings: &Settings) -> Result<Layout, String> {
    let inspection = inspect(settings, limits::REACH_MAX).map_err(|trouble| trouble.why)?;
    let layout = inspection.layout()?;
    for finding in inspection.findings() {
        if let Finding::Note(text) = finding {
            tracing::warn!("{text}");
        }
    }
    Ok(layout)
}

/// Makes the topics that are missing. Returns a sentence for each thing done.
pub fn create(settings: &Settings, partitions: Option<i32>) -> Result<Vec<String>, String> {
    let inspection = inspect(settings, limits::REACH_MAX).map_err(|trouble| trouble.why)?;
    let mut said = Vec::new();
    // What is there decides how many partitions the rest gets, unless a person says otherwise.
    let there = Topic::ALL.iter().filter(|topic| topic.is_partitioned_alike());
    let there = there.filter_map(|topic| inspection.topics.get(topic)).map(|found| found.partitions).next();
    let partitions = partitions.or(there).unwrap_or(settings.topics.partitions);
    let brokers = i32::try_from(inspection.brokers).unwrap_or(i32::MAX).max(1);
    let replication = settings.topics.replication.min(brokers);

    let missing: Vec<Topic> = Topic::ALL.into_iter().filter(|topic| !inspection.topics.contains_key(topic)).collect();
    if replication < settings.topics.replication && !missing.is_empty() {
        said.push(format!(
            "the cluster has {brokers} broker(s): {replication} instead of {} copies of each partition",
            settings.topics.replication
        ));
    }
    let configs: Vec<(&str, Vec<(&str, String)>)> = missing
        .iter()
        .map(|topic| (settings.topics.name(*topic), wanted_config(*topic, settings, replication)))
        .collect();
    let new: Vec<NewTopic<'_>> = configs
        .iter()
        .map(|(name, config)| {
            let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
            config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    if new.is_empty() {
        said.push("every topic is there".to_owned());
        return Ok(said);
    }
    let admin = admin(settings).map_err(|trouble| trouble.why)?;
    let answers = wait_for(admin.create_topics(&new, &options()), "create topics").map_err(|trouble| trouble.why)?;
    for answer in answers {
        match answer {
            Ok(name) => said.push(format!("{name}: created, {partitions} partitions")),
            Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                said.push(format!("{name}: someone else just created it"))
            }
            Err((name, code)) => return Err(format!("{name} could not be created: {code}")),
        }
    }
    wait_until_seen(settings)?;
    Ok(said)
}

/// A cluster answers that topics are made before all its brokers know them; a `run` that follows at once must find them.
fn wait_until_seen(settings: &Settings) -> Result<(), String> {
    let deadline = Instant::now() + limits::REACH_MAX;
    loop {
        let inspection = inspect(settings, limits::REACH_MAX).map_err(|trouble| trouble.why)?;
        if inspection.topics.len() == Topic::ALL.len() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("the topics were created, and the brokers do not show them yet: look at the brokers".into());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wanted_config(topic: Topic, settings: &Settings, replication: i32) -> Vec<(&'static str, String)> {
    let message_bytes =
        if matches!(topic, Topic::Reports | Topic::Envelopes) { INPUT_MESSAGE_BYTES } else { MESSAGE_BYTES };
    let mut config = vec![("max.message.bytes", message_bytes.to_string())];
    if replication >= 3 {
        config.push(("min.insync.replicas", "2".to_owned()));
    }
    match topic {
        Topic::Drafts => {
            config.push(("cleanup.policy", "compact".to_owned()));
            // Restores read the whole log, so it is cleaned early and in small pieces: what is being written is not
            // cleaned, nor what says that a draft is forgotten for a while.
            config.push(("segment.bytes", (32 * 1024 * 1024).to_string()));
            config.push(("segment.ms", Duration::from_mins(5).as_millis().to_string()));
            config.push(("min.cleanable.dirty.ratio", "0.2".to_owned()));
            config.push(("delete.retention.ms", DELETE_RETENTION.as_millis().to_string()));
        }
        Topic::Reports | Topic::Envelopes | Topic::Strays => {
            let retention = INPUT_RETENTION.max(settings.timing.patience * 2);
            config.push(("cleanup.policy", "delete".to_owned()));
            config.push(("retention.ms", retention.as_millis().to_string()));
        }
        // What is published is never deleted unless a person says so.
        Topic::Archive | Topic::Ndr | Topic::Activity | Topic::Ledger | Topic::Rejected => {
            config.push(("cleanup.policy", "delete".to_owned()));
            config.push(("retention.ms", "-1".to_owned()));
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_or_a_restore_may_lose_is_noted() {
        let settings = Settings::load(None, std::iter::empty()).expect("the defaults");
        let noted = |topic: Topic, changes: &[(&str, &str)]| {
            let config =
                |topic| wanted_config(topic, &settings, 3).into_iter().map(|(key, value)| (key.to_owned(), value));
            let mut topics: BTreeMap<Topic, Found> = Topic::ALL
                .map(|topic| (topic, Found { partitions: 1, replication: 3, config: config(topic).collect() }))
                .into();
            let changes = changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            topics.get_mut(&topic).expect("all are there").config.extend(changes);
            let is_of = |finding: &Finding| match finding {
                Finding::Note(text) => text.starts_with(settings.topics.name(topic)),
                Finding::Wrong(text) => panic!("{text}"),
            };
            let findings = Inspection { settings: &settings, brokers: 3, topics }.findings();
            findings.iter().filter(|finding| is_of(finding)).count()
        };
        assert_eq!(noted(Topic::Drafts, &[]), 0, "what `topics create` makes");
        assert_eq!(noted(Topic::Ledger, &[("min.insync.replicas", "1")]), 1);
        assert_eq!(noted(Topic::Reports, &[("unclean.leader.election.enable", "true")]), 1);
        assert_eq!(noted(Topic::Drafts, &[("delete.retention.ms", "1000")]), 1);
        assert_eq!(noted(Topic::Ledger, &[("delete.retention.ms", "1000")]), 0, "it is not compacted");
    }
}
