//! policy.yaml as written: shape only. What the names in it refer to is [`super::link`]'s concern.

mod odd_glob;

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use crate::config::decode::{self, Fields};
use crate::config::report::{Problem, Report};
use crate::config::source::{FileId, Spanned};
use crate::config::yaml::{Node, Value};
use crate::ids::{CallerName, FreezeReason, LimitName, RuleName, TenantName, Ticket};
use crate::limits::{Per, Rate};
use crate::policy::{
    Effect, IrreversibleDeletes, NameGlob, PathGlob, PermanentDeletes, RuleMode, Until,
};

/// What is wrong is left out, so that the rest is still checked; `broken` says whether that was so.
#[derive(Default)]
pub(super) struct PolicyFile {
    pub(super) broken: bool,
    pub(super) dry_run: bool,
    pub(super) freezes: Vec<Freeze>,
    pub(super) permanent_deletes: PermanentDeletes,
    pub(super) irreversible_deletes: IrreversibleDeletes,
    pub(super) rules: Vec<Rule>,
    pub(super) limits: Vec<Limit>,
}

pub(super) struct Rule {
    pub(super) name: Spanned<RuleName>,
    pub(super) effect: Effect,
    pub(super) matches: Selector,
    pub(super) except: Option<Selector>,
    pub(super) until: Option<Until>,
    pub(super) ticket: Option<Ticket>,
    pub(super) mode: RuleMode,
}

pub(super) struct Freeze {
    pub(super) what: Spanned<Frozen>,
    pub(super) reason: Option<FreezeReason>,
}

pub(super) enum Frozen {
    Everything,
    Caller(CallerName),
    Tenant(TenantName),
}

/// A glob, and the text it was made of, to look up the name that it may be.
pub(super) type Glob = Spanned<(String, NameGlob)>;

#[derive(Default)]
pub(super) struct Selector {
    pub(super) callers: Option<Vec<Glob>>,
    pub(super) tenants: Option<Vec<Glob>>,
    pub(super) paths: Option<Vec<PathGlob>>,
    pub(super) user_ids: Option<Vec<Glob>>,
}

pub(super) struct Limit {
    pub(super) name: Spanned<LimitName>,
    pub(super) per: Per,
    pub(super) matches: Selector,
    pub(super) rate: Rate,
    pub(super) burst: NonZeroU32,
    pub(super) warn_at: Option<NonZeroU8>,
    pub(super) mode: RuleMode,
}

pub(super) fn decode(root: &Node, report: &mut Report) -> Option<PolicyFile> {
    if let Value::Null = root.value {
        // Comments alone: what a write leaves that was cut off behind the head of the file.
        report.push(empty(root.place.file));
        return None;
    }
    let mut fields = Fields::of(root, "policy.yaml", report)?;
    let dry_run = fields.or("dry_run", false);
    let freezes = fields.or_with("freeze", Vec::new(), |node, report| {
        decode::list(node, report, |node, report| Some(freeze(node, report)))
    });
    let irreversible =
        fields.or_with("irreversible_deletes", IrreversibleDeletes::Alarm, |node, report| {
            let words = [
                ("ignore", IrreversibleDeletes::Ignore),
                ("alarm", IrreversibleDeletes::Alarm),
                ("halt", IrreversibleDeletes::Halt),
            ];
            decode::word(node, "a setting for irreversible deletes", report, &words)
        });
    let permanent = fields.or_with("permanent_deletes", PermanentDeletes::Deny, |node, report| {
        let words = [("deny", PermanentDeletes::Deny), ("by_rule", PermanentDeletes::ByRule)];
        decode::word(node, "a setting for permanent deletes", report, &words)
    });
    let rules = fields.or_with("rules", Vec::new(), |node, report| {
        decode::list(node, report, |node, report| Some(rule(node, report)))
    });
    let limits = fields.or_with("rate_limits", Vec::new(), |node, report| {
        decode::list(node, report, |node, report| Some(limit(node, report)))
    });
    fields.finish();
    let rules = rules.unwrap_or_else(|| vec![None]);
    let limits = limits.unwrap_or_else(|| vec![None]);
    let freezes = freezes.unwrap_or_else(|| vec![None]);
    Some(PolicyFile {
        broken: dry_run.is_none()
            || permanent.is_none()
            || irreversible.is_none()
            || rules.iter().any(Option::is_none)
            || limits.iter().any(Option::is_none)
            || freezes.iter().any(Option::is_none),
        dry_run: dry_run.unwrap_or_default(),
        freezes: freezes.into_iter().flatten().collect(),
        permanent_deletes: permanent.unwrap_or_default(),
        irreversible_deletes: irreversible.unwrap_or_default(),
        rules: rules.into_iter().flatten().collect(),
        limits: limits.into_iter().flatten().collect(),
    })
}

