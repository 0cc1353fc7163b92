//! JSON Schemas (draft 2020-12) of the files that operators write, for their editors.
//!
//! A schema tells form alone: whether a name is known, and what must hold between fields far apart,
//! is said by `check`. Keywords that draft 7 does not know are left out, because many editors know
//! no later draft. `tests/it/schema/` holds the schemas to the decoders.

/// A file that has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// gateway.yaml.
    Gateway,
    /// policy.yaml.
    Policy,
    /// A file of policy test cases.
    Cases,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gateway, Self::Policy, Self::Cases];

    /// The word for it on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Policy => "policy",
            Self::Cases => "cases",
        }
    }

    /// Its JSON Schema, as text that ends in a newline.
    #[must_use]
    pub const fn schema(self) -> &'static str {
        match self {
            Self::Gateway => include_str!("gateway.json"),
            Self::Policy => include_str!("policy.json"),
            Self::Cases => include_str!("cases.json"),
        }
    }
}
