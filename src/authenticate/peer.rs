//! The other end of a connection, and the certificate that it presented.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::authenticate::certificate::ClientCertificate;
use crate::authenticate::spiffe::SpiffeId;
use crate::refusal::CertificateFault;

/// Who is at the other end of a connection, as far as the connection tells.
#[derive(Debug)]
pub struct Peer {
    /// Where it comes from.
    pub address: PeerAddress,
    /// The client certificate of a TLS connection, if one was presented.
    pub certificate: Option<Presented>,
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A process of this machine, by what the kernel says of it.
    Unix {
        /// Its effective user.
        uid: u32,
        /// Its process id, where it has one in this container.
        pid: Option<i32>,
    },
}

impl PeerAddress {
    /// Whether it is this machine, or this pod.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => true,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        PeerAddress::Tcp(address).into()
    }
}

impl From<PeerAddress> for Peer {
    fn from(address: PeerAddress) -> Self {
        Self { address, certificate: None }
    }
}

/// The CAs that a listener trusts to sign callers' certificates, as they were read once.
pub struct ClientCas(Arc<dyn ClientCertVerifier>);

impl ClientCas {
    /// Behind a verifier that was made of them.
    #[must_use]
    pub fn new(verifier: Arc<dyn ClientCertVerifier>) -> Self {
        Self(verifier)
    }

    /// For handshakes.
    #[must_use]
    pub fn verifier(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.0
    }

    fn vouch_for(&self, chain: &[CertificateDer<'static>], now: SystemTime) -> bool {
        let Some((leaf, between)) = chain.split_first() else { return false };
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.verify_client_cert(leaf, between, UnixTime::since_unix_epoch(now)).is_ok()
    }
}

/// The CAs in force, which change with their file.
pub struct ClientTrust(ArcSwap<ClientCas>);

impl ClientTrust {
    /// Trust in these CAs.
    #[must_use]
    pub fn new(cas: Arc<ClientCas>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(cas)))
    }

    /// The CAs in force.
    #[must_use]
    pub fn cas(&self) -> Arc<ClientCas> {
        self.0.load_full()
    }

    /// Trusts these from now on, and no others.
    pub fn replace(&self, cas: Arc<ClientCas>) {
        self.0.store(cas);
    }
}

/// Who vouches for the certificates of a handshake, and where to look whether they are still
/// trusted.
pub struct Vouching {
    /// The CAs in force at any time.
    pub trust: Arc<ClientTrust>,
    /// Those that this handshake is verified by.
    pub cas: Arc<ClientCas>,
}

/// A certificate that was verified when its connection was made. Whether it still holds is asked
/// for every request: it may have expired, or its CA may have been withdrawn, and neither TLS nor a
/// resumed session looks again.
pub struct Presented {
    certificate: ClientCertificate,
    trust: Arc<ClientTrust>,
    judged: Mutex<Judged>,
}

struct Judged {
    by: Arc<ClientCas>,
    good: bool,
    at: SystemTime,
}

impl Presented {
    /// A chain that was verified at this time. `None`: long ago, in the handshake that was resumed.
    #[must_use]
    pub fn new(
        chain: &[CertificateDer<'_>],
        vouching: Vouching,
        verified: Option<SystemTime>,
    ) -> Self {
        let at = verified.unwrap_or(UNIX_EPOCH);
        Self {
            certificate: ClientCertificate::read(chain),
            trust: vouching.trust,
            judged: Mutex::new(Judged { by: vouching.cas, good: true, at }),
        }
    }

    /// The last second at which the certificate is good; `None` where it cannot be read.
    #[must_use]
    pub const fn not_after(&self) -> Option<SystemTime> {
        self.certificate.not_after()
    }

    /// The SPIFFE id that the certificate proves at this time.
    ///
    /// # Errors
    /// [`CertificateFault`]: what keeps it from proving one.
    pub fn spiffe_id(&self, now: SystemTime) -> Result<&SpiffeId, CertificateFault> {
        if self.not_after().is_some_and(|last| last < now) {
            return Err(CertificateFault::Expired);
        }
        let cas = self.trust.0.load();
        let mut judged = self.judged.lock();
        let age = now.duration_since(judged.at).unwrap_or_default();
        if !Arc::ptr_eq(&judged.by, &cas) || age > JUDGED_FOR {
            let good = cas.vouch_for(self.certificate.chain(), now);
            *judged = Judged { by: Arc::clone(&cas), good, at: now };
        }
        if !judged.good {
            return Err(CertificateFault::Distrusted);
        }
        self.certificate.identity()
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// How long a verified chain is believed: what stands between the leaf and its root can expire, too.
const JUDGED_FOR: Duration = Duration::from_secs(60);
