use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{BasicConstraints, IsCa, KeyPair, KeyUsagePurpose, SanType};

use super::issue::{Ca, common_name, der, extension, leaf, uri};
use super::*;
use CertificateFault::{Authority, NoUri, NotSpiffe, SeveralUris, Unreadable};

static CA: LazyLock<Ca> = LazyLock::new(|| Ca::new("CA"));

const BILLING: &str = "spiffe://example.org/billing";

fn identity_of(leaf: CertificateDer<'static>) -> Result<String, CertificateFault> {
    ClientCertificate::read(&[leaf]).identity().map(ToString::to_string)
}

#[test]
fn the_one_uri_names_the_client() {
    assert_eq!(identity_of(CA.leaf(&[BILLING])), Ok(BILLING.to_owned()));
    let as_issued = CA.leaf_with(&[BILLING], |params| {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyAgreement];
    });
    assert_eq!(identity_of(as_issued), Ok(BILLING.to_owned()));
}

#[test]
fn names_of_other_kinds_are_not_looked_at() {
    let others = [
        SanType::DnsName("billing.example.org".try_into().unwrap()),
        SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
        SanType::Rfc822Name("billing@example.org".try_into().unwrap()),
        SanType::DnsName("spiffe://example.org/janitor".try_into().unwrap()),
    ];
    for other in others {
        let alone = CA.leaf_with(&[], |params| params.subject_alt_names.push(other.clone()));
        assert_eq!(identity_of(alone), Err(NoUri), "{other:?}");
        let before = CA.leaf_with(&[], |params| {
            params.subject_alt_names = vec![other.clone(), uri(BILLING)];
        });
        assert_eq!(identity_of(before), Ok(BILLING.to_owned()), "{other:?}");
    }
}

#[test]
fn the_common_name_is_not_looked_at() {
    let subject = |name| common_name(name);
    let alone = CA.leaf_with(&[], |params| params.distinguished_name = subject(BILLING));
    assert_eq!(identity_of(alone), Err(NoUri));
    let other = CA.leaf_with(&[BILLING], |params| {
        params.distinguished_name = subject("spiffe://example.org/janitor");
    });
    assert_eq!(identity_of(other), Ok(BILLING.to_owned()));
}

#[test]
fn anything_but_one_spiffe_id_names_nobody() {
    for (uris, fault) in [
        (&[][..], NoUri),
        (&[BILLING, "spiffe://example.org/janitor"], SeveralUris),
        (&[BILLING, BILLING], SeveralUris),
        (&[BILLING, "https://example.org/"], SeveralUris),
        (&["https://example.org/billing"], NotSpiffe),
        (&["SPIFFE://example.org/billing"], NotSpiffe),
        (&["spiffe://example.org"], NotSpiffe),
        (&["spiffe://example.org:443/billing"], NotSpiffe),
        (&["spiffe://example.org/billing?a"], NotSpiffe),
        (&["spiffe://example.org/billing#a"], NotSpiffe),
        (&["spiffe://user@example.org/billing"], NotSpiffe),
        (&["spiffe://example.org/%62illing"], NotSpiffe),
        (&["spiffe://example.org/*"], NotSpiffe),
        (&["spiffe://example.org/billing\0"], NotSpiffe),
        (&[""], NotSpiffe),
    ] {
        assert_eq!(identity_of(CA.leaf(uris)), Err(fault), "{uris:?}");
    }
}

#[test]
fn what_may_sign_others_is_no_client() {
    let ca = CA.leaf_with(&[BILLING], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    assert_eq!(identity_of(ca), Err(Authority));
    for usage in [KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign] {
        let signing = CA.leaf_with(&[BILLING], |params| {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, usage];
        });
        assert_eq!(identity_of(signing), Err(Authority), "{usage:?}");
    }
}

/// `id-ce` numbers.
const KEY_USAGE: u64 = 15;
const ALTERNATIVE_NAMES: u64 = 17;
const BASIC_CONSTRAINTS: u64 = 19;

fn with_extensions(extensions: &[(u64, &[u8])]) -> Result<String, CertificateFault> {
    identity_of(CA.leaf_with(&[BILLING], |params| {
        params.custom_extensions = extensions
            .iter()
            .map(|(number, content)| extension(*number, content.to_vec()))
            .collect();
    }))
}

