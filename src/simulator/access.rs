//! Who is asking, and what may it do: the checks that come before every operation.

use crate::simulator::behaviour::{
    Behaviour, CredentialPlaces, ForeignToken, LibraryWideTokens, SoftDeleteGrants,
};
use crate::simulator::clock::Moment;
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::library::Tenancy;
use crate::simulator::target::Query;
use crate::simulator::tokens::Token;
use crate::simulator::world::World;

/// A credential as it was presented, not yet looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Token(String),
    LibrarySecret(String),
}

/// What a good credential allows.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// `None`: the library secret, which allows everything.
    token: Option<Holder>,
}

#[derive(Clone, Debug)]
struct Holder {
    spaces: Option<Vec<String>>,
    grants: Vec<String>,
    user_id: Option<String>,
}

impl Credential {
    /// The credential of a request. The query's token comes first, then the header's, then the
    /// secret: SMH's own order is not known.
    ///
    /// # Errors
    /// `400 EmptyAccessToken` if there is none in a place that is switched on.
    pub(crate) fn find(
        places: CredentialPlaces,
        query: &Query,
        authorization: Option<&str>,
    ) -> Result<Self, ApiError> {
        let token = query.text("access_token").filter(|_| places.query_token);
        let bearer = authorization
            .filter(|_| places.bearer_token)
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .filter(|token| !token.is_empty());
        let secret = query.text("library_secret").filter(|_| places.library_secret);
        match (token.or(bearer), secret) {
            (Some(token), _) => Ok(Self::Token(token.to_owned())),
            (None, Some(secret)) => Ok(Self::LibrarySecret(secret.to_owned())),
            (None, None) => Err(Code::EmptyAccessToken.into()),
        }
    }

    /// Checks the credential against a library that exists. A good token is renewed by this use.
    ///
    /// # Errors
    /// 403 for a token that is unknown, expired or of another library; `404 WrongLibraryIdOrSecret`
    /// for a secret.
    pub(crate) fn verify(
        &self,
        world: &mut World,
        library: &str,
        now: Moment,
    ) -> Result<Access, ApiError> {
        match self {
            Self::Token(value) => {
                let foreign = world.behaviour.foreign_token;
                let token = world.tokens.use_token(value, now).ok_or(Code::InvalidAccessToken)?;
                if token.library != library {
                    return Err(match foreign {
                        ForeignToken::InvalidAccessToken => Code::InvalidAccessToken,
                        ForeignToken::AccessTokenNotMatchLibrary => {
                            Code::AccessTokenNotMatchLibrary
                        }
                    }
                    .into());
                }
                Ok(Access::of(token))
            }
            Self::LibrarySecret(secret) if *secret == world.library(library)?.secret => {
                Ok(Access { token: None })
            }
            Self::LibrarySecret(_) => Err(Code::WrongLibraryIdOrSecret.into()),
        }
    }
}

impl Access {
    fn of(token: &Token) -> Self {
        let holder = Holder {
            spaces: token.spaces.clone(),
            grants: token.grants.clone(),
            user_id: token.user_id.clone(),
        };
        Self { token: Some(holder) }
    }

    /// Whether the credential opens this space.
    ///
    /// # Errors
    /// `403 AccessTokenNotMatchSpace`.
    pub(crate) fn check_space(
        &self,
        space: &str,
        tenancy: Tenancy,
        behaviour: &Behaviour,
    ) -> Result<(), ApiError> {
        let Some(holder) = &self.token else { return Ok(()) };
        let opens = match &holder.spaces {
            Some(spaces) => spaces.iter().any(|name| name == space),
            None => match (behaviour.library_wide_tokens, tenancy) {
                (LibraryWideTokens::EverySpace, _) | (_, Tenancy::Single) => true,
                (LibraryWideTokens::AdminOnly, Tenancy::Multi) => holder.has("admin"),
            },
        };
        if opens { Ok(()) } else { Err(Code::AccessTokenNotMatchSpace.into()) }
    }

    /// Whether the credential may do something in its space: `admin` and `space_admin` always may.
    ///
    /// # Errors
    /// `403 NoPermission`.
    pub(crate) fn require_in_space(&self, grants: &[&str]) -> Result<(), ApiError> {
        self.require(&["admin", "space_admin"], grants)
    }

    /// Whether the credential may do something to the spaces of its library: `admin` always may.
    ///
    /// # Errors
    /// `403 NoPermission`.
    pub(crate) fn require_in_library(&self, grant: &str) -> Result<(), ApiError> {
        self.require(&["admin"], &[grant])
    }

    /// Whether the credential may put something (`plain` is `delete_file` or `delete_directory`)
    /// into the recycle bin.
    ///
    /// # Errors
    /// `403 NoPermission`.
    pub(crate) fn require_soft_delete(
        &self,
        plain: &str,
        permanent: &str,
        rule: SoftDeleteGrants,
    ) -> Result<(), ApiError> {
        match rule {
            SoftDeleteGrants::PlainOnly => self.require_in_space(&[plain]),
            SoftDeleteGrants::PlainOrPermanent => self.require_in_space(&[plain, permanent]),
        }
    }

    /// In whose name an operation is done. The `user_id` parameter counts only for an admin without
    /// a user of its own.
    pub(crate) fn acting_user(&self, parameter: Option<&str>) -> Option<String> {
        let own = self.token.as_ref().and_then(|holder| holder.user_id.clone());
        let may_choose = self
            .token
            .as_ref()
            .is_none_or(|holder| holder.user_id.is_none() && holder.has("admin"));
        own.or_else(|| parameter.filter(|_| may_choose).map(str::to_owned))
    }

    fn require(&self, always: &[&str], grants: &[&str]) -> Result<(), ApiError> {
        let Some(holder) = &self.token else { return Ok(()) };
        if always.iter().chain(grants).any(|grant| holder.has(grant)) {
            Ok(())
        } else {
            Err(Code::NoPermission.into())
        }
    }
}

impl Holder {
    fn has(&self, grant: &str) -> bool {
        self.grants.iter().any(|held| held == grant)
    }
}
