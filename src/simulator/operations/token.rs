//! Minting, renewing and revoking tokens.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::simulator::answer::{Answer, Outcome};
use crate::simulator::behaviour::{MintSpaceCheck, Renewal, UnknownRevocation};
use crate::simulator::errors::{ApiError, Code};
use crate::simulator::operations::Asked;
use crate::simulator::record::Effect;
use crate::simulator::routes::TokenOperation;
use crate::simulator::target::comma_separated;
use crate::simulator::tokens::{Holders, TokenSpec, granted_period};
use crate::simulator::world::World;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Minted {
    access_token: String,
    expires_in: u64,
}

pub(super) fn perform(
    world: &mut World,
    operation: &TokenOperation,
    asked: Asked<'_>,
) -> Result<Outcome, ApiError> {
    match operation {
        TokenOperation::Issue => issue(world, asked),
        TokenOperation::Renew { library, token } => renew(world, library, token, asked),
        TokenOperation::Revoke { library, token } => revoke(world, library, token, asked),
        TokenOperation::RevokeOfUsers { library } => revoke_of_users(world, library, asked),
    }
}

fn issue(world: &mut World, asked: Asked<'_>) -> Result<Outcome, ApiError> {
    let parameters = Parameters::of(asked);
    let library = check_secret(
        world,
        parameters.text("library_id").as_deref(),
        parameters.text("library_secret").as_deref(),
    )?;
    let spaces = parameters.text("space_id").map(|list| comma_separated(&list));
    if world.behaviour.mint_space_check == MintSpaceCheck::Strict {
        for space in spaces.iter().flatten() {
            world.space(&library, space)?;
        }
    }
    let period = granted_period(parameters.text("period").as_deref(), world.behaviour.token_period);
    let spec = TokenSpec {
        library,
        spaces,
        grants: comma_separated(&parameters.text("grant").unwrap_or_default()),
        user_id: parameters.text("user_id"),
        client_id: parameters.text("client_id"),
        session_id: parameters.text("session_id"),
        period,
        value: None,
    };
    let access_token = world.tokens.issue(spec, asked.now);
    let minted = Minted { access_token, expires_in: period.as_secs() };
    Ok(Outcome::changed(Answer::json(StatusCode::OK, &minted), Effect::TokenIssued))
}

/// The token in the path is the credential.
fn renew(
    world: &mut World,
    library: &str,
    value: &str,
    asked: Asked<'_>,
) -> Result<Outcome, ApiError> {
    world.library(library)?;
    let used = world.tokens.use_token(value, asked.now);
    let token = used.filter(|token| token.library == library).ok_or(Code::InvalidAccessToken)?;
    let expires_in = token.period.as_secs();
    let access_token = match world.behaviour.renewal {
        Renewal::SameToken => value.to_owned(),
        Renewal::NewToken => world.tokens.replace(value).ok_or(Code::InvalidAccessToken)?,
    };
    let answer = Answer::json(StatusCode::OK, &Minted { access_token, expires_in });
    Ok(Outcome::changed(answer, Effect::TokenRenewed))
}

fn revoke(
    world: &mut World,
    library: &str,
    value: &str,
    asked: Asked<'_>,
) -> Result<Outcome, ApiError> {
    world.library(library)?;
    let used = world.tokens.use_token(value, asked.now);
    let known = used.is_some_and(|token| token.library == library);
    match (known, world.behaviour.unknown_revocation) {
        (true, _) => {
            world.tokens.revoke(value);
            Ok(Outcome::changed(Answer::no_content(), Effect::TokensRevoked { count: 1 }))
        }
        (false, UnknownRevocation::NoContent) => Ok(Outcome::unchanged(Answer::no_content())),
        (false, UnknownRevocation::Forbidden) => Err(Code::InvalidAccessToken.into()),
    }
}

fn revoke_of_users(
    world: &mut World,
    library: &str,
    asked: Asked<'_>,
) -> Result<Outcome, ApiError> {
    let library = check_secret(world, Some(library), asked.query.text("library_secret"))?;
    let holders = Holders {
        users: asked.query.list("user_id"),
        clients: asked.query.list("client_id"),
        sessions: asked.query.list("session_id"),
    };
    let within = (1..=MAX_USERS).contains(&holders.users.len())
        && holders.clients.len() <= MAX_CLIENTS
        && holders.sessions.len() <= MAX_CLIENTS;
    if !within {
        return Err(Code::ParamInvalid.into());
    }
    let count = world.tokens.revoke_of(&library, &holders);
    Ok(Outcome::changed(Answer::no_content(), Effect::TokensRevoked { count }))
}

/// The library, if the secret is its own. An unknown library and a wrong secret look alike.
fn check_secret(
    world: &World,
    library: Option<&str>,
    secret: Option<&str>,
) -> Result<String, ApiError> {
    match (library, secret) {
        (None, None) => Err(Code::EmptyLibraryIdOrSecret.into()),
        (None, Some(_)) => Err(Code::EmptyLibraryId.into()),
        (Some(_), None) => Err(Code::EmptyLibrarySecret.into()),
        (Some(library), Some(secret)) => match world.library(library) {
            Ok(found) if found.secret == secret => Ok(library.to_owned()),
            Ok(_) | Err(_) => Err(Code::WrongLibraryIdOrSecret.into()),
        },
    }
}

/// The parameters of a mint: in the query, or, as the Java SDK sends them, in a JSON body. The
/// query comes first.
struct Parameters<'a> {
    asked: Asked<'a>,
    body: Map<String, Value>,
}

impl<'a> Parameters<'a> {
    fn of(asked: Asked<'a>) -> Self {
        // A body that is not an object says nothing; SMH then misses the parameters and says so.
        Self { asked, body: serde_json::from_slice(asked.body).unwrap_or_default() }
    }

    fn text(&self, name: &str) -> Option<String> {
        let in_body = || match self.body.get(name)? {
            Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        self.asked.query.text(name).map(str::to_owned).or_else(in_body)
    }
}

/// A bulk revocation names so many users at most.
const MAX_USERS: usize = 10;

/// And so many clients, and so many sessions.
const MAX_CLIENTS: usize = 100;
