//! Percent-encoding (RFC 3986, section 2.1), once in each direction.

use crate::byte_set::ByteSet;

/// Decodes every `%XX`, once. `None` where a `%` is not followed by two hexadecimal digits.
pub(crate) fn decode(raw: &str) -> Option<Vec<u8>> {
    if !raw.as_bytes().contains(&b'%') {
        return Some(raw.as_bytes().to_vec());
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = hex_digit(bytes.next()?)?;
            let low = hex_digit(bytes.next()?)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

/// Appends the one canonical form: everything outside `A-Z a-z 0-9 - . _ ~` as `%XX`, upper case.
pub(crate) fn encode_into(target: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    loop {
        // Most of a text is plain, and is copied at once.
        let plain = rest.iter().position(|&byte| !UNRESERVED.has(byte)).unwrap_or(rest.len());
        let (run, others) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
        target.extend_from_slice(run);
        let Some((&byte, others)) = others.split_first() else { return };
        target.extend_from_slice(&[b'%', upper_digit(byte >> 4), upper_digit(byte & 0xF)]);
        rest = others;
    }
}

/// RFC 3986, section 2.3.
static UNRESERVED: ByteSet = ByteSet::alphanumeric().with(b"-._~");

/// The digit of a number below 16.
fn upper_digit(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'A' + number - 10 }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(text: &[u8]) -> String {
        let mut encoded = Vec::new();
        encode_into(&mut encoded, text);
        String::from_utf8(encoded).unwrap()
    }

    #[test]
    fn decoding_happens_once() {
        assert_eq!(decode("%252e%2541").unwrap(), b"%2e%41");
    }

    #[test]
    fn a_broken_escape_is_not_decoded() {
        for broken in ["%", "%2", "%zz", "a%4", "%%41", "%+1", "% 1"] {
            assert_eq!(decode(broken), None, "{broken:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }

        #[test]
        fn the_canonical_form_is_a_fixed_point(bytes: Vec<u8>) {
            let canonical = encode(&bytes);
            prop_assert_eq!(encode(&decode(&canonical).unwrap()), canonical.clone());
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~%".contains(&b);
            prop_assert!(canonical.bytes().all(plain));
        }

        #[test]
        fn decoding_never_panics(raw: String) {
            let _ = decode(&raw);
        }
    }
}
