//! Callers, the issuers of their JWTs, and that no two of them can be taken for each other.

use std::path::Path;
use std::sync::Arc;

use crate::authenticate::jwt::{ClaimRule, Terms};
use crate::authenticate::{Credential, JwtRule};
use crate::config::caller_file::{Jwks, Jwt};
use crate::config::gateway_file::GatewayFile;
use crate::config::link::distinct::{JwtRules, Presented};
use crate::config::link::{Names, below, is_readable_on_its_way};
use crate::config::lint::Places;
use crate::config::report::{Problem, Report};
use crate::config::snapshot::ConfiguredCaller;
use crate::config::source::Spanned;
use crate::directory::Caller;
use crate::ids::{CallerName, TenantName};
use crate::issuer_keys::{IssuerPlan, JwksSource, JwksUrl};
use crate::origin::Origin;

pub(super) fn link(
    gateway: &GatewayFile,
    folder: &Path,
    names: &Names<'_>,
    places: &mut Places,
    report: &mut Report,
) -> Vec<ConfiguredCaller> {
    check_keys_differ(gateway, report);
    let mut linked = Vec::new();
    let mut rules = JwtRules::default();
    for (name, caller) in gateway.callers.iter().flatten() {
        let Some(caller) = caller else { continue };
        let mut granted = Vec::new();
        for Spanned { place, value } in &caller.tenants {
            let Some(known) = &names.tenants else { continue };
            match TenantName::try_from(value.as_str()) {
                Ok(tenant) if known.contains(value) => granted.push(tenant),
                _ => report.unknown_name(*place, "tenant", value, known.iter()),
            }
        }
        let mut credentials: Vec<_> =
            caller.credentials.iter().map(|one| resolved(&one.value, folder)).collect();
        for Spanned { place, value: jwt } in &caller.jwts {
            let issuer = &jwt.issuer;
            if let Some(known) = &names.issuers
                && !known.contains(&issuer.value)
            {
                report.unknown_name(issuer.place, "issuer", &issuer.value, known.iter());
                continue;
            }
            let rule = rule_of(jwt);
            if let Some(other) = rules.add(&rule, &name.value) {
                let message =
                    format!("this can be a JWT of `{other}`: who calls could not be told");
                let help = "give each subjects of its own, or `claims` that tell them apart";
                report.push(Problem::error(*place, message).with_help(help));
            }
            credentials.push(Credential::Jwt(rule));
        }
        places.callers.push(name.place);
        linked.push(ConfiguredCaller {
            credentials,
            caller: Arc::new(Caller::new(name.value.clone(), granted)),
        });
    }
    linked
}

fn resolved(credential: &Credential, folder: &Path) -> Credential {
    match credential {
        Credential::Key(source) => Credential::Key(below(folder, source)),
        other @ (Credential::Digest(_)
        | Credential::SpiffeId(_)
        | Credential::Jwt(_)
        | Credential::Loopback) => other.clone(),
    }
}

fn rule_of(jwt: &Jwt) -> JwtRule {
    let (subject, glob) = &jwt.subject;
    let claims = jwt.claims.iter();
    let mut claims: Vec<_> =
        claims.map(|(name, glob)| ClaimRule { name: name.clone(), glob: glob.clone() }).collect();
    claims.sort_by(|one, other| one.name.cmp(&other.name));
    JwtRule {
        issuer: Arc::from(jwt.issuer.value.as_str()),
        subject: subject.as_str().into(),
        glob: glob.clone(),
        claims,
    }
}

/// Every credential that stands in the file with its place.
pub(super) fn credentials(
    gateway: &GatewayFile,
) -> impl Iterator<Item = (&CallerName, &Spanned<Credential>)> {
    gateway.callers.iter().flatten().flat_map(|(name, caller)| {
        caller.iter().flat_map(|c| &c.credentials).map(|credential| (&name.value, credential))
    })
}

/// One credential for two callers: nobody could say who called.
fn check_keys_differ(gateway: &GatewayFile, report: &mut Report) {
    let mut held = Presented::default();
    for (name, credential) in credentials(gateway) {
        let Some(other) = held.add(&credential.value, name) else { continue };
        let is_id = matches!(credential.value, Credential::SpiffeId(_));
        let message = match (is_id, other == name) {
            (true, true) => "this caller has some of the same ids already".to_owned(),
            (false, true) => "this key is given twice".to_owned(),
            (true, false) => {
                format!("`{other}` has some of the same ids: who calls could not be told")
            }
            (false, false) => format!("`{other}` has the same key: who calls could not be told"),
        };
        report.error(credential.place, message);
    }
}

pub(super) fn link_issuers(
    gateway: &GatewayFile,
    folder: &Path,
    report: &mut Report,
) -> Vec<IssuerPlan> {
    let mut linked: Vec<IssuerPlan> = Vec::new();
    for (name, issuer) in gateway.jwt_issuers.iter().flatten() {
        let Some(issuer) = issuer else { continue };
        let same = |other: &&IssuerPlan| other.terms.issuer == issuer.issuer.value;
        if let Some(other) = linked.iter().find(same) {
            let message = format!("`{}` is this issuer, too", other.terms.name);
            let problem = Problem::error(issuer.issuer.place, message);
            report.push(problem.with_help("one entry may have several audiences"));
        }
        let jwks = match &issuer.jwks {
            Jwks::File(path) => JwksSource::File(folder.join(path)),
            Jwks::Url { url, ca_file, bearer_token } => {
                let Some((origin, target)) = parts(url, report) else { continue };
                let ca_file = ca_file.as_ref().map(|path| folder.join(path));
                let bearer_token = bearer_token.as_ref().map(|source| below(folder, source));
                JwksSource::Url(JwksUrl { origin, target, ca_file, bearer_token })
            }
        };
        let terms = Terms {
            name: name.value.as_str().into(),
            issuer: issuer.issuer.value.clone(),
            audiences: issuer.audiences.clone(),
            algorithms: issuer.algorithms.clone(),
        };
        linked.push(IssuerPlan { terms, jwks });
    }
    linked
}

/// Where to ask, and for what.
fn parts(url: &Spanned<String>, report: &mut Report) -> Option<(Origin, String)> {
    let place = url.place;
    let (origin, target) = match split(&url.value) {
        Ok(parts) => parts,
        Err(error) => {
            report.error(place, format!("this is no URL of a JWKS: {error}"));
            return None;
        }
    };
    if is_readable_on_its_way(&origin) {
        let message = "over plain http the keys could be exchanged on their way";
        report.push(Problem::error(place, message).with_help("use https; http is for loopback"));
        return None;
    }
    Some((origin, target))
}

pub(in crate::config) fn split(url: &str) -> Result<(Origin, String), String> {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path_at = url.get(after_scheme..).and_then(|rest| rest.find('/'));
    let (origin, target) = match path_at.and_then(|at| url.split_at_checked(after_scheme + at)) {
        Some((origin, target)) => (origin, target),
        None => (url, "/"),
    };
    let origin = Origin::try_from(origin).map_err(|error| error.to_string())?;
    match target.parse::<http::uri::PathAndQuery>() {
        Ok(parsed) if parsed.as_str() == target => Ok((origin, target.to_owned())),
        _ => Err("its path has a character that must be percent-encoded".to_owned()),
    }
}
