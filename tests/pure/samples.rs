//! One rich value of every published shape: each field filled, each list with something in it.

use bytes::Bytes;
use mailjournal::{
    arrival::{Input, Position, Timestamp},
    correlate::{Carried, Piece, Published, Seen, StoredDraft},
    evidence::{
        DeliveryClaim, Evidence, Flag, Form, FoundBy, GroupClaim, Hop, How, Kind, Notice, Original, Place, PlaceKind,
        RecipientClaim, RecipientKind, RecipientStatus, Role, Within,
    },
    mail::{Address, AddressKind, Digest, Guard, Key},
    record::{
        Certificate, ClosedBecause, Delivery, DeliveryKind, Disposition, EvidenceEntry, Expectation, Expected, Group,
        Journal, JournalActivity, JournalRecord, LedgerRow, NonDelivery, OriginalRole, Recipient, RecordedOriginal,
        Status,
    },
};

/// A small mail with CRLF line ends.
pub const MAIL: &[u8] = b"From: Ann <ann@example.com>\r\nTo: sales@example.com\r\nSubject: Offer\r\n\
Date: Mon, 06 Jan 2025 10:00:00 +0000\r\nMessage-ID: <a@example.com>\r\n\r\nHello.\r\n";

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn hop(how: How, address: &str) -> Hop {
    Hop { how, address: address.to_owned() }
}

pub fn notice() -> Notice {
    Notice {
        about: text("<lost@example.com>"),
        found_by: Some(FoundBy::ReturnedHeaders),
        about_guard: Some(Guard([1, 2, 3, 4, 5, 6, 7, 8])),
        reporting_mta: text("mx.example.net"),
        original_envelope_id: text("env-1"),
        statuses: vec![
            status("bob@example.net", "failed"),
            status("Bob@example.net", "failed"),
            status("eve@example.net", "delayed"),
        ],
        is_bounce: true,
    }
}

fn status(address: &str, action: &str) -> RecipientStatus {
    RecipientStatus {
        final_recipient: text(address),
        original_recipient: text("robert@example.net"),
        action: text(action),
        status: text("5.1.1"),
        diagnostic: text("smtp; 550 5.1.1 unknown"),
    }
}

fn evidence() -> Evidence {
    Evidence {
        id: Digest::of(b"arrival"),
        kind: Kind::Report,
        form: Form::Exchange2003,
        key: Key("<a@example.com>".into()),
        message_id: text("<a@example.com>"),
        network_message_id: text("b90e2664f20640aea2bb408d5ebdeb3f"),
        report_id: text("<r@journal.report.generator>"),
        server: text("ex1.example.com"),
        sender: text("ann@example.com"),
        on_behalf_of: text("boss@example.com"),
        subject: text("Offer"),
        recipients: vec![RecipientClaim {
            address: Address { kind: AddressKind::X500, text: "[EX:/o=Org/cn=bob]".into() },
            display_name: text("Bob"),
            role: Role::Bcc,
            path: vec![hop(How::Expanded, "sales@example.com"), hop(How::Forwarded, "bob@example.com")],
            what: RecipientKind::PublicFolder,
            original: text("robert@example.com"),
            delivery: Some(DeliveryClaim { what: DeliveryKind::Failed, at: 1_736_157_600_500 }),
        }],
        groups: vec![GroupClaim { address: "sales@example.com".into(), expanded: true, members: Some(2) }],
        journaled_to: vec!["journal@example.com".into()],
        originals: vec![Original {
            sha256: Digest::of(MAIL),
            size: 7,
            place: Place {
                how: PlaceKind::QuotedPrintable,
                start: 1,
                end: 2,
                uri: text("s3://bucket/key"),
                within: Some(Within { how: PlaceKind::Base64, start: 3, end: 4 }),
            },
            decrypted: true,
            guard: Some(Guard([9; 8])),
            body_sha256: Some(Digest::of(b"body")),
            from: vec!["ann@example.com".into()],
            subject: text("Offer"),
        }],
        notice: Some(notice()),
        flags: vec![Flag::Encrypted, Flag::ReportMismatch],
        tags: [("label".to_owned(), "7 years".to_owned())].into(),
    }
}

pub fn draft() -> StoredDraft {
    let position = Position { input: Input::Envelopes, partition: 3, offset: 1 << 40 };
    let mut bare = evidence();
    (bare.notice, bare.message_id, bare.originals) = (None, None, Vec::new());
    let piece = |evidence, server| Piece {
        evidence: std::sync::Arc::new(evidence),
        seen: Seen { position, at: Timestamp(1_736_157_600_000), server, size: 1 << 20 },
        journals: vec!["journal@example.com".into()],
        non_delivery_told: Some(true),
    };
    StoredDraft {
        record_id: "<a@example.com>#0102030405060708".into(),
        key: Key("<a@example.com>".into()),
        part: 0,
        pieces: vec![piece(evidence(), text("ex2.example.com")), piece(bare, None)],
        touched_at: Timestamp(1_736_157_601_000),
        open: true,
        reused: true,
        moved_to: vec!["<a@example.com>#1111111111111111".into()],
        published: Some(Published {
            revision: 2,
            digest: Digest::of(b"record"),
            carried: vec![Carried {
                sha256: Digest::of(MAIL),
                revision: 1,
                reference: text("kafka:journal.reports/0/7"),
            }],
        }),
    }
}

