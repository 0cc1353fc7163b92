//! What can be made to go wrong, when, and how often.

mod course;

use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use crate::simulator::routes::RouteKind;

pub(crate) use course::{
    Aftermath, Course, Disturbed, LARGE_ID_FLOOR, add_members, add_token, add_token_field,
    claim_life,
};

/// One way for a request to go wrong.
///
/// A fault either stands in for the operation, which then does not happen, or it lets the operation
/// take its normal course and spoils the answer. Each says which. A request that SMH would refuse
/// anyway changes nothing either way.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// `403 InvalidAccessToken`, whatever the token. Nothing happened.
    InvalidAccessToken,
    /// `403 AccessTokenVersionNotMatch`. Nothing happened.
    AccessTokenVersionNotMatch,
    /// 403 with the plain text `Forbidden`. Nothing happened.
    PlainForbidden,
    /// `429 RateLimitExceeded`, and, like SMH, no `Retry-After`. Nothing happened.
    RateLimited,
    /// `500 InternalServerError`. Nothing happened, which its client cannot know.
    InternalServerError,
    /// `503 ServerOverloaded`. Nothing happened, which its client cannot know.
    ServerOverloaded,
    /// 502 with nginx' HTML page. Nothing happened, which its client cannot know.
    BadGatewayHtml,
    /// 504 with nginx' HTML page. Nothing happened, which its client cannot know.
    GatewayTimeoutHtml,
    /// The same page, but the operation took effect.
    GatewayTimeoutAfterActing,
    /// `409 PathConflict`. Nothing happened.
    PathConflict,
    /// `403 LibraryServiceExpired`. Nothing happened.
    LibraryServiceExpired,
    /// An error of any status and code. Nothing happened.
    Error {
        /// The HTTP status, 200 to 599; anything else becomes 500.
        status: u16,
        /// The code, as in `SpaceBanned`.
        code: String,
    },
    /// The same, its object without `qualifier` and `revision`. Nothing happened.
    BareError {
        /// The HTTP status, 200 to 599; anything else becomes 500.
        status: u16,
        /// The code, as in `SpaceBanned`.
        code: String,
    },
    /// The connection is cut once the request is read. Nothing happened, which its client cannot
    /// know.
    CutBeforeActing,
    /// The operation took effect; then the connection is cut without an answer.
    CutAfterActing,
    /// The operation took effect; the connection is cut in the middle of the answer's body. An
    /// answer without a body is cut off whole.
    CutMidBody,
    /// The operation took effect at once; the answer comes so much later.
    #[serde(rename = "slow_ms", deserialize_with = "duration_from_millis")]
    Slow(Duration),
    /// No answer ever, on a connection that stays open. Nothing happened.
    HangBeforeActing,
    /// No answer ever, on a connection that stays open. The operation took effect.
    HangAfterActing,
    /// The JSON of the answer has fields that no document knows. The operation took effect.
    /// An answer without JSON stays as it is.
    ExtraFields,
    /// Recycled items get ids above 2^53 from now on, which a floating-point number cannot hold.
    /// The operation took effect.
    LargeRecycledItemId,
    /// `302`; its `Location` is this base address with the request's own target and token. Nothing
    /// happened.
    Redirect {
        /// Scheme and authority, as in `http://127.0.0.1:9001`.
        to: String,
    },
    /// The JSON of the answer contains the request's token. The operation took
    /// effect. An answer without JSON stays as it is.
    EchoTokenInBody,
    /// A header field of the answer, `x-smh-debug`, contains the request's token. The operation
    /// took effect.
    EchoTokenInHeader,
    /// 200 with HTML instead of JSON. Nothing happened.
    NotJson,
    /// 200 with `{}`. Nothing happened.
    MissingFields,
    /// A mint or renewal that claims this life, in seconds. The token is made, with the life that
    /// was asked for. Other operations are not touched.
    ExpiresIn(i64),
    /// 200 with a JSON content type and so many spaces. Nothing happened.
    HugeBody {
        /// The length of the body; it takes no memory here.
        bytes: u64,
    },
}

/// Which requests a fault is for: those that match all that is set here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Matcher {
    /// The operation.
    pub route: Option<RouteKind>,
    /// The method, in upper case.
    pub method: Option<String>,
    /// A part of the decoded path.
    pub path_contains: Option<String>,
}

impl Matcher {
    /// Matches every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Matches one kind of operation.
    pub fn route(kind: RouteKind) -> Self {
        Self { route: Some(kind), ..Self::default() }
    }

    /// Matches one method.
    pub fn method(method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..Self::default() }
    }

    /// Matches, besides, only paths that contain this text once they are decoded.
    #[must_use]
    pub fn path_contains(self, text: impl Into<String>) -> Self {
        Self { path_contains: Some(text.into()), ..self }
    }

    fn matches(&self, subject: &Subject<'_>) -> bool {
        self.route.is_none_or(|kind| subject.route == Some(kind))
            && self.method.as_deref().is_none_or(|method| subject.method == method)
            && self.path_contains.as_deref().is_none_or(|part| subject.path.contains(part))
    }
}

/// How often a fault happens before it is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Times {
    /// Once.
    #[default]
    Once,
    /// So many times.
    N(u32),
    /// Until faults are cleared.
    Forever,
}

/// A fault, with when and how often it happens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Injection {
    /// What goes wrong.
    pub fault: Fault,
    /// For which requests.
    #[serde(default)]
    pub when: Matcher,
    /// How often.
    #[serde(default)]
    pub times: Times,
    /// Only for every nth of the requests that match: 3 spares two, spoils one, and so on.
    #[serde(default)]
    pub every_nth: Option<NonZeroU32>,
}

