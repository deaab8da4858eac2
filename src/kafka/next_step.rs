//! Errors named by what to do next. An error kind exists here only because the worker acts differently on it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What the worker does after something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// The same call again, on the same client.
    Retry,
    /// Abort the transaction, drop the tasks, restore them and go on from the committed positions.
    Abort,
    /// New clients with the same ids, then restore: what became of the last transaction is not known or not ours to say.
    StartAnew,
    /// A person has to change something.
    Stop,
}

/// What the outside world looks like when it happened; decides how long it is waited out and what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No broker answers, or not in time.
    BrokerAway,
    /// The client does not come back from a call, and is left behind.
    Hangs,
    /// Another producer has our transactional id.
    Fenced,
    /// Another member of the group has our group instance id. It may be this instance's own: one whose wish to join was
    /// granted in an answer that was lost.
    InstanceTaken,
    TooLarge,
    Other,
}

/// A failure, its next step and a sentence about it. The sentence holds no mail content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Trouble {
    pub next: NextStep,
    pub cause: Cause,
    pub why: String,
}

impl Trouble {
    pub fn new(next: NextStep, cause: Cause, why: impl Into<String>) -> Trouble {
        Trouble { next, cause, why: why.into() }
    }

    pub fn stop(why: impl Into<String>) -> Trouble {
        Trouble::new(NextStep::Stop, Cause::Other, why)
    }

    pub fn abort(why: impl Into<String>) -> Trouble {
        Trouble::new(NextStep::Abort, Cause::Other, why)
    }

    /// `doing` completes "could not …".
    pub fn of(doing: &str, error: &KafkaError) -> Trouble {
        let signs = Signs::of(error);
        Trouble::new(signs.next_step(), signs.cause(), format!("could not {doing}: {error}{}", signs.advice()))
    }

    /// The same failure where nothing less than new clients helps.
    pub fn for_new_clients(self) -> Trouble {
        match self.next {
            NextStep::Stop => self,
            _ => Trouble { next: NextStep::StartAnew, ..self },
        }
    }

    /// The same failure where the call is not tried again.
    pub fn given_up(self) -> Trouble {
        match self.next {
            NextStep::Retry => Trouble { next: NextStep::StartAnew, ..self },
            _ => self,
        }
    }
}

/// All that decides.
struct Signs {
    code: Option<Code>,
    fatal: bool,
    requires_abort: bool,
    retriable: bool,
}

impl Signs {
    fn of(error: &KafkaError) -> Signs {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let code = match error {
            // rdkafka keeps this one to itself.
            KafkaError::AdminOp(code) => Some(*code),
            other => other.rdkafka_error_code(),
        };
        match error {
            KafkaError::Transaction(error) => Signs {
                code,
                fatal: error.is_fatal(),
                requires_abort: error.txn_requires_abort(),
                retriable: error.is_retriable(),
            },
            _ => Signs { code, fatal, requires_abort: false, retriable: false },
        }
    }

    /// The order matters: a fatal error may also claim to require an abort.
    fn next_step(&self) -> NextStep {
        match self.code {
            Some(_) if self.is_of_an_old_membership() => NextStep::Abort,
            Some(code) if needs_a_person(code) => NextStep::Stop,
            _ if self.fatal => NextStep::StartAnew,
            _ if self.requires_abort => NextStep::Abort,
            _ if self.retriable => NextStep::Retry,
            // Retention has overtaken the reader; a restore begins where the log now does.
            Some(Code::AutoOffsetReset) => NextStep::Abort,
            Some(code) if is_away(code) => NextStep::Retry,
            _ => NextStep::StartAnew,
        }
    }

    /// A turn's positions are sent as the member that this instance was when the turn was built. Where it has lost its
    /// place meanwhile and joined anew, the broker finds its own name taken: by itself. If another process has it, the
    /// group says so to the member, in a fatal error.
    fn is_of_an_old_membership(&self) -> bool {
        self.code == Some(Code::FencedInstanceId) && self.requires_abort && !self.fatal
    }

