//! What rustls refuses before a certificate is read here, so that no update changes it unseen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, GeneralSubtree, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::ClientCertificate;
use super::issue::{Ca, der, extension, leaf};
use crate::refusal::CertificateFault;

const GOOD: &str = "spiffe://good.example/x";

fn verify(root: &Ca, chain: &[CertificateDer<'static>]) -> Result<(), CertificateError> {
    let mut roots = RootCertStore::empty();
    roots.add(root.certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let (leaf, intermediates) = chain.split_first().unwrap();
    match verifier.build().unwrap().verify_client_cert(leaf, intermediates, UnixTime::now()) {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// What webpki says and rustls has no variant for.
fn other(result: Result<(), CertificateError>) -> String {
    match result {
        Err(CertificateError::Other(error)) => error.to_string(),
        result => panic!("{result:?}"),
    }
}

#[test]
fn a_leaf_of_the_ca_is_taken() {
    let root = Ca::new("root");
    assert_eq!(verify(&root, &[root.leaf(&[GOOD])]), Ok(()));
    let below = root.intermediate("below", |_| {});
    assert_eq!(verify(&root, &[below.leaf(&[GOOD]), below.certificate.clone()]), Ok(()));
}

#[test]
fn a_leaf_is_taken_only_in_its_time() {
    let (root, hour) = (Ca::new("root"), Duration::from_hours(1));
    let expired = |params: &mut CertificateParams| {
        params.not_after = (SystemTime::now() - hour).into();
    };
    let early = |params: &mut CertificateParams| {
        params.not_before = (SystemTime::now() + hour).into();
    };
    let result = verify(&root, &[root.leaf_with(&[GOOD], expired)]);
    assert!(matches!(result, Err(CertificateError::ExpiredContext { .. })), "{result:?}");
    let result = verify(&root, &[root.leaf_with(&[GOOD], early)]);
    assert!(matches!(result, Err(CertificateError::NotValidYetContext { .. })), "{result:?}");

    let below = root.intermediate("below", expired);
    let result = verify(&root, &[below.leaf(&[GOOD]), below.certificate.clone()]);
    assert!(matches!(result, Err(CertificateError::ExpiredContext { .. })), "{result:?}");
}

/// Anchors are names and keys: a root is trusted until its file is replaced.
#[test]
fn the_time_of_a_root_does_not_count() {
    let root = Ca::root("root", |params| {
        params.not_after = (SystemTime::now() - Duration::from_hours(1)).into();
    });
    assert_eq!(verify(&root, &[root.leaf(&[GOOD])]), Ok(()));
}

/// Nor does it have to be a CA: whoever has the key of what operators put among the roots can sign.
#[test]
fn what_stands_among_the_roots_is_a_ca() {
    let root = Ca::root("root", |params| params.is_ca = rcgen::IsCa::NoCa);
    assert_eq!(verify(&root, &[root.leaf(&[GOOD])]), Ok(()));
}

#[test]
fn a_leaf_of_another_ca_is_refused() {
    let (root, stranger, namesake) = (Ca::new("root"), Ca::new("stranger"), Ca::new("root"));
    let result = verify(&root, &[stranger.leaf(&[GOOD]), stranger.certificate.clone()]);
    assert_eq!(result, Err(CertificateError::UnknownIssuer));
    let result = verify(&root, &[namesake.leaf(&[GOOD]), namesake.certificate.clone()]);
    assert_eq!(result, Err(CertificateError::BadSignature));
    let own = leaf(&[GOOD]).self_signed(&KeyPair::generate().unwrap()).unwrap();
    assert_eq!(verify(&root, &[own.der().clone()]), Err(CertificateError::UnknownIssuer));
}

#[test]
fn a_leaf_is_no_ca_and_signs_nothing() {
    let root = Ca::new("root");
    let below = root.intermediate("below", |params| {
        params.subject_alt_names = leaf(&[GOOD]).subject_alt_names;
    });
    assert_eq!(other(verify(&root, &[below.certificate])), "CaUsedAsEndEntity");
    // The root itself is not taken as a leaf either.
    assert_eq!(other(verify(&root, std::slice::from_ref(&root.certificate))), "CaUsedAsEndEntity");

    let no_ca = root.intermediate("no CA", |params| params.is_ca = rcgen::IsCa::NoCa);
    let result = verify(&root, &[no_ca.leaf(&[GOOD]), no_ca.certificate.clone()]);
    assert_eq!(other(result), "EndEntityUsedAsCa");
}

/// rustls leaves key usages alone, so they are read here.
#[test]
fn key_usages_do_not_count() {
    let root = Ca::new("root");
    let signing = root.leaf_with(&[GOOD], |params| {
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    let chain = [signing];
    assert_eq!(verify(&root, &chain), Ok(()));
    assert_eq!(ClientCertificate::read(&chain).identity(), Err(CertificateFault::Authority));
}

#[test]
fn a_leaf_for_servers_alone_is_refused() {
    let root = Ca::new("root");
    let purposes = |purposes: &[ExtendedKeyUsagePurpose]| {
        let purposes = purposes.to_vec();
        let leaf = root.leaf_with(&[GOOD], |params| params.extended_key_usages = purposes);
        verify(&root, &[leaf])
    };
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    assert_eq!(purposes(&[]), Ok(()), "no purposes are any purpose");
    assert_eq!(purposes(&[ServerAuth, ClientAuth]), Ok(()));
    for refused in [ServerAuth, Any] {
        let result = purposes(&[refused]);
        assert!(
            matches!(result, Err(CertificateError::InvalidPurposeContext { .. })),
            "{result:?}"
        );
    }
}

#[derive(Clone, Copy)]
enum Subtrees {
    Permitted = 0xa0,
    Excluded = 0xa1,
}

/// Name constraints on URIs, which rcgen cannot write.
fn uri_constraint(subtrees: Subtrees, host: &str) -> impl Fn(&mut CertificateParams) {
    let tree = der(0x30, &der(0x86, host.as_bytes()));
    let content = der(0x30, &der(subtrees as u8, &tree));
    move |params| params.custom_extensions = vec![extension(30, content.clone())]
}

/// With the same constraints in the root, which is an anchor, in a CA below it, and two below.
fn constrained(
    constrain: impl Fn(&mut CertificateParams),
    uris: &[&str],
) -> [Result<(), CertificateError>; 3] {
    let anchor = Ca::root("root", &constrain);
    let root = Ca::new("root");
    let below = root.intermediate("below", &constrain);
    let lowest = below.intermediate("lowest", |_| {});
    [
        verify(&anchor, &[anchor.leaf(uris)]),
        verify(&root, &[below.leaf(uris), below.certificate.clone()]),
        verify(&root, &[lowest.leaf(uris), lowest.certificate.clone(), below.certificate.clone()]),
    ]
}

/// webpki does not weigh URI constraints. It takes each as violated by any URI at all, in an
/// anchor as in an intermediate: whom a CA may not name, it cannot name, and nothing has to be
/// checked here. The cost: a CA with such constraints cannot name those it may either.
#[test]
fn under_uri_constraints_no_uri_is_taken() {
    for (subtrees, host, uri) in [
        (Subtrees::Excluded, "evil.example", "spiffe://evil.example/x"),
        (Subtrees::Excluded, ".example", "spiffe://evil.example/x"),
        (Subtrees::Excluded, "evil.example", GOOD),
        (Subtrees::Permitted, "good.example", "spiffe://evil.example/x"),
        (Subtrees::Permitted, ".good.example", GOOD),
        (Subtrees::Permitted, "good.example", GOOD),
    ] {
        for result in constrained(uri_constraint(subtrees, host), &[uri]) {
            assert_eq!(other(result), "NameConstraintViolation", "{host} {uri}");
        }
    }
    let no_uri = constrained(uri_constraint(Subtrees::Permitted, "good.example"), &[]);
    assert_eq!(no_uri, [Ok(()), Ok(()), Ok(())]);
}

/// RFC 5280, 4.2.1.10: constraints are on names of their own kind. A CA that may name only some
/// hosts may still name any SPIFFE id.
#[test]
fn dns_constraints_leave_uris_alone() {
    let constrain = |params: &mut CertificateParams| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("good.example".to_owned())],
            excluded_subtrees: vec![GeneralSubtree::DnsName("evil.example".to_owned())],
        });
    };
    assert_eq!(constrained(constrain, &["spiffe://evil.example/x"]), [Ok(()), Ok(()), Ok(())]);
}

/// A constraint of an intermediate that is sent along, but signed nothing, says nothing.
#[test]
fn constraints_beside_the_path_do_not_count() {
    let root = Ca::new("root");
    let beside = root.intermediate("beside", uri_constraint(Subtrees::Permitted, "other.example"));
    assert_eq!(verify(&root, &[root.leaf(&[GOOD]), beside.certificate]), Ok(()));
}
