//! Answers that may be long: rendered once, shared by all who are sent them at that moment, and
//! counted until the last of them is. So readers cost one copy, however many there are and however
//! slowly they take it, and all of those copies together are bounded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// What is given to a connection at once, so that it holds no more of an answer than that.
const PIECE_BYTES: usize = 64 * 1024;
/// Rendered bytes are handed over in chunks of this size or more.
const CHUNK_BYTES: usize = 256 * 1024;
const KIB: usize = 1024;

/// How much the answers of one kind may take in memory, in all.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    kib: Arc<Semaphore>,
    kib_max: u32,
}

impl Space {
    pub(crate) fn new(kib_max: u32) -> Self {
        let kib = Arc::new(Semaphore::new(
            usize::try_from(kib_max).unwrap_or(usize::MAX),
        ));
        Self { kib, kib_max }
    }

    /// Room for one more chunk of the answer that holds `held`: refused where the others leave none,
    /// or where it alone is too long.
    fn take(&self, bytes: usize, held: u32) -> Result<OwnedSemaphorePermit, ApiError> {
        let kib = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        if held.saturating_add(kib) > self.kib_max {
            return Err(ApiError::AnswerTooLong);
        }
        let room = Arc::clone(&self.kib).try_acquire_many_owned(kib);
        room.map_err(|_full| ApiError::Crowded)
    }
}

/// What is sent, in chunks.
#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    chunks: Vec<Bytes>,
    bytes: u64,
    room: Option<Arc<OwnedSemaphorePermit>>,
}

impl Answer {
    /// The same between two texts that never change.
    pub(crate) fn between(&self, before: &Bytes, after: &Bytes) -> Arc<Self> {
        let (before, after) = (std::iter::once(before), std::iter::once(after));
        let chunks = before.chain(&self.chunks).chain(after).cloned();
        let chunks: Vec<_> = chunks.collect();
        Arc::new(Self {
            status: self.status,
            content_type: self.content_type,
            bytes: chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            chunks,
            room: self.room.clone(),
        })
    }

    /// Its response to one of those who asked.
    pub(crate) fn response(self: &Arc<Self>) -> Response {
        let body = Sending {
            answer: Arc::clone(self),
            chunk: 0,
            at: 0,
            left: self.bytes,
        };
        let mut response = Response::new(Body::new(body));
        *response.status_mut() = self.status;
        let content_type = HeaderValue::from_static(self.content_type);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

/// An answer that is being rendered.
#[derive(Debug)]
pub(crate) struct Draft {
    space: Space,
    chunks: Vec<Bytes>,
    last: Vec<u8>,
    bytes: u64,
    room: Option<OwnedSemaphorePermit>,
}

impl Draft {
    pub(crate) fn new(space: &Space) -> Self {
        Self {
            space: space.clone(),
            chunks: Vec::new(),
            last: Vec::new(),
            bytes: 0,
            room: None,
        }
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<(), ApiError> {
        self.last.extend_from_slice(text.as_bytes());
        self.hand_over(CHUNK_BYTES)
    }

    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), ApiError> {
        serde_json::to_writer(&mut self.last, value)
            .map_err(|_| ApiError::Internal("an answer cannot be written as JSON"))?;
        self.hand_over(CHUNK_BYTES)
    }

    pub(crate) fn end(
        mut self,
        status: StatusCode,
        content_type: &'static str,
    ) -> Result<Answer, ApiError> {
        self.hand_over(1)?;
        Ok(Answer {
            status,
            content_type,
            chunks: self.chunks,
            bytes: self.bytes,
            room: self.room.map(Arc::new),
        })
    }

    fn hand_over(&mut self, from: usize) -> Result<(), ApiError> {
        if self.last.len() < from {
            return Ok(());
        }
        let held = self
            .room
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let held = u32::try_from(held).unwrap_or(u32::MAX);
        let more = self.space.take(self.last.len(), held)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            none => *none = Some(more),
        }
        self.bytes += self.last.len() as u64;
        // Without what a vector holds in reserve.
        let chunk = std::mem::take(&mut self.last).into_boxed_slice();
        self.chunks.push(Bytes::from(chunk));
        Ok(())
    }
}

/// JSON in one piece.
pub(crate) fn json(
    space: &Space,
    status: StatusCode,
    value: &impl Serialize,
) -> Result<Answer, ApiError> {
    let mut draft = Draft::new(space);
    draft.json(value)?;
    draft.end(status, JSON)
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// The way of an answer to one of those who asked.
struct Sending {
    answer: Arc<Answer>,
    chunk: usize,
    at: usize,
    left: u64,
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let Some(chunk) = this.answer.chunks.get(this.chunk) else {
            return Poll::Ready(None);
        };
        let end = chunk.len().min(this.at + PIECE_BYTES);
        let piece = chunk.slice(this.at..end);
        (this.chunk, this.at) = if end == chunk.len() {
            (this.chunk + 1, 0)
        } else {
            (this.chunk, end)
        };
        this.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    fn answer(space: &Space, bytes: usize) -> Result<Arc<Answer>, ApiError> {
        let mut draft = Draft::new(space);
        for _ in 0..bytes / KIB {
            draft.text(&"x".repeat(KIB))?;
        }
        draft.end(StatusCode::OK, HTML).map(Arc::new)
    }

    #[tokio::test]
    async fn an_answer_arrives_whole_and_says_its_length() {
        let answer = answer(&Space::new(2_048), 1_000 * KIB).unwrap();
        let body = answer.response().into_body();
        assert_eq!(body.size_hint().exact(), Some(1_000 * KIB as u64));
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), 1_000 * KIB);
        assert!(bytes.iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn what_is_still_being_sent_takes_room_and_gives_it_back() {
        let space = Space::new(1_000);
        let first = answer(&space, 600 * KIB).unwrap();
        let response = first.response();
        drop(first);
        assert!(matches!(answer(&space, 600 * KIB), Err(ApiError::Crowded)));
        drop(response);
        assert!(answer(&space, 600 * KIB).is_ok());
        assert!(matches!(
            answer(&space, 1_001 * KIB),
            Err(ApiError::AnswerTooLong)
        ));
    }
}
