//! The bodies of answers, among them those that go wrong on purpose.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Sleep, sleep};

/// The body of an answer.
pub(crate) struct AnswerBody(Shape);

enum Shape {
    Whole(Option<Bytes>),
    Padding { left: u64 },
    CutShort { start: Option<Bytes>, length: u64, cut: Arc<Notify>, fuse: Pin<Box<Sleep>> },
}

impl AnswerBody {
    pub(crate) fn empty() -> Self {
        Self(Shape::Whole(None))
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Shape::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// So many spaces, made as they are sent.
    pub(crate) fn padding(length: u64) -> Self {
        Self(Shape::Padding { left: length })
    }

    /// The first half of this body; then the connection is cut.
    pub(crate) fn cut_short(self, cut: Arc<Notify>) -> Self {
        let length = self.size_hint().exact().unwrap_or(0);
        let whole = match self.0 {
            Shape::Whole(bytes) => bytes.unwrap_or_default(),
            Shape::Padding { .. } => PADDING,
            Shape::CutShort { start, .. } => start.unwrap_or_default(),
        };
        let start = Some(whole.slice(..whole.len() / 2)).filter(|half| !half.is_empty());
        Self(Shape::CutShort { start, length, cut, fuse: Box::pin(sleep(FUSE)) })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Shape::Whole(bytes) => bytes.take(),
            Shape::Padding { left: 0 } => None,
            Shape::Padding { left } => {
                let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(PADDING.len());
                *left = left.saturating_sub(u64::try_from(piece).unwrap_or(u64::MAX));
                Some(PADDING.slice(..piece))
            }
            Shape::CutShort { start, cut, fuse, .. } => match start.take() {
                Some(start) => Some(start),
                None => {
                    ready!(fuse.as_mut().poll(context));
                    cut.notify_one();
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Shape::Whole(bytes) => bytes.is_none(),
            Shape::Padding { left } => *left == 0,
            Shape::CutShort { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match &self.0 {
            Shape::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                u64::try_from(length).unwrap_or(u64::MAX)
            }
            Shape::Padding { left } => *left,
            Shape::CutShort { length, .. } => *length,
        })
    }
}

/// How long the first half of a body has to leave before the connection is cut: without it, the cut
/// could overtake it.
const FUSE: Duration = Duration::from_millis(20);

const PADDING: Bytes = Bytes::from_static(&[b' '; 16 * 1024]);
