//! What must hold between listeners, and between them and the callers.

use std::collections::HashMap;
use std::path::Path;

use crate::authenticate::Credential;
use crate::config::gateway_file::GatewayFile;
use crate::config::link::callers::credentials;
use crate::config::listener_file::{At, Listener};
use crate::config::report::{Problem, Report, Warning};
use crate::config::source::{Place, Spanned};
use crate::delete::Paths;
use crate::listener::{self, Plan, TlsFiles, UnixPlan};

pub(super) fn link(gateway: &GatewayFile, folder: &Path, report: &mut Report) -> Vec<Plan> {
    let plans: Vec<_> = gateway.listeners.iter().map(|listener| plan(listener, folder)).collect();
    check_addresses(gateway, &plans, report);
    check_loopback(gateway, report);
    check_certificates(gateway, report);
    plans
}

fn plan(listener: &Listener, folder: &Path) -> Plan {
    let at = match &listener.at {
        At::Tcp(address) => listener::At::Tcp(address.value),
        At::Unix { path, mode, group } => listener::At::Unix(UnixPlan {
            path: folder.join(&path.value),
            mode: *mode,
            group: group.clone(),
        }),
    };
    let tls = listener.tls.as_ref().map(|tls| TlsFiles {
        certificate: folder.join(&tls.certificate),
        private_key: folder.join(&tls.private_key),
        client_ca: tls.client_ca.as_ref().map(|path| folder.join(path)),
    });
    let paths = if listener.smh_paths { Paths::OwnAndSmh } else { Paths::Own };
    Plan { at, tls, paths, bounds: listener.bounds }
}

/// A credential must not be had by listening in.
fn check_addresses(gateway: &GatewayFile, plans: &[Plan], report: &mut Report) {
    let mut seen: HashMap<String, Place> = HashMap::new();
    for (listener, plan) in gateway.listeners.iter().zip(plans) {
        let place = listener.place();
        let any_port = matches!(plan.at, listener::At::Tcp(address) if address.port() == 0);
        if !any_port && seen.insert(plan.at.to_string(), place).is_some() {
            report.error(place, "this address is listened on already");
        }
        if listener.far().is_some() && listener.tls.is_none() && !listener.plaintext {
            let problem = Problem::error(
                place,
                "a plain-text listener on an address that is not loopback shows every credential \
                 to the network",
            );
            let help = "give it `tls`, or say `plaintext: true` if something else protects it";
            report.push(problem.with_help(help));
        }
    }
}

/// Nor must the loopback that stands for one be had from elsewhere.
fn check_loopback(gateway: &GatewayFile, report: &mut Report) {
    let trusted = credentials(gateway).filter(|(_, c)| c.value == Credential::Loopback);
    let trusted: Vec<_> = trusted.map(|(name, credential)| (name, credential.place)).collect();
    let far = gateway.listeners.iter().find_map(Listener::far);
    if let (Some(Spanned { value: address, .. }), Some((_, place))) = (far, trusted.first()) {
        let problem = Problem::error(
            *place,
            format!("`trust: loopback` is for a sidecar, but there is a listener on {address}"),
        );
        let help = "let the caller prove itself, or listen on 127.0.0.1 or a unix socket";
        report.push(problem.with_help(help));
    }
    if let [(first, _), (second, place), ..] = trusted.as_slice() {
        let message =
            format!("`{first}` and `{second}` are both `trust: loopback`: they look alike");
        report.push(Problem::error(*place, message).with_help("keep one of them"));
    }
}

/// A SPIFFE id is of no use where nobody asks for it.
fn check_certificates(gateway: &GatewayFile, report: &mut Report) {
    if gateway.listeners.is_empty() {
        // They are wrong in themselves: what they ask for is not known.
        return;
    }
    let asked_for = gateway
        .listeners
        .iter()
        .any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    let certified = credentials(gateway).find(|(_, c)| matches!(c.value, Credential::SpiffeId(_)));
    let mut cas = gateway.listeners.iter().filter_map(|listener| {
        let ca = listener.tls.as_ref()?.client_ca.as_ref()?;
        Some((listener.place(), ca))
    });
    if let (Some((_, first)), true) = (cas.next(), certified.is_some())
        && let Some((place, _)) = cas.find(|(_, other)| *other != first)
    {
        let message = "this listener has another `client_ca`, which can vouch for every SPIFFE id \
                       as well";
        let problem = Problem::warning(place, Warning::SeveralClientCas, message);
        report.push(problem.with_help("any CA of any listener can name any caller"));
    }
    if let (false, Some((_, credential))) = (asked_for, certified) {
        let message = "no listener asks for client certificates, so nobody can show this id";
        let help = "give a listener `tls: { …, client_ca: … }`";
        report.push(Problem::error(credential.place, message).with_help(help));
    }
}
