//! What names a caller, and what does not.

use std::net::SocketAddr;

use super::*;
use crate::ids::CallerName;
use CredentialFault::{Conflicting, Missing, Repeated, Scheme, Unknown};

fn authenticator() -> Authenticator {
    let caller =
        |name: &str| Arc::new(Caller::new(CallerName::try_from(name).unwrap(), Vec::new()));
    let mut callers = Authenticator::default();
    callers.add_key(KeyDigest::of(b"key-of-billing-1"), &caller("billing"));
    callers.add_key(KeyDigest::of(b"key-of-janitor-1"), &caller("janitor"));
    callers.loopback = Some(caller("app"));
    callers
}

fn ask(fields: &[(&'static str, &'static str)], from: &str) -> Result<String, CredentialFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    let peer = Peer::from(from.parse::<SocketAddr>().unwrap());
    match authenticator().authenticate(&headers, &peer, SystemTime::now()) {
        Ok(found) => Ok(found.caller.name.to_string()),
        Err(Unproven::Fault(fault)) => Err(fault),
        Err(other) => panic!("{other:?}"),
    }
}

const FAR: &str = "10.0.0.7:40000";
const NEAR: &str = "127.0.0.1:40000";

#[test]
fn a_key_names_its_caller_in_either_field() {
    let billing = Ok("billing".to_owned());
    assert_eq!(ask(&[("authorization", "Bearer key-of-billing-1")], FAR), billing);
    assert_eq!(ask(&[("authorization", "bearer   key-of-billing-1")], FAR), billing);
    assert_eq!(ask(&[("x-api-key", "key-of-billing-1")], FAR), billing);
    let both = [("x-api-key", "key-of-billing-1"), ("authorization", "Bearer key-of-billing-1")];
    assert_eq!(ask(&both, FAR), billing);
}

#[test]
fn anything_less_than_one_right_credential_is_refused() {
    for (fields, fault) in [
        (&[][..], Missing),
        (&[("authorization", "Bearer wrong-key-000000")][..], Unknown),
        (&[("authorization", "Bearer ")], Unknown),
        (&[("authorization", "Bearer")], Scheme),
        (&[("authorization", "Basic a2V5")], Scheme),
        (&[("authorization", "key-of-billing-1")], Scheme),
        (&[("x-api-key", "")], Unknown),
        (
            &[
                ("authorization", "Bearer key-of-billing-1"),
                ("authorization", "Bearer key-of-billing-1"),
            ],
            Repeated,
        ),
        (&[("x-api-key", "key-of-billing-1"), ("x-api-key", "x")], Repeated),
        (
            &[("authorization", "Bearer key-of-billing-1"), ("x-api-key", "key-of-janitor-1")],
            Conflicting,
        ),
        (&[("authorization", "Bearer key-of-billing-1"), ("x-api-key", "wrong")], Unknown),
    ] {
        assert_eq!(ask(fields, FAR), Err(fault), "{fields:?}");
    }
}

#[test]
fn loopback_is_trusted_only_where_no_credential_is_presented() {
    assert_eq!(ask(&[], NEAR), Ok("app".into()));
    assert_eq!(ask(&[], "[::1]:1"), Ok("app".into()));
    assert_eq!(ask(&[], "[::ffff:127.0.0.1]:1"), Ok("app".into()));
    assert_eq!(ask(&[("x-api-key", "key-of-janitor-1")], NEAR), Ok("janitor".into()));
    assert_eq!(ask(&[("x-api-key", "wrong")], NEAR), Err(Unknown));
    assert_eq!(ask(&[], FAR), Err(Missing));
}

#[test]
fn digests_are_written_in_hexadecimal_and_never_shown() {
    let digest = KeyDigest::of(b"key");
    assert_eq!(KeyDigest::from_hex(&digest.to_hex()), Some(digest));
    assert_eq!(KeyDigest::from_hex("9f86"), None);
    assert_eq!(format!("{digest:?}"), "[redacted]");
}
