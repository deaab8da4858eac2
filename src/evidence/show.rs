//! What `mailjournal report show` prints of one mail: all that we understand of it, and what was odd.

use serde::Serialize;

use super::{Evidence, Flag, How, Original, PlaceKind, RecipientClaim, Rejection, read_mail};

/// Everything that is understood of a mail: lines for people, or one JSON value for machines. Ends with a line end.
pub fn show(bytes: &[u8], json: bool) -> String {
    let read = read_mail(bytes);
    if json {
        as_json(&read)
    } else {
        read.map_or_else(|rejection| as_rejection(&rejection), |evidence| as_lines(&evidence))
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Evidence(&'a Evidence),
    Rejected { rejected: &'a str, detail: &'a str },
}

fn as_json(read: &Result<Evidence, Rejection>) -> String {
    let shown = match read {
        Ok(evidence) => Shown::Evidence(evidence),
        Err(rejection) => Shown::Rejected { rejected: rejection.reason, detail: &rejection.detail },
    };
    let mut text = serde_json::to_string_pretty(&shown).expect("evidence is plain data");
    text.push('\n');
    text
}

fn as_rejection(rejection: &Rejection) -> String {
    format!("rejected        {}: {}\n", rejection.reason, rejection.detail)
}

fn as_lines(evidence: &Evidence) -> String {
    let mut lines = Lines::default();
    lines.add("kind", format!("{}, {}", name_of(&evidence.kind), name_of(&evidence.form)));
    lines.add("key", evidence.key.as_str());
    lines.add_some("Message-ID", evidence.message_id.as_deref());
    lines.add_some("network id", evidence.network_message_id.as_deref());
    lines.add_some("own id", evidence.report_id.as_deref());
    lines.add_some("server", evidence.server.as_deref());
    lines.add_some(
        "sender",
        evidence.sender.as_deref().map(|sender| if sender.is_empty() { "<> (null)" } else { sender }),
    );
    lines.add_some("on behalf of", evidence.on_behalf_of.as_deref());
    lines.add_some("subject", evidence.subject.as_deref());
    lines.add("recipients", evidence.recipients.len().to_string());
    evidence.recipients.iter().for_each(|claim| lines.add("", recipient(claim)));
    evidence.originals.iter().for_each(|found| add_original(&mut lines, found));
    if evidence.originals.is_empty() {
        lines.add("original", "none");
    }
    add_notice(&mut lines, evidence);
    let flags: Vec<String> = evidence.flags.iter().map(name_of::<Flag>).collect();
    lines.add("odd", if flags.is_empty() { "nothing".to_owned() } else { flags.join(", ") });
    lines.text
}

fn recipient(claim: &RecipientClaim) -> String {
    let mut text = format!("{:<10} {}", name_of(&claim.role), claim.address.text);
    if let Some(name) = &claim.display_name {
        text.push_str(&format!(" ({name})"));
    }
    for hop in claim.path.iter().rev() {
        let how = match hop.how {
            How::Expanded => "expanded from",
            How::Forwarded => "forwarded from",
        };
        text.push_str(&format!(", {how} {}", hop.address));
    }
    text
}

fn add_original(lines: &mut Lines, original: &Original) {
    let place = &original.place;
    let span = format!("bytes {} to {}", place.start, place.end);
    let place = match place.how {
        PlaceKind::Cut => span,
        PlaceKind::Base64 => format!("{span}, in base64"),
        PlaceKind::QuotedPrintable => format!("{span}, in quoted-printable"),
        PlaceKind::Content => "the event's content".to_owned(),
        PlaceKind::Elsewhere => place.uri.clone().unwrap_or_default(),
    };
    let place = match &original.place.within {
        Some(within) => format!("{place} of what bytes {} to {} decode to", within.start, within.end),
        None => place,
    };
    lines.add(
        if original.decrypted { "decrypted copy" } else { "original" },
        format!("{} bytes at {place}", original.size),
    );
    lines.add("  sha256", original.sha256.to_string());
    lines.add_some("  guard", original.guard.map(|guard| guard.to_string()).as_deref());
    if !original.from.is_empty() {
        lines.add("  from", original.from.join(", "));
    }
    lines.add_some("  subject", original.subject.as_deref());
}

fn add_notice(lines: &mut Lines, evidence: &Evidence) {
    let Some(notice) = &evidence.notice else { return };
    let found_by = notice.found_by.map(|step| format!(" (by its {})", name_of(&step))).unwrap_or_default();
    lines.add("about", format!("{}{found_by}", notice.about.as_deref().unwrap_or("an unknown mail")));
    lines.add_some("told by", notice.reporting_mta.as_deref());
    for status in &notice.statuses {
        let words = [&status.action, &status.final_recipient, &status.status, &status.diagnostic];
        let words: Vec<&str> = words.into_iter().filter_map(Option::as_deref).collect();
        lines.add("", words.join(" "));
    }
}

/// A name as the contract spells it, in lower case for people.
fn name_of<T: Serialize>(value: &T) -> String {
    let name = serde_json::to_value(value).ok();
    name.as_ref().and_then(|name| name.as_str()).unwrap_or_default().to_lowercase().replace('_', " ")
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// Control characters, which a terminal would obey, are left out.
    fn add(&mut self, label: &str, value: impl AsRef<str>) {
        let value: String = value.as_ref().chars().filter(|letter| !letter.is_control()).collect();
        self.text.push_str(format!("{label:<15} {value}").trim_end());
        self.text.push('\n');
    }

    fn add_some(&mut self, label: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(label, value);
        }
    }
}
