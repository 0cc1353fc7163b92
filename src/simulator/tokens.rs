//! Access tokens: opaque strings that live as long as they are used.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::simulator::behaviour::TokenPeriod;
use crate::simulator::clock::Moment;

/// A token to register, as a mint would, or with a string of the caller's choice.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// The library it belongs to.
    pub library: String,
    /// The spaces it opens; `None`: the whole library.
    #[serde(default)]
    pub spaces: Option<Vec<String>>,
    /// What it allows, in SMH's words (`delete_file`); none: reading only. Unknown words allow
    /// nothing.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Whose token it is; SMH does not interpret it.
    #[serde(default)]
    pub user_id: Option<String>,
    /// Which client's token it is; SMH does not interpret it.
    #[serde(default)]
    pub client_id: Option<String>,
    /// Which session's token it is; SMH does not interpret it.
    #[serde(default)]
    pub session_id: Option<String>,
    /// How long it lives without being used, taken as it is: the bounds of a mint do not apply
    /// here.
    #[serde(
        default = "default_period",
        rename = "period_seconds",
        deserialize_with = "duration_from_seconds"
    )]
    pub period: Duration,
    /// The string itself; `None`: a new one.
    #[serde(default)]
    pub value: Option<String>,
}

impl TokenSpec {
    /// A token for the whole library that allows reading only and lives a day.
    pub fn new(library: impl Into<String>) -> Self {
        Self {
            library: library.into(),
            spaces: None,
            grants: Vec::new(),
            user_id: None,
            client_id: None,
            session_id: None,
            period: DEFAULT_PERIOD,
            value: None,
        }
    }

    /// Confines it to this space, or to this one as well.
    #[must_use]
    pub fn with_space(mut self, space: impl Into<String>) -> Self {
        self.spaces.get_or_insert_default().push(space.into());
        self
    }

    /// Adds a grant, as in `delete_file`.
    #[must_use]
    pub fn with_grant(mut self, grant: impl Into<String>) -> Self {
        self.grants.push(grant.into());
        self
    }

    /// Makes it a user's.
    #[must_use]
    pub fn with_user_id(self, user_id: impl Into<String>) -> Self {
        Self { user_id: Some(user_id.into()), ..self }
    }

    /// Lets it live this long without being used.
    #[must_use]
    pub fn with_period(self, period: Duration) -> Self {
        Self { period, ..self }
    }

    /// Gives it this string instead of a new one.
    #[must_use]
    pub fn with_value(self, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..self }
    }
}

impl fmt::Debug for TokenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSpec")
            .field("library", &self.library)
            .field("spaces", &self.spaces)
            .field("grants", &self.grants)
            .field("user_id", &self.user_id)
            .field("period", &self.period)
            .field("value", &self.value.as_ref().map(|_| "[redacted]"))
            .finish_non_exhaustive()
    }
}

/// A live token, for tests to look at.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The string itself. A secret, also here: `Debug` does not show it.
    pub value: String,
    /// The library it belongs to.
    pub library: String,
    /// The spaces it opens; `None`: the whole library.
    pub spaces: Option<Vec<String>>,
    /// What it allows, in SMH's words.
    pub grants: Vec<String>,
    /// Whose token it is.
    pub user_id: Option<String>,
    /// Which client's token it is.
    pub client_id: Option<String>,
    /// Which session's token it is.
    pub session_id: Option<String>,
    /// How long it lives without being used.
    pub period: Duration,
    /// How long it lives from now, if it is not used.
    pub expires_in: Duration,
}

impl fmt::Debug for TokenInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenInfo")
            .field("value", &"[redacted]")
            .field("library", &self.library)
            .field("spaces", &self.spaces)
            .field("grants", &self.grants)
            .field("user_id", &self.user_id)
            .field("expires_in", &self.expires_in)
            .finish_non_exhaustive()
    }
}

/// A token as the store keeps it.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) library: String,
    pub(crate) spaces: Option<Vec<String>>,
    pub(crate) grants: Vec<String>,
    pub(crate) user_id: Option<String>,
    client_id: Option<String>,
    session_id: Option<String>,
    pub(crate) period: Duration,
    expires: Instant,
}

