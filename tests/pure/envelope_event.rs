//! Envelope events → evidence.

use bytes::Bytes;
use mailjournal::{
    avro,
    evidence::{
        Evidence, Flag, Form, GroupClaim, Hop, How, Kind, PlaceKind, RecipientClaim, RecipientKind, Role,
        envelope_event::{
            Direction, EnvelopeEvent, EventContent, EventGroup, EventRecipient, EventRole, Stage, content_message,
            read_envelope_event,
        },
    },
    mail::{Address, AddressKind, Digest, headers::Head, key::stand_in_of},
};

use crate::samples::MAIL;

/// An event that says all that an event can.
pub fn rich() -> EnvelopeEvent {
    let text = |text: &str| Some(text.to_owned());
    EnvelopeEvent {
        event_id: "ev-1".into(),
        server: "ex1.example.com".into(),
        server_version: text("15.20.7228.1"),
        stage: Stage::Expanded,
        at: 1_736_157_600_000,
        direction: Direction::Internal,
        message_id: text(" <a@example.com> "),
        network_message_id: text("{B90E2664-f206-40ae-a2bb-408d5ebdeb3f}"),
        internal_message_id: text("4711"),
        sender: text(""),
        header_from: text("ann@example.com"),
        header_sender: text("assistant@example.com"),
        authenticated_as: text("EXAMPLE\\ann"),
        subject: text("Offer"),
        recipients: vec![EventRecipient {
            address: "bob@example.com".into(),
            kind: RecipientKind::Mailbox,
            role: EventRole::Unknown,
            via: vec![Hop { how: How::Expanded, address: "sales@example.com".into() }],
            original: text("robert@example.com"),
            store: text("DB1"),
            status: text("250 2.1.5 Recipient OK"),
        }],
        group: Some(EventGroup { address: "sales@example.com".into(), expanded: true, members: Some(1) }),
        journaled_to: vec!["journal@example.com".into()],
        already_journaled_to: vec!["other@example.com".into()],
        content: Some(EventContent {
            message: Some(Bytes::from_static(MAIL)),
            reference: None,
            size: i64::try_from(MAIL.len()).unwrap(),
            sha256: Digest::of(MAIL).to_string(),
        }),
    }
}

fn bare() -> EnvelopeEvent {
    EnvelopeEvent::from_json(
        br#"{"server": "s.example.com", "stage": "SENT", "at": 1, "message_id": "<m@example.com>"}"#,
    )
    .unwrap()
}

fn evidence(event: &EnvelopeEvent) -> Evidence {
    read_envelope_event(&event.to_framed()).unwrap()
}

#[test]
fn all_that_an_event_says_is_in_its_evidence() {
    let framed = rich().to_framed();
    let evidence = read_envelope_event(&framed).unwrap();
    assert_eq!(evidence.id, Digest::of(&framed[10..]));
    assert_eq!((evidence.kind, evidence.form), (Kind::EnvelopeEvent, Form::EnvelopeEvent));
    assert_eq!(evidence.key.as_str(), "<a@example.com>");
    assert_eq!(evidence.message_id.as_deref(), Some("<a@example.com>"));
    assert_eq!(evidence.network_message_id.as_deref(), Some("b90e2664f20640aea2bb408d5ebdeb3f"));
    assert_eq!(evidence.report_id.as_deref(), Some("ev-1"));
    assert_eq!(evidence.server.as_deref(), Some("ex1.example.com"));
    assert_eq!(evidence.sender.as_deref(), Some(""));
    assert_eq!(evidence.subject.as_deref(), Some("Offer"));
    let bob = RecipientClaim {
        address: Address { kind: AddressKind::Smtp, text: "bob@example.com".into() },
        display_name: None,
        role: Role::Recipient,
        path: vec![Hop { how: How::Expanded, address: "sales@example.com".into() }],
        what: RecipientKind::Mailbox,
        original: Some("robert@example.com".into()),
        delivery: None,
    };
    assert_eq!(evidence.recipients, [bob]);
    assert_eq!(evidence.groups, [GroupClaim { address: "sales@example.com".into(), expanded: true, members: Some(1) }]);
    assert_eq!(evidence.journaled_to, ["journal@example.com"]);
    assert_eq!(evidence.originals.len(), 1);
    assert_eq!(evidence.originals[0].sha256, Digest::of(MAIL));
    assert_eq!(evidence.originals[0].place.how, PlaceKind::Content);
    assert!(evidence.originals[0].guard.is_some());
    assert_eq!(evidence.flags, []);
    assert_eq!(content_message(&framed).unwrap(), MAIL);
}

