//! `audit` of gateway.yaml.

use std::num::NonZeroU64;
use std::path::Path;
use std::time::Duration;

use crate::audit::{AuditPlan, Rotate, WhenUnavailable};
use crate::config::decode::{self, Fields};
use crate::config::gateway_file::bounded;
use crate::config::library_file::path;
use crate::config::report::Report;
use crate::config::yaml::Node;
use crate::journal::{Durability, Keep};

/// `None`: without a file there is no journal, and the log has what there is.
pub(super) fn audit(node: &Node, report: &mut Report) -> Option<Option<AuditPlan>> {
    let mut fields = Fields::of(node, "the audit", report)?;
    let file = fields.optional_with("file", path);
    let durability = fields.or_with("durability", Durability::Sync, |node, report| {
        let words = [("sync", Durability::Sync), ("buffered", Durability::Buffered)];
        decode::word(node, "a durability", report, &words)
    });
    let when_unavailable = fields.or_with("when_unavailable", None, |node, report| {
        let words = [("refuse", WhenUnavailable::Refuse), ("continue", WhenUnavailable::Continue)];
        decode::word(node, "what to do without the journal", report, &words).map(Some)
    });
    let rotate = fields.or_with("rotate", Rotate::default(), rotate);
    let keep = fields.or_with("keep", Keep::default(), keep);
    let compress = fields.or("compress", false);
    fields.finish();
    let durability = durability?;
    // What must outlive the machine must be written in the first place.
    let usual = match durability {
        Durability::Sync => WhenUnavailable::Refuse,
        Durability::Buffered => WhenUnavailable::Continue,
    };
    let (when_unavailable, rotate, keep) = (when_unavailable?.unwrap_or(usual), rotate?, keep?);
    let compress = compress?;
    Some(file.map(|file| AuditPlan {
        file: file.value,
        durability,
        when_unavailable,
        rotate,
        keep,
        compress,
    }))
}

fn rotate(node: &Node, report: &mut Report) -> Option<Rotate> {
    let mut fields = Fields::of(node, "a rotation", report)?;
    let mib =
        fields.or_with("mib", None, |node, report| bounded(node, report, 1..=MAX_MIB).map(Some));
    let age = fields.or_with("age", None, some_time);
    fields.finish();
    let bytes = mib?.and_then(|mib| NonZeroU64::new(mib as u64)).map(|mib| mib.get() << 20);
    Some(Rotate { bytes, age: age? })
}

fn keep(node: &Node, report: &mut Report) -> Option<Keep> {
    let mut fields = Fields::of(node, "what is kept", report)?;
    let files = fields
        .or_with("files", None, |node, report| bounded(node, report, 1..=usize::MAX).map(Some));
    let age = fields.or_with("age", None, some_time);
    fields.finish();
    Some(Keep { files: files?, age: age? })
}

fn some_time(node: &Node, report: &mut Report) -> Option<Option<Duration>> {
    <Duration as decode::Decode>::decode(node, report).map(Some)
}

/// Where the journal is, below the folder of gateway.yaml.
pub(super) fn link_audit(mut plan: AuditPlan, folder: &Path) -> AuditPlan {
    plan.file = folder.join(&plan.file);
    plan
}

/// Such a file is searched for a minute.
const MAX_MIB: usize = 1 << 16;
