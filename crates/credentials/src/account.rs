//! One account over HTTP: its address and key, a request with bounds on everything, an error that is
//! logged once. Knows nothing of keys or inboxes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use pool_domain::{Redactor, Secret};
use pool_http_client::{
    BodyError, HttpClient, SendError, Transport, excerpt, is_loopback, read_body,
};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::error::Sent;
use crate::{Error, ErrorClass};

/// Two lost packets and their repetition fit in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// All of a call. Both services answer within a second or two.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A page of 100 keys or inboxes has about 100 KB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// How much of an answer's own words goes into an error.
const MAX_MESSAGE_CHARS: usize = 300;

/// How often a call is repeated that may be, with pauses of 0.5 s and 1 s. For longer trouble the
/// next tick is the retry.
const RETRIES: usize = 2;

/// Before the first retry; doubled before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// For how long nothing more is made once the plan allows no more: only a person or a deletion changes
/// that. Whoever tries single ones does so less often than that.
const QUOTA_HOLDS_FOR: Duration = Duration::from_secs(15);

/// Longer than this an account is never left alone, whatever it asks for: it may have meant another
/// unit, and nobody could tell this server that all is well.
const HOLDS_AT_MOST: Duration = Duration::from_secs(3_600);

/// Pages of one list: at 100 a page 20,000 keys or inboxes, ten times the largest pool with all its
/// environments.
pub(crate) const MAX_PAGES: usize = 200;

/// An account with one of the two services.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    http: HttpClient,
    base: Url,
    service: &'static str,
    host: String,
    redactor: Redactor,
    authorization: HeaderValue,
    held: Arc<Mutex<Held>>,
}

/// Until when the account is to be left alone, as it said itself, and with which words.
#[derive(Debug, Default)]
struct Held {
    calls: Option<(Instant, Error)>,
    making: Option<(Instant, Error)>,
}

/// What a deletion found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was there, and it is gone.
    Now,
    /// The account says that there is no such thing. A listing tells whether that is so.
    NotFound,
}

/// One request to an account, and what is done about a failure of it.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    /// Behind the account's address, segments encoded already.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'a str, String)>,
    pub(crate) body: Option<Value>,
}

