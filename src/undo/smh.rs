//! SMH, as an undo asks it: with tokens of its own, slowly, and told apart by what it may have done.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};

use crate::access_token::AccessToken;
use crate::config::Snapshot;
use crate::directory::Tenant;
use crate::ids::{CallerName, LibraryId};
use crate::refusal::UpstreamFault;
use crate::token::{TokenSource, mint_once, revoke_once};
use crate::undo::Space;
use crate::upstream::{self, Answer, Failed, Question, Settings};

/// The spaces of a configuration, as far as there are tokens to restore with.
pub struct Smh<'s> {
    settings: &'s Settings,
    spaces: HashMap<Space, Arc<Tenant>>,
    sources: HashMap<LibraryId, TokenSource>,
    tokens: HashMap<Space, AccessToken>,
    minted: Vec<(AccessToken, Arc<Tenant>)>,
    /// Between two requests.
    pace: Duration,
    next: Instant,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOpen(String);

/// Why something was not done, or not known to be.
#[derive(Debug)]
pub(super) enum Trouble {
    /// SMH did nothing, and may do it later.
    Busy(String),
    /// SMH may have done it.
    Unclear(String),
    /// SMH did nothing, and will not.
    Refused { status: u16, code: String },
    /// There is nothing to ask with.
    NotOpen(NotOpen),
}

impl Trouble {
    fn most_tries(&self) -> u32 {
        match self {
            Self::Busy(_) => MOST_TRIES_WHILE_BUSY,
            Self::Unclear(_) => MOST_TRIES,
            Self::Refused { .. } | Self::NotOpen(_) => 0,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy(cause) => write!(f, "SMH could not do it: {cause}"),
            Self::Unclear(cause) => write!(f, "SMH's answer was lost: {cause}"),
            Self::Refused { status, code } => write!(f, "SMH refuses it: {status} {code}"),
            Self::NotOpen(error) => error.fmt(f),
        }
    }
}

impl<'s> Smh<'s> {
    /// At most so many requests a second. Reads no secret yet.
    #[must_use]
    pub fn new(snapshot: &'s Snapshot, rate: NonZeroU32) -> Self {
        let place = |tenant: &Arc<Tenant>| {
            let (library, space) = (tenant.library.id.clone(), tenant.space.clone());
            (Space { library, space }, Arc::clone(tenant))
        };
        let sources = snapshot.undo.iter().flat_map(|plan| plan.tokens.iter().cloned());
        Self {
            settings: &snapshot.upstream,
            spaces: snapshot.tenants.iter().map(place).collect(),
            sources: sources.collect(),
            tokens: HashMap::new(),
            minted: Vec::new(),
            pace: Duration::from_secs(1) / rate.get(),
            next: Instant::now(),
        }
    }

