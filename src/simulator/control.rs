//! The control interface: set-up, faults and the record over HTTP, for a simulator in a process of
//! its own.

use std::time::SystemTime;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::simulator::answer::Answer;
use crate::simulator::behaviour::{Behaviour, DotSegments};
use crate::simulator::clock::timestamp;
use crate::simulator::exchange::Call;
use crate::simulator::faults::Injection;
use crate::simulator::library::{Library, RecycleBin};
use crate::simulator::record::{Answered, Effect, Received};
use crate::simulator::redact::{self, REDACTED};
use crate::simulator::routes::RouteKind;
use crate::simulator::target::{Query, Target};
use crate::simulator::tokens::{TokenInfo, TokenSpec};
use crate::simulator::world::NotSetUp;
use crate::simulator::{Control, Simulator};

/// Why a control request changed nothing.
enum Refused {
    NoSuchResource,
    BadRequest(String),
    NotSetUp(NotSetUp),
}

type Controlled = Result<Value, Refused>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRecycleBin {
    library: String,
    recycle_bin: RecycleBin,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddSpace {
    library: String,
    space: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutFiles {
    library: String,
    space: String,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeToken {
    token: String,
}

#[derive(Serialize)]
struct ShownToken {
    token: String,
    library: String,
    spaces: Option<Vec<String>>,
    grants: Vec<String>,
    user_id: Option<String>,
    period_seconds: u64,
    expires_in_seconds: u64,
}

#[derive(Serialize)]
struct ShownRequest<'a> {
    method: &'a str,
    target: String,
    authority: Option<&'a str>,
    version: String,
    headers: Vec<(&'a str, String)>,
    body_bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    route: Option<RouteKind>,
    answered: Answered,
    effects: &'a [Effect],
    time: String,
    connection: u64,
}

/// The answer to a request on the control interface; `None` if it is none, or the interface is
/// switched off.
pub(crate) fn answer(simulator: &Simulator, call: &Call) -> Option<Answer> {
    if simulator.control == Control::Off || !call.target.starts_with(PREFIX) {
        return None;
    }
    Some(match control(simulator, call) {
        Ok(value) => Answer::json(StatusCode::OK, &value),
        Err(refused) => {
            let (status, reason) = refused.row();
            Answer::json(status, &json!({ "error": reason }))
        }
    })
}

fn control(simulator: &Simulator, call: &Call) -> Controlled {
    let target = Target::parse(&call.target, DotSegments::Literal)
        .map_err(|_| Refused::BadRequest("the target cannot be decoded".to_owned()))?;
    let segments = target.segments();
    let ["_simulator", resource] = segments.as_slice() else { return Err(Refused::NoSuchResource) };
    let body = call.body.as_deref().unwrap_or_default();
    match (call.method.as_str(), *resource) {
        ("GET", resource) => read(simulator, resource, target.query()),
        ("POST", resource) => add(simulator, resource, body),
        ("PUT", resource) => set(simulator, resource, body),
        ("DELETE", resource) => remove(simulator, resource, body),
        _ => Err(Refused::NoSuchResource),
    }
}

fn read(simulator: &Simulator, resource: &str, query: &Query) -> Controlled {
    let library = query.value("library").unwrap_or_default();
    let space = query.value("space").unwrap_or_default();
    let raw = query.text("raw") == Some("1");
    match resource {
        "files" => Ok(json!({ "files": simulator.files(library, space) })),
        "recycled" => Ok(json!({ "recycled": simulator.recycled(library, space) })),
        "tokens" => {
            let tokens = simulator.live_tokens().into_iter();
            let shown: Vec<ShownToken> = tokens.map(|token| shown_token(token, raw)).collect();
            Ok(json!({ "tokens": shown }))
        }
        "received" => Ok(received(simulator, raw)),
        _ => Err(Refused::NoSuchResource),
    }
}

fn add(simulator: &Simulator, resource: &str, body: &[u8]) -> Controlled {
    match resource {
        "libraries" => {
            let library: Library = parse(body)?;
            simulator.inner.lock().world.add_library(library)?;
        }
        "spaces" => {
            let AddSpace { library, space } = parse(body)?;
            simulator.inner.lock().world.ensure_space(&library, &space)?;
        }
        "files" => {
            let PutFiles { library, space, paths } = parse(body)?;
            for path in paths {
                simulator.try_put_file(&library, &space, &path)?;
            }
        }
        "tokens" => {
            let spec: TokenSpec = parse(body)?;
            return Ok(json!({ "token": simulator.issue_token(spec) }));
        }
        "faults" => {
            let injection: Injection = parse(body)?;
            simulator.inject(injection);
        }
        _ => return Err(Refused::NoSuchResource),
    }
    Ok(json!({}))
}

fn set(simulator: &Simulator, resource: &str, body: &[u8]) -> Controlled {
    match resource {
        "recycle-bin" => {
            let SetRecycleBin { library, recycle_bin } = parse(body)?;
            simulator.inner.lock().world.set_recycle_bin(&library, recycle_bin)?;
        }
        "behaviour" => {
            let behaviour: Behaviour = parse(body)?;
            simulator.set_behaviour(behaviour);
        }
        _ => return Err(Refused::NoSuchResource),
    }
    Ok(json!({}))
}

fn remove(simulator: &Simulator, resource: &str, body: &[u8]) -> Controlled {
    match resource {
        "tokens" => {
            let RevokeToken { token } = parse(body)?;
            simulator.revoke_token(&token);
        }
        "faults" => simulator.clear_faults(),
        "received" => simulator.clear_received(),
        _ => return Err(Refused::NoSuchResource),
    }
    Ok(json!({}))
}

fn received(simulator: &Simulator, raw: bool) -> Value {
    let inner = simulator.inner.lock();
    let mut secrets: Vec<String> = inner.world.library_secrets().map(str::to_owned).collect();
    secrets.extend(inner.world.tokens.live(inner.clock.now()).into_iter().map(|token| token.value));
    let shown: Vec<ShownRequest<'_>> = inner
        .record
        .iter()
        .map(|request| if raw { shown_raw(request) } else { shown_redacted(request, &secrets) })
        .collect();
    json!({ "received": shown })
}

fn shown_raw(request: &Received) -> ShownRequest<'_> {
    let fields = request.headers.iter();
    ShownRequest {
        target: request.target.clone(),
        headers: fields
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value).into_owned()))
            .collect(),
        body: Some(String::from_utf8_lossy(&request.body).into_owned()),
        ..shown_redacted(request, &[])
    }
}