/// Were it a policy, a write that was cut off would take every rule away.
pub(super) fn empty(file: FileId) -> Problem {
    let help = "a policy that says nothing is written `rules: []`";
    Problem::in_file(file, "the file is empty").with_help(help)
}

impl PolicyFile {
    /// Stands for a file of which nothing could be read.
    pub(super) fn broken() -> Self {
        Self { broken: true, ..Self::default() }
    }
}

fn rule(node: &Node, report: &mut Report) -> Option<Rule> {
    let mut fields = Fields::of(node, "a rule", report)?;
    let name = fields.required_with("name", rule_name);
    let until = fields.or_with("until", None, |node, report| {
        decode::parsed(node, "an end", report, |text| Until::try_from(text)).map(Some)
    });
    let ticket = fields.or_with("ticket", None, |node, report| {
        decode::parsed(node, "a ticket", report, |text| Ticket::try_from(text)).map(Some)
    });
    let mode = mode(&mut fields);
    let chosen = fields.one_of(&["deny", "allow_permanent"]);
    let effect = chosen.and_then(|(key, node)| {
        let effect = if key == "deny" { Effect::Deny } else { Effect::AllowPermanent };
        rule_selector(node, fields.report()).map(|selectors| (effect, selectors))
    });
    fields.finish();
    let (effect, (matches, except)) = effect?;
    Some(Rule { name: name?, effect, matches, except, until: until?, ticket: ticket?, mode: mode? })
}

fn rule_name(node: &Node, report: &mut Report) -> Option<Spanned<RuleName>> {
    let name = decode::parsed(node, "the name of a rule", report, |text| RuleName::try_from(text))?;
    Some(Spanned { place: node.place, value: name })
}

/// `{ everything: true }`, `{ caller: NAME }` or `{ tenant: NAME }`, each with an optional `reason`.
fn freeze(node: &Node, report: &mut Report) -> Option<Freeze> {
    let mut fields = Fields::of(node, "a freeze", report)?;
    let reason = fields.or_with("reason", None, |node, report| {
        decode::parsed(node, "a reason", report, |text| FreezeReason::try_from(text)).map(Some)
    });
    let chosen = fields.one_of(&["everything", "caller", "tenant"]);
    let what = chosen.and_then(|(key, node)| {
        let report = fields.report();
        let what = match key {
            "caller" => decode::parsed(node, "a caller", report, |text| CallerName::try_from(text))
                .map(Frozen::Caller),
            "tenant" => decode::parsed(node, "a tenant", report, |text| TenantName::try_from(text))
                .map(Frozen::Tenant),
            _ => everything(node, report),
        };
        what.map(|value| Spanned { place: node.place, value })
    });
    fields.finish();
    Some(Freeze { what: what?, reason: reason? })
}

fn everything(node: &Node, report: &mut Report) -> Option<Frozen> {
    if <bool as decode::Decode>::decode(node, report)? {
        return Some(Frozen::Everything);
    }
    let problem = Problem::error(node.place, "this freezes nothing");
    report.push(problem.with_help("say `everything: true`, or take the entry out"));
    None
}

fn mode(fields: &mut Fields<'_, '_>) -> Option<RuleMode> {
    fields.or_with("mode", RuleMode::Enforce, |node, report| {
        let words = [("enforce", RuleMode::Enforce), ("shadow", RuleMode::Shadow)];
        decode::word(node, "a mode", report, &words)
    })
}

fn rule_selector(node: &Node, report: &mut Report) -> Option<(Selector, Option<Selector>)> {
    let mut fields = Fields::of(node, "the conditions of a rule", report)?;
    let matches = selector(&mut fields);
    let mut broken = false;
    let except = fields.optional_with("except", |node, report| {
        let except = exception(node, report);
        broken = except.is_none();
        except
    });
    fields.finish();
    if broken {
        return None;
    }
    Some((matches?, except))
}

fn exception(node: &Node, report: &mut Report) -> Option<Selector> {
    let mut fields = Fields::of(node, "an exception", report)?;
    let except = selector(&mut fields);
    if let Value::Map(entries) = &node.value
        && entries.is_empty()
    {
        let problem = Problem::error(node.place, "an empty exception excepts everything");
        fields.report().push(problem.with_help("leave `except` out, or say what it is about"));
    }
    fields.finish();
    except
}

/// The four conditions, of which any may be left out.
fn selector(fields: &mut Fields<'_, '_>) -> Option<Selector> {
    // Asked for first, all of them: one run shows all mistakes.
    let callers = conditions(fields, "callers", name_glob);
    let tenants = conditions(fields, "tenants", name_glob);
    let paths = conditions(fields, "paths", path_glob);
    let user_ids = conditions(fields, "user_ids", name_glob);
    Some(Selector { callers: callers?, tenants: tenants?, paths: paths?, user_ids: user_ids? })
}

