//! Tests without a broker: input → effects as data, and laws.

mod corpus;
mod evidence_forms;
mod evidence_hostile;
mod evidence_laws;
mod evidence_words;
