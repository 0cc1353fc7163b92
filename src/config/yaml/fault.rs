//! What the parser rejects, in our own words.
//!
//! serde-saphyr's texts may repeat the file, so none of them is shown: only the kind of an error
//! and its place are taken over. Nor is the line: without a tree any part of it could be a secret.

use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{Error, ExternalMessageSource, Location};

use super::super::report::Problem;
use super::super::source::{FileId, Place, position_after};
use super::{MAX_DEPTH, MAX_NODES};

pub(super) fn problem(file: FileId, text: &str, error: &Error) -> Problem {
    let error = error.without_snippet();
    let place = match error.location() {
        Some(location) if location.line() > 0 => place(file, &location),
        _ => {
            let (line, column) = position_after(text);
            Place { file, line, column, width: 1 }
        }
    };
    let (message, help) = cause(error);
    let problem = Problem::error(place, message).without_line();
    match help {
        Some(help) => problem.with_help(help),
        None => problem,
    }
}

pub(super) fn tag(place: Place) -> Problem {
    Problem::error(place, "tags (`!`) are not supported").with_help("write the value without it")
}

pub(super) fn place(file: FileId, location: &Location) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).max(1);
    Place { file, line: number(location.line()), column: number(location.column()), width: 1 }
}

const ALIASES: (&str, Option<&str>) =
    ("anchors and aliases (`&`, `*`) are not supported", Some("write the value out, or quote it"));
const DOCUMENTS: (&str, Option<&str>) =
    ("a second document (`---`) begins here; a file holds one", None);

#[expect(clippy::wildcard_enum_match_arm, reason = "others' enums: any other kind is bad YAML")]
fn cause(error: &Error) -> (String, Option<&'static str>) {
    let (message, help) = match error {
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => return too_deep(),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                return (format!("the file holds more than {MAX_NODES} keys and values"), None);
            }
            BudgetBreach::Documents { .. } => DOCUMENTS,
            BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } => ALIASES,
            _ => ("the file is too large to be read", None),
        },
        Error::MultipleDocuments { .. } => DOCUMENTS,
        Error::UnknownAnchor { .. } => ALIASES,
        Error::ExternalMessage { source, .. } => match source.as_ref() {
            ExternalMessageSource::Parser(error) => match error.kind() {
                ErrorKind::RecursionLimitExceeded => return too_deep(),
                kind => syntax(kind),
            },
            _ => NOT_YAML,
        },
        // Nothing of ours asks for a type: only a tag can.
        Error::InvalidScalar { .. }
        | Error::InvalidBinaryBase64 { .. }
        | Error::BinaryNotUtf8 { .. }
        | Error::TaggedScalarCannotDeserializeIntoString { .. }
        | Error::UnsupportedTag { .. } => ("tags (`!`) are not supported", None),
        _ => NOT_YAML,
    };
    (message.to_owned(), help)
}

fn too_deep() -> (String, Option<&'static str>) {
    (format!("maps and lists are nested more than {MAX_DEPTH} deep"), None)
}

const NOT_YAML: (&str, Option<&str>) = ("this is not valid YAML", None);

fn syntax(kind: &ErrorKind) -> (&'static str, Option<&'static str>) {
    layout(kind).or_else(|| punctuation(kind)).unwrap_or(NOT_YAML)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another's enum: other kinds are elsewhere")]
fn layout(kind: &ErrorKind) -> Option<(&'static str, Option<&'static str>)> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabAtBlockScalarStart => ("a tab cannot indent a line in YAML", Some("use spaces")),
        Kind::InvalidIndentation
        | Kind::ExpectedBlockMappingKey
        | Kind::ExpectedBlockSequenceEntry
        | Kind::InvalidFlowScalarIndent
        | Kind::InvalidQuotedScalarIndent
        | Kind::InvalidBlockScalarIndent => (
            "the indentation does not fit the lines before",
            Some("fields of one map begin in the same column"),
        ),
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement => (
            "a `:` cannot stand here",
            Some("look for wrong indentation or an open bracket, or put the value in quotes"),
        ),
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => {
            ("a key and a `:` are expected here", Some("a field is written `name: value`"))
        }
        Kind::BlockSequenceEntryNotAllowed | Kind::BlockEntryInFlowCollection => {
            ("a list item (`- `) cannot begin here", None)
        }
        Kind::CommentNotSeparated => ("a comment needs a space before its `#`", None),
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another's enum: most kinds are rare")]
fn punctuation(kind: &ErrorKind) -> Option<(&'static str, Option<&'static str>)> {
    use ErrorKind as Kind;
    Some(match kind {
        Kind::UnclosedQuotedScalar | Kind::DocumentIndicatorInQuotedScalar => {
            ("this quote is never closed", None)
        }
        Kind::UnclosedFlowCollection { .. }
        | Kind::UnexpectedEofFlowMapping
        | Kind::UnexpectedEofFlowSequence
        | Kind::UnexpectedEofImplicitFlowMapping => ("a `[` or `{` is never closed", None),
        Kind::MismatchedFlowCollectionEnd { .. } | Kind::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing", None)
        }
        Kind::ExpectedFlowMappingSeparator | Kind::ExpectedFlowSequenceSeparator => {
            ("a `,` or a closing bracket is expected here", None)
        }
        Kind::UnknownQuotedScalarEscape | Kind::InvalidQuotedScalarHexEscape => {
            ("this escape is not known", Some("inside '…' a backslash stands for itself"))
        }
        Kind::UnexpectedCharacter { .. } => {
            ("a value cannot begin with this character", Some("put the value in quotes"))
        }
        Kind::InvalidTrailingSingleQuotedScalar | Kind::InvalidTrailingDoubleQuotedScalar => {
            ("nothing may follow the closing quote", None)
        }
        Kind::UndeclaredTagHandle | Kind::ExpectedTagBang | Kind::MissingTagUri => {
            ("tags (`!`) are not supported", Some("put the value in quotes"))
        }
        Kind::MissingAnchorOrAliasName => ALIASES,
        _ => return None,
    })
}