impl Injection {
    /// The next request goes wrong.
    pub fn once(fault: Fault) -> Self {
        Self { fault, when: Matcher::any(), times: Times::Once, every_nth: None }
    }

    /// The next so many requests go wrong.
    pub fn times(fault: Fault, times: u32) -> Self {
        Self { times: Times::N(times), ..Self::once(fault) }
    }

    /// Every request goes wrong, until faults are cleared.
    pub fn forever(fault: Fault) -> Self {
        Self { times: Times::Forever, ..Self::once(fault) }
    }

    /// Only these requests go wrong.
    #[must_use]
    pub fn when(self, when: Matcher) -> Self {
        Self { when, ..self }
    }

    /// Only every nth of them goes wrong.
    #[must_use]
    pub fn every_nth(self, nth: NonZeroU32) -> Self {
        Self { every_nth: Some(nth), ..self }
    }
}

/// What of a request a matcher looks at.
pub(crate) struct Subject<'a> {
    pub(crate) method: &'a str,
    pub(crate) route: Option<RouteKind>,
    pub(crate) path: &'a str,
}

/// The faults that are set.
#[derive(Default)]
pub(crate) struct FaultBook {
    armed: Vec<Armed>,
}

struct Armed {
    injection: Injection,
    /// Requests until the next one that is hit, itself included.
    countdown: u32,
    happened: u32,
}

impl FaultBook {
    /// Sets a fault; the oldest gives way if there are too many.
    pub(crate) fn arm(&mut self, injection: Injection) {
        if self.armed.len() >= MAX_ARMED {
            self.armed.remove(0);
        }
        let countdown = injection.nth();
        self.armed.push(Armed { injection, countdown, happened: 0 });
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    /// The fault that hits a request: of those that match and are due, the one set first.
    pub(crate) fn take(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        let hit = self.armed.iter_mut().find_map(|armed| armed.strike(subject));
        self.armed.retain(|armed| !armed.is_used_up());
        hit
    }
}

impl Injection {
    fn nth(&self) -> u32 {
        self.every_nth.map_or(1, NonZeroU32::get)
    }

    /// A false life is something that only answers with a token can have.
    fn concerns(&self, route: Option<RouteKind>) -> bool {
        let mints = matches!(route, Some(RouteKind::IssueToken | RouteKind::RenewToken));
        mints || !matches!(self.fault, Fault::ExpiresIn(_))
    }
}

impl Armed {
    fn strike(&mut self, subject: &Subject<'_>) -> Option<Fault> {
        let injection = &self.injection;
        if !injection.when.matches(subject) || !injection.concerns(subject.route) {
            return None;
        }
        self.countdown = self.countdown.saturating_sub(1);
        if self.countdown > 0 {
            return None;
        }
        self.countdown = injection.nth();
        self.happened = self.happened.saturating_add(1);
        Some(injection.fault.clone())
    }

    fn is_used_up(&self) -> bool {
        match self.injection.times {
            Times::Once => self.happened >= 1,
            Times::N(times) => self.happened >= times,
            Times::Forever => false,
        }
    }
}

fn duration_from_millis<'de, D>(deserializer: D) -> Result<Duration, D::Error>
where
    D: serde::Deserializer<'de>,
{
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// More than any test sets; whoever may set faults could otherwise fill the memory.
const MAX_ARMED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    const DELETE: Subject<'_> = Subject {
        method: "DELETE",
        route: Some(RouteKind::DeleteFile),
        path: "/api/v1/file/L/S/legal/a b",
    };

    #[test]
    fn a_fault_happens_as_often_as_it_says() {
        let mut book = FaultBook::default();
        book.arm(Injection::times(Fault::RateLimited, 2));

        let hits: Vec<bool> = (0..3).map(|_| book.take(&DELETE).is_some()).collect();

        assert_eq!(hits, [true, true, false]);
    }

    #[test]
    fn every_third_spares_two() {
        let mut book = FaultBook::default();
        let third = NonZeroU32::new(3).unwrap();
        book.arm(Injection::forever(Fault::RateLimited).every_nth(third));

        let hits: Vec<bool> = (0..6).map(|_| book.take(&DELETE).is_some()).collect();

        assert_eq!(hits, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_matcher_compares_route_and_decoded_path() {
        let here = Matcher::route(RouteKind::DeleteFile).path_contains("legal/a b");

        assert!(here.matches(&DELETE));
        assert!(!Matcher::route(RouteKind::IssueToken).matches(&DELETE));
        assert!(!Matcher::method("GET").matches(&DELETE));
        assert!(!Matcher::any().path_contains("elsewhere").matches(&DELETE));
    }

    #[test]
    fn a_false_life_waits_for_a_mint() {
        let mut book = FaultBook::default();
        book.arm(Injection::once(Fault::ExpiresIn(-1)));
        let mint =
            Subject { method: "POST", route: Some(RouteKind::IssueToken), path: "/api/v1/token" };

        assert_eq!(book.take(&DELETE), None);
        assert_eq!(book.take(&mint), Some(Fault::ExpiresIn(-1)));
    }

    #[test]
    fn an_injection_is_readable_from_json() {
        let text = r#"{"fault":{"slow_ms":250},"when":{"route":"delete_file"},"times":{"n":2}}"#;

        let injection: Injection = serde_json::from_str(text).unwrap();

        let expected = Injection::times(Fault::Slow(Duration::from_millis(250)), 2)
            .when(Matcher::route(RouteKind::DeleteFile));
        assert_eq!(injection, expected);
    }
}
