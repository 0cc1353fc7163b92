//! Policy test cases: what an operator expects of the policy, and whether it is so.
//!
//! A case is decided by [`Policy::decide_hypothetical`] as the request would be, as if nothing were
//! used of any limit and no tenant were halted.

mod link;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::report::{Problem, Report};
use crate::config::snapshot::Snapshot;
use crate::config::source::{Place, Spanned};
use crate::config::{cases_file, read_file, shown, unreadable, yaml};
use crate::delete::Mode;
use crate::directory::{Callers, Tenants};
use crate::ids::{CaseName, Citation, RuleName};
use crate::policy::{Halts, Hypothetical, Policy, RuleMode};
use crate::refusal::Code;

/// What cases are decided by.
#[derive(Debug)]
pub struct Bench<'s> {
    policy: &'s Policy,
    callers: Callers,
    tenants: Tenants,
    /// The file of the rules, as messages name it.
    file: String,
}

impl<'s> Bench<'s> {
    /// The policy of a configuration, with its callers and tenants.
    #[must_use]
    pub fn of(snapshot: &'s Snapshot) -> Self {
        Self {
            policy: &snapshot.policy,
            callers: snapshot.callers.iter().map(|one| Arc::clone(&one.caller)).collect(),
            tenants: snapshot.tenants.iter().map(Arc::clone).collect(),
            file: snapshot
                .policy_file
                .as_ref()
                .map_or_else(String::new, |path| path.display().to_string()),
        }
    }

    fn caller_names(&self) -> BTreeSet<&str> {
        self.callers.iter().map(|caller| caller.name.as_str()).collect()
    }

    fn tenant_names(&self) -> BTreeSet<&str> {
        self.tenants.iter().map(|tenant| tenant.name.as_str()).collect()
    }

    /// A rule with its place.
    fn cited(&self, citation: &Citation) -> Cited {
        let rule = self.policy.rules.iter().find(|rule| rule.cited.rule == citation.rule);
        Cited {
            rule: citation.rule.clone(),
            mode: rule.map(|rule| rule.mode).unwrap_or_default(),
            at: rule.map_or_else(String::new, |rule| format!("{}:{}", self.file, rule.line)),
        }
    }
}

/// One case, of which every name is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// As the operator calls it, if so.
    pub name: Option<CaseName>,
    /// Its place in the list, from 1.
    pub position: usize,
    /// Where it stands.
    pub place: Place,
    /// The delete.
    pub asked: Hypothetical,
    /// When it is asked for; left out: when the case is run.
    pub at: Option<Moment>,
    /// What should be decided.
    pub expected: Expected,
}

/// A moment of RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// As the operator wrote it.
    pub written: Box<str>,
    /// The same for a clock.
    pub time: SystemTime,
}

/// What a case expects. What it leaves open may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The delete goes through.
    Allow {
        /// The `allow_permanent` rule that lets it through.
        rule: Option<RuleName>,
    },
    /// It does not.
    Deny {
        /// What the caller is told.
        code: Option<Code>,
        /// The rule that denies it.
        rule: Option<RuleName>,
    },
}

/// What the policy decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The delete goes through.
    Allow {
        /// The rule that lets it through, where it is permanent.
        rule: Option<Cited>,
    },
    /// It does not.
    Deny {
        /// What the caller is told.
        code: Code,
        /// The rule that denies it, if one does.
        rule: Option<Cited>,
        /// The same as a sentence.
        detail: String,
    },
}

/// A rule, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cited {
    /// The rule.
    pub rule: RuleName,
    /// Whether it counts.
    pub mode: RuleMode,
    /// `file:line`.
    pub at: String,
}

/// A case that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// What the policy decides.
    pub verdict: Verdict,
    /// Whether that is what was expected.
    pub passed: bool,
    /// Rules that would have decided otherwise, but are not enforced.
    pub not_enforced: Vec<Cited>,
}

impl Case {
    /// Runs it.
    #[must_use]
    pub fn run(&self, bench: &Bench<'_>, now: SystemTime) -> Ran {
        let now = self.at.as_ref().map_or(now, |at| at.time);
        let directory = (&bench.callers, &bench.tenants);
        let decision =
            bench.policy.decide_hypothetical(directory, &Halts::default(), &self.asked, now);
        let verdict = match decision.outcome {
            Ok(permit) => {
                Verdict::Allow { rule: permit.allowed_by().map(|rule| bench.cited(rule)) }
            }
            Err(refusal) => Verdict::Deny {
                code: refusal.code(),
                rule: refusal.cited().map(|rule| bench.cited(rule)),
                detail: refusal.to_string(),
            },
        };
        let not_enforced = decision.unheeded.iter().map(|rule| bench.cited(rule)).collect();
        Ran { passed: self.expected.is_met_by(&verdict), verdict, not_enforced }
    }

    /// Its name, or its place in the list: fit for a terminal.
    #[must_use]
    pub fn label(&self) -> String {
        match &self.name {
            Some(name) => shown::printable(name.as_str()),
            None => format!("case {}", self.position),
        }
    }

