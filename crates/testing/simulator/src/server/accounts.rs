//! OpenRouter's and AgentMail's interfaces: `/api/v1/keys` and `/v0/inboxes`, with the same faults
//! as Railway's, where a rule names them.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use chrono::{DateTime, SecondsFormat, Utc};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{html, struck_after, struck_before};
use super::connection::bearer;
use super::shared::Shared;
use crate::accounts::{AccountRefusal, Inbox, Key};
use crate::faults::Fault;
use crate::world::{View, World};

/// How large a request may be: a key or an inbox has a handful of short fields.
const BODY_MAX_BYTES: usize = 64 * 1024;

/// Which account a request is for, and what it asks: the two names by which a rule may mean it.
#[derive(Debug, Clone, Copy)]
struct Asked {
    account: Account,
    operation: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    OpenRouter,
    AgentMail,
}

impl Account {
    const fn name(self) -> &'static str {
        match self {
            Self::OpenRouter => "openrouter",
            Self::AgentMail => "agentmail",
        }
    }

    /// How it says that its plan allows no more.
    fn quota(self) -> Response {
        match self {
            Self::OpenRouter => self.error(402, "Insufficient credits"),
            Self::AgentMail => {
                let body = json!({
                    "name": "ForbiddenError",
                    "code": "limit_exceeded",
                    "message": "Inbox limit exceeded",
                });
                (StatusCode::FORBIDDEN, Json(body)).into_response()
            }
        }
    }

    /// The form in which it says that something went wrong.
    fn error(self, status: u16, message: &str) -> Response {
        let body = match self {
            Self::OpenRouter => json!({"error": {"message": message, "code": status}}),
            Self::AgentMail => json!({"name": error_name(status), "message": message}),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(body)).into_response()
    }
}

const fn error_name(status: u16) -> &'static str {
    match status {
        400 => "ValidationError",
        401 => "UnauthorizedError",
        403 => "IsTakenError",
        404 => "NotFoundError",
        429 => "RateLimitError",
        _ => "ServerError",
    }
}

pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/keys", get(list_keys).post(create_key))
        .route("/api/v1/keys/{hash}", delete(delete_key))
        .route("/v0/inboxes", get(list_inboxes).post(create_inbox))
        .route("/v0/inboxes/{inbox_id}", delete(delete_inbox))
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .with_state(Arc::clone(shared))
}

const fn openrouter(operation: &'static str) -> Asked {
    Asked {
        account: Account::OpenRouter,
        operation,
    }
}

const fn agentmail(operation: &'static str) -> Asked {
    Asked {
        account: Account::AgentMail,
        operation,
    }
}

async fn create_key(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&shared, openrouter("keyCreate"), &headers, |world, _| {
        let (new, now) = (read(&body)?, world.now());
        let made = world.accounts_mut().openrouter.create(now, new)?;
        let body = json!({"key": made.secret, "data": shown_key(&made)});
        Ok((StatusCode::CREATED, body))
    })
    .await
}

#[derive(Deserialize)]
struct KeyQuery {
    offset: Option<usize>,
}

async fn list_keys(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<KeyQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    answer(&shared, openrouter("keyList"), &headers, |world, view| {
        let offset = query.map_err(|_| BAD_QUERY)?.offset.unwrap_or(0);
        let page = world.openrouter().list(world.now(), offset, view);
        let data: Vec<_> = page.iter().map(shown_key).collect();
        Ok((StatusCode::OK, json!({ "data": data })))
    })
    .await
}

async fn delete_key(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(hash): Path<String>,
) -> Response {
    answer(&shared, openrouter("keyDelete"), &headers, |world, _| {
        let now = world.now();
        world.accounts_mut().openrouter.delete(now, &hash)?;
        Ok((StatusCode::OK, json!({"deleted": true})))
    })
    .await
}

async fn create_inbox(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answer(&shared, agentmail("inboxCreate"), &headers, |world, _| {
        let (new, now) = (read(&body)?, world.now());
        let made = world.accounts_mut().agentmail.create(now, new)?;
        Ok((StatusCode::OK, shown_inbox(world, &made)))
    })
    .await
}

#[derive(Deserialize)]
struct InboxQuery {
    limit: Option<usize>,
    page_token: Option<String>,
}

