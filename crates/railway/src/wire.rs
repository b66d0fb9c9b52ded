//! One operation over HTTP: sends it, reads the answer in the order status, content type, JSON, and
//! turns whatever went wrong into one [`Error`], logged once. Knows nothing of any operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use backon::{ExponentialBuilder, Retryable};
use cynic::Operation;
use pool_domain::{Redactor, Secret};
use pool_http_client::{BodyError, SendError, Transport, excerpt, read_body};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, StatusCode};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tokio::time::Instant;

use crate::answer::{Envelope, Reply};
use crate::classify::{self, GraphQlError};
use crate::endpoint::Endpoint;
use crate::error::Sent;
use crate::governor::{Governor, Task};
use crate::limits::{
    Limits, MAX_ERROR_BODY_BYTES, MAX_MESSAGE_CHARS, MAX_READ_BODY_BYTES, MAX_WRITE_BODY_BYTES,
    RETRIES,
};
use crate::retry::may_retry;
use crate::{Error, ErrorClass, Settings, headers};

#[derive(Debug)]
pub(crate) struct Wire {
    endpoint: Endpoint,
    limits: Limits,
    redactor: Redactor,
    pub(crate) governor: Governor,
}

/// What the wire has to know of an operation, beside its text and variables.
pub(crate) struct Call<'a> {
    pub(crate) task: Task,
    /// Values of its variables that must not come back in an error.
    pub(crate) secrets: &'a [Secret],
    /// Counts the requests that are sent for it.
    pub(crate) requests: &'a AtomicU32,
}

