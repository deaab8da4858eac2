//! Pieces of evidence as a test writes them.

use mailjournal::{
    arrival::{Input, Position, Timestamp},
    correlate::{Piece, Seen},
    evidence::{
        Evidence, Form, GroupClaim, Hop, How, Kind, Original, Place, PlaceKind, RecipientClaim, RecipientKind, Role,
    },
    mail::{Address, Digest, Guard, Key},
};

pub const KEY: &str = "<m1@example.com>";

/// Evidence of a kind that says nothing yet; `name` makes it distinct.
pub fn evidence(kind: Kind, name: &str) -> Evidence {
    let form = match kind {
        Kind::Report => Form::Exchange,
        Kind::EnvelopeEvent => Form::EnvelopeEvent,
        Kind::Notice => Form::DeliveryStatus,
        Kind::PlainCopy => Form::PlainCopy,
    };
    Evidence {
        id: Digest::of(name.as_bytes()),
        kind,
        form,
        key: Key(KEY.into()),
        message_id: Some(KEY.into()),
        network_message_id: None,
        report_id: None,
        server: None,
        sender: None,
        on_behalf_of: None,
        subject: None,
        recipients: Vec::new(),
        groups: Vec::new(),
        journaled_to: Vec::new(),
        originals: Vec::new(),
        notice: None,
        flags: Vec::new(),
        tags: Default::default(),
    }
}

/// An original; `guard` names its From and Date, `body` its body, `bytes` the whole.
pub fn original(guard: Option<&str>, body: &str, bytes: &str) -> Original {
    Original {
        sha256: Digest::of(bytes.as_bytes()),
        size: 100,
        place: Place { how: PlaceKind::Cut, start: 0, end: 100, uri: None, within: None },
        decrypted: false,
        guard: guard.map(|guard| Guard::of(guard.as_bytes(), b"date")),
        body_sha256: Some(Digest::of(body.as_bytes())),
        from: guard.map(str::to_owned).into_iter().collect(),
        subject: guard.map(|_| "s".to_owned()),
    }
}

pub fn recipient(address: &str, role: Role, path: &[(How, &str)]) -> RecipientClaim {
    RecipientClaim {
        address: Address::of(address),
        display_name: None,
        role,
        path: path.iter().map(|(how, address)| Hop { how: *how, address: (*address).to_owned() }).collect(),
        what: RecipientKind::Unknown,
        original: None,
        delivery: None,
    }
}

pub fn group(address: &str, expanded: bool, members: Option<i64>) -> GroupClaim {
    GroupClaim { address: address.to_owned(), expanded, members }
}

/// The evidence, seen at this second and offset.
pub fn seen(evidence: Evidence, second: i64, offset: i64) -> Piece {
    let input = if evidence.kind == Kind::EnvelopeEvent { Input::Envelopes } else { Input::Reports };
    let position = Position { input, partition: 0, offset };
    Piece::new(evidence, Seen { position, at: Timestamp(second * 1000), server: None, size: 200 }, Vec::new())
}
