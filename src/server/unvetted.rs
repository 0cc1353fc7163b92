//! A connection that turned out to speak HTTP/2: its bytes go to hyper as they come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of which the beginning was read already.
pub(super) struct Unvetted<S> {
    stream: S,
    read: Vec<u8>,
    end: usize,
    next: usize,
}

impl<S> Unvetted<S> {
    /// `read` came from the stream already; its first `end` bytes are to be read again.
    pub(super) fn new(stream: S, read: Vec<u8>, end: usize) -> Self {
        Self { stream, read, end, next: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unvetted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.read.get(self.next..self.end).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let now = rest.len().min(into.remaining());
        into.put_slice(rest.get(..now).unwrap_or_default());
        self.next += now;
        if self.next == self.end {
            self.read = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unvetted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
