//! Both families of paths, by table, and that they name the same files.

use super::*;
use proptest::prelude::*;

use crate::refusal::QueryFault;
use TenantRef::{Named, Space};

fn deleted(target: &Uri, paths: Paths) -> Result<Delete<'_>, Refusal> {
    Route::of(target, paths)?.method(&Method::DELETE)?.delete()
}

fn uri(target: &str) -> Uri {
    target.parse().unwrap()
}

#[test]
fn a_simplified_delete_names_a_tenant_and_a_file() {
    let target = uri("/v1/files/photos/2025/a%20b.jpg?permanent=1&user_id=u%31");
    for paths in [Paths::Own, Paths::OwnAndSmh] {
        let delete = deleted(&target, paths).unwrap();
        assert_eq!(delete.tenant, Named("photos"));
        assert_eq!(delete.path.as_str(), "2025/a b.jpg");
        assert_eq!(delete.mode, Mode::Permanent);
        assert_eq!(delete.user_id.unwrap().as_str(), "u1");
    }
}

#[test]
fn an_smh_client_names_a_space_and_a_file() {
    for path in
        ["foo/bar.txt", "foo%2Fbar.txt", "%2Ffoo%2Fbar.txt", "%2ffoo/bar.txt", "/foo/bar.txt"]
    {
        let target = uri(&format!("/api/v1/file/lib/-/{path}?permanent=1&user_id=u%31"));
        let delete = deleted(&target, Paths::OwnAndSmh).unwrap();
        assert_eq!(delete.tenant, Space { library: "lib", space: "-" }, "{path}");
        assert_eq!(delete.path.as_str(), "foo/bar.txt", "{path}");
        assert_eq!(delete.mode, Mode::Permanent);
        assert_eq!(delete.user_id.unwrap().as_str(), "u1");
    }
}

#[test]
fn other_paths_are_no_route() {
    for target in [
        "/",
        "/v1/files",
        "/v1/file/t/x",
        "/V1/files/t/x",
        "//v1/files/t/x",
        "/api/v1/files/t/x",
        "/api/v1/file",
        "/API/v1/file/l/s/x",
        "/api//v1/file/l/s/x",
        "/api/v1/directory/l/s/x",
        "/api/v1/recycled/l/s",
        "*",
    ] {
        for paths in [Paths::Own, Paths::OwnAndSmh] {
            assert_eq!(deleted(&uri(target), paths), Err(Refusal::UnknownRoute), "{target}");
        }
    }
}

#[test]
fn smh_paths_are_no_route_where_they_are_not_served() {
    for target in ["/api/v1/file/l/s/x", "/api/v1/file/l/s/%zz", "/api/v1/file/"] {
        assert_eq!(deleted(&uri(target), Paths::Own), Err(Refusal::UnknownRoute), "{target}");
    }
}

#[test]
fn a_tenant_or_a_path_left_out_is_an_invalid_path() {
    use PathFault::{Empty, EmptySegment};
    for (target, fault) in [
        ("/v1/files/", EmptySegment),
        ("/v1/files//x", EmptySegment),
        ("/v1/files/t", Empty),
        ("/v1/files/t/", Empty),
        ("/api/v1/file/", EmptySegment),
        ("/api/v1/file/l", EmptySegment),
        ("/api/v1/file/l/", EmptySegment),
        ("/api/v1/file//s/x", EmptySegment),
        ("/api/v1/file/l//x", EmptySegment),
        ("/api/v1/file/l%2Fs%2Fx", EmptySegment),
        ("/api/v1/file/l/s", Empty),
        ("/api/v1/file/l/s/", Empty),
        ("/api/v1/file/l/s//", Empty),
        ("/api/v1/file/l/s/%2F", Empty),
    ] {
        let target = uri(target);
        let refused = deleted(&target, Paths::OwnAndSmh);
        assert_eq!(refused, Err(Refusal::InvalidPath(fault)), "{target}");
    }
}

