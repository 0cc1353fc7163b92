//! Configuration: two YAML files in, one [`Snapshot`] out, or every mistake in them at once.
//!
//! Text to tree ([`yaml`]), tree to shape (`gateway_file`, `policy_file`), shape to meaning
//! (`link`). After that no name is unknown and no glob uncompiled.

mod caller_file;
pub mod decode;
mod gateway_file;
mod library_file;
mod link;
mod listener_file;
mod policy_file;
pub mod report;
mod shown;
mod snapshot;
pub mod source;
pub mod yaml;

pub use self::gateway_file::{Admin, DeleteLog, Shutdown};
pub use self::snapshot::{ConfiguredCaller, ConfiguredLibrary, Lines, Snapshot};

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use self::link::Files;
use self::policy_file::PolicyFile;
use self::report::{Problem, Report};
use self::source::MAX_FILE_BYTES;

/// Reads and checks gateway.yaml and the policy file that it names.
///
/// # Errors
/// The report, with every problem of both files.
pub fn load(path: &Path) -> Result<(Snapshot, Report), Report> {
    let mut report = Report::new();
    match try_load(path, &mut report) {
        Some(snapshot) if !report.has_errors() => Ok((snapshot, report)),
        _ => Err(report),
    }
}

fn try_load(path: &Path, report: &mut Report) -> Option<Snapshot> {
    let name = path.display().to_string();
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let file = report.add_unread(&name);
            report.push(Problem::in_file(file, unreadable(&error)));
            return None;
        }
    };
    let root = yaml::read(report, &name, &bytes)?;
    let gateway = gateway_file::decode(&root, report);
    // The policy is read even where the gateway's file has mistakes: one run shows all.
    let named = gateway.as_ref().and_then(|gateway| gateway.policy.as_ref());
    let policy_path = named
        .map(|policy| (path.parent().unwrap_or(Path::new("")).join(&policy.value), policy.place));
    let (policy, policy_bytes) = match &policy_path {
        None => (Some(PolicyFile::default()), Vec::new()),
        Some((path, place)) => match read(path) {
            Ok(bytes) => {
                let root = yaml::read(report, &path.display().to_string(), &bytes);
                (root.and_then(|root| policy_file::decode(&root, report)), bytes)
            }
            Err(error) => {
                report.error(*place, format!("{}: {}", path.display(), unreadable(&error)));
                (None, Vec::new())
            }
        },
    };
    let sha256 =
        hex::encode(Sha256::new().chain_update(&bytes).chain_update(policy_bytes).finalize());
    let files = Files {
        gateway: gateway?,
        // With the default policy the rest is still checked.
        policy: policy.unwrap_or_else(PolicyFile::broken),
        file: path.to_owned(),
        policy_file: policy_path.map(|(path, _)| path),
        sha256,
    };
    link::link(files, report)
}

/// The SHA-256 of both files as they are now, to notice an edit. `None` while one cannot be read.
#[must_use]
pub fn sha256_now(snapshot: &Snapshot) -> Option<String> {
    let mut hash = Sha256::new();
    for path in std::iter::once(&snapshot.file).chain(&snapshot.policy_file) {
        hash.update(read(path).ok()?);
    }
    Some(hex::encode(hash.finalize()))
}

/// At most one byte more than is taken, which tells a file that is too large. Opening a FIFO would
/// wait for somebody to write to it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> String {
    format!("the file cannot be read: {error}")
}
