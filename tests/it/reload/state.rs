//! What outlives another configuration, and what does not.

use std::time::Duration;

use serde_json::json;
use smh_gateway::simulator::{Fault, Injection, RecycleBin};
use tokio::task::JoinSet;

use crate::callers::signer::{Signer, key_set};
use crate::callers::{self, REPORTS, bearer, keys_in_file, projected};
use crate::support::{
    GATEWAY_YAML, Gateway, KEY, LIBRARY, OTHER_KEY, Smh, TOKEN, becomes, request, send,
};
use crate::upstream::{Authority, Encrypted};

/// A gateway with one worker, so that there is one pool of connections.
async fn start(smh: &Smh) -> Gateway {
    Gateway::with(&one_worker(), None, smh.address).await
}

fn one_worker() -> String {
    GATEWAY_YAML.replace("workers: 2", "workers: 1")
}

async fn statuses(gateway: &Gateway, deletes: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for number in 0..deletes {
        statuses.push(gateway.delete(&format!("/v1/files/t1/none{number}")).await.status());
    }
    statuses
}

#[tokio::test]
async fn limits_keep_their_used_share() {
    let smh = Smh::start().await;
    let policy = "rate_limits:\n  - { name: l, per: [caller], limit: 2/h, burst: 4 }\n";
    let gateway = Gateway::with_policy(policy, smh.address).await;
    assert_eq!(statuses(&gateway, 2).await, [404; 2]);
    // Another selector, and nothing else.
    gateway.edit("policy.yaml", "limit: 2/h", "callers: [app], limit: 2/h");
    gateway.apply().await;
    assert_eq!(statuses(&gateway, 1).await, [404]);
    // A quarter of eight is left.
    gateway.edit("policy.yaml", "burst: 4", "burst: 8");
    gateway.apply().await;
    assert_eq!(statuses(&gateway, 3).await, [404, 404, 429]);
    gateway.edit("policy.yaml", "name: l", "name: other");
    gateway.apply().await;
    assert_eq!(statuses(&gateway, 1).await, [404]);
}

#[tokio::test]
async fn a_token_and_a_key_stay_although_their_files_are_gone() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&smh).await;
    std::fs::remove_file(gateway.folder.path("token")).unwrap();
    std::fs::remove_file(gateway.folder.path("app.key")).unwrap();
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 4s");
    gateway.apply().await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    assert!(smh.targets()[0].contains(TOKEN));
    assert_eq!(gateway.admin("/readyz").await.json()["pending"], json!([]));
}

#[tokio::test]
async fn what_is_added_and_pending_does_not_make_a_ready_gateway_unready() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&smh).await;
    gateway.edit("gateway.yaml", "libraries:", "libraries:\n  smhnew: { token: { file: later } }");
    gateway.edit("gateway.yaml", "tenants:\n", "tenants:\n  t3: { library: smhnew, space: s }\n");
    gateway.edit("gateway.yaml", "[t1, t2]", "[t1, t2, t3]");
    gateway.apply().await;
    let ready = gateway.admin("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["ready"]), (200, &json!(true)));
    assert_eq!(ready.json()["pending"], json!(["token of library smhnew"]));
    assert_eq!(gateway.delete("/v1/files/t3/a").await.code(), "TokenUnavailable");
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    gateway.folder.write("later", "acctklater");
    becomes("the token is there", async || {
        gateway.admin("/readyz").await.json()["pending"] == json!([])
    })
    .await;
}

