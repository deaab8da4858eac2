//! What must hold of any bytes at all that come in at an edge, one law an edge. Each law is a function of the bytes that
//! panics where it is broken: `fuzz/` drives it by coverage, `tests/pure/fuzzed.rs` by mutated fixtures.

pub mod changelog;
pub mod evidence;
pub mod folder;
pub mod halves;
pub mod json;
pub mod lying;
pub mod report;
pub mod settings;
pub mod stage;
pub mod values;

use memchr::memmem;

/// Stands between the parts of an input that has several.
pub const BETWEEN: &[u8] = b"\n%%\n";

/// The parts of an input.
pub fn parts(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = memmem::find(rest, BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}
