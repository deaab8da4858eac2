//! Comments in structured header fields (RFC 5322 §3.2.2): `(…)`, nested, `\` before any byte.

use std::borrow::Cow;

/// How long the comment is that `value` starts with, its parentheses included; none if it is never closed.
pub fn comment_length(value: &[u8]) -> Option<usize> {
    let (mut depth, mut escaped) = (0usize, false);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    None
}

/// A value with a blank for each comment outside of its quotes. What opens like a comment and never closes is none.
pub fn without_comments(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'(', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut plain = Vec::with_capacity(value.len());
    let (mut quoted, mut escaped) = (false, false);
    let mut rest = value;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'(' && !quoted {
            let Some(length) = comment_length(rest) else { break };
            plain.push(b' ');
            rest = &rest[length..];
            continue;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            _ => {}
        }
        plain.push(byte);
        rest = behind;
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// Drops white space and comments from the start of a value; all of it where a comment never closes.
pub fn skip_comments(mut value: &[u8]) -> &[u8] {
    loop {
        value = value.trim_ascii_start();
        if value.first() != Some(&b'(') {
            return value;
        }
        let Some(length) = comment_length(value) else { return &[] };
        value = &value[length..];
    }
}