#[tokio::test]
async fn a_gateway_that_was_never_ready_is_not_made_so_by_another_configuration() {
    let smh = Smh::start().await;
    let yaml = one_worker().replace("file: token", "file: later");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    assert_eq!(gateway.admin("/readyz").await.status(), 503);
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 4s");
    gateway.apply().await;
    assert_eq!(gateway.admin("/readyz").await.status(), 503);
    gateway.edit("gateway.yaml", "file: later", "file: token");
    gateway.apply().await;
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_verified_jwt_outlives_its_issuers_keys_at_their_place_but_not_its_issuer() {
    const TARGET: &str = "/v1/files/t1/a";
    let (smh, signer) = (Smh::start().await, Signer::new("k"));
    let keys = key_set(&[&signer]);
    let gateway = callers::start(&keys_in_file(), &[("jwks.json", &keys)], &smh).await;
    let jwt = [&*bearer(&signer.sign(&projected(REPORTS)))];
    let fresh = [&*bearer(&signer.sign(&projected("system:serviceaccount:media:x")))];
    assert_eq!(callers::delete(&gateway, TARGET, &jwt).await.status(), 404);
    std::fs::remove_file(gateway.folder.path("jwks.json")).unwrap();
    gateway.edit("gateway.yaml", "delay: 0s", "delay: 10ms");
    gateway.apply().await;
    assert_eq!(callers::delete(&gateway, TARGET, &jwt).await.status(), 404);
    assert_eq!(callers::delete(&gateway, TARGET, &fresh).await.status(), 404, "keys stay, too");

    // Another audience makes it another issuer, of which nobody knows keys.
    gateway.edit("gateway.yaml", "audience: smh-gateway", "audience: other");
    gateway.apply().await;
    let refused = callers::delete(&gateway, TARGET, &jwt).await;
    assert_eq!((refused.status(), &*refused.code()), (503, "IssuerKeysUnavailable"));
    assert_eq!(gateway.admin("/readyz").await.status(), 200);

    gateway.edit("gateway.yaml", "audience: other", "audience: smh-gateway");
    gateway.folder.write("jwks.json", &keys);
    gateway.apply().await;
    let known = async || callers::delete(&gateway, TARGET, &jwt).await.status() == 404;
    becomes("its keys are known again", known).await;
    gateway.edit("gateway.yaml", "issuer: https://kubernetes.default.svc", "issuer: https://other");
    gateway.apply().await;
    assert_eq!(callers::delete(&gateway, TARGET, &jwt).await.status(), 401);
    let received = smh.received().len();
    gateway.edit(
        "gateway.yaml",
        "jwt: { issuer: cluster, subject: system:serviceaccount:reports:default }",
        "api_key: { file: other.key }",
    );
    gateway.edit("gateway.yaml", "  media: { jwt: { issuer: cluster, subject: \"system:serviceaccount:media:*\" }, tenants: [t1] }\n", "");
    let text = std::fs::read_to_string(gateway.folder.path("gateway.yaml")).unwrap();
    let (before, after) = text.split_once("jwt_issuers:").unwrap();
    let (_, after) = after.split_once("workers:").unwrap();
    gateway.folder.write("gateway.yaml", &format!("{before}workers:{after}"));
    gateway.apply().await;
    assert_eq!(callers::delete(&gateway, TARGET, &jwt).await.status(), 401);
    assert_eq!(gateway.admin("/api/status").await.json()["jwt_issuers"], json!([]));
    assert_eq!(smh.received().len(), received);
}

#[tokio::test]
async fn connections_to_smh_are_used_on() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&smh).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 4s\n  token_in: header");
    gateway.apply().await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 404);
    let received = smh.received();
    assert_eq!(received.iter().map(|one| one.connection).collect::<Vec<_>>(), [1, 1]);
    assert!(received[0].target.contains(TOKEN) && !received[1].target.contains(TOKEN));
}

#[tokio::test]
async fn connections_made_under_other_roots_are_not_used() {
    for protocols in [&["h2"][..], &["http/1.1"][..]] {
        let (authority, stranger) = (Authority::new(), Authority::new());
        let smh = Encrypted::start(authority.acceptor(&["127.0.0.1"], protocols)).await;
        let gateway = Gateway::with(&authority.trusted("UPSTREAM"), None, smh.address).await;
        let ca_file = authority.folder.path().join("ca.pem");
        let roots = std::fs::read(&ca_file).unwrap();
        assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 200);
        // The same roots from another file are the same roots.
        let copy = authority.folder.path().join("copy.pem");
        std::fs::write(&copy, &roots).unwrap();
        let from = ca_file.display().to_string();
        gateway.edit("gateway.yaml", &from, &copy.display().to_string());
        gateway.apply().await;
        assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 404);
        let connections = |smh: &Encrypted| {
            smh.simulator.received().iter().map(|one| one.connection).collect::<Vec<_>>()
        };
        assert_eq!(connections(&smh), [1, 1], "{protocols:?}");
        // Others, under the name of before.
        std::fs::copy(stranger.folder.path().join("ca.pem"), &copy).unwrap();
        gateway.apply().await;
        let refused = gateway.delete("/v1/files/t1/b").await;
        assert_eq!((refused.status(), &*refused.code()), (502, "UpstreamUnreachable"));
        assert_eq!(connections(&smh), [1, 1], "{protocols:?}");
        std::fs::write(&copy, &roots).unwrap();
        gateway.apply().await;
        assert_eq!(gateway.delete("/v1/files/t1/b").await.status(), 200);
        assert_eq!(connections(&smh), [1, 1, 2], "{protocols:?}");
    }
}

#[tokio::test]
async fn a_halt_outlives_the_same_files_and_ends_with_an_edit() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    smh.simulator.set_recycle_bin(LIBRARY, RecycleBin::Off);
    let gateway = Gateway::with_policy("irreversible_deletes: halt\n", smh.address).await;
    assert_eq!(gateway.delete("/v1/files/t1/a").await.status(), 204);
    for _ in 0..3 {
        gateway.apply().await;
        assert_eq!(gateway.delete("/v1/files/t1/b").await.code(), "Frozen");
    }
    // Nobody has looked who writes something that is not valid.
    gateway.folder.write("policy.yaml", "irreversible_deletes: halt\nrulez: [\n");
    super::becomes_rejected(&gateway).await;
    assert_eq!(gateway.delete("/v1/files/t1/b").await.code(), "Frozen");
    gateway.folder.write("policy.yaml", "irreversible_deletes: halt\n");
    gateway.edit("policy.yaml", "halt", "alarm");
    gateway.apply().await;
    becomes("it goes on", async || gateway.delete("/v1/files/t1/b").await.status() == 204).await;
}