    /// The delete on one line, fit for a terminal.
    #[must_use]
    pub fn request(&self) -> String {
        let Hypothetical { caller, tenant, path, mode, user_id } = &self.asked;
        let mut line = format!("{caller}: {tenant}/{path}");
        if *mode == Mode::Permanent {
            line.push_str(", permanent");
        }
        if let Some(user_id) = user_id {
            line.push_str(&format!(", user_id {user_id}"));
        }
        if let Some(at) = &self.at {
            line.push_str(&format!(", at {}", at.written));
        }
        shown::printable(&line)
    }
}

impl Expected {
    fn is_met_by(&self, verdict: &Verdict) -> bool {
        fn meets(expected: Option<&RuleName>, found: Option<&Cited>) -> bool {
            expected.is_none_or(|expected| found.is_some_and(|found| found.rule == *expected))
        }
        match (self, verdict) {
            (Self::Allow { rule }, Verdict::Allow { rule: found }) => {
                meets(rule.as_ref(), found.as_ref())
            }
            (Self::Deny { code, rule }, Verdict::Deny { code: found, rule: by, .. }) => {
                code.is_none_or(|code| code == *found) && meets(rule.as_ref(), by.as_ref())
            }
            (Self::Allow { .. }, Verdict::Deny { .. })
            | (Self::Deny { .. }, Verdict::Allow { .. }) => false,
        }
    }

    /// The code that is asked for.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Allow { .. } => None,
            Self::Deny { code, .. } => *code,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (decision, code, rule) = match self {
            Self::Allow { rule } => ("allow", None, rule),
            Self::Deny { code, rule } => ("deny", *code, rule),
        };
        f.write_str(decision)?;
        if let Some(code) = code {
            write!(f, " {}", code.name())?;
        }
        if let Some(rule) = rule {
            write!(f, " by rule \"{rule}\"")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allow { rule: None } => f.write_str("allow"),
            Self::Allow { rule: Some(rule) } => write!(f, "allow by {rule}"),
            Self::Deny { code, rule: Some(rule), .. } => {
                write!(f, "deny {} by {rule}", code.name())
            }
            Self::Deny { code, rule: None, detail } => write!(f, "deny {}: {detail}", code.name()),
        }
    }
}

impl fmt::Display for Cited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule \"{}\" ({})", self.rule, shown::printable(&self.at))
    }
}

impl Cited {
    /// Why a rule that applies decides nothing.
    #[must_use]
    pub fn why_not_enforced(&self) -> String {
        let why = match self.mode {
            RuleMode::Shadow => "mode: shadow",
            RuleMode::Enforce => "dry_run: true",
        };
        format!("{self} is not enforced: `{why}`")
    }
}

/// How many columns of a terminal a text takes, as far as one can tell.
#[must_use]
pub fn columns(text: &str) -> usize {
    text.chars().map(shown::columns).sum()
}

/// Reads the cases of a file that a command was given. `None`, and a problem, where it is not valid.
pub fn read(path: &Path, bench: &Bench<'_>, report: &mut Report) -> Option<Vec<Case>> {
    let name = path.display().to_string();
    match read_file(path) {
        Ok(bytes) => decode(&name, &bytes, Some(bench), report),
        Err(error) => {
            let file = report.add_unread(&name);
            report.push(Problem::in_file(file, unreadable(&error)));
            None
        }
    }
}

/// Reads and runs `policy_tests`. A case that fails is an error in its file.
///
/// Without a bench, because the rest of the configuration is not valid, the files are read and
/// nothing is run.
pub(super) fn hold(
    named: &[Spanned<PathBuf>],
    folder: &Path,
    bench: Option<&Bench<'_>>,
    mut read: impl FnMut(&Path) -> io::Result<Vec<u8>>,
    report: &mut Report,
) {
    let now = SystemTime::now();
    for Spanned { place, value } in named {
        let path = folder.join(value);
        let name = path.display().to_string();
        let cases = match read(&path) {
            Ok(bytes) => decode(&name, &bytes, bench, report),
            Err(error) => {
                report.error(*place, format!("{name}: {}", unreadable(&error)));
                None
            }
        };
        let Some(bench) = bench else { continue };
        for case in cases.into_iter().flatten() {
            let ran = case.run(bench, now);
            if !ran.passed {
                report.push(failure(&case, &ran));
            }
        }
    }
}

fn failure(case: &Case, ran: &Ran) -> Problem {
    let label = match &case.name {
        Some(name) => shown::quoted(name.as_str()),
        None => case.label(),
    };
    let message =
        format!("{label} fails: expected {}, the policy decides {}", case.expected, ran.verdict);
    let problem = Problem::error(case.place, message);
    match ran.not_enforced.first() {
        Some(rule) => problem.with_help(rule.why_not_enforced()),
        None => problem,
    }
}

/// Without a bench no name can be looked up: then only what is miswritten is reported.
fn decode(
    name: &str,
    bytes: &[u8],
    bench: Option<&Bench<'_>>,
    report: &mut Report,
) -> Option<Vec<Case>> {
    let errors_before = report.error_count();
    let root = yaml::read(report, name, bytes)?;
    let written = cases_file::decode(&root, report)?;
    let linked = link::link(written, bench?, report);
    // A field that nobody knows leaves a case that can be run, but not the one that was meant.
    linked.filter(|_| report.error_count() == errors_before)
}

#[cfg(test)]
mod tests;
