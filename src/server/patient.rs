//! A caller that takes nothing of what is written to it, or next to nothing, holds a connection only for so long.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// The socket itself, below TLS: what is kept above it would look like progress.
pub(super) struct Patient<S> {
    socket: S,
    patience: Duration,
    /// Runs while a write has to wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when there is something that the caller has not taken.
    behind: Option<Instant>,
}

impl<S> Patient<S> {
    pub(super) fn new(socket: S, patience: Duration) -> Self {
        Self { socket, patience, timer: None, behind: None }
    }

    /// Of so many bytes that were to be written.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        bytes: usize,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(taken)) if taken >= bytes) {
            (self.timer, self.behind) = (None, None);
            return written;
        }
        let behind = *self.behind.get_or_insert_with(Instant::now);
        if behind.elapsed() >= self.patience.saturating_mul(LITTLE_BY_LITTLE) {
            tracing::debug!(
                "a caller takes next to nothing of what is written to it: disconnected"
            );
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        if written.is_ready() {
            self.timer = None;
            return written;
        }
        let patience = self.patience;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        tracing::debug!(?patience, "a caller takes nothing of what is written to it: disconnected");
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.judge(cx, bytes.len(), written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.judge(cx, pieces.iter().map(|piece| piece.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// So many times that patience has who takes a little now and then, until there is nothing left to take: an answer is a
/// mebibyte at most.
const LITTLE_BY_LITTLE: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up_and_who_takes_a_little_is_not() {
        let (mut caller, gateway) = tokio::io::duplex(16);
        let mut gateway = Patient::new(gateway, PATIENCE);
        let started = Instant::now();
        let write = async { gateway.write_all(&[0; 48]).await };
        let read = async {
            for _ in 0..2 {
                sleep(PATIENCE - Duration::from_secs(1)).await;
                caller.read_exact(&mut [0; 16]).await.unwrap();
            }
        };
        assert!(tokio::join!(write, read).0.is_ok());
        assert!(started.elapsed() > PATIENCE);

        let started = Instant::now();
        let error = gateway.write_all(&[0; 1]).await.unwrap_err();
        assert_eq!((error.kind(), started.elapsed()), (ErrorKind::TimedOut, PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_given_up_in_the_end_and_who_catches_up_is_not() {
        let (mut caller, gateway) = tokio::io::duplex(16);
        let mut gateway = Patient::new(gateway, PATIENCE);
        let read = async {
            loop {
                sleep(PATIENCE / 2).await;
                if caller.read_exact(&mut [0; 16]).await.is_err() {
                    return;
                }
            }
        };
        let begun = Instant::now();
        let write = async {
            // Forty times a little more than there is room for, and each time all of it is taken.
            for _ in 0..40 {
                gateway.write_all(&[0; 20]).await.unwrap();
            }
            assert!(begun.elapsed() > PATIENCE * 20);
            let begun = Instant::now();
            let error = gateway.write_all(&[0; 1_000]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let took = begun.elapsed();
            assert!((PATIENCE * 10..PATIENCE * 11).contains(&took), "{took:?}");
            drop(gateway);
        };
        tokio::join!(write, read);
    }
}
