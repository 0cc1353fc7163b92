//! TLS of a listener: certificate, key and client CAs from files that are followed.
//!
//! Certificate and key are replaced together or not at all: a new certificate without its key leaves
//! the old pair in force. A connection keeps what it was made with, but not its trust in a client CA that has gone:
//! see [`crate::authenticate::Presented`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::authenticate::certificate;
use crate::authenticate::{ClientCas, ClientTrust, Vouching};
use crate::files;

/// The files that a TLS listener is made of, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those between it and its root.
    pub certificate: PathBuf,
    /// Its key.
    pub private_key: PathBuf,
    /// The CAs that sign callers' certificates; `None`: callers are not asked for any.
    pub client_ca: Option<PathBuf>,
}

/// Why the files make no listener. Nothing of the key is told.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0}: cannot be read")]
    Unreadable(String, #[source] io::Error),
    /// A file holds something else.
    #[error("{0}: holds no {1} in PEM")]
    NotPem(String, &'static str),
    /// A CA is none.
    #[error("{0}: holds a certificate that cannot be a CA: {1}")]
    NotCa(String, rustls::Error),
    /// A certificate that is not marked as a CA's would sign for everybody.
    #[error("{0}: holds a certificate that is no CA's")]
    Leaf(String),
    /// Certificate and key do not belong together, or one of them cannot be used.
    #[error("{0} and {1}: cannot be used together: {2}")]
    Pair(String, String, rustls::Error),
    /// The new certificate is of no use to anybody.
    #[error("{0}: the certificate has expired")]
    Expired(String),
    /// rustls cannot be set up with what was read.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// What is in force, and the files it came from.
pub struct ServerTls {
    files: TlsFiles,
    in_force: ArcSwap<InForce>,
    trust: Option<Arc<ClientTrust>>,
    /// Of the files that what is in force was read from.
    taken: Mutex<Digests>,
    /// When the sessions were forgotten last.
    forgotten: Mutex<Option<Instant>>,
}

struct InForce {
    config: Arc<ServerConfig>,
    pair: Arc<CertifiedKey>,
    /// Those that the configuration verifies with.
    cas: Option<Arc<ClientCas>>,
    expires: Option<SystemTime>,
}

/// The files as they were read.
struct Contents {
    certificate: Result<Zeroizing<Vec<u8>>, TlsError>,
    private_key: Result<Zeroizing<Vec<u8>>, TlsError>,
    client_ca: Option<Result<Zeroizing<Vec<u8>>, TlsError>>,
}

/// `None` where a file cannot be read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Digests {
    pair: Option<[u8; 32]>,
    client_ca: Option<[u8; 32]>,
}

/// What another look at the files led to.
#[derive(Debug)]
pub enum Refreshed {
    /// They are as they were, or cannot be had.
    Unchanged,
    /// They are just being replaced: nothing can be said yet.
    Unsettled,
    /// Something else is in force.
    Taken,
}

impl ServerTls {
    /// Reads the files for the first time. A certificate that has expired is taken even so: the
    /// other listeners must not stay closed because of it.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files);
        let taken = contents.digests();
        let Contents { certificate, private_key, client_ca } = contents;
        let cas = client_ca.transpose()?.map(|pem| cas(&pem, &files)).transpose()?;
        let pair = pair(&certificate?, &private_key?, &files)?;
        let in_force = InForce::new(pair, cas)?;
        Ok(Self {
            taken: Mutex::new(taken),
            forgotten: Mutex::default(),
            trust: in_force.cas.clone().map(ClientTrust::new),
            in_force: ArcSwap::from_pointee(in_force),
            files,
        })
    }

    /// Looks at the files again. Certificate and key are taken together, the CAs by themselves: one
    /// that is withdrawn must not stay trusted because of a certificate that will not do. Blocks on
    /// files, so not for a thread that serves.
    pub fn refresh(&self) -> (Refreshed, Option<TlsError>) {
        let contents = Contents::read(&self.files);
        let now = contents.digests();
        let mut taken = self.taken.lock();
        // A mount is swapped between two reads: half old and half new is not to be complained about.
        if *taken != now && Contents::read(&self.files).digests() != now {
            return (Refreshed::Unsettled, None);
        }
        let Contents { certificate, private_key, client_ca } = contents;
        let before = self.in_force.load_full();
        let new_cas = match client_ca {
            Some(pem) if taken.client_ca != now.client_ca => {
                Some(pem.and_then(|pem| cas(&pem, &self.files)).map(Some))
            }
            // The same CAs stay the same object: connections need not be verified again.
            _ => None,
        };
        let new_pair = (taken.pair != now.pair).then(|| {
            let pair = pair(&certificate?, &private_key?, &self.files)?;
            if expires(&pair).is_some_and(|expires| expires <= SystemTime::now()) {
                return Err(TlsError::Expired(shown(&self.files.certificate)));
            }
            Ok(pair)
        });
        let mut wrong = None;
        let (cas, has_new_cas) = newer(new_cas, before.cas.clone(), &mut wrong);
        let (pair, has_new_pair) = newer(new_pair, Arc::clone(&before.pair), &mut wrong);
        if !has_new_cas && !has_new_pair {
            return (Refreshed::Unchanged, wrong);
        }
        match InForce::new(pair, cas) {
            Ok(in_force) => {
                if let (Some(trust), Some(cas)) = (&self.trust, &in_force.cas) {
                    trust.replace(Arc::clone(cas));
                }
                self.in_force.store(Arc::new(in_force));
                if has_new_cas {
                    taken.client_ca = now.client_ca;
                }
                if has_new_pair {
                    taken.pair = now.pair;
                }
                (Refreshed::Taken, wrong)
            }
            Err(error) => (Refreshed::Unchanged, Some(error)),
        }
    }

    /// For the next handshake: how to speak, and who will have vouched for the caller's certificate.
    #[must_use]
    pub fn for_handshake(&self) -> (Arc<ServerConfig>, Option<Vouching>) {
        let in_force = self.in_force.load();
        let vouching = self
            .trust
            .as_ref()
            .zip(in_force.cas.as_ref())
            .map(|(trust, cas)| Vouching { trust: Arc::clone(trust), cas: Arc::clone(cas) });
        (Arc::clone(&in_force.config), vouching)
    }

    /// Has every caller shake hands anew, with the certificate that it has then; once in a while, since
    /// who causes it may have no better one.
    pub fn forget_sessions(&self) {
        let mut forgotten = self.forgotten.lock();
        if forgotten.is_none_or(|at| at.elapsed() > FORGET_INTERVAL) {
            *forgotten = Some(Instant::now());
            self.in_force.rcu(|now| now.with_sessions_of_its_own());
        }
    }

    /// When the certificate in force ends.
    #[must_use]
    pub fn expires(&self) -> Option<SystemTime> {
        self.in_force.load().expires
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("files", &self.files).finish_non_exhaustive()
    }
}

