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

/// Where drafts lie.
pub enum Drafts {
    /// A draft's place is its number, and its value is made when it is asked for: the first so many are open.
    Computed { load: Load, stored: Pattern, open: usize },
    /// In a file, each behind its length.
    Spilled { file: File, end: u64 },
}

impl Drafts {
    pub fn computed(open: usize) -> Drafts {
        let load = Pattern::load();
        Drafts::Computed { stored: Pattern::of(&load), load, open }
    }

    pub fn spilled() -> Drafts {
        Drafts::Spilled { file: tempfile::tempfile().expect("a file"), end: 0 }
    }
}

struct Lying {
    drafts: Drafts,
    arrivals: Vec<(Position, Bytes)>,
}

impl Bodies for Lying {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        let found = |position: &Position| match &self.drafts {
            Drafts::Computed { load, .. } => {
                let arrival = load.arrivals.get(usize::try_from(position.offset).ok()?)?;
                Some(arrival.bytes.clone())
            }
            Drafts::Spilled { .. } => {
                let at = self.arrivals.binary_search_by_key(position, |(at, _)| *at).ok()?;
                Some(self.arrivals[at].1.clone())
            }
        };
        wanted.iter().map(|position| found(position).ok_or_else(|| "not kept".to_owned())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        let value = |place: &Place| match &self.drafts {
            Drafts::Computed { stored, open, .. } => {
                let number = usize::try_from(*place).expect("a number");
                stored.entry(number, number < *open).1
            }
            Drafts::Spilled { file, .. } => {
                let place = u64::try_from(*place).expect("an offset");
                let mut length = [0; 8];
                file.read_exact_at(&mut length, place).expect("a length");
                let mut value = vec![0; usize::try_from(u64::from_be_bytes(length)).expect("a length")];
                file.read_exact_at(&mut value, place + 8).expect("a value");
                value.into()
            }
        };
        Ok(places.iter().map(value).collect())
    }
}

impl Lying {
    fn put(&mut self, outgoing: &Outgoing) -> Option<Written> {
        let Drafts::Spilled { file, end } = &mut self.drafts else { return None };
        let (key, value) = (outgoing.key.clone()?, outgoing.value.as_ref()?);
        file.write_all_at(&(value.len() as u64).to_be_bytes(), *end).expect("room on the disk");
        file.write_all_at(value, *end + 8).expect("room on the disk");
        let place = Place::try_from(*end).expect("an offset");
        *end += 8 + value.len() as u64;
        Some(Written { partition: 0, key, place })
    }
}

impl Shell {
    pub fn new(awake_max: AwakeMax, drafts: Drafts) -> Shell {
        let mut rules = turn::rules();
        rules.rules.awake_max = awake_max;
        let mut tasks = Tasks::new(rules);
        tasks.assign(0);
        if matches!(drafts, Drafts::Spilled { .. }) {
            tasks.restored(0).expect("nothing is restored");
        }
        Shell { tasks, lying: Lying { drafts, arrivals: Vec::new() }, counts: Counts::default() }
    }

    /// Restores so many drafts.
    pub fn restore(&mut self, count: usize) {
        let Drafts::Computed { stored, open, .. } = &self.lying.drafts else { return };
        for number in 0..count {
            let (key, value) = stored.entry(number, number < *open);
            self.tasks.restore(0, Place::try_from(number).expect("a number"), &key, Some(&value));
        }
        self.tasks.restored(0).expect("what is made here is read");
        assert_eq!(self.tasks.drafts(), (*open, count));
    }

    /// Another mail of a draft's message.
    pub fn late_copy(&self, number: usize, offset: usize) -> Arrival {
        let Drafts::Computed { stored, open, .. } = &self.lying.drafts else { unreachable!("drafts are made here") };
        let key = stored.entry(number, number < *open).0;
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