fn shown_redacted<'a>(request: &'a Received, secrets: &[String]) -> ShownRequest<'a> {
    let fields = request.headers.iter();
    ShownRequest {
        method: &request.method,
        target: redact::target(&request.target, request.route, secrets),
        authority: request.authority.as_deref(),
        version: format!("{:?}", request.version),
        headers: fields
            .map(|(name, value)| (name.as_str(), redact::header(name, value, secrets)))
            .collect(),
        body_bytes: request.body.len(),
        body: None,
        route: request.route,
        answered: request.answered,
        effects: &request.effects,
        time: timestamp(request.time),
        connection: request.connection,
    }
}

fn shown_token(token: TokenInfo, raw: bool) -> ShownToken {
    ShownToken {
        token: if raw { token.value } else { REDACTED.to_owned() },
        library: token.library,
        spaces: token.spaces,
        grants: token.grants,
        user_id: token.user_id,
        period_seconds: token.period.as_secs(),
        expires_in_seconds: token.expires_in.as_secs(),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused::BadRequest(error.to_string()))
}

/// Times in the control interface's JSON.
pub(crate) fn as_timestamp<S>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error>
where
    S: serde::Serializer,
{
    serializer.serialize_str(&timestamp(*time))
}

impl From<NotSetUp> for Refused {
    fn from(reason: NotSetUp) -> Self {
        Self::NotSetUp(reason)
    }
}

impl Refused {
    fn row(self) -> (StatusCode, String) {
        match self {
            Self::NoSuchResource => {
                (StatusCode::NOT_FOUND, "no such resource, or not with this method".to_owned())
            }
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, reason),
            Self::NotSetUp(NotSetUp::NoSuchLibrary) => {
                (StatusCode::NOT_FOUND, "no such library".to_owned())
            }
            Self::NotSetUp(NotSetUp::Full) => {
                (StatusCode::INSUFFICIENT_STORAGE, "the simulator is full".to_owned())
            }
        }
    }
}

/// SMH has nothing under this name.
const PREFIX: &str = "/_simulator/";
