//! A settings file → checked settings, or errors with their lines; and nothing that is printed tells a secret.

use mailjournal::settings::{Settings, SettingsErrors};
use toml::{Table, Value};

const NAME: &str = "m.toml";

/// Properties of librdkafka that are secrets.
const SECRETS: [&str; 6] = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.jaas.config",
];

pub fn file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let printed = printed(text);
    for secret in secrets(text) {
        let other: String = secret.chars().map(another).collect();
        let changed = text.replacen(&secret, &other, 1);
        // Only where it was the secret that changed, and nothing else, must nothing else be printed.
        if text.matches(&secret).count() == 1 && secrets(&changed).contains(&other) {
            assert_eq!(printed, self::printed(&changed), "it tells the secret {secret:?}");
        }
    }
}

/// All that a person may come to see of a settings file.
fn printed(text: &str) -> String {
    match Settings::check(Some((NAME, text)), std::iter::empty(), Some("host")) {
        Ok((settings, effective)) => {
            let shown: Vec<String> = effective.iter().map(ToString::to_string).collect();
            let shown = shown.join("\n");
            let again = Settings::check(Some((NAME, &shown)), std::iter::empty(), Some("host"));
            assert!(again.is_ok(), "what is shown is no settings file: {shown}\n{again:?}");
            format!("{settings:?}\n{shown}")
        }
        Err(errors) => {
            check_errors(&errors, text);
            errors.to_string()
        }
    }
}

/// Each error stands on a line that there is.
fn check_errors(SettingsErrors(errors): &SettingsErrors, text: &str) {
    assert!(!errors.is_empty());
    for error in errors {
        let told = error.to_string();
        assert!(!told.contains(char::is_control), "{told:?}");
        assert!(!error.text.is_empty() && told.ends_with(&error.text), "{told}");
        let Some(place) = told.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(':')) else {
            assert!(told.starts_with("default: "), "{told}");
            continue;
        };
        let line: usize = place.split(':').next().and_then(|line| line.parse().ok()).expect("a line's number");
        assert!((1..=1 + text.matches('\n').count()).contains(&line), "{told}");
    }
}

fn another(letter: char) -> char {
    match letter {
        'a'..='y' | 'A'..='Y' | '0'..='8' => char::from(letter as u8 + 1),
        'z' => 'a',
        'Z' => 'A',
        '9' => '0',
        _ => letter,
    }
}

/// The secrets of a file: certain properties, and passwords in URLs.
fn secrets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(table) = text.parse::<Table>() {
        gather("", &Value::Table(table), &mut found);
    }
    found.retain(|secret| secret.chars().any(|letter| another(letter) != letter));
    found
}

fn gather(name: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => table.iter().for_each(|(key, inner)| gather(&format!("{name}.{key}"), inner, found)),
        Value::String(text) if SECRETS.iter().any(|secret| name == format!(".kafka.client.{secret}")) => {
            found.push(text.clone());
        }
        Value::String(text) => found.extend(password(text).map(str::to_owned)),
        _ => {}
    }
}

/// `word` in `http://user:word@host`.
fn password(text: &str) -> Option<&str> {
    let (user, _) = text.split_once("://")?.1.split_once('@')?;
    let (user, word) = user.split_once(':')?;
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (plain(user) && plain(word)).then_some(word)
}
