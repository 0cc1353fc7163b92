//! Where an SMH library is reached: scheme, host and port, and nothing else of a URL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, Uri};

/// Scheme, host and port (RFC 6454). Equal origins share connections.
#[derive(Clone)]
pub struct Origin {
    scheme: Scheme,
    /// Without the brackets of an IPv6 address.
    host: Arc<str>,
    port: u16,
    authority: Arc<str>,
    /// The authority once more, as it is sent.
    host_field: HeaderValue,
}

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text: for tests, and for a gateway chained to another.
    Http,
    /// TLS.
    Https,
}

/// Why a text is not an origin. Repeats nothing of it: a URL can hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's text says what it is")]
pub enum OriginError {
    #[error("it is not a URL like https://host or http://host:port")]
    NotUrl,
    #[error("the scheme is not https or http")]
    Scheme,
    #[error("user names and passwords do not belong in a URL")]
    UserInfo,
    #[error("only scheme, host and port are taken: no path, query or fragment")]
    Path,
}

impl Origin {
    /// Whether TLS is spoken.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// A name or an IP address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or by default.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host`: the port is left out where it is the scheme's own.
    pub(crate) fn host_field(&self) -> HeaderValue {
        self.host_field.clone()
    }

    /// The same for `:authority`.
    pub(crate) fn authority(&self) -> Option<Authority> {
        Authority::try_from(&*self.authority).ok()
    }
}

impl TryFrom<&str> for Origin {
    type Error = OriginError;

    fn try_from(text: &str) -> Result<Self, OriginError> {
        // `Uri` drops a fragment without a word.
        if text.contains('#') {
            return Err(OriginError::Path);
        }
        let uri: Uri = text.parse().map_err(|_| OriginError::NotUrl)?;
        let authority = uri.authority().ok_or(OriginError::NotUrl)?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => (Scheme::Https, 443),
            Some("http") => (Scheme::Http, 80),
            _ => return Err(OriginError::Scheme),
        };
        if authority.as_str().contains('@') {
            return Err(OriginError::UserInfo);
        }
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return Err(OriginError::Path);
        }
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if bare.is_empty() || (host.starts_with('[') && bare.parse::<IpAddr>().is_err()) {
            return Err(OriginError::NotUrl);
        }
        // `port()` says nothing of a port that is none.
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => default_port,
            Some(_) | None => authority.port_u16().ok_or(OriginError::NotUrl)?,
        };
        let authority = if port == default_port { host.clone() } else { format!("{host}:{port}") };
        let host_field = HeaderValue::from_str(&authority).map_err(|_| OriginError::NotUrl)?;
        Ok(Self { scheme, host: Arc::from(bare), port, authority: authority.into(), host_field })
    }
}

/// The authority holds host and port.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.authority == other.authority
    }
}

impl Eq for Origin {}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.authority.hash(state);
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (text, shown, host, port) in [
            (
                "https://smhxxx.api.tencentsmh.cn",
                "https://smhxxx.api.tencentsmh.cn",
                "smhxxx.api.tencentsmh.cn",
                443,
            ),
            ("https://H.example:443/", "https://h.example", "h.example", 443),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1", 9000),
            ("http://[::1]:9000", "http://[::1]:9000", "::1", 9000),
        ] {
            let origin = Origin::try_from(text).unwrap();
            assert_eq!(
                (origin.to_string().as_str(), origin.host(), origin.port()),
                (shown, host, port)
            );
        }
    }

    #[test]
    fn everything_else_of_a_url_is_refused() {
        for (text, error) in [
            ("", OriginError::NotUrl),
            ("smhxxx.api.tencentsmh.cn", OriginError::Scheme),
            ("ftp://h", OriginError::Scheme),
            ("https://", OriginError::NotUrl),
            ("https://u:p@h", OriginError::UserInfo),
            ("https://h/api", OriginError::Path),
            ("https://h/?x", OriginError::Path),
            ("https://h/#x", OriginError::Path),
            ("https://h:99999", OriginError::NotUrl),
            ("https://[x]", OriginError::NotUrl),
        ] {
            assert_eq!(Origin::try_from(text), Err(error), "{text:?}");
        }
    }
}
