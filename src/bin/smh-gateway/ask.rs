//! One request to the admin listener of the gateway that runs.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use smh_gateway::config::Admin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

type Failed = Box<dyn std::error::Error>;

/// Asks by the socket, where there is one: it takes everything.
pub(crate) async fn ask(
    admin: &Admin,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<(StatusCode, Bytes), Failed> {
    if let Some(socket) = &admin.socket {
        let path = socket.path.display();
        let stream = UnixStream::connect(&socket.path).await;
        let stream = stream.map_err(|e| format!("no gateway answers on {path}: {e}"))?;
        return exchange(stream, request, patience).await;
    }
    let address = admin.address.ok_or("gateway.yaml has no admin listener to ask")?;
    let stream = tokio::time::timeout(patience, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| format!("no gateway answers on {address}"))?;
    let stream = stream.map_err(|error| format!("no gateway answers on {address}: {error}"))?;
    exchange(stream, request, patience).await
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    patience: Duration,
) -> Result<(StatusCode, Bytes), Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let exchange = async {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake?;
        let asked = async {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?;
            Ok::<_, Failed>((status, body.to_bytes()))
        };
        tokio::select! {
            asked = asked => asked,
            ended = connection => Err(match ended {
                Ok(()) => "the gateway hung up".into(),
                Err(error) => error.into(),
            }),
        }
    };
    let asked = tokio::time::timeout(patience, exchange).await;
    asked.map_err(|_| format!("the gateway does not answer within {patience:?}"))?
}

const MOST_BYTES: usize = 64 << 20;
