//! No secret in anything that is written or sent.
//!
//! Every secret here is a sentinel: a text that is nowhere else. It is searched for as it is, in
//! pieces of twelve bytes, in the other case, percent-encoded, in base64, in hexadecimal digits, in escapes of JSON, and as
//! the list of numbers that `Debug` makes of bytes.

/// Every secret, in everything that comes out of a gateway that everything happens to.
mod everywhere;
/// An SMH that repeats the token.
mod repeated;
/// Secrets of each kind, good and bad.
mod of_each_kind;
/// What is written of secrets that are broken, and by the simulator.
mod written;

use std::fmt::Write;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::binary::PATIENCE;
use crate::support::{KEY, OTHER_KEY, TOKEN};

/// A token with bytes that are not the same once they are encoded for a query.
const ODD_TOKEN: &str = "acctk/sentinel+odd==0123456789abcdef";
const NEXT_TOKEN: &str = "acctk-sentinel-that-comes-next-56789";
const HASHED_KEY: &str = "sentinel-key-of-hashed-0123456789";
const LIBRARY_SECRET: &str = "sentinel-library-secret";
/// What callers present, and is nobody's.
const WRONG: &str = "presentedSENTINELofNobody13579xyz";
const COOKIE: &str = "cookie-sentinel-of-a-browser-24680";
/// What stands where a secret is looked for, and is none.
const BROKEN_TOKEN: &str = "broken-sentinel-of-two\nlines-sentinel-0123";
const BROKEN_VALUE: &str = "variable-sentinel with a space-97531";

/// What a caller knows and SMH must not hear of.
const OF_CALLERS: [&str; 5] = [KEY, OTHER_KEY, HASHED_KEY, WRONG, COOKIE];
/// What neither callers nor operators nor logs may see.
const ALL: [&str; 11] = [
    KEY,
    OTHER_KEY,
    HASHED_KEY,
    WRONG,
    COOKIE,
    TOKEN,
    ODD_TOKEN,
    NEXT_TOKEN,
    LIBRARY_SECRET,
    BROKEN_TOKEN,
    BROKEN_VALUE,
];

const YAML: &str = "\
listeners:
  - address: 127.0.0.1:0
admin:
  address: 127.0.0.1:0
upstream:
  url: http://UPSTREAM
  timeout: 1s
  ease_off: false
libraries:
  smhxxx:
    token: { file: token }
  smhdead:
    url: http://127.0.0.1:1
    token: { file: token }
  smhbroken:
    token: { file: broken.token }
  smhvariable:
    token: { env: SMH_BROKEN_VALUE }
tenants:
  t1: { library: smhxxx, space: spacexxx }
  t2: { library: smhxxx, space: space2, user_id: forbid }
  dead: { library: smhdead, space: s }
  broken: { library: smhbroken, space: s }
  variable: { library: smhvariable, space: s }
callers:
  app: { api_key: { file: app.key }, tenants: [t1, t2, dead, broken, variable] }
  other: { api_key: [{ file: other.key }, { file: broken.key }], tenants: [] }
  hashed: { api_key: { sha256: DIGEST }, tenants: [t1] }
workers: 2
shutdown: { delay: 0s, drain: 100ms }
";

