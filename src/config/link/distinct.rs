//! That no two callers can be taken for each other, found without comparing each with all others:
//! there may be ten thousand.

use std::collections::BTreeMap;
use std::collections::hash_map::{Entry, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use crate::authenticate::jwt::ClaimRule;
use crate::authenticate::spiffe::SpiffePattern;
use crate::authenticate::{Credential, JwtRule, KeyDigest};
use crate::ids::CallerName;
use crate::secret::Source;

/// Keys and SPIFFE ids, each with the caller that has it.
#[derive(Default)]
pub(super) struct Presented<'g> {
    digests: HashMap<KeyDigest, &'g CallerName>,
    sources: HashMap<&'g Source, &'g CallerName>,
    spiffe_ids: SpiffeIds<'g>,
}

impl<'g> Presented<'g> {
    /// The first caller for whom who presents this could be taken. If there is none, it is this
    /// caller's from now on.
    pub(super) fn add(
        &mut self,
        credential: &'g Credential,
        caller: &'g CallerName,
    ) -> Option<&'g CallerName> {
        match credential {
            Credential::Digest(digest) => first(&mut self.digests, *digest, caller),
            Credential::Key(source) => first(&mut self.sources, source, caller),
            Credential::SpiffeId(pattern) => self.spiffe_ids.add(pattern, caller),
            // Rules about JWTs are told apart by `JwtRules`; of who comes from here, there is one.
            Credential::Jwt(_) | Credential::Loopback => None,
        }
    }
}

fn first<'g, K: Eq + Hash>(
    held: &mut HashMap<K, &'g CallerName>,
    key: K,
    caller: &'g CallerName,
) -> Option<&'g CallerName> {
    match held.entry(key) {
        Entry::Occupied(other) => Some(other.get()),
        Entry::Vacant(nobodys) => {
            nobodys.insert(caller);
            None
        }
    }
}

/// Patterns of which no two overlap, and the order in which they came.
///
/// Each stands as its text up to the `*`: what ends in a slash is all that begins with it. In the
/// order of their bytes, whatever is below a pattern follows right behind it.
#[derive(Default)]
struct SpiffeIds<'g>(BTreeMap<String, (usize, &'g CallerName)>);

impl<'g> SpiffeIds<'g> {
    fn add(&mut self, pattern: &SpiffePattern, caller: &'g CallerName) -> Option<&'g CallerName> {
        let text = pattern.to_string().trim_end_matches('*').to_owned();
        let is_above = |upper: &str, lower: &str| upper.ends_with('/') && lower.starts_with(upper);
        let before = self.0.range::<String, _>(..=&text).next_back();
        let above = before.filter(|(held, _)| **held == text || is_above(held, &text));
        let below =
            self.0.range::<String, _>(&text..).take_while(|(held, _)| is_above(&text, held));
        let found = above.into_iter().chain(below).min_by_key(|(_, (order, _))| *order);
        if let Some((_, (_, other))) = found {
            return Some(other);
        }
        self.0.insert(text, (self.0.len(), caller));
        None
    }
}

/// Rules about JWTs, each with its caller.
#[derive(Default)]
pub(super) struct JwtRules<'g> {
    alike: HashMap<(Arc<str>, Vec<ClaimRule>), Alike<'g>>,
    count: usize,
}

/// Rules with the same issuer and the same claims: only such can be told to be both.
#[derive(Default)]
struct Alike<'g> {
    /// With the same subject, word for word: of the first two callers one each.
    by_subject: HashMap<Box<str>, Vec<Held<'g>>>,
    whole: Vec<Held<'g>>,
    globs: Vec<Held<'g>>,
}

#[derive(Clone)]
struct Held<'g> {
    order: usize,
    caller: &'g CallerName,
    rule: JwtRule,
}

