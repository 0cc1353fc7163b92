//! What a caller asks for: the simplified delete, parsed once, from the request line alone.
//!
//! After this border there is no raw text: the path is decoded and checked, `permanent` is a
//! [`Mode`], the user a [`UserId`]. The tenant is still the caller's word for it: whether it exists
//! is answered together with whether it is granted, so that the two look alike.

mod path;
mod percent;
mod query;

pub use self::path::DeletePath;
pub(crate) use self::percent::encode_into;

use http::{Method, Uri};

use crate::ids::UserId;
use crate::refusal::{PathFault, Refusal};

/// Whether the file can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `permanent=0`: to the recycle bin, where the library has one.
    Recycle,
    /// `permanent=1`: gone.
    Permanent,
}

/// A well-formed simplified delete (interface.md, section 2).
#[derive(Debug, PartialEq, Eq)]
pub struct Delete<'r> {
    /// The tenant as the caller names it: one segment, not empty.
    pub tenant: &'r str,
    /// The file, decoded.
    pub path: DeletePath,
    /// Recycled or gone.
    pub mode: Mode,
    /// On whose behalf.
    pub user_id: Option<UserId>,
}

/// Where a request wants to go: known before its method is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'r> {
    tenant: &'r str,
    path: &'r str,
    query: Option<&'r str>,
}

const FILES: &str = "/v1/files/";

impl<'r> Route<'r> {
    /// Finds `/v1/files/{tenant}/{path}`.
    ///
    /// # Errors
    /// [`Refusal::UnknownRoute`] for every other path.
    pub fn of(uri: &'r Uri) -> Result<Self, Refusal> {
        let rest = uri.path().strip_prefix(FILES).ok_or(Refusal::UnknownRoute)?;
        let (tenant, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { tenant, path, query: uri.query() })
    }

    /// Refuses every method but DELETE.
    ///
    /// # Errors
    /// [`Refusal::MethodNotAllowed`].
    pub fn method(self, method: &Method) -> Result<Self, Refusal> {
        if method == Method::DELETE { Ok(self) } else { Err(Refusal::MethodNotAllowed) }
    }

    /// Reads the path and the query.
    ///
    /// # Errors
    /// [`Refusal::InvalidPath`], [`Refusal::InvalidQuery`].
    pub fn delete(self) -> Result<Delete<'r>, Refusal> {
        if self.tenant.is_empty() {
            return Err(Refusal::InvalidPath(PathFault::EmptySegment));
        }
        let path = DeletePath::parse(self.path).map_err(Refusal::InvalidPath)?;
        let query::Parameters { mode, user_id } =
            query::parse(self.query).map_err(Refusal::InvalidQuery)?;
        Ok(Delete { tenant: self.tenant, path, mode, user_id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Result<(String, String, Mode, Option<String>), Refusal> {
        let uri: Uri = target.parse().unwrap();
        let delete = Route::of(&uri)?.method(&Method::DELETE)?.delete()?;
        let user = delete.user_id.map(|user| user.to_string());
        Ok((delete.tenant.into(), delete.path.as_str().into(), delete.mode, user))
    }

    #[test]
    fn a_simplified_delete_names_a_tenant_and_a_file() {
        assert_eq!(
            parse("/v1/files/photos/2025/a%20b.jpg?permanent=1&user_id=u%31"),
            Ok(("photos".into(), "2025/a b.jpg".into(), Mode::Permanent, Some("u1".into())))
        );
    }

    #[test]
    fn other_paths_are_no_route() {
        for target in ["/", "/v1/files", "/v1/file/t/x", "/V1/files/t/x", "/api/v1/file/l/s/x", "*"]
        {
            assert_eq!(parse(target), Err(Refusal::UnknownRoute), "{target}");
        }
    }

    #[test]
    fn a_tenant_or_a_path_left_out_is_an_invalid_path() {
        for target in ["/v1/files/", "/v1/files//x", "/v1/files/t", "/v1/files/t/"] {
            assert!(matches!(parse(target), Err(Refusal::InvalidPath(_))), "{target}");
        }
    }

    #[test]
    fn the_route_is_judged_before_the_method_and_the_method_before_the_path() {
        let nowhere: Uri = "/nowhere".parse().unwrap();
        assert_eq!(Route::of(&nowhere), Err(Refusal::UnknownRoute));
        let broken: Uri = "/v1/files/t/%zz".parse().unwrap();
        let route = Route::of(&broken).unwrap();
        assert_eq!(route.method(&Method::GET), Err(Refusal::MethodNotAllowed));
    }
}
