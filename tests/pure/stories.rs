//! How mails go in real organisations, told from their reports to the records that come out: the real rooms, virtual
//! time, no broker.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use mailjournal::{
    arrival::{Input, Timestamp},
    evidence::{Flag, Hop, How, Kind, Role, envelope_event::EnvelopeEvent},
    mail::Digest,
    record::{ClosedBecause, DeliveryKind, Expectation, JournalRecord, OriginalRole, Status},
    sample::{
        JOURNAL, JOURNAL_LEGAL, Message, Options, Organisation, TrueRecipient, What,
        event::Telling,
        letter::{Letter, passed},
        people::{Directory, Generation, LONDON_2019, ONLINE, PARIS_2010},
        report::{Line, ReportMail},
        text::Body,
    },
};

use crate::stage::{MONDAY, SECOND, Stage};

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const ZURICH: &str = "mx07-zurich.contoso.example";
const GENEVA: &str = "mx07-geneva.contoso.example";
const LONDON: &str = "mx19-london.contoso.example";
const MILAN: &str = "mx03-milan.contoso.example";

// The actors.

fn at(offset: i64) -> Timestamp {
    Timestamp(MONDAY + offset)
}

fn letter() -> Letter {
    Letter {
        at: at(0),
        sender: "ceo@contoso.example".to_owned(),
        from: "Chief Executive <ceo@contoso.example>".to_owned(),
        to: vec!["List floor <floor@contoso.example>".to_owned()],
        cc: Vec::new(),
        subject: "Positions at close".to_owned(),
        message_id: Some("<positions.1@contoso.example>".to_owned()),
        network_message_id: None,
    }
}

fn original(letter: &Letter) -> Bytes {
    letter.original(&Body::plain("The figures are attached to the board paper.\r\n"))
}

fn report<'a>(
    (server, generation): (&'a str, Generation),
    offset: i64,
    id: &'a str,
    letter: &'a Letter,
    lines: &'a [Line],
    originals: &'a [Bytes],
) -> ReportMail<'a> {
    ReportMail { generation, server, at: at(offset), report_id: id, letter, lines, originals }
}

const AT_LONDON: (&str, Generation) = (LONDON, Generation::OnPremises);
const AT_ZURICH: (&str, Generation) = (ZURICH, Generation::Exchange2007);
const AT_GENEVA: (&str, Generation) = (GENEVA, Generation::Exchange2007);
const AT_MILAN: (&str, Generation) = (MILAN, Generation::Exchange2003);

/// Who received, how addressed, by which lists, the outermost first.
fn received(record: &JournalRecord) -> Vec<(&str, Role, Vec<Vec<&str>>)> {
    record
        .recipients
        .iter()
        .map(|one| (one.address.as_str(), one.role, one.paths.iter().map(|path| list_of(path)).collect()))
        .collect()
}

fn list_of(path: &[Hop]) -> Vec<&str> {
    path.iter().map(|hop| hop.address.as_str()).collect()
}

// The stories.

/// The first report names only the list; the server that expands it reports its members.
#[test]
fn a_list_expanded_elsewhere_is_completed_by_the_follow_up() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    stage.report(&report(
        AT_LONDON,
        SECOND,
        "r-1",
        &letter,
        &[Line::new(Role::To, "floor@contoso.example")],
        &originals,
    ));
    let members = [
        Line::expanded(Role::To, "trader.01@contoso.example", &["floor@contoso.example", "trading@contoso.example"]),
        Line::expanded(Role::To, "analyst.01@contoso.example", &["floor@contoso.example"]),
    ];
    stage.report(&report(AT_ZURICH, 20 * SECOND, "r-2", &letter, &members, &originals));
    stage.run_until(MONDAY + HOUR);

    let record = stage.only_record();
    assert_eq!(stage.told(), [(1, Status::Complete, ClosedBecause::Quiet, 80)]);
    let floor = || vec!["floor@contoso.example"];
    assert_eq!(
        received(record),
        [
            ("analyst.01@contoso.example", Role::To, vec![floor()]),
            ("trader.01@contoso.example", Role::To, vec![vec!["floor@contoso.example", "trading@contoso.example"]]),
        ]
    );
    let groups: Vec<(&str, bool)> = record.groups.iter().map(|one| (one.address.as_str(), one.expanded)).collect();
    assert_eq!(groups, [("floor@contoso.example", true), ("trading@contoso.example", true)]);
    assert!(record.unresolved.is_empty());
}

