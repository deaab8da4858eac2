#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};

fuzz_target!(init: mailjournal_fuzz::on_one_thread(), |input: &[u8]| {
    mailjournal_fuzz::in_linear_time(input.len(), || mailjournal_fuzz::laws::report::built(input));
});

fuzz_mutator!(|input: &mut [u8], size: usize, size_max: usize, seed: u32| {
    mailjournal_fuzz::mutated(input, size, size_max, seed)
});
