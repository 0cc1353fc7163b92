//! A caller as any internal service would be: an HTTP/1.1 client with a key.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends one delete and returns the whole answer.
pub(super) async fn delete(
    gateway: SocketAddr,
    target: &str,
    key: &str,
) -> Result<Response<Bytes>, Box<dyn Error>> {
    let stream = TcpStream::connect(gateway).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(Method::DELETE)
        .uri(target)
        .header("host", gateway.to_string())
        .header("authorization", format!("Bearer {key}"))
        .body(Empty::<Bytes>::new())?;
    let exchange = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        // The connection ends when the sender does.
        drop(sender);
        Ok::<_, hyper::Error>(Response::from_parts(head, body))
    };
    let (answer, ended) = tokio::join!(exchange, connection);
    ended?;
    Ok(answer?)
}
