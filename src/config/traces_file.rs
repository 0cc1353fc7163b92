//! `traces` of gateway.yaml.

use std::path::{Path, PathBuf};

use http::HeaderName;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};

use crate::config::caller_file::hide_url;
use crate::config::decode::{self, Fields};
use crate::config::library_file::{not_literal, path, source};
use crate::config::link::{below, is_readable_on_its_way, split};
use crate::config::report::{Problem, Report};
use crate::config::source::{Place, Spanned};
use crate::config::yaml::Node;
use crate::ids::MAX_TEXT_BYTES;
use crate::secret::Source;
use crate::traces::{CAN_EXPORT, Collector, Share, TracesPlan};

pub(super) struct Traces {
    otlp: Otlp,
    sample: Share,
    service: String,
    attributes: Vec<(String, String)>,
}

struct Otlp {
    place: Place,
    url: Spanned<String>,
    ca_file: Option<PathBuf>,
    bearer_token: Option<Source>,
    headers: Vec<(HeaderName, Source)>,
}

pub(super) fn traces(node: &Node, report: &mut Report) -> Option<Traces> {
    let mut fields = Fields::of(node, "the traces", report)?;
    let otlp = fields.required_with("otlp", otlp);
    let sample = fields.or_with("sample", Share::ALL, |node, report| {
        decode::parsed(node, "a share of all deletes", report, |text| Share::try_from(text))
    });
    let service = fields.or_with("service_name", DEFAULT_SERVICE.to_owned(), text);
    let attributes = fields.or_with("attributes", Vec::new(), |node, report| {
        let named = decode::named(node, "an attribute", report, attribute, text)?;
        decode::whole(named)
    });
    if !CAN_EXPORT {
        let message = "this build cannot send traces";
        let help = "take `traces` out, or build with the feature `otlp`, which is on by default";
        let problem = Problem::error(fields.place(), message).with_help(help);
        fields.report().push(problem);
    }
    fields.finish();
    let (otlp, sample, service, attributes) = (otlp?, sample?, service?, attributes?);
    let attributes = attributes.into_iter().map(|(name, value)| (name.value, value)).collect();
    CAN_EXPORT.then_some(Traces { otlp, sample, service, attributes })
}

fn otlp(node: &Node, report: &mut Report) -> Option<Otlp> {
    hide_url(node, report, ["url", "ca_file", "bearer_token", "headers"]);
    let mut fields = Fields::of(node, "a collector", report)?;
    let place = fields.place();
    let url = fields.required::<Spanned<String>>("url");
    let ca_file = fields.or_with("ca_file", None, |node, report| path(node, report).map(Some));
    let bearer_token =
        fields.or_with("bearer_token", None, |node, report| secret(node, report).map(Some));
    let headers = fields.or_with("headers", Vec::new(), |node, report| {
        let named = decode::named(node, "a header field", report, field, secret)?;
        decode::whole(named)
    });
    fields.finish();
    let headers = headers?.into_iter().map(|(name, source)| (name.value, source)).collect();
    let ca_file = ca_file?.map(|path| path.value);
    Some(Otlp { place, url: url?, ca_file, bearer_token: bearer_token?, headers })
}

fn secret(node: &Node, report: &mut Report) -> Option<Source> {
    not_literal(node, "a secret", "`{ file: … }` or `{ env: … }`", report)?;
    let mut fields = Fields::of(node, "a secret", report)?;
    let (key, node) = fields.one_of(&["env", "file"])?;
    let source = source(key, node, fields.report());
    fields.finish();
    source
}

fn text(node: &Node, report: &mut Report) -> Option<String> {
    decode::parsed(node, "a text", report, |text| match text.len() {
        0 => Err("it is empty"),
        1..=MAX_TEXT_BYTES => Ok(text.to_owned()),
        _ => Err("it is longer than 256 bytes"),
    })
}

fn attribute(name: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    match name {
        "" => Err("it is empty"),
        "service.name" => Err("`service_name` is the place for it"),
        name if name.len() > MAX_TEXT_BYTES => Err("it is longer than 256 bytes"),
        name if name.bytes().all(is_plain) => Ok(name.to_owned()),
        _ => Err("use letters, digits and . _ - /"),
    }
}

/// Those that say where the body ends, and what it is, are the gateway's to write.
fn field(name: &str) -> Result<HeaderName, &'static str> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "use letters, digits and - as for a header field")?;
    if name == AUTHORIZATION {
        return Err("`bearer_token` is the place for it");
    }
    let own = [HOST, CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING];
    if own.contains(&name) { Err("the gateway writes this one itself") } else { Ok(name) }
}

/// Where it all is, below the folder of gateway.yaml.
pub(super) fn link_traces(
    traces: Traces,
    folder: &Path,
    report: &mut Report,
) -> Option<TracesPlan> {
    let Traces { otlp, sample, service, attributes } = traces;
    let place = otlp.url.place;
    let (origin, target) = match split(&otlp.url.value) {
        Ok((_, target)) if target.contains('?') => {
            report.error(place, "the address of a collector has no query");
            return None;
        }
        Ok((origin, target)) if target == "/" => (origin, DEFAULT_TARGET.to_owned()),
        Ok(parts) => parts,
        Err(error) => {
            report.error(place, format!("this is no URL of a collector: {error}"));
            return None;
        }
    };
    let has_secret = otlp.bearer_token.is_some() || !otlp.headers.is_empty();
    if has_secret && is_readable_on_its_way(&origin) {
        let message = "over plain http a secret could be read on its way to the collector";
        let help = "use https; http with a secret is for loopback";
        report.push(Problem::error(otlp.place, message).with_help(help));
        return None;
    }
    let headers = otlp.headers.into_iter();
    let collector = Collector {
        origin,
        target,
        ca_file: otlp.ca_file.map(|path| folder.join(path)),
        bearer_token: otlp.bearer_token.as_ref().map(|source| below(folder, source)),
        headers: headers.map(|(name, source)| (name, below(folder, &source))).collect(),
    };
    Some(TracesPlan { collector, sample, service, attributes })
}

const DEFAULT_SERVICE: &str = "smh-gateway";

/// Where OTLP over HTTP has it.
const DEFAULT_TARGET: &str = "/v1/traces";
