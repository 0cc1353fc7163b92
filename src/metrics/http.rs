//! What is counted of HTTP itself, by the names, labels and buckets of OpenTelemetry's semantic
//! conventions, so that the boards and alerts of others show this gateway as well.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Registry, Unit};

use crate::directory::Library;
use crate::metrics::Latency;
use crate::origin::Scheme;
use crate::refusal::{Code, UpstreamFault};

/// Answers to callers, and of SMH.
pub struct HttpMetrics {
    served: Family<Served, Latency>,
    /// What nearly all deletes come to, without a lookup: by scheme, then as in [`USUAL`].
    usual: [[OnceLock<Latency>; USUAL.len()]; 2],
    called: Family<Called, Latency>,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Via {
    method: &'static str,
    scheme: Scheme,
}

impl Via {
    /// Over TLS or not, with a method that is not known yet.
    #[must_use]
    pub const fn new(scheme: Scheme) -> Self {
        Self { method: OTHER, scheme }
    }

    /// The method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        self.method
    }

    /// The scheme, in lower case.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        if self.scheme == Scheme::Http { "http" } else { "https" }
    }

    /// With this method. A caller can make one up: those that nobody knows are one.
    #[must_use]
    pub fn with_method(self, method: &Method) -> Self {
        let known = KNOWN.into_iter().find(|known| *known == method.as_str());
        Self { method: known.unwrap_or(OTHER), ..self }
    }
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Served {
    via: Via,
    status: u16,
    /// What an answer of the gateway's own says is wrong.
    error: Option<Code>,
}

/// A request to SMH.
#[derive(Clone, Debug)]
struct Called {
    library: Arc<Library>,
    /// With a status, or with none.
    ended: Result<u16, UpstreamFault>,
}

impl HttpMetrics {
    /// Without a prefix: these names are everyone's.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let (served, called) = (Family::default(), Family::default());
        let help = "From the whole request head of a caller to the whole answer";
        let name = "http_server_request_duration";
        registry.register_with_unit(name, help, Unit::Seconds, Family::clone(&served));
        let help = "From a delete with its token to the whole answer of SMH, or to what went wrong";
        let name = "http_client_request_duration";
        registry.register_with_unit(name, help, Unit::Seconds, Family::clone(&called));
        Self { served, usual: Default::default(), called }
    }

    /// An answer of SMH's was relayed.
    pub(super) fn relayed(&self, via: Via, status: u16, took: Duration) {
        let found = || self.served(&Served { via, status, error: None });
        match self.usual(via, status) {
            Some(usual) => usual.get_or_init(found).observe(took),
            None => found().observe(took),
        }
    }

    /// A caller was told something of the gateway's own.
    pub(super) fn answered(&self, via: Via, status: u16, code: Option<Code>, took: Duration) {
        let error = code.filter(|_| status >= 500);
        self.served(&Served { via, status, error }).observe(took);
    }

    /// SMH was asked.
    pub fn called(
        &self,
        library: &Arc<Library>,
        ended: Result<u16, UpstreamFault>,
        took: Duration,
    ) {
        let called = Called { library: Arc::clone(library), ended };
        self.called.get_or_create(&called).observe(took);
    }

    fn usual(&self, via: Via, status: u16) -> Option<&OnceLock<Latency>> {
        let [plain, tls] = &self.usual;
        let of_scheme = if via.scheme == Scheme::Http { plain } else { tls };
        let position = USUAL.iter().position(|usual| *usual == status);
        position.filter(|_| via.method == DELETE).and_then(|position| of_scheme.get(position))
    }

    fn served(&self, labels: &Served) -> Latency {
        self.served.get_or_create_owned(labels)
    }
}

impl EncodeLabelSet for Served {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        ("http_request_method", self.via.method).encode(encoder.encode_label())?;
        ("url_scheme", self.via.scheme()).encode(encoder.encode_label())?;
        ("http_response_status_code", self.status).encode(encoder.encode_label())?;
        match self.error {
            Some(code) => ("error_type", code.name()).encode(encoder.encode_label()),
            None if self.status >= 500 => {
                ("error_type", self.status).encode(encoder.encode_label())
            }
            None => Ok(()),
        }
    }
}

impl EncodeLabelSet for Called {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        let origin = &self.library.origin;
        ("http_request_method", DELETE).encode(encoder.encode_label())?;
        ("server_address", origin.host()).encode(encoder.encode_label())?;
        ("server_port", origin.port()).encode(encoder.encode_label())?;
        ("library", self.library.id.as_str()).encode(encoder.encode_label())?;
        match self.ended {
            Err(fault) => ("error_type", fault.as_str()).encode(encoder.encode_label()),
            Ok(status) => {
                ("http_response_status_code", status).encode(encoder.encode_label())?;
                if status < 400 {
                    return Ok(());
                }
                ("error_type", status).encode(encoder.encode_label())
            }
        }
    }
}

/// The name alone: what is equal has the same, and no text is hashed for a delete.
impl Hash for Called {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.library.fingerprint.hash(state);
        self.ended.hash(state);
    }
}

/// A reload may give a library another origin; while it does not, it is mostly the very same.
impl PartialEq for Called {
    fn eq(&self, other: &Self) -> bool {
        self.ended == other.ended
            && (Arc::ptr_eq(&self.library, &other.library)
                || (self.library.id == other.library.id
                    && self.library.origin == other.library.origin))
    }
}

impl Eq for Called {}

/// The statuses that nearly all deletes end with.
const USUAL: [u16; 3] = [200, 204, 404];

const DELETE: &str = "DELETE";

/// As the conventions name what is no method they know.
const OTHER: &str = "_OTHER";

/// RFC 9110 and RFC 5789, the one that is served first.
const KNOWN: [&str; 9] =
    [DELETE, "GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
