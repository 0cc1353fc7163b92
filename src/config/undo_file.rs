//! `undo` of gateway.yaml: what `smh-gateway undo` works with. Who serves reads none of its secrets.

use std::path::PathBuf;

use crate::config::decode::{self, Fields};
use crate::config::gateway_file::Named;
use crate::config::library_file::{DEFAULT_MAX_AGE, DEFAULT_PERIOD};
use crate::config::library_file::{Token, library_secret, not_literal, path, period, source};
use crate::config::report::{Problem, Report};
use crate::config::source::{Place, Spanned};
use crate::config::yaml::Node;
use crate::ids::LibraryId;
use crate::token::{Grant, MintPlan};

pub(super) struct Undo {
    pub(super) place: Place,
    pub(super) file: Option<PathBuf>,
    pub(super) tokens: Tokens,
}

pub(super) enum Tokens {
    /// Of the only library.
    One(Token),
    /// Of each.
    Each(Named<LibraryId, Token>),
}

pub(super) fn undo(node: &Node, report: &mut Report) -> Option<Undo> {
    let mut fields = Fields::of(node, "the undo", report)?;
    let tokens = match fields.one_of(&["token", "libraries"]) {
        Some(("token", node)) => token(node, fields.report()).map(Tokens::One),
        Some((_, node)) => {
            let report = fields.report();
            decode::named(node, "a library", report, |name| LibraryId::try_from(name), library)
                .map(Tokens::Each)
        }
        None => None,
    };
    let file = fields.or_with("file", None, |node, report| path(node, report).map(Some));
    fields.finish();
    let file = file?.map(|Spanned { value, .. }| value);
    Some(Undo { place: node.place, file, tokens: tokens? })
}

fn library(node: &Node, report: &mut Report) -> Option<Token> {
    let mut fields = Fields::of(node, "a library of the undo", report)?;
    let token = fields.required_with("token", token);
    fields.finish();
    token
}

fn token(node: &Node, report: &mut Report) -> Option<Token> {
    not_literal(node, "a token", "`{ file: … }` or `{ env: … }`", report)?;
    let mut fields = Fields::of(node, "a token", report)?;
    let token = match fields.one_of(&["env", "file", "mint"])? {
        ("mint", node) => mint(node, fields.report()).map(Token::Minted),
        (key, node) => source(key, node, fields.report()).map(Token::Given),
    };
    fields.finish();
    token
}

/// Tokens that live for one run: there is no age at which one is replaced.
fn mint(node: &Node, report: &mut Report) -> Option<MintPlan> {
    let mut fields = Fields::of(node, "the minting of tokens", report)?;
    let library_secret = fields.required_with("library_secret", library_secret);
    let period = fields.or_with("period", DEFAULT_PERIOD, period);
    let grant = fields.or_with("grant", Grant::least_that_restores(), |node, report| {
        decode::parsed(node, "a grant", report, |text| Grant::try_from(text))
    });
    let reason = fields.optional::<String>("grant_reason");
    let place = fields.get("grant").map_or(fields.place(), |node| node.place);
    match &grant {
        Some(grant) if !grant.covers_restores() => {
            let problem = Problem::error(place, "this grant restores nothing");
            let help = "leave `grant` out for `restore_recycled`, the least that an undo needs";
            fields.report().push(problem.with_help(help));
        }
        Some(grant) if *grant != Grant::least_that_restores() => {
            if reason.is_none_or(|reason| reason.is_empty()) {
                let problem = Problem::error(place, "this grant is more than an undo needs");
                let help = "say why in `grant_reason`, or leave `grant` out for `restore_recycled`";
                fields.report().push(problem.with_help(help));
            }
        }
        Some(_) | None => {}
    }
    fields.finish();
    Some(MintPlan {
        library_secret: library_secret?,
        period: period?,
        grant: grant?,
        max_age: DEFAULT_MAX_AGE,
    })
}