const POLICY: &str = "\
rules:
  - { name: hold, deny: { paths: [\"legal/**\"] } }
rate_limits:
  - { name: few, tenants: [t2], limit: 1/h, burst: 1 }
";

/// Everything that came out of somewhere, and where.
#[derive(Default)]
struct Seen(Vec<(String, Vec<u8>)>);

impl Seen {
    fn add(&mut self, place: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.into(), bytes.into()));
    }

    /// Asserts that no secret is in any of it.
    fn hold_none_of(&self, secrets: &[impl AsRef<[u8]>]) {
        for secret in secrets.iter().map(AsRef::as_ref) {
            for (form, needle) in forms(secret) {
                for (place, bytes) in &self.0 {
                    let found = memchr::memmem::find(bytes, &needle);
                    let shown = || String::from_utf8_lossy(bytes).into_owned();
                    let secret = String::from_utf8_lossy(secret);
                    assert_eq!(found, None, "{secret}, {form}, in {place}: {}", shown());
                }
            }
        }
    }
}

/// A secret in every form in which it might be written.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    // Of what is long not each, but no piece of some more bytes is without one.
    let apart = secret.len().div_ceil(64);
    let parts = secret.windows(12).step_by(apart);
    let mut forms: Vec<_> = parts.map(|part| ("a part", part.to_vec())).collect();
    let (mut upper, mut lower, mut hexadecimal) = (String::new(), String::new(), String::new());
    for byte in secret {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain {
            upper.push(char::from(*byte));
            lower.push(char::from(*byte));
        } else {
            write!(upper, "%{byte:02X}").unwrap();
            write!(lower, "%{byte:02x}").unwrap();
        }
        write!(hexadecimal, "{byte:02x}").unwrap();
    }
    for (form, text) in [("encoded", upper), ("encoded in lower case", lower)] {
        forms.push((form, text.into_bytes()));
    }
    forms.push(("upper hexadecimal", hexadecimal.to_ascii_uppercase().into_bytes()));
    forms.push(("hexadecimal", hexadecimal.into_bytes()));
    forms.push(("lower case", secret.to_ascii_lowercase()));
    forms.push(("upper case", secret.to_ascii_uppercase()));
    let escaped: String = secret.iter().map(|byte| format!("\\u{byte:04x}")).collect();
    forms.push(("escapes of JSON", escaped.into_bytes()));
    let slashes = String::from_utf8_lossy(secret).replace('/', "\\/");
    forms.push(("escaped slashes", slashes.into_bytes()));
    let numbers = format!("{:?}", &secret[..secret.len().min(12)]);
    forms.push(("numbers", numbers.trim_end_matches(']').as_bytes().to_vec()));
    for skipped in 0..3 {
        // Wherever it begins in what was encoded, whole groups of three bytes look the same.
        let groups = &secret[skipped..][..(secret.len() - skipped) / 3 * 3];
        for alphabet in [b"+/", b"-_"] {
            forms.push(("base64", base64(groups, *alphabet)));
        }
    }
    forms
}

fn base64(bytes: &[u8], last: [u8; 2]) -> Vec<u8> {
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(last);
    let letters: Vec<u8> = letters.collect();
    let groups = bytes.chunks_exact(3).flat_map(|group| {
        let bits = group.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| letters[bits >> shift & 63])
    });
    groups.collect()
}

#[test]
fn the_search_finds_a_secret_in_every_form() {
    assert_eq!(base64(b"app:sentinel", *b"+/"), b"YXBwOnNlbnRpbmVs");
    for written in [
        "x acctk/sentinel+odd==0123456789abcdef x",
        "only a part: sentinel+odd== of it",
        "?access_token=acctk%2Fsentinel%2Bodd%3D%3D0123456789abcdef&",
        "?access_token=acctk%2fsentinel%2bodd%3d%3d0123456789abcdef&",
        // `app:` and the token, as Basic authentication has it.
        "Basic YXBwOmFjY3RrL3NlbnRpbmVsK29kZD09MDEyMzQ1Njc4OWFiY2RlZg==",
        "616363746b2f73656e74696e656c2b6f64643d3d30313233343536373839616263646566",
        "616363746B2F73656E74696E656C2B6F64643D3D30313233343536373839616263646566",
        "ACCTK/SENTINEL+ODD==0123456789ABCDEF",
        "{\"token\":\"acctk\\/sentinel+odd==0123456789abcdef\"}",
        "Secret([97, 99, 99, 116, 107, 47, 115, 101, 110, 116, 105, 110, 101, 108, 43])",
    ] {
        let mut seen = Seen::default();
        seen.add("a log", written);
        let searched = std::panic::catch_unwind(|| seen.hold_none_of(&[ODD_TOKEN]));
        assert!(searched.is_err(), "{written}");
        seen.hold_none_of(&[KEY]);
    }
}

/// Sends bytes on a connection of their own and returns all that comes until its end.
async fn exchange(address: SocketAddr, bytes: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A gateway may answer and close before it has read everything.
    let _ = stream.write_all(bytes.as_bytes()).await;
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut all)).await;
    // A reset behind the answer ends it too.
    let _ = read.expect("the connection ends");
    all
}

fn deletes(target: &str, credential: &str) -> String {
    format!(
        "DELETE {target} HTTP/1.1\r\nHost: gateway\r\n{credential}Cookie: session={COOKIE}\r\n\
         User-Agent: {COOKIE}\r\nX-Forwarded-For: {COOKIE}\r\nConnection: close\r\n\r\n"
    )
}

fn status_of(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}
