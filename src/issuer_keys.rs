//! The keys of JWT issuers: fetched in the background, and kept through outages.
//!
//! One task an issuer asks for its JWKS (RFC 7517) at an interval, sooner after a failure, and at once
//! when a JWT names a key that is not known; but because of a JWT at most every ten seconds, since who
//! sends one can be anybody. What fails leaves the keys that there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::authenticate::jwt::{Issuer, KeySet, MAX_KEY_SET_BYTES, Terms};
use crate::files;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::secret::Source;
use crate::upstream::{Document, fetch, tls};

/// An issuer, and where its keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerPlan {
    /// Who signs what for whom.
    pub terms: Terms,
    /// Where its keys are.
    pub jwks: JwksSource,
}

/// Where an issuer's JWKS is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file, which is followed.
    File(PathBuf),
    /// At a URL.
    Url(JwksUrl),
}

/// A URL, taken apart, and what it takes to ask there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksUrl {
    /// Scheme, host and port.
    pub origin: Origin,
    /// Path and query.
    pub target: String,
    /// Whom alone to believe that it is that host; `None`: the public roots. Read again for every
    /// fetch: it may be mounted later, and replaced.
    pub ca_file: Option<PathBuf>,
    /// What to show; read again for every fetch, since those of Kubernetes change by the hour.
    pub bearer_token: Option<Source>,
}

/// What is known of an issuer's keys, for people.
#[derive(Debug, Clone)]
pub struct IssuerStatus {
    /// The name in gateway.yaml.
    pub name: String,
    /// Keys that can be used.
    pub keys: usize,
    /// Since they were fetched last.
    pub age: Option<Duration>,
    /// Why the last look failed, if it did.
    pub last_error: Option<String>,
}

/// All issuers that are followed, each by a task of its own, which ends when nobody has its issuer
/// any more.
#[derive(Default)]
pub struct IssuerKeys(Vec<Arc<Following>>);

/// An issuer and the task that follows it.
struct Following {
    followed: Arc<Followed>,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Followed {
    issuer: Arc<Issuer>,
    plan: IssuerPlan,
    looks: watch::Sender<Looks>,
    last_error: Mutex<Option<String>>,
}

/// How often it was looked, and whether somebody waits for the next time.
#[derive(Debug, Default)]
struct Looks {
    begun: u64,
    ended: u64,
    wanted: bool,
    begun_at: Option<Instant>,
    good_at: Option<Instant>,
}

impl Looks {
    fn begin(&mut self, now: Instant) {
        self.begun += 1;
        self.wanted = false;
        self.begun_at = Some(now);
    }

    fn end(&mut self, good: bool) {
        self.ended += 1;
        if good {
            self.good_at = self.begun_at;
        }
    }

    fn is_good(&self) -> bool {
        self.good_at.is_some() && self.good_at == self.begun_at
    }

    /// Says whether there is a look to wait for: the one that is under way, which all share who
    /// missed its key together, or another one, unless there was one just now.
    fn want(&mut self, least_interval: Duration) -> bool {
        let is_under_way = self.begun > self.ended;
        let was_just_now = self.begun_at.is_some_and(|begun| begun.elapsed() < least_interval);
        self.wanted |= !is_under_way && !was_just_now;
        self.wanted || is_under_way
    }
}

impl IssuerKeys {
    /// Those that come after these. An issuer of which nothing changed stays, with its keys and its
    /// task; any other is asked for its keys at once. To be called in a runtime, which then has the
    /// tasks.
    #[must_use]
    pub fn succeeded_by(&self, plans: &[IssuerPlan], metrics: &Arc<Metrics>) -> Self {
        let follow = |plan: &IssuerPlan| {
            let same = self.0.iter().find(|one| one.followed.plan == *plan);
            same.map_or_else(|| Following::start(plan.clone(), Arc::clone(metrics)), Arc::clone)
        };
        Self(plans.iter().map(follow).collect())
    }

    /// Each of them.
    pub fn issuers(&self) -> impl Iterator<Item = Arc<Issuer>> {
        self.each().map(|one| Arc::clone(&one.issuer))
    }

    fn each(&self) -> impl Iterator<Item = &Followed> {
        self.0.iter().map(|one| &*one.followed)
    }

    /// Waits for the end of one look, but not past the deadline, and not at all if there was one
    /// just now. Says whether the keys are what the issuer said last; if not, one that is missing
    /// may well exist.
    pub async fn look_again(&self, issuer: &Arc<Issuer>, deadline: Instant) -> bool {
        let Some(one) = self.each().find(|one| Arc::ptr_eq(&one.issuer, issuer)) else {
            return false;
        };
        let mut ended_before = None;
        one.looks.send_if_modified(|looks| {
            let wanted_before = looks.wanted;
            ended_before = looks.want(one.least_interval()).then_some(looks.ended);
            looks.wanted != wanted_before
        });
        let mut looks = one.looks.subscribe();
        if let Some(before) = ended_before {
            let another = looks.wait_for(|looks| looks.ended > before);
            // Whether it came or not is seen by who looks for the key again.
            let _ = timeout_at(deadline.min(Instant::now() + PATIENCE), another).await;
        }
        looks.borrow().is_good()
    }

    /// The issuers that were not looked for yet. One that cannot be reached is not waited for: other
    /// callers do not need it.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        let unseen = |one: &&Followed| one.looks.borrow().ended == 0;
        self.each().filter(unseen).map(|one| &*one.plan.terms.name)
    }

