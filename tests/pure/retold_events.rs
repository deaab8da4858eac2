//! An envelope event that its server tells again with other content: one event, and all that any telling says counts.

use mailjournal::{
    arrival::Timestamp,
    correlate::{Correlator, Effect, Outcome, Piece},
    evidence::{Evidence, Kind, Original, Place, RecipientKind, Role},
    mail::Digest,
    record::{ClosedBecause, JournalRecord, Status},
};

use crate::{
    correlation_laws::{UNBOUNDED, rules},
    support::{
        laws::lying::Lying,
        pieces::{evidence, group, original, recipient, seen},
    },
};

const WALL: Timestamp = Timestamp(i64::MAX);

/// Takes each piece in and closes what it makes before the next; returns the revisions and what became of the pieces.
fn told(pieces: &[Piece]) -> (Vec<JournalRecord>, Vec<Outcome>) {
    let (mut correlator, mut lying) = (Correlator::new(rules()), Lying::default());
    let (mut records, mut outcomes) = (Vec::new(), Vec::new());
    for piece in pieces {
        outcomes.push(correlator.handle_evidence(piece.clone(), WALL, &mut lying).expect("nothing rests").outcome);
        while let Some(due) = correlator.poll_deadline() {
            correlator.handle_time(due, &mut UNBOUNDED.clone(), &mut lying).expect("nothing rests");
        }
        while let Some(effect) = correlator.poll_effect() {
            if let Effect::Publish(complete) = effect {
                records.push(complete.record);
            }
        }
    }
    (records, outcomes)
}

/// Evidence of the event `e1` whose id is above or below another's.
fn telling(server: &str, other: Option<(Digest, bool)>) -> Evidence {
    let fits = |evidence: &Evidence| other.is_none_or(|(id, above)| evidence.id != id && (evidence.id > id) == above);
    let tellings = (0..).map(|number| evidence(Kind::EnvelopeEvent, &format!("telling {number}")));
    let mut evidence = tellings.into_iter().find(fits).expect("half of all ids are above any other");
    (evidence.server, evidence.report_id) = (Some(server.to_owned()), Some("e1".to_owned()));
    evidence
}

/// The later telling once took everything out of the record that only the earlier one said.
#[test]
fn a_telling_that_says_less_takes_nothing_out_of_the_record() {
    let mut full = telling("ex1.example", None);
    full.originals.push(original(Some("p@x.example"), "body", "bytes"));
    full.recipients.push(recipient("bcc@x.example", Role::Bcc, &[]));
    for above in [true, false] {
        let bare = telling("EX1.example.", Some((full.id, above)));
        let (records, outcomes) = told(&[seen(full.clone(), 1, 1), seen(bare, 2, 2)]);
        let last = records.last().unwrap();
        assert_eq!(outcomes, [Outcome::New, Outcome::Duplicate]);
        assert_eq!((last.recipients.len(), last.originals.len(), last.evidence.len()), (1, 1, 1));
        assert_eq!(records.len(), if above { 1 } else { 2 }, "only an entry of another id says something new");
    }
}

#[test]
fn a_telling_that_says_more_makes_a_revision() {
    let mut first = telling("ex1.example", None);
    first.recipients.push(recipient("a@x.example", Role::To, &[]));
    let mut second = telling("ex1.example", Some((first.id, true)));
    second.recipients.push(recipient("b@x.example", Role::To, &[]));
    let original = original(Some("p@x.example"), "body", "bytes");
    second.originals.push(original.clone());
    let mut copy = seen(second, 2, 2);
    copy.journals = vec!["journal@x.example".to_owned()];
    let (records, _) = told(&[seen(first, 1, 1), copy]);
    let last = records.last().unwrap();
    let addresses: Vec<&str> = last.recipients.iter().map(|one| one.address.as_str()).collect();
    assert_eq!((addresses, last.journals.len()), (vec!["a@x.example", "b@x.example"], 1));
    assert_eq!(last.originals[0].sha256, original.sha256);
}

/// What one telling promises, it promises for the recipients that another names.
#[test]
fn a_promise_of_one_telling_is_of_the_whole_event() {
    let mut named = telling("ex1.example", None);
    named.recipients.push(recipient("a@x.example", Role::To, &[]));
    let mut promising = telling("ex1.example", Some((named.id, true)));
    promising.journaled_to.push("journal@x.example".to_owned());
    let (records, _) = told(&[seen(named, 1, 1), seen(promising, 1, 2)]);
    let reason = &records.last().unwrap().certificate.reason;
    assert!(reason.contains("a report that names the recipient a@x.example"), "{reason}");
}

/// An event that named an object hid the size, From and Subject that the report with the bytes told of it.
#[test]
fn what_only_names_an_original_does_not_hide_what_its_bytes_say() {
    let mut report = evidence(Kind::Report, "report");
    let known = Original { size: 4711, ..original(Some("p@x.example"), "body", "bytes") };
    report.originals.push(known.clone());
    let mut event = telling("ex1.example", Some((report.id, false)));
    let elsewhere = Place::elsewhere("s3://bucket/key".into());
    let named =
        Original { size: 0, place: elsewhere, guard: None, body_sha256: None, from: vec![], subject: None, ..known };
    event.originals.push(named);
    let (records, _) = told(&[seen(report, 1, 1), seen(event, 1, 2)]);
    let last = records.last().unwrap();
    assert_eq!((&last.from[..], last.subject.as_deref()), (&["p@x.example".to_owned()][..], Some("s")));
    assert_eq!(last.originals[0].size, 4711);
}

#[test]
fn a_list_whose_event_names_only_the_list_is_not_resolved() {
    let mut event = telling("ex1.example", None);
    event.originals.push(original(Some("p@x.example"), "body", "bytes"));
    event.groups.push(group("list@x.example", true, Some(50)));
    event.recipients.push(recipient("list@x.example", Role::To, &[]));
    event.recipients[0].what = RecipientKind::Group;
    let (records, _) = told(&[seen(event, 1, 1)]);
    assert_eq!(
        (records[0].status, &records[0].unresolved[..]),
        (Status::Incomplete, &["list@x.example".to_owned()][..])
    );
}

#[test]
fn the_promise_of_a_server_without_a_name_is_kept_by_a_report() {
    let mut event = evidence(Kind::EnvelopeEvent, "event");
    event.journaled_to.push("journal@x.example".to_owned());
    event.originals.push(original(Some("p@x.example"), "body", "bytes"));
    let (records, _) = told(&[seen(event.clone(), 1, 1)]);
    let reason = &records[0].certificate.reason;
    assert!(reason.contains("the report promised by the server without a name"), "{reason}");
    let (records, _) = told(&[seen(event, 1, 1), seen(evidence(Kind::Report, "report"), 2, 2)]);
    assert_eq!(records.last().unwrap().closed_because, ClosedBecause::Evidence);
}