#[test]
fn an_extension_that_stands_twice_is_refused() {
    let names = der(0x30, &der(0x86, BILLING.as_bytes()));
    assert_eq!(with_extensions(&[(ALTERNATIVE_NAMES, &names)]), Err(Unreadable));
    let no_ca = der(0x30, &[]);
    assert_eq!(with_extensions(&[(BASIC_CONSTRAINTS, &no_ca)]), Ok(BILLING.to_owned()));
    let twice = [(BASIC_CONSTRAINTS, no_ca.as_slice()), (BASIC_CONSTRAINTS, &no_ca)];
    assert_eq!(with_extensions(&twice), Err(Unreadable));
    let signing = [3, 2, 7, 0x80];
    assert_eq!(with_extensions(&[(KEY_USAGE, &signing)]), Ok(BILLING.to_owned()));
    assert_eq!(with_extensions(&[(KEY_USAGE, &signing), (KEY_USAGE, &signing)]), Err(Unreadable));
}

#[test]
fn an_extension_that_cannot_be_read_is_refused() {
    for (number, content) in [(KEY_USAGE, &[4, 1, 0][..]), (BASIC_CONSTRAINTS, &[0x30, 1, 0])] {
        assert_eq!(with_extensions(&[(number, content)]), Err(Unreadable), "{number}");
    }
    let own = der(0x86, BILLING.as_bytes());
    for other in [&[0x86, 1, 0xff][..], &[0x82, 1, 0xff], &[0x89, 0], &[0x86, 9, b'a'], &[0x86]] {
        let names = der(0x30, &[&own, other].concat());
        let odd = CA.leaf_with(&[], |params| {
            params.custom_extensions = vec![extension(ALTERNATIVE_NAMES, names)];
        });
        assert_eq!(identity_of(odd), Err(Unreadable), "{other:?}");
    }
}

#[test]
fn an_unknown_extension_says_nothing() {
    assert_eq!(with_extensions(&[(99, &[5, 0])]), Ok(BILLING.to_owned()));
}

#[test]
fn expiry_is_that_of_the_leaf() {
    let [noon, later] = [1_900_000_000, 4_200_000_000]
        .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    // One is written as UTCTime and the other, after 2049, as GeneralizedTime.
    for time in [noon, later] {
        let leaf = CA.leaf_with(&[BILLING], |params| params.not_after = time.into());
        assert_eq!(expires(&leaf), Some(time));
        let chain = [leaf, CA.certificate.clone()];
        let client = ClientCertificate::read(&chain);
        assert_eq!(client.not_after(), Some(time));
        assert_eq!(client.chain(), chain);
    }
}

#[test]
fn what_is_no_certificate_names_nobody_and_has_expired() {
    let mut longer = CA.leaf(&[BILLING]).to_vec();
    longer.push(0);
    for bytes in [longer, Vec::new(), vec![0x30, 0x80, 0, 0]] {
        let certificate = CertificateDer::from(bytes);
        assert_eq!(expires(&certificate), None);
        let client = ClientCertificate::read(&[certificate]);
        assert_eq!(client.identity(), Err(Unreadable));
        assert_eq!(client.not_after(), None);
    }
    assert_eq!(ClientCertificate::read(&[]).identity(), Err(Unreadable));
}

#[test]
fn only_the_leaf_names_the_client() {
    let chain = [CA.leaf(&[]), CA.leaf(&[BILLING])];
    assert_eq!(ClientCertificate::read(&chain).identity(), Err(NoUri));
}

/// A leaf with as many extensions as one is likely to have.
static RICH: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut params = leaf(&[BILLING]);
    params.subject_alt_names.push(SanType::DnsName("billing.example.org".try_into().unwrap()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn damaged_certificates_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = RICH.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let certificate = CertificateDer::from(bytes);
        let client = ClientCertificate::read(std::slice::from_ref(&certificate));
        if let Ok(id) = client.identity() {
            // What was damaged is then elsewhere, or made another id of it: never what is none.
            prop_assert_eq!(SpiffeId::try_from(id.as_str()), Ok(id.clone()));
        }
        prop_assert_eq!(client.not_after(), expires(&certificate));
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let client = ClientCertificate::read(&[CertificateDer::from(bytes)]);
        prop_assert_eq!(client.identity(), Err(Unreadable));
    }
}
