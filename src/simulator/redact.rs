//! Takes tokens and secrets out of what the control interface shows.

use crate::simulator::routes::RouteKind;
use crate::simulator::target::Query;

/// What stands in place of a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// A target without its credentials: those that stand where credentials stand, and all that are
/// known.
pub(crate) fn target(raw: &str, route: Option<RouteKind>, secrets: &[String]) -> String {
    let (path, query) = match raw.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (raw, None),
    };
    let mut shown = match route {
        // However it is written: the decoder found a token in it.
        Some(RouteKind::RenewToken | RouteKind::RevokeToken) => {
            format!("/api/v1/token/{REDACTED}")
        }
        Some(_) | None => token_path(path),
    };
    if let Some(query) = query {
        shown.push('?');
        let pairs: Vec<String> = query.split('&').map(parameter).collect();
        shown.push_str(&pairs.join("&"));
    }
    text(&shown, secrets)
}

/// The value of a header field, by its name in lower case.
pub(crate) fn header(name: &str, value: &[u8], secrets: &[String]) -> String {
    match name {
        "authorization" | "proxy-authorization" | "cookie" | "x-api-key" => REDACTED.to_owned(),
        _ => text(&String::from_utf8_lossy(value), secrets),
    }
}

/// A text without the secrets that are known.
fn text(raw: &str, secrets: &[String]) -> String {
    secrets
        .iter()
        .filter(|secret| !secret.is_empty())
        .fold(raw.to_owned(), |shown, secret| shown.replace(secret.as_str(), REDACTED))
}

fn parameter(raw: &str) -> String {
    let Some((name, _)) = raw.split_once('=') else { return raw.to_owned() };
    // What cannot be decoded may be anything, so it is not shown.
    let is_plain = Query::parse(raw)
        .is_ok_and(|query| !query.flag("access_token") && !query.flag("library_secret"));
    if is_plain { raw.to_owned() } else { format!("{name}={REDACTED}") }
}

/// `/api/v1/token/{L}/{T}` has a token as its last segment; and whatever looks like a token is
/// taken for one.
fn token_path(path: &str) -> String {
    let is_token_route = path.starts_with("/api/v1/token/");
    let segments = path.split('/').enumerate().map(|(position, segment)| {
        let is_token = segment.starts_with("acctk") || (is_token_route && position >= 5);
        if is_token { REDACTED } else { segment }
    });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_wherever_they_stand() {
        for raw in [
            "/api/v1/file/L/S/a?access_token=sentinel&permanent=0",
            "/api/v1/file/L/S/a?access%5Ftoken=sentinel",
            "/api/v1/file/L/S/a?access_token=%zzsentinel",
            "/api/v1/token?library_secret=sentinel",
            "/api/v1/token/L/sentinel",
        ] {
            let shown = target(raw, None, &[]);
            assert!(!shown.contains("sentinel") && shown.contains(REDACTED), "{shown}");
        }
        let known = ["sentinel".to_owned()];
        assert_eq!(target("/x/sentinel", None, &known), "/x/[redacted]");
        let hidden = target("/api/v1/x/../token/L/sentinel", Some(RouteKind::RenewToken), &[]);
        assert!(!hidden.contains("sentinel"), "{hidden}");
        assert_eq!(header("x-other", b"a sentinel", &known), "a [redacted]");
    }

    #[test]
    fn everything_else_is_shown_as_it_came() {
        let raw = "/api/v1/file/L/S/%2e%2e/a?permanent=0&&user_id=u%201";

        assert_eq!(target(raw, None, &[]), raw);
    }
}
