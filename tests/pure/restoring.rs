//! A task that was restored goes on as if it had never stopped, however much of its changelog compaction has removed.

use std::collections::BTreeMap;

use bytes::Bytes;
use mailjournal::{
    arrival::{Arrival, Input, Position, Timestamp},
    avro::{self, Schema},
    correlate::{Place, Rules, StoredDraft, Timing, TopicNames, WorkMax},
    record::ValueBytesMax,
    sample::{Options, Organisation, What},
    turn::{ArchiveFormat, Bodies, Encoding, Outgoing, Output, Progress, Tasks, TurnRules},
};

use crate::{
    samples,
    support::laws::lying::{ALL_AWAKE, Lying},
};

const HOUR: i64 = 3600 * 1000;

fn new_tasks(log: &[(Bytes, Option<Bytes>)]) -> Result<(Tasks, Lying), String> {
    let names = ["journal.reports", "journal.envelopes", "journal.strays"];
    let [reports, envelopes, strays] = names.map(Into::into);
    let mut tasks = Tasks::new(TurnRules {
        rules: Rules {
            // Short enough that drafts are forgotten while the log is written.
            timing: Timing { remember: std::time::Duration::from_secs(15 * 60), ..Timing::default() },
            topic_names: TopicNames { reports, envelopes, strays },
            value_bytes_max: ValueBytesMax::default(),
            archive_format: ArchiveFormat::Record,
            awake_max: ALL_AWAKE,
            work_max: WorkMax::default(),
        },
        partitions: 1,
        passed_on_bytes_max: None,
        encoding: Encoding::Avro,
        recent_bytes_max: 1 << 30,
    });
    tasks.assign(0);
    let mut lying = Lying::default();
    for (key, value) in log {
        tasks.restore(0, lying.put(value.clone().unwrap_or_default()), key, value.as_deref());
    }
    tasks.restored(0).map_err(|error| error.to_string())?;
    Ok((tasks, lying))
}

/// Every arrival can be read again, and every draft.
struct Log<'a>(&'a [Arrival], &'a Lying);

impl Bodies for Log<'_> {
    fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        wanted.iter().map(|position| Ok(self.0[position.offset as usize].bytes.clone())).collect()
    }

    fn fetch_drafts(&mut self, _: i32, places: &[Place]) -> Result<Vec<Bytes>, String> {
        self.1.fetch(places)
    }
}

/// A turn of these arrivals; the clock stands behind the last.
fn turn((tasks, lying): &mut (Tasks, Lying), all: &[Arrival], arrivals: &[Arrival], wall: Timestamp) -> Vec<Outgoing> {
    let inputs = [Input::Reports, Input::Envelopes, Input::Strays];
    let progress = inputs.map(|input| Progress { input, partition: 0, at_end: true });
    let output = tasks.turn(arrivals.to_vec(), &progress, wall, &mut Log(all, lying)).unwrap();
    tasks.handle_written(output.number, &lying.take(&output.outgoing));
    output.outgoing
}

fn arrivals(messages: usize) -> Vec<Arrival> {
    let options = Options { messages, original_bytes_mean: 300, ..Options::new(11) };
    let arrival = |(offset, incoming): (usize, mailjournal::sample::Incoming)| {
        let (input, bytes) = match &incoming.what {
            What::Mail(mail) => (Input::Reports, mail.bytes.clone()),
            What::Event(event) => (Input::Envelopes, event.to_framed()),
        };
        let position = Position { input, partition: 0, offset: offset as i64 };
        Arrival::new(position, incoming.at, bytes)
    };
    Organisation::with(options).arrivals().enumerate().map(arrival).collect()
}

#[test]
fn a_changelog_restores_the_same_before_and_after_compaction() {
    let arrivals = arrivals(400);
    let (before, after) = arrivals.split_at(arrivals.len() * 2 / 3);
    let (mut log, mut forgotten) = (Vec::new(), 0);
    let mut running = new_tasks(&[]).unwrap();
    for (number, some) in before.chunks(40).enumerate() {
        // The clock on the wall runs faster than the mail comes, so that drafts close and are forgotten.
        let wall = Timestamp(some.last().unwrap().at.0 + number as i64 * HOUR / 6);
        for outgoing in turn(&mut running, &arrivals, some, wall) {
            if outgoing.output == Output::Drafts {
                forgotten += usize::from(outgoing.value.is_none());
                log.push((outgoing.key.unwrap(), outgoing.value));
            }
        }
    }
    assert!(forgotten > 100, "{forgotten} forgotten");
    let last: BTreeMap<Bytes, Option<Bytes>> = log.iter().cloned().collect();
    assert!(last.len() * 2 < log.len() + forgotten, "{} keys in a log of {}", last.len(), log.len());
    let compacted: Vec<_> = last.into_iter().filter(|(_, value)| value.is_some()).collect();
    let (old, new) = log.split_at(log.len() / 2);
    let kept = old.iter().filter(|entry| compacted.contains(entry));
    let half_compacted: Vec<_> = kept.chain(new).cloned().collect();
    let wall = Timestamp(arrivals.last().unwrap().at.0 + 2 * HOUR);
    let go_on = |tasks: &mut (Tasks, Lying)| {
        let mut came = turn(tasks, &arrivals, after, wall);
        came.extend(turn(tasks, &arrivals, &[], Timestamp(wall.0 + HOUR)));
        came
    };
    let expect = go_on(&mut running);
    assert!(expect.iter().any(|outgoing| outgoing.output == Output::Archive));
    for log in [&log, &compacted, &half_compacted] {
        let mut restored = new_tasks(log).unwrap();
        assert!(go_on(&mut restored) == expect, "a log of {} entries", log.len());
    }
}

fn entry(draft: &StoredDraft) -> (Bytes, Option<Bytes>) {
    (draft.draft_key().to_text().into(), Some(avro::encode(Schema::Draft, draft).into()))
}

#[test]
fn an_entry_that_cannot_be_read_stops_a_task_unless_a_later_one_replaces_it() {
    let good = entry(&StoredDraft { pieces: Vec::new(), ..samples::draft() });
    let bad = (good.0.clone(), Some(Bytes::from_static(b"\xC3\x01of the future")));
    let deleted = (good.0.clone(), None);
    for (log, readable) in [
        (vec![good.clone(), bad.clone()], false),
        (vec![bad.clone(), good.clone()], true),
        (vec![bad.clone(), deleted.clone()], true),
        (vec![deleted, good, bad], false),
    ] {
        assert_eq!(new_tasks(&log).is_ok(), readable);
    }
}
