//! Rules that never decide anything.

use std::rc::Rc;

use crate::config::lint::earlier::Earlier;
use crate::config::lint::reach::{Names, Reach};
use crate::config::lint::{Effort, Linted, warn_if_not_granted};
use crate::config::report::{Problem, Report, Warning};
use crate::config::source::Place;
use crate::policy::{Effect, PermanentDeletes, Rule, RuleMode};

/// A rule, and what its conditions come down to.
struct Weighed<'c> {
    rule: &'c Rule,
    place: Place,
    matches: Reach<'c>,
    except: Option<Reach<'c>>,
}

impl Weighed<'_> {
    /// Whether this rule surely applies to every delete that the other one applies to.
    fn covers(&self, other: &Self) -> bool {
        self.rule.outlasts(other.rule)
            && self.matches.covers(&other.matches)
            && self.except.as_ref().is_none_or(|except| {
                except.is_apart_from(&other.matches)
                    || other.except.as_ref().is_some_and(|others| others.covers(except))
            })
    }

    fn warning(&self, code: Warning, message: impl Into<String>) -> Problem {
        Problem::warning(self.place, code, message)
    }
}

pub(super) fn lint(linted: &Linted<'_>, names: &Names<'_>, report: &mut Report) {
    let rules = linted.policy.rules.iter().zip(&linted.places.rules);
    let weighed = rules.map(|(rule, place)| Weighed {
        rule,
        place: *place,
        matches: names.reach(&rule.matches),
        except: rule.except.as_ref().map(|except| names.reach(except)),
    });
    let unheeded = linted.policy.permanent_deletes == PermanentDeletes::Deny;
    if unheeded {
        warn_of_unheeded(linted, report);
    }
    let mut effort = Effort::default();
    // Those that may decide something, and refuse or allow it in earnest.
    let (mut denies, mut allows) = (Earlier::new(), Earlier::new());
    let mut allowing = Vec::new();
    for rule in weighed {
        if can_never_apply(&rule, linted, names, report) {
            continue;
        }
        let (effect, mode) = (rule.rule.effect, rule.rule.mode);
        let earlier = match effect {
            Effect::Deny => &mut denies,
            Effect::AllowPermanent => &mut allows,
        };
        // Under `dry_run` a deny is only counted, and so are those behind it.
        let decides = effect == Effect::AllowPermanent || !linted.policy.dry_run;
        let by = earlier.find(&rule.matches, |earlier: &Rc<Weighed<'_>>| {
            decides && effort.spend(&earlier.matches, &rule.matches) && earlier.covers(&rule)
        });
        if let Some(by) = by {
            report.push(shadowed(&rule, by));
            continue;
        }
        let rule = Rc::new(rule);
        if effect == Effect::AllowPermanent {
            allowing.push(Rc::clone(&rule));
        }
        if mode == RuleMode::Enforce {
            earlier.add(rule, |rule| &rule.matches);
        }
    }
    for allow in allowing.iter().filter(|_| !unheeded) {
        let covers = |deny: &Rc<Weighed<'_>>| {
            effort.spend(&deny.matches, &allow.matches) && deny.covers(allow)
        };
        if let Some(by) = denies.find(&allow.matches, covers) {
            let message =
                format!("{} denies everything that this allows: a deny wins", named(by.rule));
            let help = "except it from the deny, or take one of the two out";
            report.push(allow.warning(Warning::BeatenAllow, message).with_help(help));
        }
    }
    effort.tell(linted.places.rules.first(), report);
}

fn named(rule: &Rule) -> String {
    format!("the rule `{}` on line {}", rule.cited.rule, rule.line)
}

fn can_never_apply(
    rule: &Weighed<'_>,
    linted: &Linted<'_>,
    names: &Names<'_>,
    report: &mut Report,
) -> bool {
    if let Some(until) = rule.rule.until.as_ref().filter(|until| until.is_past(linted.now)) {
        let message = format!("this rule ended with {until}: it applies to nothing any more");
        let problem = rule.warning(Warning::ExpiredRule, message);
        report.push(problem.with_help("take it out, or give it a later `until`"));
        return true;
    }
    if warn_if_not_granted("rule", &rule.matches, names, rule.place, report) {
        return true;
    }
    let excepted = rule.except.as_ref().is_some_and(|except| except.covers(&rule.matches));
    if excepted {
        let message = "`except` takes out everything that this rule is about";
        let problem = rule.warning(Warning::ExceptsEverything, message);
        report.push(problem.with_help("make the exception narrower, or take the rule out"));
    }
    excepted
}

fn shadowed(rule: &Weighed<'_>, by: &Weighed<'_>) -> Problem {
    let message = format!("{} is about all that this is about, and goes before it", named(by.rule));
    let help = match rule.rule.mode {
        RuleMode::Enforce => "it is never the one that decides: take it out, or put it before that",
        RuleMode::Shadow => "nothing is left for it to count: take it out",
    };
    rule.warning(Warning::ShadowedRule, message).with_help(help)
}

/// Once for all of them: they are switched off together.
fn warn_of_unheeded(linted: &Linted<'_>, report: &mut Report) {
    let mut rules = linted.policy.rules.iter().zip(&linted.places.rules);
    if let Some((_, place)) = rules.find(|(rule, _)| rule.effect == Effect::AllowPermanent) {
        let message = "`permanent_deletes` is `deny`, so no `allow_permanent` rule is heeded";
        let problem = Problem::warning(*place, Warning::UnheededAllow, message);
        report.push(problem.with_help("say `permanent_deletes: by_rule`, or take them out"));
    }
}
