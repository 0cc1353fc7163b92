//! Wrong credentials are slowed down.

use std::time::Duration;

use super::signer::{Signer, key_set};
use super::*;
use crate::support::{KEY, Kept};

/// So many wrong ones are answered at once.
const BURST: usize = 60;

const TARGET: &str = "/v1/files/t1/a";

async fn gateway(smh: &Smh) -> (Gateway, Signer) {
    let signer = Signer::new("k");
    let gateway = start(&keys_in_file(), &[("jwks.json", &key_set(&[&signer]))], smh).await;
    (gateway, signer)
}

/// On one connection, which is no different from many: each failure is looked at by itself.
async fn fail(gateway: &Gateway, times: usize) {
    let mut kept = Kept::open(gateway.address()).await;
    for number in 0..times {
        let wrong = asking_kept(&format!("wrong-{number}"));
        kept.write(wrong.as_bytes()).await;
        assert_eq!(kept.answer().await.status(), 401, "{number}");
    }
}

async fn sources(gateway: &Gateway) -> String {
    let metrics = String::from_utf8(gateway.admin("/metrics").await.body).unwrap();
    let name = "smh_gateway_authentication_failure_sources ";
    metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}

#[tokio::test]
async fn who_guesses_is_held_up_and_who_proved_itself_on_its_connection_is_not() {
    let smh = Smh::start().await;
    let (gateway, _) = gateway(&smh).await;
    let mut proven = Kept::open(gateway.address()).await;
    assert_eq!(proven.delete(TARGET).await.status(), 404);
    let mut silent = Kept::open(gateway.address()).await;
    assert_eq!(sources(&gateway).await, "0");

    fail(&gateway, BURST).await;
    assert_eq!(sources(&gateway).await, "1");
    let without = delete(&gateway, TARGET, &["X-Nothing: 1"]).await;
    assert_eq!(without.status(), 401, "who presents nothing does not guess");
    for right in [bearer(KEY), bearer("wrong-key-0123456789")] {
        let answer = delete(&gateway, TARGET, &[&right]).await;
        assert_eq!((answer.status(), &*answer.code()), (429, "RateLimited"), "{right}");
        assert_eq!(answer.json()["limit"], "authentication failures");
        assert_eq!((&*answer.outcome(), answer.field("retry-after")), ("not_sent", Some("1")));
        let policy = answer.field("ratelimit-policy").unwrap();
        assert_eq!(policy, "\"authentication failures\";q=60;w=60");
    }
    assert_eq!(silent.delete(TARGET).await.status(), 429, "it proved nothing before");
    assert_eq!(proven.delete(TARGET).await.status(), 404);

    // A slip ends the favour.
    proven.write(asking_kept("wrong-key-of-the-proven-1").as_bytes()).await;
    assert_eq!(proven.answer().await.status(), 401);
    assert_eq!(proven.delete(TARGET).await.status(), 429);
    let lines = gateway.stop().await;
    let limited: Vec<_> = lines.iter().filter(|line| line["status"] == 429).collect();
    assert_eq!(limited.len(), 4);
    for line in limited {
        assert_eq!(line["limit"], "authentication failures", "{line}");
        assert_eq!((&line["caller"], &line["reason"]), (&Value::Null, &Value::Null), "{line}");
    }
    assert_eq!(smh.received().len(), 2);
}

fn asking_kept(key: &str) -> String {
    format!("DELETE {TARGET} HTTP/1.1\r\nHost: g\r\nX-Api-Key: {key}\r\n\r\n")
}

/// Whoever has a proof of its own must not guess at the keys of others, one after each of its requests.
#[tokio::test]
async fn another_proof_on_the_same_connection_excuses_no_guesses() {
    let smh = Smh::start().await;
    let (gateway, signer) = gateway(&smh).await;
    let own = bearer(&signer.sign(&projected(REPORTS)));
    let mut kept = Kept::open(gateway.address()).await;
    let mut tried = 0;
    let refused = loop {
        kept.write(format!("DELETE {TARGET} HTTP/1.1\r\nHost: g\r\n{own}\r\n\r\n").as_bytes())
            .await;
        assert_eq!(kept.answer().await.status(), 404, "it has a proof that is no guess");
        kept.write(asking_kept(&format!("guess-{tried}")).as_bytes()).await;
        match kept.answer().await.status() {
            401 => tried += 1,
            status => break status,
        }
        // One more a second is let through, and the machine may be slow.
        assert!(tried < 10 * BURST, "guesses are not held up");
    };
    assert_eq!(refused, 429);
    assert!(tried >= BURST, "{tried}");
}

#[tokio::test]
async fn who_waits_as_long_as_it_was_told_gets_through() {
    let smh = Smh::start().await;
    let (gateway, _) = gateway(&smh).await;
    fail(&gateway, BURST).await;
    let answer = delete(&gateway, TARGET, &[&bearer(KEY)]).await;
    assert_eq!(answer.status(), 429);
    let wait = answer.field("retry-after").unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(delete(&gateway, TARGET, &[&bearer(KEY)]).await.status(), 404);
    // What succeeds costs nothing: there is an attempt left for the next one.
    assert_eq!(delete(&gateway, TARGET, &[&bearer(KEY)]).await.status(), 404);
}

#[tokio::test]
async fn what_cannot_be_a_guess_is_not_counted() {
    let smh = Smh::start().await;
    let (gateway, signer) = gateway(&smh).await;
    let expired = signer.sign(&changed(projected(REPORTS), &json!({"exp": in_seconds(-60)})));
    let nobodys = signer.sign(&projected("system:serviceaccount:other:default"));
    let mut kept = Kept::open(gateway.address()).await;
    for fields in [String::new(), bearer(&expired) + "\r\n", bearer(&nobodys) + "\r\n"] {
        for _ in 0..BURST + 1 {
            let bytes = format!("DELETE {TARGET} HTTP/1.1\r\nHost: g\r\n{fields}\r\n");
            kept.write(bytes.as_bytes()).await;
            assert_eq!(kept.answer().await.status(), 401, "{fields}");
        }
    }
    assert_eq!(sources(&gateway).await, "0");
    assert_eq!(delete(&gateway, TARGET, &[&bearer(KEY)]).await.status(), 404);
}

/// Those who fail together are all answered; nobody pays for them for longer than two minutes.
#[tokio::test]
async fn a_flood_locks_nobody_out_for_long() {
    let smh = Smh::start().await;
    let (gateway, _) = gateway(&smh).await;
    let at = std::time::Instant::now();
    for _ in 0..10_000 {
        let source = smh_gateway::limits::GuessSource::Address([127, 0, 0, 1].into());
        gateway.running.gateway().guesses().failed(source, at);
    }
    let answer = delete(&gateway, TARGET, &[&bearer(KEY)]).await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.field("retry-after").unwrap().parse().unwrap();
    assert!((100..=120).contains(&wait), "{wait}");
}