/// As before, but an event says that the address is a list: nothing is published before its members are told.
#[test]
fn a_list_known_to_be_one_is_waited_for_and_named_when_it_does_not_come() {
    let (letter, mut stage) = (letter(), Stage::new());
    let (directory, originals) = (Directory::new(), [original(&letter)]);
    let lines = [Line::new(Role::To, "floor@contoso.example")];
    stage.event(&submitted(&directory, ONLINE, &letter, &[(lines[0].clone(), true)]));
    let online = (directory.servers[ONLINE].name.as_str(), Generation::Online);
    stage.report(&report(online, SECOND, "r-1", &letter, &lines, &originals));
    stage.run_until(MONDAY + HOUR);
    assert_eq!(stage.told(), [(1, Status::Incomplete, ClosedBecause::Patience, 901)]);
    assert_eq!(stage.records[0].unresolved, ["floor@contoso.example"]);
    assert_eq!(missing(&stage.records[0]), [(Expectation::Expansion, Some("floor@contoso.example"))]);

    let members = [Line::expanded(Role::To, "analyst.01@contoso.example", &["floor@contoso.example"])];
    stage.report(&report(AT_LONDON, 2 * HOUR, "r-2", &letter, &members, &originals));
    stage.run_until(MONDAY + 3 * HOUR);
    assert_eq!(stage.told()[1..], [(2, Status::Complete, ClosedBecause::Evidence, 7205)]);
    assert!(stage.records[1].unresolved.is_empty() && missing(&stage.records[1]).is_empty());
}

fn submitted(directory: &Directory, server: usize, letter: &Letter, lines: &[(Line, bool)]) -> EnvelopeEvent {
    let journaled_to = [JOURNAL.to_owned()];
    let server = &directory.servers[server];
    Telling { event_id: "e-1".to_owned(), server, at: letter.at, letter, lines, journaled_to: &journaled_to }
        .submitted()
}

fn missing(record: &JournalRecord) -> Vec<(Expectation, Option<&str>)> {
    let expected = record.certificate.expected.iter().filter(|one| one.met_by.is_empty());
    expected.map(|one| (one.what, one.who.as_deref())).collect()
}

/// The originator's store journals to one mailbox, the recipient's store to another.
#[test]
fn originator_and_recipient_stores_with_two_journal_mailboxes_make_one_record_for_both() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    let lines = [Line::new(Role::To, "trader.02@contoso.example"), Line::new(Role::Bcc, "counsel.01@contoso.example")];
    stage.report_to(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &originals), JOURNAL);
    stage.report_to(&report(AT_ZURICH, 4 * SECOND, "r-2", &letter, &lines[..1], &originals), JOURNAL_LEGAL);
    stage.run_until(MONDAY + HOUR);

    let record = stage.only_record();
    let journals: Vec<&str> = record.journals.iter().map(|journal| journal.address.as_str()).collect();
    assert_eq!(journals, [JOURNAL_LEGAL, JOURNAL]);
    assert_eq!(
        received(record),
        [("counsel.01@contoso.example", Role::Bcc, vec![]), ("trader.02@contoso.example", Role::To, vec![]),]
    );
    assert_eq!(record.evidence.len(), 2);
    assert_eq!(record.originals.len(), 1);
}

