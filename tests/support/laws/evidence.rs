//! A mail → evidence: the same again, within its bounds, its originals where it says, whatever ends the lines.

use bytes::Bytes;
use mailjournal::{
    arrival::{Format, Input, Position, Timestamp},
    avro::{self, Schema},
    correlate::{Piece, Seen, StoredDraft},
    evidence::{Evidence, PlaceKind, Rejection, original_bytes, read_mail, show},
    limits,
    mail::{Digest, Key},
};

pub fn mail(bytes: &[u8]) {
    let read = read_mail(bytes);
    assert_eq!(read, read_mail(bytes), "equal bytes are equal evidence");
    let shown: serde_json::Value = serde_json::from_str(&show(bytes, true)).expect("what is shown as JSON is JSON");
    assert!(shown.is_object() && !show(bytes, false).is_empty());
    match &read {
        Ok(evidence) => {
            assert_eq!(evidence.id, Digest::of(bytes));
            check(evidence, &Bytes::copy_from_slice(bytes), Format::Mail);
        }
        Err(rejection) => check_rejection(rejection),
    }
    if !bytes.contains(&b'\r') {
        let other = read_mail(&with_crlf(bytes));
        assert_eq!(read.as_ref().map(said).ok(), other.as_ref().map(said).ok(), "with CRLF");
    }
}

fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..])
}

/// What does not change with the line ends.
fn said(evidence: &Evidence) -> Evidence {
    let mut said = evidence.clone();
    said.id = Digest([0; 32]);
    if said.key.is_stand_in() {
        said.key = Key::stand_in(said.id);
    }
    for original in &mut said.originals {
        (original.sha256, original.size, original.body_sha256) = (said.id, 0, None);
        (original.place.start, original.place.end, original.place.within) = (0, 0, None);
    }
    said
}

pub fn check_rejection(rejection: &Rejection) {
    let Rejection { reason, detail } = rejection;
    assert!(!reason.is_empty() && !detail.is_empty() && detail.chars().count() <= limits::ERROR_DETAIL_CHARS_MAX);
}

/// What must hold of any evidence of these bytes.
pub fn check(evidence: &Evidence, arrival: &Bytes, format: Format) {
    check_key(evidence);
    check_bounds(evidence, arrival.len());
    assert!(evidence.flags.is_sorted_by(|one, other| one < other), "each flag once: {:?}", evidence.flags);
    for original in &evidence.originals {
        if original.place.how == PlaceKind::Elsewhere {
            assert!(original_bytes(arrival, format, &original.place).is_err());
            continue;
        }
        let found = original_bytes(arrival, format, &original.place).expect("an original is where its place says");
        assert_eq!(Digest::of(&found), original.sha256);
        assert_eq!(i64::try_from(found.len()), Ok(original.size));
        if original.place.how == PlaceKind::Cut && original.place.within.is_none() {
            let start = usize::try_from(original.place.start).expect("a span lies in the arrival");
            assert_eq!(found.as_ptr(), arrival[start..].as_ptr(), "a cut copies nothing");
        }
    }
    check_kept(evidence);
}

fn check_key(evidence: &Evidence) {
    let key = evidence.key.as_str();
    if evidence.key.is_stand_in() {
        let hex = &key["sha256:".len()..];
        assert!(hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()), "{key}");
        return;
    }
    assert!(key.len() > 2 && key.starts_with('<') && key.ends_with('>'), "{key:?}");
    // A byte that no charset reads stands as three.
    assert!(key.len() <= 3 * limits::MESSAGE_ID_BYTES_MAX, "{} bytes of key", key.len());
    assert!(!key.contains(['\r', '\n']), "{key:?}");
}

fn check_bounds(evidence: &Evidence, arrival_bytes: usize) {
    let Evidence { message_id, network_message_id, report_id, server, sender, on_behalf_of, subject, .. } = evidence;
    for text in [message_id, network_message_id, report_id, server, sender, on_behalf_of, subject].into_iter().flatten()
    {
        assert!(text.len() <= limits::HEADER_TEXT_BYTES_MAX, "{} bytes of text", text.len());
    }
    for claim in &evidence.recipients {
        assert!(claim.path.len() <= limits::PATH_HOPS_MAX);
        assert!(claim.path.iter().all(|hop| hop.address.len() <= limits::PATH_HOP_BYTES_MAX));
        assert!(claim.display_name.as_ref().is_none_or(|name| name.len() <= limits::DISPLAY_NAME_BYTES_MAX));
    }
    for status in evidence.notice.iter().flat_map(|notice| &notice.statuses) {
        assert!(status.diagnostic.as_ref().is_none_or(|text| text.len() <= limits::DIAGNOSTIC_BYTES_MAX));
    }
    let taken = avro::encode_datum(evidence).len();
    assert!(taken <= limits::EVIDENCE_BYTES_MAX + 16 * limits::HEADER_TEXT_BYTES_MAX, "{taken} bytes of evidence");
    let at_most = 16 * arrival_bytes + limits::REPORT_PATH_BYTES_MAX + 4096;
    assert!(taken <= at_most, "{taken} bytes of evidence from {arrival_bytes}");
}

/// What is understood comes back from the changelog.
fn check_kept(evidence: &Evidence) {
    let position = Position { input: Input::Reports, partition: 0, offset: 0 };
    let seen = Seen { position, at: Timestamp(0), server: None, size: 7 };
    let piece = Piece::new(evidence.clone(), seen, Vec::new());
    assert!(avro::encode_datum(&piece).len() <= piece.datum_bytes_at_most(), "{piece:?}");
    let stored = StoredDraft {
        record_id: evidence.key.to_string(),
        key: evidence.key.clone(),
        part: 0,
        pieces: vec![piece],
        touched_at: Timestamp(0),
        open: true,
        reused: false,
        moved_to: Vec::new(),
        published: None,
    };
    let read: StoredDraft =
        avro::decode(Schema::Draft, &avro::encode(Schema::Draft, &stored)).expect("what is written is read");
    assert_eq!(read, stored);
}