pub fn recipient(address: &str, role: Role, paths: Vec<Vec<Hop>>) -> Recipient {
    Recipient {
        address: address.into(),
        kind: AddressKind::Smtp,
        display_name: None,
        role,
        claimed_roles: Vec::new(),
        paths,
        delivery: None,
        evidence: vec![0],
    }
}

fn recipients() -> Vec<Recipient> {
    let twice = vec![
        vec![hop(How::Expanded, "all@example.com"), hop(How::Expanded, "sales@example.com")],
        vec![hop(How::Forwarded, "eve@example.com")],
    ];
    let mut bob = recipient("bob@example.com", Role::Cc, twice);
    bob.display_name = text("Bob \u{df}");
    bob.claimed_roles = vec![Role::Cc, Role::Bcc];
    bob.delivery = Some(Delivery { what: DeliveryKind::Failed, at: 5, notice: Digest::of(b"notice").to_string() });
    let mut eve = recipient("[EX:/o=Org/cn=Recipients/cn=eve]", Role::Recipient, Vec::new());
    eve.kind = AddressKind::X500;
    vec![recipient("carol@example.net", Role::To, Vec::new()), bob, eve]
}

/// A record that carries `content` as its original.
pub fn record_of(content: &[u8]) -> JournalRecord {
    let entry = |kind, offset| EvidenceEntry {
        kind,
        topic: "journal.reports".into(),
        partition: 1,
        offset,
        report_id: text("<r@journal.report.generator>"),
        server: text("ex1.example.com"),
        at: 1_736_157_600_000,
        sha256: Digest::of(format!("arrival {offset}").as_bytes()),
    };
    JournalRecord {
        record_id: "<a@example.com>#0102030405060708".into(),
        revision: 1,
        status: Status::Incomplete,
        closed_because: ClosedBecause::Patience,
        superseded_by: vec!["<a@example.com>#1111111111111111".into()],
        key: "<a@example.com>".into(),
        message_id: text("<a@example.com>"),
        network_message_ids: vec!["b90e2664f20640aea2bb408d5ebdeb3f".into()],
        sender: text("ann@example.com"),
        on_behalf_of: text("boss@example.com"),
        from: vec!["ann@example.com".into()],
        subject: text("Offer"),
        recipients: recipients(),
        groups: vec![Group {
            address: "sales@example.com".into(),
            expanded: true,
            by: vec!["ex1.example.com".into()],
            members: Some(2),
        }],
        unresolved: vec!["all@example.com".into()],
        originals: vec![original(content, OriginalRole::Primary)],
        journals: vec![Journal {
            address: "journal@example.com".into(),
            rule: text("everything"),
            format: text("report"),
            ndr_to: text("ndr@example.com"),
        }],
        flags: vec![Flag::ReportMismatch, Flag::RoleConflict],
        evidence: vec![entry(Kind::Report, 1), entry(Kind::EnvelopeEvent, 2), entry(Kind::Notice, 3)],
        certificate: Certificate {
            expected: vec![
                Expected { what: Expectation::Original, who: None, because: vec![0], met_by: vec![0] },
                Expected {
                    what: Expectation::Expansion,
                    who: text("all@example.com"),
                    because: vec![0, 1],
                    met_by: vec![],
                },
            ],
            reason: "Nobody has told who the members of all@example.com are.".into(),
        },
        first_evidence_at: 1_736_157_600_000,
        last_evidence_at: 1_736_157_601_000,
        closed_at: 1_736_158_501_000,
        tags: [("retention".to_owned(), "7y".to_owned())].into(),
    }
}

pub fn original(content: &[u8], role: OriginalRole) -> RecordedOriginal {
    RecordedOriginal {
        sha256: Digest::of(content),
        size: i64::try_from(content.len()).unwrap(),
        role,
        content: Some(Bytes::copy_from_slice(content)),
        reference: None,
    }
}

pub fn record() -> JournalRecord {
    record_of(MAIL)
}

pub fn activity() -> JournalActivity {
    JournalActivity::of(&record())
}

pub fn non_delivery() -> NonDelivery {
    NonDelivery::build(&record(), &notice(), Digest::of(b"arrival 3"), Some(0)).unwrap()
}

pub fn ledger() -> LedgerRow {
    LedgerRow {
        topic: "journal.reports".into(),
        partition: 2,
        offset: 7,
        disposition: Disposition::Rejected,
        record_id: text("<a@example.com>#0102030405060708"),
        reason: text("not-a-mail: it has no header field"),
        source: text("mails/inbox.mbox@4711"),
    }
}