impl Account {
    pub(crate) fn new(
        service: &'static str,
        api_url: &str,
        key: &Secret,
        redactor: &Redactor,
        transport: &Transport,
    ) -> Result<Self, Error> {
        let wrong = |message: String| Error {
            service,
            operation: "settings",
            host: api_url.to_owned(),
            status: None,
            class: ErrorClass::NotConfigured,
            message,
            sent: Sent::No,
        };
        let base = Url::parse(api_url).map_err(|e| wrong(format!("the URL is none: {e}")))?;
        let host = match (base.scheme(), base.host_str()) {
            ("http" | "https", Some(host)) => host.to_owned(),
            _ => return Err(wrong("the URL must be http:// or https://".to_owned())),
        };
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.expose()))
            .map_err(|_| wrong("the key holds characters that a header cannot hold".to_owned()))?;
        authorization.set_sensitive(true);
        let http =
            http_client(transport, &host).map_err(|e| wrong(format!("no HTTP client: {e}")))?;
        Ok(Self {
            http,
            base,
            service,
            host,
            redactor: redactor.and([key.clone()]),
            authorization,
            held: Arc::default(),
        })
    }

    /// Reads something; repeated while that may help.
    pub(crate) async fn read<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Error> {
        let body = self.send(&request, Error::is_retryable).await?;
        self.decode(request.operation, &body)
    }

    /// Makes something; repeated only when no connection was made.
    pub(crate) async fn make<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Error> {
        let was_not_sent = |error: &Error| error.is_retryable() && error.sent == Sent::No;
        let body = self.send(&request, was_not_sent).await?;
        self.decode(request.operation, &body)
    }

    /// Deletes something. Repeating does no harm.
    pub(crate) async fn delete(&self, request: Request<'_>) -> Result<Deleted, Error> {
        match self.send(&request, Error::is_retryable).await {
            Err(error) if error.status == Some(404) => Ok(Deleted::NotFound),
            outcome => outcome.map(|_| Deleted::Now),
        }
    }

    async fn send(
        &self,
        request: &Request<'_>,
        may_repeat: impl Fn(&Error) -> bool,
    ) -> Result<Vec<u8>, Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_PAUSE)
            .with_factor(2.0)
            .with_max_times(RETRIES);
        let outcome = (|| self.attempt(request))
            .retry(pauses)
            .when(may_repeat)
            .await;
        match &outcome {
            Err(error) if error.status != Some(404) => log(error),
            _ => {}
        }
        outcome
    }

    async fn attempt(&self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        let makes = request.method == Method::POST;
        if let Some(held) = self.held(request.operation, makes) {
            return Err(held);
        }
        let answered = self.call(request).await;
        if let Err(error) = &answered {
            self.hold(error, makes);
        }
        answered
    }

    /// The refusal that still stands: no call is made before its time is over.
    fn held(&self, operation: &'static str, makes: bool) -> Option<Error> {
        let now = Instant::now();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let making = held.making.as_ref().filter(|_| makes);
        let (until, error) = [held.calls.as_ref(), making]
            .into_iter()
            .flatten()
            .find(|(until, _)| *until > now)?;
        let class = match error.class {
            ErrorClass::RateLimited { .. } => ErrorClass::RateLimited {
                retry_after: Some(*until - now),
            },
            class => class,
        };
        Some(Error {
            operation,
            class,
            sent: Sent::No,
            ..error.clone()
        })
    }

    fn hold(&self, error: &Error, makes: bool) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let until = |wait: Duration| Instant::now() + wait.min(HOLDS_AT_MOST);
        match error.class {
            ErrorClass::RateLimited {
                retry_after: Some(wait),
            } => held.calls = Some((until(wait), error.clone())),
            ErrorClass::QuotaReached if makes => {
                held.making = Some((until(QUOTA_HOLDS_FOR), error.clone()));
            }
            _ => {}
        }
    }

    async fn call(&self, request: &Request<'_>) -> Result<Vec<u8>, Error> {
        let name = request.operation;
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}{}",
            self.base.path().trim_end_matches('/'),
            request.path
        ));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let mut call = self
            .http
            .request(request.method.clone(), url)
            .header(AUTHORIZATION, self.authorization.clone())
            .timeout(TIMEOUT);
        if let Some(body) = &request.body {
            call = call.json(body);
        }
        let answered = call.send().await;
        let mut response = answered.map_err(|error| self.not_answered(name, &error))?;
        let status = response.status();
        let headers = response.headers().clone();
        let body = read_body(&mut response, MAX_BODY_BYTES).await;
        if !status.is_success() {
            let body = body.unwrap_or_default();
            return Err(self.refused(name, status, &headers, &body));
        }
        body.map_err(|error| {
            let class = match &error {
                BodyError::TooLarge { .. } => ErrorClass::Undecodable,
                BodyError::Broken { .. } if error.is_timeout() => ErrorClass::Timeout,
                BodyError::Broken { .. } => ErrorClass::Network,
            };
            self.error(name, Some(status), class, Sent::Perhaps, &error.to_string())
        })
    }

    fn decode<T: DeserializeOwned>(&self, name: &'static str, body: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(body).map_err(|cause| {
            // The decoder's own words may quote the answer, a new key and all.
            let place = format!("line {} column {}", cause.line(), cause.column());
            let message = format!("the answer is not what was agreed, at {place}");
            let error = self.error(
                name,
                Some(StatusCode::OK),
                ErrorClass::Undecodable,
                Sent::Perhaps,
                &message,
            );
            log(&error);
            error
        })
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
        self.error(name, None, class, sent, &cause.to_string())
    }

    fn refused(
        &self,
        name: &'static str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Error {
        let class = match status.as_u16() {
            402 => ErrorClass::QuotaReached,
            400 | 403 | 409 | 422 if is_quota(body) => ErrorClass::QuotaReached,
            403 if is_taken(body) => ErrorClass::Refused,
            401 | 403 => ErrorClass::NotAuthorized,
            429 => ErrorClass::RateLimited {
                retry_after: retry_after(headers),
            },
            408 | 500..=599 => ErrorClass::Transient,
            _ => ErrorClass::Refused,
        };
        let sent = if class == ErrorClass::Transient {
            Sent::Perhaps
        } else {
            Sent::Refused
        };
        self.error(name, Some(status), class, sent, &said(body))
    }

    pub(crate) fn error(
        &self,
        operation: &'static str,
        status: Option<StatusCode>,
        class: ErrorClass,
        sent: Sent,
        message: &str,
    ) -> Error {
        Error {
            service: self.service,
            operation,
            host: self.host.clone(),
            status: status.map(|status| status.as_u16()),
            class,
            message: excerpt(message, MAX_MESSAGE_CHARS, &self.redactor),
            sent,
        }
    }

    /// A list that does not end, or leads nowhere: what was found is not all, so it is not told.
    pub(crate) fn endless(&self, operation: &'static str, message: &str) -> Error {
        let class = ErrorClass::Undecodable;
        let error = self.error(operation, None, class, Sent::Refused, message);
        log(&error);
        error
    }
}

