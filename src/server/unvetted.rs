//! A connection that turned out to speak HTTP/2: its bytes go to hyper unseen, but a few at a time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::listener::{Inbound, TURN_BYTES, Waiting};

/// A stream of which the beginning was read already.
pub(super) struct Unvetted<S> {
    stream: S,
    read: Vec<u8>,
    end: usize,
    next: usize,
    inbound: Arc<Inbound>,
    /// How much more may be read in this turn, and when it began.
    left: usize,
    begun: Instant,
    /// Who is not known waits for its next turn.
    wait: Option<(Pin<Box<Sleep>>, Waiting)>,
}

impl<S> Unvetted<S> {
    /// `read` came from the stream already; its first `end` bytes are to be read again.
    pub(super) fn new(stream: S, read: Vec<u8>, end: usize, inbound: Arc<Inbound>) -> Self {
        let (left, begun) = (TURN_BYTES, Instant::now());
        Self { stream, read, end, next: 0, inbound, left, begun, wait: None }
    }

    /// Waits until something may be read again.
    fn take_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        if let Some((next, _)) = &mut self.wait {
            // What it has proved itself with may have been in the bytes before.
            if !self.inbound.is_known() {
                ready!(next.as_mut().poll(cx));
            }
            self.wait = None;
            self.begin_turn();
            return Poll::Ready(());
        }
        if self.inbound.is_known() {
            // Behind all that is ready to run now.
            self.begin_turn();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (waiting, each) = self.inbound.listener.turns.wait();
        self.wait = Some((Box::pin(sleep_until(self.begun + each)), waiting));
        self.take_turn(cx)
    }

    fn begin_turn(&mut self) {
        (self.left, self.begun) = (TURN_BYTES, Instant::now());
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unvetted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.read.get(this.next..this.end).unwrap_or_default();
        if rest.is_empty() {
            ready!(this.take_turn(cx));
            let before = into.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, into))?;
            this.left = this.left.saturating_sub(into.filled().len() - before);
            return Poll::Ready(Ok(()));
        }
        let now = rest.len().min(into.remaining());
        into.put_slice(rest.get(..now).unwrap_or_default());
        this.next += now;
        if this.next == this.end {
            this.read = Vec::new();
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

#[cfg(test)]
mod tests;
