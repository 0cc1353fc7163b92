//! Another configuration, put in force while the gateway runs.

/// What outlives it, and what does not.
mod state;
/// Minted tokens from one configuration to the next.
mod tokens;