/// 2007 → 2007 → 2003: each server journals the mail again; the last cannot tell roles and takes none away.
#[test]
fn three_generations_of_servers_report_one_mail_thrice() {
    let (letter, mut stage) = (letter(), Stage::new());
    let first = original(&letter);
    let second = passed(&first, ZURICH, GENEVA, at(2 * SECOND));
    let lines = [Line::new(Role::To, "trader.02@contoso.example"), Line::new(Role::Bcc, "accounts.02@contoso.example")];
    stage.report(&report(AT_ZURICH, SECOND, "r-1", &letter, &lines, std::slice::from_ref(&first)));
    stage.report(&report(AT_GENEVA, 3 * SECOND, "r-2", &letter, &lines, std::slice::from_ref(&second)));
    stage.report(&report(AT_MILAN, 9 * SECOND, "r-3", &letter, &lines[1..], &[second]));
    stage.run_until(MONDAY + HOUR);

    let record = stage.only_record();
    assert_eq!(
        received(record),
        [("accounts.02@contoso.example", Role::Bcc, vec![]), ("trader.02@contoso.example", Role::To, vec![]),]
    );
    let servers: Vec<Option<&str>> = record.evidence.iter().map(|one| one.server.as_deref()).collect();
    assert!([ZURICH, GENEVA, MILAN].iter().all(|server| servers.contains(&Some(*server))), "{servers:?}");
    let roles: Vec<OriginalRole> = record.originals.iter().map(|one| one.role).collect();
    assert_eq!(roles, [OriginalRole::Primary, OriginalRole::Variant]);
    assert!(!record.flags.contains(&Flag::MessageIdReused));
}

/// Exchange cuts a mail with many recipients into forks of 1,000, and journals each with its own recipients only.
#[test]
fn forks_at_a_thousand_recipients_meet_in_one_record() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    let lines: Vec<Line> =
        (0..2500).map(|number| Line::new(Role::Bcc, &format!("client.{number:04}@fabrikam.example"))).collect();
    for (number, fork) in lines.chunks(1000).enumerate() {
        let (offset, id) = (SECOND + i64::try_from(number).expect("three forks") * 400, format!("r-{number}"));
        stage.report(&report(AT_LONDON, offset, &id, &letter, fork, &originals));
    }
    stage.run_until(MONDAY + HOUR);

    let record = stage.only_record();
    assert_eq!(record.recipients.len(), 2500);
    assert!(record.recipients.iter().all(|one| one.role == Role::Bcc && one.evidence.len() == 1));
    assert_eq!((record.evidence.len(), record.originals.len()), (3, 1));
}

/// A report that the journal's server did not confirm comes again, byte for byte, two days later.
#[test]
fn a_retransmission_two_days_later_is_a_duplicate_and_no_revision() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    let lines = [Line::new(Role::To, "trader.02@contoso.example")];
    let told = report(AT_LONDON, SECOND, "r-1", &letter, &lines, &originals);
    stage.report(&told);
    stage.run_until(MONDAY + 2 * DAY);
    let again = stage.mail(0, MONDAY + 2 * DAY, told.bytes(), Some(LONDON), JOURNAL);
    stage.turn(vec![again]);
    stage.run_until(MONDAY + 2 * DAY + HOUR);

    assert_eq!(stage.told(), [(1, Status::Complete, ClosedBecause::Quiet, 61)]);
    assert_eq!(stage.dispositions, ["MERGED", "DUPLICATE"]);
}

/// What comes after the publication makes a revision that has all, and carries no original twice.
#[test]
fn a_follow_up_after_the_publication_makes_a_second_revision() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    let lines = [Line::new(Role::To, "floor@contoso.example"), Line::new(Role::Bcc, "counsel.01@contoso.example")];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &originals));
    let members = [Line::expanded(Role::To, "analyst.01@contoso.example", &["floor@contoso.example"])];
    stage.report(&report(AT_GENEVA, 25 * MINUTE, "r-2", &letter, &members, &originals));
    stage.run_until(MONDAY + HOUR);

    let quiet = |revision, closed| (revision, Status::Complete, ClosedBecause::Quiet, closed);
    assert_eq!(stage.told(), [quiet(1, 61), quiet(2, 1560)]);
    let [first, second] = &stage.records[..] else { panic!("two revisions") };
    assert_eq!(first.record_id, second.record_id);
    assert_eq!(
        received(first),
        [("counsel.01@contoso.example", Role::Bcc, vec![]), ("floor@contoso.example", Role::To, vec![]),]
    );
    assert_eq!(
        received(second),
        [
            ("analyst.01@contoso.example", Role::To, vec![vec!["floor@contoso.example"]]),
            ("counsel.01@contoso.example", Role::Bcc, vec![]),
        ]
    );
    assert_eq!(first.originals[0].content.as_deref(), Some(&originals[0][..]));
    assert_eq!(second.originals[0].sha256, first.originals[0].sha256);
    assert!(second.originals[0].content.is_none() && second.originals[0].reference.is_some());
}