#[test]
fn a_line_of_json_is_the_same_event() {
    let event = rich();
    let line = serde_json::to_vec(&event).unwrap();
    let read = EnvelopeEvent::from_json(&line).unwrap();
    assert_eq!(read, event);
    assert_eq!(read.to_framed(), event.to_framed());
}

#[test]
fn what_json_leaves_out_is_null_empty_or_unknown() {
    let event = bare();
    assert_eq!(
        (event.event_id.as_str(), event.direction, event.sender, event.content),
        ("", Direction::Unknown, None, None)
    );
    assert_eq!((event.recipients, event.journaled_to, event.already_journaled_to), (vec![], vec![], vec![]));
    let line = br#"{"server": "s", "stage": "SENT", "at": 1, "received_at": 2, "new": {"a": [1]},
        "recipients": [{"address": "a@example.com", "new": 1}], "content": {"message": "aGk="}}"#;
    let event = EnvelopeEvent::from_json(line).unwrap();
    assert_eq!((event.recipients[0].kind, event.recipients[0].role), (RecipientKind::Unknown, EventRole::Unknown));
    let content = event.content.unwrap();
    assert_eq!((content.message.as_deref(), content.size), (Some(&b"hi"[..]), 2));
    assert_eq!(content.sha256, Digest::of(b"hi").to_string());
}

