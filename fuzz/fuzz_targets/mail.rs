#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(init: mailjournal_fuzz::on_one_thread(), |input: &[u8]| {
    mailjournal_fuzz::in_linear_time(input.len(), || mailjournal_fuzz::laws::evidence::mail(input));
});
