//! Deletes as SMH's own clients write them.

use super::*;
use crate::support::{GATEWAY_YAML, KEY, TOKEN};

/// What `smh-js-sdk` 1.0.16 sends from Node.js, but for its token.
const SDK: [&str; 6] = [
    "Accept: application/json, text/plain, */*",
    "Client-Version: smh-js-sdk/1.0.16",
    "User-Agent: axios/0.21.4",
    "Accept-Encoding: gzip, deflate",
    "Origin: https://app.example",
    "Cookie: session=1",
];

/// With an API key for `app`, and one for `other`, which has no tenant.
fn smh_paths() -> String {
    GATEWAY_YAML.replacen("127.0.0.1:0\n", "127.0.0.1:0\n    smh_paths: true\n", 1)
}

async fn as_sdk(gateway: &Gateway, target: &str) -> Answer {
    let key = bearer(KEY);
    delete(gateway, target, &[&SDK[..], &[&key]].concat()).await
}

#[tokio::test]
async fn a_delete_of_the_sdk_is_carried_out_once_its_address_is_changed() {
    let smh = Smh::start().await.with_file("foo/bar baz.txt").with_file("foo").with_file("a~b");
    let gateway = start(&smh_paths(), &[], &smh).await;
    let base = "/api/v1/file/smhxxx/spacexxx/";
    for (path, query, sent) in [
        ("%2Ffoo%2Fbar%20baz.txt", "?permanent=0", "foo/bar%20baz.txt"),
        ("/foo", "", "foo"),
        ("a~b", "?permanent=0&user_id=u1", "a~b"),
    ] {
        smh.simulator.clear_received();
        let answer = as_sdk(&gateway, &format!("{base}{path}{query}")).await;
        assert_eq!(answer.status(), 200, "{path}: {:?}", answer.json());
        assert!(answer.json()["recycledItemId"].is_u64(), "{path}");
        let request = &smh.received()[0];
        let user = if query.contains("user_id") { "&user_id=u1" } else { "" };
        let wanted = format!("{base}{sent}?permanent=0&access_token={TOKEN}{user}");
        let parameters = |target: &str| {
            let (path, query) = target.split_once('?').unwrap();
            let mut query: Vec<_> = query.split('&').map(str::to_owned).collect();
            query.sort();
            (path.to_owned(), query)
        };
        assert_eq!(parameters(&request.target), parameters(&wanted));
        for field in SDK {
            let (name, value) = field.split_once(": ").unwrap();
            let name = name.to_lowercase();
            let had = request.header(&name).any(|had| had == value.as_bytes());
            assert!(!had, "{field}: {:?}", request.headers);
        }
    }
    assert_eq!(smh.files(), [""; 0]);
    assert_nothing_of(KEY, "SMH", &received(&smh));
    for line in gateway.stop().await {
        assert_eq!((&line["caller"], &line["proof"]), (&json!("app"), &json!("api_key")), "{line}");
        assert_eq!((&line["tenant"], &line["library"]), (&json!("t1"), &json!("smhxxx")), "{line}");
    }
}

#[tokio::test]
async fn the_same_error_object_is_read_by_an_sdk_whoever_answers() {
    let smh = Smh::start().await;
    let gateway = start(&smh_paths(), &[], &smh).await;
    let absent = as_sdk(&gateway, "/api/v1/file/smhxxx/spacexxx/absent?permanent=0").await;
    let blocked = as_sdk(&gateway, "/api/v1/file/smhxxx/spacexxx/absent?permanent=1").await;
    assert_eq!((absent.status(), &*absent.code()), (404, "FileNotFound"));
    assert_eq!((blocked.status(), &*blocked.code()), (403, "PermanentDeleteBlocked"));
    for answer in [absent, blocked] {
        let body = answer.json();
        for member in ["code", "message", "requestId"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} {body}");
        }
        assert_eq!(body["status"], answer.status());
    }
    assert_eq!(smh.received().len(), 1);
}

