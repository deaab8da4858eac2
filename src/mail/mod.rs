//! What a mail is: its header fields, its parts as spans of the bytes that came, addresses, Message-IDs, and the key.
//! Pure: bytes in, values out.

pub mod address;
pub mod comments;
pub mod decode;
pub mod digest;
pub mod headers;
pub mod hex;
pub mod key;
pub mod lines;
pub mod parts;

pub use address::{Address, AddressKind};
pub use digest::Digest;
pub use key::{Guard, Key};
