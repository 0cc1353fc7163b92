//! Each check: passed, refused or not reached, and why.

use crate::authenticate::Credential;
use crate::config::{ConfiguredLibrary, Snapshot};
use crate::directory::{Tenant, UserIdRule};
use crate::explain::{Meant, Step, Version, place};
use crate::ids::Citation;
use crate::policy::{Effect, Hypothetical, PermanentDeletes, Rule, permanence};
use crate::refusal::{FreezeFault, Refusal};
use crate::secret::Source;
use crate::token::TokenSource;

/// How one check went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Which one.
    pub step: Step,
    /// How it went.
    pub verdict: Verdict,
    /// Why, for an operator: a caller is told less.
    pub why: String,
    /// The file and line that it rests on, where there is one.
    pub place: Option<String>,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It lets the delete through.
    Passed,
    /// It refuses it.
    Refused,
    /// One before it refused.
    NotReached,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotReached => "not reached",
        }
    }
}

/// What the words of one check are made of.
struct Telling<'t> {
    version: Version<'t>,
    asked: &'t Hypothetical,
    meant: Meant<'t>,
    /// Of the check that refused, for itself alone.
    refusal: Option<&'t Refusal>,
    rule: Option<&'t Citation>,
}

pub(super) fn all(
    version: Version<'_>,
    asked: &Hypothetical,
    meant: Meant<'_>,
    refusal: Option<&Refusal>,
    rule: Option<&Citation>,
) -> Vec<Check> {
    let refused_at = refusal.and_then(Step::of);
    let check = |step| {
        let verdict = match refused_at {
            Some(at) if step == at => Verdict::Refused,
            Some(at) if step > at => Verdict::NotReached,
            Some(_) | None => Verdict::Passed,
        };
        let own = refusal.filter(|_| verdict == Verdict::Refused);
        let telling = Telling { version, asked, meant, refusal: own, rule };
        let (why, place) = match verdict {
            Verdict::NotReached => (String::new(), None),
            Verdict::Passed | Verdict::Refused => telling.of(step),
        };
        Check { step, verdict, why, place }
    };
    Step::ALL.into_iter().map(check).collect()
}

type Told = (String, Option<String>);

