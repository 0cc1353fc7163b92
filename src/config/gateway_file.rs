//! gateway.yaml as written: shape only. What the names in it refer to is [`super::link`]'s concern.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::caller_file::{Caller, Issuer, caller, issuer};
use crate::config::decode::{self, Fields};
use crate::config::library_file::{Library, library, path};
use crate::config::listener_file::{Listener, listeners};
use crate::config::report::Report;
use crate::config::source::Spanned;
use crate::config::yaml::{Node, Value};
use crate::directory::UserIdRule;
use crate::ids::{CallerName, IssuerName, LibraryId, SpaceId, TenantName, UserId};
use crate::upstream::TokenPlace;

/// A map of names. A value is missing where it was wrong: its name is still known.
pub(super) type Named<K, V> = Vec<(Spanned<K>, Option<V>)>;

/// A section that is wrong is replaced by its default, so that the rest is still checked; `whole`
/// says whether there was one.
pub(super) struct GatewayFile {
    pub(super) whole: bool,
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Admin,
    pub(super) upstream: Upstream,
    /// `None` where it is no map: then nobody knows which names there are.
    pub(super) libraries: Option<Named<LibraryId, Library>>,
    pub(super) tenants: Option<Named<TenantName, Tenant>>,
    pub(super) callers: Option<Named<CallerName, Caller>>,
    pub(super) jwt_issuers: Option<Named<IssuerName, Issuer>>,
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) shutdown: Shutdown,
    pub(super) log: DeleteLog,
    pub(super) policy: Option<Spanned<PathBuf>>,
    pub(super) policy_tests: Vec<Spanned<PathBuf>>,
}

pub(super) struct Upstream {
    pub(super) url: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: usize,
    pub(super) token_in: TokenPlace,
}

pub(super) struct Tenant {
    pub(super) library: Spanned<String>,
    pub(super) space: SpaceId,
    pub(super) user_id: UserIdRule,
}

/// Where the admin listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admin {
    /// There is none.
    Off,
    /// At this address.
    At(SocketAddr),
}

/// How a gateway leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Keeps accepting this long after SIGTERM, until no one sends it new connections.
    pub delay: Duration,
    /// Then finishes what is in flight, within this time.
    pub drain: Duration,
}

/// Where the line goes that each delete leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteLog {
    /// To standard output.
    Stdout,
    /// Nowhere.
    Off,
}

pub(super) fn decode(root: &Node, report: &mut Report) -> Option<GatewayFile> {
    let mut fields = Fields::of(root, "gateway.yaml", report)?;
    let listeners = fields.required_with("listeners", listeners);
    let admin = fields.or_with("admin", DEFAULT_ADMIN, admin);
    let upstream = fields.or_with("upstream", Upstream::default(), upstream);
    let libraries = fields.required_with("libraries", |node, report| {
        decode::named(node, "a library", report, |name| LibraryId::try_from(name), library)
    });
    let tenants = fields.required_with("tenants", |node, report| {
        decode::named(node, "a tenant", report, |name| TenantName::try_from(name), tenant)
    });
    let callers = fields.required_with("callers", |node, report| {
        decode::named(node, "a caller", report, |name| CallerName::try_from(name), caller)
    });
    let workers = fields.optional_with("workers", |node, report| {
        bounded(node, report, 1..=MAX_WORKERS).and_then(NonZeroUsize::new)
    });
    let shutdown = fields.or_with("shutdown", DEFAULT_SHUTDOWN, shutdown);
    let log = fields.or_with("log", DeleteLog::Stdout, log);
    let policy = fields.optional_with("policy", path);
    let policy_tests =
        fields.or_with("policy_tests", Vec::new(), |node, report| decode::list(node, report, path));
    let jwt_issuers = fields.or_with("jwt_issuers", Vec::new(), |node, report| {
        decode::named(node, "an issuer", report, |name| IssuerName::try_from(name), issuer)
    });
    for later in ["rate_limit_store", "rate_limit_state", "ratelimit_headers"] {
        fields.not_yet_supported(later);
    }
    for later in ["audit", "undo"] {
        fields.not_yet_supported(later);
    }
    fields.finish();
    let sections = [listeners.is_some(), admin.is_some(), upstream.is_some(), libraries.is_some()];
    let people = [tenants.is_some(), callers.is_some(), jwt_issuers.is_some()];
    let others = [shutdown.is_some(), log.is_some(), policy_tests.is_some()];
    Some(GatewayFile {
        whole: sections.into_iter().chain(people).chain(others).all(|is_there| is_there),
        listeners: listeners.unwrap_or_default(),
        admin: admin.unwrap_or(DEFAULT_ADMIN),
        upstream: upstream.unwrap_or_else(Upstream::unknown),
        libraries,
        tenants,
        callers,
        jwt_issuers,
        workers,
        shutdown: shutdown.unwrap_or(DEFAULT_SHUTDOWN),
        log: log.unwrap_or(DeleteLog::Stdout),
        policy,
        policy_tests: policy_tests.unwrap_or_default(),
    })
}

fn admin(node: &Node, report: &mut Report) -> Option<Admin> {
    if is_none(node) {
        return Some(Admin::Off);
    }
    let mut fields = Fields::of(node, "the admin listener", report)?;
    let admin = fields.or_with("address", DEFAULT_ADMIN, |node, report| {
        if is_none(node) {
            return Some(Admin::Off);
        }
        address(node, report).map(|address| Admin::At(address.value))
    });
    fields.not_yet_supported("allow_quit");
    fields.finish();
    admin
}

