//! Certificates to try: whatever a CA could issue, and what none should.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls::pki_types::CertificateDer;

/// A CA, or a CA below one.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) certificate: CertificateDer<'static>,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::root(name, |_| {})
    }

    pub(super) fn root(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), ca(name, change));
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub(super) fn intermediate(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (key, params) = (KeyPair::generate().unwrap(), ca(name, change));
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// A leaf with these URIs.
    pub(super) fn leaf(&self, uris: &[&str]) -> CertificateDer<'static> {
        self.leaf_with(uris, |_| {})
    }

    pub(super) fn leaf_with(
        &self,
        uris: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = leaf(uris);
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap().der().clone()
    }
}

pub(super) fn leaf(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names = uris.iter().map(|text| uri(text)).collect();
    params
}

fn ca(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = common_name(name);
    change(&mut params);
    params
}

pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

pub(super) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// An extension that rcgen would not write by itself: `id-ce` and this number.
pub(super) fn extension(number: u64, content: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, number], content);
    extension.set_criticality(true);
    extension
}

/// One tag with its content, which is short.
pub(super) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    assert!(length < 0x80, "short lengths only");
    [&[tag, length], content].concat()
}
