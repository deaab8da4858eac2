//! Two clocks (contract §4.4). A partition's time is the highest arrival time seen in it, or the wall clock once it is
//! read to its end; a task's time is the lowest of its partitions' times. So a backlog closes nothing too early, and an
//! idle partition still closes its drafts.

use crate::arrival::{Input, Timestamp};

/// The clock of one task.
#[derive(Debug)]
pub struct TaskClock {
    /// In the order of [`Input`].
    inputs: [InputClock; 3],
}

#[derive(Clone, Copy, Debug)]
struct InputClock {
    /// None before the first arrival.
    highest: Option<Timestamp>,
    at_end: bool,
}

impl Default for TaskClock {
    fn default() -> TaskClock {
        TaskClock { inputs: [InputClock { highest: None, at_end: false }; 3] }
    }
}

impl TaskClock {
    /// An arrival of this time came from the input; one ahead of the wall clock counts as now.
    pub fn arrival(&mut self, input: Input, at: Timestamp, wall: Timestamp) {
        let clock = &mut self.inputs[input as usize];
        clock.highest = clock.highest.max(Some(at.min(wall)));
    }

    /// Whether the input has been read to its end.
    pub fn progress(&mut self, input: Input, at_end: bool) {
        self.inputs[input as usize].at_end = at_end;
    }

    /// The task's time; none while an input has told nothing, and so nothing may close.
    pub fn now(&self, wall: Timestamp) -> Option<Timestamp> {
        let time = |input: &InputClock| if input.at_end { Some(wall) } else { input.highest };
        self.inputs.iter().map(time).min().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Input::{Envelopes, Reports, Strays};

    const WALL: Timestamp = Timestamp(1_000);

    fn check(arrivals: &[(Input, i64)], at_end: &[Input], expect: Option<i64>) {
        let mut clock = TaskClock::default();
        for (input, at) in arrivals {
            clock.arrival(*input, Timestamp(*at), WALL);
        }
        for input in at_end {
            clock.progress(*input, true);
        }
        assert_eq!(clock.now(WALL), expect.map(Timestamp), "{arrivals:?} {at_end:?}");
    }

    #[test]
    fn a_backlog_holds_the_time_back_whichever_topic_is_read_first() {
        check(&[(Reports, 500)], &[], None);
        check(&[(Reports, 500)], &[Envelopes, Strays], Some(500));
        check(&[(Reports, 500), (Envelopes, 300)], &[Strays], Some(300));
        check(&[(Reports, 500), (Reports, 400)], &[Envelopes, Strays], Some(500));
    }

    #[test]
    fn an_idle_partition_has_the_wall_clock() {
        check(&[], &[Reports, Envelopes, Strays], Some(1_000));
        check(&[(Reports, 5)], &[Reports, Envelopes, Strays], Some(1_000));
    }

    #[test]
    fn an_arrival_from_the_future_counts_as_now() {
        check(&[(Reports, 5_000)], &[Envelopes, Strays], Some(1_000));
    }
}
