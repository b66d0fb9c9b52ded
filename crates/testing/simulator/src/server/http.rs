//! `POST /graphql/v2`: reads the request, lets the world judge it, carries it out, and sends the
//! answer as Railway, its edge, or a bad day of theirs would.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, OriginalUri, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::answers::{edge_block, html, struck_after, struck_before};
use super::connection::bearer;
use super::graphql::{self, Asked, Request, Scope};
use super::shared::Shared;
use crate::Refusal;
use crate::faults::Fault;
use crate::world::{Admission, Credential, LimitBody, RateHeaders, View};

/// How large a request may be: a commit that patches 500 services has less than 1 MiB.
const BODY_MAX_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/graphql/v2", post(answer))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(Arc::clone(shared))
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = Request::read(&body);
    let names = request.as_ref().map(Request::asked).unwrap_or_default();
    let credential = credential_of(&headers);
    let admission = shared.world(|world| {
        let operation = names.operation.as_deref();
        if uri.query().is_none() && world.edge_blocks(operation, &names.fields) {
            return None;
        }
        let now = world.now();
        Some(world.admit(now, operation, &names.fields, credential))
    });
    let Some(admission) = admission else {
        return edge_block();
    };
    let mut response = match before(&admission, &names).await {
        Some(response) => response,
        None => match request {
            Ok(request) => carry_out(&shared, &request, &admission).await,
            Err(message) => graphql_error(
                StatusCode::BAD_REQUEST,
                &Refusal::Said {
                    message,
                    code: Some("GRAPHQL_PARSE_FAILED".to_owned()),
                },
            ),
        },
    };
    if let Some(rate) = &admission.rate {
        add_rate_headers(response.headers_mut(), rate);
    }
    response
}

fn credential_of(headers: &HeaderMap) -> Credential<'_> {
    let token = headers.get("project-access-token");
    if let Some(token) = token.and_then(|value| value.to_str().ok()) {
        return Credential::ProjectToken(token);
    }
    bearer(headers).map_or(Credential::None, Credential::Bearer)
}

/// The answer of whatever stops the request before it is carried out, if anything does: the edge
/// first, then the token, then the limit, then the faults of Railway itself.
async fn before(admission: &Admission, asked: &Asked) -> Option<Response> {
    let faults = &admission.faults;
    if let Some(response) = struck_before(faults).await {
        return Some(response);
    }
    if let Err(refusal) = &admission.caller
        && !asked.is_introspection()
    {
        return Some(graphql_error(StatusCode::OK, refusal));
    }
    if let Some(seconds) = admission.refused_for_s {
        return Some(limited(seconds, admission.limit_body));
    }
    faults.iter().find_map(|fault| refused_by(fault, asked))
}

/// The answer of a fault that stops the request at Railway itself.
fn refused_by(fault: &Fault, asked: &Asked) -> Option<Response> {
    let refusal = match fault {
        Fault::RateLimited {
            retry_after_s,
            body,
        } => return Some(limited(*retry_after_s, *body)),
        Fault::HtmlOk => return Some((StatusCode::OK, html("Railway")).into_response()),
        Fault::Error { message, code } => Refusal::Said {
            message: message.clone(),
            code: code.clone(),
        },
        Fault::ProblemProcessing => Refusal::ProblemProcessing,
        Fault::NotAuthorized => Refusal::NotAuthorized,
        Fault::TooEarly => Refusal::ServiceInstanceNotFound,
        Fault::CreationThrottle if asked.creates() => {
            let volume = asked.has("volumeCreate");
            Refusal::TooQuickly(if volume { "volumes" } else { "services" })
        }
        Fault::ProvisionLimit if asked.creates() => Refusal::ProvisionLimit,
        Fault::DomainFlaky if asked.has("serviceDomainCreate") => Refusal::DomainFailed,
        Fault::TwoFactor if asked.deletes() => Refusal::TwoFactorRequired,
        Fault::Busy => Refusal::Busy,
        Fault::BadRequest => {
            return Some(graphql_error(
                StatusCode::BAD_REQUEST,
                &Refusal::ProblemProcessing,
            ));
        }
        Fault::Drift => return Some(drifted(asked)),
        _ => return None,
    };
    Some(graphql_error(StatusCode::OK, &refusal))
}

/// What a client hears whose request no longer fits the schema.
fn drifted(asked: &Asked) -> Response {
    let field = asked.fields.first().map_or("field", String::as_str);
    let message = format!("Unknown argument \"id\" on field \"{field}\".");
    let code = Some("GRAPHQL_VALIDATION_FAILED".to_owned());
    graphql_error(StatusCode::BAD_REQUEST, &Refusal::Said { message, code })
}

async fn carry_out(shared: &Arc<Shared>, request: &Request, admission: &Admission) -> Response {
    let scope = admission.caller.as_ref().ok().map(|caller| Scope {
        caller: caller.clone(),
        view: View::through(&admission.faults),
    });
    let (status, mut body) = graphql::execute(shared, scope, request);
    for fault in &admission.faults {
        if let Fault::ErrorBesideData { message } = fault {
            let refusal = Refusal::said(message.clone());
            body["errors"] = json!([graphql::error_item(&refusal)]);
        }
    }
    let response = (status, axum::Json(body)).into_response();
    struck_after(&admission.faults, response).await
}

fn graphql_error(status: StatusCode, refusal: &Refusal) -> Response {
    let body = json!({"data": Value::Null, "errors": [graphql::error_item(refusal)]});
    (status, axum::Json(body)).into_response()
}

fn limited(retry_after_s: u64, body: LimitBody) -> Response {
    let mut response = match body {
        LimitBody::Json => {
            let refusal = Refusal::said("Rate limit exceeded. Please try again later.");
            graphql_error(StatusCode::TOO_MANY_REQUESTS, &refusal)
        }
        LimitBody::Html => {
            (StatusCode::TOO_MANY_REQUESTS, html("Too Many Requests")).into_response()
        }
        LimitBody::Text => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests").into_response(),
    };
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, retry_after_s.into());
    response
}

fn add_rate_headers(headers: &mut HeaderMap, rate: &RateHeaders) {
    let fields = [
        ("x-ratelimit-limit", rate.limit.to_string()),
        ("x-ratelimit-remaining", rate.remaining.to_string()),
        ("x-ratelimit-reset", rate.reset.clone()),
        ("ratelimit-policy", rate.policy.clone()),
    ];
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}
