//! Stands between a caller's bytes and hyper: lets whole, vetted heads through, one at a time, and
//! holds back everything else.
//!
//! To hyper a refused or overdue head looks like the end of the connection, so hyper finishes the
//! answers that it owes, in order; then the refusal is written here ([`Gate::finish`]) and the
//! connection closed. A head that announces a body is the last one let through: its delete is
//! refused, and where the next request would begin is nothing to guess about.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::listener::{Bounds, Inbound};
use crate::refusal::{Refusal, RequestFault};
use crate::server::head::{Body, HeadVetting, Vetted};
use crate::server::unvetted::Unvetted;

/// The protocol that a connection speaks, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
}

pub(super) struct Gate<S> {
    stream: S,
    /// Initialised throughout; the first `filled` bytes came from the caller.
    buffer: Vec<u8>,
    filled: usize,
    /// So many of them were vetted and are hyper's to take …
    vetted: usize,
    /// … and so many of those it took.
    taken: usize,
    vetting: HeadVetting,
    inbound: Arc<Inbound>,
    end: End,
    waits_for: Awaited,
    deadline: Instant,
    /// Armed only when a read has to wait, and moved only when it fires too early: a timer touched
    /// for each request would cost more than the vetting.
    timer: Pin<Box<Sleep>>,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy)]
enum Awaited {
    /// The rest of a head; of the first one, its first byte as well.
    Head,
    /// The first byte of another one.
    NextHead,
    /// The same, without hyper.
    Awakening,
}

