//! From the two files to one [`Snapshot`]: what names refer to, and what must hold between them.

mod callers;
mod distinct;
mod listeners;
mod policy;
mod tenants;
mod undo;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) use self::callers::split;
use self::tenants::{link_tenants, warn_of_minted_tokens};
use crate::config::audit_file::link_audit;
use crate::config::gateway_file::{Admin, GatewayFile, Named};
use crate::config::library_file::{Library as LibraryFile, Token};
use crate::config::limit_store_file::LimitStore;
use crate::config::lint::Places;
use crate::config::listener_file::Listener;
use crate::config::policy_file::PolicyFile;
use crate::config::report::{Problem, Report, Warning};
use crate::config::snapshot::{ConfiguredLibrary, Lines, Snapshot};
use crate::config::source::Spanned;
use crate::config::traces_file::link_traces;
use crate::config::watched::Watched;
use crate::directory::Library;
use crate::glob::{NameGlob, NameSet};
use crate::ids::LibraryId;
use crate::limit_store::{StorePlan, WhenUnavailable};
use crate::listener::UnixPlan;
use crate::origin::{Origin, Scheme};
use crate::secret::Source;
use crate::token::{MintPlan, TokenSource};
use crate::upstream::{Settings, tls};

/// What was read, and from where.
pub(super) struct Files {
    pub(super) gateway: GatewayFile,
    pub(super) policy: PolicyFile,
    pub(super) file: PathBuf,
    pub(super) policy_file: Option<PathBuf>,
    pub(super) sha256: String,
}

/// Every problem is reported; a snapshot is made only where there is none.
pub(super) fn link(files: Files, report: &mut Report) -> Option<Snapshot> {
    let Files { mut gateway, policy, file, policy_file, sha256 } = files;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut names = Names {
        libraries: names_of(gateway.libraries.as_ref()),
        tenants: names_of(gateway.tenants.as_ref()),
        callers: names_of(gateway.callers.as_ref()),
        issuers: names_of(gateway.jwt_issuers.as_ref()),
    };
    let listeners = listeners::link(&gateway, &folder, report);
    let smh_paths = gateway.listeners.iter().any(|listener| listener.smh_paths);
    let is_whole = gateway.whole && !policy.broken;
    let mut places = Places::default();
    let (policy, limits) = policy::link(policy, &mut names, &mut places, report);
    let libraries = link_libraries(&gateway, &folder, report);
    let tenants = link_tenants(&gateway, &libraries, &names, smh_paths, &mut places, report);
    warn_of_unknown_replicas(&gateway, report);
    check_response_timeout(&gateway, report);
    warn_of_minted_tokens(&gateway, &libraries, &policy, report);
    let issuers = callers::link_issuers(&gateway, &folder, report);
    let callers = callers::link(&gateway, &folder, &names, &mut places, report);
    let upstream = link_upstream(&gateway, &folder, report);
    let undo = undo::link(&gateway, &folder, &names, report);
    let linked_traces = gateway.traces.take().map(|traces| link_traces(traces, &folder, report));
    let lines = Lines {
        libraries: lines_of(gateway.libraries.as_ref()),
        tenants: lines_of(gateway.tenants.as_ref()),
        callers: lines_of(gateway.callers.as_ref()),
    };
    if report.has_errors() || !is_whole {
        return None;
    }
    Some(Snapshot {
        listeners,
        admin: link_admin(gateway.admin, &folder),
        limit_store: gateway.limits.store.map(|store| link_store(store, &folder)),
        limit_state: gateway.limits.state.map(|path| folder.join(path)),
        limit_headers: gateway.limits.headers,
        ease_off: gateway.upstream.ease_off,
        libraries: libraries.into_values().collect(),
        tenants,
        callers,
        issuers,
        policy,
        limits,
        upstream: upstream?,
        max_in_flight: gateway.upstream.max_in_flight,
        workers: gateway.workers.unwrap_or_else(cores),
        shutdown: gateway.shutdown,
        log: gateway.log,
        audit: gateway.audit.map(|plan| link_audit(plan, &folder)),
        undo,
        traces: linked_traces.flatten(),
        lines,
        places,
        file,
        policy_file,
        policy_tests: gateway.policy_tests.iter().map(|file| folder.join(&file.value)).collect(),
        sha256,
        // Known once all is read, test cases among it.
        watched: Watched::default(),
    })
}

