//! `callers` and `jwt_issuers` of gateway.yaml: who may call, and how it is known who calls.

use std::path::PathBuf;

use crate::authenticate::jwt::Algorithm;
use crate::authenticate::spiffe::SpiffePattern;
use crate::authenticate::{Credential, KeyDigest};
use crate::config::decode::{self, Fields};
use crate::config::library_file::{not_literal, path, source};
use crate::config::report::{Problem, Report, nearest};
use crate::config::source::Spanned;
use crate::config::yaml::{Node, Value};
use crate::glob::NameGlob;
use crate::secret::Source;

pub(super) struct Caller {
    pub(super) credentials: Vec<Spanned<Credential>>,
    /// The issuers that they name are not looked up yet.
    pub(super) jwts: Vec<Spanned<Jwt>>,
    pub(super) tenants: Vec<Spanned<String>>,
}

pub(super) struct Jwt {
    pub(super) issuer: Spanned<String>,
    pub(super) subject: (String, NameGlob),
    pub(super) claims: Vec<(String, NameGlob)>,
}

pub(super) struct Issuer {
    pub(super) issuer: Spanned<String>,
    pub(super) audiences: Vec<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) jwks: Jwks,
}

pub(super) enum Jwks {
    File(PathBuf),
    Url { url: Spanned<String>, ca_file: Option<PathBuf>, bearer_token: Option<Source> },
}

pub(super) fn caller(node: &Node, report: &mut Report) -> Option<Caller> {
    let mut fields = Fields::of(node, "a caller", report)?;
    let keys = fields
        .or_with("api_key", Vec::new(), |node, report| decode::one_or_many(node, report, api_key));
    let spiffe_ids = fields.or_with("spiffe_id", Vec::new(), |node, report| {
        decode::one_or_many(node, report, spiffe_id)
    });
    let jwts =
        fields.or_with("jwt", Vec::new(), |node, report| decode::one_or_many(node, report, jwt));
    let trust = fields.optional_with("trust", |node, report| {
        decode::word(node, "a place that is trusted", report, &[("loopback", ())])?;
        Some(Spanned { place: node.place, value: Credential::Loopback })
    });
    let proves_itself = ["api_key", "trust", "spiffe_id", "jwt"].map(|way| fields.get(way));
    if proves_itself.iter().all(Option::is_none) {
        let problem = Problem::error(fields.place(), "this caller has no way to prove who it is");
        let help = "give it one of `spiffe_id`, `jwt`, `api_key` and `trust: loopback`";
        fields.report().push(problem.with_help(help));
    }
    let tenants = fields.required("tenants");
    fields.finish();
    let credentials = keys?.into_iter().chain(spiffe_ids?).chain(trust).collect();
    Some(Caller { credentials, jwts: jwts?, tenants: tenants? })
}

fn api_key(node: &Node, report: &mut Report) -> Option<Spanned<Credential>> {
    not_literal(node, "an API key", "`{ file: … }` or `{ sha256: … }`", report)?;
    let mut fields = Fields::of(node, "an API key", report)?;
    let credential = match fields.one_of(&["sha256", "file"])? {
        ("sha256", node) => {
            let what = "the SHA-256 of an API key: 64 hexadecimal digits, \
                        as `smh-gateway hash-key` prints them";
            let digest = |text: &str| KeyDigest::from_hex(text).ok_or("");
            decode::parsed(node, what, fields.report(), digest).map(Credential::Digest)
        }
        (_, node) => {
            path(node, fields.report()).map(|path| Credential::Key(Source::File(path.value)))
        }
    };
    fields.finish();
    credential.map(|value| Spanned { place: node.place, value })
}

fn spiffe_id(node: &Node, report: &mut Report) -> Option<Spanned<Credential>> {
    let what = "a SPIFFE id, or `spiffe://domain/path/*`";
    let pattern = decode::parsed(node, what, report, |text| SpiffePattern::try_from(text))?;
    Some(Spanned { place: node.place, value: Credential::SpiffeId(pattern) })
}