#[tokio::test]
async fn a_listener_serves_them_only_if_it_is_told_to() {
    let smh = Smh::start().await.with_file("a");
    let listeners = "127.0.0.1:0\n    smh_paths: true\n  - address: 127.0.0.1:0\n";
    let yaml = GATEWAY_YAML.replacen("127.0.0.1:0\n", listeners, 1);
    let gateway = start(&yaml, &[], &smh).await;
    let target = "/api/v1/file/smhxxx/spacexxx/a";
    let bytes = asking(target, &[&bearer(KEY)]);
    let plain = send(gateway.running.addresses()[1], bytes.as_bytes()).await;
    assert_eq!((plain.status(), &*plain.code()), (400, "UnknownRoute"));
    assert_eq!(as_sdk(&gateway, target).await.status(), 200);
}

#[tokio::test]
async fn whatever_else_smh_could_be_asked_is_refused() {
    let smh = Smh::start().await.with_file("a").with_file("dir/a");
    let gateway = start(&smh_paths(), &[], &smh).await;
    let file = "/api/v1/file/smhxxx/spacexxx";
    for (target, code) in [
        ("/api/v1/directory/smhxxx/spacexxx/dir".to_owned(), "UnknownRoute"),
        ("/api/v1/recycled/smhxxx/spacexxx".to_owned(), "UnknownRoute"),
        ("/api/v1/recycled/smhxxx/spacexxx/1".to_owned(), "UnknownRoute"),
        ("/api/v1/space/smhxxx/spacexxx?force=1".to_owned(), "UnknownRoute"),
        (format!("/api/v1/token/smhxxx/{TOKEN}"), "UnknownRoute"),
        ("/api/v1/files/smhxxx/spacexxx/a".to_owned(), "UnknownRoute"),
        ("/API/v1/file/smhxxx/spacexxx/a".to_owned(), "UnknownRoute"),
        ("/api//v1/file/smhxxx/spacexxx/a".to_owned(), "UnknownRoute"),
        (format!("{file}/a?upload"), "InvalidQuery"),
        (format!("{file}/a?permanent=0&access_token={TOKEN}"), "InvalidQuery"),
        (format!("{file}/a?permanent=0&permanent=1"), "InvalidQuery"),
        (format!("{file}///a"), "InvalidPath"),
        (format!("{file}/%2F%2Fa"), "InvalidPath"),
        (format!("{file}/../space2/a"), "InvalidPath"),
        (format!("{file}/%2e%2e/a"), "InvalidPath"),
        (format!("{file}/"), "InvalidPath"),
        (file.to_owned(), "InvalidPath"),
        ("/api/v1/file/smhxxx//a".to_owned(), "InvalidPath"),
        ("/api/v1/file/".to_owned(), "InvalidPath"),
    ] {
        let answer = as_sdk(&gateway, &target).await;
        assert_eq!((answer.status(), &*answer.code()), (400, code), "{target}");
    }
    assert_eq!((smh.received().len(), smh.files().len()), (0, 2));
}

#[tokio::test]
async fn a_space_that_is_not_there_looks_like_one_that_is_not_granted() {
    let smh = Smh::start().await;
    let yaml = smh_paths().replace("tenants: [t1, t2]", "tenants: [t1]");
    let gateway = start(&yaml, &[], &smh).await;
    let mut alike = None;
    for space in ["smhxxx/space2", "smhxxx/nowhere", "smhyyy/spacexxx", "smhxxx/%73pacexxx"] {
        let mut answer = as_sdk(&gateway, &format!("/api/v1/file/{space}/a")).await.json();
        assert!(answer["requestId"].take().is_string());
        assert_eq!(answer, *alike.get_or_insert(answer.clone()), "{space}");
    }
    assert_eq!(alike.unwrap()["code"], "TenantNotGranted");
    assert_eq!(smh.received().len(), 0);
    let lines = gateway.stop().await;
    let wanted = (&json!("app"), &json!("smhxxx"), &json!("space2"));
    let line = lines.iter().find(|line| line["space"] == "space2").unwrap();
    assert_eq!((&line["caller"], &line["library"], &line["space"]), wanted);
}

#[tokio::test]
async fn two_tenants_with_one_space_could_not_be_told_apart() {
    let yaml = smh_paths().replace("space: space2,", "space: spacexxx,");
    insta::assert_snapshot!(mistake(&yaml).await, @"
    gateway.yaml:15:3: this is the space of tenant `t1`, too: a delete by an SMH path could be either's
       15 |   t2: { library: smhxxx, space: spacexxx, user_id: forbid }
          |   ^^ keep one of the two, or leave `smh_paths` out
    ");
}