/// `admin: none`, and `admin: { address: none }`.
fn is_none(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text == "none")
}

fn upstream(node: &Node, report: &mut Report) -> Option<Upstream> {
    let default = Upstream::default();
    let mut fields = Fields::of(node, "the upstream", report)?;
    let url = fields.optional("url");
    let ca_file = fields.optional_with("ca_file", path);
    let connect_timeout = fields.or("connect_timeout", default.connect_timeout);
    let timeout = fields.or("timeout", default.timeout);
    let max_in_flight = fields.or_with("max_in_flight", default.max_in_flight, |node, report| {
        bounded(node, report, 1..=usize::MAX)
    });
    let token_in = fields.or_with("token_in", default.token_in, |node, report| {
        let places = [("query", TokenPlace::Query), ("header", TokenPlace::Header)];
        decode::word(node, "a place for the token", report, &places)
    });
    fields.finish();
    Some(Upstream {
        url,
        ca_file,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        max_in_flight: max_in_flight?,
        token_in: token_in?,
    })
}

impl Upstream {
    /// In place of one that is wrong: nothing is too much beside it.
    fn unknown() -> Self {
        Self { max_in_flight: usize::MAX, ..Self::default() }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            // A second try must fit into `timeout`.
            connect_timeout: Duration::from_secs(2),
            // Most callers give up after 15 s or more: they must have heard from us before.
            timeout: Duration::from_secs(10),
            // At SMH's usual 50 ms this is 20,000 deletes a second.
            max_in_flight: 1000,
            token_in: TokenPlace::Query,
        }
    }
}

fn tenant(node: &Node, report: &mut Report) -> Option<Tenant> {
    let mut fields = Fields::of(node, "a tenant", report)?;
    let library = fields.required("library");
    let space = fields.required_with("space", |node, report| {
        decode::parsed(node, "a space id", report, |text| SpaceId::try_from(text))
    });
    let user_id = fields.or_with("user_id", UserIdRule::Forward, user_id_rule);
    fields.finish();
    Some(Tenant { library: library?, space: space?, user_id: user_id? })
}

fn user_id_rule(node: &Node, report: &mut Report) -> Option<UserIdRule> {
    let Value::Map(_) = node.value else {
        let words = [("forward", UserIdChoice::Forward), ("forbid", UserIdChoice::Forbid)];
        let what = "a rule for `user_id`, which is `{ fixed: … }` or";
        return decode::word(node, what, report, &words).map(|choice| match choice {
            UserIdChoice::Forward => UserIdRule::Forward,
            UserIdChoice::Forbid => UserIdRule::Forbid,
        });
    };
    let mut fields = Fields::of(node, "a rule for `user_id`", report)?;
    let fixed = fields.required_with("fixed", |node, report| {
        decode::parsed(node, "a user id", report, |text| UserId::try_from(text))
    });
    fields.finish();
    fixed.map(UserIdRule::Fixed)
}

#[derive(Clone, Copy)]
enum UserIdChoice {
    Forward,
    Forbid,
}

fn shutdown(node: &Node, report: &mut Report) -> Option<Shutdown> {
    let mut fields = Fields::of(node, "the shutdown", report)?;
    let delay = fields.or_with("delay", DEFAULT_SHUTDOWN.delay, decode::duration_or_zero);
    let drain = fields.or_with("drain", DEFAULT_SHUTDOWN.drain, decode::duration_or_zero);
    fields.finish();
    Some(Shutdown { delay: delay?, drain: drain? })
}

fn log(node: &Node, report: &mut Report) -> Option<DeleteLog> {
    let mut fields = Fields::of(node, "the log", report)?;
    let deletes = fields.or_with("deletes", DeleteLog::Stdout, |node, report| {
        let words = [("stdout", DeleteLog::Stdout), ("off", DeleteLog::Off)];
        decode::word(node, "a place for the delete log", report, &words)
    });
    fields.finish();
    deletes
}

pub(super) fn address(node: &Node, report: &mut Report) -> Option<Spanned<SocketAddr>> {
    let what = "an address with a port, such as `127.0.0.1:8080` or `[::]:8080`";
    let address = decode::parsed(node, what, report, |text| {
        text.parse().map_err(|_| "names are not looked up here")
    })?;
    Some(Spanned { place: node.place, value: address })
}

/// A whole number within bounds.
pub(super) fn bounded(
    node: &Node,
    report: &mut Report,
    bounds: RangeInclusive<usize>,
) -> Option<usize> {
    let number = <usize as decode::Decode>::decode(node, report)?;
    if bounds.contains(&number) {
        return Some(number);
    }
    let message = if number < *bounds.start() {
        format!("it must be at least {}", bounds.start())
    } else {
        format!("it must be at most {}", bounds.end())
    };
    report.error(node.place, message);
    None
}

const DEFAULT_ADMIN: Admin = Admin::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901));

/// Kubernetes takes a second or two to tell everyone that a pod is leaving, and gives it 30 s.
const DEFAULT_SHUTDOWN: Shutdown =
    Shutdown { delay: Duration::from_secs(2), drain: Duration::from_secs(25) };

/// More threads than any machine serves with.
const MAX_WORKERS: usize = 256;
