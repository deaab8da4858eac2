//! What the correlator keeps, publishes and forgets, and when: each named after what once broke or could break.

use std::sync::Arc;

use mailjournal::{
    arrival::Timestamp,
    correlate::{AwakeMax, Budget, Outcome, Piece, Rules, WorkMax},
    evidence::{Evidence, Kind, Notice, Original, Place, PlaceKind, RecipientKind, RecipientStatus, Role},
    limits,
    mail::Guard,
    record::{ClosedBecause, Flag, JournalRecord, OriginalRole, Status},
};
use proptest::{prelude::*, sample::select};

use crate::{
    correlation_laws::{SMALL, Subject, UNBOUNDED, piece, rules},
    support::laws::lying::NONE_AWAKE,
    support::pieces::{KEY, evidence, original, recipient, seen},
};

const DAY: i64 = 86_400;

fn at(second: i64) -> Timestamp {
    Timestamp(second * 1000)
}

/// A report that tells a subject and a sender, of the message that the guard names, if any.
fn told(name: &str, sender: &str, guard: Option<&str>, second: i64) -> Piece {
    let mut evidence = evidence(Kind::Report, name);
    evidence.subject = Some("s".into());
    evidence.sender = Some(sender.into());
    evidence.originals.extend(guard.map(|guard| Original { from: Vec::new(), ..original(Some(guard), guard, guard) }));
    seen(evidence, second, second)
}

fn record_id(guard: &str) -> String {
    format!("{}#{}", KEY, Guard::of(guard.as_bytes(), b"date"))
}

fn closed(pieces: &[Piece]) -> Subject {
    let mut subject = Subject::new();
    pieces.iter().for_each(|piece| drop(subject.take(piece)));
    subject.run_on();
    subject
}

fn only(subject: &Subject) -> &JournalRecord {
    let [record] = &subject.published[..] else { panic!("{} records", subject.published.len()) };
    record
}

// When drafts are published and forgotten.

/// Down for longer than drafts are remembered, with more open than one turn publishes.
#[test]
fn a_draft_is_not_forgotten_before_it_is_published() {
    for restart in [false, true] {
        let mut subject = Subject::with(rules(), SMALL);
        for number in 0..5 {
            let guard = format!("p{number}@x.example");
            subject.take(&told(&guard, &guard, Some(&guard), 0));
        }
        if restart {
            subject.restart();
        }
        subject.pass(at(20 * DAY), SMALL);
        subject.drain();
        assert_eq!(subject.published.len(), 1);
        subject.time(at(20 * DAY));
        assert_eq!(subject.published.len(), 5);
    }
}

#[test]
fn the_bytes_of_a_turn_are_bounded_too() {
    let mut subject = Subject::new();
    for name in ["p@x.example", "q@x.example", "r@x.example"] {
        // An original of 100 bytes, in a report that is read whole for it.
        let mut piece = told(name, name, Some(name), 0);
        piece.seen.size = 1_000_000;
        subject.take(&piece);
    }
    subject.pass(at(100), Budget { bytes: 1_500_000, ..UNBOUNDED });
    subject.drain();
    assert_eq!(subject.published.len(), 2);
}

/// Without any original a record of very many recipients is large.
#[test]
fn the_records_of_a_turn_are_bounded_by_their_bytes() {
    let mut subject = Subject::new();
    for name in ["p", "q", "r"] {
        let mut piece = told(name, name, None, 0);
        let evidence = Arc::make_mut(&mut piece.evidence);
        evidence.key = mailjournal::mail::Key(format!("<{name}@x.example>").into());
        let recipients = (0..10_000).map(|number| recipient(&format!("r{number}@x.example"), Role::To, &[]));
        evidence.recipients.extend(recipients);
        subject.take(&piece);
    }
    subject.pass(at(10_000), Budget { bytes: 450_000, ..UNBOUNDED });
    subject.drain();
    assert_eq!(subject.published.len(), 2);
}

