//! How much is put up with: how long a broker is waited for, and how many recoveries in a row.

use std::time::{Duration, Instant};

use super::next_step::{Cause, NextStep, Trouble};
use crate::limits;

/// Recoveries because of a fenced producer that are put up with: another instance that takes over fences once.
const FENCED_MAX: u32 = 3;

/// Two live processes of one name put each other out every few seconds, and make turns in between. An instance that was
/// put out by its own membership, whose grant was lost, is not again for long.
const NAME_TAKEN_MAX: usize = 4;
const NAME_TAKEN_WITHIN: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Endurance {
    /// Recoveries since the last turn, for other reasons than a broker that is away.
    setbacks: u32,
    /// Clients that hang, since the start.
    left_behind: u32,
    fenced: u32,
    /// When the instance's name was taken, within the last [`NAME_TAKEN_WITHIN`].
    name_taken: Vec<Instant>,
    waiting_since: Option<Instant>,
    /// Since when no turn was committed, as far as recoveries tell.
    turnless_since: Option<Instant>,
    told: bool,
}

impl Endurance {
    /// A turn was committed.
    pub fn turned(&mut self) {
        self.setbacks = 0;
        self.fenced = 0;
        self.turnless_since = None;
        self.answered();
    }

    /// A broker answered.
    pub fn answered(&mut self) {
        if std::mem::take(&mut self.told) {
            tracing::info!("waiting is over");
        }
        self.waiting_since = None;
    }

    /// Something is waited for; after a second a person is told once, and after [`limits::AWAY_MAX`] it is given up.
    /// `reason` is what the client last said of its brokers.
    pub fn waits(&mut self, trouble: Trouble, reason: Option<String>) -> Result<(), Trouble> {
        let waited = self.waiting_since.get_or_insert_with(Instant::now).elapsed();
        if waited > limits::AWAY_MAX {
            return Err(Trouble { next: NextStep::Stop, ..trouble });
        }
        if waited > Duration::from_secs(1) && !self.told {
            self.told = true;
            let reason = reason.unwrap_or_default();
            match trouble.cause {
                Cause::BrokerAway => tracing::warn!(
                    %trouble,
                    reason,
                    "Kafka does not answer; waiting for it. Look at the brokers, then at kafka.brokers"
                ),
                _ => tracing::warn!(%trouble, "waiting"),
            }
        }
        Ok(())
    }

    /// A recovery is due: how long to wait first, or why not to try any more.
    pub fn setback(&mut self, trouble: &Trouble) -> Result<Duration, Trouble> {
        let turnless = self.turnless_since.get_or_insert_with(Instant::now).elapsed();
        self.left_behind += u32::from(trouble.cause == Cause::Hangs);
        if self.left_behind > limits::CLIENTS_LEFT_BEHIND_MAX {
            return Err(Trouble { next: NextStep::Stop, ..trouble.clone() });
        }
        if matches!(trouble.cause, Cause::BrokerAway | Cause::Hangs) {
            self.waits(trouble.clone(), None)?;
            // Brokers may answer questions and yet take no turn.
            return match turnless > limits::AWAY_MAX {
                true => Err(Trouble { next: NextStep::Stop, ..trouble.clone() }),
                false => Ok(limits::RECOVERY_WAIT_MIN),
            };
        }
        if trouble.cause == Cause::InstanceTaken {
            self.name_taken.retain(|at| at.elapsed() < NAME_TAKEN_WITHIN);
            self.name_taken.push(Instant::now());
        }
        if self.name_taken.len() > NAME_TAKEN_MAX {
            return Err(Trouble::stop(format!(
                "another process joins the group under this instance's name again and again: give every process a \
                 kafka.instance of its own ({trouble})"
            )));
        }
        self.setbacks += 1;
        self.fenced += u32::from(trouble.cause == Cause::Fenced);
        if self.fenced > FENCED_MAX {
            return Err(Trouble::stop(format!(
                "another process takes this instance's transactional id again and again: give every process a \
                 kafka.instance of its own ({trouble})"
            )));
        }
        if self.setbacks > limits::RECOVERIES_MAX {
            return Err(Trouble { next: NextStep::Stop, ..trouble.clone() });
        }
        let doubled = limits::RECOVERY_WAIT_MIN * 2_u32.pow((self.setbacks - 1).min(10));
        Ok(if self.setbacks == 1 { Duration::ZERO } else { doubled.min(limits::RECOVERY_WAIT_MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_hang_are_left_behind_so_often_and_no_more() {
        let hangs = Trouble::new(NextStep::StartAnew, Cause::Hangs, "it does not come back");
        let mut endurance = Endurance::default();
        for _ in 0..limits::CLIENTS_LEFT_BEHIND_MAX {
            assert!(endurance.setback(&hangs).is_ok());
            endurance.turned();
        }
        assert_eq!(endurance.setback(&hangs).map_err(|trouble| trouble.next), Err(NextStep::Stop));
    }

    #[test]
    fn a_turn_forgives_and_without_one_patience_ends() {
        let mut endurance = Endurance::default();
        let trouble = Trouble::abort("odd");
        for _ in 0..3 {
            for _ in 0..limits::RECOVERIES_MAX {
                endurance.setback(&trouble).expect("put up with");
            }
            endurance.turned();
        }
        let ended = (0..=limits::RECOVERIES_MAX).find_map(|_| endurance.setback(&trouble).err());
        assert_eq!(ended.map(|trouble| trouble.next), Some(NextStep::Stop));
    }

    #[test]
    fn an_id_that_is_taken_again_and_again_names_the_setting() {
        let mut endurance = Endurance::default();
        let trouble = Trouble::new(NextStep::StartAnew, Cause::Fenced, "fenced");
        let ended = (0..=FENCED_MAX).find_map(|_| endurance.setback(&trouble).err()).expect("an end");
        assert!(ended.why.contains("kafka.instance"), "{ended}");
    }

    #[test]
    fn a_name_that_is_taken_again_and_again_is_not_forgiven_by_turns_but_by_time() {
        let taken = Trouble::new(NextStep::StartAnew, Cause::InstanceTaken, "fenced");
        let mut endurance = Endurance::default();
        let take = |endurance: &mut Endurance| {
            endurance.turned();
            endurance.setback(&taken).err()
        };
        let long_ago = Instant::now().checked_sub(NAME_TAKEN_WITHIN).expect("a machine that is up for a minute");
        endurance.name_taken = vec![long_ago; NAME_TAKEN_MAX];
        assert!((0..NAME_TAKEN_MAX).all(|_| take(&mut endurance).is_none()));
        let ended = take(&mut endurance).expect("an end");
        assert!(ended.next == NextStep::Stop && ended.why.contains("kafka.instance"), "{ended}");
    }
}
