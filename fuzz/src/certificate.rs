//! The certificate of a client, and the URI in it. That a CA signed it is rustls's to see; here anybody did.

use rustls::pki_types::CertificateDer;
use smh_gateway::authenticate::certificate::{ClientCertificate, is_ca};
use smh_gateway::authenticate::spiffe::{SpiffeId, SpiffePattern};

/// Whom a certificate names stands in it, letter by letter, and is a SPIFFE id; a CA's names nobody.
pub(crate) fn run(bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes);
    if let Ok(id) = ClientCertificate::read(std::slice::from_ref(&certificate)).identity() {
        let text = id.as_str();
        assert!(bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
        assert!(!is_ca(&certificate), "{text}");
        look_at(text);
    }
    if let Ok(text) = str::from_utf8(bytes) {
        look_at(text);
    }
}

/// An id is what it was read from, has one way to be written, and is matched by what stands above it alone.
fn look_at(text: &str) {
    let (id, pattern) = (SpiffeId::try_from(text), SpiffePattern::try_from(text));
    if let Ok(id) = &id {
        assert_eq!(id.as_str(), text);
        let path = text.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
        let (domain, path) = path.unwrap_or_else(|| panic!("no domain and path: {text}"));
        assert!(!domain.is_empty() && !domain.contains(['%', '@', ':', '?', '#']), "{text}");
        assert!(!domain.contains(|c: char| c.is_ascii_uppercase()), "{text}");
        for segment in path.split('/') {
            assert!(!["", ".", ".."].contains(&segment), "{text}");
            assert!(!segment.contains(['%', '?', '#', '*', '\\']), "{text}");
        }
        assert!(SpiffePattern::try_from(text).is_ok_and(|pattern| pattern.matches(id)), "{text}");
        let above = format!("{}/*", text.rsplit_once('/').map_or("", |(above, _)| above));
        assert!(SpiffePattern::try_from(&*above).is_ok_and(|above| above.matches(id)), "{text}");
        let beside = SpiffePattern::try_from(&*format!("{text}/*"));
        assert!(beside.is_ok_and(|below| !below.matches(id)), "{text}");
    }
    if let Ok(pattern) = &pattern {
        assert!(pattern.covers(pattern), "{text}");
        assert_eq!(id.is_ok(), !text.ends_with("/*"), "{text}");
    }
}
