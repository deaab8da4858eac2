//! The text of an HTML part, line by line: enough to read `Key: value` lines, no more.

use memchr::memchr;

/// Tags dropped, blocks and breaks as line ends, the commonest character references decoded. Linear.
pub(super) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    let mut may_close = true;
    while let Some(at) = memchr(b'<', rest.as_bytes()) {
        push_text(&mut text, &rest[..at]);
        rest = &rest[at + 1..];
        let end = if may_close { memchr(b'>', rest.as_bytes()) } else { None };
        match end {
            // `<user@example.com>` unescaped is an address, no tag.
            Some(end) if rest[..end].contains('@') && !rest[..end].contains([' ', '=']) => text.push('<'),
            Some(end) => {
                let name = tag_name(&rest[..end]);
                rest = &rest[end + 1..];
                if let Some(closing) = hidden_until(&name) {
                    rest = skip_past(rest, closing);
                }
                if is_line(&name) {
                    text.push('\n');
                }
            }
            None => {
                may_close = false;
                text.push('<');
            }
        }
    }
    push_text(&mut text, rest);
    text
}

/// Lower-case, without the slash.
fn tag_name(tag: &str) -> String {
    let tag = tag.trim_start_matches('/');
    let end = tag.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(tag.len());
    tag[..end].to_ascii_lowercase()
}

fn hidden_until(name: &str) -> Option<&'static str> {
    match name {
        "head" => Some("</head"),
        "style" => Some("</style"),
        "script" => Some("</script"),
        _ => None,
    }
}

/// Behind the tag that closes what is hidden; from here on where none does.
fn skip_past<'a>(rest: &'a str, closing: &str) -> &'a str {
    let lower = closing.as_bytes();
    let mut from = 0;
    while let Some(at) = memchr(b'<', &rest.as_bytes()[from..]) {
        let at = from + at;
        if rest.as_bytes().get(at..at + lower.len()).is_some_and(|tag| tag.eq_ignore_ascii_case(lower)) {
            return memchr(b'>', &rest.as_bytes()[at..]).map_or("", |end| &rest[at + end + 1..]);
        }
        from = at + 1;
    }
    ""
}

fn is_line(name: &str) -> bool {
    matches!(name, "br" | "p" | "div" | "tr" | "li" | "pre" | "table" | "body" | "h1" | "h2" | "h3" | "dt" | "dd")
}

/// Text between tags: character references decoded, line ends as they are (a `pre` needs them, a `Key: value` line
/// never spans two).
fn push_text(text: &mut String, piece: &str) {
    let mut rest = piece;
    while let Some(at) = memchr(b'&', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end = rest.bytes().take(REFERENCE_BYTES_MAX).position(|byte| byte == b';');
        match end.and_then(|end| Some((reference(&rest[..end])?, end))) {
            Some((letter, end)) => {
                text.push(letter);
                rest = &rest[end + 1..];
            }
            None => text.push('&'),
        }
    }
    text.push_str(rest);
}

/// `#x10FFFF;` is the longest that we read, bytes.
const REFERENCE_BYTES_MAX: usize = 10;

fn reference(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
