//! Heads by table, and byte by byte.

use super::*;
use proptest::prelude::*;

const MOST: usize = 32 * 1024;

fn vet(head: &str) -> Vetted {
    HeadVetting::new(MOST).vet(head.as_bytes())
}

fn with(fields: &str) -> Vetted {
    vet(&format!("DELETE /v1/files/t/x HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
}

fn too_large(excess: HeadExcess) -> Vetted {
    Vetted::Refused(Refusal::HeadersTooLarge(excess))
}

fn fault(fault: RequestFault) -> Vetted {
    refused(fault)
}

#[test]
fn a_well_formed_head_is_whole() {
    let head = "DELETE /v1/files/t/a%20b?permanent=0 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\n\r\n";
    assert_eq!(vet(head), Vetted::Whole { bytes: head.len(), body: Body::None });
    let two = format!("{head}{head}");
    assert_eq!(vet(&two), Vetted::Whole { bytes: head.len(), body: Body::None });
}

#[test]
fn a_token_has_letters_digits_and_fifteen_signs() {
    for byte in 0..=u8::MAX {
        let is_one = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(TOKEN.has(byte), is_one, "{byte}");
    }
}

#[test]
fn a_body_is_known_by_its_length_or_its_coding() {
    let body = |fields| {
        let Vetted::Whole { body, .. } = with(fields) else { panic!("{fields}") };
        body
    };
    assert_eq!(body("Content-Length: 0\r\n"), Body::None);
    assert_eq!(body("Content-Length: 5\r\n"), Body::Some);
    assert_eq!(body("Transfer-Encoding: Chunked\r\n"), Body::Some);
}

#[test]
fn what_can_be_read_in_two_ways_is_refused() {
    use RequestFault::{ContentLength, Field, FoldedField, LineEnd, TransferEncoding};
    for (fields, why) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n", ContentLength),
        ("Content-Length: 5, 5\r\n", ContentLength),
        ("Content-Length: +5\r\n", ContentLength),
        ("Content-Length: -0\r\n", ContentLength),
        ("Content-Length: 0x5\r\n", ContentLength),
        ("Content-Length:\r\n", ContentLength),
        ("Content-Length: 99999999999999999999\r\n", ContentLength),
        ("Content_Length: 5\r\nContent-Length: 5\r\n", ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", TransferEncoding),
        ("Transfer-Encoding: identity\r\n", TransferEncoding),
        ("Transfer-Encoding: xchunked\r\n", TransferEncoding),
        ("Transfer_Encoding: chunked\r\n", TransferEncoding),
        ("Transfer-Encoding : chunked\r\n", Field),
        (" Transfer-Encoding: chunked\r\n", FoldedField),
        ("X: a\r\n b\r\n", FoldedField),
        ("X: a\nY: b\r\n", LineEnd),
        ("X: a\rY: b\r\n", Field),
        ("X: a\0b\r\n", Field),
        ("X\r\n", Field),
        (": x\r\n", Field),
        ("X Y: z\r\n", Field),
        ("X\u{e9}: z\r\n", Field),
    ] {
        assert_eq!(with(fields), fault(why), "{fields:?}");
    }
}

#[test]
fn a_request_line_has_three_parts() {
    use RequestFault::{LineEnd, RequestLine, TargetCharacter, Version};
    for (line, why) in [
        ("DELETE /x\r\n", RequestLine),
        ("DELETE  /x HTTP/1.1\r\n", RequestLine),
        (" DELETE /x HTTP/1.1\r\n", RequestLine),
        ("DELETE /x HTTP/1.1 \r\n", RequestLine),
        ("DELETE\t/x\tHTTP/1.1\r\n", RequestLine),
        ("DEL(TE /x HTTP/1.1\r\n", RequestLine),
        ("\r\nDELETE /x HTTP/1.1\r\n", RequestLine),
        ("DELETE /x HTTP/2.0\r\n", Version),
        ("DELETE /x HTTP/1.2\r\n", Version),
        ("DELETE /x http/1.1\r\n", Version),
        ("DELETE /x#y HTTP/1.1\r\n", TargetCharacter),
        ("DELETE /\u{e9} HTTP/1.1\r\n", TargetCharacter),
        ("DELETE /x\0 HTTP/1.1\r\n", TargetCharacter),
        ("DELETE /x HTTP/1.1\n", LineEnd),
    ] {
        assert_eq!(vet(&format!("{line}Host: h\r\n\r\n")), fault(why), "{line:?}");
    }
}

#[test]
fn sizes_are_bounded_before_the_head_is_whole() {
    let long_target = format!("DELETE /{}", "x".repeat(MAX_REQUEST_LINE_BYTES));
    assert_eq!(vet(&long_target), Vetted::Refused(Refusal::TargetTooLong));
    let long_target = format!("DELETE /{} HTTP/1.1\r\n", "x".repeat(MAX_TARGET_BYTES));
    assert_eq!(vet(&long_target), Vetted::Refused(Refusal::TargetTooLong));
    let large = format!("X: {}", "x".repeat(MOST));
    assert_eq!(with(&large), too_large(HeadExcess::Bytes(MOST)));
    let large = format!("X: {}\r\n", "x".repeat(MOST));
    assert_eq!(with(&large), too_large(HeadExcess::Bytes(MOST)));
    assert_eq!(with(&"X: 1\r\n".repeat(MAX_FIELDS)), too_large(HeadExcess::Fields));
    assert!(matches!(with(&"X: 1\r\n".repeat(MAX_FIELDS - 1)), Vetted::Whole { .. }));
}

#[test]
fn a_head_may_be_as_long_as_the_listener_says_and_not_a_byte_longer() {
    let head = |bytes: usize| {
        let rest = "DELETE /v1/files/t/x HTTP/1.1\r\nX: \r\n\r\n".len();
        format!("DELETE /v1/files/t/x HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(bytes - rest))
    };
    for most in [1024, 256 * 1024] {
        let vet = |head: &str| HeadVetting::new(most).vet(head.as_bytes());
        assert!(matches!(vet(&head(most)), Vetted::Whole { .. }), "{most}");
        assert_eq!(vet(&head(most + 1)), too_large(HeadExcess::Bytes(most)));
        assert_eq!(
            vet(head(2 * most).get(..most + 1).unwrap()),
            too_large(HeadExcess::Bytes(most))
        );
    }
    // hyper would answer it.
    let name = |bytes: usize| format!("DELETE / HTTP/1.1\r\n{}: 1\r\n\r\n", "n".repeat(bytes));
    let vet = |head: &str| HeadVetting::new(256 * 1024).vet(head.as_bytes());
    assert!(matches!(vet(&name(MAX_NAME_BYTES)), Vetted::Whole { .. }));
    assert_eq!(vet(&name(MAX_NAME_BYTES + 1)), too_large(HeadExcess::Name));
}

/// hyper answers a target that it cannot read with a bare 400: none may get that far.
#[test]
fn every_target_that_is_let_through_is_one_that_hyper_can_read() {
    for byte in 0..=u8::MAX {
        if TARGET.has(byte) {
            for target in [vec![b'/', byte], vec![b'/', b'?', byte]] {
                let uri = http::Uri::try_from(target.as_slice());
                let whole = uri.map(|uri| uri.to_string().into_bytes());
                assert_eq!(whole.unwrap(), target, "{byte:#x}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_head_is_judged_alike_however_it_arrives(
        head in "[A-Z]{1,6} /[a-z%?]{0,9} HTTP/1\\.[01]\r\n([A-Za-z-]{1,5}:[ a-z0-9]{0,6}\r?\n){0,5}\r\n",
        cuts in prop::collection::vec(0usize..120, 0..8),
    ) {
        let whole = HeadVetting::new(MOST).vet(head.as_bytes());
        let mut piecewise = HeadVetting::new(MOST);
        let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < head.len()).collect();
        cuts.sort_unstable();
        let mut verdict = Vetted::Partial;
        for cut in cuts.into_iter().chain([head.len()]) {
            verdict = piecewise.vet(&head.as_bytes()[..cut]);
            if verdict != Vetted::Partial {
                break;
            }
        }
        prop_assert_eq!(verdict, whole);
    }

    #[test]
    fn vetting_never_panics(bytes: Vec<u8>) {
        let _ = HeadVetting::new(MOST).vet(&bytes);
    }
}
