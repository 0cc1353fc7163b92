//! The bytes of an HTTP/1 request, before hyper sees them.

use smh_gateway::server::head::{Body, HeadVetting, Vetted};

/// What is vetted in pieces is judged as at once. What passes is a head of the same length to httparse, which hyper
/// reads with, and says nothing of its body that two servers could take in two ways.
pub(crate) fn run(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = HeadVetting::new(MOST).vet(bytes);
    let begin = usize::from(*cut) % (bytes.len() + 1);
    let mut vetting = HeadVetting::new(MOST);
    let first = vetting.vet(bytes.get(..begin).unwrap_or_default());
    let in_pieces = if first == Vetted::Partial { vetting.vet(bytes) } else { first };
    assert_eq!(in_pieces, whole);

    let Vetted::Whole { bytes: length, body } = whole else { return };
    let head = bytes.get(..length).unwrap_or_default();
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(parsed) = request.parse(head) else { panic!("hyper would not read it") };
    assert_eq!(parsed, httparse::Status::Complete(length));
    let of = |name: &str| {
        let named = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value.trim_ascii()).collect::<Vec<_>>()
    };
    match (&*of("content-length"), &*of("transfer-encoding")) {
        ([], []) => assert_eq!(body, Body::None),
        ([one], []) => {
            assert!(one.iter().all(u8::is_ascii_digit) && !one.is_empty());
            let is_empty = one.iter().all(|digit| *digit == b'0');
            assert_eq!(body, if is_empty { Body::None } else { Body::Some });
        }
        ([], [one]) => {
            assert!(one.eq_ignore_ascii_case(b"chunked"));
            assert_eq!((body, request.version), (Body::Some, Some(1)));
        }
        more => panic!("of two lengths either may be meant: {more:?}"),
    }
}

/// Less than libFuzzer's inputs may have.
const MOST: usize = 4 * 1024;
