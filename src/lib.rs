//! An authenticating, token-injecting gateway for file deletes on Tencent Smart Media Hosting.
//!
//! The modules stand in the order of a delete's journey, and each imports only from those above it:
//! `tests/it/architecture.rs` holds them to that. Start reading at `journey`.

// The words everything else is said in.
pub mod files;
pub mod secret;
pub mod ids;
pub mod refusal;
pub mod origin;
pub mod tally;
pub mod fast_map;
mod byte_set;
mod header_fields;
pub mod glob;

// What a delete is, who asks for it, and what decides.
pub mod delete;
pub mod directory;
pub mod authenticate;
pub mod policy;
pub mod limits;
pub mod places;

// What is seen of it.
pub mod log;
pub mod journal;
pub mod metrics;
pub mod audit;

// What gateways share.
pub mod limit_store;

// SMH and back.
pub mod access_token;
pub mod upstream;
pub mod token;
pub mod issuer_keys;
pub mod relay;
pub mod traces;
pub mod alarms;
pub mod glance;

// Where callers come in.
pub mod listener;

// The files that operators write.
pub mod config;

// Why they say what they say.
pub mod explain;

// What became of deletes, and what would become of them now.
pub mod listing;
pub mod replay;

// The machinery.
pub mod complaints;
pub mod gateway;
pub mod limit_state;
pub mod reload;
mod journey;
pub mod server;
pub mod admin;
pub mod run;
pub mod sandbox;
pub mod doctor;
pub mod undo;

// Stands apart: shares no code with the rest, so that no mistake is shared either.
pub mod simulator;
