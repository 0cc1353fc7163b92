//! What a client certificate says, after rustls has verified that a trusted CA signed it.
//!
//! After the X.509-SVID standard, sections 2, 4 and 5.2. Who a client is stands in the one URI of
//! its subject alternative names and nowhere else: the subject, its common name included, is never
//! looked at. rustls verifies signatures, times, purposes and name constraints, and that a leaf
//! is no CA; `certificate/verifier.rs` holds it to that. It does not read key usages, nor how many
//! names there are.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_SUBJECT_ALT_NAME, Oid,
};
use x509_parser::parse_x509_certificate;

use crate::authenticate::spiffe::SpiffeId;
use crate::refusal::CertificateFault;

/// The certificate that a client proved to have the key of, and those it sent along.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    not_after: Option<SystemTime>,
    identity: Result<SpiffeId, CertificateFault>,
}

impl ClientCertificate {
    /// Reads a chain that was verified, its leaf first.
    ///
    /// A leaf that names nobody is no error here: only a request that needs it as a credential is
    /// refused for it.
    #[must_use]
    pub fn read(chain: &[CertificateDer<'_>]) -> Self {
        let leaf = chain.first().and_then(parse);
        Self {
            chain: chain.iter().map(|certificate| certificate.clone().into_owned()).collect(),
            not_after: leaf.as_ref().map(not_after),
            identity: leaf.as_ref().ok_or(CertificateFault::Unreadable).and_then(identity),
        }
    }

    /// All that the client sent, the leaf first: to be verified again when the CAs have changed.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The last second at which the leaf is valid; `None` where it cannot be read.
    #[must_use]
    pub const fn not_after(&self) -> Option<SystemTime> {
        self.not_after
    }

    /// Whom the leaf names.
    ///
    /// # Errors
    /// [`CertificateFault`] where it names nobody, more than one, or is not for naming anybody.
    pub fn identity(&self) -> Result<&SpiffeId, CertificateFault> {
        self.identity.as_ref().map_err(|fault| *fault)
    }
}

/// The last second at which a certificate is valid; `None` where it cannot be read.
#[must_use]
pub fn expires(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    parse(certificate).as_ref().map(not_after)
}

/// Whether a certificate says that it is a CA's.
#[must_use]
pub fn is_ca(certificate: &CertificateDer<'_>) -> bool {
    let says_so = |certificate: &X509Certificate<'_>| match extension(
        certificate,
        &OID_X509_EXT_BASIC_CONSTRAINTS,
    ) {
        Ok(Some(ParsedExtension::BasicConstraints(constraints))) => constraints.ca,
        Ok(_) | Err(_) => false,
    };
    parse(certificate).as_ref().is_some_and(says_so)
}

/// `None` also where something follows: another reader could take that for the certificate.
fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Option<X509Certificate<'c>> {
    let (rest, certificate) = parse_x509_certificate(certificate).ok()?;
    rest.is_empty().then_some(certificate)
}

fn not_after(certificate: &X509Certificate<'_>) -> SystemTime {
    certificate.validity().not_after.to_datetime().into()
}

fn identity(leaf: &X509Certificate<'_>) -> Result<SpiffeId, CertificateFault> {
    if may_sign(leaf)? {
        return Err(CertificateFault::Authority);
    }
    SpiffeId::try_from(only_uri(leaf)?).map_err(|_| CertificateFault::NotSpiffe)
}

/// Whether it may sign certificates or revocation lists: then it is no leaf (X.509-SVID 5.2).
fn may_sign(leaf: &X509Certificate<'_>) -> Result<bool, CertificateFault> {
    let is_ca = match extension(leaf, &OID_X509_EXT_BASIC_CONSTRAINTS)? {
        Some(ParsedExtension::BasicConstraints(constraints)) => constraints.ca,
        None => false,
        Some(_) => return Err(CertificateFault::Unreadable),
    };
    let signs = match extension(leaf, &OID_X509_EXT_KEY_USAGE)? {
        Some(ParsedExtension::KeyUsage(usage)) => usage.key_cert_sign() || usage.crl_sign(),
        None => false,
        Some(_) => return Err(CertificateFault::Unreadable),
    };
    Ok(is_ca || signs)
}

/// The one URI among the subject alternative names. DNS names, addresses and the like may stand
/// next to it: they are for other readers.
fn only_uri<'c>(leaf: &'c X509Certificate<'_>) -> Result<&'c str, CertificateFault> {
    let names = match extension(leaf, &OID_X509_EXT_SUBJECT_ALT_NAME)? {
        Some(ParsedExtension::SubjectAlternativeName(names)) => names.general_names.as_slice(),
        None => &[],
        Some(_) => return Err(CertificateFault::Unreadable),
    };
    let mut found = None;
    for name in names {
        match name {
            GeneralName::URI(uri) => {
                if found.replace(*uri).is_some() {
                    return Err(CertificateFault::SeveralUris);
                }
            }
            // It could be a URI to others.
            GeneralName::Invalid(..) => return Err(CertificateFault::Unreadable),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_) => {}
        }
    }
    found.ok_or(CertificateFault::NoUri)
}

/// The extension of a kind. Two of them are refused: each reader could take another one.
fn extension<'c, 'd>(
    leaf: &'c X509Certificate<'d>,
    kind: &Oid<'_>,
) -> Result<Option<&'c ParsedExtension<'d>>, CertificateFault> {
    leaf.get_extension_unique(kind)
        .map(|extension| extension.map(|extension| extension.parsed_extension()))
        .map_err(|_| CertificateFault::Unreadable)
}

#[cfg(test)]
mod issue;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod verifier;