    /// How it is about each.
    #[must_use]
    pub fn status(&self) -> Vec<IssuerStatus> {
        let status = |one: &Followed| IssuerStatus {
            name: one.plan.terms.name.to_string(),
            keys: one.issuer.key_count(),
            age: one.looks.borrow().good_at.map(|at| at.elapsed()),
            last_error: one.last_error.lock().clone(),
        };
        self.each().map(status).collect()
    }
}

impl Following {
    fn start(plan: IssuerPlan, metrics: Arc<Metrics>) -> Arc<Self> {
        let followed = Arc::new(Followed {
            issuer: Arc::new(Issuer::new(plan.terms.clone())),
            plan,
            looks: watch::Sender::default(),
            last_error: Mutex::default(),
        });
        #[expect(clippy::disallowed_methods, reason = "owned: aborted when the issuer is dropped")]
        let task = tokio::spawn(Arc::clone(&followed).follow(metrics));
        Arc::new(Self { followed, task })
    }
}

impl Followed {
    async fn follow(self: Arc<Self>, metrics: Arc<Metrics>) {
        let mut failures: u32 = 0;
        let mut looks = self.looks.subscribe();
        loop {
            let begun = Instant::now();
            self.looks.send_modify(|looks| looks.begin(begun));
            let looked = self.look().await;
            failures = if looked.is_ok() { 0 } else { failures.saturating_add(1) };
            metrics.identity.jwks_fetched(&self.plan.terms.name, looked.is_ok());
            self.tell(looked);
            let next = begun + self.interval(failures);
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                _ = looks.wait_for(|looks| looks.wanted) => {}
            }
        }
    }

    /// One look. Says whether there are other keys than before.
    async fn look(&self) -> Result<bool, String> {
        let bytes = match &self.plan.jwks {
            JwksSource::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                read.map_err(|error| error.to_string())??
            }
            JwksSource::Url(url) => url.fetch().await?,
        };
        let keys = KeySet::parse(&bytes, &self.plan.terms.algorithms).map_err(|e| e.to_string())?;
        Ok(self.issuer.take(keys))
    }

    /// Keeps and logs how a look ended; the same failure is logged once.
    fn tell(&self, looked: Result<bool, String>) {
        let issuer = &*self.plan.terms.name;
        let mut last_error = self.last_error.lock();
        let good = looked.is_ok();
        match looked {
            Ok(changed) => {
                if changed || last_error.is_some() {
                    let keys = self.issuer.key_count();
                    tracing::info!(issuer, keys, changed, "the keys of a JWT issuer are at hand");
                }
                *last_error = None;
            }
            Err(error) if last_error.as_ref() != Some(&error) => {
                let kept = self.issuer.key_count();
                tracing::error!(issuer, error, kept, "the keys of a JWT issuer cannot be had");
                *last_error = Some(error);
            }
            Err(_) => {}
        }
        self.looks.send_modify(|looks| looks.end(good));
    }

    /// From the beginning of one look to the next.
    fn interval(&self, failures: u32) -> Duration {
        match (&self.plan.jwks, failures) {
            (JwksSource::File(_), _) => FILE_INTERVAL,
            (JwksSource::Url(_), 0) => INTERVAL,
            (JwksSource::Url(_), failures) => {
                let longer = FIRST_RETRY.saturating_mul(1 << failures.min(6).saturating_sub(1));
                longer.min(LAST_RETRY)
            }
        }
    }

    fn least_interval(&self) -> Duration {
        match &self.plan.jwks {
            JwksSource::File(_) => FILE_INTERVAL,
            JwksSource::Url(_) => LEAST_INTERVAL,
        }
    }
}

impl JwksUrl {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let (ca_file, bearer_token) = (self.ca_file.clone(), self.bearer_token.clone());
        let read = move || {
            let tls = match ca_file {
                Some(path) => tls::private_client_config(&path),
                None => tls::client_config(None),
            };
            let tls = tls.map_err(|error| error.to_string())?;
            let bearer = bearer_token.map(|source| source.read()).transpose();
            let bearer = bearer.map_err(|error| format!("its bearer token: {error}"))?;
            Ok::<_, String>((tls, bearer))
        };
        let read = tokio::task::spawn_blocking(read).await;
        let (tls, bearer) = read.map_err(|error| error.to_string())??;
        let document = Document {
            origin: &self.origin,
            target: &self.target,
            tls: &tls,
            bearer: bearer.as_ref(),
            timeout: TIMEOUT,
            most: MAX_KEY_SET_BYTES,
        };
        let answer = fetch(document).await.map_err(|failed| failed.cause)?;
        match answer.head.status {
            StatusCode::OK => Ok(answer.body.to_vec()),
            status => Err(format!("{} answered {}", self.origin, status.as_u16())),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = files::read(path, MAX_KEY_SET_BYTES);
    read.map(|bytes| bytes.to_vec()).map_err(|error| format!("{}: {error}", path.display()))
}

/// Issuers publish a key some time before they sign with it.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

/// As for other files.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// After a failure: soon, then ever later.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// An issuer is not asked more often than this, whatever callers send.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);

/// For one fetch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request waits for a key that its issuer may have by now.
const PATIENCE: Duration = Duration::from_secs(3);