/// A nightly job writes every mail under one Message-ID: each night is a message of its own.
#[test]
fn an_id_reused_by_a_nightly_job_is_told_apart_by_from_and_date() {
    let mut stage = Stage::new();
    for night in 0..3 {
        let letter = Letter {
            at: at(night * DAY),
            message_id: Some("<nightly@jobs.contoso.example>".to_owned()),
            subject: format!("Positions, night {night}"),
            ..letter()
        };
        let (id, lines) = (format!("r-{night}"), [Line::new(Role::To, "trader.02@contoso.example")]);
        stage.report(&report(AT_LONDON, night * DAY + SECOND, &id, &letter, &lines, &[original(&letter)]));
    }
    stage.run_until(MONDAY + 4 * DAY);

    let mut last: BTreeMap<&str, &JournalRecord> = BTreeMap::new();
    last.extend(stage.records.iter().map(|record| (record.record_id.as_str(), record)));
    assert_eq!(last.len(), 3);
    for record in last.values() {
        assert_eq!(record.evidence.len(), 1);
        assert!(record.flags.contains(&Flag::MessageIdReused), "{:?}", record.flags);
    }
    let subjects: Vec<&str> = last.values().filter_map(|record| record.subject.as_deref()).collect();
    assert!((0..3).all(|night| subjects.contains(&format!("Positions, night {night}").as_str())), "{subjects:?}");
    // The first was published before anyone could know; the second told it; the third tells nobody but itself.
    let revisions: Vec<i32> = stage.records.iter().map(|record| record.revision).collect();
    assert_eq!(revisions.iter().sum::<i32>(), 1 + 2 + 1 + 1, "{revisions:?}");
}

/// Down from Monday to Tuesday: the follow-up lies in the backlog behind an hour of other mail, and the clock on the
/// wall says Tuesday all along.
#[test]
fn a_backlog_after_downtime_closes_nothing_before_its_own_time() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    stage.wall = Timestamp(MONDAY + DAY);
    stage.backlog = vec![(Input::Reports, 0)];
    let first_lines = [Line::new(Role::To, "floor@contoso.example")];
    let first = report(AT_LONDON, SECOND, "r-1", &letter, &first_lines, &originals).bytes();
    let arrival = stage.mail(0, MONDAY + SECOND, first, Some(LONDON), JOURNAL);
    stage.turn(vec![arrival]);
    stage.turn(Vec::new());
    assert!(stage.records.is_empty(), "closed by the wall clock while its follow-up was still to be read");

    let members = [Line::expanded(Role::To, "analyst.01@contoso.example", &["floor@contoso.example"])];
    let second = report(AT_GENEVA, 30 * SECOND, "r-2", &letter, &members, &originals).bytes();
    let arrival = stage.mail(0, MONDAY + 30 * SECOND, second, Some(GENEVA), JOURNAL);
    stage.turn(vec![arrival]);
    assert!(stage.records.is_empty());

    stage.backlog.clear();
    stage.turn(Vec::new());
    let record = stage.only_record();
    assert_eq!((record.revision, record.evidence.len()), (1, 2));
    assert_eq!(received(record), [("analyst.01@contoso.example", Role::To, vec![vec!["floor@contoso.example"]])]);
}

/// The whole backlog fits one turn, which reads every topic to its end: its last arrival counts before the clock on the
/// wall does.
#[test]
fn the_last_arrival_of_a_backlog_is_not_late() {
    let (letter, mut stage) = (letter(), Stage::new());
    let originals = [original(&letter)];
    stage.wall = Timestamp(MONDAY + DAY);
    let lines = [Line::new(Role::To, "trader.02@contoso.example")];
    let first = report(AT_LONDON, SECOND, "r-1", &letter, &lines, &originals).bytes();
    let second = report(AT_GENEVA, 30 * SECOND, "r-2", &letter, &lines, &originals).bytes();
    let first = stage.mail(0, MONDAY + SECOND, first, Some(LONDON), JOURNAL);
    let second = stage.mail(0, MONDAY + 30 * SECOND, second, Some(GENEVA), JOURNAL);
    stage.turn(vec![first, second]);
    assert_eq!((stage.only_record().revision, stage.only_record().evidence.len()), (1, 2));
}