    /// Spaces that have a tenant.
    pub fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.keys()
    }

    /// Whether there is a token for a space to be had.
    #[must_use]
    pub fn has_token(&self, space: &Space) -> bool {
        self.spaces.contains_key(space) && self.sources.contains_key(&space.library)
    }

    /// Gives back what was minted, and forgets all tokens: the next question needs another one. Says of how
    /// many SMH did not say that they are revoked.
    pub async fn close(&mut self) -> usize {
        let mut left = 0;
        self.tokens.clear();
        for (token, tenant) in std::mem::take(&mut self.minted) {
            if !revoke_once(&token, &tenant.library, self.settings).await {
                left += 1;
            }
        }
        left
    }

    /// How long one restore may take: a hundred files take longer than one delete.
    pub(super) fn patience(&self) -> Duration {
        self.settings.timeout * 3
    }

    /// Asks what changes nothing, again and again.
    pub(super) async fn read(&mut self, space: &Space, target: &str) -> Result<Bytes, Trouble> {
        let timeout = self.settings.timeout;
        let question = question(Method::GET, target, Bytes::new());
        let mut tries = 0;
        loop {
            match self.ask(space, &question, timeout).await {
                Ok(answer) => return Ok(answer.body),
                Err(trouble) if tries < trouble.most_tries() => {
                    pause(tries).await;
                    tries += 1;
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Asks for a change, once.
    pub(super) async fn change(
        &mut self,
        space: &Space,
        target: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Trouble> {
        let timeout = self.patience();
        let question = question(Method::POST, target, body);
        let answer = self.ask(space, &question, timeout).await?;
        Ok((answer.head.status, answer.body))
    }

    /// One answer that says that something was done. A token that is rejected is replaced once.
    async fn ask(
        &mut self,
        space: &Space,
        question: &Question,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let token = self.token(space).await.map_err(Trouble::NotOpen)?;
        let answer = self.send(space, question, &token, timeout).await?;
        if !answer.rejects_token() {
            return judge(answer);
        }
        self.tokens.remove(space);
        let token = self.token(space).await.map_err(Trouble::NotOpen)?;
        let answer = self.send(space, question, &token, timeout).await?;
        if answer.rejects_token() {
            let what = format!("SMH rejects the token of `undo` for {space}: wrong or expired");
            return Err(Trouble::NotOpen(NotOpen(what)));
        }
        judge(answer)
    }

    async fn send(
        &mut self,
        space: &Space,
        question: &Question,
        token: &AccessToken,
        timeout: Duration,
    ) -> Result<Answer, Trouble> {
        let Some(tenant) = self.spaces.get(space) else { return Err(no_token(space)) };
        sleep_until(self.next).await;
        self.next = Instant::now() + self.pace;
        let origin = &tenant.library.origin;
        match upstream::ask(origin, self.settings, question, token, timeout).await {
            // Neither told nor written: it could be anything that the token is in.
            Ok(answer) if token.occurs_in(&answer.body) => {
                Err(Trouble::Unclear("the answer holds the token".to_owned()))
            }
            Ok(answer) => Ok(answer),
            Err(Failed { fault: UpstreamFault::Unreachable | UpstreamFault::Refused, cause }) => {
                Err(Trouble::Busy(cause))
            }
            Err(failed) => Err(Trouble::Unclear(failed.cause)),
        }
    }

    async fn token(&mut self, space: &Space) -> Result<AccessToken, NotOpen> {
        if let Some(token) = self.tokens.get(space) {
            return Ok(token.clone());
        }
        let (tenant, source) = match (self.spaces.get(space), self.sources.get(&space.library)) {
            (Some(tenant), Some(source)) => (Arc::clone(tenant), source),
            (None, _) | (_, None) => return Err(NotOpen(no_token(space).to_string())),
        };
        let token = match source {
            TokenSource::Given(source) => AccessToken::new(
                source
                    .read()
                    .map_err(|error| NotOpen(format!("no token to restore with: {error}")))?,
            ),
            TokenSource::Minted(plan) => {
                let fail = |what: String| NotOpen(format!("no token to restore with: {what}"));
                let secret = plan.library_secret.read().map_err(|error| fail(error.to_string()))?;
                let caller =
                    CallerName::try_from("undo").map_err(|error| fail(error.to_string()))?;
                let instance = "smh-gateway-undo";
                let minted =
                    mint_once(plan, &secret, &caller, &tenant, self.settings, instance).await;
                let token = minted.map_err(|error| fail(error.to_string()))?;
                self.minted.push((token.clone(), tenant));
                token
            }
        };
        self.tokens.insert(space.clone(), token.clone());
        Ok(token)
    }
}

fn no_token(space: &Space) -> Trouble {
    Trouble::NotOpen(NotOpen(format!("gateway.yaml has no token for {space} under `undo`")))
}

fn question(method: Method, target: &str, body: Bytes) -> Question {
    Question { method, target: target.to_owned(), body }
}

/// What an answer says of what SMH did (smh-api.md 4.4).
fn judge(answer: Answer) -> Result<Answer, Trouble> {
    let status = answer.head.status;
    if status.is_success() {
        return Ok(answer);
    }
    let code = answer.code().unwrap_or("without a code");
    let said = format!("{} {code}", status.as_u16());
    Err(match status.as_u16() {
        429 => Trouble::Busy(said),
        403 if code.ends_with("FrequencyLimit") || code == "LibraryInitializing" => {
            Trouble::Busy(said)
        }
        409 if code == "PathConflict" => Trouble::Busy(said),
        408 | 499 | 500.. => Trouble::Unclear(said),
        status => Trouble::Refused { status, code: code.to_owned() },
    })
}

/// Longer each time, and never for two at the same moment.
pub(super) async fn pause(tries: u32) {
    let longest = FIRST_PAUSE.saturating_mul(1 << tries.min(6)).min(LONGEST_PAUSE);
    sleep(longest.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
}

/// Tries after one that SMH may have acted on: each costs a look at what it was about.
pub(super) const MOST_TRIES: u32 = 4;

/// Tries after one on which it certainly did not act. With the pauses between them a few minutes.
pub(super) const MOST_TRIES_WHILE_BUSY: u32 = 12;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
