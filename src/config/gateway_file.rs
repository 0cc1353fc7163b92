//! gateway.yaml as written: shape only. What the names in it refer to is [`super::link`]'s concern.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::audit::AuditPlan;
use crate::config::audit_file::audit;
use crate::config::caller_file::{Caller, Issuer, caller, issuer};
use crate::config::decode::{self, Fields};
use crate::config::library_file::{Library, library, path};
use crate::config::limit_store_file::{LimitStore, limit_store};
use crate::config::listener_file::{Listener, listeners, socket_path};
use crate::config::log_file::{DEFAULT_LOG, LogPlan, log};
use crate::config::report::Report;
use crate::config::source::Spanned;
use crate::config::traces_file::{Traces, traces};
use crate::config::undo_file::{Undo, undo};
use crate::config::yaml::{Node, Value};
use crate::directory::UserIdRule;
use crate::ids::{CallerName, IssuerName, LibraryId, SpaceId, TenantName, UserId};
use crate::listener::UnixPlan;
use crate::upstream::{PrivateAddresses, TokenPlace};

/// A map of names. A value is missing where it was wrong: its name is still known.
pub(super) type Named<K, V> = Vec<(Spanned<K>, Option<V>)>;

/// A section that is wrong is replaced by its default, so that the rest is still checked; `whole`
/// says whether there was one.
pub(super) struct GatewayFile {
    pub(super) whole: bool,
    pub(super) listeners: Vec<Listener>,
    pub(super) admin: Admin,
    pub(super) limits: LimitSettings,
    pub(super) upstream: Upstream,
    /// `None` where it is no map: then nobody knows which names there are.
    pub(super) libraries: Option<Named<LibraryId, Library>>,
    pub(super) tenants: Option<Named<TenantName, Tenant>>,
    pub(super) callers: Option<Named<CallerName, Caller>>,
    pub(super) jwt_issuers: Option<Named<IssuerName, Issuer>>,
    pub(super) workers: Option<NonZeroUsize>,
    pub(super) shutdown: Shutdown,
    pub(super) log: LogPlan,
    pub(super) audit: Option<AuditPlan>,
    pub(super) policy: Option<Spanned<PathBuf>>,
    pub(super) policy_tests: Vec<Spanned<PathBuf>>,
    pub(super) undo: Option<Undo>,
    pub(super) traces: Option<Traces>,
}

pub(super) struct Upstream {
    pub(super) url: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    pub(super) max_in_flight: usize,
    pub(super) token_in: TokenPlace,
    pub(super) ease_off: bool,
    pub(super) private_addresses: PrivateAddresses,
}

pub(super) struct Tenant {
    pub(super) library: Spanned<String>,
    pub(super) space: SpaceId,
    pub(super) user_id: UserIdRule,
}

/// What is not policy about the limits.
#[derive(Default)]
pub(super) struct LimitSettings {
    pub(super) store: Option<LimitStore>,
    pub(super) state: Option<PathBuf>,
    pub(super) headers: RateLimitHeaders,
}

/// Where operators are listened for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// For everything that changes nothing; `None`: nowhere.
    pub address: Option<SocketAddr>,
    /// For what changes something as well: whoever may connect to it is an operator.
    pub socket: Option<UnixPlan>,
    /// Whether `POST /quitquitquit` ends the gateway.
    pub allow_quit: bool,
}

/// Which answers say how the limits stand (draft-ietf-httpapi-ratelimit-headers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateLimitHeaders {
    /// The gateway's own.
    #[default]
    Own,
    /// SMH's as well, which are then not relayed as they came.
    All,
}

impl RateLimitHeaders {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::All => "all",
        }
    }
}

