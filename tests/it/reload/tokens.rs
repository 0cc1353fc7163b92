//! Minted tokens from one configuration to the next.

use std::time::Duration;

use smh_gateway::simulator::{Fault, Injection, Matcher, RouteKind};
use tokio::task::JoinSet;

use crate::support::{OTHER_KEY, SPACE, Smh, request, send};
use crate::tokens::{
    delete_as, minted, minting_yaml, mints, pass, revocations, start_with as start_minting,
    started, token_of, until,
};

/// Longer than a delete that began before can take.
const OVER: Duration = Duration::from_secs(6);

/// Lets the keepers do what is due by then.
async fn after_all_deletes() {
    pass(OVER).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn an_unrelated_change_mints_and_revokes_nothing() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    let before = (token_of(&smh, "app", SPACE), token_of(&smh, "other", SPACE));
    gateway.edit("gateway.yaml", "timeout: 3s", "timeout: 4s");
    gateway.edit("gateway.yaml", "space2, user_id: forbid", "space2, user_id: forward");
    gateway.edit("gateway.yaml", "  smhxxx:\n", "  smhxxx:\n    recycle_bin: off\n");
    for _ in 0..3 {
        gateway.apply().await;
        after_all_deletes().await;
    }
    assert_eq!((mints(&smh).len(), revocations(&smh)), (3, 0));
    assert_eq!(before, (token_of(&smh, "app", SPACE), token_of(&smh, "other", SPACE)));
}

#[tokio::test]
async fn the_token_of_a_grant_that_is_gone_is_revoked_after_the_deletes_that_may_use_it() {
    let smh = Smh::start().await.with_file("a");
    let gateway = started(&smh).await;
    let kept = token_of(&smh, "app", SPACE);
    let gone = token_of(&smh, "app", "space2");
    gateway.edit("gateway.yaml", "tenants: [t1, t2]", "tenants: [t1]");
    gateway.apply().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(revocations(&smh), 0, "a delete may still be under way");
    after_all_deletes().await;
    until("it is revoked", async || minted(&smh).len() == 2).await;
    assert!(minted(&smh).iter().all(|token| token.value != gone));
    assert_eq!(token_of(&smh, "app", SPACE), kept);
    // Back again, it is a new one.
    gateway.edit("gateway.yaml", "tenants: [t1] }\n  other", "tenants: [t1, t2] }\n  other");
    gateway.apply().await;
    until("there is another", async || minted(&smh).len() == 3).await;
    assert_eq!((mints(&smh).len(), revocations(&smh)), (4, 1));
}

#[tokio::test]
async fn a_grant_that_is_back_in_time_keeps_its_token() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    gateway.edit("gateway.yaml", "tenants: [t1, t2]", "tenants: []");
    gateway.apply().await;
    gateway.edit("gateway.yaml", "tenants: [] }\n  other", "tenants: [t1, t2] }\n  other");
    gateway.apply().await;
    after_all_deletes().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!((mints(&smh).len(), revocations(&smh)), (3, 0));
}

#[tokio::test]
async fn a_tenant_with_another_space_has_another_token() {
    let smh = Smh::start().await;
    smh.simulator.add_space("smhxxx", "space3");
    let gateway = started(&smh).await;
    gateway.edit("gateway.yaml", "space: spacexxx", "space: space3");
    gateway.apply().await;
    until("both are minted", async || mints(&smh).len() == 5).await;
    after_all_deletes().await;
    until("the old ones are gone", async || minted(&smh).len() == 3).await;
    token_of(&smh, "app", "space3");
    token_of(&smh, "other", "space3");
    token_of(&smh, "app", "space2");
}

#[tokio::test]
async fn another_plan_mints_anew_and_a_delete_that_began_before_keeps_its_token() {
    let smh = Smh::start().await.with_file("a").with_file("b");
    let gateway = started(&smh).await;
    let old = token_of(&smh, "app", SPACE);
    let slow = Injection::once(Fault::Slow(Duration::from_secs(1)));
    smh.simulator.inject(slow.when(Matcher::route(RouteKind::DeleteFile)));
    let (address, bytes) = (gateway.address(), request("/v1/files/t1/a", &[]));
    let mut under_way = JoinSet::new();
    under_way.spawn(async move { send(address, bytes.as_bytes()).await });
    until("it is under way", async || smh.targets().iter().any(|one| one.contains("/a?"))).await;
    gateway.edit("gateway.yaml", "{ file: secret }", "{ file: secret }, period: 1h");
    gateway.apply().await;
    until("all are minted anew", async || mints(&smh).len() == 6).await;
    until("they are there", async || minted(&smh).len() == 6).await;
    assert_eq!(delete_as(address, OTHER_KEY, "/v1/files/t1/b").await.status(), 200);
    assert_eq!(under_way.join_all().await[0].status(), 200);
    assert_eq!(revocations(&smh), 0);
    after_all_deletes().await;
    until("the old ones are revoked", async || minted(&smh).len() == 3).await;
    assert!(minted(&smh).iter().all(|token| token.value != old));
    assert_eq!((mints(&smh).len(), revocations(&smh)), (6, 3));
}

#[tokio::test]
async fn mints_before_and_after_another_plan_do_not_overlap() {
    const SLOW: Duration = Duration::from_secs(1);
    let smh = Smh::start().await;
    let slow = Injection::times(Fault::Slow(SLOW), 3);
    smh.simulator.inject(slow.when(Matcher::route(RouteKind::IssueToken)));
    let gateway = start_minting(&minting_yaml(), None, smh.address).await;
    until("three are asked for", async || mints(&smh).len() == 3).await;
    gateway.edit("gateway.yaml", "{ file: secret }", "{ file: secret }, period: 1h");
    gateway.apply().await;
    until("three more", async || mints(&smh).len() == 6).await;
    let begun: Vec<_> = smh.received().iter().map(|one| one.since_start).collect();
    let last_before = begun[..3].iter().max().unwrap();
    assert!(begun[3..].iter().all(|begun| *begun >= *last_before + SLOW), "{begun:?}");
}

#[tokio::test]
async fn what_is_retiring_is_revoked_at_the_end_as_well() {
    let smh = Smh::start().await;
    let gateway = started(&smh).await;
    gateway.edit(
        "gateway.yaml",
        "{ mint: { library_secret: { file: secret } } }",
        "{ file: token }",
    );
    gateway.apply().await;
    assert_eq!((minted(&smh).len(), revocations(&smh)), (3, 0));
    gateway.stop().await;
    assert_eq!((minted(&smh).len(), revocations(&smh)), (0, 3));
}