#[tokio::test]
async fn a_delete_ends_by_the_version_that_it_began_with() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = start(&smh).await;
    smh.simulator.inject(Injection::once(Fault::Slow(Duration::from_secs(1))));
    let (address, bytes) = (gateway.address(), request("/v1/files/t1/a", &[]));
    let mut slow = JoinSet::new();
    slow.spawn(async move { send(address, bytes.as_bytes()).await });
    becomes("it is under way", async || smh.received().len() == 1).await;
    gateway.edit("gateway.yaml", "tenants: [t1, t2]", "tenants: []");
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 10ms");
    gateway.apply().await;
    let refused = gateway.delete("/v1/files/t1/b").await;
    assert_eq!(refused.code(), "TenantNotGranted");
    assert_eq!(slow.join_all().await[0].status(), 200);
    assert_eq!(smh.files(), ["b"]);
}

#[tokio::test]
async fn what_needs_a_restart_is_named_until_it_is_as_it_was_and_the_rest_is_applied() {
    let smh = Smh::start().await.with_file("a");
    let gateway = start(&smh).await;
    let shown = async || gateway.admin("/api/status").await.json()["config"].clone();
    let before = shown().await;
    assert_eq!(gateway.apply().await.needs_restart, [""; 0]);
    gateway.edit("gateway.yaml", "workers: 1", "workers: 3\nlog: { deletes: off }");
    gateway.edit(
        "gateway.yaml",
        "address: 127.0.0.1:0\nadmin",
        "address: 127.0.0.1:0\n    smh_paths: true\nadmin",
    );
    gateway.edit("gateway.yaml", "tenants: [] }", "tenants: [t1] }");
    let named = ["listeners", "workers", "log"];
    assert_eq!(gateway.apply().await.needs_restart, named);
    assert_eq!(shown().await["needs_restart"], json!(named));
    assert_ne!(shown().await["sha256"], before["sha256"]);
    // The new grant counts, and the listener still takes only its own paths.
    let other = request("/v1/files/t1/a", &[]).replace(KEY, OTHER_KEY);
    assert_eq!(gateway.send(&other).await.status(), 200);
    let route = gateway.delete("/api/v1/file/smhxxx/spacexxx/a").await;
    assert_eq!(route.code(), "UnknownRoute");
    gateway.edit("gateway.yaml", "workers: 3\nlog: { deletes: off }", "workers: 1");
    gateway.edit("gateway.yaml", "    smh_paths: true\n", "");
    assert_eq!(gateway.apply().await.needs_restart, [""; 0]);
    gateway.edit("gateway.yaml", "admin:\n  address: 127.0.0.1:0", "admin:\n  address: none");
    assert_eq!(gateway.apply().await.needs_restart, ["admin"]);
}

/// What waits for a restart must not be taken for what runs: a loopback address proves nothing on a
/// listener that others reach.
#[tokio::test]
async fn a_way_to_prove_oneself_that_rests_on_other_listeners_waits_for_them() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let yaml = GATEWAY_YAML
        .replace("address: 127.0.0.1:0\nadmin", "address: 0.0.0.0:0\n    plaintext: true\nadmin");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    let nobody = "DELETE /v1/files/t1/a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.address().port()));
    let answer = async || send(here, nobody.as_bytes()).await.status();
    gateway.edit("gateway.yaml", "0.0.0.0:0\n    plaintext: true", "127.0.0.1:0");
    gateway.edit(
        "gateway.yaml",
        "{ api_key: { file: other.key }, tenants: [] }",
        "{ trust: loopback, tenants: [t1] }",
    );
    assert_eq!(gateway.apply().await.needs_restart, ["callers", "listeners"]);
    assert_eq!(answer().await, 401);
    let shown = gateway.admin("/api/config").await.json();
    assert_eq!(shown["listeners"][0]["address"], "0.0.0.0:0", "what runs is shown");
    // An edit of something else does not let it in, and the old key of this caller is gone.
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 4s");
    gateway.apply().await;
    assert_eq!(answer().await, 401);
    let other = request("/v1/files/t1/a", &[]).replace(KEY, OTHER_KEY);
    assert_eq!(send(here, other.as_bytes()).await.status(), 401);
    // The others are as they were.
    let app = request("/v1/files/t1/a", &[]);
    assert_eq!(send(here, app.as_bytes()).await.status(), 200);
    assert_eq!(smh.files(), ["b"]);
}

#[tokio::test]
async fn a_gateway_leaves_in_the_time_that_is_in_force() {
    let smh = Smh::start().await;
    let yaml = GATEWAY_YAML.replace("delay: 0s", "delay: 1h");
    let gateway = Gateway::with(&yaml, None, smh.address).await;
    gateway.edit("gateway.yaml", "delay: 1h", "delay: 0s");
    gateway.apply().await;
    tokio::time::timeout(Duration::from_secs(20), gateway.stop()).await.expect("it ends");
}