/// What can be referred to by name; `None` where that is not known.
struct Names<'f> {
    libraries: Option<Defined<'f>>,
    tenants: Option<Defined<'f>>,
    callers: Option<Defined<'f>>,
    issuers: Option<Defined<'f>>,
}

/// Names as messages list them, and to be looked up: there may be ten thousand.
struct Defined<'f> {
    in_order: Vec<&'f str>,
    set: NameSet<'f>,
    /// Globs that were looked at, and whether there are names that they match.
    globs: HashMap<NameGlob, bool>,
}

impl<'f> Defined<'f> {
    fn contains(&self, name: &str) -> bool {
        self.set.contains(name)
    }

    /// Whether a glob matches any: found once, however many rules have it.
    fn any_matches(&mut self, glob: &NameGlob) -> bool {
        if let Some(found) = self.globs.get(glob) {
            return *found;
        }
        let found = self.set.matched_by(glob).next().is_some();
        self.globs.insert(glob.clone(), found);
        found
    }

    /// In the order of the file.
    fn iter(&self) -> impl Iterator<Item = &'f str> {
        self.in_order.iter().copied()
    }
}

fn names_of<K: Borrow<str>, V>(named: Option<&Named<K, V>>) -> Option<Defined<'_>> {
    let in_order: Vec<_> = named?.iter().map(|(name, _)| name.value.borrow()).collect();
    let set = in_order.iter().copied().collect();
    Some(Defined { in_order, set, globs: HashMap::new() })
}

fn lines_of<K: Clone + Eq + Hash, V>(named: Option<&Named<K, V>>) -> HashMap<K, u32> {
    let named = named.into_iter().flatten();
    named.map(|(name, _)| (name.value.clone(), name.place.line)).collect()
}

/// The processors that this process may use; the CPU limit of a container counts.
fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

pub(super) fn link_admin(admin: Admin, folder: &Path) -> Admin {
    let socket = admin.socket.map(|socket| UnixPlan { path: folder.join(&socket.path), ..socket });
    Admin { socket, ..admin }
}

fn link_store(store: LimitStore, folder: &Path) -> StorePlan {
    StorePlan {
        at: store.at,
        username: store.username,
        password: store.password.as_ref().map(|source| below(folder, source)),
        ca_file: store.ca_file.map(|path| folder.join(path)),
        prefix: store.prefix,
        response_timeout: store.response_timeout,
        when_unavailable: store.when_unavailable,
        replicas: store.replicas.unwrap_or(NonZeroU32::MIN),
    }
}

/// A delete whose time is over while the store is asked would hear neither of it nor of SMH.
fn check_response_timeout(gateway: &GatewayFile, report: &mut Report) {
    if let Some(store) = &gateway.limits.store
        && store.response_timeout >= gateway.upstream.timeout
    {
        let (asked, whole) = (store.response_timeout, gateway.upstream.timeout);
        let message = format!(
            "`response_timeout` is {asked:?}, and a whole delete has {whole:?} (`upstream.timeout`)"
        );
        report.error(store.place, message);
    }
}

/// Each gateway would enforce the whole of each limit by itself.
fn warn_of_unknown_replicas(gateway: &GatewayFile, report: &mut Report) {
    if let Some(store) = &gateway.limits.store
        && store.when_unavailable == WhenUnavailable::Local
        && store.replicas.is_none()
    {
        let message = "without the store each gateway enforces its share of each limit, and \
                       nothing says how many there are";
        let problem = Problem::warning(store.place, Warning::UnknownReplicas, message);
        report.push(problem.with_help("say `replicas: 3`, or `when_unavailable: refuse`"));
    }
}

