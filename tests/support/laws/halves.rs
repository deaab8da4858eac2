//! Arrivals in two halves: whichever half is merged first, and whatever is closed between, the records are the same.

use std::collections::BTreeMap;

use mailjournal::{
    arrival::{Arrival, Timestamp},
    record::JournalRecord,
};

use super::{
    parts,
    stage::{self, Stage},
};

/// The parts: mails and lines of envelope events. A single part is cut in two.
pub fn merged(input: &[u8]) {
    let mut parts = parts(input);
    if let [whole] = parts[..] {
        let (one, other) = whole.split_at(whole.len() / 2);
        parts = vec![one, other];
    }
    let arrivals: Vec<Arrival> =
        parts.iter().enumerate().map(|(index, part)| stage::arrival(part, index, time(index))).collect();
    let (one, other) = arrivals.split_at(arrivals.len() / 2);
    let both = in_turns(&[arrivals.clone()], false);
    let check = |halves: [&[Arrival]; 2], closing: bool| {
        let halves = halves.map(<[Arrival]>::to_vec);
        assert_eq!(both, in_turns(&halves, closing), "closing between: {closing}");
    };
    check([other, one], false);
    check([one, other], true);
    check([other, one], true);
}

/// Times that do not rise with the positions.
fn time(index: usize) -> Timestamp {
    let seconds = i64::try_from(index * 7 % 5).expect("below five");
    Timestamp(stage::MORNING.0 + seconds * 1000)
}

fn in_turns(turns: &[Vec<Arrival>], closing: bool) -> BTreeMap<String, JournalRecord> {
    let mut stage = Stage::new();
    for arrivals in turns {
        stage.turn(arrivals.clone(), time(4));
        if closing {
            stage.run_on();
        }
    }
    stage.run_on();
    stage.records()
}
