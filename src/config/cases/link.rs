//! What the names in test cases refer to. A misspelt one must not let a case pass: who expects
//! `deny` would be content with a caller, a tenant or a path that nobody has.

use std::collections::BTreeSet;

use super::{Bench, Case, Expected};
use crate::config::cases_file;
use crate::config::report::{Problem, Report};
use crate::config::shown;
use crate::config::source::Spanned;
use crate::ids::RuleName;
use crate::policy::{Effect, Hypothetical};
use crate::refusal::Code;

/// `None` where a case is missing or a name is not known.
pub(super) fn link(
    written: Vec<Option<cases_file::Case>>,
    bench: &Bench<'_>,
    report: &mut Report,
) -> Option<Vec<Case>> {
    let known = Known { callers: bench.caller_names(), tenants: bench.tenant_names(), bench };
    // Collecting into an `Option` would stop at the first mistake.
    let linked: Vec<_> = (1..)
        .zip(written)
        .map(|(position, case)| case.and_then(|case| known.case(position, case, report)))
        .collect();
    linked.into_iter().collect()
}

struct Known<'b> {
    callers: BTreeSet<&'b str>,
    tenants: BTreeSet<&'b str>,
    bench: &'b Bench<'b>,
}

impl Known<'_> {
    fn case(&self, position: usize, case: cases_file::Case, report: &mut Report) -> Option<Case> {
        let cases_file::Case { place, name, request, expected } = case;
        let expected = self.expected(expected, report);
        let code = expected.as_ref().and_then(Expected::code);
        let cases_file::Request { caller, tenant, path, mode, user_id, at } = request;
        let (path_place, user_place) = (path.place, user_id.as_ref().map(|user| user.place));
        let caller =
            known("caller", caller, &self.callers, code == Some(Code::Unauthenticated), report);
        let tenant =
            known("tenant", tenant, &self.tenants, code == Some(Code::TenantNotGranted), report);
        let asked = Hypothetical {
            caller: caller?,
            tenant: tenant?,
            path: path.value,
            mode,
            user_id: user_id.map(|user| user.value),
        };
        if let Err(refusal) = asked.delete()
            && code != Some(refusal.code())
        {
            let of_user = refusal.code() == Code::InvalidQuery;
            let place = user_place.filter(|_| of_user).unwrap_or(path_place);
            let what = if of_user {
                "is no user id"
            } else if refusal.code() == Code::TargetTooLong {
                "makes too long a target, percent-encoded"
            } else {
                "names no file"
            };
            let given = asked.user_id.as_ref().filter(|_| of_user).unwrap_or(&asked.path);
            let message = format!("{} {what}: {refusal}", shown::quoted(given));
            let help =
                format!("to test that it is refused, expect `code: {}`", refusal.code().name());
            report.push(Problem::error(place, message).with_help(help));
            return None;
        }
        Some(Case { name, position, place, asked, at, expected: expected? })
    }

    fn expected(&self, written: cases_file::Expected, report: &mut Report) -> Option<Expected> {
        Some(match written {
            cases_file::Expected::Allow { rule } => {
                Expected::Allow { rule: self.rule(rule, Effect::AllowPermanent, report)? }
            }
            cases_file::Expected::Deny { code, rule } => {
                Expected::Deny { code, rule: self.rule(rule, Effect::Deny, report)? }
            }
        })
    }

    /// `None` after a problem; `Some(None)` where no rule is named.
    #[expect(clippy::option_option, reason = "one is about the text, the other about its meaning")]
    fn rule(
        &self,
        rule: Option<Spanned<String>>,
        effect: Effect,
        report: &mut Report,
    ) -> Option<Option<RuleName>> {
        let Some(Spanned { place, value }) = rule else { return Some(None) };
        let rules = || self.bench.policy.rules.iter();
        match rules().find(|rule| rule.cited.rule.as_str() == value) {
            Some(rule) if rule.effect == effect => Some(Some(rule.cited.rule.clone())),
            Some(rule) => {
                let (is, not) = match effect {
                    Effect::Deny => ("an `allow_permanent`", "denies nothing"),
                    Effect::AllowPermanent => ("a `deny`", "lets nothing through"),
                };
                let at = format!("{}:{}", self.bench.file, rule.line);
                let message = format!("{} is {is} rule ({at}): it {not}", shown::quoted(&value));
                report.error(place, message);
                None
            }
            None => {
                let fit = rules().filter(|rule| rule.effect == effect);
                let names = fit.map(|rule| rule.cited.rule.as_str());
                report.unknown_name(place, &format!("{} rule", effect.as_str()), &value, names);
                None
            }
        }
    }
}

/// A name that something has, or that nothing should have.
fn known(
    kind: &str,
    name: Spanned<String>,
    known: &BTreeSet<&str>,
    may_be_unknown: bool,
    report: &mut Report,
) -> Option<String> {
    if known.contains(name.value.as_str()) || may_be_unknown {
        return Some(name.value);
    }
    report.unknown_name(name.place, kind, &name.value, known.iter().copied());
    None
}