/// All tokens of all libraries.
#[derive(Default)]
pub(crate) struct TokenStore {
    by_value: HashMap<String, Token>,
}

/// Whose tokens a bulk revocation ends.
pub(crate) struct Holders {
    pub(crate) users: Vec<String>,
    /// Empty: any client.
    pub(crate) clients: Vec<String>,
    /// Empty: any session.
    pub(crate) sessions: Vec<String>,
}

impl TokenStore {
    /// Registers a token and returns its string.
    pub(crate) fn issue(&mut self, spec: TokenSpec, now: Moment) -> String {
        self.make_room(now);
        let value = spec.value.unwrap_or_else(new_value);
        // A period is bounded where it is minted; the clock itself is the only other bound.
        let expires = now.after(spec.period).unwrap_or(now.instant + LONGEST_PERIOD);
        let token = Token {
            library: spec.library,
            spaces: spec.spaces,
            grants: spec.grants,
            user_id: spec.user_id.filter(|id| !id.is_empty()),
            client_id: spec.client_id,
            session_id: spec.session_id,
            period: spec.period,
            expires,
        };
        self.by_value.insert(value.clone(), token);
        value
    }

    /// The token of this string, if it is alive; using it renews it to its full period.
    pub(crate) fn use_token(&mut self, value: &str, now: Moment) -> Option<&Token> {
        let token = self.by_value.get_mut(value).filter(|token| token.expires > now.instant)?;
        token.expires = now.after(token.period).unwrap_or(token.expires);
        Some(token)
    }

    /// Gives a live token a new string.
    pub(crate) fn replace(&mut self, value: &str) -> Option<String> {
        let token = self.by_value.remove(value)?;
        let renewed = new_value();
        self.by_value.insert(renewed.clone(), token);
        Some(renewed)
    }

    /// Ends a token; whether there was one.
    pub(crate) fn revoke(&mut self, value: &str) -> Option<Token> {
        self.by_value.remove(value)
    }

    /// Ends the tokens of these users in a library; how many there were.
    pub(crate) fn revoke_of(&mut self, library: &str, holders: &Holders) -> usize {
        let before = self.by_value.len();
        let among = |list: &[String], id: &Option<String>| {
            list.is_empty() || id.as_ref().is_some_and(|id| list.contains(id))
        };
        self.by_value.retain(|_, token| {
            let held = token.library == library
                && token.user_id.as_ref().is_some_and(|user| holders.users.contains(user))
                && among(&holders.clients, &token.client_id)
                && among(&holders.sessions, &token.session_id);
            !held
        });
        before - self.by_value.len()
    }

    pub(crate) fn live(&self, now: Moment) -> Vec<TokenInfo> {
        let mut live: Vec<TokenInfo> = self
            .by_value
            .iter()
            .filter(|(_, token)| token.expires > now.instant)
            .map(|(value, token)| TokenInfo {
                value: value.clone(),
                library: token.library.clone(),
                spaces: token.spaces.clone(),
                grants: token.grants.clone(),
                user_id: token.user_id.clone(),
                client_id: token.client_id.clone(),
                session_id: token.session_id.clone(),
                period: token.period,
                expires_in: token.expires.saturating_duration_since(now.instant),
            })
            .collect();
        live.sort_by(|one, other| one.value.cmp(&other.value));
        live
    }

    /// Keeps the store within its bound: first the expired go, then whichever is nearest its end.
    fn make_room(&mut self, now: Moment) {
        if self.by_value.len() < MAX_TOKENS {
            return;
        }
        self.by_value.retain(|_, token| token.expires > now.instant);
        if self.by_value.len() < MAX_TOKENS {
            return;
        }
        let nearest = self.by_value.iter().min_by_key(|(_, token)| token.expires);
        if let Some(value) = nearest.map(|(value, _)| value.clone()) {
            self.by_value.remove(&value);
        }
    }
}