/// An older report tells which message a later piece belongs to: the record waits as long after the later one.
#[test]
fn a_piece_that_moves_takes_its_time_along() {
    let mut subject = Subject::new();
    subject.take(&told("late", "p@x.example", None, 47));
    subject.take(&told("early", "p@x.example", Some("p@x.example"), 0));
    let closes = 47 + i64::try_from(rules().timing.quiet.as_secs()).expect("a minute");
    subject.time(at(closes - 1));
    assert_eq!(subject.published.len(), 0);
    subject.time(at(closes));
    assert_eq!(only(&subject).evidence.len(), 2);
}

/// The first start reads a backlog that is older than `remember`: the strays of the other partitions come after the
/// draft was closed by the wall clock.
#[test]
fn a_stray_of_a_backlog_older_than_remember_makes_a_revision() {
    for restart in [false, true] {
        let mut subject = Subject::new();
        subject.take(&told("one", "p@x.example", Some("p@x.example"), 0));
        subject.time(at(13 * DAY));
        assert_eq!(subject.published.len(), 1);
        if restart {
            subject.restart();
        }
        subject.take(&told("two", "p@x.example", Some("p@x.example"), 1));
        subject.time(at(13 * DAY));
        assert_eq!(subject.published.last().map(|record| (record.revision, record.evidence.len())), Some((2, 2)));
    }
}

#[test]
fn a_draft_is_forgotten_when_remember_is_over_and_not_before() {
    for restart in [false, true] {
        let mut subject = closed(&[told("one", "p@x.example", Some("p@x.example"), 0)]);
        assert_eq!(only(&subject).closed_at, 60_000);
        if restart {
            subject.restart();
        }
        let remember = i64::try_from(rules().timing.remember.as_millis()).unwrap();
        subject.time(Timestamp(60_000 + remember - 1));
        assert_eq!((subject.changelog.len(), subject.correlator.drafts()), (1, (0, 1)));
        subject.time(Timestamp(60_000 + remember));
        assert_eq!((subject.changelog.len(), subject.correlator.drafts()), (0, (0, 0)));
        subject.take(&told("two", "p@x.example", Some("p@x.example"), 10 * DAY));
        subject.run_on();
        assert_eq!(subject.published.last().unwrap().revision, 1, "what was forgotten is begun anew");
    }
}

#[test]
fn a_piece_from_the_future_closes_by_the_wall_clock() {
    let mut subject = Subject::new();
    let piece = told("one", "p@x.example", Some("p@x.example"), 100 * DAY);
    subject.take_at(&piece, at(10));
    subject.drain();
    assert_eq!(subject.correlator.poll_deadline(), Some(at(15)));
    subject.time(at(70));
    assert_eq!(subject.published.len(), 1);
}

