//! What in a header block says that a mail is a journal report (journal-formats §1.4, §2.2, §3.2).

use super::Form;
use crate::mail::headers::Head;

/// The form that a header names outright: the marker of Exchange (in transport and out of it), of WorkMail, of
/// Exchange 2000 and 2003 (which misspell theirs). The value of the first two says nothing.
pub(super) fn marked_form(head: &Head) -> Option<Form> {
    if head.has("X-MS-Journal-Report") || head.has("X-MS-Exchange-Organization-Journal-Report") {
        return Some(Form::Exchange);
    }
    if head.has("X-WM-Journal-Report") {
        return Some(Form::WorkMail);
    }
    let is_2003 = ["Content-Identifer", "Content-Identifier"].iter().any(|name| {
        head.get(name).is_some_and(|value| {
            value.eq_ignore_ascii_case(b"ExJournalReport") || value.eq_ignore_ascii_case(b"ExJournalData")
        })
    });
    is_2003.then_some(Form::Exchange2003)
}

/// How many lesser signs of a report the header block has, for reports that lost their marker on the way. Two signs
/// make a report, the shape of the body being one; the body alone never does, for anybody can write one.
pub(super) fn lesser_signs(head: &Head) -> usize {
    let signs = [
        has_report_id(head),
        head.has("X-MS-Exchange-Parent-Message-Id"),
        head.says("X-MS-Exchange-Generated-Message-Source", "Journal Agent"),
        head.says("Sender", "MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e"),
    ];
    signs.into_iter().filter(|&sign| sign).count()
}

/// Whether a header block that stands alone (returned by a bounce, attached to a mail) is a report's.
pub(super) fn is_report_head(head: &Head) -> bool {
    marked_form(head).is_some() || has_report_id(head)
}

/// Exchange's own Message-ID for reports.
fn has_report_id(head: &Head) -> bool {
    head.says("Message-ID", "@journal.report.generator")
}
