//! Maps that each delete looks into.
//!
//! SipHash, which the standard library takes, withstands who fills a map with keys of their choice. These are
//! filled by who writes the configuration, and callers only look. Keyed with random numbers all the same.

use std::collections::HashMap;

/// A map that callers do not fill.
pub type FastMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;
