//! Envelope events (contract §2), as the servers of the organisation would tell them.

use super::{letter::Letter, people::Server, report::Line};
use crate::{
    arrival::Timestamp,
    evidence::{
        RecipientKind, Role,
        envelope_event::{Direction, EnvelopeEvent, EventGroup, EventRecipient, EventRole, Stage},
    },
};

/// What `server` says of a letter at `at`.
pub struct Telling<'a> {
    pub event_id: String,
    pub server: &'a Server,
    pub at: Timestamp,
    pub letter: &'a Letter,
    /// The recipients, and whether each is a list.
    pub lines: &'a [(Line, bool)],
    pub journaled_to: &'a [String],
}

impl Telling<'_> {
    pub fn submitted(&self) -> EnvelopeEvent {
        self.event(Stage::Submitted, None)
    }

    /// The server has expanded the list to the recipients.
    pub fn expanded(&self, list: &str) -> EnvelopeEvent {
        let members = i64::try_from(self.lines.len()).ok();
        self.event(Stage::Expanded, Some(EventGroup { address: list.to_owned(), expanded: true, members }))
    }

    fn event(&self, stage: Stage, group: Option<EventGroup>) -> EnvelopeEvent {
        EnvelopeEvent {
            event_id: self.event_id.clone(),
            server: self.server.name.clone(),
            server_version: Some(self.server.version.to_owned()).filter(|version| !version.is_empty()),
            stage,
            at: self.at.0,
            direction: Direction::Internal,
            message_id: self.letter.message_id.clone(),
            network_message_id: self.letter.network_message_id.clone(),
            internal_message_id: None,
            sender: Some(self.letter.sender.clone()),
            header_from: Some(self.letter.sender.clone()),
            header_sender: None,
            authenticated_as: None,
            subject: Some(self.letter.subject.clone()),
            recipients: self.lines.iter().map(|(line, is_list)| event_recipient(line, *is_list)).collect(),
            group,
            journaled_to: self.journaled_to.to_vec(),
            already_journaled_to: Vec::new(),
            content: None,
        }
    }
}

fn event_recipient(line: &Line, is_list: bool) -> EventRecipient {
    EventRecipient {
        address: line.address.clone(),
        kind: if is_list { RecipientKind::Group } else { RecipientKind::Mailbox },
        role: match line.role {
            Role::To => EventRole::To,
            Role::Cc => EventRole::Cc,
            Role::Bcc => EventRole::Bcc,
            Role::Recipient => EventRole::Unknown,
        },
        via: line.path.clone(),
        original: None,
        store: None,
        status: None,
    }
}
