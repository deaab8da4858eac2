//! An original: what its bytes say of its identity.

use super::{Original, Place, PlaceKind, Within};
use crate::mail::{Digest, Guard, address, decode::text_of, headers::Head};

/// Looks at an original's bytes. `place` says where they lie in the arrival, `decrypted` that they are the clear-text
/// copy beside an encrypted original. A function of the bytes: one original is the same however it came.
pub fn examine(bytes: &[u8], place: Place, decrypted: bool) -> Original {
    examine_read(bytes, Digest::of(bytes), &Head::read(bytes), place, decrypted)
}

/// As [`examine`], its digest known and its header block already read.
pub(super) fn examine_read(bytes: &[u8], sha256: Digest, head: &Head, place: Place, decrypted: bool) -> Original {
    Original {
        sha256,
        size: size_of(bytes),
        place,
        decrypted,
        guard: Guard::of_head(head),
        body_sha256: Some(Digest::of(&bytes[head.body_at..])),
        from: from_of(head),
        subject: head.decoded("Subject").map(without_line_ends),
    }
}

/// An original that is no RFC 5322 mail (TNEF, `.msg`): kept, but not looked into.
pub fn examine_opaque(bytes: &[u8], place: Place) -> Original {
    Original {
        sha256: Digest::of(bytes),
        size: size_of(bytes),
        place,
        decrypted: false,
        guard: None,
        body_sha256: None,
        from: Vec::new(),
        subject: None,
    }
}

/// The addresses in From, as spelled.
fn from_of(head: &Head) -> Vec<String> {
    let value = head.get("From").unwrap_or_default();
    address::parse_list(&text_of(&value)).into_iter().map(|mailbox| mailbox.address.text).collect()
}

/// A subject is one line for whoever writes it on, whatever its encoded words smuggled in.
fn without_line_ends(text: String) -> String {
    if text.contains(['\r', '\n']) { text.replace(['\r', '\n'], " ") } else { text }
}

fn size_of(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

impl Place {
    /// A byte span of the arrival.
    pub fn span(how: PlaceKind, span: std::ops::Range<usize>) -> Place {
        let offset = |at: usize| i64::try_from(at).unwrap_or(i64::MAX);
        Place { how, start: offset(span.start), end: offset(span.end), uri: None, within: None }
    }

    /// The same place in what `outer` of an arrival decodes to.
    pub(super) fn within(self, outer: Place) -> Place {
        let Place { how, start, end, .. } = outer;
        Place { within: Some(Within { how, start, end }), ..self }
    }

    /// The `content.message` of an envelope event.
    pub fn content() -> Place {
        Place::span(PlaceKind::Content, 0..0)
    }

    /// Not in the arrival, but where `uri` says.
    pub fn elsewhere(uri: String) -> Place {
        Place { uri: Some(uri), ..Place::span(PlaceKind::Elsewhere, 0..0) }
    }
}