/// `None` after a problem; `Some(None)` where the condition is left out.
#[expect(clippy::option_option, reason = "one is about the text, the other about its meaning")]
fn conditions<T>(
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    glob: impl Fn(&Node, &mut Report) -> Option<T>,
) -> Option<Option<Vec<T>>> {
    fields.or_with(key, None, |node, report| {
        let globs = decode::list(node, report, glob)?;
        if globs.is_empty() {
            let problem = Problem::error(node.place, format!("an empty `{key}` matches nothing"));
            report.push(problem.with_help("leave it out to match everything, or name some"));
            return None;
        }
        Some(Some(globs))
    })
}

fn name_glob(node: &Node, report: &mut Report) -> Option<Glob> {
    let glob = decode::parsed(node, "a name or a glob", report, |text| {
        NameGlob::try_from(text).map(|glob| (text.to_owned(), glob))
    })?;
    odd_glob::warn(&glob.0, node, report);
    Some(Spanned { place: node.place, value: glob })
}

fn path_glob(node: &Node, report: &mut Report) -> Option<PathGlob> {
    let glob = decode::parsed(node, "a glob for paths", report, |text| PathGlob::try_from(text))?;
    odd_glob::warn(&glob.to_string(), node, report);
    Some(glob)
}

fn limit(node: &Node, report: &mut Report) -> Option<Limit> {
    let mut fields = Fields::of(node, "a rate limit", report)?;
    let name = fields.required_with("name", |node, report| {
        let name =
            decode::parsed(node, "the name of a limit", report, |text| LimitName::try_from(text))?;
        Some(Spanned { place: node.place, value: name })
    });
    let warn_at = fields.or_with("warn_at", None, |node, report| {
        decode::parsed(node, "a share such as `80%`", report, percent).map(Some)
    });
    let mode = mode(&mut fields);
    let per = fields.or_with("per", Per::default(), per);
    let rate = fields.required_with("limit", rate);
    let burst = fields.or_with("burst", None, |node, report| positive(node, report).map(Some));
    let matches = selector(&mut fields);
    if let (Some(rate), Some(Some(burst))) = (rate, burst)
        && !rate.allows_burst(burst)
    {
        let place = fields.get("burst").map_or(fields.place(), |node| node.place);
        let problem = Problem::error(place, "this burst takes more than ten years to grow back");
        fields.report().push(problem.with_help("make it smaller, or the limit larger"));
    }
    fields.finish();
    let rate = rate?;
    let burst = burst?.unwrap_or(rate.count());
    let (name, warn_at, mode) = (name?, warn_at?, mode?);
    Some(Limit { name, per: per?, matches: matches?, rate, burst, warn_at, mode })
}

fn per(node: &Node, report: &mut Report) -> Option<Per> {
    #[derive(Clone, Copy)]
    enum Dimension {
        Caller,
        Tenant,
        Library,
        UserId,
    }
    let dimensions = decode::list(node, report, |node, report| {
        let words = [
            ("caller", Dimension::Caller),
            ("tenant", Dimension::Tenant),
            ("library", Dimension::Library),
            ("user_id", Dimension::UserId),
        ];
        decode::word(node, "something to count by", report, &words)
    })?;
    let mut per = Per::default();
    for dimension in dimensions {
        *match dimension {
            Dimension::Caller => &mut per.caller,
            Dimension::Tenant => &mut per.tenant,
            Dimension::Library => &mut per.library,
            Dimension::UserId => &mut per.user_id,
        } = true;
    }
    Some(per)
}

/// `100/s`, `50000/day`.
fn rate(node: &Node, report: &mut Report) -> Option<Rate> {
    decode::parsed(node, "a rate such as `100/s` or `50000/day`", report, |text| {
        let (count, unit) = text.split_once('/').ok_or("it has no `/` with a unit behind it")?;
        let seconds = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 60 * 60,
            "day" => 24 * 60 * 60,
            _ => return Err("the units are `s`, `min`, `h` and `day`"),
        };
        let digits = count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|_| digits).and_then(NonZeroU32::new);
        let count = count.ok_or("the count is a whole number from 1 to 4294967295")?;
        Rate::new(count, Duration::from_secs(seconds)).ok_or("no more than one a nanosecond")
    })
}

/// `80%`.
fn percent(text: &str) -> Result<NonZeroU8, &'static str> {
    let number = text.strip_suffix('%').ok_or("it ends in `%`")?;
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let share = number.parse().ok().filter(|share: &NonZeroU8| digits && share.get() <= 100);
    share.ok_or("it is a whole number from 1 to 100")
}

fn positive(node: &Node, report: &mut Report) -> Option<NonZeroU32> {
    let number = <u32 as decode::Decode>::decode(node, report)?;
    let positive = NonZeroU32::new(number);
    if positive.is_none() {
        report.error(node.place, "it must be at least 1");
    }
    positive
}
