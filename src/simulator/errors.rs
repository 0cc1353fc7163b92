//! SMH's error codes, and the error object that carries them.

use http::StatusCode;
use serde::Serialize;

/// A refusal on its way to the client; it gets its request id when it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
}

/// The codes that the simulator's own logic answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    AccessTokenNotMatchLibrary,
    AccessTokenNotMatchSpace,
    BadRequest,
    ContentCasConflict,
    DirectoryNotFound,
    EmptyAccessToken,
    EmptyLibraryId,
    EmptyLibraryIdOrSecret,
    EmptyLibrarySecret,
    EmptyPath,
    FileNotFound,
    InvalidAccessToken,
    InvalidConflictResolutionStrategy,
    LibraryNotFound,
    NoItemsProvided,
    NoPermission,
    NotMultiSpaceLibrary,
    ParamInvalid,
    QuotaLimitReached,
    RecycleBinNotEnabled,
    RecycledItemNotFound,
    RequestEntityTooLarge,
    RootDirectoryNotAllowed,
    RouteNotFound,
    SameNameDirectoryOrFileExists,
    SetRecycleLifecycleFrequencyLimit,
    SpaceNotEmpty,
    SpaceNotFound,
    TaskNotFound,
    TooManyItems,
    UploadNotFound,
    WrongLibraryIdOrSecret,
}

impl Code {
    fn row(self) -> (StatusCode, &'static str) {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
        const ABSENT: StatusCode = StatusCode::NOT_FOUND;
        const CONFLICT: StatusCode = StatusCode::CONFLICT;
        match self {
            Self::AccessTokenNotMatchLibrary => (FORBIDDEN, "AccessTokenNotMatchLibrary"),
            Self::AccessTokenNotMatchSpace => (FORBIDDEN, "AccessTokenNotMatchSpace"),
            Self::BadRequest => (BAD, "BadRequest"),
            Self::ContentCasConflict => (CONFLICT, "ContentCasConflict"),
            Self::DirectoryNotFound => (ABSENT, "DirectoryNotFound"),
            Self::EmptyAccessToken => (BAD, "EmptyAccessToken"),
            Self::EmptyLibraryId => (BAD, "EmptyLibraryId"),
            Self::EmptyLibraryIdOrSecret => (BAD, "EmptyLibraryIdOrSecret"),
            Self::EmptyLibrarySecret => (BAD, "EmptyLibrarySecret"),
            Self::EmptyPath => (BAD, "EmptyPath"),
            Self::FileNotFound => (ABSENT, "FileNotFound"),
            Self::InvalidAccessToken => (FORBIDDEN, "InvalidAccessToken"),
            Self::InvalidConflictResolutionStrategy => (BAD, "InvalidConflictResolutionStrategy"),
            Self::LibraryNotFound => (ABSENT, "LibraryNotFound"),
            Self::NoItemsProvided => (BAD, "NoItemsProvided"),
            Self::NoPermission => (FORBIDDEN, "NoPermission"),
            Self::NotMultiSpaceLibrary => (BAD, "NotMultiSpaceLibrary"),
            Self::ParamInvalid => (BAD, "ParamInvalid"),
            Self::QuotaLimitReached => (BAD, "QuotaLimitReached"),
            Self::RecycleBinNotEnabled => (BAD, "RecycleBinNotEnabled"),
            Self::RecycledItemNotFound => (ABSENT, "RecycledItemNotFound"),
            Self::RequestEntityTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge"),
            Self::RootDirectoryNotAllowed => (BAD, "RootDirectoryNotAllowed"),
            Self::RouteNotFound => (ABSENT, "RouteNotFound"),
            Self::SameNameDirectoryOrFileExists => (CONFLICT, "SameNameDirectoryOrFileExists"),
            Self::SetRecycleLifecycleFrequencyLimit => {
                (FORBIDDEN, "SetRecycleLifecycleFrequencyLimit")
            }
            Self::SpaceNotEmpty => (CONFLICT, "SpaceNotEmpty"),
            Self::SpaceNotFound => (ABSENT, "SpaceNotFound"),
            Self::TaskNotFound => (ABSENT, "TaskNotFound"),
            Self::TooManyItems => (BAD, "TooManyItems"),
            Self::UploadNotFound => (ABSENT, "UploadNotFound"),
            Self::WrongLibraryIdOrSecret => (ABSENT, "WrongLibraryIdOrSecret"),
        }
    }
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        let (status, name) = code.row();
        Self { status, code: name.to_owned() }
    }
}

impl ApiError {
    /// The text that goes with the code: its words, as in `File not found.`
    pub(crate) fn message(&self) -> String {
        let mut message = String::with_capacity(self.code.len() + 8);
        for (position, letter) in self.code.char_indices() {
            if letter.is_ascii_uppercase() && position > 0 {
                message.push(' ');
                message.push(letter.to_ascii_lowercase());
            } else {
                message.push(letter);
            }
        }
        message.push('.');
        message
    }

    /// SMH's error object, its fields in SMH's order.
    pub(crate) fn object<'a>(&'a self, request_id: &'a str) -> ErrorObject<'a> {
        ErrorObject {
            bare: self.bare_object(request_id),
            tags: DeploymentTags { qualifier: "", revision: "" },
        }
    }

    /// The same without `qualifier` and `revision`, which no client should need.
    pub(crate) fn bare_object<'a>(&'a self, request_id: &'a str) -> BareErrorObject<'a> {
        BareErrorObject {
            status: self.status.as_u16(),
            code: &self.code,
            message: self.message(),
            request_id,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct ErrorObject<'a> {
    #[serde(flatten)]
    bare: BareErrorObject<'a>,
    #[serde(flatten)]
    tags: DeploymentTags,
}

#[derive(Serialize)]
pub(crate) struct BareErrorObject<'a> {
    status: u16,
    code: &'a str,
    message: String,
    #[serde(rename = "requestId")]
    request_id: &'a str,
}

#[derive(Serialize)]
struct DeploymentTags {
    qualifier: &'static str,
    revision: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_object_has_the_published_fields_in_the_published_order() {
        let error = ApiError::from(Code::FileNotFound);

        let object = serde_json::to_string(&error.object("7ed1")).unwrap();

        assert_eq!(
            object,
            r#"{"status":404,"code":"FileNotFound","message":"File not found.","requestId":"7ed1","qualifier":"","revision":""}"#
        );
    }

    #[test]
    fn a_message_is_made_of_the_words_of_its_code() {
        let error = ApiError::from(Code::RecycledItemNotFound);

        assert_eq!(error.message(), "Recycled item not found.");
    }
}