/// How a gateway leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Keeps accepting this long after SIGTERM, until no one sends it new connections.
    pub delay: Duration,
    /// Then finishes what is in flight, within this time.
    pub drain: Duration,
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
    let log = fields.or_with("log", DEFAULT_LOG, log);
    let policy = fields.optional_with("policy", path);
    let policy_tests =
        fields.or_with("policy_tests", Vec::new(), |node, report| decode::list(node, report, path));
    let jwt_issuers = fields.or_with("jwt_issuers", Vec::new(), |node, report| {
        decode::named(node, "an issuer", report, |name| IssuerName::try_from(name), issuer)
    });
    let limits = limit_settings(&mut fields);
    let audit = fields.or_with("audit", None, audit);
    let undo = fields.or_with("undo", None, |node, report| undo(node, report).map(Some));
    let traces = fields.or_with("traces", None, |node, report| traces(node, report).map(Some));
    fields.finish();
    let sections = [listeners.is_some(), admin.is_some(), upstream.is_some(), libraries.is_some()];
    let people = [tenants.is_some(), callers.is_some(), jwt_issuers.is_some()];
    let others = [shutdown.is_some(), log.is_some(), policy_tests.is_some(), limits.is_some()];
    let records = [audit.is_some(), undo.is_some(), traces.is_some()];
    Some(GatewayFile {
        whole: [&sections[..], &people, &others, &records]
            .concat()
            .iter()
            .all(|is_there| *is_there),
        listeners: listeners.unwrap_or_default(),
        admin: admin.unwrap_or(DEFAULT_ADMIN),
        limits: limits.unwrap_or_default(),
        upstream: upstream.unwrap_or_else(Upstream::unknown),
        libraries,
        tenants,
        callers,
        jwt_issuers,
        workers,
        shutdown: shutdown.unwrap_or(DEFAULT_SHUTDOWN),
        log: log.unwrap_or(DEFAULT_LOG),
        audit: audit.flatten(),
        policy,
        policy_tests: policy_tests.unwrap_or_default(),
        undo: undo.flatten(),
        traces: traces.flatten(),
    })
}

fn limit_settings(fields: &mut Fields<'_, '_>) -> Option<LimitSettings> {
    let store = fields
        .or_with("rate_limit_store", None, |node, report| limit_store(node, report).map(Some));
    let state =
        fields.or_with("rate_limit_state", None, |node, report| path(node, report).map(Some));
    let headers = fields.or_with("ratelimit_headers", RateLimitHeaders::Own, |node, report| {
        let words = [("own", RateLimitHeaders::Own), ("all", RateLimitHeaders::All)];
        decode::word(node, "a choice of answers", report, &words)
    });
    Some(LimitSettings { store: store?, state: state?.map(|path| path.value), headers: headers? })
}

/// The admin listener, whatever the rest of the file is like.
pub(super) fn admin_alone(root: &Node, report: &mut Report) -> Option<Admin> {
    Fields::of(root, "gateway.yaml", report)?.or_with("admin", DEFAULT_ADMIN, admin)
}

fn admin(node: &Node, report: &mut Report) -> Option<Admin> {
    if is_none(node) {
        return Some(Admin { address: None, ..DEFAULT_ADMIN });
    }
    let mut fields = Fields::of(node, "the admin listener", report)?;
    let address = fields.or_with("address", DEFAULT_ADMIN.address, |node, report| {
        if is_none(node) {
            return Some(None);
        }
        address(node, report).map(|address| Some(address.value))
    });
    let socket = fields.or_with("socket", None, |node, report| {
        // For this user alone: whoever may connect may grant.
        let plan = |path| UnixPlan { path, mode: 0o600, group: None };
        socket_path(node, report).map(|path| Some(plan(path.value)))
    });
    let allow_quit = fields.or("allow_quit", DEFAULT_ADMIN.allow_quit);
    fields.finish();
    Some(Admin { address: address?, socket: socket?, allow_quit: allow_quit? })
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
    let ease_off = fields.or("ease_off", true);
    let private_addresses =
        fields.or_with("private_addresses", default.private_addresses, |node, report| {
            let all = [PrivateAddresses::Refuse, PrivateAddresses::Allow];
            let words = all.map(|choice| (choice.as_str(), choice));
            decode::word(node, "what becomes of private addresses", report, &words)
        });
    fields.finish();
    Some(Upstream {
        url,
        ca_file,
        connect_timeout: connect_timeout?,
        timeout: timeout?,
        max_in_flight: max_in_flight?,
        token_in: token_in?,
        ease_off: ease_off?,
        private_addresses: private_addresses?,
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
            ease_off: true,
            // SMH is on the internet, unless one says otherwise.
            private_addresses: PrivateAddresses::Refuse,
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

const DEFAULT_ADMIN: Admin = Admin {
    address: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9901)),
    socket: None,
    // The listener asks for no credential.
    allow_quit: false,
};

/// Kubernetes takes a second or two to tell everyone that a pod is leaving, and gives it 30 s.
const DEFAULT_SHUTDOWN: Shutdown =
    Shutdown { delay: Duration::from_secs(2), drain: Duration::from_secs(25) };

/// More threads than any machine serves with.
const MAX_WORKERS: usize = 256;