impl Telling<'_> {
    fn of(&self, step: Step) -> Told {
        match step {
            Step::Path => (self.path(), None),
            Step::Query => (self.query(), None),
            Step::Authentication => self.authentication(),
            Step::Grant => self.grant(),
            Step::UserId => self.user_id(),
            Step::Freeze => self.freeze(),
            Step::Permanence => self.permanence(),
            Step::Rules => self.rules(),
            Step::Limits => self.limits(),
            Step::Token => self.token(),
        }
    }

    fn snapshot(&self) -> &Snapshot {
        self.version.snapshot
    }

    fn in_gateway(&self, line: Option<u32>) -> Option<String> {
        Some(place(&self.snapshot().file, line))
    }

    fn in_policy(&self, line: Option<u32>) -> Option<String> {
        self.snapshot().policy_file.as_ref().map(|file| place(file, line))
    }

    fn path(&self) -> String {
        let path = &self.asked.path;
        match self.refusal {
            Some(refusal @ Refusal::TargetTooLong) => {
                format!("percent-encoded it makes too long a target: {refusal}")
            }
            Some(refusal) => refusal.to_string(),
            None if path.contains('%') => {
                format!(
                    "`{path}` is one file; a path is written decoded here, so each `%` is a `%`"
                )
            }
            None => format!("`{path}` is one file"),
        }
    }

    fn query(&self) -> String {
        match (self.refusal, &self.asked.user_id) {
            (Some(refusal), _) => refusal.to_string(),
            (None, Some(user_id)) => format!("user_id is `{user_id}`"),
            (None, None) => "no user_id".to_owned(),
        }
    }

    fn authentication(&self) -> Told {
        let name = &self.asked.caller;
        let Some(caller) = self.meant.caller else {
            let known = self.version.callers.iter().map(|caller| caller.name.as_str());
            return (unknown("caller", name, known), self.in_gateway(None));
        };
        let configured = self.snapshot().callers.iter();
        let ways: Vec<_> = configured
            .filter(|one| one.caller.name == caller.name)
            .flat_map(|one| one.credentials.iter().map(way))
            .collect();
        let line = self.snapshot().lines.caller(&caller.name);
        (format!("`{name}` proves itself by {}", ways.join(", or by ")), self.in_gateway(line))
    }

    fn grant(&self) -> Told {
        let name = &self.asked.tenant;
        if let Some(tenant) = self.meant.tenant {
            let told = format!(
                "`{name}` is granted: space {} of library {}",
                tenant.space, tenant.library.id
            );
            return (told, self.in_gateway(self.snapshot().lines.tenant(&tenant.name)));
        }
        let exists = self.version.tenants.iter().any(|tenant| tenant.name.as_str() == name);
        let Some(caller) = self.meant.caller.filter(|_| exists) else {
            let known = self.version.tenants.iter().map(|tenant| tenant.name.as_str());
            return (unknown("tenant", name, known), self.in_gateway(None));
        };
        let granted: Vec<_> = caller.tenants().iter().map(|tenant| tenant.as_str()).collect();
        let told = match granted.as_slice() {
            [] => format!("`{}` is granted no tenant at all", caller.name),
            granted => format!("`{}` is granted only {}", caller.name, granted.join(", ")),
        };
        (told, self.in_gateway(self.snapshot().lines.caller(&caller.name)))
    }

    fn user_id(&self) -> Told {
        let Some(tenant) = self.meant.tenant else { return (String::new(), None) };
        let place = self.in_gateway(self.snapshot().lines.tenant(&tenant.name));
        let told = match (&tenant.user_id, self.refusal) {
            (_, Some(refusal)) => refusal.to_string(),
            (UserIdRule::Forward, None) => "this tenant forwards what the caller sends".to_owned(),
            (UserIdRule::Forbid, None) => "this tenant takes none, and none was sent".to_owned(),
            (UserIdRule::Fixed(user), None) => format!("this tenant always sends `{user}`"),
        };
        (told, place)
    }

    fn freeze(&self) -> Told {
        let freezes = &self.snapshot().policy.freezes;
        match self.refusal {
            None => ("nothing that concerns it is frozen".to_owned(), None),
            Some(refusal) => {
                let by_operator = matches!(refusal, Refusal::Frozen(FreezeFault::Operator { .. }));
                let (caller, tenant) = (self.meant.caller, self.meant.tenant);
                let frozen =
                    caller.zip(tenant).and_then(|(caller, tenant)| freezes.of(caller, tenant));
                let line = frozen.map(|(_, freeze)| freeze.line);
                let place = if by_operator { self.in_policy(line) } else { None };
                (refusal.to_string(), place)
            }
        }
    }

    fn permanence(&self) -> Told {
        let policy = &self.snapshot().policy;
        match (self.refusal, self.is_permanent()) {
            (None, false) => {
                ("it is not permanent: the file goes to the recycle bin".to_owned(), None)
            }
            (None, true) => {
                let decided = self.decided().filter(|rule| rule.effect == Effect::AllowPermanent);
                // Where a deny wins, the decision does not say which rule it won over.
                let told = match decided {
                    Some(rule) => format!("the rule \"{}\" lets it through", rule.cited.rule),
                    None => "an `allow_permanent` rule lets it through".to_owned(),
                };
                (told, self.in_policy(decided.map(|rule| rule.line)))
            }
            (Some(refusal), _) => {
                let heeded = match policy.permanent_deletes {
                    PermanentDeletes::Deny => "`permanent_deletes: deny` heeds no rule",
                    PermanentDeletes::ByRule => match policy.rules.count(Effect::AllowPermanent) {
                        0 => "there is no `allow_permanent` rule",
                        _ => "no `allow_permanent` rule applies",
                    },
                };
                (format!("{refusal}; {heeded}"), self.in_policy(None))
            }
        }
    }

    fn is_permanent(&self) -> bool {
        let permanence = |tenant: &Tenant| permanence(self.asked.mode, tenant.library.recycle_bin);
        self.meant.tenant.and_then(permanence).is_some()
    }

    fn rules(&self) -> Told {
        let denies = self.snapshot().policy.rules.count(Effect::Deny);
        match self.refusal {
            Some(refusal) => {
                (refusal.to_string(), self.in_policy(self.decided().map(|rule| rule.line)))
            }
            None if denies == 0 => ("there is no `deny` rule".to_owned(), None),
            None if self.snapshot().policy.dry_run && !self.is_permanent() => {
                ("`dry_run: true`: rules only count".to_owned(), self.in_policy(None))
            }
            None => ("no `deny` rule denies it".to_owned(), None),
        }
    }

    /// The rule that decided.
    fn decided(&self) -> Option<&Rule> {
        self.snapshot().policy.rules.iter().find(|rule| Some(&*rule.cited) == self.rule)
    }

    fn limits(&self) -> Told {
        let Some(subject) = self.meant.subject else { return (String::new(), None) };
        if let Some(refusal) = self.refusal {
            let wait = refusal.retry_after().unwrap_or_default();
            return (format!("{refusal}, for {wait:.1?} more"), self.in_policy(None));
        }
        let about = self.snapshot().limits.iter().filter(|limit| limit.matches.matches(&subject));
        let told = match about.count() {
            0 => "no limit is about it".to_owned(),
            1 => "one limit is charged".to_owned(),
            count => format!("{count} limits are charged"),
        };
        (told, None)
    }

    fn token(&self) -> Told {
        let Some(tenant) = self.meant.tenant else { return (String::new(), None) };
        let library = &tenant.library.id;
        let configured = self.snapshot().libraries.iter().find(|one| one.library.id == *library);
        let Some(ConfiguredLibrary { token, .. }) = configured else {
            return (String::new(), None);
        };
        let mut told = match token {
            TokenSource::Given(source) => format!("the library's own, from {}", origin(source)),
            TokenSource::Minted(plan) => format!(
                "minted for this caller and tenant, with `{}`, by the secret from {}",
                plan.grant.as_str(),
                origin(&plan.library_secret)
            ),
        };
        if self.version.without_token.contains(library) {
            told.push_str("; not at hand now: 503 TokenUnavailable until it is");
        }
        (told, self.in_gateway(self.snapshot().lines.library(library)))
    }
}

fn way(credential: &Credential) -> String {
    match credential {
        Credential::Digest(_) => "an API key, known by its SHA-256".to_owned(),
        Credential::Key(source) => format!("the API key from {}", origin(source)),
        Credential::SpiffeId(pattern) => format!("a client certificate for {pattern}"),
        Credential::Jwt(rule) => {
            format!("a JWT of issuer {} for subject {}", rule.issuer, rule.subject)
        }
        Credential::Loopback => "coming from a loopback address or a unix socket".to_owned(),
    }
}

fn origin(source: &Source) -> String {
    match source {
        Source::Environment(name) => format!("the environment variable {name}"),
        Source::File(path) => path.display().to_string(),
    }
}

fn unknown<'a>(kind: &str, given: &str, known: impl Iterator<Item = &'a str>) -> String {
    match crate::config::report::nearest(given, known) {
        Some(name) => format!("no {kind} is called `{given}`; did you mean `{name}`?"),
        None => format!("no {kind} is called `{given}`"),
    }
}