fn jwt(node: &Node, report: &mut Report) -> Option<Spanned<Jwt>> {
    let mut fields = Fields::of(node, "a JWT", report)?;
    let issuer = fields.required("issuer");
    let subject = fields.required_with("subject", glob);
    let claims = fields.or_with("claims", Vec::new(), |node, report| {
        let name = |name: &str| {
            let known = ["iss", "sub", "aud", "exp", "nbf"].contains(&name);
            if known { Err("it is looked at anyway") } else { Ok(name.to_owned()) }
        };
        let claims = decode::named(node, "a claim", report, name, glob)?;
        decode::whole(claims)
    });
    fields.finish();
    let claims = claims?.into_iter().map(|(name, (_, glob))| (name.value, glob)).collect();
    let jwt = Jwt { issuer: issuer?, subject: subject?, claims };
    Some(Spanned { place: node.place, value: jwt })
}

/// With the text that it was made of.
fn glob(node: &Node, report: &mut Report) -> Option<(String, NameGlob)> {
    decode::parsed(node, "a name, or a glob with `*`", report, |text| {
        NameGlob::try_from(text).map(|glob| (text.to_owned(), glob))
    })
}

pub(super) fn issuer(node: &Node, report: &mut Report) -> Option<Issuer> {
    let mut fields = Fields::of(node, "an issuer", report)?;
    let issuer = fields.required_with("issuer", text);
    let audiences = fields.required_with("audience", |node, report| {
        let audiences = decode::one_or_many(node, report, text)?;
        if audiences.is_empty() {
            report.error(node.place, "without an audience every token of the issuer would do");
            return None;
        }
        Some(audiences.into_iter().map(|audience| audience.value).collect())
    });
    let algorithms = fields.or_with("algorithms", DEFAULT_ALGORITHMS.to_vec(), |node, report| {
        let what = "an algorithm that signs with a private key, such as `RS256` or `ES256`";
        let algorithms = decode::one_or_many(node, report, |node, report| {
            decode::parsed(node, what, report, |text| Algorithm::try_from(text))
        })?;
        if algorithms.is_empty() {
            report.error(node.place, "at least one algorithm is needed");
            return None;
        }
        Some(algorithms)
    });
    let jwks = fields.required_with("jwks", jwks);
    fields.finish();
    Some(Issuer { issuer: issuer?, audiences: audiences?, algorithms: algorithms?, jwks: jwks? })
}

fn jwks(node: &Node, report: &mut Report) -> Option<Jwks> {
    hide_url(node, report, ["url", "file", "ca_file", "bearer_token"]);
    let mut fields = Fields::of(node, "the keys of an issuer", report)?;
    let jwks = match fields.one_of(&["url", "file"])? {
        ("file", node) => path(node, fields.report()).map(|path| Jwks::File(path.value)),
        (_, node) => {
            let url = text(node, fields.report());
            let ca_file = fields.optional_with("ca_file", path);
            let bearer_token = fields.optional_with("bearer_token", |node, report| {
                not_literal(node, "a bearer token", "`{ file: … }` or `{ env: … }`", report)?;
                let mut fields = Fields::of(node, "a bearer token", report)?;
                let (key, node) = fields.one_of(&["env", "file"])?;
                let source = source(key, node, fields.report());
                fields.finish();
                source
            });
            let ca_is_whole = ca_file.is_some() == fields.get("ca_file").is_some();
            let token_is_whole = bearer_token.is_some() == fields.get("bearer_token").is_some();
            let url = url.filter(|_| ca_is_whole && token_is_whole);
            let ca_file = ca_file.map(|path| path.value);
            url.map(|url| Jwks::Url { url, ca_file, bearer_token })
        }
    };
    fields.finish();
    jwks
}

/// Its path and query may hold what only its owner should know. So it is not shown, whatever is
/// wrong on its line; nor where its field is misspelt, or given beside `file`.
pub(super) fn hide_url(node: &Node, report: &mut Report, known: [&'static str; 4]) {
    let Value::Map(entries) = &node.value else { return };
    let meant = |key| nearest(key, known);
    for entry in entries.iter().filter(|entry| meant(&entry.key.text) == Some("url")) {
        report.hide(&entry.value);
    }
}

fn text(node: &Node, report: &mut Report) -> Option<Spanned<String>> {
    let text = decode::parsed(node, "a text", report, |text| {
        if text.is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
    })?;
    Some(Spanned { place: node.place, value: text })
}

/// What Kubernetes and nearly everybody else signs with.
const DEFAULT_ALGORITHMS: [Algorithm; 2] = [Algorithm::Rs256, Algorithm::Es256];
