//! Whether an original's content is closed to us: encrypted (S/MIME, PGP, rights-managed) or in Outlook's own format.

use memchr::memmem;

use crate::mail::{headers::Head, parts::ContentType};

/// S/MIME (RFC 8551), PGP/MIME (RFC 3156), inline PGP, rights-managed Exchange mail (`message.rpmsg`).
pub(super) fn is_encrypted(bytes: &[u8], head: &Head) -> bool {
    let kind = ContentType::of(head);
    match kind.essence.as_str() {
        "multipart/encrypted" => true,
        // A signature around readable text is no encryption.
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
            kind.param("smime-type").is_none_or(|what| !what.eq_ignore_ascii_case(b"signed-data"))
        }
        _ if head.says("Content-Class", "rpmsg.message") => true,
        "multipart/mixed" => has_rpmsg_part(&bytes[head.body_at..]),
        "text/plain" => has_line(&bytes[head.body_at..], b"-----BEGIN PGP MESSAGE-----"),
        _ => false,
    }
}

/// Exchange's own format within a mail.
pub(super) fn is_tnef(head: &Head) -> bool {
    matches!(ContentType::of(head).essence.as_str(), "application/ms-tnef" | "application/vnd.ms-tnef")
}

fn has_rpmsg_part(body: &[u8]) -> bool {
    // Only the first on a line can stand behind the field's name, so no byte is looked at twice.
    let mut from = 0;
    memmem::find_iter(body, b"application/x-microsoft-rpmsg-message").any(|at| {
        let between = &body[std::mem::replace(&mut from, at)..at];
        let start = memchr::memrchr2(b'\n', b'\r', between).map_or(0, |end| end + 1);
        between[start..].trim_ascii().eq_ignore_ascii_case(b"Content-Type:")
    })
}

fn has_line(body: &[u8], text: &[u8]) -> bool {
    memmem::find_iter(body, text).any(|at| at == 0 || matches!(body[at - 1], b'\n' | b'\r'))
}
