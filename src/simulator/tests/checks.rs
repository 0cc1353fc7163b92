//! The checks before an operation, and their order: each request here fails in everything that
//! comes after the check it names, too.

use super::*;
use crate::simulator::{
    Behaviour, CredentialPlaces, ForeignToken, LibraryWideTokens, RouteKind, Tenancy,
};

fn refusal(simulator: &Simulator, target: &str) -> (u16, String) {
    let before = simulator.files("smhlib", "space1");
    let reply = ask(simulator, Method::DELETE, target);
    assert_eq!(simulator.files("smhlib", "space1"), before, "a refused delete changes nothing");
    (reply.status, reply.code().to_owned())
}

#[test]
fn each_check_comes_before_the_next() {
    let simulator = photos();
    simulator.issue_token(TokenSpec::new("smhlib").with_space("space1").with_value("reader"));
    for (target, status, code) in [
        ("/api/v1/files/nolib/nospace/nofile", 404, "RouteNotFound"),
        ("/api/v1/file/nolib/nospace/nofile?permanent=2", 400, "EmptyAccessToken"),
        ("/api/v1/file/nolib/nospace/nofile?access_token=bad", 404, "LibraryNotFound"),
        ("/api/v1/file/smhlib/nospace/nofile?access_token=bad", 403, "InvalidAccessToken"),
        ("/api/v1/file/smhlib/nospace/nofile?access_token=reader", 404, "SpaceNotFound"),
        (
            "/api/v1/file/smhlib/space2/nofile?permanent=2&access_token=reader",
            403,
            "AccessTokenNotMatchSpace",
        ),
        ("/api/v1/file/smhlib/space1/nofile?permanent=2&access_token=reader", 400, "ParamInvalid"),
        ("/api/v1/file/smhlib/space1/?access_token=reader", 400, "EmptyPath"),
        ("/api/v1/file/smhlib/space1?access_token=reader", 400, "EmptyPath"),
        ("/api/v1/file/smhlib/space1/nofile?access_token=reader", 403, "NoPermission"),
        ("/api/v1/file/smhlib/space1/nofile?access_token=delete_file", 404, "FileNotFound"),
        ("/api/v1/file/smhlib/space1/%zz?access_token=delete_file", 400, "BadRequest"),
    ] {
        assert_eq!(refusal(&simulator, target), (status, code.to_owned()), "{target}");
    }
}

#[test]
fn an_empty_token_is_no_token() {
    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=";

    assert_eq!(refusal(&photos(), target).1, "EmptyAccessToken");
}

#[test]
fn a_wrong_library_secret_is_refused_and_the_right_one_may_do_anything() {
    let simulator = photos();
    let file = "/api/v1/file/smhlib/space1/hello.txt?permanent=1&library_secret";

    assert_eq!(
        refusal(&simulator, &format!("{file}=wrong")),
        (404, "WrongLibraryIdOrSecret".to_owned())
    );
    assert_eq!(ask(&simulator, Method::DELETE, &format!("{file}=the-secret")).status, 204);
}

#[test]
fn a_token_of_another_library_is_refused_by_either_code() {
    let simulator = photos();
    simulator.add_library(Library::single_tenant("smhother", "other-secret"));
    simulator.issue_token(TokenSpec::new("smhother").with_grant("admin").with_value("foreign"));
    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=foreign";

    assert_eq!(refusal(&simulator, target), (403, "InvalidAccessToken".to_owned()));
    simulator.set_behaviour(Behaviour {
        foreign_token: ForeignToken::AccessTokenNotMatchLibrary,
        ..Behaviour::default()
    });
    assert_eq!(refusal(&simulator, target), (403, "AccessTokenNotMatchLibrary".to_owned()));
}

#[test]
fn every_place_for_a_credential_works_and_can_be_switched_off() {
    let file = "/api/v1/file/smhlib/space1/hello.txt";
    let none = CredentialPlaces { query_token: false, bearer_token: false, library_secret: false };
    for (query, headers, place) in [
        (
            "?access_token=delete_file",
            HeaderMap::new(),
            CredentialPlaces { query_token: true, ..none },
        ),
        ("", bearer("delete_file"), CredentialPlaces { bearer_token: true, ..none }),
        (
            "?library_secret=the-secret",
            HeaderMap::new(),
            CredentialPlaces { library_secret: true, ..none },
        ),
    ] {
        let target = format!("{file}{query}");
        for (credentials, status) in [(none, 400), (place, 200)] {
            let simulator = photos();
            simulator.set_behaviour(Behaviour { credentials, ..Behaviour::default() });
            let reply = ask_with(&simulator, Method::DELETE, &target, headers.clone(), "");
            assert_eq!(reply.status, status, "{target} {credentials:?}");
        }
    }
}

#[test]
fn a_library_wide_token_may_be_confined_to_admins() {
    let simulator = photos();
    let wide = TokenSpec::new("smhlib").with_grant("delete_file");
    simulator.issue_token(wide.with_value("wide"));
    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=wide";
    simulator.set_behaviour(Behaviour {
        library_wide_tokens: LibraryWideTokens::AdminOnly,
        ..Behaviour::default()
    });

    assert_eq!(refusal(&simulator, target), (403, "AccessTokenNotMatchSpace".to_owned()));
    simulator.set_behaviour(Behaviour::default());
    assert_eq!(ask(&simulator, Method::DELETE, target).status, 200);
}

#[test]
fn a_single_tenant_library_has_the_space_named_dash_from_the_start() {
    let simulator = Simulator::new();
    let library = Library::single_tenant("smhlib", "the-secret");
    assert_eq!(library.tenancy, Tenancy::Single);
    simulator.add_library(library);
    let delete = |space: &str| {
        let target = format!("/api/v1/file/smhlib/{space}/a?library_secret=the-secret");
        ask(&simulator, Method::DELETE, &target).code().to_owned()
    };

    assert_eq!(delete("-"), "FileNotFound");
    assert_eq!(delete("space1"), "SpaceNotFound");
}

#[test]
fn a_refused_request_is_recorded_with_its_route_and_without_effect() {
    let simulator = photos();
    let target = "/api/v1/file/smhlib/space1/hello.txt?access_token=bad&x=%41";
    ask(&simulator, Method::DELETE, target);

    let received = simulator.received();

    let [only] = received.as_slice() else { panic!("one request: {received:?}") };
    assert_eq!((only.method.as_str(), only.target.as_str()), ("DELETE", target));
    assert_eq!(only.route, Some(RouteKind::DeleteFile));
    assert!(only.effects.is_empty());
}
