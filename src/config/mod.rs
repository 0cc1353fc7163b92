//! Configuration: two YAML files in, one [`Snapshot`] out, or every mistake in them at once.
//!
//! Text to tree ([`yaml`]), tree to shape (`gateway_file`, `policy_file`), shape to meaning
//! (`link`). After that no name is unknown and no glob uncompiled; and the [`cases`] that the
//! operator wrote hold.

mod audit_file;
mod caller_file;
pub mod cases;
mod cases_file;
pub mod decode;
mod gateway_file;
mod library_file;
mod limit_store_file;
mod link;
mod lint;
mod listener_file;
mod log_file;
mod policy_file;
pub mod report;
pub mod schema;
mod shown;
mod snapshot;
pub mod source;
mod traces_file;
mod undo_file;
mod watched;
pub mod yaml;

pub use self::gateway_file::{Admin, RateLimitHeaders, Shutdown};
pub use self::log_file::{DeleteLog, LogPlan};
pub use self::snapshot::{ConfiguredCaller, ConfiguredLibrary, Lines, Snapshot, UndoPlan};
pub use self::watched::Watched;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use self::cases::Bench;
use self::link::Files;
use self::lint::Linted;
use self::policy_file::PolicyFile;
use self::report::{Problem, Report, Warning};
use self::source::{MAX_FILE_BYTES, Spanned};

/// What came of reading the configuration once.
#[derive(Debug)]
pub struct Loaded {
    /// What both files say; `None` where the report holds an error.
    pub snapshot: Option<Snapshot>,
    /// Every problem of both files.
    pub report: Report,
    /// The files that were read, with `upstream.ca_file`; also where there is no snapshot.
    pub watched: Watched,
    /// As [`Snapshot::sha256`], of as much of both files as was read; `None` where one could not be.
    pub sha256: Option<String>,
}

impl Loaded {
    /// With what is valid and likely does not do what was meant.
    #[must_use]
    pub fn linted(mut self) -> Self {
        if let Some(snapshot) = &self.snapshot {
            lint(snapshot, &mut self.report);
        }
        self
    }

    /// The snapshot and its warnings.
    ///
    /// # Errors
    /// The report, with every problem of both files.
    pub fn into_result(self) -> Result<(Snapshot, Report), Report> {
        match self.snapshot {
            Some(snapshot) => Ok((snapshot, self.report)),
            None => Err(self.report),
        }
    }
}

/// Adds what is valid and likely does not do what was meant to the report of the same load. It takes
/// longer than the load itself where there are thousands of rules, so nothing waits for it that is to be
/// in force.
pub fn lint(snapshot: &Snapshot, report: &mut Report) {
    let linted = Linted {
        callers: &snapshot.callers,
        tenants: &snapshot.tenants,
        policy: &snapshot.policy,
        limits: &snapshot.limits,
        places: &snapshot.places,
        now: SystemTime::now(),
    };
    linted.lint(report);
}

/// Reads and checks gateway.yaml and the policy file that it names, and runs the `policy_tests`: a
/// policy that fails its own tests is as wrong as one that cannot be read. Blocks on files.
#[must_use]
pub fn load(path: &Path) -> Loaded {
    load_allowing(path, &[])
}

/// The same without the warnings of these kinds.
#[must_use]
pub fn load_allowing(path: &Path, allowed: &[Warning]) -> Loaded {
    load_with(path, PolicyTests::Run, Report::allowing(allowed))
}

/// The same without the `policy_tests`, whose files are not even read: for `test`, which shows what
/// comes of each case, and `explain`, which shows why.
#[must_use]
pub fn load_untested(path: &Path) -> Loaded {
    load_with(path, PolicyTests::Leave, Report::new())
}

