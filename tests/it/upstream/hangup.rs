//! Callers that hang up.

use h2::Reason;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;
use crate::support::{Gateway, Kept, request};

/// The line of the only delete, once it is there.
async fn line_of(gateway: &Gateway) -> Value {
    until(async || gateway.log.all().into_iter().next()).await
}

#[tokio::test]
async fn what_smh_did_is_recorded_even_if_the_caller_has_hung_up() {
    for in_good_order in [true, false] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let mut caller = Kept::open(gateway.address()).await;
        caller.write(request("/v1/files/t1/a", &["X-Request-Id: left"]).as_bytes()).await;
        let mut connection = smh.accept().await;
        assert!(connection.request().await.contains("/a?"));
        if in_good_order {
            drop(caller);
        } else {
            reset(caller.stream);
        }
        assert_eq!(gateway.log.all().len(), 0);
        connection.answer(RECYCLED).await;
        assert_recorded(&line_of(&gateway).await);
        until(async || (gateway.running.gateway().in_flight().count() == 0).then_some(())).await;
        smh.assert_no_more_connections();
    }
}

fn assert_recorded(line: &Value) {
    assert_eq!(line["request_id"], "left");
    assert_eq!(line["path"], "a");
    assert_eq!((&line["smh_status"], &line["status"]), (&200.into(), &200.into()), "{line}");
    assert_eq!(line["outcome"], "relayed");
}

#[tokio::test]
async fn a_delete_whose_stream_was_reset_is_recorded_as_well() {
    for whole_connection in [false, true] {
        let smh = ByHand::listen().await;
        let gateway = start(&one_worker(), smh.address()).await;
        let stream = TcpStream::connect(gateway.address()).await.unwrap();
        let (sender, driver) = h2::client::handshake(stream).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            // How it ends is no matter here.
            let _ = driver.await;
        });
        let request = http::Request::delete("http://gateway/v1/files/t1/a")
            .header("x-api-key", crate::support::KEY)
            .header("x-request-id", "left")
            .body(())
            .unwrap();
        let mut sender = sender.ready().await.unwrap();
        let (response, mut stream) = sender.send_request(request, true).unwrap();
        let mut connection = smh.accept().await;
        assert!(connection.request().await.contains("/a?"));
        if whole_connection {
            tasks.shutdown().await;
            until(async || (gateway.running.gateway().connections().count() == 0).then_some(()))
                .await;
        } else {
            stream.send_reset(Reason::CANCEL);
            // The other stream is behind the reset: once it is answered, the reset was seen.
            let other = http::Request::delete("http://gateway/nowhere").body(()).unwrap();
            let (other, _) = sender.send_request(other, true).unwrap();
            assert_eq!(other.await.unwrap().status(), 400);
        }
        drop(response);
        assert_eq!(gateway.running.gateway().in_flight().count(), 1);
        connection.answer(RECYCLED).await;
        let deletes = || gateway.log.all().into_iter().find(|line| line["request_id"] == "left");
        assert_recorded(&until(async || deletes()).await);
        until(async || (gateway.running.gateway().in_flight().count() == 0).then_some(())).await;
    }
}
