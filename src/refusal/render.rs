//! A refusal as an HTTP answer: RFC 9457 problem details that are also an SMH error object.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, DATE, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Response};
use serde::Serialize;

use crate::ids::{LimitName, RequestId, RuleName};
use crate::refusal::{Code, Exhausted, Refusal};

/// The name the gateway gives itself in `Proxy-Status` and `User-Agent`.
pub(crate) const PRODUCT: &str = "smh-gateway";

/// The whole answer to a refused delete.
pub(crate) fn answer(refusal: &Refusal, id: &RequestId) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem(refusal, id)));
    *response.status_mut() = refusal.code().status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(RequestId::FIELD, id.as_header());
    insert(headers, "date", &httpdate::fmt_http_date(SystemTime::now()));
    insert(headers, "proxy-status", &proxy_status(refusal.code()));
    debug_assert!(headers.contains_key(DATE));
    add_what_the_status_asks_for(refusal, headers);
    response
}

/// The members of RFC 9457 first, then those that an SMH client reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    message: &'a str,
    request_id: &'a str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
}

fn problem(refusal: &Refusal, id: &RequestId) -> Vec<u8> {
    let code = refusal.code();
    let detail = refusal.to_string();
    let problem = Problem {
        r#type: format!("urn:smh-gateway:error:{}", code.name()),
        title: code.title(),
        status: code.status().as_u16(),
        detail: &detail,
        code: code.name(),
        message: &detail,
        request_id: id.as_str(),
        outcome: refusal.outcome().as_str(),
        rule: refusal.rule().map(RuleName::as_str),
        limit: refusal.limit().map(LimitName::as_str),
    };
    // Texts and numbers alone: there is nothing here that JSON could not say.
    serde_json::to_vec(&problem).unwrap_or_default()
}

fn add_what_the_status_asks_for(refusal: &Refusal, headers: &mut HeaderMap) {
    if let Refusal::Unauthenticated(_) = refusal {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"smh-gateway\""));
    }
    if let Refusal::MethodNotAllowed = refusal {
        headers.insert(ALLOW, HeaderValue::from_static("DELETE"));
    }
    if let Some(wait) = refusal.retry_after() {
        insert(headers, RETRY_AFTER.as_str(), &whole_seconds(wait).to_string());
    }
    if let Refusal::RateLimited(exhausted) = refusal {
        rate_limit_fields(exhausted, headers);
    }
    if refusal.closes_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10: a list of named
/// items each, `q` the quota, `w` the window in seconds, `r` what remains, `t` seconds until more.
fn rate_limit_fields(exhausted: &Exhausted, headers: &mut HeaderMap) {
    let Exhausted { limit, wait, quota, window } = exhausted;
    let (wait, window) = (whole_seconds(*wait), whole_seconds(*window));
    insert(headers, "ratelimit-policy", &format!("\"{limit}\";q={quota};w={window}"));
    insert(headers, "ratelimit", &format!("\"{limit}\";r=0;t={wait}"));
}

/// RFC 9209: what went wrong, by this proxy's account.
fn proxy_status(code: Code) -> String {
    format!("{PRODUCT};error={};details=\"{}\"", code.proxy_error(), code.name())
}

/// Rounded up, and at least 1: who waits so long gets through.
pub(crate) fn whole_seconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    seconds.max(1)
}

/// All values here are made of checked names and numbers; one that is no field value is left out.
fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Citation;
    use crate::refusal::{Permanence, UpstreamFault};
    use std::sync::Arc;

    fn rendered(refusal: &Refusal) -> (Response<Bytes>, serde_json::Value) {
        let response = answer(refusal, &RequestId::random());
        let body = serde_json::from_slice(response.body()).unwrap();
        (response, body)
    }

    #[test]
    fn a_refusal_is_a_problem_and_an_smh_error_at_once() {
        let (response, body) = rendered(&Refusal::PermanentDeleteBlocked(Permanence::Asked));
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(
            response.headers()["proxy-status"],
            "smh-gateway;error=http_request_denied;details=\"PermanentDeleteBlocked\""
        );
        assert_eq!(body["type"], "urn:smh-gateway:error:PermanentDeleteBlocked");
        assert_eq!(body["status"], 403);
        assert_eq!(body["outcome"], "not_sent");
        assert_eq!(body["message"], body["detail"]);
        assert_eq!(body["requestId"], response.headers()["x-request-id"].to_str().unwrap());
    }

    #[test]
    fn a_denial_names_its_rule() {
        let rule = RuleName::try_from("legal hold").unwrap();
        let (_, body) = rendered(&Refusal::DeniedByRule(Arc::new(Citation { rule, ticket: None })));
        assert_eq!(body["rule"], "legal hold");
    }

    #[test]
    fn waiting_as_long_as_retry_after_says_is_never_too_short() {
        let exhausted = Exhausted {
            limit: LimitName::try_from("per caller").unwrap(),
            wait: Duration::from_millis(2_001),
            quota: 100,
            window: Duration::from_secs(1),
        };
        let (response, body) = rendered(&Refusal::RateLimited(Box::new(exhausted)));
        assert_eq!(response.headers()["retry-after"], "3");
        assert_eq!(response.headers()["ratelimit"], "\"per caller\";r=0;t=3");
        assert_eq!(response.headers()["ratelimit-policy"], "\"per caller\";q=100;w=1");
        assert_eq!(body["limit"], "per caller");
    }

    #[test]
    fn keys_that_are_not_at_hand_are_no_fault_of_the_callers() {
        let (response, body) = rendered(&Refusal::IssuerKeysUnavailable);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(response.headers().get("www-authenticate"), None);
        assert_eq!(body["code"], "IssuerKeysUnavailable");
        assert_eq!(body["outcome"], "not_sent");
    }

    #[test]
    fn a_lost_answer_is_told_as_unknown() {
        let (response, body) = rendered(&Refusal::Upstream(UpstreamFault::Timeout));
        assert_eq!(response.status(), 504);
        assert_eq!(body["outcome"], "unknown");
    }
}
