//! What this process has of memory and time.

use std::{fs, time::Instant};

pub struct Memory {
    at_the_beginning: u64,
    since: Instant,
}

impl Memory {
    /// What is there from here on counts as given.
    pub fn begin() -> Memory {
        let memory = Memory { at_the_beginning: resident("VmRSS:"), since: Instant::now() };
        forget_peak();
        memory
    }

    /// Says what the time since the last word has needed.
    pub fn tell(&mut self, what: &str, says: String) {
        let (now, peak) = (resident("VmRSS:"), resident("VmHWM:"));
        println!(
            "  {what}: {:.1} s; {now} MiB resident, {peak} at most, {} at the beginning; {says}",
            self.since.elapsed().as_secs_f64(),
            self.at_the_beginning
        );
        forget_peak();
        self.since = Instant::now();
    }
}

/// A line of `/proc/self/status`, in MiB.
fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let found = status.lines().find_map(|found| found.strip_prefix(line)).expect("a line of every process");
    let kib: u64 = found.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}
