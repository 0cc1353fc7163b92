//! The token that SMH takes: the one secret that leaves the gateway, and only to SMH.

use crate::delete::encode_into;
use crate::secret::Secret;

/// An SMH access token (smh-api.md 3): opaque, powerful, and part of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: Secret,
    /// As it stands in a query: the same bytes, but for characters that SMH does not use so far.
    encoded: Secret,
}

impl AccessToken {
    /// A token as SMH or an operator gave it.
    #[must_use]
    pub fn new(text: Secret) -> Self {
        let mut encoded = Vec::with_capacity(text.expose().len() * 3);
        encode_into(&mut encoded, text.expose());
        Self { encoded: Secret::new(encoded), text }
    }

    /// For the `access_token` parameter, or a path.
    pub(crate) fn encoded(&self) -> &Secret {
        &self.encoded
    }

    /// For an `Authorization` field.
    pub(crate) fn text(&self) -> &Secret {
        &self.text
    }

    /// Whether these bytes hold the token, in either form and in upper or lower case.
    #[must_use]
    pub fn occurs_in(&self, bytes: &[u8]) -> bool {
        let holds = |secret: &Secret| {
            let secret = secret.expose();
            bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret))
        };
        holds(&self.text) || (self.encoded != self.text && holds(&self.encoded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_recognised_in_either_form() {
        let token = AccessToken::new(Secret::new(b"acctk/+1".to_vec()));
        assert!(token.occurs_in(b"x=acctk/+1&y"));
        assert!(token.occurs_in(b"x=acctk%2F%2B1&y"));
        assert!(!token.occurs_in(b"x=acctk/+"));
    }
}
