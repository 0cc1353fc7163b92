//! The warnings: what is valid and likely does not do what was meant.

/// Makes the enum, the list of all and their words of one table: none can be left out of another.
macro_rules! warnings {
    ($($(#[$about:meta])+ $name:ident = $word:literal,)+) => {
        /// What a warning is about. Its word is what `check --allow` takes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Warning {
            $($(#[$about])+ $name,)+
        }

        impl Warning {
            /// All of them, in the order of their words.
            pub const ALL: [Self; [$(Self::$name),+].len()] = [$(Self::$name),+];

            /// The word for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }

        /// By its word.
        impl TryFrom<&str> for Warning {
            type Error = &'static str;

            fn try_from(word: &str) -> Result<Self, Self::Error> {
                match word {
                    $($word => Ok(Self::$name),)+
                    _ => Err("it is the word of no warning"),
                }
            }
        }
    };
}

warnings! {
    /// An `allow_permanent` whose deletes a `deny` refuses all the same.
    BeatenAllow = "beaten-allow",
    /// A caller that is granted nothing.
    CallerWithoutTenants = "caller-without-tenants",
    /// A rule that excepts all that it is about.
    ExceptsEverything = "excepts-everything",
    /// A rule whose `until` is past.
    ExpiredRule = "expired-rule",
    /// Something is frozen by two entries.
    FrozenTwice = "frozen-twice",
    /// A limit that another one is always used up before.
    LimitNeverReached = "limit-never-reached",
    /// A condition that no caller or tenant of the configuration fulfils.
    MatchesNothing = "matches-nothing",
    /// A permanent delete that the policy may allow and the minted token cannot do.
    MintedGrant = "minted-grant",
    /// A `user_id` that is forwarded with a token for which SMH heeds none.
    MintedUserId = "minted-user-id",
    /// A file of test cases without one.
    NoCases = "no-cases",
    /// A rule or limit about callers and tenants of which none is granted to another.
    NotGranted = "not-granted",
    /// A glob that looks like another kind of pattern.
    OddGlob = "odd-glob",
    /// Several CAs, each of which can name any caller.
    SeveralClientCas = "several-client-cas",
    /// A rule that an earlier one always goes before.
    ShadowedRule = "shadowed-rule",
    /// A space that is two tenants'.
    SharedSpace = "shared-space",
    /// A tenant that is granted to nobody.
    TenantWithoutCallers = "tenant-without-callers",
    /// More rules or limits than are compared with each other.
    TooManyToCompare = "too-many-to-compare",
    /// `allow_permanent` rules while `permanent_deletes` is `deny`.
    UnheededAllow = "unheeded-allow",
    /// A store that several gateways share, without how many they are.
    UnknownReplicas = "unknown-replicas",
}