async fn list_inboxes(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    query: Result<Query<InboxQuery>, axum::extract::rejection::QueryRejection>,
) -> Response {
    answer(&shared, agentmail("inboxList"), &headers, |world, view| {
        let Query(InboxQuery { limit, page_token }) = query.map_err(|_| BAD_QUERY)?;
        let account = world.agentmail();
        let page = account.list(world.now(), limit, page_token.as_deref(), view)?;
        let shown = page.inboxes.iter().map(|inbox| shown_inbox(world, inbox));
        let shown: Vec<_> = shown.collect();
        let mut body = json!({"count": shown.len(), "limit": page.limit, "inboxes": shown});
        // Left out on the last page, as AgentMail does.
        if let Some(token) = page.next_page_token {
            body["next_page_token"] = json!(token);
        }
        Ok((StatusCode::OK, body))
    })
    .await
}

async fn delete_inbox(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(inbox_id): Path<String>,
) -> Response {
    answer(&shared, agentmail("inboxDelete"), &headers, |world, _| {
        let now = world.now();
        world.accounts_mut().agentmail.delete(now, &inbox_id)?;
        Ok((StatusCode::ACCEPTED, Value::Null))
    })
    .await
}

const BAD_QUERY: AccountRefusal = AccountRefusal::new(400, "Invalid query");

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, AccountRefusal> {
    serde_json::from_slice(body).map_err(|_| AccountRefusal::new(400, "Invalid JSON"))
}

/// Lets the faults and the key have their say, does it, and lets the faults have theirs again.
async fn answer(
    shared: &Arc<Shared>,
    asked: Asked,
    headers: &HeaderMap,
    carry_out: impl FnOnce(&mut World, &View) -> Result<(StatusCode, Value), AccountRefusal>,
) -> Response {
    let names = [asked.account.name(), asked.operation];
    let (faults, is_authorized) = shared.world(|world| {
        let key = match asked.account {
            Account::OpenRouter => world.openrouter().management_key(),
            Account::AgentMail => world.agentmail().api_key(),
        };
        let is_authorized = bearer(headers) == Some(key);
        (world.admit_account(&names), is_authorized)
    });
    if let Some(response) = before(&faults, asked, is_authorized).await {
        return response;
    }
    let view = View::through(&faults);
    match shared.world(|world| carry_out(world, &view)) {
        Ok((status, Value::Null)) => struck_after(&faults, status.into_response()).await,
        Ok(done) => struck_after(&faults, (done.0, Json(done.1)).into_response()).await,
        Err(refusal) => asked.account.error(refusal.status, refusal.message),
    }
}

/// The answer of whatever stops the request before it is carried out, if anything does.
async fn before(faults: &[Fault], asked: Asked, is_authorized: bool) -> Option<Response> {
    if let Some(response) = struck_before(faults).await {
        return Some(response);
    }
    let say = |status, message: &str| Some(asked.account.error(status, message));
    if !is_authorized {
        return say(401, "Unauthorized");
    }
    let creates = asked.operation.ends_with("Create");
    faults.iter().find_map(|fault| match fault {
        Fault::RateLimited { retry_after_s, .. } => {
            let mut response = asked.account.error(429, "Rate limit exceeded");
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, (*retry_after_s).into());
            Some(response)
        }
        Fault::HtmlOk => Some((StatusCode::OK, html("Welcome")).into_response()),
        Fault::NotAuthorized => say(401, "Unauthorized"),
        Fault::BadRequest | Fault::Drift => say(400, "Invalid request"),
        Fault::ProblemProcessing | Fault::NullAnswer { .. } => say(500, "Internal Server Error"),
        Fault::Error { message, .. } => say(500, message),
        Fault::CreationThrottle if creates => say(429, "Too many requests"),
        Fault::ProvisionLimit if creates => Some(asked.account.quota()),
        _ => None,
    })
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A key as every answer shows it: without itself.
fn shown_key(key: &Key) -> Value {
    let tail = key.secret.len().saturating_sub(3);
    json!({
        "hash": key.hash,
        "name": key.name,
        "label": format!("sk-or-v1-...{}", &key.secret[tail..]),
        "disabled": false,
        "limit": key.limit,
        "limit_remaining": key.limit,
        "limit_reset": key.limit_reset,
        "usage": 0,
        "created_at": time(key.created_at),
        "updated_at": Value::Null,
    })
}

fn shown_inbox(world: &World, inbox: &Inbox) -> Value {
    json!({
        "pod_id": world.agentmail().pod_id(),
        "inbox_id": inbox.inbox_id,
        "email": inbox.inbox_id,
        "display_name": inbox.display_name,
        "client_id": inbox.client_id,
        "created_at": time(inbox.created_at),
        "updated_at": time(inbox.created_at),
    })
}
