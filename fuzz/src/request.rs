//! The target of a caller's request: path and query.

use std::borrow::Cow;
use std::sync::Arc;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use smh_gateway::delete::{Delete, DeletePath, Mode, Paths, Route};
use smh_gateway::directory::{Caller, Library, RecycleBin, Tenant, UserIdRule};
use smh_gateway::ids::{CallerName, LibraryId, SpaceId, TenantName};
use smh_gateway::origin::Origin;
use smh_gateway::policy::Subject;
use smh_gateway::upstream::{TokenPlace, shown};

/// What SMH is sent is one file of the space, the one that was parsed, by whichever way it is read: again by the
/// gateway, and by the `url` crate, which takes dot segments and backslashes as browsers do.
pub(crate) fn run(bytes: &[u8]) {
    let Ok(uri) = Uri::try_from(bytes) else { return };
    for paths in [Paths::Own, Paths::OwnAndSmh] {
        let route = Route::of(&uri, paths);
        if let Ok(delete) = route.and_then(|route| route.method(&Method::DELETE)?.delete()) {
            look_at(&delete);
        }
    }
}

fn look_at(delete: &Delete<'_>) {
    let (caller, tenant) = (caller(), tenant());
    let user_id = delete.user_id.as_ref();
    let subject = Subject { caller: &caller, tenant: &tenant, path: &delete.path, user_id };
    let written = shown(&subject, delete.mode, TokenPlace::Query);
    let target = written.strip_prefix("DELETE ").unwrap_or_default();

    let read = url::Url::parse(target).unwrap_or_else(|error| panic!("{target}: {error}"));
    assert_eq!(read.as_str(), target, "it would be written in another way");
    let path = read.path().strip_prefix("/api/v1/file/smhxxx/spacexxx/").unwrap_or_default();
    let decoded = percent_decode_str(path).decode_utf8();
    assert_eq!(decoded.as_deref(), Ok(delete.path.as_str()), "{target}");
    assert_eq!(DeletePath::parse(path).as_ref(), Ok(&delete.path), "{target}");

    let permanent = if delete.mode == Mode::Permanent { "1" } else { "0" };
    let mut wanted = vec![("permanent", permanent), ("access_token", "[redacted]")];
    wanted.extend(user_id.map(|user| ("user_id", user.as_str())));
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = read.query_pairs().collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(pairs, wanted, "{target}");
    assert_eq!(read.fragment(), None, "{target}");
}

fn tenant() -> Tenant {
    let made = || {
        let origin = Origin::try_from("https://smh.example").ok()?;
        let library = LibraryId::try_from("smhxxx").ok()?;
        let library = Arc::new(Library::new(library, origin, RecycleBin::On));
        let name = TenantName::try_from("t1").ok()?;
        Some(Tenant::new(name, library, SpaceId::try_from("spacexxx").ok()?, UserIdRule::Forward))
    };
    made().unwrap_or_else(|| panic!("these are names"))
}

fn caller() -> Caller {
    let name = CallerName::try_from("app").unwrap_or_else(|_| panic!("this is a name"));
    Caller::new(name, Vec::new())
}
