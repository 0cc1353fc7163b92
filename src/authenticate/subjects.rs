//! From the claims of a verified JWT to the caller that has them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::authenticate::jwt::{ClaimRule, Claims};
use crate::directory::Caller;
use crate::glob::NameGlob;
use crate::refusal::{CredentialFault, JwtFault};

/// Which JWTs are a caller's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtRule {
    /// The issuer, by its name in gateway.yaml.
    pub issuer: Arc<str>,
    /// The `sub`, as it was written: whole, or with `*`.
    pub subject: Box<str>,
    /// The same, compiled.
    pub glob: NameGlob,
    /// What else must hold.
    pub claims: Vec<ClaimRule>,
}

impl JwtRule {
    fn is_whole(&self) -> bool {
        !self.subject.contains('*')
    }

    /// Whether one JWT is known to be able to be both. Of two globs, and of claims that differ, it is
    /// not known: there it shows when such a JWT comes.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let subjects_meet = self.subject == other.subject
            || (self.is_whole() && other.glob.matches(&self.subject))
            || (other.is_whole() && self.glob.matches(&other.subject));
        self.issuer == other.issuer && self.claims == other.claims && subjects_meet
    }

    fn claims_match(&self, claims: &Claims) -> bool {
        self.claims.iter().all(|rule| rule.matches(claims))
    }
}

/// All rules, by issuer. Whole subjects cost the same however many there are; globs are tried one
/// by one.
#[derive(Debug, Default)]
pub(super) struct Subjects(HashMap<Arc<str>, OfIssuer>);

#[derive(Debug, Default)]
struct OfIssuer {
    whole: HashMap<Box<str>, Vec<Held>>,
    globs: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    rule: JwtRule,
    caller: Arc<Caller>,
}

impl Subjects {
    pub(super) fn add(&mut self, rule: &JwtRule, caller: &Arc<Caller>) {
        let issuer = self.0.entry(Arc::clone(&rule.issuer)).or_default();
        let held = Held { rule: rule.clone(), caller: Arc::clone(caller) };
        if rule.is_whole() {
            issuer.whole.entry(rule.subject.clone()).or_default().push(held);
        } else {
            issuer.globs.push(held);
        }
    }

    /// The one caller that has these claims. With several, nobody could say which is meant: that no
    /// rule is more special than another is what makes them safe to edit.
    pub(super) fn caller_of(&self, claims: &Claims) -> Result<&Arc<Caller>, CredentialFault> {
        let issuer = self.0.get(&claims.issuer).ok_or(JwtFault::Unknown)?;
        let whole = issuer.whole.get(&claims.subject).into_iter().flatten();
        let globs = issuer.globs.iter().filter(|held| held.rule.glob.matches(&claims.subject));
        let mut found = None;
        for Held { caller, .. } in whole.chain(globs).filter(|h| h.rule.claims_match(claims)) {
            match found {
                None => found = Some(caller),
                Some(other) if Arc::ptr_eq(other, caller) || other.name == caller.name => {}
                Some(_) => return Err(CredentialFault::Ambiguous),
            }
        }
        found.ok_or_else(|| JwtFault::Unknown.into())
    }
}
