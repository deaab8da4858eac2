//! How settings are shown: a TOML file of every effective value, each with where it came from, secrets as `***`.

use std::fmt;

use super::{
    keys::CLIENT_PREFIX,
    typed::{Origin, Typed},
};

/// One effective value. Its text is masked already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    pub key: String,
    /// As TOML spells it.
    pub value: String,
    pub origin: Origin,
}

impl Effective {
    pub(super) fn new(name: &str, is_number: bool, typed: &Typed) -> Effective {
        let text = masked(name, &typed.text);
        let value = if is_number { text } else { toml::Value::String(text).to_string() };
        let key = match name.strip_prefix(CLIENT_PREFIX) {
            Some(property) => format!("{CLIENT_PREFIX}\"{property}\""),
            None => name.to_owned(),
        };
        Effective { key, value, origin: typed.origin.clone() }
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignment = format!("{} = {}", self.key, self.value);
        write!(f, "{assignment:<48} # {}", self.origin)
    }
}

/// The value without its secrets: whole where the name speaks of one, else without a URL's user and password.
pub fn masked(name: &str, text: &str) -> String {
    const WORDS: [&str; 6] = ["password", "secret", "token", "jaas", "ssl.key", "credential"];
    let name = name.to_lowercase();
    // The user of a SASL login is a credential too; on some clouds it is an access key's name.
    let is_secret = WORDS.iter().any(|word| name.contains(word)) || name.ends_with("sasl.username");
    if is_secret && !text.is_empty() {
        return "***".into();
    }
    mask_url_users(text)
}

/// `http://user:word@host` → `http://***@host`, wherever it stands in the text.
fn mask_url_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let authority = after.find(['/', ',', '?', '#', ' ']).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(end) => {
                shown.push_str("***");
                &after[end..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}
