//! What a verified token says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::LEEWAY;
use super::issuer::Terms;
use crate::glob::NameGlob;
use crate::refusal::JwtFault;

/// The claims of a token whose signature is right.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// The issuer's name in the configuration.
    pub issuer: Arc<str>,
    /// `sub`, never empty.
    pub subject: Box<str>,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// `nbf`, in seconds since 1970.
    pub not_before: Option<u64>,
    /// Always an object.
    all: Value,
}

impl Claims {
    /// Takes what was signed at its word, as far as it is for us.
    pub(super) fn read(issuer: &Terms, members: Map<String, Value>) -> Result<Self, JwtFault> {
        is_for(&issuer.audiences, members.get("aud"))?;
        let expires = members.get("exp").ok_or(JwtFault::Expired).and_then(seconds)?;
        let not_before = members.get("nbf").map(seconds).transpose()?;
        let subject = match members.get("sub") {
            Some(Value::String(subject))
                if !subject.is_empty() && !subject.contains(char::is_control) =>
            {
                (**subject).into()
            }
            _ => return Err(JwtFault::Subject),
        };
        let issuer = Arc::clone(&issuer.name);
        Ok(Self { issuer, subject, expires, not_before, all: Value::Object(members) })
    }

    /// A claim by its name, or by a JSON Pointer (RFC 6901) if that begins with a slash.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        if name.starts_with('/') { self.all.pointer(name) } else { self.all.get(name) }
    }

    /// That it is valid at this time, in seconds since 1970. From `exp` on it is not.
    pub(super) fn at(&self, now: u64) -> Result<(), JwtFault> {
        let leeway = LEEWAY.as_secs();
        if now >= self.expires.saturating_add(leeway) {
            Err(JwtFault::Expired)
        } else if self.not_before.is_some_and(|start| now.saturating_add(leeway) < start) {
            Err(JwtFault::NotYet)
        } else {
            Ok(())
        }
    }
}

fn is_for(audiences: &[String], claim: Option<&Value>) -> Result<(), JwtFault> {
    let ours = |audience: &str| audiences.iter().any(|ours| ours == audience);
    let found = match claim {
        None => false,
        Some(Value::String(audience)) => ours(audience),
        Some(Value::Array(claimed)) => {
            let claimed: Option<Vec<_>> = claimed.iter().map(Value::as_str).collect();
            claimed.ok_or(JwtFault::Claim)?.into_iter().any(ours)
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(JwtFault::Claim);
        }
    };
    if found { Ok(()) } else { Err(JwtFault::Audience) }
}

/// A `NumericDate`, without its fraction. A text is none, however much it looks like one.
fn seconds(claim: &Value) -> Result<u64, JwtFault> {
    let fractional = |date| Duration::try_from_secs_f64(date).ok().map(|date| date.as_secs());
    claim.as_u64().or_else(|| claim.as_f64().and_then(fractional)).ok_or(JwtFault::Claim)
}

/// What a claim must be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClaimRule {
    /// As [`Claims::claim`] understands it.
    pub name: String,
    /// What the claim must match, or one of its members if it is an array.
    pub glob: NameGlob,
}

impl ClaimRule {
    /// Whether the claim is there and matches.
    #[must_use]
    pub fn matches(&self, claims: &Claims) -> bool {
        match claims.claim(&self.name) {
            Some(Value::Array(members)) => members.iter().any(|member| self.matches_one(member)),
            Some(claim) => self.matches_one(claim),
            None => false,
        }
    }

    fn matches_one(&self, claim: &Value) -> bool {
        match claim {
            Value::String(text) => self.glob.matches(text),
            Value::Number(_) | Value::Bool(_) => self.glob.matches(&claim.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }
}
