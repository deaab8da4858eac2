//! The first level: what was typed, and where. Nothing here knows what a value means.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{
    SettingsError,
    keys::{self, CLIENT_PREFIX, KEYS},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Default,
    /// No line: the file as a whole.
    File {
        name: Arc<str>,
        line: Option<usize>,
    },
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { name, line: Some(line) } => write!(f, "{name}:{line}"),
            Origin::File { name, line: None } => f.write_str(name),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

/// A value as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    pub text: String,
    /// The TOML type if it is not text: only numbers and client properties may be.
    pub other_type: Option<&'static str>,
    pub origin: Origin,
}

/// All that was typed, by key, and what was wrong with it.
#[derive(Default)]
pub struct TypedSettings {
    pub values: BTreeMap<String, Typed>,
    pub errors: Vec<SettingsError>,
}

impl TypedSettings {
    pub fn read_file(&mut self, name: &str, text: &str) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let name: Arc<str> = name.into();
        let place = |offset: usize| Origin::File { name: name.clone(), line: Some(line_of(text, offset)) };
        for error in &errors {
            let origin = place(error.span().map_or(0, |span| span.start));
            self.errors.push(SettingsError { origin, text: format!("this is not TOML: {}", error.message()) });
        }
        if errors.is_empty() {
            self.read_table("", table.get_ref(), &place);
        }
    }

    /// Below `kafka.client` any name stands; elsewhere a table must be the beginning of a known key.
    fn read_table(&mut self, path: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> Origin) {
        for (key, value) in table {
            let name = if path.is_empty() { key.get_ref().to_string() } else { format!("{path}.{}", key.get_ref()) };
            let is_section = format!("{name}.").starts_with(CLIENT_PREFIX)
                || KEYS.iter().any(|known| known.name.starts_with(&format!("{name}.")));
            match value.get_ref() {
                DeValue::Table(inner) if is_section => self.read_table(&name, inner, place),
                _ if keys::find(&name).is_some() || name.starts_with(CLIENT_PREFIX) => {
                    self.read_value(name, value, place(key.span().start));
                }
                _ if is_section => self.errors.push(SettingsError {
                    origin: place(key.span().start),
                    text: format!("`{name}` is a section: write [{name}] and its keys below"),
                }),
                DeValue::Table(_) => self.errors.push(unknown_section(&name, place(key.span().start))),
                _ => self.errors.push(unknown_key(&name, place(key.span().start))),
            }
        }
    }

    fn read_value(&mut self, name: String, value: &Spanned<DeValue<'_>>, origin: Origin) {
        let (text, other_type) = match value.get_ref() {
            DeValue::String(text) => (text.to_string(), None),
            DeValue::Integer(number) => (number.to_string(), Some("a number")),
            DeValue::Float(number) => (number.to_string(), Some("a fraction")),
            DeValue::Boolean(truth) => (truth.to_string(), Some("true or false")),
            DeValue::Datetime(time) => (time.to_string(), Some("a date")),
            DeValue::Array(_) => ("[…]".into(), Some("a list")),
            DeValue::Table(_) => ("{…}".into(), Some("a table")),
        };
        self.values.insert(name, Typed { text, other_type, origin });
    }

    /// Reads the `MAILJOURNAL_*` variables; a variable beats the file.
    pub fn read_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (variable, text) in variables {
            let Some(rest) = variable.strip_prefix("MAILJOURNAL_") else { continue };
            let client = rest.strip_prefix("KAFKA_CLIENT_").filter(|property| !property.is_empty());
            let known = KEYS.iter().find(|key| keys::variable(key.name) == variable).map(|key| key.name.to_owned());
            let property = client.map(|name| format!("{CLIENT_PREFIX}{}", name.to_lowercase().replace('_', ".")));
            let origin = Origin::Variable(variable.clone());
            match known.or(property) {
                Some(_) if text.contains('\u{FFFD}') => {
                    self.errors.push(SettingsError { origin, text: "the value is not UTF-8".into() });
                }
                Some(name) => {
                    // A shell knows only text, so a variable may hold a number too.
                    self.values.insert(name, Typed { text, other_type: None, origin });
                }
                None if belongs_to_others(rest) => {}
                None => self.errors.push(unknown_variable(&variable)),
            }
        }
    }
}

/// Variables that are ours but no settings, and those that Kubernetes gives to every pod beside a service that is
/// called mailjournal (`MAILJOURNAL_SERVICE_HOST`, `MAILJOURNAL_PORT_9464_TCP_ADDR`, …).
fn belongs_to_others(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let is_service = words.windows(2).any(|pair| pair[0] == "SERVICE" && ["HOST", "PORT"].contains(&pair[1]));
    let is_port = words.last() == Some(&"PORT")
        || words.windows(2).any(|pair| pair[0] == "PORT" && pair[1].bytes().all(|byte| byte.is_ascii_digit()));
    ["CONFIG", "CORPUS"].contains(&rest) || rest.starts_with("TEST_") || is_service || is_port
}

fn unknown_section(name: &str, origin: Origin) -> SettingsError {
    let sections = KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(section, _)| section);
    let hint = match keys::nearest(name, sections) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`mailjournal config show` lists all keys".into(),
    };
    SettingsError { origin, text: format!("there is no section `{}`; {hint}", name.escape_debug()) }
}

fn unknown_key(name: &str, origin: Origin) -> SettingsError {
    let hint = match keys::nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`mailjournal config show` lists all keys".into(),
    };
    SettingsError { origin, text: format!("there is no key `{}`; {hint}", name.escape_debug()) }
}

fn unknown_variable(variable: &str) -> SettingsError {
    let names: Vec<String> = KEYS.iter().map(|key| keys::variable(key.name)).collect();
    let hint = match keys::nearest(variable, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`mailjournal config show` lists all keys; `a.b` is set by MAILJOURNAL_A_B".into(),
    };
    let origin = Origin::Variable(variable.to_owned());
    SettingsError { origin, text: format!("no setting has this variable; {hint}") }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', &text.as_bytes()[..offset.min(text.len())]).count()
}
