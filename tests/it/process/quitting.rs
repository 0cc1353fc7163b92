//! `POST /quitquitquit`: leaving without a signal.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::leaving::{Holding, leaving};
use super::*;
use crate::support::binary::Binary;
use crate::support::{Folder, read_answer};

const SHUTDOWN: &str = "{ delay: 0s, drain: 60s }";

/// A gateway that may be told to quit.
async fn serving(smh: &Holding) -> Binary {
    let admin = "admin:\n  allow_quit: true\n";
    let folder = Folder::new(&leaving(SHUTDOWN).replace("admin:\n", admin), None, smh.address);
    Binary::serve(&folder).await
}

async fn ask(admin: SocketAddr, method: &str, fields: &str) -> Answer {
    let request = format!(
        "{method} /quitquitquit HTTP/1.1\r\nHost: {admin}\r\n{fields}Connection: close\r\n\r\n"
    );
    send(admin, request.as_bytes()).await
}

#[tokio::test]
async fn a_gateway_that_is_told_to_quit_finishes_what_it_has_and_ends_well() {
    let smh = Holding::start().await;
    let mut gateway = serving(&smh).await;
    let (address, admin) = (gateway.data[0], gateway.admin.unwrap());
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(request("/v1/files/t1/held", &[]).as_bytes()).await.unwrap();
    smh.held.clone().wait_for(|held| *held).await.unwrap();

    let answer = ask(admin, "POST", "Content-Length: 0\r\n").await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"leaving\n"[..]));
    becomes("nobody listens", async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(ask(admin, "POST", "").await.status(), 200, "again, it is in no more of a hurry");
    gateway.signal("TERM");
    gateway.says("leaving already").await;
    assert!(gateway.is_running(), "SMH has not answered");

    smh.go.send_replace(true);
    assert_eq!(read_answer(&mut held).await.status(), 204);
    let ran = gateway.ended().await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("leaving, as POST /quitquitquit asked"), "{}", ran.err);
    assert!(ran.err.contains("everything was finished"), "{}", ran.err);
    let deletes = ran.deletes();
    assert_eq!((deletes.len(), deletes[0]["status"].as_u64()), (1, Some(204)), "{deletes:?}");
}

#[tokio::test]
async fn a_gateway_with_nothing_to_finish_answers_before_it_is_gone() {
    let smh = Holding::start().await;
    let gateway = serving(&smh).await;
    let answer = ask(gateway.admin.unwrap(), "POST", "").await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"leaving\n"[..]));
    assert_eq!(gateway.ended().await.code, Some(0));
}

#[tokio::test]
async fn only_where_it_is_allowed_is_there_such_a_page() {
    let smh = Holding::start().await;
    let folder = Folder::new(&leaving(SHUTDOWN), None, smh.address);
    let mut gateway = Binary::serve(&folder).await;
    let admin = gateway.admin.unwrap();
    for method in ["POST", "GET", "DELETE"] {
        assert_eq!(ask(admin, method, "").await.status(), 404, "{method}");
    }
    assert!(gateway.is_running());
    assert_eq!(get(admin, "/readyz").await.json()["phase"], "serving");
    let ran = gateway.stop().await;
    assert!(!ran.err.contains("quitquitquit"), "{}", ran.err);
}

#[tokio::test]
async fn no_page_in_a_browser_and_no_other_method_ends_it() {
    let smh = Holding::start().await;
    let mut gateway = serving(&smh).await;
    let admin = gateway.admin.unwrap();
    let same_site = format!("Origin: http://{admin}\r\nSec-Fetch-Site: same-origin\r\n");
    let form = "Origin: null\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    for fields in
        ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", form, &same_site]
    {
        assert_eq!(ask(admin, "POST", fields).await.status(), 403, "{fields}");
    }
    for method in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let answer = ask(admin, method, "").await;
        assert_eq!((answer.status(), answer.field("allow")), (405, Some("POST")), "{method}");
    }
    assert!(gateway.is_running());
    assert_eq!(get(admin, "/readyz").await.json()["phase"], "serving");
    assert_eq!(delete(gateway.data[0], "/v1/files/t1/a").await.status(), 204);
}
