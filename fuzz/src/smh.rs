//! What SMH answers to a delete, as it comes over a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use smh_gateway::access_token::AccessToken;
use smh_gateway::relay::to_caller;
use smh_gateway::secret::Secret;
use smh_gateway::upstream::Answer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// Short, and of bytes that are escaped in a query, so that the fuzzer comes upon it.
const TOKEN: &str = "tk+1/";
const ESCAPED: &str = "tk%2B1%2F";

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread()
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
}

/// An answer is relayed or refused, and never with the token, a redirect or what is about the connection.
pub(crate) fn run(bytes: &[u8]) {
    let Some(answer) = RUNTIME.with(|runtime| runtime.block_on(answer(bytes))) else { return };
    let _ = (answer.rejects_token(), answer.request_id(), answer.recycled_item_id());
    let token = AccessToken::new(Secret::new(TOKEN.as_bytes().to_vec()));
    if let Ok(relayed) = to_caller(answer, &[&token]) {
        look_at(&relayed);
    }
}

fn look_at(relayed: &Response<Bytes>) {
    let status = relayed.status();
    assert!(!status.is_redirection() && !status.is_informational(), "{status}");
    let mut all = vec![relayed.body().as_ref()];
    all.extend(relayed.extensions().get::<ReasonPhrase>().map(ReasonPhrase::as_bytes));
    for (name, value) in relayed.headers() {
        all.extend([name.as_str().as_bytes(), value.as_bytes()]);
        assert!(!["connection", "transfer-encoding", "upgrade"].contains(&name.as_str()));
    }
    for text in all.iter().map(|bytes| bytes.to_ascii_lowercase()) {
        for form in [TOKEN, ESCAPED].map(str::to_ascii_lowercase) {
            let found = text.windows(form.len()).any(|part| part == form.as_bytes());
            assert!(!found, "the token is relayed");
        }
    }
    assert!(relayed.headers().get_all("content-length").iter().count() < 2);
}

/// By hyper, as the gateway has it. Whatever is asked, these bytes are what comes.
async fn answer(bytes: &[u8]) -> Option<Answer> {
    let canned = TokioIo::new(Canned(bytes.to_vec()));
    let made = hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(canned).await;
    let (mut sender, connection) = made.ok()?;
    let request = Request::delete("/").header("host", "smh").body(Empty::new()).ok()?;
    let whole = async {
        let (head, body) = sender.send_request(request).await.ok()?.into_parts();
        Some(Answer::new(head, body.collect().await.ok()?.to_bytes()))
    };
    let mut whole = std::pin::pin!(whole);
    tokio::select! {
        biased;
        answer = &mut whole => answer,
        _ = connection => whole.await,
    }
}

/// Reads as these bytes and then ends.
struct Canned(Vec<u8>);

impl AsyncRead for Canned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let many = buffer.remaining().min(self.0.len());
        buffer.put_slice(&self.0.drain(..many).collect::<Vec<u8>>());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Canned {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
