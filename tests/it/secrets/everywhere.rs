//! Every secret, in everything that comes out of a gateway that everything happens to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sha2::{Digest, Sha256};
use smh_gateway::simulator::{Fault, Injection, TokenSpec};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::support::binary::{Binary, PATIENCE};
use crate::support::{Folder, KEY, LIBRARY, OTHER_KEY, SPACE, Smh};

/// Every way to present a credential, right and wrong, with the status it has.
fn presented() -> Vec<(u16, String)> {
    let bearer = |key: &str| format!("Authorization: Bearer {key}\r\n");
    let basic = String::from_utf8(base64(format!("app:{KEY}xx").as_bytes(), *b"+/")).unwrap();
    let a = "/v1/files/t1/a";
    vec![
        (404, deletes(a, &bearer(KEY))),
        (404, deletes(a, &format!("X-Api-Key: {KEY}\r\n"))),
        (404, deletes(a, &bearer(HASHED_KEY))),
        (403, deletes(a, &bearer(OTHER_KEY))),
        (401, deletes(a, &bearer(WRONG))),
        (401, deletes(a, &format!("X-Api-Key: {WRONG}\r\n"))),
        (401, deletes(a, &format!("Authorization: {WRONG}\r\n"))),
        (401, deletes(a, &format!("Authorization: Basic {basic}\r\n"))),
        (401, deletes(a, &format!("{}X-Api-Key: {WRONG}\r\n", bearer(KEY)))),
        (401, deletes(a, &format!("{}{}", bearer(KEY), bearer(WRONG)))),
        (401, deletes(a, &format!("Proxy-Authorization: Bearer {WRONG}\r\n"))),
        (400, deletes(&format!("{a}?access_token={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?library_secret={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?permanent={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("{a}?%zz={WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("/{WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("/v1/files/t1/%zz{WRONG}"), &bearer(KEY))),
        (400, deletes(&format!("http://u:{WRONG}@gateway{a}"), &bearer(KEY))),
        (400, deletes(a, &format!("Authorization : Bearer {WRONG}\r\n"))),
        (400, deletes(a, &format!("Host: {WRONG}\r\n"))),
        (400, deletes(a, &format!("{}Content-Length: 1{WRONG}\r\n", bearer(KEY)))),
        (400, deletes(a, &format!("{}X-Dry-Run: {WRONG}\r\n", bearer(KEY)))),
        (414, deletes(&format!("{a}?access_token={}", WRONG.repeat(300)), &bearer(KEY))),
        (431, deletes(a, &format!("Authorization: Bearer {}\r\n", WRONG.repeat(1000)))),
        (405, deletes(a, &bearer(WRONG)).replacen("DELETE", "GET", 1)),
        (400, format!("{WRONG}\r\n\r\n")),
    ]
}

/// The same over HTTP/2: status, fields and body as text.
async fn exchange_http2(address: SocketAddr, target: &str, key: &str) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let request = http::Request::delete(format!("http://gateway{target}"))
        .header("authorization", format!("Bearer {key}"))
        .header("x-api-key", key)
        .header("cookie", COOKIE)
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = async {
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        drop(sender);
        format!("{head:?} {}", String::from_utf8_lossy(&body))
    };
    tokio::join!(answer, connection).0
}

fn as_app(target: &str) -> String {
    deletes(target, &format!("Authorization: Bearer {KEY}\r\n"))
}

/// A gateway at the level of detail that shows most, and all that came out of it so far.
struct Stage {
    smh: Smh,
    folder: Folder,
    gateway: Binary,
    data: SocketAddr,
    seen: Seen,
}

impl Stage {
    async fn set() -> Self {
        let smh = Smh::start().await.with_file("a");
        for token in [ODD_TOKEN, NEXT_TOKEN] {
            let spec = TokenSpec::new(LIBRARY).with_grant("delete_file").with_value(token);
            smh.simulator.issue_token(spec);
        }
        let folder = Folder::new(&YAML.replace("DIGEST", &digest()), Some(POLICY), smh.address);
        folder.write("token", ODD_TOKEN);
        folder.write("broken.token", BROKEN_TOKEN);
        folder.write("broken.key", BROKEN_TOKEN);
        let mut command = Binary::serve_command(&folder);
        command.env("SMH_GATEWAY_LOG", "trace").env("RUST_BACKTRACE", "1");
        command.env("RUST_LOG", "trace").env("SMH_BROKEN_VALUE", BROKEN_VALUE);
        let gateway = Binary::serving(command).await;
        let data = gateway.data[0];
        Self { smh, folder, gateway, data, seen: Seen::default() }
    }

    /// Sends one request, which must end with this status.
    async fn act(&mut self, what: &str, bytes: &str, status: u16) {
        let answer = exchange(self.data, bytes).await;
        assert_eq!(status_of(&answer), status, "{what}: {}", String::from_utf8_lossy(&answer));
        self.seen.add(what, answer);
    }

    async fn look_at_admin(&mut self) {
        let admin = self.gateway.admin.unwrap();
        for path in ["/metrics", "/api/status", "/api/config", "/readyz", "/livez", "/", "/none"] {
            for accept in ["application/openmetrics-text", "text/plain"] {
                let bytes = format!(
                    "GET {path} HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\n\
                     Authorization: Bearer {WRONG}\r\nConnection: close\r\n\r\n"
                );
                self.seen.add(format!("admin {path}"), exchange(admin, &bytes).await);
            }
        }
    }

    async fn present_credentials(&mut self) {
        self.act("a delete", &as_app("/v1/files/t1/a"), 200).await;
        for (status, bytes) in presented() {
            self.act(&bytes, &bytes, status).await;
        }
        for (target, key) in [
            ("/v1/files/t1/c", KEY),
            ("/v1/files/t1/c", WRONG),
            (&*format!("/v1/files/t1/c?access_token={WRONG}"), KEY),
            (&*format!("/{WRONG}"), KEY),
        ] {
            let answer = exchange_http2(self.data, target, key).await;
            self.seen.add(format!("HTTP/2 {target}"), answer);
        }
    }

    async fn be_refused(&mut self) {
        for (target, status) in [
            ("/v1/files/t1/legal/x", 403),
            ("/v1/files/t1/x?permanent=1", 403),
            ("/v1/files/t2/x", 404),
            ("/v1/files/t2/x", 429),
            ("/v1/files/dead/x", 502),
            ("/v1/files/broken/x", 503),
            ("/v1/files/variable/x", 503),
            ("/v1/files/nobody/x", 403),
        ] {
            self.act(target, &as_app(target), status).await;
        }
    }

    async fn meet_every_fault(&mut self) {
        for (fault, status) in [
            (Fault::EchoTokenInBody, 502),
            (Fault::EchoTokenInHeader, 502),
            (Fault::Redirect { to: format!("http://{}", self.smh.address) }, 502),
            (Fault::PlainForbidden, 502),
            (Fault::InvalidAccessToken, 502),
            (Fault::AccessTokenVersionNotMatch, 502),
            (Fault::CutBeforeActing, 502),
            (Fault::CutMidBody, 502),
            (Fault::HugeBody { bytes: 2_000_000 }, 502),
            (Fault::HangBeforeActing, 504),
            (Fault::InternalServerError, 500),
            (Fault::BadGatewayHtml, 502),
            (Fault::NotJson, 200),
            (Fault::RateLimited, 429),
        ] {
            self.smh.simulator.put_file(LIBRARY, SPACE, "b");
            self.smh.simulator.inject(Injection::once(fault.clone()));
            self.act(&format!("{fault:?}"), &as_app("/v1/files/t1/b"), status).await;
        }
    }

    /// A token that SMH no longer takes, and then another one.
    async fn have_the_token_replaced(&mut self) {
        self.smh.simulator.revoke_token(ODD_TOKEN);
        self.act("a revoked token", &as_app("/v1/files/t1/d"), 502).await;
        self.folder.write("token", NEXT_TOKEN);
        self.act("the next token", &as_app("/v1/files/t1/d"), 404).await;
    }

    /// Ends while a delete is on its way.
    async fn end(mut self) -> (Smh, Seen) {
        self.smh.simulator.inject(Injection::once(Fault::HangBeforeActing));
        let before = self.smh.received().len();
        let mut cut_off = TcpStream::connect(self.data).await.unwrap();
        cut_off.write_all(as_app("/v1/files/t1/e").as_bytes()).await.unwrap();
        let until = Instant::now() + PATIENCE;
        while self.smh.received().len() == before {
            assert!(Instant::now() < until, "SMH never has the delete");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ran = self.gateway.stop().await;
        assert_eq!(ran.code, Some(0));
        assert!(ran.err.contains("a secret cannot be read"), "{}", ran.err);
        assert!(ran.out.contains("\"Abandoned\""), "{}", ran.out);
        assert!(ran.deletes().len() > 50, "each left a line");
        self.seen.add("standard output", ran.out);
        self.seen.add("standard error", ran.err);
        (self.smh, self.seen)
    }
}

fn digest() -> String {
    hex::encode(Sha256::digest(HASHED_KEY))
}

#[tokio::test]
async fn no_secret_leaves_by_any_way_whatever_happens() {
    let mut stage = Stage::set().await;
    stage.look_at_admin().await;
    stage.present_credentials().await;
    stage.be_refused().await;
    stage.meet_every_fault().await;
    stage.have_the_token_replaced().await;
    stage.look_at_admin().await;
    let (smh, seen) = stage.end().await;
    seen.hold_none_of(&ALL);
    seen.hold_none_of(&[&digest()]);
    hold_smh_to_what_it_may_hear(&smh);
}

/// No caller's credential, and the token in its one place.
fn hold_smh_to_what_it_may_hear(smh: &Smh) {
    let received = smh.received();
    assert!(received.len() > 20);
    let mut heard = Seen::default();
    for request in &received {
        let (_, query) = request.target.split_once('?').unwrap();
        assert!(query.starts_with("permanent=0&access_token=acctk"), "{query}");
        assert_eq!(query.matches('&').count(), 1, "{query}");
        heard.add("a target", request.target.clone());
        heard.add("a body", request.body.to_vec());
        let mut in_fields = Seen::default();
        for (name, value) in &request.headers {
            heard.add("the name of a field", name.clone());
            heard.add(name.clone(), value.clone());
            in_fields.add(name.clone(), value.clone());
        }
        in_fields.hold_none_of(&[ODD_TOKEN, NEXT_TOKEN]);
    }
    heard.hold_none_of(&OF_CALLERS);
}