/// The period that a mint grants for what was asked: positive whole seconds, or else a day.
pub(crate) fn granted_period(asked: Option<&str>, bounds: TokenPeriod) -> Duration {
    let shortest = match bounds {
        TokenPeriod::AtLeast1200 => Duration::from_secs(1200),
        TokenPeriod::From300 => Duration::from_secs(300),
    };
    match asked.and_then(|text| text.parse::<u64>().ok()) {
        None | Some(0) => DEFAULT_PERIOD,
        Some(seconds) => Duration::from_secs(seconds).clamp(shortest, LONGEST_PERIOD),
    }
}

fn new_value() -> String {
    let mut value = String::from("acctk");
    for _ in 0..TOKEN_LETTERS {
        let letter = char::from_digit(rand::random_range(0..36), 36);
        value.push(letter.unwrap_or('0'));
    }
    value
}

fn default_period() -> Duration {
    DEFAULT_PERIOD
}

fn duration_from_seconds<'de, D>(deserializer: D) -> Result<Duration, D::Error>
where
    D: serde::Deserializer<'de>,
{
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// What SMH grants when nothing, or nothing usable, was asked for.
const DEFAULT_PERIOD: Duration = Duration::from_secs(86_400);

/// Ten years: the upper end that the iOS SDK documents, applied in both modes to keep the clock in
/// range.
const LONGEST_PERIOD: Duration = Duration::from_secs(315_360_000);

/// Letters after `acctk`: tokens seen in use have 130 to 150 characters in all.
const TOKEN_LETTERS: usize = 125;

/// More tokens than any test makes; whoever knows a library secret could otherwise fill the memory.
const MAX_TOKENS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::clock::Clock;

    #[test]
    fn a_new_token_looks_like_one_of_smh() {
        let value = TokenStore::default().issue(TokenSpec::new("smh1"), Clock::start().now());

        assert_eq!(value.len(), 130);
        assert!(value.starts_with("acctk"));
        assert!(value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_is_used_lives_on_and_one_that_is_not_dies() {
        let clock = Clock::start();
        let mut store = TokenStore::default();
        let spec = TokenSpec::new("smh1").with_period(Duration::from_secs(100));
        let used = store.issue(spec.clone(), clock.now());
        let idle = store.issue(spec, clock.now());

        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(60)).await;
            assert!(store.use_token(&used, clock.now()).is_some());
        }

        assert!(store.use_token(&idle, clock.now()).is_none());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(store.use_token(&used, clock.now()).is_none());
    }

    #[test]
    fn a_mint_raises_short_periods_and_replaces_unusable_ones_by_a_day() {
        let granted = |asked| granted_period(asked, TokenPeriod::AtLeast1200).as_secs();

        assert_eq!(granted(Some("7200")), 7200);
        assert_eq!(granted(Some("60")), 1200);
        for unusable in [None, Some(""), Some("0"), Some("-5"), Some("1h"), Some("1.5")] {
            assert_eq!(granted(unusable), 86_400, "{unusable:?}");
        }
        assert_eq!(granted_period(Some("60"), TokenPeriod::From300).as_secs(), 300);
    }

    #[test]
    fn a_bulk_revocation_ends_the_tokens_of_its_users_only() {
        let now = Clock::start().now();
        let mut store = TokenStore::default();
        let kept = store.issue(TokenSpec::new("smh1").with_user_id("bob"), now);
        store.issue(TokenSpec::new("smh1").with_user_id("ann"), now);
        let nobodys = store.issue(TokenSpec::new("smh1"), now);
        let holders =
            Holders { users: vec!["ann".to_owned()], clients: Vec::new(), sessions: Vec::new() };

        assert_eq!(store.revoke_of("smh1", &holders), 1);
        assert!(store.use_token(&kept, now).is_some());
        assert!(store.use_token(&nobodys, now).is_some());
    }

    #[test]
    fn tokens_do_not_print_their_strings() {
        let now = Clock::start().now();
        let spec = TokenSpec::new("smh1").with_value("sentinel-token");
        let mut store = TokenStore::default();
        store.issue(spec.clone(), now);

        assert!(!format!("{spec:?}{:?}", store.live(now)).contains("sentinel-token"));
    }
}