fn link_libraries(
    gateway: &GatewayFile,
    folder: &Path,
    report: &mut Report,
) -> HashMap<LibraryId, ConfiguredLibrary> {
    let mut linked = HashMap::new();
    for (id, library) in gateway.libraries.iter().flatten() {
        let Some(library) = library else { continue };
        let url = library.url.as_ref().or(gateway.upstream.url.as_ref());
        let Some(origin) = origin(url, id, report) else { continue };
        let shared = Library::new(id.value.clone(), origin, library.recycle_bin);
        let token = link_token(&library.token, folder);
        let max_in_flight = share(gateway, library, report);
        let library = Arc::new(shared);
        linked.insert(id.value.clone(), ConfiguredLibrary { library, token, max_in_flight });
    }
    linked
}

fn link_token(token: &Token, folder: &Path) -> TokenSource {
    match token {
        Token::Given(source) => TokenSource::Given(below(folder, source)),
        Token::Minted(plan) => TokenSource::Minted(MintPlan {
            library_secret: below(folder, &plan.library_secret),
            ..plan.clone()
        }),
    }
}

/// How many of all deletes may be under way in a library. Where there are several, half of them
/// unless the file says otherwise: one that is slow must leave room for the others, and one that is
/// busy while the others are not should not be held back much.
fn share(gateway: &GatewayFile, library: &LibraryFile, report: &mut Report) -> usize {
    let all = gateway.upstream.max_in_flight;
    let Some(Spanned { place, value: most }) = library.max_in_flight else {
        let is_alone = gateway.libraries.as_ref().is_none_or(|libraries| libraries.len() == 1);
        return if is_alone { all } else { (all / 2).max(1) };
    };
    if most > all {
        let message =
            format!("this is more than there may be in all: `upstream.max_in_flight` is {all}");
        let help = "raise that one, or lower this";
        report.push(Problem::error(place, message).with_help(help));
    }
    most
}

/// The URL of a library, with its id put in where the configuration says so.
fn origin(
    url: Option<&Spanned<String>>,
    id: &Spanned<LibraryId>,
    report: &mut Report,
) -> Option<Origin> {
    let (place, template) =
        url.map_or((id.place, DEFAULT_URL), |url| (url.place, url.value.as_str()));
    let text = template.replace("{library_id}", id.value.as_str());
    let origin = match Origin::try_from(text.as_str()) {
        Ok(origin) => origin,
        Err(error) => {
            report.error(place, format!("this is not the address of an SMH library: {error}"));
            return None;
        }
    };
    if is_readable_on_its_way(&origin) {
        let message = "over plain http the token could be read on its way";
        report.push(Problem::error(place, message).with_help("use https; http is for loopback"));
        return None;
    }
    Some(origin)
}

/// Plain http to another machine.
pub(super) fn is_readable_on_its_way(origin: &Origin) -> bool {
    let loopback = origin.host() == "localhost"
        || origin.host().parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    origin.scheme() == Scheme::Http && !loopback
}

fn link_upstream(gateway: &GatewayFile, folder: &Path, report: &mut Report) -> Option<Settings> {
    let upstream = &gateway.upstream;
    let ca_file = upstream.ca_file.as_ref();
    let path = ca_file.map(|ca_file| folder.join(&ca_file.value));
    // Without a file of the operator's there is hardly anything to go wrong, and no place for it.
    let first = gateway.listeners.first().map(Listener::place);
    let tls = match tls::client_config(path.as_deref()) {
        Ok(tls) => tls,
        Err(error) => {
            let place = ca_file.map(|ca_file| ca_file.place).or(first)?;
            report.error(place, error.to_string());
            return None;
        }
    };
    Some(Settings {
        connect_timeout: upstream.connect_timeout,
        timeout: upstream.timeout,
        token_in: upstream.token_in,
        private_addresses: upstream.private_addresses,
        tls,
    })
}

/// Paths in a file are relative to the folder that it is in.
pub(super) fn below(folder: &Path, source: &Source) -> Source {
    match source {
        Source::File(path) => Source::File(folder.join(path)),
        Source::Environment(name) => Source::Environment(name.clone()),
    }
}

/// Every library has a host of its own (smh-api.md, section 1).
const DEFAULT_URL: &str = "https://{library_id}.api.tencentsmh.cn";
