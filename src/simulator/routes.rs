//! From a method and a target to the operation it means.

use serde::{Deserialize, Serialize};

use crate::simulator::target::Target;

/// An operation, with what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Token(TokenOperation),
    Library { library: String, operation: LibraryOperation },
    Space { library: String, space: String, operation: SpaceOperation },
}

/// Operations on tokens, which need none themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenOperation {
    Issue,
    Renew { library: String, token: String },
    Revoke { library: String, token: String },
    RevokeOfUsers { library: String },
}

/// Operations on a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LibraryOperation {
    CreateSpace,
    ListSpaces,
    QueryTasks { ids: String },
}

/// Operations on a space and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SpaceOperation {
    DeleteFile { path: String },
    AbortUpload { confirm_key: String },
    HeadFile { path: String },
    DeleteDirectory { path: String },
    DeleteBatch,
    ListRecycled,
    ShowRecycled { id: String },
    RestoreRecycled { id: String },
    RestoreBatch,
    PurgeRecycled { id: String },
    PurgeBatch,
    EmptyRecycleBin,
    SetRetention,
    DeleteSpace,
    QueryTasks { ids: String },
}

/// The kind of an operation, for fault matchers and the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// `GET` or `POST /api/v1/token`.
    IssueToken,
    /// `POST /api/v1/token/{L}/{T}`.
    RenewToken,
    /// `DELETE /api/v1/token/{L}/{T}`.
    RevokeToken,
    /// `DELETE /api/v1/token/{L}?user_id=`.
    RevokeTokensOfUsers,
    /// `POST /api/v1/space/{L}`.
    CreateSpace,
    /// `GET /api/v1/space/{L}/list`.
    ListSpaces,
    /// `DELETE /api/v1/space/{L}/{S}`.
    DeleteSpace,
    /// `GET /api/v1/task/{L}[/{S}]/{ids}`.
    QueryTasks,
    /// `DELETE /api/v1/file/{L}/{S}/{path}`.
    DeleteFile,
    /// `DELETE /api/v1/file/{L}/{S}/{key}?upload`.
    AbortUpload,
    /// `HEAD /api/v1/file/{L}/{S}/{path}`.
    HeadFile,
    /// `DELETE /api/v1/directory/{L}/{S}/{path}`.
    DeleteDirectory,
    /// `POST /api/v1/batch/{L}/{S}?delete`.
    DeleteBatch,
    /// `GET /api/v1/recycled/{L}/{S}`.
    ListRecycled,
    /// `GET /api/v1/recycled/{L}/{S}/{id}?info`.
    ShowRecycled,
    /// `POST /api/v1/recycled/{L}/{S}/{id}?restore`.
    RestoreRecycled,
    /// `POST /api/v1/recycled/{L}/{S}?restore`.
    RestoreBatch,
    /// `DELETE /api/v1/recycled/{L}/{S}/{id}`.
    PurgeRecycled,
    /// `POST /api/v1/recycled/{L}/{S}?delete`.
    PurgeBatch,
    /// `DELETE /api/v1/recycled/{L}/{S}`.
    EmptyRecycleBin,
    /// `POST /api/v1/recycled/{L}/{S}?lifecycle`.
    SetRetention,
}

