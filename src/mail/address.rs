//! Addresses as mail servers write them: SMTP, X.500 (`[EX:…]`, IMCEAEX), and what is neither.

use serde::{Deserialize, Serialize};

/// What kind of name an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AddressKind {
    Smtp,
    X500,
    Other,
}

/// An address as it was spelled, without display name, angle brackets or `SMTP:`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address {
    pub kind: AddressKind,
    pub text: String,
}

impl Address {
    pub fn compare_key(&self) -> String {
        compare_key(&self.text)
    }
}

/// What two spellings of one address share: Exchange compares local parts without regard to case, and so do X.500 names.
pub fn compare_key(text: &str) -> String {
    text.to_lowercase()
}
