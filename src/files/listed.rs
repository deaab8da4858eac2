//! The two lists that an arrivals folder may have: `arrivals.jsonl` and `envelopes.jsonl`.

use std::{
    io::{self, BufRead, Read as _},
    path::Path,
};

use serde::Deserialize;

use super::{FilesError, cannot_read};
use crate::{
    arrival::Timestamp,
    limits::{BAD_LINES_TOLD_MAX, LIST_LINE_BYTES_MAX},
};

/// A line of `arrivals.jsonl`.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Listed {
    /// Relative to the list's folder; a mail of an mbox by `@` and the byte offset of its first byte, or in turn.
    pub file: String,
    /// Milliseconds since 1970, UTC.
    #[serde(default)]
    pub received_at: Option<i64>,
    #[serde(default)]
    pub journal_recipients: Option<Vec<String>>,
    #[serde(default)]
    pub server: Option<String>,
    #[serde(default)]
    pub key: Option<String>,
}

pub fn parse(line: &[u8]) -> Result<Listed, String> {
    serde_json::from_slice(line).map_err(|error| format!("it is not a description of a mail: {error}"))
}

/// What is wrong with lists, told at once and before anything is written.
#[derive(Debug, Default)]
pub struct BadLines {
    told: Vec<String>,
    more: u64,
}

impl BadLines {
    pub fn add(&mut self, list: &Path, number: u64, why: &str) {
        match self.told.len() < BAD_LINES_TOLD_MAX {
            true => self.told.push(format!("{} line {number}: {why}", list.display())),
            false => self.more += 1,
        }
    }

    pub fn check(self) -> Result<(), FilesError> {
        let more = (self.more > 0).then(|| format!("and {} more lines are wrong", self.more));
        let told: Vec<String> = self.told.into_iter().chain(more).collect();
        if told.is_empty() { Ok(()) } else { Err(FilesError::Usage(told.join("\n"))) }
    }
}

/// `box.mbox@1234` as `box.mbox` and 1234.
pub fn without_offset(name: &str) -> (&str, Option<u64>) {
    match name.rsplit_once('@').map(|(file, offset)| (file, offset.parse())) {
        Some((file, Ok(offset))) => (file, Some(offset)),
        _ => (name, None),
    }
}

/// When an envelope event came: its `received_at`, else its `at`; none where the line does not tell.
pub fn event_time(line: &[u8]) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Times {
        #[serde(default)]
        received_at: Option<i64>,
        #[serde(default)]
        at: Option<i64>,
    }
    let times: Times = serde_json::from_slice(line).ok()?;
    times.received_at.or(times.at).map(Timestamp)
}

/// One line of a list, its line end and the spaces around it taken off.
pub struct Line<'a> {
    /// From 1.
    pub number: u64,
    /// Bytes before it.
    pub start: u64,
    pub bytes: &'a [u8],
}

/// Why the lines were not all taken.
pub enum LineError {
    Reading(io::Error),
    /// The line with this number.
    TooLong(u64),
    Taking(FilesError),
}

impl LineError {
    pub fn or_reading(self, path: &Path) -> FilesError {
        match self {
            LineError::Reading(error) => cannot_read(path, &error),
            LineError::TooLong(number) => FilesError::Usage(format!(
                "{} line {number}: it is longer than {LIST_LINE_BYTES_MAX} bytes: take it out",
                path.display()
            )),
            LineError::Taking(error) => error,
        }
    }
}

/// Hands out every line that is not empty.
pub fn for_each_line(
    mut reader: impl BufRead,
    mut take: impl FnMut(Line<'_>) -> Result<(), FilesError>,
) -> Result<(), LineError> {
    let (mut number, mut start) = (0, 0);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let mut bounded = reader.by_ref().take(LIST_LINE_BYTES_MAX + 1);
        let read = bounded.read_until(b'\n', &mut buffer).map_err(LineError::Reading)? as u64;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if read > LIST_LINE_BYTES_MAX {
            return Err(LineError::TooLong(number));
        }
        let indent = buffer.len() - buffer.trim_ascii_start().len();
        let bytes = buffer.trim_ascii();
        if !bytes.is_empty() {
            take(Line { number, start: start + indent as u64, bytes }).map_err(LineError::Taking)?;
        }
        start += read;
    }
}

/// When a mail came, as its newest `Received:` or else its `Date:` says.
pub fn newest_received_at(header: &[u8]) -> Option<Timestamp> {
    crate::mail::headers::newest_received_at(header)
}
