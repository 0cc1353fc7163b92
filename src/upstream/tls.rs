//! TLS towards SMH: rustls with aws-lc-rs, the public roots, and the operator's own.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};

/// Whom to believe, and how to speak. Clones are the same one.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    /// Of the operator's roots: with the public ones, which never change in a process, all that tells
    /// one from another.
    roots: [u8; 32],
    /// Numbers grow, so that of two the newer one is known.
    number: u64,
}

impl ClientTls {
    /// This one, unless it believes just the same as `held`: then `held`, so that connections and
    /// sessions made with it are still good.
    #[must_use]
    pub fn or_same(self, held: &Self) -> Self {
        if self.roots == held.roots { held.clone() } else { self }
    }

    /// Differs from that of every other that is not a clone, and is greater than that of all made
    /// before.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientTls({})", self.number)
    }
}

/// Why the roots could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file is not there, or is no PEM.
    #[error("{0}: cannot be read as PEM certificates: {1}")]
    Unreadable(String, String),
    /// The file holds no certificate.
    #[error("{0}: holds no certificate")]
    Empty(String),
    /// A certificate cannot be a root.
    #[error("{0}: holds a certificate that cannot be a root: {1}")]
    Unusable(String, rustls::Error),
    /// rustls and aws-lc-rs have no protocol version in common.
    #[error("TLS cannot be set up: {0}")]
    Provider(#[source] rustls::Error),
}

/// A configuration that trusts the public roots and those in `ca_file`, and offers HTTP/2 first.
///
/// # Errors
/// [`RootsError`] where `ca_file` is not one or more PEM certificates.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientTls, RootsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut hash = Sha256::new_with_prefix("public");
    if let Some(path) = ca_file {
        add_file(&mut roots, &mut hash, path)?;
    }
    trusting(roots, hash)
}

/// A configuration that trusts those in `ca_file` and nobody else: no public CA speaks for the API
/// server of a cluster.
///
/// # Errors
/// [`RootsError`] where `ca_file` is not one or more PEM certificates.
pub fn private_client_config(ca_file: &Path) -> Result<ClientTls, RootsError> {
    let (mut roots, mut hash) = (RootCertStore::empty(), Sha256::new_with_prefix("private"));
    add_file(&mut roots, &mut hash, ca_file)?;
    trusting(roots, hash)
}

fn trusting(roots: RootCertStore, hash: Sha256) -> Result<ClientTls, RootsError> {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(RootsError::Provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (config, number) = (Arc::new(config), MADE.fetch_add(1, Ordering::Relaxed));
    Ok(ClientTls { config, roots: hash.finalize().into(), number })
}

fn add_file(roots: &mut RootCertStore, hash: &mut Sha256, path: &Path) -> Result<(), RootsError> {
    let name = path.display().to_string();
    let unreadable = |error: rustls::pki_types::pem::Error| {
        RootsError::Unreadable(name.clone(), error.to_string())
    };
    // Opening a FIFO would wait for somebody to write to it.
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(RootsError::Unreadable(name, "it is not a regular file".to_owned()));
    }
    let mut found = false;
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        // Each by its own hash, so that where one ends and the next begins tells nothing.
        hash.update(Sha256::digest(&certificate));
        roots.add(certificate).map_err(|error| RootsError::Unusable(name.clone(), error))?;
        found = true;
    }
    if found { Ok(()) } else { Err(RootsError::Empty(name)) }
}