#[derive(Debug)]
enum End {
    /// More heads may come.
    NotYet,
    /// More may come, but not soon: what hyper keeps for the connection can go meanwhile.
    Rest,
    /// The caller has left, or has nothing to say.
    Silence,
    /// A body stands behind what is vetted, and is not read.
    Body,
    /// Nothing more passes, and the caller is told why.
    Refused(Refusal),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gate<S> {
    /// Lets heads through that are within the bounds of the listener.
    pub(super) fn new(stream: S, inbound: Arc<Inbound>) -> Self {
        let bounds = inbound.listener.bounds;
        let deadline = Instant::now() + bounds.head_timeout;
        Self {
            stream,
            buffer: vec![0; FIRST_BUFFER_BYTES],
            filled: 0,
            vetted: 0,
            taken: 0,
            vetting: HeadVetting::new(bounds.head_bytes),
            inbound,
            end: End::NotYet,
            waits_for: Awaited::Head,
            deadline,
            timer: Box::pin(sleep_until(deadline)),
        }
    }

    /// Reads until the first bytes tell HTTP/2 with prior knowledge (RFC 9113, section 3.3) from
    /// everything else. `None`: the caller left, or said nothing in time.
    pub(super) async fn listen(&mut self) -> Option<Spoken> {
        loop {
            let said = self.buffer.get(..self.filled).unwrap_or_default();
            if said.starts_with(PREFACE) {
                return Some(Spoken::Http2);
            }
            if !PREFACE.starts_with(said) {
                return Some(Spoken::Http1);
            }
            match std::future::poll_fn(|cx| self.poll_fill(cx)).await {
                Ok(0) if self.filled > 0 => return Some(Spoken::Http1),
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The stream again, with what was read of it in front: for HTTP/2, which is not vetted here.
    pub(super) fn into_unvetted(self) -> Unvetted<S> {
        let Self { stream, buffer, filled, inbound, .. } = self;
        Unvetted::new(stream, buffer, filled, inbound)
    }

    /// Whether hyper came to its end here only because nothing was asked for a while, and something is now.
    pub(super) async fn rest(&mut self) -> bool {
        if !matches!(self.end, End::Rest) {
            return false;
        }
        self.end = End::NotYet;
        self.waits_for = Awaited::Awakening;
        self.deadline += self.bounds().idle_timeout.saturating_sub(REST_AFTER);
        matches!(std::future::poll_fn(|cx| self.poll_fill(cx)).await, Ok(1..))
    }

    /// Closes when hyper is done, after the last answer if hyper was kept from giving it.
    ///
    /// Closing with unread bytes would reset the connection and could destroy the answer on its
    /// way (RFC 9112, section 9.6): where there may be some, they are read and thrown away, up to
    /// a bound.
    pub(super) async fn finish(mut self, answer: impl FnOnce(Refusal) -> Response<Bytes>) {
        let last = match std::mem::replace(&mut self.end, End::Silence) {
            End::NotYet | End::Rest | End::Silence => None,
            End::Body => Some(Vec::new()),
            End::Refused(refusal) => Some(on_the_wire(&answer(refusal))),
        };
        // A caller that is gone, or does not let go, gets no more of our time.
        let _ = match last {
            None => timeout(LINGER, self.stream.shutdown()).await,
            Some(bytes) => timeout(LINGER, self.say_and_linger(&bytes)).await,
        };
    }

    async fn say_and_linger(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.shutdown().await?;
        let mut left = LINGER_BYTES;
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        Ok(())
    }

    /// Reads more of the head. `Ok(0)`: no more will come in time.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.filled == self.buffer.len() {
            // Vetting refuses a head that is one byte too long: there is always room for one more.
            let most = FIRST_BUFFER_BYTES.max(self.bounds().head_bytes + 1);
            self.buffer.resize((self.buffer.len() * 2).min(most), 0);
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        let mut buffer = ReadBuf::new(room);
        if Pin::new(&mut self.stream).poll_read(cx, &mut buffer)?.is_ready() {
            let read = buffer.filled().len();
            if self.filled == 0 {
                self.waits_for = Awaited::Head;
                self.deadline = Instant::now() + self.bounds().head_timeout;
            }
            self.filled += read;
            return Poll::Ready(Ok(read));
        }
        ready!(self.poll_overdue(cx));
        self.end = match self.waits_for {
            Awaited::Head if self.filled > 0 => {
                End::Refused(Refusal::InvalidRequest(RequestFault::HeadTimeout))
            }
            Awaited::NextHead => End::Rest,
            Awaited::Head | Awaited::Awakening => End::Silence,
        };
        Poll::Ready(Ok(0))
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() > self.deadline {
            self.timer.as_mut().reset(self.deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if self.deadline <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }

    /// Forgets what hyper has taken; what came behind it is the beginning of the next head.
    fn next_head(&mut self) {
        self.buffer.copy_within(self.taken..self.filled, 0);
        self.filled -= self.taken;
        (self.vetted, self.taken) = (0, 0);
        if self.buffer.len() > FIRST_BUFFER_BYTES && self.filled < FIRST_BUFFER_BYTES {
            // One large head must not make every idle connection large.
            self.buffer.truncate(FIRST_BUFFER_BYTES);
            self.buffer.shrink_to_fit();
        }
        let patience;
        (self.waits_for, patience) = if self.filled == 0 {
            (Awaited::NextHead, REST_AFTER.min(self.bounds().idle_timeout))
        } else {
            (Awaited::Head, self.bounds().head_timeout)
        };
        let now = Instant::now();
        self.inbound.grow_old(now);
        self.deadline = now + patience;
    }

    fn bounds(&self) -> &Bounds {
        &self.inbound.listener.bounds
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.end = End::Refused(refusal);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        loop {
            let passing = gate.buffer.get(gate.taken..gate.vetted).unwrap_or_default();
            if !passing.is_empty() {
                let now = passing.len().min(into.remaining());
                into.put_slice(passing.get(..now).unwrap_or_default());
                gate.taken += now;
                return Poll::Ready(Ok(()));
            }
            if !matches!(gate.end, End::NotYet) {
                return Poll::Ready(Ok(()));
            }
            if gate.taken > 0 {
                gate.next_head();
            }
            match gate.vetting.vet(gate.buffer.get(..gate.filled).unwrap_or_default()) {
                Vetted::Whole { bytes, body } => {
                    gate.vetted = bytes;
                    gate.vetting = HeadVetting::new(gate.bounds().head_bytes);
                    if body == Body::Some {
                        gate.end = End::Body;
                    }
                }
                Vetted::Refused(refusal) => gate.refuse(refusal),
                Vetted::Partial => {
                    if ready!(gate.poll_fill(cx))? == 0 && matches!(gate.end, End::NotYet) {
                        gate.end = if gate.filled == 0 {
                            End::Silence
                        } else {
                            End::Refused(Refusal::InvalidRequest(RequestFault::HeadTruncated))
                        };
                    }
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<S> {
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

/// An answer as HTTP/1.1, for a connection that hyper is done with.
fn on_the_wire(answer: &Response<Bytes>) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", answer.body().len()).as_bytes());
    bytes.extend_from_slice(answer.body());
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// From then on it keeps no more memory than it takes to read the next one: hyper's buffers, 16 KiB, are
/// most of what an idle connection costs, and to make them anew costs a microsecond.
const REST_AFTER: Duration = Duration::from_secs(1);

/// For the last answer to be read, and what the caller still sends to be thrown away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 256 * 1024;

/// Nearly every head fits; one that does not makes the buffer grow.
const FIRST_BUFFER_BYTES: usize = 2048;

#[cfg(test)]
mod tests;
