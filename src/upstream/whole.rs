//! The whole body of an answer, or none of it.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::response::Parts;
use http::{Response, StatusCode, Version};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

use crate::refusal::UpstreamFault;
use crate::upstream::answer::Answer;
use crate::upstream::{Failed, chain, failed};

/// Waits for the whole body: half an answer must never look like one.
pub(super) async fn whole(response: Response<Incoming>, most: usize) -> Result<Answer, Failed> {
    let (head, body) = response.into_parts();
    if !says_its_length(&head) {
        return Err(failed(UpstreamFault::Incomplete, "where the answer ends is not known"));
    }
    let mut body = Limited::new(body, most);
    let mut pieces = Pieces::default();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => pieces = pieces.and(frame.into_data().unwrap_or_default()),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(failed(UpstreamFault::TooLarge, "the body is too large"));
            }
            Err(error) => return Err(failed(UpstreamFault::Incomplete, &chain(&*error))),
        }
    }
    // hyper takes a stream that was reset without an error for one that has ended.
    if head.version == Version::HTTP_2 && !body.is_end_stream() {
        return Err(failed(UpstreamFault::Incomplete, "the stream was reset"));
    }
    Ok(Answer::new(head, pieces.whole()))
}

/// A body in the making. Most come in one piece, which is not copied.
#[derive(Default)]
enum Pieces {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Pieces {
    fn and(self, piece: Bytes) -> Self {
        match self {
            same if piece.is_empty() => same,
            Self::None => Self::One(piece),
            Self::One(first) => Self::Many(BytesMut::from(first)).and(piece),
            Self::Many(mut all) => {
                all.extend_from_slice(&piece);
                Self::Many(all)
            }
        }
    }

    fn whole(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::One(piece) => piece,
            Self::Many(all) => all.freeze(),
        }
    }
}

/// Over HTTP/1 an answer without a length ends where the connection does, wherever that is. SMH
/// always says it.
fn says_its_length(head: &Parts) -> bool {
    head.version == Version::HTTP_2
        || head.status == StatusCode::NO_CONTENT
        || head.status.is_redirection()
        || head.status.is_informational()
        || head.headers.contains_key(CONTENT_LENGTH)
        || head.headers.contains_key(TRANSFER_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(pieces: &[&Bytes]) -> Bytes {
        let pieces = pieces.iter().copied().cloned();
        pieces.fold(Pieces::default(), Pieces::and).whole()
    }

    #[test]
    fn a_body_in_one_piece_is_not_copied_and_one_in_many_is_whole() {
        let (none, one, two) = (Bytes::new(), Bytes::from("one"), Bytes::from("two"));
        assert_eq!(pieces(&[&none, &one, &none]).as_ptr(), one.as_ptr());
        assert_eq!(pieces(&[]), none);
        assert_eq!(pieces(&[&one, &none, &two, &one]), "onetwoone");
    }
}
