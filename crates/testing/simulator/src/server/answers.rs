//! What comes back when something other than the service itself answers: pages of the edge and of
//! gateways, and answers of a shape that no client expects.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::response::Parts;
use http::{HeaderValue, StatusCode, header};
use hyper::body::Bytes;

use super::connection::{ClosedOnPurpose, NEVER, unanswered};
use crate::faults::{Fault, Lost};

/// How large an answer may become, for cutting it in half: 1,200 services have less than 2 MiB.
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long the first half of an answer has to reach the client before the connection breaks.
const HALF_ANSWER_PAUSE: Duration = Duration::from_millis(20);

/// How large the answer of a service gone mad is: 2 GiB, more than any client may keep in memory.
const HUGE_BYTES: usize = 2 * 1024 * 1024 * 1024;

/// How much of it is sent at once. One piece of memory serves all of them.
const PIECE_BYTES: usize = 64 * 1024;

/// No answer, after a time in which every client gives up.
pub(super) async fn never() -> Response {
    tokio::time::sleep(NEVER).await;
    unanswered()
}

/// 200 and 2 GiB of an array in JSON that never ends, a piece at a time.
pub(super) fn huge() -> Response {
    let piece = Bytes::from("0,".repeat(PIECE_BYTES / 2));
    let pieces = std::iter::repeat_n(piece, HUGE_BYTES / PIECE_BYTES);
    let begin = std::iter::once(Bytes::from_static(b"["));
    let body = stream::iter(begin.chain(pieces)).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(body));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The same answer with a body that stops half way, on a connection that stays open.
pub(super) async fn stalled(response: Response) -> Response {
    let Some((mut parts, whole)) = read(response).await else {
        return unanswered();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let half = whole.slice(..whole.len() / 2);
    let first = stream::once(async move { Ok::<Bytes, Infallible>(half) });
    let then = stream::once(async {
        tokio::time::sleep(NEVER).await;
        Ok(Bytes::new())
    });
    Response::from_parts(parts, Body::from_stream(first.chain(then)))
}

/// The same answer, which breaks off half way through its body.
pub(super) async fn broken_off(response: Response) -> Response {
    let Some((mut parts, whole)) = read(response).await else {
        return unanswered();
    };
    let length = whole.len().into();
    parts.headers.insert(header::CONTENT_LENGTH, length);
    let half = whole.slice(..whole.len() / 2);
    let first = stream::once(async move { Ok::<Bytes, ClosedOnPurpose>(half) });
    let then = stream::once(async {
        tokio::time::sleep(HALF_ANSWER_PAUSE).await;
        Err(ClosedOnPurpose)
    });
    Response::from_parts(parts, Body::from_stream(first.chain(then)))
}

/// The same answer, which ends as it should, in the middle of its JSON.
async fn cut_short(response: Response) -> Response {
    let Some((mut parts, whole)) = read(response).await else {
        return unanswered();
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let text = String::from_utf8_lossy(&whole);
    let half = text[..text.floor_char_boundary(text.len() / 2)].to_owned();
    Response::from_parts(parts, Body::from(half))
}

async fn read(response: Response) -> Option<(Parts, Bytes)> {
    let (parts, body) = response.into_parts();
    let whole = axum::body::to_bytes(body, ANSWER_MAX_BYTES).await.ok()?;
    Some((parts, whole))
}

/// What a client sees in place of an answer where a fault strikes before the service saw the request.
pub(super) async fn struck_before(faults: &[Fault]) -> Option<Response> {
    for fault in faults {
        match fault {
            Fault::Latency { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::EdgeBlock => return Some(edge_block()),
            Fault::Gateway { status } => return Some(gateway_page(*status)),
            Fault::Dropped => return Some(unanswered()),
            Fault::Hang => return Some(never().await),
            Fault::Huge => return Some(huge()),
            _ => {}
        }
    }
    None
}

/// What a client sees of an answer once faults had their say; all is done by then.
pub(super) async fn struck_after(faults: &[Fault], response: Response) -> Response {
    for fault in faults {
        match fault {
            Fault::AnswerLost { how: Lost::Dropped } => return unanswered(),
            Fault::AnswerLost {
                how: Lost::Gateway504,
            } => return gateway_page(504),
            Fault::AnswerLost { how: Lost::Never } => return never().await,
            Fault::CutShort => return cut_short(response).await,
            Fault::Truncated => return broken_off(response).await,
            _ => {}
        }
    }
    response
}

pub(super) fn edge_block() -> Response {
    let body = html("Access denied | backboard.railway.com used Cloudflare to restrict access");
    let mut response = (StatusCode::TOO_MANY_REQUESTS, body).into_response();
    response
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("cloudflare"));
    response
}

fn gateway_page(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    (status, html("backboard.railway.com | Gateway error")).into_response()
}

pub(super) fn html(title: &str) -> axum::response::Html<String> {
    let code = if title.starts_with("Access denied") {
        "<p>error code: 1015</p>"
    } else {
        ""
    };
    axum::response::Html(format!(
        "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1>{code}</body></html>"
    ))
}
