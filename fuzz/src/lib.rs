//! What the fuzz targets share: the laws, which the project's own tests hold too, and a law of cost that only a
//! fuzzer's patience can hold.

#[path = "../../tests/support/laws/mod.rs"]
pub mod laws;

use std::time::{Duration, Instant};

/// Turns use every core; here they stay on the fuzzer's thread, so that an input's coverage and time are its own.
pub fn on_one_thread() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    pool.build_global().expect("nothing has used the pool yet");
}

/// Beside what is linear: apache-avro, which our own reader is held against, makes room for what a length claims.
const FIXED: Duration = Duration::from_millis(100);

/// About ten times what the slowest law takes a byte, instrumented.
const A_BYTE: Duration = Duration::from_micros(10);

/// The work's time is linear in the bytes. A busy machine makes everything slow by the clock: what counts is the time on
/// a processor, which is asked only where the clock raises a doubt.
pub fn in_linear_time(bytes: usize, work: impl Fn()) {
    let bound = FIXED + A_BYTE * u32::try_from(bytes).expect("a fuzzer's input");
    let started = Instant::now();
    work();
    let is_slow = started.elapsed() > bound && (0..3).all(|_| on_processor(&work) > bound);
    assert!(!is_slow, "{bytes} bytes take longer than {bound:?}");
}

/// The work's time on a processor, as Linux tells it (`schedstat` in proc(5)); elsewhere nothing is slow.
fn on_processor(work: impl Fn()) -> Duration {
    let so_far = || {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    };
    let before = so_far();
    work();
    so_far().zip(before).map_or(Duration::ZERO, |(after, before)| after - before)
}

/// Half of the changes keep JSON what it is, where there is any; the others are the fuzzer's own.
pub fn mutated(input: &mut [u8], size: usize, size_max: usize, seed: u32) -> usize {
    let changed = if seed % 2 == 0 { laws::json::changed(&input[..size], seed.into()) } else { None };
    match changed.filter(|changed| changed.len() <= size_max) {
        Some(changed) => {
            input[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        None => libfuzzer_sys::fuzzer_mutate(input, size, size_max),
    }
}