/// As before, but it is the topic of envelope events that is behind: reports read to their end do not close by it.
#[test]
fn a_backlog_of_envelope_events_holds_the_reports_back() {
    let (letter, mut stage) = (letter(), Stage::new());
    let (directory, originals) = (Directory::new(), [original(&letter)]);
    stage.wall = Timestamp(MONDAY + DAY);
    stage.backlog = vec![(Input::Envelopes, 0)];
    let lines = [Line::new(Role::To, "floor@contoso.example")];
    let online = directory.servers[ONLINE].name.as_str();
    let told = report((online, Generation::Online), SECOND, "r-1", &letter, &lines, &originals).bytes();
    let arrival = stage.mail(0, MONDAY + SECOND, told, Some(online), JOURNAL);
    stage.turn(vec![arrival]);
    assert!(stage.records.is_empty());

    let event = submitted(&directory, ONLINE, &letter, &[(lines[0].clone(), true)]).to_framed();
    let arrival = stage.arrival(Input::Envelopes, 0, MONDAY, event);
    stage.turn(vec![arrival]);
    stage.backlog.clear();
    stage.turn(Vec::new());
    assert_eq!(stage.only_record().status, Status::Incomplete);
    assert_eq!(stage.only_record().unresolved, ["floor@contoso.example"]);
}

/// Nothing more comes to one partition while the other is busy: its drafts close all the same.
#[test]
fn an_idle_partition_closes_its_drafts() {
    let mut stage = Stage::with_partitions(2);
    let home = |letter: &Letter| {
        let key = letter.message_id.as_deref().expect("an id");
        mailjournal::turn::home::home_partition(key.as_bytes(), 2)
    };
    let id = |number: i32| Letter { message_id: Some(format!("<idle.{number}@contoso.example>")), ..letter() };
    let idle = (0..).map(id).find(|letter| home(letter) == 0).expect("an id whose home is 0");
    let lines = [Line::new(Role::To, "trader.02@contoso.example")];
    let told = report(AT_LONDON, SECOND, "r-1", &idle, &lines, &[original(&idle)]).bytes();
    let arrival = stage.mail(0, MONDAY + SECOND, told, Some(LONDON), JOURNAL);
    stage.wall = Timestamp(MONDAY + SECOND);
    stage.turn(vec![arrival]);
    // Partition 1 has a backlog without end.
    stage.backlog = vec![(Input::Reports, 1)];
    for (number, busy) in (0..).map(id).filter(|letter| home(letter) == 1).take(10).enumerate() {
        let offset = 2 * SECOND + i64::try_from(number).expect("ten") * 10 * SECOND;
        let report_id = format!("b-{number}");
        let told = report(AT_LONDON, offset, &report_id, &busy, &lines, &[original(&busy)]).bytes();
        let arrival = stage.mail(1, MONDAY + offset, told, Some(LONDON), JOURNAL);
        stage.wall = Timestamp(MONDAY + offset);
        stage.turn(vec![arrival]);
    }
    let closed: Vec<&str> = stage.records.iter().map(|record| record.key.as_str()).collect();
    assert!(closed.contains(&idle.message_id.as_deref().expect("an id")), "{closed:?}");
}

/// A promised report that names only some of the promised recipients does not complete; the next server's does.
#[test]
fn every_promised_recipient_is_waited_for() {
    let (letter, mut stage) = (letter(), Stage::new());
    let (directory, originals) = (Directory::new(), [original(&letter)]);
    let lines = [Line::new(Role::To, "trader.02@contoso.example"), Line::new(Role::Bcc, "counsel.02@contoso.example")];
    let told: Vec<(Line, bool)> = lines.iter().map(|line| (line.clone(), false)).collect();
    stage.event(&submitted(&directory, LONDON_2019, &letter, &told));
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines[..1], &originals));
    stage.run_until(MONDAY + 5 * MINUTE);
    assert!(stage.records.is_empty());
    let paris = (directory.servers[PARIS_2010].name.as_str(), Generation::OnPremises);
    stage.report(&report(paris, 5 * MINUTE, "r-2", &letter, &lines[1..], &originals));
    stage.run_until(MONDAY + HOUR);
    assert_eq!(stage.told(), [(1, Status::Complete, ClosedBecause::Evidence, 305)]);
}

