//! The warnings: what is valid and likely does not do what was meant.

/// What a warning is about. Its word is what `check --allow` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Warning {
    /// An `allow_permanent` whose deletes a `deny` refuses all the same.
    BeatenAllow,
    /// A caller that is granted nothing.
    CallerWithoutTenants,
    /// A rule that excepts all that it is about.
    ExceptsEverything,
    /// A rule whose `until` is past.
    ExpiredRule,
    /// Something is frozen by two entries.
    FrozenTwice,
    /// A limit that another one is always used up before.
    LimitNeverReached,
    /// A condition that no caller or tenant of the configuration fulfils.
    MatchesNothing,
    /// A permanent delete that the policy may allow and the minted token cannot do.
    MintedGrant,
    /// A `user_id` that is forwarded with a token for which SMH heeds none.
    MintedUserId,
    /// A file of test cases without one.
    NoCases,
    /// A rule or limit about callers and tenants of which none is granted to another.
    NotGranted,
    /// A glob that looks like another kind of pattern.
    OddGlob,
    /// Several CAs, each of which can name any caller.
    SeveralClientCas,
    /// A rule that an earlier one always goes before.
    ShadowedRule,
    /// A space that is two tenants'.
    SharedSpace,
    /// A tenant that is granted to nobody.
    TenantWithoutCallers,
    /// `allow_permanent` rules while `permanent_deletes` is `deny`.
    UnheededAllow,
    /// A store that several gateways share, without how many they are.
    UnknownReplicas,
}

impl Warning {
    /// All of them, in the order of their words.
    pub const ALL: [Self; 18] = [
        Self::BeatenAllow,
        Self::CallerWithoutTenants,
        Self::ExceptsEverything,
        Self::ExpiredRule,
        Self::FrozenTwice,
        Self::LimitNeverReached,
        Self::MatchesNothing,
        Self::MintedGrant,
        Self::MintedUserId,
        Self::NoCases,
        Self::NotGranted,
        Self::OddGlob,
        Self::SeveralClientCas,
        Self::ShadowedRule,
        Self::SharedSpace,
        Self::TenantWithoutCallers,
        Self::UnheededAllow,
        Self::UnknownReplicas,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeatenAllow => "beaten-allow",
            Self::CallerWithoutTenants => "caller-without-tenants",
            Self::ExceptsEverything => "excepts-everything",
            Self::ExpiredRule => "expired-rule",
            Self::FrozenTwice => "frozen-twice",
            Self::LimitNeverReached => "limit-never-reached",
            Self::MatchesNothing => "matches-nothing",
            Self::MintedGrant => "minted-grant",
            Self::MintedUserId => "minted-user-id",
            Self::NoCases => "no-cases",
            Self::NotGranted => "not-granted",
            Self::OddGlob => "odd-glob",
            Self::SeveralClientCas => "several-client-cas",
            Self::ShadowedRule => "shadowed-rule",
            Self::SharedSpace => "shared-space",
            Self::TenantWithoutCallers => "tenant-without-callers",
            Self::UnheededAllow => "unheeded-allow",
            Self::UnknownReplicas => "unknown-replicas",
        }
    }
}
