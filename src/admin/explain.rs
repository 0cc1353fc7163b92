//! `POST /api/explain`: what would become of a delete now, and why.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use crate::admin;
use crate::directory::Callers;
use crate::explain::{Question, Version, explain};
use crate::gateway::Gateway;

/// Reads the question and answers it: 200 whatever the decision is, 400 where it is none.
pub(super) async fn answer(body: Incoming, gateway: &Gateway) -> Response<Bytes> {
    let question = admin::whole_body(body, MAX_QUESTION_BYTES).await;
    let question = question.and_then(|body| Question::from_json(&body));
    match question {
        Ok(question) => admin::json(StatusCode::OK, &explained(&question, gateway)),
        Err(error) => {
            let example = json!({ "caller": "app", "tenant": "photos", "path": "2025/a.jpg" });
            admin::json(StatusCode::BAD_REQUEST, &json!({ "error": error, "example": example }))
        }
    }
}

fn explained(question: &Question, gateway: &Gateway) -> serde_json::Value {
    let in_force = gateway.in_force();
    let snapshot = &in_force.snapshot;
    let callers: Callers = snapshot.callers.iter().map(|one| one.caller.clone()).collect();
    let version = Version {
        snapshot,
        callers: &callers,
        tenants: &in_force.tenants,
        halts: &gateway.alarms().halts(),
        limits: &in_force.limits,
        asked_at: Instant::now(),
        without_token: &in_force.tokens.pending(),
    };
    let at = question.at.unwrap_or_else(SystemTime::now);
    explain(version, &question.asked, at).to_json()
}

/// A path has 8 KiB at most, a name much less.
const MAX_QUESTION_BYTES: usize = 64 * 1024;
