//! The drafts, as an append-only log: what a collate that was stopped goes on from.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    FilesError, cannot_read,
    disk::{AppendFile, Disk},
};
use crate::{
    correlate::Place,
    limits::{FILES_COMPACT_FACTOR, FILES_READ_BYTES},
};

/// The length that stands for a deleted key.
const TOMBSTONE: u32 = u32::MAX;

pub struct Changelog {
    file: AppendFile,
    /// Counts the rewritings; part of the file's name.
    pub number: u64,
    /// Bytes in the log of each key's last value, its key and lengths included.
    live: HashMap<Box<[u8]>, u64>,
    live_bytes: u64,
    compact_bytes_min: u64,
}

impl Changelog {
    pub fn path(state: &Path, number: u64) -> PathBuf {
        state.join(format!("drafts-{number}.log"))
    }

    /// Opens log `number`, cut to `committed` bytes, and hands out its entries.
    pub fn open(
        disk: &mut Disk,
        state: &Path,
        number: u64,
        committed: u64,
        compact_bytes_min: u64,
        mut restore: impl FnMut(Place, &[u8], Option<&[u8]>),
    ) -> Result<Changelog, FilesError> {
        let file = disk.open_append(Changelog::path(state, number), committed)?;
        let mut log = Changelog { file, number, live: HashMap::new(), live_bytes: 0, compact_bytes_min };
        let path = log.file.path.clone();
        for_each_entry(&path, committed, |place, key, value| {
            log.count(key, value);
            restore(place, key, value);
            Ok(())
        })?;
        Ok(log)
    }

    /// Hands out what was committed.
    pub fn restore(&self, mut restore: impl FnMut(Place, &[u8], Option<&[u8]>)) -> Result<(), FilesError> {
        for_each_entry(&self.file.path, self.file.length, |place, key, value| {
            restore(place, key, value);
            Ok(())
        })
    }

    /// The values at these places.
    pub fn read(&mut self, disk: &mut Disk, places: &[Place]) -> Result<Vec<Bytes>, FilesError> {
        self.file.flush(disk)?;
        let path = &self.file.path;
        let read = |file: &mut BufReader<File>, place: Place| {
            let behind = place - i64::try_from(file.stream_position()?).unwrap_or(i64::MAX);
            file.seek_relative(behind)?;
            let (mut key, mut value) = (Vec::new(), Vec::new());
            read_entry(file, &mut key, &mut value).map(|_| value.into())
        };
        let mut file = File::open(path).map(BufReader::new).map_err(|error| cannot_read(path, &error))?;
        let values = places.iter().map(|place| read(&mut file, *place));
        values.collect::<io::Result<_>>().map_err(|error| cannot_read(path, &error))
    }

    pub fn length(&self) -> u64 {
        self.file.length
    }

    /// Returns where it lies.
    pub fn append(&mut self, disk: &mut Disk, key: &[u8], value: Option<&[u8]>) -> Result<Place, FilesError> {
        self.count(key, value);
        let place = to_place(self.file.length);
        append(&mut self.file, disk, key, value).map(|()| place)
    }

    fn count(&mut self, key: &[u8], value: Option<&[u8]>) {
        let before = match value {
            Some(value) => {
                let bytes = 8 + key.len() as u64 + value.len() as u64;
                self.live_bytes += bytes;
                self.live.insert(key.into(), bytes)
            }
            None => self.live.remove(key),
        };
        self.live_bytes -= before.unwrap_or(0);
    }

    /// Writes what is to be committed. Returns the log that this one replaces, to be removed after the commit.
    pub fn commit(&mut self, disk: &mut Disk, state: &Path) -> Result<Option<PathBuf>, FilesError> {
        self.file.commit(disk)?;
        if self.file.length < self.compact_bytes_min.max(FILES_COMPACT_FACTOR * self.live_bytes) {
            return Ok(None);
        }
        self.compact(disk, state).map(Some)
    }

    /// Copies each key's last value to a new log.
    fn compact(&mut self, disk: &mut Disk, state: &Path) -> Result<PathBuf, FilesError> {
        let old = self.file.path.clone();
        let mut last: HashMap<Box<[u8]>, u64> = HashMap::with_capacity(self.live.len());
        let mut number = 0;
        for_each_entry(&old, self.file.length, |_, key, _| {
            last.insert(key.into(), number);
            number += 1;
            Ok(())
        })?;
        let mut file = disk.open_append(Changelog::path(state, self.number + 1), 0)?;
        number = 0;
        for_each_entry(&old, self.file.length, |_, key, value| {
            let is_last = last.get(key) == Some(&number);
            number += 1;
            if is_last && value.is_some() { append(&mut file, disk, key, value) } else { Ok(()) }
        })?;
        file.commit(disk)?;
        self.file = file;
        self.number += 1;
        Ok(old)
    }
}

fn to_place(bytes: u64) -> Place {
    i64::try_from(bytes).expect("no file is that long")
}

fn append(file: &mut AppendFile, disk: &mut Disk, key: &[u8], value: Option<&[u8]>) -> Result<(), FilesError> {
    let too_large = |_| FilesError::Failed("a draft is larger than 4 GiB".into());
    let key_bytes = u32::try_from(key.len()).map_err(too_large)?;
    let value_bytes = value.map_or(Ok(TOMBSTONE), |value| u32::try_from(value.len())).map_err(too_large)?;
    file.append(disk, &[&key_bytes.to_be_bytes(), &value_bytes.to_be_bytes(), key, value.unwrap_or_default()])
}

fn for_each_entry(
    path: &Path,
    length: u64,
    mut take: impl FnMut(Place, &[u8], Option<&[u8]>) -> Result<(), FilesError>,
) -> Result<(), FilesError> {
    let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
    let mut reader = BufReader::with_capacity(FILES_READ_BYTES, file.take(length));
    let mut read = 0;
    let (mut key, mut value) = (Vec::new(), Vec::new());
    while read < length {
        let present = read_entry(&mut reader, &mut key, &mut value).map_err(|error| cannot_read(path, &error))?;
        take(to_place(read), &key, present.then_some(value.as_slice()))?;
        read += 8 + key.len() as u64 + value.len() as u64;
    }
    Ok(())
}

/// Reads one entry; false for a deleted key.
fn read_entry(reader: &mut impl Read, key: &mut Vec<u8>, value: &mut Vec<u8>) -> io::Result<bool> {
    let mut lengths = [0; 8];
    reader.read_exact(&mut lengths)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let (key_bytes, value_bytes) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    key.resize(key_bytes as usize, 0);
    reader.read_exact(key)?;
    value.resize(if value_bytes == TOMBSTONE { 0 } else { value_bytes as usize }, 0);
    reader.read_exact(value)?;
    Ok(value_bytes != TOMBSTONE)
}
