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

use self::path::encode_segments_into;
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

/// Which families of paths a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paths {
    /// `/v1/files/{tenant}/{path}`.
    Own,
    /// These, and `/api/v1/file/{library}/{space}/{path}`, as an SMH client writes a delete.
    OwnAndSmh,
}

/// The tenant as the caller names it. Nothing of it is decoded: the names and ids of tenants have
/// no character to escape, so what is escaped names none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantRef<'r> {
    /// By its name in the configuration.
    Named(&'r str),
    /// By where its files are.
    Space {
        /// The library's id at SMH.
        library: &'r str,
        /// The space's id in the library.
        space: &'r str,
    },
}

impl TenantRef<'_> {
    fn is_left_out(self) -> bool {
        match self {
            Self::Named(name) => name.is_empty(),
            Self::Space { library, space } => library.is_empty() || space.is_empty(),
        }
    }
}

/// A well-formed simplified delete (interface.md, section 2).
#[derive(Debug, PartialEq, Eq)]
pub struct Delete<'r> {
    /// The tenant as the caller names it: no part of it is empty.
    pub tenant: TenantRef<'r>,
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
    tenant: TenantRef<'r>,
    path: &'r str,
    query: Option<&'r str>,
}

const FILES: &str = "/v1/files/";
const SMH_FILES: &str = "/api/v1/file/";

impl<'r> Route<'r> {
    /// Finds the tenant and the path, by whichever family of paths the listener serves.
    ///
    /// # Errors
    /// [`Refusal::UnknownRoute`] for every other path.
    pub fn of(uri: &'r Uri, paths: Paths) -> Result<Self, Refusal> {
        let (tenant, path) = match paths {
            Paths::Own => own(uri.path()),
            Paths::OwnAndSmh => own(uri.path()).or_else(|| smh(uri.path())),
        }
        .ok_or(Refusal::UnknownRoute)?;
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
        if self.tenant.is_left_out() {
            return Err(Refusal::InvalidPath(PathFault::EmptySegment));
        }
        let path = DeletePath::parse(self.path).map_err(Refusal::InvalidPath)?;
        let query::Parameters { mode, user_id } =
            query::parse(self.query).map_err(Refusal::InvalidQuery)?;
        Ok(Delete { tenant: self.tenant, path, mode, user_id })
    }
}

/// The target with which a caller asks for such a delete: in the canonical form of `percent.rs`, and
/// without parameters that change nothing. Characters that a caller leaves as they stand, although
/// the canonical form escapes them, make it shorter; only this length is always enough.
pub(crate) fn canonical_target(
    tenant: &str,
    path: &str,
    mode: Mode,
    user_id: Option<&str>,
) -> Vec<u8> {
    let mut target = FILES.as_bytes().to_vec();
    encode_into(&mut target, tenant.as_bytes());
    target.push(b'/');
    encode_segments_into(&mut target, path);
    if mode == Mode::Permanent {
        target.extend_from_slice(b"?permanent=1");
    }
    if let Some(user_id) = user_id {
        target.extend_from_slice(if mode == Mode::Permanent { b"&" } else { b"?" });
        target.extend_from_slice(b"user_id=");
        encode_into(&mut target, user_id.as_bytes());
    }
    target
}

/// `/v1/files/{tenant}/{path}`.
fn own(target: &str) -> Option<(TenantRef<'_>, &str)> {
    let (tenant, path) = segment(target.strip_prefix(FILES)?);
    Some((TenantRef::Named(tenant), path))
}

/// `/api/v1/file/{library}/{space}/{path}`. Many SMH clients begin the path with a slash, and SMH
/// takes it for the same file (smh-api.md 1.3). One is dropped; a second one is an empty segment.
fn smh(target: &str) -> Option<(TenantRef<'_>, &str)> {
    let (library, rest) = segment(target.strip_prefix(SMH_FILES)?);
    let (space, path) = segment(rest);
    let relative = ["/", "%2F", "%2f"].iter().find_map(|slash| path.strip_prefix(slash));
    Some((TenantRef::Space { library, space }, relative.unwrap_or(path)))
}

/// The first segment and what follows its slash.
fn segment(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests;