/// An id as one segment of a path. None for one that would name something else than itself.
pub(crate) fn segment(id: &str) -> Option<String> {
    if matches!(id, "" | "." | "..") {
        return None;
    }
    let encode = |byte: u8| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    };
    Some(id.bytes().map(encode).collect())
}

fn http_client(transport: &Transport, host: &str) -> reqwest::Result<HttpClient> {
    HttpClient::new(transport, |builder| {
        let builder = builder
            .user_agent(concat!("convos-agent-pool/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT);
        if is_loopback(host) {
            builder.no_proxy()
        } else {
            builder
        }
    })
}

/// Both services say `{"error": {"message": …}}`, `{"error": …}` or `{"message": …}`.
fn said(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    [&json["error"]["message"], &json["error"], &json["message"]]
        .into_iter()
        .find_map(Value::as_str)
        .map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

/// Whether it is a quota that refuses: AgentMail says 403 with the code `limit_exceeded` and
/// "Inbox limit exceeded", which is no matter of who asks.
fn is_quota(body: &[u8]) -> bool {
    let said = words(body);
    let of_a_limit = ["exceeded", "reached", "upgrade"];
    said.contains("quota")
        || (said.contains("limit") && of_a_limit.iter().any(|word| said.contains(word)))
}

/// AgentMail says 403 of a user name that another inbox has.
fn is_taken(body: &[u8]) -> bool {
    words(body).contains("taken")
}

/// What an answer says of itself: its code, its name, and its sentence.
fn words(body: &[u8]) -> String {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let named = [&json["code"], &json["name"]];
    let named = named
        .into_iter()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    let all: Vec<_> = named.chain([said(body)]).collect();
    all.join(" ").to_lowercase()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse();
    seconds.ok().map(Duration::from_secs)
}

fn log(error: &Error) {
    if error.sent == Sent::No && error.is_limit() {
        // Held: the answer that it is held by was told.
        return;
    }
    tracing::warn!(
        credentials.service = error.service,
        credentials.operation = error.operation,
        credentials.host = error.host,
        credentials.class = %error.class,
        http.status = error.status,
        reason = error.message,
        "call for a credential failed",
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_is_one_segment_or_none() {
        assert_eq!(
            segment("a/b@c.to?x=é").as_deref(),
            Some("a%2Fb%40c.to%3Fx%3D%C3%A9")
        );
        assert_eq!(segment("..%2f").as_deref(), Some("..%252f"));
        for id in ["", ".", ".."] {
            assert_eq!(segment(id), None);
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = said(&body);
        }

        #[test]
        fn an_id_is_one_segment_of_a_path_whatever_it_holds(id in "\\PC{0,30}|[./%?#\\r\\n]{0,6}") {
            if let Some(segment) = segment(&id) {
                let url = reqwest::Url::parse(&format!("https://h/keys/{segment}")).unwrap();
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments, ["keys", segment.as_str()]);
                prop_assert!(url.query().is_none() && url.fragment().is_none());
            }
        }
    }
}
