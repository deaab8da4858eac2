//! Faults that a test orders: `MAILJOURNAL_TEST_FAULT=ACTION:PHASE:NUMBER,…` has the process do something the
//! NUMBERth time it passes a phase of a turn. Not set, as always outside of tests, it costs a comparison.

use std::{
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

use super::next_step::{Cause, NextStep, Trouble};
use crate::limits;

pub const VARIABLE: &str = "MAILJOURNAL_TEST_FAULT";

/// The phases of a restore and of a turn, in order; each of a turn is passed when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before what an instance that is gone had begun is ended.
    Orphaned,
    Gathered,
    Built,
    Begun,
    Sent,
    Positioned,
    Flushed,
    Committed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Fail so that the transaction is aborted.
    Abort,
    /// Fail so that what became of the transaction is unknown.
    Doubt,
    /// End the process on the spot.
    Kill,
    /// Not come back in any time that is waited for, as a call into the Kafka client that hangs.
    Hang,
}

struct Fault {
    action: Action,
    phase: Phase,
    left: AtomicU64,
}

#[derive(Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Reads the variable's text.
    pub fn parse(text: &str) -> Result<Faults, String> {
        let faults: Option<Vec<Fault>> = text.split(',').filter(|part| !part.is_empty()).map(fault).collect();
        faults.map(Faults).ok_or_else(|| format!("{VARIABLE}={text} is not ACTION:PHASE:NUMBER,…"))
    }

    pub fn pass(&self, phase: Phase) -> Result<(), Trouble> {
        let mut struck = None;
        for fault in self.0.iter().filter(|fault| fault.phase == phase) {
            // Each phase is passed by one thread alone.
            let left = fault.left.load(Ordering::Relaxed);
            fault.left.store(left.saturating_sub(1), Ordering::Relaxed);
            if left == 1 {
                struck = Some(fault.action);
            }
        }
        let why = || format!("a test ordered it ({phase:?})");
        match struck {
            None => Ok(()),
            Some(Action::Abort) => Err(Trouble::abort(why())),
            Some(Action::Doubt) => Err(Trouble::new(NextStep::StartAnew, Cause::Other, why())),
            Some(Action::Kill) => std::process::abort(),
            Some(Action::Hang) => {
                std::thread::sleep(3 * limits::TURN_WRITE_MAX);
                Err(Trouble::abort(why()))
            }
        }
    }
}

impl Faults {
    /// Passes a phase only where something happens in it.
    pub fn pass_if(&self, happens: bool, phase: Phase) -> Result<(), Trouble> {
        if happens { self.pass(phase) } else { Ok(()) }
    }
}

fn fault(text: &str) -> Option<Fault> {
    let mut parts = text.split(':');
    let (action, phase, number) = (parts.next()?, parts.next()?, parts.next()?);
    let action = match action {
        "abort" => Action::Abort,
        "doubt" => Action::Doubt,
        "kill" => Action::Kill,
        "hang" => Action::Hang,
        _ => return None,
    };
    let phase = match phase {
        "orphaned" => Phase::Orphaned,
        "gathered" => Phase::Gathered,
        "built" => Phase::Built,
        "begun" => Phase::Begun,
        "sent" => Phase::Sent,
        "positioned" => Phase::Positioned,
        "flushed" => Phase::Flushed,
        "committed" => Phase::Committed,
        _ => return None,
    };
    Some(Fault { action, phase, left: AtomicU64::new(u64::from_str(number).ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_at_its_number_and_once() {
        let faults = Faults::parse("abort:sent:2,doubt:sent:3").expect("good");
        let struck: Vec<Option<NextStep>> = (0..4).map(|_| faults.pass(Phase::Sent).err().map(|t| t.next)).collect();
        assert_eq!(struck, [None, Some(NextStep::Abort), Some(NextStep::StartAnew), None]);
        assert!(faults.pass(Phase::Begun).is_ok());
    }

    #[test]
    fn what_is_no_fault_is_said() {
        assert!(Faults::parse("abort:nowhere:1").is_err());
        assert!(Faults::parse("").expect("none").pass(Phase::Sent).is_ok());
    }
}