#[test]
fn what_is_no_event_says_why() {
    let check = |line: &str, detail: &str| {
        let rejection = EnvelopeEvent::from_json(line.as_bytes()).unwrap_err();
        assert_eq!(rejection.reason, "not-an-envelope-event");
        assert!(rejection.detail.contains(detail), "{}", rejection.detail);
    };
    check("", "EOF");
    check("[]", "invalid");
    check(r#"{"stage": "SENT", "at": 1}"#, "server");
    check(r#"{"server": "s", "stage": "sent", "at": 1}"#, "SUBMITTED");
    check(r#"{"server": "s", "stage": "SENT", "at": 1, "content": {"message": "?"}}"#, "base64");
    let rejection = read_envelope_event(&Bytes::from_static(b"From: a@example.com\r\n\r\n")).unwrap_err();
    assert_eq!(rejection.reason, "not-an-envelope-event");
    let mut nobody = bare();
    nobody.message_id = Some("  ".into());
    let rejection = read_envelope_event(&nobody.to_framed()).unwrap_err();
    assert_eq!(rejection.reason, "no-message-id-and-no-content");
}

/// An event with this content, told id and told subject → key, message_id, flags.
fn check(content: Option<EventContent>, told: (Option<&str>, Option<&str>), expect: (&str, Option<&str>, &[Flag])) {
    let mut event = bare();
    (event.content, event.message_id, event.subject) = (content, told.0.map(str::to_owned), told.1.map(str::to_owned));
    let evidence = evidence(&event);
    assert_eq!((evidence.key.as_str(), evidence.message_id.as_deref()), (expect.0, expect.1));
    assert_eq!(evidence.flags, expect.2);
}

fn inline(message: &'static [u8]) -> EventContent {
    EventContent {
        message: Some(Bytes::from_static(message)),
        reference: None,
        size: i64::try_from(message.len()).unwrap(),
        sha256: Digest::of(message).to_string(),
    }
}

#[test]
fn the_messages_own_id_comes_first_and_a_disagreement_is_flagged() {
    let mismatch = &[Flag::ReportMismatch][..];
    check(None, (Some("a@example.com"), None), ("<a@example.com>", Some("a@example.com"), &[]));
    check(Some(inline(MAIL)), (None, None), ("<a@example.com>", Some("<a@example.com>"), &[]));
    check(Some(inline(MAIL)), (Some("<b@example.com>"), None), ("<a@example.com>", Some("<a@example.com>"), mismatch));
    check(
        Some(inline(MAIL)),
        (Some("a@example.com"), Some("Offer ")),
        ("<a@example.com>", Some("<a@example.com>"), &[]),
    );
    check(Some(inline(MAIL)), (None, Some("Another")), ("<a@example.com>", Some("<a@example.com>"), mismatch));
    let nameless: &[u8] = b"From: a@example.com\n\nHi";
    let stand_in = stand_in_of(&Head::read(nameless), b"Hi");
    check(Some(inline(nameless)), (None, None), (stand_in.as_str(), None, &[Flag::MessageIdMissing]));
    check(Some(inline(nameless)), (Some("<b@example.com>"), None), ("<b@example.com>", Some("<b@example.com>"), &[]));
}

#[test]
fn computed_hash_and_size_win_over_told_ones() {
    let mismatch = &[Flag::ReportMismatch][..];
    let key = ("<a@example.com>", Some("<a@example.com>"), mismatch);
    check(Some(EventContent { size: 1, ..inline(MAIL) }), (None, None), key);
    check(Some(EventContent { sha256: "x".into(), ..inline(MAIL) }), (None, None), key);
    check(Some(EventContent { sha256: Digest::of(b"").to_string(), ..inline(MAIL) }), (None, None), key);
    let mut event = bare();
    event.content = Some(EventContent { sha256: Digest::of(b"").to_string(), size: 5, ..inline(MAIL) });
    let original = &evidence(&event).originals[0];
    assert_eq!((original.sha256, original.size), (Digest::of(MAIL), i64::try_from(MAIL.len()).unwrap()));
}

#[test]
fn content_by_reference_is_an_original_elsewhere() {
    let elsewhere = |sha256: &str| EventContent {
        message: None,
        reference: Some("s3://bucket/mail".into()),
        size: 9,
        sha256: sha256.to_owned(),
    };
    let mut event = bare();
    event.content = Some(elsewhere(&Digest::of(MAIL).to_string()));
    let read = evidence(&event);
    assert_eq!((read.originals[0].sha256, read.originals[0].size), (Digest::of(MAIL), 9));
    assert_eq!(
        (read.originals[0].place.how, read.originals[0].place.uri.as_deref()),
        (PlaceKind::Elsewhere, Some("s3://bucket/mail"))
    );
    assert_eq!(read.flags, []);
    assert!(content_message(&event.to_framed()).is_err());
    event.message_id = None;
    let framed = event.to_framed();
    let read = read_envelope_event(&framed).unwrap();
    assert_eq!(read.key.as_str(), format!("sha256:{}", Digest::of(avro::datum(&framed))));
    event.message_id = Some("<m@example.com>".into());
    event.content = Some(elsewhere("not a hash"));
    let read = evidence(&event);
    assert_eq!((read.originals.len(), read.flags), (0, vec![]));
}

#[test]
fn a_group_that_received_stays_a_claim() {
    let mut event = bare();
    event.recipients = rich().recipients;
    event.recipients[0].kind = RecipientKind::Group;
    event.recipients[0].role = EventRole::Bcc;
    let claim = &evidence(&event).recipients[0];
    assert_eq!((claim.what, claim.role), (RecipientKind::Group, Role::Bcc));
}

#[test]
fn a_bounce_that_an_event_carries_is_read_as_a_notice_too() {
    let bounce: &[u8] = b"From: postmaster@example.net\r\nMessage-ID: <n@example.net>\r\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;mx.example.net\r\n\r\n\
        Final-Recipient: rfc822;bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <a@example.com>\r\n--b--\r\n";
    let mut event = bare();
    (event.message_id, event.content) = (None, Some(inline(bounce)));
    let read = evidence(&event);
    assert_eq!((read.kind, read.key.as_str()), (Kind::EnvelopeEvent, "<n@example.net>"));
    let notice = read.notice.unwrap();
    assert_eq!(notice.about.as_deref(), Some("<a@example.com>"));
    assert_eq!(notice.statuses[0].action.as_deref(), Some("failed"));
}

#[test]
fn a_path_has_a_bound() {
    let mut event = rich();
    let hop = |number: usize| Hop { how: How::Forwarded, address: format!("h{number}@example.com") };
    event.recipients[0].via = (0..16).map(hop).collect();
    assert!(!evidence(&event).flags.contains(&Flag::Truncated));
    event.recipients[0].via = (0..100_000).map(hop).collect();
    let evidence = evidence(&event);
    assert!(evidence.flags.contains(&Flag::Truncated));
    assert_eq!(evidence.recipients[0].path, (0..16).map(hop).collect::<Vec<_>>());
}