/// A mail without Message-ID, reported by two servers that each stamped it: its From, Date and body hold it together.
#[test]
fn a_mail_without_an_id_meets_its_other_reports() {
    let (letter, mut stage) = (Letter { message_id: None, ..letter() }, Stage::new());
    let first = original(&letter);
    let second = passed(&first, LONDON, GENEVA, at(2 * SECOND));
    let lines = [Line::new(Role::To, "trader.02@contoso.example"), Line::new(Role::Cc, "analyst.02@contoso.example")];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines[..1], &[first]));
    stage.report(&report(AT_GENEVA, 3 * SECOND, "r-2", &letter, &lines[1..], &[second]));
    stage.run_until(MONDAY + HOUR);
    let record = stage.only_record();
    assert!(record.key.starts_with("sha256:") && record.flags.contains(&Flag::MessageIdMissing));
    assert_eq!(record.message_id, None);
    assert_eq!(record.recipients.len(), 2);
}

/// A report that lost its original is joined by one that has it, and kept waiting until then.
#[test]
fn a_report_without_its_original_waits_for_one_that_has_it() {
    let (letter, mut stage) = (letter(), Stage::new());
    let lines = [Line::new(Role::To, "trader.02@contoso.example")];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &[]));
    stage.run_until(MONDAY + 10 * MINUTE);
    assert!(stage.records.is_empty());
    stage.report(&report(AT_GENEVA, 10 * MINUTE, "r-2", &letter, &lines, &[original(&letter)]));
    stage.run_until(MONDAY + HOUR);
    let record = stage.only_record();
    assert_eq!((record.status, record.evidence.len()), (Status::Complete, 2));
    assert!(record.record_id.contains('#'), "the original's guard is part of the id: {}", record.record_id);
    assert!(!record.flags.contains(&Flag::OriginalMissing));
}

/// Who forwards did not receive, unless told otherwise; who is forwarded to did.
#[test]
fn a_forward_names_who_received_and_for_whom() {
    let (letter, mut stage) = (letter(), Stage::new());
    let lines = [Line::forwarded(Role::Cc, "sales.02@contoso.example", "sales.01@contoso.example")];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &[original(&letter)]));
    stage.run_until(MONDAY + HOUR);
    let record = stage.only_record();
    assert_eq!(received(record), [("sales.02@contoso.example", Role::Cc, vec![vec!["sales.01@contoso.example"]])]);
    assert_eq!(record.recipients[0].paths[0][0].how, How::Forwarded);
    assert!(record.groups.is_empty());
    assert_eq!(record.evidence[0].kind, Kind::Report);
}

/// A turn that is told of no time that has passed closes nothing twice.
#[test]
fn the_same_instant_told_again_publishes_nothing_again() {
    let (letter, mut stage) = (letter(), Stage::new());
    let lines = [Line::new(Role::To, "trader.02@contoso.example")];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &[original(&letter)]));
    let quiet = i64::try_from(Duration::from_secs(60).as_millis()).expect("a minute");
    for _ in 0..3 {
        stage.run_until(MONDAY + SECOND + quiet);
    }
    assert_eq!(stage.records.len(), 1);
}

/// Hundreds of messages of the made-up organisation at once: each ends in the record that is true of it.
#[test]
fn the_records_of_an_organisation_are_what_is_true_of_its_messages() {
    let organisation = Organisation::with(Options { messages: 200, original_bytes_mean: 1500, ..Options::new(42) });
    let showcase = Organisation::with(Options::showcase(1));
    for organisation in [organisation, showcase] {
        let mut stage = Stage::new();
        organisation.arrivals().for_each(|incoming| stage.incoming(&incoming));
        stage.run_until(MONDAY + 8 * DAY);
        let latest: BTreeMap<&str, &JournalRecord> =
            stage.records.iter().map(|record| (record.record_id.as_str(), record)).collect();
        let mut by_piece: BTreeMap<Digest, &JournalRecord> = BTreeMap::new();
        for record in latest.values() {
            by_piece.extend(record.evidence.iter().map(|piece| (piece.sha256, *record)));
        }
        let truths: Vec<Message> = organisation.messages().collect();
        assert_eq!(latest.len(), truths.iter().map(|message| message.truth.records).sum::<usize>());
        truths.iter().for_each(|message| check_truth(message, &by_piece));
    }
}