    fn cause(&self) -> Cause {
        match self.code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => Cause::Fenced,
            Some(Code::FencedInstanceId) if !self.is_of_an_old_membership() => Cause::InstanceTaken,
            Some(Code::MessageSizeTooLarge) => Cause::TooLarge,
            Some(code) if is_away(code) => Cause::BrokerAway,
            _ => Cause::Other,
        }
    }

    fn advice(&self) -> &'static str {
        match self.code {
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed,
            ) => {
                "; give this user READ and WRITE on the topics, READ on the group, and WRITE and DESCRIBE on the \
                 transactional ids that begin with the group's name"
            }
            Some(Code::SaslAuthenticationFailed | Code::Authentication) => {
                "; check the user and password under [kafka.client]"
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                "; `mailjournal topics create` makes what is missing"
            }
            _ => "",
        }
    }
}

/// Whether a question may have gone to a broker that no longer leads what was asked about: it says so, or nothing. A client
/// that only asks learns of the new leader when its metadata is due, up to half a minute later.
pub fn is_of_a_moved_leader(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::FencedLeaderEpoch
                | Code::UnknownLeaderEpoch
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
        )
    )
}

fn needs_a_person(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
            | Code::UnsupportedSASLMechanism
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidTransactionTimeout
            | Code::InvalidSessionTimeout
            | Code::InconsistentGroupProtocol
    )
}

fn is_away(code: Code) -> bool {
    matches!(
        code,
        Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::DestroyBroker
            | Code::BrokerNotAvailable
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::NetworkException
            | Code::UnstableOffsetCommit
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, fatal: bool, requires_abort: bool, retriable: bool, expect: (NextStep, Cause)) {
        let signs = Signs { code: Some(code), fatal, requires_abort, retriable };
        assert_eq!((signs.next_step(), signs.cause()), expect, "{code:?}");
    }

    #[test]
    fn fatal_counts_before_abort_and_abort_before_retry() {
        check(Code::ProducerFenced, true, true, true, (NextStep::StartAnew, Cause::Fenced));
        check(Code::IllegalGeneration, false, true, true, (NextStep::Abort, Cause::Other));
        check(Code::OperationTimedOut, false, false, true, (NextStep::Retry, Cause::BrokerAway));
    }

    /// A start asks for the topics' configuration while brokers come and go.
    #[test]
    fn an_administrators_question_is_asked_again_where_no_broker_answers() {
        let trouble = Trouble::of("ask", &KafkaError::AdminOp(Code::BrokerTransportFailure));
        assert_eq!((trouble.next, trouble.cause), (NextStep::Retry, Cause::BrokerAway));
        assert_eq!(Trouble::of("ask", &KafkaError::AdminOp(Code::ClusterAuthorizationFailed)).next, NextStep::Stop);
    }

    #[test]
    fn what_only_a_person_can_mend_stops_whatever_else_is_claimed() {
        check(Code::TopicAuthorizationFailed, false, true, true, (NextStep::Stop, Cause::Other));
    }

    #[test]
    fn an_instance_that_has_joined_anew_is_not_put_out_by_its_own_former_membership() {
        check(Code::FencedInstanceId, false, true, false, (NextStep::Abort, Cause::Other));
    }

    #[test]
    fn a_member_whose_name_is_taken_joins_anew() {
        check(Code::FencedInstanceId, true, false, false, (NextStep::StartAnew, Cause::InstanceTaken));
    }

    #[test]
    fn a_leader_that_has_moved_is_asked_again() {
        for code in
            [Code::NotLeaderForPartition, Code::FencedLeaderEpoch, Code::UnknownLeaderEpoch, Code::OffsetNotAvailable]
        {
            check(code, false, false, false, (NextStep::Retry, Cause::BrokerAway));
        }
    }

    #[test]
    fn what_nobody_foresaw_starts_anew() {
        check(Code::State, false, false, false, (NextStep::StartAnew, Cause::Other));
        check(Code::MessageSizeTooLarge, false, true, false, (NextStep::Abort, Cause::TooLarge));
    }

    #[test]
    fn a_broker_that_is_away_is_asked_again_until_given_up() {
        let away = Trouble::of("read", &KafkaError::MetadataFetch(Code::BrokerTransportFailure));
        assert_eq!((away.next, away.cause), (NextStep::Retry, Cause::BrokerAway));
        assert_eq!(away.given_up().next, NextStep::StartAnew);
    }
}
