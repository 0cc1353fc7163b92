//! TLS of a listener: certificate, key and client CAs from files that are followed.
//!
//! Replaced as a whole or not at all: a new certificate without its key, say, leaves the old pair in
//! force. A connection keeps what it was made with, but not its trust in a client CA that has gone:
//! see [`crate::authenticate::Presented`].

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::authenticate::certificate;
use crate::authenticate::{ClientCas, ClientTrust, Vouching};

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
    /// What was looked at last, good or bad.
    looked_at: Mutex<Digests>,
}

struct InForce {
    config: Arc<ServerConfig>,
    /// Those that the configuration verifies with.
    cas: Option<Arc<ClientCas>>,
    expires: Option<SystemTime>,
}

/// The files as they were read.
struct Contents {
    certificate: Vec<u8>,
    private_key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Digests {
    pair: [u8; 32],
    client_ca: Option<[u8; 32]>,
}

impl ServerTls {
    /// Reads the files for the first time. A certificate that has expired is taken even so: the
    /// other listeners must not stay closed because of it.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let cas = contents.cas(&files)?;
        let config = contents.config(&files, cas.as_ref())?;
        let expires = contents.expires(&files)?;
        Ok(Self {
            looked_at: Mutex::new(contents.digests()),
            trust: cas.clone().map(ClientTrust::new),
            in_force: ArcSwap::from_pointee(InForce { config, cas, expires }),
            files,
        })
    }

    /// Looks at the files again, and says whether something else is in force now. Blocks on files,
    /// so not for a thread that serves.
    ///
    /// # Errors
    /// [`TlsError`]; what was in force stays.
    pub fn refresh(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.files)?;
        let now = contents.digests();
        let mut before = self.looked_at.lock();
        if *before == now {
            return Ok(false);
        }
        // A mount is swapped between two reads: half old and half new is not to be complained about.
        if Contents::read(&self.files)?.digests() != now {
            return Ok(false);
        }
        let cas = if before.client_ca == now.client_ca {
            // The same CAs stay the same object: connections need not be verified again.
            self.in_force.load().cas.clone()
        } else {
            contents.cas(&self.files)?
        };
        let config = contents.config(&self.files, cas.as_ref())?;
        let expires = contents.expires(&self.files)?;
        if expires.is_some_and(|expires| expires <= SystemTime::now()) {
            return Err(TlsError::Expired(shown(&self.files.certificate)));
        }
        if let (Some(trust), Some(cas)) = (&self.trust, &cas) {
            trust.replace(Arc::clone(cas));
        }
        self.in_force.store(Arc::new(InForce { config, cas, expires }));
        *before = now;
        Ok(true)
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

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?.to_vec(),
            private_key: read(&files.private_key)?,
            client_ca: files
                .client_ca
                .as_deref()
                .map(|path| read(path).map(|ca| ca.to_vec()))
                .transpose()?,
        })
    }

    fn digests(&self) -> Digests {
        let pair = Sha256::new()
            .chain_update(Sha256::digest(&self.certificate))
            .chain_update(Sha256::digest(&*self.private_key));
        let client_ca = self.client_ca.as_ref().map(|ca| Sha256::digest(ca).into());
        Digests { pair: pair.finalize().into(), client_ca }
    }

    fn chain(&self, files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        certificates(&self.certificate, &files.certificate)
    }

    fn expires(&self, files: &TlsFiles) -> Result<Option<SystemTime>, TlsError> {
        Ok(self.chain(files)?.first().and_then(certificate::expires))
    }

    fn cas(&self, files: &TlsFiles) -> Result<Option<Arc<ClientCas>>, TlsError> {
        let (Some(pem), Some(path)) = (&self.client_ca, &files.client_ca) else { return Ok(None) };
        let mut roots = RootCertStore::empty();
        for ca in certificates(pem, path)? {
            // To rustls whatever is trusted may sign: a caller's own certificate here could name
            // anybody.
            if !certificate::is_ca(&ca) {
                return Err(TlsError::Leaf(shown(path)));
            }
            roots.add(ca).map_err(|error| TlsError::NotCa(shown(path), error))?;
        }
        // A caller may have another credential: whether it needs this one is not TLS's to say.
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Some(Arc::new(ClientCas::new(verifier))))
    }

    fn config(
        &self,
        files: &TlsFiles,
        cas: Option<&Arc<ClientCas>>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let key = PrivateKeyDer::from_pem_slice(&self.private_key)
            .map_err(|_| TlsError::NotPem(shown(&files.private_key), "private key"))?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        let builder = match cas {
            Some(cas) => builder.with_client_cert_verifier(Arc::clone(cas.verifier())),
            None => builder.with_no_client_auth(),
        };
        let pair =
            |error| TlsError::Pair(shown(&files.certificate), shown(&files.private_key), error);
        let mut config = builder.with_single_cert(self.chain(files)?, key).map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Of its own: a session that an earlier client CA vouched for ends with that CA.
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = || TlsError::NotPem(shown(path), "certificate");
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(none)
}

/// The room is there from the start, so that no half-filled buffer with a key is left behind.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let read = || {
        // Opening a FIFO would wait for somebody to write to it.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_BYTES {
            return Err(io::Error::other("it is too large"));
        }
        Ok(bytes)
    };
    read().map_err(|error| TlsError::Unreadable(shown(path), error))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Largest file, in bytes: a bundle of all public CAs is a fifth of it.
const MAX_BYTES: usize = 1 << 20;

/// Sessions that can be resumed; each holds its caller's certificate, which is some 2 KiB.
const SESSIONS: usize = 1024;
