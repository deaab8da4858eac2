//! Cost grows linearly with the evidence of one key, however it falls together.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use mailjournal::{
    arrival::Timestamp,
    avro::{self, Schema},
    correlate::{Correlator, DraftKey, Effect, Entry, Piece, Timing},
    evidence::{How, Kind, Role},
    limits,
    mail::Digest,
    record::Flag,
};

use crate::{
    correlation_laws::{Subject, UNBOUNDED, rules},
    samples,
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

/// A stored part holds its own pieces, and of the draft nothing that grows: the value that a topic takes is bounded.
fn check_parts(what: &str, subject: &Subject) {
    assert!(subject.changelog.len() > 1, "{what}");
    for (part, stored) in &subject.changelog {
        let largest = stored.pieces.iter().map(|piece| avro::encode_datum(piece).len()).max().unwrap_or_default();
        let taken = avro::encode(Schema::Draft, stored).len();
        assert!(taken <= limits::DRAFT_PART_BYTES * 5 / 4 + largest, "{what}: {part:?} takes {taken} bytes");
    }
}

#[test]
fn a_stored_part_does_not_grow_with_what_its_draft_published() {
    let mut subject = Subject::new();
    for (number, second) in (0..3_000).zip(0..) {
        let mut copy = evidence(Kind::PlainCopy, &format!("copy {number}"));
        copy.originals.push(original(Some("p@x.example"), "body", &format!("restamped {number}")));
        subject.take(&seen(copy, 1_000 * (second / 300), second));
        if number % 300 == 299 {
            subject.run_on();
            subject.restart();
        }
    }
    check_parts("published by revision", &subject);
    let last = subject.published.last().unwrap();
    let carried: BTreeSet<&String> = last.originals.iter().filter_map(|original| original.reference.as_ref()).collect();
    assert_eq!((last.originals.len(), carried.len()), (3_000, 9), "each but the last 300 is in an earlier revision");
}

#[test]
fn a_stored_part_does_not_grow_with_what_left_its_draft() {
    let mut subject = Subject::new();
    let pieces = |name: &str, guard: Option<&str>| -> Vec<Piece> {
        let piece = |number| {
            let mut piece = report(number, guard);
            let evidence = std::sync::Arc::make_mut(&mut piece.evidence);
            evidence.id = Digest::of(format!("{name} {number}").as_bytes());
            evidence.sender = Some(format!("s{number}@x.example"));
            piece
        };
        (0..3_000).map(piece).collect()
    };
    let [guarded, unguarded, other] = [("p", Some("p")), ("unguarded", None), ("q", Some("q"))];
    for (name, guard) in [guarded, unguarded, other] {
        pieces(name, guard).iter().for_each(|piece| drop(subject.take(piece)));
        subject.drain();
    }
    assert!(subject.changelog.keys().filter(|part| part.record_id.contains("#~")).count() == 3_000, "all have left");
    check_parts("moved away", &subject);
}

/// Whoever may produce can send a mail for one journal after the other.
#[test]
fn a_stored_part_does_not_grow_with_the_journals_of_its_arrivals() {
    let copies = |numbers: &mut dyn Iterator<Item = usize>| {
        let mut subject = Subject::new();
        for number in numbers {
            let mut copy = report(number % 100, Some("p@x.example"));
            let long = "x".repeat(if number % 100 == 7 { 5_000 } else { 50 });
            copy =
                Piece::new((*copy.evidence).clone(), copy.seen, vec![format!("{:04}{long}@x.example", number / 100)]);
            subject.take(&copy);
            if number % 1_000 == 999 {
                subject.drain();
            }
        }
        subject.run_on();
        subject
    };
    let subject = copies(&mut (0..15_000));
    check_parts("journals", &subject);
    let record = subject.published.last().unwrap();
    assert_eq!(record.journals.len(), limits::ARRIVAL_JOURNALS_MAX);
    assert!(record.flags.contains(&Flag::Truncated));
    let other = copies(&mut (0..15_000).rev());
    assert_eq!(other.published.last().unwrap().journals, record.journals, "in whatever order they came");
    let few = copies(&mut (0..10).map(|number| number * 100));
    assert!(!few.published.last().unwrap().flags.contains(&Flag::Truncated));
    assert_eq!(few.published.last().unwrap().journals.len(), 10);
}

/// Parts of one message, or of many of one id, as a changelog has them that was never compacted.
fn restored(parts: usize, name: impl Fn(usize) -> (String, i32)) -> Duration {
    let mut stored = samples::draft();
    stored.pieces.clear();
    let entries: Vec<(DraftKey, Entry)> = (0..parts)
        .map(|number| {
            (stored.record_id, stored.part) = name(number);
            (stored.draft_key(), Entry::of(&stored, number as i64, &Timing::default()).unwrap())
        })
        .collect();
    let start = Instant::now();
    let mut correlator = Correlator::new(rules());
    for written_again in 0..2 {
        for (number, (key, entry)) in entries.iter().enumerate() {
            correlator.restore(*entry);
            if written_again == 1 && key.part == 0 && number % 10 == 9 {
                correlator.restore_forgotten(key.to_text().as_bytes()).unwrap();
            }
        }
    }
    correlator.restored().unwrap();
    let drafts = entries.iter().enumerate().filter(|(number, (key, _))| key.part == 0 && number % 10 != 9).count();
    assert_eq!(correlator.drafts(), (drafts, drafts));
    start.elapsed()
}

#[test]
fn restoring_costs_what_the_changelog_holds() {
    let key = samples::draft().key;
    let of_one_id = |number: usize| (format!("{key}#{number:016x}"), 0);
    let of_one_message = |number: usize| (format!("{key}#{:016x}", 1), i32::try_from(number).unwrap());
    let largest = if cfg!(debug_assertions) { 40_000 } else { 300_000 };
    let counts = [largest / 4, largest / 2, largest];
    let mut tries = std::iter::repeat_with(|| {
        (counts.map(|count| restored(count, of_one_id)), counts.map(|count| restored(count, of_one_message)))
    });
    let linear = tries.by_ref().take(3).any(|(of_one_id, of_one_message)| {
        println!("restored: {of_one_id:.2?} of one id, {of_one_message:.2?} of one message");
        is_linear(&of_one_id) && is_linear(&of_one_message)
    });
    assert!(linear, "three times not linear");
}
