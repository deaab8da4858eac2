//! Cost grows linearly with the evidence of one key, however it falls together.

use std::time::{Duration, Instant};

use mailjournal::{
    arrival::Timestamp,
    correlate::{Correlator, Effect, Piece},
    evidence::{How, Kind, Role},
};

use crate::{
    correlation_laws::{UNBOUNDED, rules},
    support::{
        laws::lying::Lying,
        pieces::{evidence, original, recipient, seen},
    },
};

/// Pieces of one turn.
const TURN: usize = 1_000;

/// Takes all pieces in, a turn at a time, and closes what they make; returns the time, the records and the bytes of
/// changelog parts written, in pieces.
fn correlate(pieces: &[Piece]) -> (Duration, usize, usize) {
    let start = Instant::now();
    let (mut correlator, mut lying, mut turn) = (Correlator::new(rules()), Lying::default(), 0);
    let (mut records, mut written) = (0, 0);
    let mut drain = |correlator: &mut Correlator| {
        turn += 1;
        correlator.handle_turn_end(turn);
        while let Some(effect) = correlator.poll_effect() {
            match effect {
                Effect::Publish(_) => records += 1,
                Effect::Remember(stored) => written += stored.pieces.len(),
                Effect::Forget(_) => {}
            }
        }
    };
    for turn in pieces.chunks(TURN) {
        for piece in turn {
            correlator.handle_evidence(piece.clone(), Timestamp(i64::MAX), &mut lying).expect("nothing rests");
        }
        drain(&mut correlator);
    }
    while let Some(due) = correlator.poll_deadline() {
        correlator.handle_time(due, &mut UNBOUNDED.clone(), &mut lying).expect("nothing rests");
    }
    drain(&mut correlator);
    (start.elapsed(), records, written)
}

/// Quadratic growth would take 16 times as long for four times the pieces. A busy machine makes anything slow, but not
/// three times in a row.
fn check_linear(what: &str, make: impl Fn(usize) -> Vec<Piece>, records: impl Fn(usize) -> usize) {
    let mut tries = std::iter::repeat_with(|| times(what, &make, &records)).take(3);
    assert!(tries.any(|times| is_linear(&times)), "{what}: three times not linear");
}

fn is_linear(times: &[Duration; 3]) -> bool {
    times[2] < 10 * times[0] + Duration::from_millis(500)
}

fn times(what: &str, make: &impl Fn(usize) -> Vec<Piece>, records: &impl Fn(usize) -> usize) -> [Duration; 3] {
    // Without optimisation a fifth of it shows the same; with it (`cargo test --release`) the figures are of use.
    let largest = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    [largest / 4, largest / 2, largest].map(|count| {
        let (time, found, written) = correlate(&make(count));
        println!("{what}: {count} pieces in {time:.2?}, {written} pieces written to the changelog");
        assert_eq!(found, records(count), "{what}");
        assert!(written <= 4 * count, "{what}: {written} pieces written for {count}");
        time
    })
}

fn report(number: usize, guard: Option<&str>) -> Piece {
    let mut evidence = evidence(Kind::Report, &format!("report {number}"));
    evidence.recipients.push(recipient(&format!("r{number}@x.example"), Role::To, &[]));
    evidence.subject = Some("s".into());
    evidence.sender = Some("p@x.example".into());
    evidence.originals.extend(guard.map(|guard| original(Some(guard), "body", guard)));
    seen(evidence, 1, i64::try_from(number).unwrap())
}

#[test]
fn many_messages_under_one_message_id() {
    let make = |count| (0..count).map(|number| report(number, Some(&format!("{number}@x.example")))).collect();
    check_linear("different messages of one id", make, |count| count);
}

#[test]
fn many_partial_reports_of_one_message() {
    let make = |count| (0..count).map(|number| report(number, Some("p@x.example"))).collect();
    check_linear("partial reports of one message", make, |_| 1);
}

/// What has no original moves when messages of its id come: once to the first, once away from it.
#[test]
fn many_reports_without_original_that_have_to_move() {
    let make = |count: usize| {
        let mut pieces: Vec<Piece> = (0..count - 2).map(|number| report(number, None)).collect();
        pieces.push(report(count - 2, Some("p@x.example")));
        pieces.push(report(count - 1, Some("q@x.example")));
        std::sync::Arc::get_mut(&mut pieces[count - 1].evidence).unwrap().sender = Some("q@x.example".into());
        pieces
    };
    check_linear("reports without original", make, |_| 2);
}

/// One recipient, told with two paths that share nothing.
#[test]
fn long_paths_cost_what_they_hold() {
    let make = |hops: usize| {
        let mut piece = report(0, Some("p@x.example"));
        for path in 0..2 {
            let hops: Vec<String> = (0..hops).map(|hop| format!("{path}.{hop}@x.example")).collect();
            let hops: Vec<(How, &str)> = hops.iter().map(|hop| (How::Forwarded, hop.as_str())).collect();
            let evidence = std::sync::Arc::get_mut(&mut piece.evidence).unwrap();
            evidence.recipients.push(recipient("a@x.example", Role::To, &hops));
        }
        piece
    };
    let mut tries = std::iter::repeat_with(|| [500, 1_000, 2_000].map(|hops| correlate(&[make(hops)]).0)).take(3);
    assert!(tries.any(|times| is_linear(&times)), "three times not linear");
}