impl<'g> JwtRules<'g> {
    /// The first other caller that one JWT is known to be able to be of, too. The rule is this
    /// caller's from now on.
    pub(super) fn add(&mut self, rule: &JwtRule, caller: &'g CallerName) -> Option<&'g CallerName> {
        let kind = (Arc::clone(&rule.issuer), rule.claims.clone());
        let Alike { by_subject, whole, globs } = self.alike.entry(kind).or_default();
        let (own_kind, other_kind) = match rule.glob.literal() {
            Some(_) => (whole, &*globs),
            None => (globs, &*whole),
        };
        let same = by_subject.entry(rule.subject.clone()).or_default();
        let first = |held: &[Held<'g>]| {
            let meets = |held: &&Held<'g>| held.caller != caller && held.rule.meets(rule);
            held.iter().find(meets).map(|held| (held.order, held.caller))
        };
        let found = [first(same), first(other_kind)].into_iter().flatten();
        let found = found.min_by_key(|(order, _)| *order).map(|(_, caller)| caller);
        let held = Held { order: self.count, caller, rule: rule.clone() };
        self.count += 1;
        if same.len() < 2 && same.iter().all(|other| other.caller != caller) {
            same.push(held.clone());
        }
        own_kind.push(held);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::NameGlob;
    use proptest::prelude::*;

    fn callers() -> Vec<CallerName> {
        ["a", "b", "c"].map(|name| CallerName::try_from(name).unwrap()).into()
    }

    /// Compares with every one that was taken, in their order.
    fn overlapped(
        credential: &Credential,
        taken: &[(Credential, CallerName)],
    ) -> Option<CallerName> {
        let overlap = |other: &Credential| match (other, credential) {
            (Credential::SpiffeId(one), Credential::SpiffeId(other)) => {
                one.covers(other) || other.covers(one)
            }
            _ => other == credential,
        };
        taken.iter().find(|(other, _)| overlap(other)).map(|(_, name)| name.clone())
    }

    fn any_credential() -> impl Strategy<Value = Credential> {
        prop_oneof![
            1 => "[ab]".prop_map(|key| Credential::Digest(KeyDigest::of(key.as_bytes()))),
            1 => "[ab]".prop_map(|path| Credential::Key(Source::File(path.into()))),
            4 => "spiffe://d(/[ab.-]{1,2}){0,3}(/\\*|/a)".prop_filter_map("no id", |text| {
                SpiffePattern::try_from(text.as_str()).ok().map(Credential::SpiffeId)
            }),
        ]
    }

    fn any_rule() -> impl Strategy<Value = JwtRule> {
        let claim = |glob: String| ClaimRule {
            name: "group".to_owned(),
            glob: NameGlob::try_from(glob.as_str()).unwrap(),
        };
        let claims = prop::collection::vec("[xy]".prop_map(claim), 0..2);
        ("[ij]", "[ab*]{1,3}", claims).prop_map(|(issuer, subject, claims)| JwtRule {
            issuer: issuer.as_str().into(),
            subject: subject.as_str().into(),
            glob: NameGlob::try_from(subject.as_str()).unwrap(),
            claims,
        })
    }

    proptest! {
        #[test]
        fn the_first_that_overlaps_is_found_as_if_each_had_been_compared(
            credentials in prop::collection::vec((any_credential(), 0..3_usize), 0..24),
        ) {
            let callers = callers();
            let (mut presented, mut taken) = (Presented::default(), Vec::new());
            for (credential, caller) in &credentials {
                let wanted = overlapped(credential, &taken);
                prop_assert_eq!(presented.add(credential, &callers[*caller]), wanted.as_ref());
                if wanted.is_none() {
                    taken.push((credential.clone(), callers[*caller].clone()));
                }
            }
        }

        #[test]
        fn the_first_rule_of_another_caller_is_found_as_if_each_had_been_compared(
            rules in prop::collection::vec((any_rule(), 0..3_usize), 0..24),
        ) {
            let callers = callers();
            let (mut known, mut held) = (JwtRules::default(), Vec::new());
            for (rule, caller) in &rules {
                let caller = &callers[*caller];
                let others = held.iter().filter(|(_, other)| *other != caller);
                let wanted = others.into_iter().find(|(held, _): &&(&JwtRule, _)| held.meets(rule));
                prop_assert_eq!(known.add(rule, caller), wanted.map(|(_, caller)| *caller));
                held.push((rule, caller));
            }
        }
    }
}
