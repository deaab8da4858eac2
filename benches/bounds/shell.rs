//! The least that is a shell: one partition, a clock, and what lies in topics.

use std::{fs::File, os::unix::fs::FileExt as _};

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    correlate::{AwakeMax, Place},
    turn::{Bodies, Counts, Outgoing, Output, Progress, Tasks, Written},
};

use crate::{load::Load, restore::Pattern, turn};

pub struct Shell {
    tasks: Tasks,
    lying: Lying,
    counts: Counts,
}

/// Drafts that are there from the beginning: a draft's place is its number, and its value is made when it is asked for.
struct Given {
    load: Load,
    pattern: Pattern,
    /// The first so many are open.
    open: usize,
}

struct Lying {
    given: Option<Given>,
    /// What turns have written, each value behind its length.
    file: File,
    end: u64,
}

/// Places from here on are in the file.
const IN_FILE: Place = 1 << 40;

impl Bodies for Lying {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        let found = |position: &Position| {
            let arrivals = &self.given.as_ref()?.load.arrivals;
            Some(arrivals.get(usize::try_from(position.offset).ok()?)?.bytes.clone())
        };
        wanted.iter().map(|position| found(position).ok_or_else(|| "not kept".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        let value = |place: &Place| match &self.given {
            Some(given) if *place < IN_FILE => given.entry(usize::try_from(*place).expect("a number")).1,
            _ => self.read(u64::try_from(*place - IN_FILE).expect("an offset")),
        };
        Ok(places.iter().map(value).collect())
    }
}

impl Given {
    fn entry(&self, number: usize) -> (Bytes, Bytes) {
        self.pattern.entry(number, number < self.open)
    }
}

impl Lying {
    fn put(&mut self, outgoing: &Outgoing) -> Option<Written> {
        let (key, value) = (outgoing.key.clone()?, outgoing.value.as_ref()?);
        self.file.write_all_at(&(value.len() as u64).to_be_bytes(), self.end).expect("room on the disk");
        self.file.write_all_at(value, self.end + 8).expect("room on the disk");
        let place = IN_FILE + Place::try_from(self.end).expect("an offset");
        self.end += 8 + value.len() as u64;
        Some(Written { partition: 0, key, place })
    }

    fn read(&self, offset: u64) -> Bytes {
        let mut length = [0; 8];
        self.file.read_exact_at(&mut length, offset).expect("a length");
        let mut value = vec![0; usize::try_from(u64::from_be_bytes(length)).expect("a length")];
        self.file.read_exact_at(&mut value, offset + 8).expect("a value");
        value.into()
    }
}

impl Shell {
    pub fn new(awake_max: AwakeMax) -> Shell {
        let mut shell = Shell::unrestored(awake_max, None);
        shell.tasks.restored(0).expect("nothing is restored");
        shell
    }

    /// With so many drafts in the changelog, the first of them open.
    pub fn with_drafts(awake_max: AwakeMax, count: usize, open: usize) -> Shell {
        let load = Pattern::load();
        let given = Given { pattern: Pattern::of(&load), load, open };
        let mut shell = Shell::unrestored(awake_max, Some(given));
        shell.restore(count);
        shell
    }

    fn unrestored(awake_max: AwakeMax, given: Option<Given>) -> Shell {
        let mut rules = turn::rules();
        rules.rules.awake_max = awake_max;
        let mut tasks = Tasks::new(rules);
        tasks.assign(0);
        let lying = Lying { given, file: tempfile::tempfile().expect("a file"), end: 0 };
        Shell { tasks, lying, counts: Counts::default() }
    }

    fn restore(&mut self, count: usize) {
        let given = self.lying.given.as_ref().expect("drafts to restore");
        for number in 0..count {
            let (key, value) = given.entry(number);
            self.tasks.restore(0, Place::try_from(number).expect("a number"), &key, Some(&value));
        }
        self.tasks.restored(0).expect("what is made here is read");
        assert_eq!(self.tasks.drafts(), (given.open, count));
    }

    /// Another mail of a draft's message.
    pub fn late_copy(&self, number: usize, offset: usize) -> Arrival {
        let key = self.lying.given.as_ref().expect("drafts to be late for").entry(number).0;
        let key = String::from_utf8(key.to_vec()).expect("a record id");
        let id = key.rsplit_once('#').map_or(key.as_str(), |(id, _)| id);
        let mail = format!("Message-ID: {id}\r\nFrom: late@contoso.example\r\nTo: b@contoso.example\r\n\r\nlate\r\n");
        crate::arrival(10_000_000 + offset, crate::load::END, mail.into())
    }

    /// One turn; `at_end`: nothing else is on its way, and the clock stands at `wall`.
    pub fn turn(&mut self, arrivals: Vec<Arrival>, wall: Timestamp, at_end: bool) {
        let progress = [Input::Reports, Input::Envelopes, Input::Strays];
        let progress = progress.map(|input| Progress { input, partition: 0, at_end });
        let output = self.tasks.turn(arrivals, &progress, wall, &mut self.lying).expect("what was written is read");
        let drafts = output.outgoing.iter().filter(|outgoing| outgoing.output == Output::Drafts);
        let written: Vec<Written> = drafts.filter_map(|outgoing| self.lying.put(outgoing)).collect();
        self.tasks.handle_written(output.number, &written);
        self.counts.arrivals += output.counts.arrivals;
        self.counts.records += output.counts.records;
        self.counts.lost += output.counts.lost;
    }

    /// Until nothing is due any more.
    pub fn run_on(&mut self, wall: Timestamp) {
        while self.tasks.poll_deadline().is_some_and(|due| due <= wall) {
            self.turn(Vec::new(), wall, true);
        }
    }

    pub fn says(&self) -> String {
        let (open, all) = self.tasks.drafts();
        let Counts { arrivals, records, lost, .. } = self.counts;
        format!("{open} open of {all} drafts; {arrivals} arrivals, {records} records, {lost} originals by reference")
    }
}
