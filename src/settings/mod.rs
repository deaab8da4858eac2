//! File and environment → checked [`Settings`]. Two levels: as typed (`typed.rs`), then checked; no unchecked value
//! survives. All errors are found at once, each with its place.

pub mod keys;
mod edge;
mod show;
mod typed;
mod values;

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

pub use show::Effective;
pub use typed::Origin;

use crate::{
    arrival::Input,
    correlate::{Timing, TopicNames},
    limits::TOPIC_NAME_CHARS_MAX,
    turn::{ArchiveFormat, Output},
};
use keys::{CLIENT_PREFIX, Key};
use typed::{Typed, TypedSettings};

/// What every command works with.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: KafkaSettings,
    pub topics: TopicSettings,
    pub timing: Timing,
    pub archive_format: ArchiveFormat,
    /// The Schema Registry: accepted so that a file can say it, but [`Settings::check_for_run`] refuses it.
    pub registry_url: Option<Url>,
    pub telemetry: TelemetrySettings,
    pub turn: TurnSettings,
}

#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `HOST:PORT`, several by comma.
    pub brokers: String,
    pub group: String,
    /// This instance's stable slot name.
    pub instance: String,
    pub client: ClientProperties,
}

/// librdkafka properties, passed through. Its `Debug` shows no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientProperties(BTreeMap<String, String>);

impl ClientProperties {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for ClientProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, show::masked(name, value)))).finish()
    }
}

/// An http or https URL. Its `Debug` shows no user and no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", show::masked("", &self.0))
    }
}

/// Every topic that mailjournal reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    Reports,
    Envelopes,
    Strays,
    Drafts,
    Archive,
    Ndr,
    Activity,
    Ledger,
    Rejected,
}

impl Topic {
    pub const ALL: [Topic; 9] = [
        Topic::Reports,
        Topic::Envelopes,
        Topic::Strays,
        Topic::Drafts,
        Topic::Archive,
        Topic::Ndr,
        Topic::Activity,
        Topic::Ledger,
        Topic::Rejected,
    ];

    /// Whether it must have exactly N partitions, because partition numbers carry meaning between these topics.
    pub fn is_partitioned_alike(self) -> bool {
        matches!(self, Topic::Reports | Topic::Envelopes | Topic::Strays | Topic::Drafts)
    }

    /// The key that sets its name.
    fn key(self) -> &'static str {
        match self {
            Topic::Reports => "topics.reports",
            Topic::Envelopes => "topics.envelopes",
            Topic::Strays => "topics.strays",
            Topic::Drafts => "topics.drafts",
            Topic::Archive => "topics.archive",
            Topic::Ndr => "topics.ndr",
            Topic::Activity => "topics.activity",
            Topic::Ledger => "topics.ledger",
            Topic::Rejected => "topics.rejected",
        }
    }
}

impl From<Input> for Topic {
    fn from(input: Input) -> Topic {
        match input {
            Input::Reports => Topic::Reports,
            Input::Envelopes => Topic::Envelopes,
            Input::Strays => Topic::Strays,
        }
    }
}

impl From<Output> for Topic {
    fn from(output: Output) -> Topic {
        match output {
            Output::Strays => Topic::Strays,
            Output::Drafts => Topic::Drafts,
            Output::Archive => Topic::Archive,
            Output::Ndr => Topic::Ndr,
            Output::Activity => Topic::Activity,
            Output::Ledger => Topic::Ledger,
            Output::Rejected => Topic::Rejected,
        }
    }
}

#[derive(Clone, Debug)]
pub struct TopicSettings {
    /// N, for `topics create`.
    pub partitions: i32,
    /// Wanted; fewer if the cluster is smaller.
    pub replication: i32,
    /// With the prefix.
    names: BTreeMap<Topic, Arc<str>>,
}

impl TopicSettings {
    /// The name of a [`Topic`], an [`Input`] or an [`Output`], prefix included.
    pub fn name(&self, topic: impl Into<Topic>) -> &str {
        &self.names[&topic.into()]
    }

    /// The input topic or internal topic that has this name.
    pub fn input(&self, name: &str) -> Option<Input> {
        [Input::Reports, Input::Envelopes, Input::Strays].into_iter().find(|input| self.name(*input) == name)
    }

