//! What several tests share.

pub mod pieces;