impl Wire {
    pub(crate) fn new(
        settings: &Settings,
        limits: Limits,
        transport: &Transport,
    ) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            endpoint: Endpoint::new(settings, transport)?,
            limits,
            redactor: settings.redactor.and([settings.token.secret().clone()]),
            governor: Governor::new(limits),
        }))
    }

    /// Sends an operation, repeats it where that is allowed, and logs a failure once.
    pub(crate) async fn send<T, V>(
        &self,
        operation: &Operation<T, V>,
        name: &'static str,
        call: &Call<'_>,
    ) -> Result<Reply<T>, Error>
    where
        T: DeserializeOwned,
        V: Serialize,
    {
        let started = Instant::now();
        let text = serde_json::to_vec(operation).map_err(|_| {
            let message = "the variables cannot be written as JSON";
            self.error(name, ErrorClass::BadRequest, Sent::No, message)
        })?;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.limits.first_retry_pause)
            .with_factor(2.0)
            .with_max_times(RETRIES);
        let reply = (|| self.attempt(&text, name, call))
            .retry(pauses)
            .when(|error| may_retry(call.task, error, self.limits.longest_block_wait))
            .notify(|error, _| tracing::debug!(%error, "call to Railway is repeated"))
            .await;
        match &reply {
            Err(error) => log(error, started),
            Ok(Reply {
                partial: Some(partial),
                ..
            }) => log(&partial.error, started),
            Ok(_) => {}
        }
        reply
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        text: &[u8],
        name: &'static str,
        call: &Call<'_>,
    ) -> Result<Reply<T>, Error> {
        if let Err(refusal) = self.governor.admit(call.task).await {
            return Err(self.error(name, refusal.class, Sent::No, &refusal.message));
        }
        call.requests.fetch_add(1, Ordering::Relaxed);
        let (time, max_bytes) = if call.task.is_read() {
            (self.limits.read_timeout, MAX_READ_BODY_BYTES)
        } else {
            (self.limits.write_timeout, MAX_WRITE_BODY_BYTES)
        };
        let request = self.endpoint.request().timeout(time).body(text.to_vec());
        let mut response = request.send().await.map_err(|error| {
            self.governor.unanswered();
            self.not_answered(name, &error)
        })?;
        self.governor.observe(response.headers());
        if response.status() == StatusCode::OK && says_json(&response) {
            self.governor.answered();
            let body = read_body(&mut response, max_bytes)
                .await
                .map_err(|error| self.cut_off(name, &error))?;
            self.decode(name, call, &body)
        } else {
            Err(self.refused(name, call, &mut response).await)
        }
    }

    fn decode<T: DeserializeOwned>(
        &self,
        name: &'static str,
        call: &Call<'_>,
        body: &[u8],
    ) -> Result<Reply<T>, Error> {
        let envelope: Envelope<T> = match serde_json::from_slice(body) {
            Ok(envelope) => envelope,
            // Where a null stands that our types do not allow, the list of errors says why.
            Err(cause) => match serde_json::from_slice::<Envelope<IgnoredAny>>(body) {
                Ok(envelope) if !envelope.errors().is_empty() => Envelope {
                    data: None,
                    errors: envelope.errors,
                },
                // The decoder's own words may quote the answer, secrets and all.
                _ => {
                    let place = format!("line {} column {}", cause.line(), cause.column());
                    let message = format!("the answer is not what the schema promises, at {place}");
                    return Err(self.undecodable(name, &message));
                }
            },
        };
        let errors = envelope.errors.unwrap_or_default();
        let error = (!errors.is_empty()).then(|| {
            let error = self.graphql_error(name, call, StatusCode::OK, &errors);
            if let ErrorClass::RateLimited { .. } = error.class {
                self.governor.blocked_by_railway(None);
            }
            error
        });
        match (envelope.data, error) {
            (Some(data), None) => Ok(Reply::whole(data)),
            (Some(data), Some(error)) => Ok(Reply::partial(data, error, errors)),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let message = "the answer holds neither data nor errors";
                Err(self.undecodable(name, message))
            }
        }
    }

    /// An answer that is no GraphQL success: another status, or no JSON.
    async fn refused(&self, name: &'static str, call: &Call<'_>, response: &mut Response) -> Error {
        let status = response.status();
        let answered_headers = response.headers().clone();
        let body = read_body(response, MAX_ERROR_BODY_BYTES)
            .await
            .unwrap_or_default();
        let errors = serde_json::from_slice::<Envelope<IgnoredAny>>(&body)
            .ok()
            .and_then(|envelope| envelope.errors)
            .unwrap_or_default();
        let is_edge = errors.is_empty() && is_edge_block(status, &answered_headers, &body);
        let mut error = if errors.is_empty() {
            let words = self.words(&String::from_utf8_lossy(&body), call);
            let class = match status {
                StatusCode::OK => ErrorClass::Undecodable,
                _ if is_edge => ErrorClass::EdgeBlocked,
                _ => classify::class_of_status(status.as_u16()),
            };
            let sent = classify::sent(status.as_u16(), class, false);
            self.error(name, class, sent, &words)
        } else {
            self.graphql_error(name, call, status, &errors)
        };
        error.status = Some(status.as_u16());
        let retry_after = headers::retry_after(&answered_headers);
        match &mut error.class {
            ErrorClass::EdgeBlocked => self.governor.blocked_by_edge(retry_after),
            ErrorClass::RateLimited { retry_after: wait } => {
                *wait = Some(self.governor.blocked_by_railway(retry_after));
            }
            _ if error.is_graphql || headers::come_from_railway(&answered_headers) => {
                self.governor.answered();
            }
            _ => self.governor.unanswered(),
        }
        error
    }

    fn graphql_error(
        &self,
        name: &'static str,
        call: &Call<'_>,
        status: StatusCode,
        errors: &[GraphQlError],
    ) -> Error {
        let class = classify::class_of(status.as_u16(), errors);
        let mut message = errors
            .first()
            .map_or_else(String::new, |first| self.words(&first.message, call));
        if errors.len() > 1 {
            message = format!("{message} (and {} more errors)", errors.len() - 1);
        }
        let sent = classify::sent(status.as_u16(), class, true);
        let mut error = self.error(name, class, sent, &message);
        error.status = Some(status.as_u16());
        error.is_graphql = true;
        error.trace_id = errors.iter().find_map(|item| match &item.trace_id {
            Some(serde_json::Value::String(id)) => {
                Some(excerpt(id, MAX_MESSAGE_CHARS, &self.redactor))
            }
            Some(serde_json::Value::Number(id)) => Some(id.to_string()),
            _ => None,
        });
        error
    }

    fn not_answered(&self, name: &'static str, cause: &SendError) -> Error {
        let class = if cause.is_timeout() {
            ErrorClass::Timeout
        } else {
            ErrorClass::Network
        };
        let sent = if cause.is_unsent() {
            Sent::No
        } else {
            Sent::Perhaps
        };
        self.error(name, class, sent, &cause.to_string())
    }

    fn cut_off(&self, name: &'static str, cause: &BodyError) -> Error {
        let class = match cause {
            BodyError::TooLarge { .. } => ErrorClass::Undecodable,
            BodyError::Broken { .. } if cause.is_timeout() => ErrorClass::Timeout,
            BodyError::Broken { .. } => ErrorClass::Network,
        };
        let mut error = self.error(name, class, Sent::Perhaps, &cause.to_string());
        error.status = Some(StatusCode::OK.as_u16());
        error
    }

    fn undecodable(&self, name: &'static str, message: &str) -> Error {
        let mut error = self.error(name, ErrorClass::Undecodable, Sent::Perhaps, message);
        error.status = Some(StatusCode::OK.as_u16());
        error
    }

    pub(crate) fn error(
        &self,
        operation: &'static str,
        class: ErrorClass,
        sent: Sent,
        message: &str,
    ) -> Error {
        Error {
            operation,
            host: self.endpoint.host.clone(),
            status: None,
            class,
            // It may name what others named: an environment, a certificate's host.
            message: self.redactor.redact(message),
            trace_id: None,
            sent,
            is_graphql: false,
        }
    }

    /// Railway's words, without the secrets that we have and those that the call sent.
    fn words(&self, text: &str, call: &Call<'_>) -> String {
        let redactor = self.redactor.and(call.secrets.iter().cloned());
        excerpt(text, MAX_MESSAGE_CHARS, &redactor)
    }
}

fn says_json(response: &Response) -> bool {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
}

/// The edge answers 429 (or 403) by itself, without Railway's headers, as a page or as text.
fn is_edge_block(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> bool {
    if headers::come_from_railway(headers) {
        return false;
    }
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    let says_so = text.contains("1015") || text.contains("cloudflare");
    match status.as_u16() {
        429 => says_so || text.trim_start().starts_with('<'),
        403 => says_so,
        _ => false,
    }
}

fn log(error: &Error, started: Instant) {
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if error.status.is_none() && error.sent == Sent::No && !error.is_retryable_write() {
        // What was held back is not worth a line for each call: the answer that caused it had one.
        tracing::debug!(%error, "call to Railway was held back");
        return;
    }
    tracing::warn!(
        railway.operation = error.operation,
        railway.host = error.host,
        railway.class = %error.class,
        railway.trace_id = error.trace_id,
        http.status = error.status,
        duration_ms,
        reason = error.message,
        "call to Railway failed",
    );
}
