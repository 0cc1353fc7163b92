//! `rate_limit_store` of gateway.yaml.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::decode::{self, Fields};
use crate::config::library_file::{not_literal, path, source};
use crate::config::report::{Problem, Report};
use crate::config::source::{Place, Spanned};
use crate::config::yaml::{Node, Value};
use crate::limit_store::{StoreAt, StoreUrl, StoreUrlError, WhenUnavailable};
use crate::secret::Source;

pub(super) struct LimitStore {
    pub(super) place: Place,
    pub(super) at: StoreAt,
    pub(super) username: Option<String>,
    pub(super) password: Option<Source>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) prefix: String,
    pub(super) response_timeout: Duration,
    pub(super) when_unavailable: WhenUnavailable,
    /// Left out: nobody knows.
    pub(super) replicas: Option<NonZeroU32>,
}

pub(super) fn limit_store(node: &Node, report: &mut Report) -> Option<LimitStore> {
    let mut fields = Fields::of(node, "the rate limit store", report)?;
    let place = fields.place();
    let redis = fields.required_with("redis", redis);
    let when_unavailable =
        fields.or_with("when_unavailable", WhenUnavailable::Local, |node, report| {
            let words = [("local", WhenUnavailable::Local), ("refuse", WhenUnavailable::Refuse)];
            decode::word(node, "what to do without the store", report, &words)
        });
    let replicas = fields.or_with("replicas", None, |node, report| {
        let number = <u32 as decode::Decode>::decode(node, report)?;
        let replicas = NonZeroU32::new(number).filter(|number| number.get() <= MAX_REPLICAS);
        if replicas.is_none() {
            report.error(node.place, format!("it is a number from 1 to {MAX_REPLICAS}"));
        }
        replicas.map(Some)
    });
    fields.finish();
    let Redis { at, username, password, ca_file, prefix, response_timeout } = redis?;
    let (when_unavailable, replicas) = (when_unavailable?, replicas?);
    Some(LimitStore {
        place,
        at,
        username,
        password,
        ca_file,
        prefix,
        response_timeout,
        when_unavailable,
        replicas,
    })
}

struct Redis {
    at: StoreAt,
    username: Option<String>,
    password: Option<Source>,
    ca_file: Option<PathBuf>,
    prefix: String,
    response_timeout: Duration,
}

fn redis(node: &Node, report: &mut Report) -> Option<Redis> {
    let mut fields = Fields::of(node, "a Redis", report)?;
    let at = match fields.one_of(&["url", "cluster", "sentinel"]) {
        Some(("url", node)) => url(node, fields.report()).map(|url| StoreAt::Single(url.value)),
        Some(("cluster", node)) => cluster(node, fields.report()),
        Some((_, node)) => sentinel(node, fields.report()),
        None => None,
    };
    let username = fields.optional::<String>("username");
    let password = fields.or_with("password", None, |node, report| {
        not_literal(node, "a password", "`{ file: … }` or `{ env: … }`", report)?;
        let mut fields = Fields::of(node, "a password", report)?;
        let (key, node) = fields.one_of(&["env", "file"])?;
        let source = source(key, node, fields.report());
        fields.finish();
        source.map(Some)
    });
    let ca_file = fields.or_with("ca_file", None, |node, report| path(node, report).map(Some));
    let prefix = fields.or_with("key_prefix", DEFAULT_PREFIX.to_owned(), |node, report| {
        decode::parsed(node, "what keys begin with", report, prefix)
    });
    let response_timeout = fields.or("response_timeout", DEFAULT_TIMEOUT);
    if username.is_some()
        && let (Some(None), Some(node)) = (&password, fields.get("username"))
    {
        let problem = Problem::error(node.place, "a `username` proves nothing without `password`");
        fields.report().push(problem.with_help("say where the password is"));
    }
    fields.finish();
    Some(Redis {
        at: at?,
        username,
        password: password?,
        ca_file: ca_file?.map(|path| path.value),
        prefix: prefix?,
        response_timeout: response_timeout?,
    })
}

fn sentinel(node: &Node, report: &mut Report) -> Option<StoreAt> {
    let mut fields = Fields::of(node, "the sentinels of a Redis", report)?;
    let service = fields.required("service");
    let sentinels = fields.required_with("urls", urls);
    fields.finish();
    Some(StoreAt::Sentinel { service: service?, sentinels: sentinels? })
}

fn cluster(node: &Node, report: &mut Report) -> Option<StoreAt> {
    let urls = urls(node, report)?;
    if urls.iter().any(|url| url.database != 0) {
        report.error(node.place, "a Cluster has one database alone: leave its number out");
        return None;
    }
    Some(StoreAt::Cluster(urls))
}

/// At least one, and all alike: in one way, and for one database.
fn urls(node: &Node, report: &mut Report) -> Option<Vec<StoreUrl>> {
    let urls = decode::list(node, report, url)?;
    let Some(first) = urls.first() else {
        report.error(node.place, "at least one address is needed");
        return None;
    };
    let of = |url: &StoreUrl| (url.tls, url.database);
    if let Some(other) = urls.iter().find(|url| of(&url.value) != of(&first.value)) {
        let message = "it differs from the first in `redis`, `rediss` or the database";
        report.error(other.place, message);
        return None;
    }
    Some(urls.into_iter().map(|url| url.value).collect())
}

fn url(node: &Node, report: &mut Report) -> Option<Spanned<StoreUrl>> {
    if let Value::Scalar(scalar) = &node.value
        && StoreUrl::try_from(scalar.text.as_str()) == Err(StoreUrlError::Credential)
    {
        report.hide(node);
        let problem =
            Problem::error(node.place, "the password of a store does not stand in its url");
        report.push(problem.with_help("use `username` and `password: { file: … }` beside it"));
        return None;
    }
    let what = "the address of a store, such as `redis://127.0.0.1:6379`";
    let url = decode::parsed(node, what, report, |text| StoreUrl::try_from(text))?;
    Some(Spanned { place: node.place, value: url })
}

/// A brace would end what holds all keys in one slot of a cluster.
fn prefix(text: &str) -> Result<String, &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(&byte);
    match text.len() {
        0 => Err("it is empty"),
        65.. => Err("it is longer than 64 bytes"),
        _ if !text.bytes().all(is_plain) => Err("use letters, digits and - _ . : /"),
        _ => Ok(text.to_owned()),
    }
}

const DEFAULT_PREFIX: &str = "smh-gateway";

/// A store nearby answers within a millisecond; past this it costs more than it gives.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(50);

const MAX_REPLICAS: u32 = 10_000;
