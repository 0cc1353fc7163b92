//! All rules of a policy, compiled.

use crate::policy::Subject;
use crate::policy::index::{Index, Known, Meant};
use crate::policy::rule::{Effect, Rule};

/// The rules, in the order of the file, and ready to be found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: Vec<Rule>,
    deny: Index,
    allow_permanent: Index,
}

impl Rules {
    /// Compiles rules, of which those on names are about the ones that are known.
    #[must_use]
    pub fn new(rules: Vec<Rule>, known: &Known<'_>) -> Self {
        let (mut deny, mut allow_permanent) = (Index::default(), Index::default());
        let mut meant = Meant::of(known);
        for (position, rule) in (0..).zip(&rules) {
            match rule.effect {
                Effect::Deny => deny.add(position, rule, &mut meant),
                Effect::AllowPermanent => allow_permanent.add(position, rule, &mut meant),
            }
        }
        Self { rules, deny, allow_permanent }
    }

    /// Every rule, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// How many rules have this effect.
    #[must_use]
    pub fn count(&self, effect: Effect) -> usize {
        self.rules.iter().filter(|rule| rule.effect == effect).count()
    }

    /// Those of an effect that may be about a delete, in the order of the file: all that are, and few
    /// that are not.
    pub(super) fn that_may_apply(
        &self,
        effect: Effect,
        subject: &Subject<'_>,
    ) -> impl Iterator<Item = &Rule> {
        let index = match effect {
            Effect::Deny => &self.deny,
            Effect::AllowPermanent => &self.allow_permanent,
        };
        let at = |position| usize::try_from(position).ok().and_then(|at| self.rules.get(at));
        index.candidates(subject).filter_map(at)
    }
}
