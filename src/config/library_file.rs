//! `libraries` of gateway.yaml, and the references to secrets that it is full of.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::decode::{self, Fields};
use crate::config::gateway_file::bounded;
use crate::config::report::{Problem, Report};
use crate::config::source::Spanned;
use crate::config::yaml::{Node, Value};
use crate::directory::RecycleBin;
use crate::secret::Source;
use crate::token::{Grant, MintPlan};

pub(super) struct Library {
    pub(super) url: Option<Spanned<String>>,
    pub(super) recycle_bin: RecycleBin,
    pub(super) token: Token,
    /// Left out: its share of all.
    pub(super) max_in_flight: Option<Spanned<usize>>,
}

/// Where a library's token comes from.
pub(super) enum Token {
    Given(Source),
    Minted(MintPlan),
}

pub(super) fn library(node: &Node, report: &mut Report) -> Option<Library> {
    let mut fields = Fields::of(node, "a library", report)?;
    let url = fields.optional("url");
    let recycle_bin = fields.or_with("recycle_bin", RecycleBin::On, |node, report| {
        let words = [("on", RecycleBin::On), ("off", RecycleBin::Off)];
        decode::word(node, "a recycle bin setting", report, &words)
    });
    let token = fields.required_with("token", |node, report| {
        not_literal(node, "a token", "`{ file: … }` or `{ env: … }`", report)?;
        let mut fields = Fields::of(node, "a token", report)?;
        let token = match fields.one_of(&["env", "file", "mint"])? {
            ("mint", node) => mint(node, fields.report()).map(Token::Minted),
            (key, node) => source(key, node, fields.report()).map(Token::Given),
        };
        fields.finish();
        token
    });
    let max_in_flight = fields.optional_with("max_in_flight", |node, report| {
        let value = bounded(node, report, 1..=usize::MAX)?;
        Some(Spanned { place: node.place, value })
    });
    fields.finish();
    Some(Library { url, recycle_bin: recycle_bin?, token: token?, max_in_flight })
}

fn mint(node: &Node, report: &mut Report) -> Option<MintPlan> {
    let mut fields = Fields::of(node, "the minting of tokens", report)?;
    let library_secret = fields.required_with("library_secret", library_secret);
    let period = fields.or_with("period", DEFAULT_PERIOD, period);
    let max_age = fields.or("max_age", DEFAULT_MAX_AGE);
    let grant = fields.or_with("grant", Grant::least(), |node, report| {
        decode::parsed(node, "a grant", report, |text| Grant::try_from(text))
    });
    let reason = fields.optional::<String>("grant_reason");
    if grant.as_ref().is_some_and(Grant::is_wider_than_least) && reason.is_none_or(|r| r.is_empty())
    {
        let place = fields.get("grant").map_or(fields.place(), |node| node.place);
        let message = "this grant is more than a delete needs";
        let problem = Problem::error(place, message);
        let help = "say why in `grant_reason`, or leave `grant` out for `delete_file`";
        fields.report().push(problem.with_help(help));
    }
    fields.finish();
    Some(MintPlan {
        library_secret: library_secret?,
        period: period?,
        grant: grant?,
        max_age: max_age?,
    })
}

pub(super) fn library_secret(node: &Node, report: &mut Report) -> Option<Source> {
    not_literal(node, "a library secret", "`{ file: … }` or `{ env: … }`", report)?;
    let mut fields = Fields::of(node, "a library secret", report)?;
    let (key, node) = fields.one_of(&["env", "file"])?;
    let source = source(key, node, fields.report());
    fields.finish();
    source
}

/// Whole seconds, and no less than SMH gives (smh-api.md 3.2).
pub(super) fn period(node: &Node, report: &mut Report) -> Option<Duration> {
    let period = <Duration as decode::Decode>::decode(node, report)?;
    if period < MIN_PERIOD || period.subsec_nanos() > 0 {
        report.error(node.place, "a period is whole seconds, from `20m`, the least that SMH gives");
        return None;
    }
    Some(period)
}

/// `env` or `file`.
pub(super) fn source(key: &str, node: &Node, report: &mut Report) -> Option<Source> {
    if key == "env" {
        environment(node, report)
    } else {
        path(node, report).map(|path| Source::File(path.value))
    }
}

/// A secret itself, where it should be said where it is.
pub(super) fn not_literal(
    node: &Node,
    what: &str,
    reference: &str,
    report: &mut Report,
) -> Option<()> {
    let Value::Scalar(_) = node.value else { return Some(()) };
    report.hide(node);
    let problem = Problem::error(node.place, format!("{what} does not stand in this file itself"));
    report.push(problem.with_help(format!("say where it is: {reference}")));
    None
}

pub(super) fn path(node: &Node, report: &mut Report) -> Option<Spanned<PathBuf>> {
    let path = decode::parsed(node, "a path", report, |text| {
        if text.is_empty() || text.contains('\0') { Err("it is empty") } else { Ok(text.into()) }
    })?;
    Some(Spanned { place: node.place, value: path })
}

fn environment(node: &Node, report: &mut Report) -> Option<Source> {
    decode::parsed(node, "the name of an environment variable", report, |text| {
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        let rest = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if begins && rest {
            Ok(Source::Environment(text.to_owned()))
        } else {
            Err("letters, digits and `_`, and no digit at the beginning")
        }
    })
}

/// Short enough that a token that leaked and is not used is soon worth nothing.
pub(super) const DEFAULT_PERIOD: Duration = Duration::from_secs(2 * 60 * 60);
const MIN_PERIOD: Duration = Duration::from_secs(20 * 60);

/// One that leaked and *is* used lives as long as it is used: until it is revoked at this age.
pub(super) const DEFAULT_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
