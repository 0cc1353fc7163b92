//! `listeners` of gateway.yaml.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::config::decode::{self, Fields};
use crate::config::gateway_file::{address, bounded};
use crate::config::library_file::{not_literal, path};
use crate::config::report::{Problem, Report};
use crate::config::source::{Place, Spanned};
use crate::config::yaml::{Node, Value};
use crate::listener::{Bounds, Group, PerAddress};

pub(super) struct Listener {
    pub(super) at: At,
    pub(super) tls: Option<Tls>,
    pub(super) plaintext: bool,
    pub(super) smh_paths: bool,
    pub(super) bounds: Bounds,
}

pub(super) enum At {
    Tcp(Spanned<SocketAddr>),
    Unix { path: Spanned<PathBuf>, mode: u32, group: Option<Group> },
}

pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    pub(super) client_ca: Option<PathBuf>,
}

impl Listener {
    /// Where its address stands.
    pub(super) fn place(&self) -> Place {
        match &self.at {
            At::Tcp(address) => address.place,
            At::Unix { path, .. } => path.place,
        }
    }

    /// The address, if it can be reached from another machine or pod.
    pub(super) fn far(&self) -> Option<Spanned<SocketAddr>> {
        match &self.at {
            At::Tcp(address) => {
                (!address.value.ip().to_canonical().is_loopback()).then_some(*address)
            }
            At::Unix { .. } => None,
        }
    }
}

pub(super) fn listeners(node: &Node, report: &mut Report) -> Option<Vec<Listener>> {
    let listeners = decode::list(node, report, listener)?;
    if listeners.is_empty() {
        report.error(node.place, "at least one listener is needed");
        return None;
    }
    Some(listeners)
}

fn listener(node: &Node, report: &mut Report) -> Option<Listener> {
    let mut fields = Fields::of(node, "a listener", report)?;
    let at = match fields.one_of(&["address", "unix"]) {
        None => None,
        Some(("address", node)) => address(node, fields.report()).map(At::Tcp),
        Some((_, node)) => {
            let path = socket_path(node, fields.report());
            let mode = fields.or_with("mode", DEFAULT_MODE, mode);
            let group = fields.optional_with("group", group);
            path.zip(mode).map(|(path, mode)| At::Unix { path, mode, group })
        }
    };
    let tls_node = fields.get("tls");
    let tls = fields.optional_with("tls", tls);
    let plaintext = fields.or("plaintext", false);
    let smh_paths = fields.or("smh_paths", false);
    let bounds = bounds(&mut fields);
    match (&at, tls_node) {
        (Some(At::Unix { .. }), Some(node)) => {
            let problem = Problem::error(node.place, "a unix socket does not speak TLS");
            let help = "nothing on it leaves this machine; its mode and group say who may connect";
            fields.report().push(problem.with_help(help));
        }
        (Some(At::Tcp(_)), Some(node)) if plaintext == Some(true) => {
            let message = "with `tls` this listener is not in plain text";
            fields.report().push(
                Problem::error(node.place, message).with_help("keep one of `tls` and `plaintext`"),
            );
        }
        (Some(At::Tcp(_)), _) => {
            for only in ["mode", "group"] {
                if let Some(node) = fields.get(only) {
                    let message = format!("`{only}` is for unix sockets");
                    fields.report().error(node.place, message);
                }
            }
        }
        _ => {}
    }
    if let (Some(At::Unix { .. }), Some(node)) = (&at, fields.get("connections_per_address")) {
        fields.report().error(node.place, "a unix socket has no addresses to count by");
    }
    fields.finish();
    let tls_is_whole = tls.is_some() == tls_node.is_some();
    let (plaintext, smh_paths, bounds) = (plaintext?, smh_paths?, bounds?);
    let listener = Listener { at: at?, tls, plaintext, smh_paths, bounds };
    tls_is_whole.then_some(listener)
}

