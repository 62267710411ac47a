//! The body of an answer, in parts, so that it shows whether the client takes it.

use super::activity::UnderWay;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Bytes that are handed to the connection at once. What it has, it keeps until the client takes it.
const PART_BYTES: usize = 64 << 10;

/// What is left of an answer. The request counts as under way until nothing is.
#[derive(Debug)]
pub(super) struct AnswerBody {
    bytes: Bytes,
    under_way: Option<UnderWay>,
}

impl AnswerBody {
    pub(super) fn new(bytes: Bytes, mut under_way: UnderWay) -> Self {
        under_way.answered();
        AnswerBody { bytes, under_way: Some(under_way) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(PART_BYTES);
        let part = self.bytes.split_to(length);
        if self.bytes.is_empty() {
            self.under_way = None;
        } else if let Some(under_way) = &self.under_way {
            under_way.took_part();
        }
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
