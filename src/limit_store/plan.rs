//! The store that several gateways share, as configured: `rate_limit_store`.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Source;

/// `rate_limit_store` of gateway.yaml.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlan {
    /// Where it is.
    pub at: StoreAt,
    /// Who we are to it.
    pub username: Option<String>,
    /// How that is proved.
    pub password: Option<Source>,
    /// Whom to trust where it speaks TLS; left out: the public roots.
    pub ca_file: Option<PathBuf>,
    /// What its keys begin with.
    pub prefix: String,
    /// How long an answer is waited for.
    pub response_timeout: Duration,
    /// What is done without it.
    pub when_unavailable: WhenUnavailable,
    /// How many gateways share the limits.
    pub replicas: NonZeroU32,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// One server.
    Single(StoreUrl),
    /// A Redis Cluster, by some of its nodes.
    Cluster(Vec<StoreUrl>),
    /// The primary that sentinels name.
    Sentinel {
        /// As the sentinels call it.
        service: String,
        /// The sentinels.
        sentinels: Vec<StoreUrl>,
    },
}

impl StoreAt {
    /// The addresses that the configuration names.
    #[must_use]
    pub fn urls(&self) -> &[StoreUrl] {
        match self {
            Self::Single(url) => std::slice::from_ref(url),
            Self::Cluster(urls) | Self::Sentinel { sentinels: urls, .. } => urls,
        }
    }

    /// The database, which a cluster has only one of.
    #[must_use]
    pub fn database(&self) -> i64 {
        self.urls().first().map_or(0, |url| i64::from(url.database))
    }
}

/// What a delete gets while the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenUnavailable {
    /// What this gateway allows by itself: its share of each limit.
    #[default]
    Local,
    /// 503 `RateLimitStoreUnavailable`.
    Refuse,
}

impl WhenUnavailable {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Refuse => "refuse",
        }
    }
}

/// `redis://host:6379/0`, or `rediss://` for TLS. Holds no credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: u16,
}

/// Why a text is not the address of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Neither `redis` nor `rediss`.
    #[error("it begins with `redis://`, or with `rediss://` for TLS")]
    Scheme,
    /// A name or password stands in it.
    #[error("no name or password stands in it: use `username` and `password: {{ file: … }}`")]
    Credential,
    /// No host, or what is no host.
    #[error("it has no host")]
    Host,
    /// What follows the host is neither a port nor a database.
    #[error("behind the host there is a port, and perhaps `/` with the number of a database")]
    Rest,
}

impl TryFrom<&str> for StoreUrl {
    type Error = StoreUrlError;

    fn try_from(text: &str) -> Result<Self, StoreUrlError> {
        let (tls, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            Some(_) | None => return Err(StoreUrlError::Scheme),
        };
        if rest.contains('@') {
            return Err(StoreUrlError::Credential);
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let authority: http::uri::Authority = authority.parse().map_err(|_| StoreUrlError::Host)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(StoreUrlError::Host);
        }
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.as_str().ends_with(':') => return Err(StoreUrlError::Rest),
            None => DEFAULT_PORT,
        };
        let database = match database {
            "" => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| StoreUrlError::Rest)?
            }
            _ => return Err(StoreUrlError::Rest),
        };
        Ok(Self { tls, host: host.to_owned(), port, database })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port, database } = self;
        let scheme = if *tls { "rediss" } else { "redis" };
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{host}{close}:{port}")?;
        if *database > 0 { write!(f, "/{database}") } else { Ok(()) }
    }
}

const DEFAULT_PORT: u16 = 6379;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_its_defaults_and_shown_whole() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://store", "redis://store:6379"),
            ("rediss://store.example.com:6380/", "rediss://store.example.com:6380"),
            ("redis://[::1]:7000/3", "redis://[::1]:7000/3"),
        ] {
            assert_eq!(StoreUrl::try_from(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_of_a_store_says_why() {
        for (text, error) in [
            ("http://store", StoreUrlError::Scheme),
            ("store:6379", StoreUrlError::Scheme),
            ("redis://:secret@store", StoreUrlError::Credential),
            ("redis://", StoreUrlError::Host),
            ("redis://a b", StoreUrlError::Host),
            ("redis://store:", StoreUrlError::Rest),
            ("redis://store/x", StoreUrlError::Rest),
            ("redis://store/99999", StoreUrlError::Rest),
            ("redis://store?db=1", StoreUrlError::Host),
        ] {
            assert_eq!(StoreUrl::try_from(text), Err(error), "{text}");
        }
    }
}