impl InForce {
    fn new(pair: Arc<CertifiedKey>, cas: Option<Arc<ClientCas>>) -> Result<Self, TlsError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let builder = match &cas {
            Some(cas) => builder.with_client_cert_verifier(Arc::clone(cas.verifier())),
            None => builder.with_no_client_auth(),
        };
        let resolver = SingleCertAndKey::from(Arc::clone(&pair));
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Of its own: a session that an earlier client CA vouched for ends with that CA.
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.send_tls13_tickets = 1;
        let expires = expires(&pair);
        Ok(Self { config: Arc::new(config), pair, cas, expires })
    }

    fn with_sessions_of_its_own(&self) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        let (pair, cas) = (Arc::clone(&self.pair), self.cas.clone());
        Self { config: Arc::new(config), pair, cas, expires: self.expires }
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Self {
        Self {
            certificate: read(&files.certificate),
            private_key: read(&files.private_key),
            client_ca: files.client_ca.as_deref().map(read),
        }
    }

    fn digests(&self) -> Digests {
        let of = |pem: &Result<Zeroizing<Vec<u8>>, TlsError>| {
            pem.as_ref().ok().map(|pem| Sha256::digest(&**pem))
        };
        let pair = of(&self.certificate).zip(of(&self.private_key));
        Digests {
            pair: pair.map(|(one, other)| {
                Sha256::new().chain_update(one).chain_update(other).finalize().into()
            }),
            client_ca: self.client_ca.as_ref().and_then(of).map(Into::into),
        }
    }
}

/// What there is that can be used, and whether that is the new.
fn newer<T>(
    new: Option<Result<T, TlsError>>,
    before: T,
    wrong: &mut Option<TlsError>,
) -> (T, bool) {
    match new {
        Some(Ok(new)) => (new, true),
        Some(Err(error)) => {
            *wrong = Some(error);
            (before, false)
        }
        None => (before, false),
    }
}

fn pair(certificate: &[u8], key: &[u8], files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(certificate, &files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| TlsError::NotPem(shown(&files.private_key), "private key"))?;
    let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| {
        TlsError::Pair(shown(&files.certificate), shown(&files.private_key), error)
    })?;
    Ok(Arc::new(pair))
}

fn expires(pair: &CertifiedKey) -> Option<SystemTime> {
    pair.cert.first().and_then(certificate::expires)
}

fn cas(pem: &[u8], files: &TlsFiles) -> Result<Arc<ClientCas>, TlsError> {
    let name = files.client_ca.as_deref().map(shown).unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for ca in certificates(pem, files.client_ca.as_deref().unwrap_or(Path::new("")))? {
        // To rustls whatever is trusted may sign: a caller's own certificate here could name
        // anybody.
        if !certificate::is_ca(&ca) {
            return Err(TlsError::Leaf(name));
        }
        roots.add(ca).map_err(|error| TlsError::NotCa(name.clone(), error))?;
    }
    // A caller may have another credential: whether it needs this one is not TLS's to say.
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(Arc::new(ClientCas::new(verifier)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NotPem(shown(path), "certificate");
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(none)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    files::read(path, MAX_BYTES).map_err(|error| TlsError::Unreadable(shown(path), error))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Largest file, in bytes: a bundle of all public CAs is a fifth of it.
const MAX_BYTES: usize = 1 << 20;

/// Full handshakes for everybody cost something: not more often than this.
const FORGET_INTERVAL: Duration = Duration::from_secs(10);

/// Sessions that can be resumed; each holds its caller's certificate, which is some 2 KiB.
const SESSIONS: usize = 1024;