/// Where operators are listened for, as far as gateway.yaml alone says: a file that is wrong elsewhere
/// says nothing about the gateway that runs. Blocks on the file.
///
/// # Errors
/// The report, where the file cannot be read or that part of it is wrong.
pub fn load_admin(path: &Path) -> Result<Admin, Report> {
    let mut report = Report::new();
    let name = path.display().to_string();
    let root = match read_file(path) {
        Ok(bytes) => yaml::read(&mut report, &name, &bytes),
        Err(error) => {
            let file = report.add_unread(&name);
            report.push(Problem::in_file(file, unreadable(&error)));
            None
        }
    };
    let admin = root.and_then(|root| gateway_file::admin_alone(&root, &mut report));
    let folder = path.parent().unwrap_or(Path::new(""));
    admin.map(|admin| link::link_admin(admin, folder)).ok_or(report)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PolicyTests {
    Run,
    Leave,
}

fn load_with(path: &Path, tests: PolicyTests, report: Report) -> Loaded {
    let mut reading = Reading { report, watched: Watched::default(), hash: Some(Sha256::new()) };
    let snapshot = reading.snapshot(path, tests).filter(|_| !reading.report.has_errors());
    let sha256 = reading.sha256();
    let Reading { report, watched, .. } = reading;
    Loaded { snapshot, report, watched, sha256 }
}

struct Reading {
    report: Report,
    watched: Watched,
    /// Of what was read so far; `None` once a file could not be read.
    hash: Option<Sha256>,
}

impl Reading {
    fn snapshot(&mut self, path: &Path, tests: PolicyTests) -> Option<Snapshot> {
        let name = path.display().to_string();
        let bytes = match self.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let file = self.report.add_unread(&name);
                self.report.push(Problem::in_file(file, unreadable(&error)));
                return None;
            }
        };
        if is_empty(&bytes) {
            let file = self.report.add_unread(&name);
            self.report.push(Problem::in_file(file, "the file is empty"));
            return None;
        }
        let root = yaml::read(&mut self.report, &name, &bytes)?;
        let gateway = gateway_file::decode(&root, &mut self.report);
        let folder = path.parent().unwrap_or(Path::new(""));
        // The policy is read even where the gateway's file has mistakes: one run shows all.
        let named = gateway.as_ref().and_then(|gateway| gateway.policy.as_ref());
        let policy_path =
            named.map(|policy| Spanned { place: policy.place, value: folder.join(&policy.value) });
        let policy = match &policy_path {
            None => Some(PolicyFile::default()),
            Some(path) => self.policy(path),
        };
        let gateway = gateway?;
        if let Some(ca_file) = &gateway.upstream.ca_file {
            // Whoever takes the roots out of it says what is wrong with it.
            let _ = self.watched.read(&folder.join(&ca_file.value));
        }
        let policy_tests = match tests {
            PolicyTests::Run => gateway.policy_tests.clone(),
            PolicyTests::Leave => Vec::new(),
        };
        let files = Files {
            gateway,
            // With the default policy the rest is still checked.
            policy: policy.unwrap_or_else(PolicyFile::broken),
            file: path.to_owned(),
            policy_file: policy_path.map(|path| path.value),
            sha256: self.sha256().unwrap_or_default(),
        };
        let snapshot = link::link(files, &mut self.report);
        let bench = snapshot.as_ref().map(Bench::of);
        let read = |path: &Path| self.watched.read(path);
        cases::hold(&policy_tests, folder, bench.as_ref(), read, &mut self.report);
        snapshot.map(|snapshot| Snapshot { watched: self.watched.clone(), ..snapshot })
    }

    fn policy(&mut self, path: &Spanned<PathBuf>) -> Option<PolicyFile> {
        let name = path.value.display().to_string();
        let bytes = match self.read(&path.value) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.report.error(path.place, format!("{name}: {}", unreadable(&error)));
                return None;
            }
        };
        if is_empty(&bytes) {
            let file = self.report.add_unread(&name);
            self.report.push(policy_file::empty(file));
            return None;
        }
        let root = yaml::read(&mut self.report, &name, &bytes)?;
        policy_file::decode(&root, &mut self.report)
    }

    fn read(&mut self, path: &Path) -> io::Result<Vec<u8>> {
        let read = self.watched.read(path);
        match &read {
            Ok(bytes) => self.hash.iter_mut().for_each(|hash| hash.update(bytes)),
            Err(_) => self.hash = None,
        }
        read
    }

    fn sha256(&self) -> Option<String> {
        self.hash.clone().map(|hash| hex::encode(hash.finalize()))
    }
}

/// Whether there is no byte but white space, in a file that is not too large to be looked at.
fn is_empty(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    bytes.len() <= MAX_FILE_BYTES && text.iter().all(u8::is_ascii_whitespace)
}

/// A file that nobody follows.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    Watched::default().read(path)
}

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}