#[test]
fn an_older_piece_does_not_bring_the_closing_forward() {
    let mut subject = Subject::new();
    subject.take(&told("one", "p@x.example", Some("p@x.example"), 50));
    subject.take(&told("two", "p@x.example", Some("p@x.example"), 10));
    subject.run_on();
    assert_eq!(only(&subject).closed_at, 110_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What was forgotten counts no more, and nothing else is forgotten: a task that was restored from its changelog
    /// publishes what one that never stopped publishes.
    #[test]
    fn restarts_change_nothing_though_much_is_forgotten(steps in prop::collection::vec(
        (piece(), select(vec![1, 30, 100, 2000, DAY, 4 * DAY, 9 * DAY]), any::<bool>()), 4..16)
    ) {
        let run = |restarts: bool, budget: Budget| {
            let (mut subject, mut now) = (Subject::with(rules(), budget), 0);
            for (piece, gap, restart) in &steps {
                now += gap;
                subject.time(at(now));
                let late = Timestamp(at(now).0 - piece.seen.at.0);
                let seen = mailjournal::correlate::Seen { at: late, ..piece.seen.clone() };
                subject.take(&Piece { seen, ..piece.clone() });
                subject.drain();
                if restarts && *restart {
                    subject.restart();
                }
            }
            subject.run_on();
            subject.published
        };
        prop_assert_eq!(run(false, UNBOUNDED), run(true, SMALL));
    }
}

// Who stays at hand.

fn of_id(id: &str, name: &str, guard: Option<&str>, second: i64) -> Piece {
    let mut piece = told(name, name, guard, second);
    Arc::make_mut(&mut piece.evidence).key = mailjournal::mail::Key(format!("<{id}@x.example>").into());
    piece
}

/// A constant id, whose messages never rest, takes nobody's place; when most of them are forgotten it is as any other.
#[test]
fn an_id_of_very_many_messages_sends_no_other_to_rest() {
    let mut subject = Subject::with(
        Rules { awake_max: AwakeMax { open: 3, closed: 3, large_bytes: usize::MAX }, ..rules() },
        UNBOUNDED,
    );
    for number in 0..100 {
        let guard = format!("m{number}");
        subject.take(&of_id("constant", &guard, Some(&guard), if number < 40 { 0 } else { 100 }));
        subject.drain();
    }
    let others = |subject: &mut Subject, name: &str, second| {
        for number in 0..5 {
            let name = format!("{name} {number}");
            subject.take(&of_id(&name, &name, Some(&name), second));
            subject.drain();
        }
        subject.drain();
    };
    others(&mut subject, "open", 100);
    assert_eq!(subject.correlator.at_hand(), 103, "three of those that are open");
    subject.run_on();
    subject.drain();
    assert_eq!(subject.correlator.at_hand(), 103, "three of those that are closed");
    assert_eq!(subject.correlator.drafts(), (0, 105));
    // Of the constant id's, those are forgotten that were closed first.
    subject.time(at(60 + 9 * DAY));
    subject.drain();
    assert_eq!(subject.correlator.drafts(), (0, 65));
    assert!(subject.correlator.at_hand() <= 3);
}

/// So many messages that are all at rest.
fn resting(messages: i64, rules: Rules, recipients: usize) -> Subject {
    let mut subject = Subject::with(rules, UNBOUNDED);
    for number in 0..messages {
        let name = format!("{number}");
        let mut piece = of_id(&name, &name, Some(&name), 0);
        let names = (0..recipients).map(|number| recipient(&format!("r{number}@x.example"), Role::To, &[]));
        Arc::make_mut(&mut piece.evidence).recipients.extend(names);
        subject.take(&piece);
    }
    subject.drain();
    subject.drain();
    subject
}

/// After a restore each open draft is looked at again, and none of them closes: that took all of them at once.
#[test]
fn a_turn_brings_to_hand_what_its_budget_allows() {
    let mut subject = resting(50, Rules { awake_max: NONE_AWAKE, ..rules() }, 0);
    subject.restart();
    for looked_at in [7, 14, 21] {
        subject.pass(at(10), Budget { woken: 7, ..UNBOUNDED });
        assert_eq!(subject.correlator.at_hand(), 7);
        subject.drain();
        assert_eq!((subject.published.len(), subject.correlator.drafts()), (0, (50, 50)), "{looked_at}");
    }
    subject.run_on();
    assert_eq!(subject.published.len(), 50);
}

/// Drafts of one time: each that was closed brought others to hand.
#[test]
fn what_is_due_at_the_same_time_comes_to_hand_as_it_is_closed() {
    let work_max = WorkMax { wake_parts: 2, ..WorkMax::default() };
    let mut subject = resting(50, Rules { awake_max: NONE_AWAKE, work_max, ..rules() }, 0);
    subject.time(at(10));
    subject.drain();
    assert_eq!((subject.published.len(), subject.correlator.at_hand()), (0, 0), "all were looked at");
    subject.pass(at(10_000), Budget { records: 10, ..UNBOUNDED });
    assert_eq!((subject.correlator.at_hand(), subject.correlator.drafts().0), (10, 40));
}

#[test]
fn large_messages_stay_at_hand_up_to_so_many_bytes() {
    let awake_max = AwakeMax { open: usize::MAX, closed: usize::MAX, large_bytes: 200_000 };
    // Some 28 KB each.
    for (recipients, at_hand) in [(0, 50), (1_000, 7)] {
        let mut subject = resting(50, Rules { awake_max, ..rules() }, recipients);
        assert_eq!(subject.correlator.at_hand(), at_hand);
        subject.run_on();
        subject.drain();
        assert_eq!((subject.published.len(), subject.correlator.at_hand()), (50, at_hand));
    }
}

/// Each late piece would read all of it back.
#[test]
fn a_message_of_very_many_parts_stays_at_hand() {
    for (parts, at_hand) in [(400, 0), (520, 1)] {
        let mut subject = Subject::with(Rules { awake_max: NONE_AWAKE, ..rules() }, UNBOUNDED);
        for number in 0..parts {
            let mut piece = told(&format!("{number}"), "p", Some("p"), 0);
            Arc::make_mut(&mut piece.evidence).subject = Some("s".repeat(limits::HEADER_TEXT_BYTES_MAX));
            subject.take(&piece);
        }
        subject.run_on();
        subject.drain();
        assert_eq!((subject.changelog.len(), subject.correlator.at_hand()), (parts, at_hand));
    }
}

// Which message a piece belongs to.

/// P and Q agree in subject and sender, R does not. P is forgotten; then a report without original comes.
#[test]
fn a_forgotten_message_claims_nothing() {
    for restart in [false, true] {
        let mut subject = closed(&[told("P", "a@x.example", Some("p"), 0)]);
        subject.take(&told("Q", "a@x.example", Some("q"), 8 * DAY));
        subject.take(&told("R", "r@x.example", Some("r"), 8 * DAY));
        subject.run_on();
        subject.take(&told("Q again", "a@x.example", Some("q"), 16 * DAY));
        subject.take(&told("R again", "r@x.example", Some("r"), 16 * DAY));
        subject.run_on();
        subject.time(at(17 * DAY + 100));
        assert_eq!(subject.changelog.len(), 2, "P is forgotten");
        if restart {
            subject.restart();
        }
        let merged = subject.take(&told("late", "a@x.example", None, 17 * DAY + 200));
        assert_eq!(merged.record_id, record_id("q"));
    }
}

/// Two messages of one id were told of the same event; one of them is forgotten, then the event is told again.
#[test]
fn an_event_stays_known_while_one_telling_of_it_is_here() {
    let event = |name: &str, guard: Option<&str>, second| {
        let mut event = evidence(Kind::EnvelopeEvent, name);
        event.server = Some("ex1.example".into());
        event.report_id = Some("e1".into());
        event.originals.extend(guard.map(|guard| original(Some(guard), guard, guard)));
        seen(event, second, second)
    };
    for restart in [false, true] {
        let mut subject = closed(&[event("of p", Some("p"), 0)]);
        assert_eq!(subject.take(&event("of q", Some("q"), 8 * DAY)).outcome, Outcome::Duplicate);
        subject.run_on();
        subject.take(&told("Q again", "q@x.example", Some("q"), 16 * DAY));
        subject.run_on();
        subject.time(at(18 * DAY));
        assert_eq!(subject.changelog.len(), 1, "p is forgotten");
        if restart {
            subject.restart();
        }
        assert_eq!(subject.take(&event("third", Some("q"), 18 * DAY)).outcome, Outcome::Duplicate);
        subject.run_on();
        subject.time(at(60 * DAY));
        assert_eq!(subject.changelog.len(), 0);
        assert_eq!(subject.take(&event("fourth", Some("q"), 60 * DAY)).outcome, Outcome::New);
    }
}

#[test]
fn senders_agree_whatever_their_case() {
    let mut subject = Subject::new();
    subject.take(&told("P", "Alice@X.example", Some("p"), 0));
    subject.take(&told("Q", "q@x.example", Some("q"), 0));
    assert_eq!(subject.take(&told("late", "alice@x.EXAMPLE", None, 1)).record_id, record_id("p"));
}

#[test]
fn a_decrypted_copy_does_not_speak_for_its_message() {
    let mut subject = Subject::new();
    let mut encrypted = told("P", "p@x.example", Some("p"), 0);
    let clear = Original {
        decrypted: true,
        from: vec!["inner@x.example".into()],
        subject: Some("inner".into()),
        ..original(Some("inner"), "clear", "clear")
    };
    Arc::get_mut(&mut encrypted.evidence).unwrap().originals.push(clear);
    subject.take(&encrypted);
    subject.take(&told("Q", "q@x.example", Some("q"), 0));
    let mut late = evidence(Kind::Report, "late");
    late.subject = Some("inner".into());
    late.sender = Some("inner@x.example".into());
    assert!(subject.take(&seen(late, 1, 9)).record_id.contains("#~"));
}

#[test]
fn every_address_of_a_from_can_agree() {
    let mut subject = Subject::new();
    let mut written_by_many = evidence(Kind::Report, "P");
    let from = (0..40).map(|number| format!("f{number}@x.example")).collect();
    written_by_many.originals.push(Original { from, ..original(Some("p"), "b", "p") });
    subject.take(&seen(written_by_many, 1, 1));
    subject.take(&told("Q", "q@x.example", Some("q"), 1));
    for number in [0, 8, 39] {
        let (name, sender) = (format!("late {number}"), format!("f{number}@x.example"));
        assert_eq!(subject.take(&told(&name, &sender, None, 2)).record_id, record_id("p"));
    }
}

// What is published once, and what again.

fn bounce() -> Evidence {
    let mut notice = evidence(Kind::Notice, "bounce");
    notice.originals.push(original(Some("bounce"), "bounce", "bounce"));
    notice.notice = Some(Notice {
        about: None,
        found_by: None,
        about_guard: None,
        reporting_mta: None,
        original_envelope_id: None,
        statuses: Vec::new(),
        is_bounce: true,
    });
    notice
}

#[test]
fn a_non_delivery_is_told_once() {
    let mut subject = closed(&[seen(bounce(), 0, 0)]);
    let mut copy = evidence(Kind::PlainCopy, "copy");
    copy.originals.push(original(Some("bounce"), "bounce", "bounce"));
    subject.take(&seen(copy, 100, 1));
    subject.run_on();
    let told: Vec<usize> = subject.completes.iter().map(|complete| complete.non_deliveries.len()).collect();
    assert_eq!(told, [1, 0]);
}

/// Two bounces of one Message-ID, From and Date, as a server makes them that knows whom it failed one by one.
#[test]
fn every_notice_of_a_record_is_told() {
    let failing = |name: &str| {
        let mut notice = bounce();
        notice.id = mailjournal::mail::Digest::of(name.as_bytes());
        notice.originals = vec![original(Some("bounce"), name, name)];
        let failed = RecipientStatus {
            final_recipient: Some(format!("{name}@x.example")),
            original_recipient: None,
            action: Some("failed".into()),
            status: None,
            diagnostic: None,
        };
        notice.notice.as_mut().expect("it is one").statuses.push(failed);
        notice
    };
    let told = |subject: &Subject| {
        subject.completes.iter().map(|complete| complete.non_deliveries.len()).collect::<Vec<usize>>()
    };
    let mut subject = closed(&[seen(failing("one"), 0, 0), seen(failing("two"), 0, 0)]);
    assert_eq!(told(&subject), [2]);
    subject.take(&seen(failing("three"), 100, 100));
    subject.run_on();
    assert_eq!(told(&subject), [2, 1]);
}

/// A bounce without From and Date of its own: an original of its id takes it along.
fn unguarded_bounce(name: &str) -> Evidence {
    let mut notice = bounce();
    notice.id = mailjournal::mail::Digest::of(name.as_bytes());
    notice.originals = vec![original(None, name, name)];
    notice
}

fn told_with(subject: &Subject) -> Vec<(String, i32)> {
    let telling = subject.completes.iter().filter(|complete| !complete.non_deliveries.is_empty());
    telling.map(|complete| (complete.record.record_id.clone(), complete.record.revision)).collect()
}

#[test]
fn a_notice_that_moves_is_not_told_again() {
    for (restart, old) in [(false, false), (true, false), (true, true)] {
        let copies = ["bounce", "its copy"].map(|name| seen(unguarded_bounce(name), 0, 0));
        let mut subject = closed(&copies);
        if old {
            let pieces = subject.changelog.values_mut().flat_map(|stored| &mut stored.pieces);
            pieces.for_each(|piece| piece.non_delivery_told = None);
        }
        if restart {
            subject.restart();
        }
        for (guard, second) in [("p", 100), ("q", 200), ("r", 300)] {
            subject.take(&told(guard, guard, Some(guard), second));
            subject.run_on();
        }
        let records = subject.published.iter().filter(|record| record.status == Status::Superseded).count();
        assert_eq!((told_with(&subject), records > 0), (vec![(KEY.to_owned(), 1)], true), "{restart} {old}");
    }
}

#[test]
fn a_notice_that_an_older_version_kept_but_never_published_is_told() {
    let mut subject = Subject::new();
    subject.take(&seen(bounce(), 0, 0));
    subject.drain();
    let pieces = subject.changelog.values_mut().flat_map(|stored| &mut stored.pieces);
    pieces.for_each(|piece| piece.non_delivery_told = None);
    subject.restart();
    subject.run_on();
    assert_eq!(told_with(&subject), [(record_id("bounce"), 1)]);
}

/// What came before it was of no message yet: the notice is in its second revision.
#[test]
fn a_notice_of_a_second_revision_is_told() {
    let mut subject = closed(&[told("report", "p@x.example", Some("bounce"), 0)]);
    subject.take(&seen(bounce(), 2_000, 1));
    subject.run_on();
    assert_eq!(told_with(&subject), [(record_id("bounce"), 2)]);
    subject.take(&told("report again", "p@x.example", Some("bounce"), 3_000));
    subject.run_on();
    assert_eq!(told_with(&subject).len(), 1);
}

#[test]
fn two_originals_that_fit_alone_need_not_fit_together() {
    let mut rules = rules();
    rules.value_bytes_max.archive = Some(150_000);
    let mut subject = Subject::with(rules, UNBOUNDED);
    let mut report = evidence(Kind::Report, "report");
    for bytes in ["one", "two"] {
        report.originals.push(Original { size: 80_000, ..original(Some("p"), "b", bytes) });
    }
    subject.take(&seen(report, 0, 0));
    subject.run_on();
    assert_eq!(subject.completes[0].wanted.len(), 1);
    assert!(only(&subject).flags.contains(&Flag::OriginalByReference));
}

/// A piece leaves for P, comes back when Q could claim it too, and leaves for R when both are long forgotten.
#[test]
fn a_record_to_which_evidence_came_back_is_superseded_by_the_next_one_only() {
    let mut subject = closed(&[told("P", "p@x.example", Some("p"), 0), told("Q", "q@x.example", Some("q"), 0)]);
    let mut late = told("late", "a@x.example", None, 1);
    let ambiguous = subject.take(&late).record_id;
    subject.run_on();
    let superseded_by = |subject: &Subject| {
        let mut of_it = subject.published.iter().filter(|record| record.record_id == ambiguous);
        of_it.next_back().map(|record| record.superseded_by.clone()).unwrap_or_default()
    };
    subject.take(&told("P again", "a@x.example", Some("p"), 100));
    subject.run_on();
    assert_eq!(superseded_by(&subject), [record_id("p")]);
    subject.take(&told("Q again", "a@x.example", Some("q"), 200));
    subject.run_on();
    assert!(superseded_by(&subject).is_empty());
    (late.journals, late.seen.at) = (vec!["journal@x.example".into()], at(5 * DAY));
    late.seen.position.offset = 0;
    subject.take(&late);
    subject.run_on();
    subject.time(at(10 * DAY));
    assert_eq!(subject.changelog.len(), 1, "P and Q are forgotten");
    subject.take(&told("R", "r@x.example", Some("r"), 10 * DAY));
    subject.run_on();
    assert_eq!(superseded_by(&subject), [record_id("r")]);
}

#[test]
fn parts_that_everything_has_left_are_deleted_from_the_changelog() {
    let mut subject = Subject::new();
    for number in 0..1_000 {
        subject.take(&told(&format!("late {number}"), "a@x.example", None, 0));
    }
    subject.run_on();
    assert!(subject.changelog.len() > 1);
    subject.take(&told("P", "a@x.example", Some("p"), 100));
    subject.run_on();
    let of_key = |part: &&mailjournal::correlate::DraftKey| part.record_id == KEY;
    assert_eq!(subject.changelog.keys().filter(of_key).count(), 1, "the first part says what was published");
}

// What the evidence adds up to.

fn promise(recipient_now: &str, was: Option<&str>) -> Evidence {
    let mut event = evidence(Kind::EnvelopeEvent, "event");
    event.server = Some("ex1.example".into());
    event.journaled_to.push("journal@x.example".into());
    let mut claim = recipient(recipient_now, Role::To, &[]);
    claim.original = was.map(str::to_owned);
    claim.what = RecipientKind::Mailbox;
    event.recipients.push(claim);
    event
}

#[test]
fn a_report_that_names_who_was_addressed_keeps_the_promise() {
    for (was, because) in [(None, ClosedBecause::Patience), (Some("OLD@x.example"), ClosedBecause::Evidence)] {
        let mut report = evidence(Kind::Report, "report");
        report.server = Some("ex1.example".into());
        report.recipients.push(recipient("old@x.example", Role::To, &[]));
        report.originals.push(original(Some("p"), "b", "b"));
        let subject = closed(&[seen(promise("new@x.example", was), 0, 0), seen(report, 0, 1)]);
        assert_eq!(only(&subject).closed_because, because);
    }
}

fn elsewhere(of: Original) -> Original {
    Original { place: Place::elsewhere("s3://bucket/object".into()), ..of }
}

#[test]
fn bytes_at_hand_count_before_bytes_elsewhere() {
    // The same original: the reference is at the lower position, the bytes at the higher one.
    let mut copy = evidence(Kind::PlainCopy, "copy");
    copy.originals.push(original(Some("p"), "b", "b"));
    let mut report = evidence(Kind::Report, "report");
    report.originals.push(elsewhere(original(Some("p"), "b", "b")));
    let subject = closed(&[seen(report, 0, 0), seen(copy.clone(), 0, 1)]);
    assert_eq!(subject.completes[0].wanted.iter().map(|one| one.place.how).collect::<Vec<_>>(), [PlaceKind::Cut]);
    // Two originals: a copy that is here comes before a report's that is not.
    let mut report = evidence(Kind::Report, "report");
    report.originals.push(elsewhere(original(Some("p"), "b", "other")));
    let subject = closed(&[seen(report, 0, 0), seen(copy, 0, 1)]);
    let originals = &only(&subject).originals;
    assert_eq!(originals[0].sha256, mailjournal::mail::Digest::of(b"b"));
    assert_eq!((originals[0].role, originals[1].role), (OriginalRole::Primary, OriginalRole::Variant));
}
