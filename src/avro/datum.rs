//! Avro data (Avro specification, "Binary Encoding") straight from and into our shapes, without looking at a schema: each
//! shape has the fields, symbols and branches of its newest schema in their order, and every optional field is the union
//! of null and its type. apache-avro asks the schema about each value, which cost a seventh of all processor time in
//! writing, and most of it in restoring. Where assertions are on, as in the tests of the rooms, every value is compared
//! with what it writes and reads.

mod read;
mod write;

pub use read::read;
pub use write::write;

/// A type that no schema of ours has, or bytes that are no value of the type.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(String);
