//! What a typed value means. Each function takes the text and returns nothing if it means nothing.

use std::{net::SocketAddr, time::Duration};

use crate::{limits, turn::ArchiveFormat};

/// `5s`, `250ms`, `1h30m`: numbers with units, largest first, each once.
pub fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut millis: u64 = 0;
    let mut units = UNITS.as_slice();
    let mut rest = text;
    loop {
        let (number, unit, behind) = number_and_unit(rest)?;
        let found = units.iter().position(|(name, _)| *name == unit)?;
        millis = millis.checked_add(number.checked_mul(units[found].1)?)?;
        units = &units[found + 1..];
        rest = behind;
        if rest.is_empty() {
            return Some(Duration::from_millis(millis));
        }
    }
}

/// A wait of the correlator.
pub fn wait(text: &str) -> Option<Duration> {
    duration(text).filter(|wait| *wait <= limits::WAIT_MAX)
}

pub fn turn_length(text: &str) -> Option<Duration> {
    duration(text).filter(|length| (Duration::from_millis(1)..=limits::TURN_LENGTH_MAX).contains(length))
}

/// `64MiB`: one number and its unit.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit, behind) = number_and_unit(text)?;
    let shift = ["B", "KiB", "MiB", "GiB"].iter().position(|name| *name == unit)? * 10;
    if !behind.is_empty() {
        return None;
    }
    number.checked_mul(1 << shift).and_then(|bytes| usize::try_from(bytes).ok())
}

pub fn turn_bytes(text: &str) -> Option<usize> {
    size(text).filter(|bytes| (limits::TURN_BYTES_MIN..=limits::TURN_BYTES_MAX).contains(bytes))
}

pub fn recent_bytes(text: &str) -> Option<usize> {
    size(text).filter(|bytes| *bytes <= limits::RECENT_BYTES_MAX)
}

pub fn partitions(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| (1..=limits::PARTITIONS_MAX).contains(number))
}

pub fn replication(text: &str) -> Option<i32> {
    text.parse().ok().filter(|number| (1..=limits::REPLICATION_MAX).contains(number))
}

/// A name that Kafka takes anywhere and a log line shows whole.
pub fn name(text: &str) -> Option<String> {
    let good = !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    good.then(|| text.to_owned())
}

pub fn brokers(text: &str) -> Option<String> {
    let brokers: Vec<&str> = text.split(',').map(str::trim).collect();
    brokers.iter().all(|broker| host_and_port(broker)).then(|| brokers.join(","))
}

pub fn topic_prefix(text: &str) -> Option<String> {
    topic_characters(text).then(|| text.to_owned())
}

pub fn topic_name(text: &str) -> Option<String> {
    let good = topic_characters(text) && !["", ".", ".."].contains(&text) && text.len() <= limits::TOPIC_NAME_CHARS_MAX;
    good.then(|| text.to_owned())
}

pub fn archive_format(text: &str) -> Option<ArchiveFormat> {
    match text {
        "avro" => Some(ArchiveFormat::Record),
        "report" => Some(ArchiveFormat::Report),
        _ => None,
    }
}

/// Empty: none.
pub fn url(text: &str) -> Option<Option<String>> {
    if text.is_empty() {
        return Some(None);
    }
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| Some(text.to_owned()))
}

pub fn listen(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// What names librdkafka gives its properties; another would not be a key again where settings are shown.
pub fn property_name(text: &str) -> bool {
    !text.is_empty() && topic_characters(text)
}

fn topic_characters(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn host_and_port(text: &str) -> bool {
    let without_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    without_scheme.rsplit_once(':').is_some_and(|(host, port)| {
        // Kafka knows no user and password before the host; were they let in, they would be shown wherever brokers are.
        !host.is_empty()
            && !host.contains(|c: char| c.is_whitespace() || c == '@')
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// `30m15s` → 30, `m`, `15s`.
fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let letters = text.bytes().skip(digits).take_while(u8::is_ascii_alphabetic).count();
    let number = text[..digits].parse().ok()?;
    Some((number, &text[digits..digits + letters], &text[digits + letters..]))
}