impl Route {
    /// The operation that a request means; `None` where SMH has none, also for a known path with
    /// another method.
    pub(crate) fn find(method: &str, target: &Target) -> Option<Self> {
        let segments = target.segments();
        let ["api", "v1", resource, rest @ ..] = segments.as_slice() else { return None };
        let flag = |name| target.query().flag(name);
        match (*resource, rest) {
            ("token", rest) => token_route(method, rest).map(Self::Token),
            ("space", [library]) | ("space", [library, ""]) if method == "POST" => {
                in_library(library, LibraryOperation::CreateSpace)
            }
            ("space", [library, "list"]) if method == "GET" => {
                in_library(library, LibraryOperation::ListSpaces)
            }
            ("space", [library, space]) if method == "DELETE" => {
                in_space(library, space, SpaceOperation::DeleteSpace)
            }
            ("task", [library, ids]) if method == "GET" => {
                in_library(library, LibraryOperation::QueryTasks { ids: (*ids).to_owned() })
            }
            ("task", [library, space, ids]) if method == "GET" => {
                in_space(library, space, SpaceOperation::QueryTasks { ids: (*ids).to_owned() })
            }
            ("batch", [library, space]) if method == "POST" && flag("delete") => {
                in_space(library, space, SpaceOperation::DeleteBatch)
            }
            ("file", [library, space, path @ ..]) => {
                in_space(library, space, file_operation(method, path, flag("upload"))?)
            }
            ("directory", [library, space, path @ ..]) if method == "DELETE" => {
                let path = joined(path);
                in_space(library, space, SpaceOperation::DeleteDirectory { path })
            }
            ("recycled", [library, space, rest @ ..]) => {
                in_space(library, space, recycled_operation(method, rest, flag)?)
            }
            _ => None,
        }
    }

    pub(crate) fn kind(&self) -> RouteKind {
        match self {
            Self::Token(operation) => match operation {
                TokenOperation::Issue => RouteKind::IssueToken,
                TokenOperation::Renew { .. } => RouteKind::RenewToken,
                TokenOperation::Revoke { .. } => RouteKind::RevokeToken,
                TokenOperation::RevokeOfUsers { .. } => RouteKind::RevokeTokensOfUsers,
            },
            Self::Library { operation, .. } => match operation {
                LibraryOperation::CreateSpace => RouteKind::CreateSpace,
                LibraryOperation::ListSpaces => RouteKind::ListSpaces,
                LibraryOperation::QueryTasks { .. } => RouteKind::QueryTasks,
            },
            Self::Space { operation, .. } => operation.kind(),
        }
    }
}

impl SpaceOperation {
    fn kind(&self) -> RouteKind {
        match self {
            Self::DeleteFile { .. } => RouteKind::DeleteFile,
            Self::AbortUpload { .. } => RouteKind::AbortUpload,
            Self::HeadFile { .. } => RouteKind::HeadFile,
            Self::DeleteDirectory { .. } => RouteKind::DeleteDirectory,
            Self::DeleteBatch => RouteKind::DeleteBatch,
            Self::ListRecycled => RouteKind::ListRecycled,
            Self::ShowRecycled { .. } => RouteKind::ShowRecycled,
            Self::RestoreRecycled { .. } => RouteKind::RestoreRecycled,
            Self::RestoreBatch => RouteKind::RestoreBatch,
            Self::PurgeRecycled { .. } => RouteKind::PurgeRecycled,
            Self::PurgeBatch => RouteKind::PurgeBatch,
            Self::EmptyRecycleBin => RouteKind::EmptyRecycleBin,
            Self::SetRetention => RouteKind::SetRetention,
            Self::DeleteSpace => RouteKind::DeleteSpace,
            Self::QueryTasks { .. } => RouteKind::QueryTasks,
        }
    }
}

fn token_route(method: &str, rest: &[&str]) -> Option<TokenOperation> {
    match (method, rest) {
        ("GET" | "POST", []) => Some(TokenOperation::Issue),
        ("POST", [library, token]) => Some(TokenOperation::Renew {
            library: (*library).to_owned(),
            token: (*token).to_owned(),
        }),
        ("DELETE", [library, token]) => Some(TokenOperation::Revoke {
            library: (*library).to_owned(),
            token: (*token).to_owned(),
        }),
        ("DELETE", [library]) => {
            Some(TokenOperation::RevokeOfUsers { library: (*library).to_owned() })
        }
        _ => None,
    }
}

fn file_operation(method: &str, path: &[&str], upload: bool) -> Option<SpaceOperation> {
    match (method, upload) {
        ("DELETE", true) => Some(SpaceOperation::AbortUpload { confirm_key: joined(path) }),
        ("DELETE", false) => Some(SpaceOperation::DeleteFile { path: joined(path) }),
        ("HEAD", _) => Some(SpaceOperation::HeadFile { path: joined(path) }),
        _ => None,
    }
}

