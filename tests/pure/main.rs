//! Tests without a broker: input → effects as data, and laws.

<<<<<<< HEAD
mod settings;
mod cli;
=======
#[path = "../support/mod.rs"]
mod support;

mod correlation_laws;
>>>>>>> main