fn bounds(fields: &mut Fields<'_, '_>) -> Option<Bounds> {
    let default = Bounds::default();
    let count = |node: &Node, report: &mut Report| bounded(node, report, 1..=usize::MAX);
    let connections = fields.or_with("connections", default.connections, count);
    let per_address = fields.or_with("connections_per_address", None, |node, report| {
        count(node, report).map(|most| Some(PerAddress::All(most)))
    });
    let streams = fields.or_with("streams", default.streams, |node, report| {
        bounded(node, report, 1..=MAX_STREAMS).and_then(|streams| streams.try_into().ok())
    });
    let head_bytes = fields.or_with("head_bytes", default.head_bytes, |node, report| {
        bounded(node, report, HEAD_BYTES)
    });
    let head_timeout = fields.or("head_timeout", default.head_timeout);
    let idle_timeout = fields.or("idle_timeout", default.idle_timeout);
    let answer_timeout = fields.or("answer_timeout", default.answer_timeout);
    let max_age = fields.or("max_age", default.max_age);
    let connections = connections?;
    Some(Bounds {
        connections,
        per_address: per_address?.unwrap_or(PerAddress::of(connections)),
        streams: streams?,
        head_bytes: head_bytes?,
        head_timeout: head_timeout?,
        idle_timeout: idle_timeout?,
        answer_timeout: answer_timeout?,
        max_age: max_age?,
    })
}

fn tls(node: &Node, report: &mut Report) -> Option<Tls> {
    let mut fields = Fields::of(node, "the TLS of a listener", report)?;
    let certificate = fields.required_with("certificate", path);
    let private_key = fields.required_with("private_key", |node, report| {
        if matches!(&node.value, Value::Scalar(scalar) if scalar.text.contains("PRIVATE KEY")) {
            not_literal(node, "a private key", "the path of its file", report)?;
        }
        path(node, report)
    });
    let client_ca = fields.optional_with("client_ca", path);
    let ca_is_whole = client_ca.is_some() == fields.get("client_ca").is_some();
    fields.finish();
    let tls = Tls {
        certificate: certificate?.value,
        private_key: private_key?.value,
        client_ca: client_ca.map(|path| path.value),
    };
    ca_is_whole.then_some(tls)
}

pub(super) fn socket_path(node: &Node, report: &mut Report) -> Option<Spanned<PathBuf>> {
    let path = path(node, report)?;
    if path.value.as_os_str().len() > MAX_SOCKET_PATH {
        let message = format!("the path of a unix socket has at most {MAX_SOCKET_PATH} bytes");
        report.error(node.place, message);
        return None;
    }
    Some(path)
}

/// Octal digits, as for `chmod`. A number in YAML is decimal to some readers and octal to others;
/// these digits are always octal.
fn mode(node: &Node, report: &mut Report) -> Option<u32> {
    let what = "permissions in octal digits, such as `0660`";
    decode::parsed(node, what, report, |text| {
        // A sign would be taken for one of them.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits && mode <= 0o777 && (3..=4).contains(&text.len()) => Ok(mode),
            _ => Err("three digits from 0 to 7, or four of which the first is 0"),
        }
    })
}

fn group(node: &Node, report: &mut Report) -> Option<Group> {
    decode::parsed(node, "a group, by its name or number", report, |text| {
        if text.is_empty() || text.contains('\0') {
            return Err("it is empty");
        }
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        match (number, text.parse()) {
            // The highest one means "leave it as it is" to the system.
            (true, Ok(id)) if id < u32::MAX => Ok(Group::Id(id)),
            (true, _) => Err("there is no such number"),
            (false, _) => Ok(Group::Name(text.to_owned())),
        }
    })
}

/// For this user and its group.
const DEFAULT_MODE: u32 = 0o660;

/// More than there are places for deletes anywhere.
const MAX_STREAMS: usize = 100_000;

/// From a short target with a short key to more than any proxy in front lets through.
const HEAD_BYTES: RangeInclusive<usize> = 1024..=256 * 1024;

/// What the system takes (`sun_path` in unix(7)), without the NUL at its end.
const MAX_SOCKET_PATH: usize = 107;