fn recycled_operation(
    method: &str,
    rest: &[&str],
    flag: impl Fn(&'static str) -> bool,
) -> Option<SpaceOperation> {
    // A trailing slash names no item: `DELETE /recycled/L/S/` empties the bin like the form without
    // it.
    let id = match rest {
        [] | [""] => None,
        [id] => Some((*id).to_owned()),
        _ => return None,
    };
    match (method, id) {
        ("GET", None) => Some(SpaceOperation::ListRecycled),
        ("GET", Some(id)) if flag("info") => Some(SpaceOperation::ShowRecycled { id }),
        ("POST", Some(id)) if flag("restore") => Some(SpaceOperation::RestoreRecycled { id }),
        ("POST", None) if flag("restore") => Some(SpaceOperation::RestoreBatch),
        ("POST", None) if flag("delete") => Some(SpaceOperation::PurgeBatch),
        ("POST", None) if flag("lifecycle") => Some(SpaceOperation::SetRetention),
        ("DELETE", Some(id)) => Some(SpaceOperation::PurgeRecycled { id }),
        ("DELETE", None) => Some(SpaceOperation::EmptyRecycleBin),
        _ => None,
    }
}

/// A FilePath. One leading slash is tolerated, as clients of SMH send it.
fn joined(path: &[&str]) -> String {
    match path {
        ["", rest @ ..] => rest.join("/"),
        path => path.join("/"),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "keeps the arms of `Route::find` on one line each")]
fn in_library(library: &str, operation: LibraryOperation) -> Option<Route> {
    Some(Route::Library { library: library.to_owned(), operation })
}

#[expect(clippy::unnecessary_wraps, reason = "keeps the arms of `Route::find` on one line each")]
fn in_space(library: &str, space: &str, operation: SpaceOperation) -> Option<Route> {
    Some(Route::Space { library: library.to_owned(), space: space.to_owned(), operation })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::behaviour::DotSegments;

    fn kind(method: &str, raw: &str) -> Option<RouteKind> {
        let target = Target::parse(raw, DotSegments::Fold).unwrap();
        Route::find(method, &target).map(|route| route.kind())
    }

    #[test]
    fn the_query_switches_the_operation_on_one_path() {
        assert_eq!(kind("DELETE", "/api/v1/file/L/S/a"), Some(RouteKind::DeleteFile));
        assert_eq!(kind("DELETE", "/api/v1/file/L/S/a?upload"), Some(RouteKind::AbortUpload));
        assert_eq!(kind("DELETE", "/api/v1/file/L/S/a?upload=1"), Some(RouteKind::AbortUpload));
    }

    #[test]
    fn a_file_path_that_climbs_out_becomes_another_operation() {
        let climbs = "/api/v1/file/L/S/../../../recycled/L/S";

        assert_eq!(kind("DELETE", climbs), Some(RouteKind::EmptyRecycleBin));
    }

    #[test]
    fn one_leading_slash_of_a_file_path_is_tolerated() {
        for raw in ["/api/v1/file/L/S/a/b", "/api/v1/file/L/S//a/b", "/api/v1/file/L/S/%2Fa%2Fb"] {
            let target = Target::parse(raw, DotSegments::Fold).unwrap();
            let Some(Route::Space { operation, .. }) = Route::find("DELETE", &target) else {
                panic!("{raw} is no operation on a space");
            };
            assert_eq!(operation, SpaceOperation::DeleteFile { path: "a/b".to_owned() }, "{raw}");
        }
    }

    #[test]
    fn every_other_method_and_path_is_no_route() {
        for (method, raw) in [
            ("PUT", "/api/v1/file/L/S/a"),
            ("DELETE", "/api/v2/file/L/S/a"),
            ("DELETE", "/api/v1/file/L"),
            ("DELETE", "/"),
            ("POST", "/api/v1/recycled/L/S"),
        ] {
            assert_eq!(kind(method, raw), None, "{method} {raw}");
        }
    }
}
