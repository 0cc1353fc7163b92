//! A file of policy test cases as written: shape only. What the names in it refer to is the concern
//! of [`super::cases`].

use crate::config::cases::Moment;
use crate::config::decode::{self, Fields};
use crate::config::report::{Problem, Report, Warning};
use crate::config::source::{Place, Spanned};
use crate::config::yaml::{Node, Value};
use crate::delete::Mode;
use crate::ids::CaseName;
use crate::policy;
use crate::refusal::Code;

pub(super) struct Case {
    pub(super) place: Place,
    pub(super) name: Option<CaseName>,
    pub(super) request: Request,
    pub(super) expected: Expected,
}

pub(super) struct Request {
    pub(super) caller: Spanned<String>,
    pub(super) tenant: Spanned<String>,
    pub(super) path: Spanned<String>,
    pub(super) mode: Mode,
    pub(super) user_id: Option<Spanned<String>>,
    pub(super) at: Option<Moment>,
}

pub(super) enum Expected {
    Allow { rule: Option<Spanned<String>> },
    Deny { code: Option<Code>, rule: Option<Spanned<String>> },
}

/// A case that is wrong is missing, so that the names in the others are still looked up.
pub(super) fn decode(root: &Node, report: &mut Report) -> Option<Vec<Option<Case>>> {
    if let Value::Null = root.value {
        warn_of_none(root.place, report);
        return Some(Vec::new());
    }
    let mut fields = Fields::of(root, "a file of test cases", report)?;
    let cases = fields.required_with("cases", |node, report| {
        let cases = decode::list(node, report, |node, report| Some(case(node, report)))?;
        if cases.is_empty() {
            warn_of_none(node.place, report);
        }
        Some(cases)
    });
    fields.finish();
    cases
}

fn warn_of_none(place: Place, report: &mut Report) {
    let problem = Problem::warning(place, Warning::NoCases, "there is no test case here");
    report.push(problem.with_help("a file without cases tests nothing"));
}

fn case(node: &Node, report: &mut Report) -> Option<Case> {
    let mut fields = Fields::of(node, "a test case", report)?;
    let name = fields.or_with("name", None, |node, report| {
        let what = "the name of a test case";
        decode::parsed(node, what, report, |text| CaseName::try_from(text)).map(Some)
    });
    let request = fields.required_with("request", request);
    let expected = fields.required_with("expect", expected);
    fields.finish();
    Some(Case { place: node.place, name: name?, request: request?, expected: expected? })
}

fn request(node: &Node, report: &mut Report) -> Option<Request> {
    let mut fields = Fields::of(node, "a request", report)?;
    let caller = fields.required("caller");
    let tenant = fields.required("tenant");
    let path = fields.required("path");
    let permanent = fields.or("permanent", false);
    let user_id = fields.or_with("user_id", None, text);
    let at = fields.or_with("at", None, |node, report| {
        let what = "a moment such as `2027-01-01T00:00:00Z`";
        decode::parsed(node, what, report, moment).map(Some)
    });
    fields.finish();
    Some(Request {
        caller: caller?,
        tenant: tenant?,
        path: path?,
        mode: if permanent? { Mode::Permanent } else { Mode::Recycle },
        user_id: user_id?,
        at: at?,
    })
}

#[expect(clippy::option_option, reason = "one is about the text, the other about its meaning")]
fn text(node: &Node, report: &mut Report) -> Option<Option<Spanned<String>>> {
    <Spanned<String> as decode::Decode>::decode(node, report).map(Some)
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    let time = policy::moment(text, "it needs a day, a time with seconds, and `Z` or an offset")?;
    Ok(Moment { written: text.into(), time })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Allow,
    Deny,
}

fn expected(node: &Node, report: &mut Report) -> Option<Expected> {
    let mut fields = Fields::of(node, "an expectation", report)?;
    let decision = fields.required_with("decision", |node, report| {
        let words = [("allow", Decision::Allow), ("deny", Decision::Deny)];
        decode::word(node, "a decision", report, &words)
    });
    let code = fields.or_with("code", None, |node, report| {
        let code = code(node, report)?;
        Some(Some(Spanned { place: node.place, value: code }))
    });
    let rule = fields.or_with("rule", None, text);
    if let (Some(decision), Some(code), Some(rule)) = (decision, &code, &rule)
        && let Some(problem) = contradiction(decision, code.as_ref(), rule.as_ref())
    {
        fields.report().push(problem);
    }
    fields.finish();
    let (code, rule) = (code?.map(|code| code.value), rule?);
    Some(match decision? {
        Decision::Allow => Expected::Allow { rule },
        Decision::Deny => Expected::Deny { code, rule },
    })
}

fn code(node: &Node, report: &mut Report) -> Option<Code> {
    let decided = Code::ALL.into_iter().filter(|&code| is_of_a_decision(code));
    let words: Vec<_> = decided.map(|code| (code.name(), code)).collect();
    decode::word(node, "a code that a policy decides", report, &words)
}

/// What can never come true together.
fn contradiction(
    decision: Decision,
    code: Option<&Spanned<Code>>,
    rule: Option<&Spanned<String>>,
) -> Option<Problem> {
    match (decision, code, rule) {
        (Decision::Allow, Some(code), _) => Some(
            Problem::error(code.place, "a delete that is allowed has no code")
                .with_help("leave `code` out, or expect `decision: deny`"),
        ),
        (Decision::Deny, Some(code), Some(rule)) if code.value != Code::DeniedByRule => {
            let message = format!("no rule decides `{}`", code.value.name());
            Some(Problem::error(rule.place, message).with_help("leave `rule` or `code` out"))
        }
        (Decision::Allow | Decision::Deny, _, _) => None,
    }
}

/// Whether a delete can be denied with this code before limits, tokens and SMH are asked.
fn is_of_a_decision(code: Code) -> bool {
    match code {
        Code::InvalidPath
        | Code::InvalidQuery
        | Code::Unauthenticated
        | Code::TenantNotGranted
        | Code::PermanentDeleteBlocked
        | Code::DeniedByRule
        | Code::Frozen
        | Code::TargetTooLong => true,
        Code::UnknownRoute
        | Code::InvalidRequest
        | Code::BodyNotAllowed
        | Code::MethodNotAllowed
        | Code::HeadersTooLarge
        | Code::RateLimited
        | Code::UpstreamUnreachable
        | Code::UpstreamCredentialRejected
        | Code::UpstreamRedirected
        | Code::UpstreamProtocolError
        | Code::TokenUnavailable
        | Code::IssuerKeysUnavailable
        | Code::Overloaded
        | Code::Draining
        | Code::RateLimitStoreUnavailable
        | Code::AuditUnavailable
        | Code::UpstreamTimeout => false,
    }
}