#[test]
fn one_leading_slash_is_dropped_where_smh_drops_it_and_nowhere_else() {
    let refused = Err(Refusal::InvalidPath(PathFault::EmptySegment));
    for path in ["//x", "/%2Fx", "%2F/x", "%2f%2Fx", "//", "%2F%2F"] {
        let target = uri(&format!("/api/v1/file/l/s/{path}"));
        assert_eq!(deleted(&target, Paths::OwnAndSmh), refused, "{path}");
    }
    for path in ["/x", "%2Fx", "%2fx"] {
        let target = uri(&format!("/v1/files/t/{path}"));
        assert_eq!(deleted(&target, Paths::OwnAndSmh), refused, "{path}");
    }
    // Escaped twice it is no slash but part of a name.
    let target = uri("/api/v1/file/l/s/%252Fx");
    assert_eq!(deleted(&target, Paths::OwnAndSmh).unwrap().path.as_str(), "%2Fx");
}

#[test]
fn what_is_escaped_in_an_id_stays_escaped() {
    let target = uri("/api/v1/file/l%69b/s%2Fx/..%2e");
    let delete = deleted(&target, Paths::OwnAndSmh).unwrap();
    assert_eq!(delete.tenant, Space { library: "l%69b", space: "s%2Fx" });
}

#[test]
fn an_smh_client_keeps_its_token_to_itself() {
    let target = uri("/api/v1/file/l/s/x?access_token=acctk0");
    let refused = Err(Refusal::InvalidQuery(QueryFault::Credential));
    assert_eq!(deleted(&target, Paths::OwnAndSmh), refused);
}

#[test]
fn the_route_is_judged_before_the_method_and_the_method_before_the_path() {
    assert_eq!(Route::of(&uri("/nowhere"), Paths::Own), Err(Refusal::UnknownRoute));
    for broken in [uri("/v1/files/t/%zz"), uri("/api/v1/file/l//%zz")] {
        let route = Route::of(&broken, Paths::OwnAndSmh).unwrap();
        assert_eq!(route.method(&Method::GET), Err(Refusal::MethodNotAllowed));
    }
}

proptest! {
    #[test]
    fn the_canonical_target_asks_for_the_delete_that_it_was_made_of(
        path in "[^/\\\\\\p{Cc}]{1,12}/[^/\\\\\\p{Cc}]{1,12}",
        permanent: bool,
        user_id in prop::option::of("[^\\p{Cc}]{1,32}"),
    ) {
        let mode = if permanent { Mode::Permanent } else { Mode::Recycle };
        let target = canonical_target("photos", &path, mode, user_id.as_deref());
        let target = uri(&String::from_utf8(target).unwrap());
        if let Ok(path) = DeletePath::try_from(path) {
            let user_id = user_id.map(|user_id| UserId::try_from(user_id.as_str()).unwrap());
            let made_of = Delete { tenant: Named("photos"), path, mode, user_id };
            prop_assert_eq!(deleted(&target, Paths::Own), Ok(made_of));
        }
    }

    #[test]
    fn both_families_read_the_same_path_alike(
        path in "([a-z.;/~-]|%2[Ff]|%2[Ee]|%[0-9a-fA-F]{2}|%[g-z]){0,12}",
        slash in prop::sample::select(vec!["", "/", "%2F", "%2f"]),
    ) {
        // What begins with a slash is a path to SMH alone.
        prop_assume!(!["/", "%2F", "%2f"].iter().any(|slash| path.starts_with(slash)));
        let own = uri(&format!("/v1/files/t/{path}"));
        let smh = uri(&format!("/api/v1/file/l/s/{slash}{path}"));
        let own = deleted(&own, Paths::OwnAndSmh).map(|delete| delete.path);
        let smh = deleted(&smh, Paths::OwnAndSmh).map(|delete| delete.path);
        prop_assert_eq!(own, smh);
    }
}
