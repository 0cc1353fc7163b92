//! The token that SMH takes: the one secret that leaves the gateway, and only to SMH.

use crate::delete::encode_into;
use crate::secret::Secret;

/// An SMH access token (smh-api.md 3): opaque, powerful, and part of a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    text: Secret,
    /// As it stands in a query, where that is not the same: SMH's own tokens need no escapes so far.
    escaped: Option<Secret>,
}

impl AccessToken {
    /// A token as SMH or an operator gave it.
    #[must_use]
    pub fn new(text: Secret) -> Self {
        let mut encoded = Vec::with_capacity(text.expose().len() * 3);
        encode_into(&mut encoded, text.expose());
        let encoded = Secret::new(encoded);
        Self { escaped: (encoded != text).then_some(encoded), text }
    }

    /// For the `access_token` parameter, or a path.
    pub(crate) fn encoded(&self) -> &Secret {
        self.escaped.as_ref().unwrap_or(&self.text)
    }

    /// For an `Authorization` field.
    pub(crate) fn text(&self) -> &Secret {
        &self.text
    }

    /// Whether these bytes hold the token, in either form and in upper or lower case.
    #[must_use]
    #[inline]
    pub fn occurs_in(&self, bytes: &[u8]) -> bool {
        // Most fields are shorter than any token. The escaped form is the longer one.
        bytes.len() >= self.text.expose().len() && self.is_found_in(bytes)
    }

    fn is_found_in(&self, bytes: &[u8]) -> bool {
        let holds = |secret: &Secret| {
            let secret = secret.expose();
            bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret))
        };
        holds(&self.text) || self.escaped.as_ref().is_some_and(holds)
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