fn check_truth(message: &Message, by_piece: &BTreeMap<Digest, &JournalRecord>) {
    let truth = &message.truth;
    let mails = message.arrivals.iter().filter_map(|incoming| match &incoming.what {
        What::Mail(mail) => Some(Digest::of(&mail.bytes)),
        What::Event(_) => None,
    });
    let records: BTreeMap<&str, &JournalRecord> =
        mails.filter_map(|digest| by_piece.get(&digest)).map(|record| (record.record_id.as_str(), *record)).collect();
    let story = format!("message {} ({:?})", message.index, message.oddity);
    assert_eq!(records.len(), truth.records, "{story}");
    let Some(record) = records.into_values().next() else { return };
    let told: BTreeMap<String, TrueRecipient> = record
        .recipients
        .iter()
        .map(|one| {
            let paths = one.paths.iter().cloned().collect();
            (one.address.to_lowercase(), TrueRecipient { role: one.role, paths })
        })
        .collect();
    assert_eq!(told, truth.recipients, "{story}");
    let groups: BTreeSet<String> =
        record.groups.iter().filter(|one| one.expanded).map(|one| one.address.to_lowercase()).collect();
    assert_eq!(groups, truth.groups, "{story}");
    assert_eq!(record.originals.iter().map(|one| one.sha256).collect::<BTreeSet<_>>(), truth.originals, "{story}");
    assert_eq!(
        record.journals.iter().map(|one| one.address.clone()).collect::<BTreeSet<_>>(),
        truth.journals,
        "{story}"
    );
    assert_eq!(record.evidence.len(), truth.arrivals, "{story}");
    assert_eq!(record.message_id, truth.message_id, "{story}");
    assert_eq!(
        record.status == Status::Incomplete,
        !truth.missing.is_empty(),
        "{story}: {}",
        record.certificate.reason
    );
}

/// Who got the mail and who did not, as the servers at the ends of its ways said.
#[test]
fn delivery_events_say_what_became_of_the_mail_at_each_recipient() {
    let (letter, mut stage) = (letter(), Stage::new());
    let event = |stage: &str, second: i64, recipient: &str| -> EnvelopeEvent {
        let line = format!(
            r#"{{"event_id": "{stage}-{second}", "server": "{LONDON}", "stage": "{stage}", "at": {},
                "message_id": "<positions.1@contoso.example>", "recipients": [{{"address": "{recipient}"}}]}}"#,
            MONDAY + second * SECOND
        );
        EnvelopeEvent::from_json(line.as_bytes()).expect("an event")
    };
    let lines = ["got@contoso.example", "lost@contoso.example", "late@contoso.example", "dropped@contoso.example"]
        .map(|address| Line::new(Role::To, address));
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &lines, &[original(&letter)]));
    let failed = event("FAILED", 2, "late@contoso.example");
    let delivered = event("DELIVERED", 3, "late@contoso.example");
    for event in [
        event("DELIVERED", 2, "got@contoso.example"),
        event("FAILED", 2, "lost@contoso.example"),
        failed,
        delivered.clone(),
        event("DROPPED", 4, "Dropped@contoso.example"),
    ] {
        stage.event(&event);
    }
    stage.run_until(MONDAY + HOUR);

    let record = stage.only_record();
    let told = |address: &str| {
        let one = record.recipients.iter().find(|one| one.address.eq_ignore_ascii_case(address)).unwrap();
        one.delivery.as_ref().map(|delivery| (delivery.what, delivery.at - MONDAY)).unwrap()
    };
    assert_eq!(told("got@contoso.example"), (DeliveryKind::Delivered, 2 * SECOND));
    assert_eq!(told("lost@contoso.example"), (DeliveryKind::Failed, 2 * SECOND));
    assert_eq!(told("late@contoso.example"), (DeliveryKind::Delivered, 3 * SECOND));
    assert_eq!(told("dropped@contoso.example"), (DeliveryKind::Failed, 4 * SECOND));
    let late = record.recipients.iter().find(|one| one.address == "late@contoso.example").unwrap();
    let id = Digest::of(mailjournal::avro::datum(&delivered.to_framed()));
    assert_eq!(late.delivery.as_ref().unwrap().notice, id.to_string());
    assert!(record.evidence.iter().any(|entry| entry.sha256 == id));
}

