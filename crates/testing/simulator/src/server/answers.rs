//! What comes back when something other than the service itself answers: pages of the edge and of
//! gateways, and answers of a shape that no client expects.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Bytes;
use serde_json::Value;

use super::connection::{NEVER, unanswered};

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
pub(super) async fn stalled(response: Response, body_max_bytes: usize) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(whole) = axum::body::to_bytes(body, body_max_bytes).await else {
        return unanswered();
    };
    let half = whole.slice(..whole.len() / 2);
    let first = stream::once(async move { Ok::<Bytes, Infallible>(half) });
    let then = stream::once(async {
        tokio::time::sleep(NEVER).await;
        Ok(Bytes::new())
    });
    let mut response = Response::new(Body::from_stream(first.chain(then)));
    *response.status_mut() = parts.status;
    if let Some(kind) = parts.headers.get(header::CONTENT_TYPE) {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

/// An answer that ends as it should, in the middle of its JSON.
pub(super) fn cut_short(status: StatusCode, body: &Value) -> Response {
    let mut text = body.to_string();
    let half = (0..=text.len() / 2)
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(half.unwrap_or(0));
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, text).into_response()
}

pub(super) fn edge_block() -> Response {
    let body = html("Access denied | backboard.railway.com used Cloudflare to restrict access");
    let mut response = (StatusCode::TOO_MANY_REQUESTS, body).into_response();
    response
        .headers_mut()
        .insert(header::SERVER, HeaderValue::from_static("cloudflare"));
    response
}

pub(super) fn gateway_page(status: u16) -> Response {
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