    /// What records say of where their evidence lies.
    pub fn input_names(&self) -> TopicNames {
        TopicNames {
            reports: self.names[&Topic::Reports].clone(),
            envelopes: self.names[&Topic::Envelopes].clone(),
            strays: self.names[&Topic::Strays].clone(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct TelemetrySettings {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
}

/// How much goes into one turn. One arrival larger than `bytes_max` is a turn of its own.
#[derive(Clone, Copy, Debug)]
pub struct TurnSettings {
    pub length: Duration,
    pub bytes_max: usize,
    pub recent_bytes_max: usize,
}

/// One thing that is wrong, and where it was typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {text}")]
pub struct SettingsError {
    pub origin: Origin,
    pub text: String,
}

/// Everything that is wrong, in the order of the file and then of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsErrors(pub Vec<SettingsError>);

impl std::error::Error for SettingsErrors {}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl Settings {
    /// Reads the file, if one is named, and checks it together with the environment.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Settings, SettingsErrors> {
        Settings::load_with_origins(file, variables).map(|(settings, _)| settings)
    }

    /// Tells besides where each value came from.
    pub fn load_with_origins(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(Settings, Vec<Effective>), SettingsErrors> {
        let host = edge::host_name();
        let Some(path) = file else { return Settings::check(None, variables, host.as_deref()) };
        let name = path.display().to_string();
        let text = edge::read_file(path).map_err(|reason| {
            let origin = Origin::File { name: name.as_str().into(), line: None };
            SettingsErrors(vec![SettingsError { origin, text: reason }])
        })?;
        Settings::check(Some((&name, &text)), variables, host.as_deref())
    }

    /// Whether `run` takes them; `effective` says where each value came from.
    pub fn check_for_run(&self, effective: &[Effective]) -> Result<(), SettingsErrors> {
        if self.registry_url.is_none() {
            return Ok(());
        }
        let typed = effective.iter().find(|value| value.key == "registry.url");
        let origin = typed.map_or(Origin::Default, |value| value.origin.clone());
        let text = "`registry.url` is set, and this version does not speak to a Schema Registry yet: remove it".into();
        Err(SettingsErrors(vec![SettingsError { origin, text }]))
    }

    /// Pure: the settings that a file's name and text, the environment and the host's name amount to.
    pub fn check(
        file: Option<(&str, &str)>,
        variables: impl Iterator<Item = (String, String)>,
        host: Option<&str>,
    ) -> Result<(Settings, Vec<Effective>), SettingsErrors> {
        let mut typed = TypedSettings::default();
        if let Some((name, text)) = file {
            typed.read_file(name, text);
        }
        typed.read_environment(variables);
        let mut checker = Checker { typed, host, effective: Vec::new() };
        let settings = checker.settings();
        match checker.typed.errors {
            errors if errors.is_empty() => Ok((settings, checker.effective)),
            mut errors => {
                errors.sort_by(|one, other| one.origin.cmp(&other.origin));
                Err(SettingsErrors(errors))
            }
        }
    }
}

/// The second level. What fails its check is noted and replaced by the default, so that the rest is checked too; the
/// settings then never leave [`Settings::check`].
struct Checker<'a> {
    typed: TypedSettings,
    host: Option<&'a str>,
    effective: Vec<Effective>,
}

impl Checker<'_> {
    fn settings(&mut self) -> Settings {
        Settings {
            kafka: KafkaSettings {
                brokers: self.text("kafka.brokers", values::brokers),
                group: self.text("kafka.group", values::name),
                instance: self.instance(),
                client: self.client(),
            },
            topics: self.topics(),
            timing: self.timing(),
            archive_format: self.text("archive.format", values::archive_format),
            registry_url: self.text("registry.url", values::url).map(Url),
            telemetry: TelemetrySettings { listen: self.text("telemetry.listen", values::listen) },
            turn: TurnSettings {
                length: self.text("turn.length", values::turn_length),
                bytes_max: self.text("turn.bytes", values::turn_bytes),
                recent_bytes_max: self.text("turn.recent", values::recent_bytes),
            },
        }
    }

    fn default(&self, key: &'static Key) -> &str {
        if key.name == "kafka.instance" { self.host.unwrap_or("mailjournal") } else { key.default }
    }

    fn typed_or_default(&self, name: &'static str) -> Typed {
        let key = keys::find(name).expect("every key read is in the catalogue");
        let default = || Typed { text: self.default(key).to_owned(), other_type: None, origin: Origin::Default };
        self.typed.values.get(name).cloned().unwrap_or_else(default)
    }

    fn text<T>(&mut self, name: &'static str, meaning: fn(&str) -> Option<T>) -> T {
        self.value(name, false, meaning)
    }

    fn number<T>(&mut self, name: &'static str, meaning: fn(&str) -> Option<T>) -> T {
        self.value(name, true, meaning)
    }

    fn value<T>(&mut self, name: &'static str, is_number: bool, meaning: fn(&str) -> Option<T>) -> T {
        let key = keys::find(name).expect("every key read is in the catalogue");
        let typed = self.typed_or_default(name);
        let right_type = match typed.other_type {
            None => !is_number || !matches!(typed.origin, Origin::File { .. }),
            Some(other) => is_number && other == "a number",
        };
        let value = if right_type { meaning(&typed.text) } else { None };
        let value = value.unwrap_or_else(|| {
            let quote = if is_number { "" } else { "\"" };
            let found = match typed.other_type {
                None => format!("\"{}\"", show::masked(name, &typed.text).escape_debug()),
                Some(other) => format!("{} ({other})", typed.text),
            };
            let (expected, example) = (key.expected, key.example);
            let text = format!("`{name}`: expected {expected}, like {quote}{example}{quote}; found {found}");
            self.typed.errors.push(SettingsError { origin: typed.origin.clone(), text });
            meaning(self.default(key)).expect("every default passes its own check")
        });
        self.effective.push(Effective::new(name, is_number, &typed));
        value
    }

    /// The host's name is the slot where nobody named one: without it two instances could take the same slot.
    fn instance(&mut self) -> String {
        if self.host.is_none() && !self.typed.values.contains_key("kafka.instance") {
            let text = "`kafka.instance`: this machine does not tell its name, so set one, stable and its own".into();
            self.typed.errors.push(SettingsError { origin: Origin::Default, text });
        }
        self.text("kafka.instance", values::name)
    }

    fn client(&mut self) -> ClientProperties {
        let mut properties = BTreeMap::new();
        let typed: Vec<(String, Typed)> = self
            .typed
            .values
            .range(CLIENT_PREFIX.to_owned()..)
            .map(|(name, typed)| (name.clone(), typed.clone()))
            .collect();
        for (name, typed) in typed {
            let Some(property) = name.strip_prefix(CLIENT_PREFIX) else { break };
            let wrong = match (keys::kept_property(property), typed.other_type) {
                _ if !values::property_name(property) => Some(format!(
                    "`{}`: no property has this name (letters, digits, '.', '_', '-')",
                    name.escape_debug()
                )),
                (Some(instead), _) => Some(format!("`{name}` is not yours to set: {instead}")),
                (None, Some("a list" | "a table" | "a date")) => Some(format!(
                    "`{name}`: expected text, a number, true or false, like \"SASL_SSL\"; found {}",
                    typed.other_type.unwrap_or_default()
                )),
                _ => None,
            };
            match wrong {
                Some(text) => self.typed.errors.push(SettingsError { origin: typed.origin, text }),
                None => {
                    self.effective.push(Effective::new(&name, false, &typed));
                    properties.insert(property.to_owned(), typed.text);
                }
            }
        }
        ClientProperties(properties)
    }

    fn topics(&mut self) -> TopicSettings {
        let prefix = self.text("topics.prefix", values::topic_prefix);
        let partitions = self.number("topics.partitions", values::partitions);
        let replication = self.number("topics.replication", values::replication);
        let mut names: BTreeMap<Topic, Arc<str>> = BTreeMap::new();
        for topic in Topic::ALL {
            let name = format!("{prefix}{}", self.text(topic.key(), values::topic_name));
            let wrong = if name.len() > TOPIC_NAME_CHARS_MAX {
                Some(format!("with its prefix the name is longer than {TOPIC_NAME_CHARS_MAX} characters"))
            } else {
                let other = names.iter().find(|(_, taken)| ***taken == *name).map(|(other, _)| other.key());
                other.map(|other| format!("`{other}` has the same name, {name}; give each topic its own"))
            };
            if let Some(wrong) = wrong {
                self.error(topic.key(), &wrong);
            }
            names.insert(topic, name.into());
        }
        TopicSettings { partitions, replication, names }
    }

    fn timing(&mut self) -> Timing {
        let errors = self.typed.errors.len();
        let waits = keys::WAITS.map(|name| self.text(name, values::wait));
        if self.typed.errors.len() == errors {
            self.check_order(waits);
        }
        let [settle, quiet, patience, remember] = waits;
        Timing { settle, quiet, patience, remember }
    }

    fn check_order(&mut self, waits: [Duration; 4]) {
        for (index, pair) in waits.windows(2).enumerate() {
            let (shorter, longer) = (keys::WAITS[index], keys::WAITS[index + 1]);
            if pair[0] > pair[1] {
                let (short, long) = (self.typed_or_default(shorter).text, self.typed_or_default(longer).text);
                let rule = "settle ≤ quiet ≤ patience ≤ remember must hold";
                self.error(longer, &format!("{long} is shorter than `{shorter}`, which is {short}; {rule}"));
            }
        }
    }

    /// Notes an error about a key whose value is right by itself.
    fn error(&mut self, name: &'static str, text: &str) {
        let origin = self.typed_or_default(name).origin;
        self.typed.errors.push(SettingsError { origin, text: format!("`{name}`: {text}") });
    }
}