/// What a managed folder's report says of retention is of use to the archive that keeps the mail.
#[test]
fn retention_labels_of_a_report_are_tags_of_the_record() {
    let mut stage = Stage::new();
    let report = "From: a@contoso.example\r\nX-MS-Journal-Report:\r\nMessage-ID: <r@contoso.example>\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
        Sender: a@contoso.example\r\nMessage-ID: <o@contoso.example>\r\nTo: b@contoso.example\r\n\
        Label: Keep seven years\r\nMailbox: b@contoso.example\r\nFolder: x\r\nlabel: Later one\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: a@contoso.example\r\nDate: d\r\n\
        Message-ID: <o@contoso.example>\r\n\r\nbody\r\n--b--\r\n";
    let arrival = stage.mail(0, MONDAY, Bytes::from(report), None, JOURNAL);
    stage.turn(vec![arrival]);
    stage.run_until(MONDAY + HOUR);
    let tags = [("label", "Keep seven years"), ("mailbox", "b@contoso.example")];
    let expect: BTreeMap<String, String> = tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    assert_eq!(stage.only_record().tags, expect);
}

/// What fell due while the instance was away was once forgotten before it was published: only so much leaves in a turn.
#[test]
fn ten_days_of_downtime_lose_nothing() {
    let mut stage = Stage::new();
    let mails = (0..8).map(|number| {
        let body = "x".repeat(20_000_000);
        format!("From: a@x.example\r\nDate: d{number}\r\nMessage-ID: <m{number}@x.example>\r\n\r\n{body}")
    });
    let mails: Vec<_> = mails.map(|mail| stage.mail(0, MONDAY, Bytes::from(mail), None, JOURNAL)).collect();
    stage.turn(mails);
    stage.wall = Timestamp(MONDAY + 10 * DAY);
    stage.turn(Vec::new());
    stage.run_until(MONDAY + 200 * DAY);
    let ids: BTreeSet<&str> = stage.records.iter().map(|record| record.record_id.as_str()).collect();
    assert_eq!((stage.records.len(), ids.len()), (8, 8));
}

/// The bytes are gone when the record closes: it says where they were, and so does the next revision, until one has them.
#[test]
fn a_lost_body_does_not_count_as_carried() {
    let (letter, mut stage) = (letter(), Stage::with(1, 0));
    stage.forget_bodies(true);
    let originals = [original(&letter)];
    let line = |name: &str| [Line::new(Role::To, name)];
    let told = ["a@contoso.example", "b@contoso.example", "c@contoso.example"];
    stage.report(&report(AT_LONDON, SECOND, "r-1", &letter, &line(told[0]), &originals));
    stage.run_until(MONDAY + HOUR);
    stage.report(&report(AT_ZURICH, 2 * HOUR, "r-2", &letter, &line(told[1]), &originals));
    stage.run_until(MONDAY + 3 * HOUR);
    stage.forget_bodies(false);
    stage.report(&report(AT_GENEVA, 4 * HOUR, "r-3", &letter, &line(told[2]), &originals));
    stage.run_until(MONDAY + 5 * HOUR);
    let place = Some("kafka:journal.reports/0/0");
    let told = stage.records.iter().map(|record| {
        let original = &record.originals[0];
        let flagged = record.flags.contains(&Flag::OriginalByReference);
        (record.revision, original.reference.as_deref(), original.content.is_some(), flagged)
    });
    assert_eq!(told.collect::<Vec<_>>(), [(1, place, false, true), (2, place, false, true), (3, None, true, false)]);
}
