//! The client: calls agents with the pool's key.

use std::time::Duration;

use pool_domain::{Redactor, Secret};
use pool_http_client::{BodyError, HttpClient, Request, Transport, excerpt, read_body};
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::Error;
use crate::readiness::Readiness;

/// Calls agents with the pool's key. Cheap to clone; clones share what they remember.
#[derive(Debug, Clone)]
pub struct AgentClient {
    http: HttpClient,
    pub(crate) redactor: Redactor,
    authorization: HeaderValue,
    https_only: bool,
    pub(crate) readiness: Readiness,
}

/// A claim waits for this at most before it tries another agent. Railway's edge accepts connections
/// in well under a second; the kernel repeats a lost SYN after 1 s and 3 s, so two may be lost.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection is kept for the provision that follows a health check at once, and no longer: whoever closes
/// those that are idle does so after seconds (Node after 5), and one that is closed just as a request leaves
/// would leave nobody knowing whether a provision arrived.
const KEPT_FOR: Duration = Duration::from_millis(500);

const HTTPS: &str = "https://";

/// An agent's answers are a few hundred bytes, and its error page a few kilobytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How much of an agent's own words goes into a reason.
const MAX_REASON_CHARS: usize = 200;

impl AgentClient {
    /// A client that shows this key to every agent.
    ///
    /// # Errors
    ///
    /// [`Error::PoolKey`] for a key that no header can hold, [`Error::BuildClient`] where TLS
    /// cannot be set up.
    pub fn new(pool_api_key: Secret) -> Result<Self, Error> {
        Self::with_redactor(pool_api_key, &Redactor::default())
    }

    /// The same; it tells none of what the redactor knows either, even if an agent quotes it.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_redactor(pool_api_key: Secret, redactor: &Redactor) -> Result<Self, Error> {
        Self::with_transport(pool_api_key, redactor, &Transport::default())
    }

    /// The same, of agents that are reached in another way than over the network.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_transport(
        pool_api_key: Secret,
        redactor: &Redactor,
        transport: &Transport,
    ) -> Result<Self, Error> {
        let http = HttpClient::new(transport, |builder| {
            builder
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_max_idle_per_host(1)
                .pool_idle_timeout(KEPT_FOR)
                // With a proxy in between, its refusals could not be told from the agent's.
                .no_proxy()
        })
        .map_err(Error::BuildClient)?;
        Ok(Self {
            http,
            authorization: bearer(&pool_api_key).ok_or(Error::PoolKey)?,
            redactor: redactor.and([pool_api_key]),
            https_only: false,
            readiness: Readiness::default(),
        })
    }

    /// The same; an agent whose address is not https is not called, so that neither the key nor what a
    /// caller says ever travels in the open.
    #[must_use]
    pub fn over_https_only(self) -> Self {
        Self {
            https_only: true,
            ..self
        }
    }

    /// Why the agent at `url` is not to be called; none where it may be.
    pub(crate) fn refuses(&self, url: &str) -> Option<&'static str> {
        let is_https = url
            .get(..HTTPS.len())
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(HTTPS));
        (self.https_only && !is_https).then_some("not called: its address is not https")
    }

    /// A request to `path` of the agent at `url`, all of which, the body too, takes `timeout` at
    /// most.
    pub(crate) fn request(
        &self,
        method: Method,
        url: &str,
        path: &str,
        timeout: Duration,
    ) -> Request {
        let url = format!("{}{path}", url.trim_end_matches('/'));
        let is_question = method == Method::GET;
        let request = self
            .http
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
            .timeout(timeout);
        if is_question {
            // Whatever stands in between must not answer for an agent that is gone.
            return request.header(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        request
    }
}

/// An answer that is no success: who gave it, and what it says.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// In a few words.
    pub(crate) reason: String,
    /// In whose words.
    pub(crate) author: Author,
    pub(crate) body: Vec<u8>,
}

/// Who wrote a refusal. An agent is reached through Railway's edge, which answers in its place where
/// it is away (`{"status": "error", "code": 502, "message": "Application failed to respond"}`), with the
/// same status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// The Node runtime: `{"error": "…"}`.
    Agent,
    /// The Hermes runtime: `{"detail": "…"}`.
    Hermes,
    /// An edge or a proxy, or nobody knows.
    Somebody,
}

impl Refusal {
    /// Reads a refusal to its end.
    pub(crate) async fn read(response: &mut Response, redactor: &Redactor) -> Self {
        let status = response.status();
        let (words, body) = match body(response).await {
            Ok(body) => (words(&body, redactor), body),
            Err(error) => (error.to_string(), Vec::new()),
        };
        let reason = if words.is_empty() {
            format!("the agent answered {}", status.as_u16())
        } else {
            format!("the agent answered {}: {words}", status.as_u16())
        };
        Self {
            status,
            reason,
            author: Author::of(&body),
            body,
        }
    }
}

impl Author {
    pub(crate) fn of(body: &[u8]) -> Self {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        if said["error"].is_string() {
            Self::Agent
        } else if said["detail"].is_string() {
            Self::Hermes
        } else {
            Self::Somebody
        }
    }
}

/// The text of an error, from JSON (`error` and `detail` of agents, `message` of Railway's edge), a
/// page or plain text.
pub(crate) fn words(body: &[u8], redactor: &Redactor) -> String {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = ["error", "detail", "message"]
        .into_iter()
        .find_map(|field| said[field].as_str().map(str::to_owned))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    excerpt(&text, MAX_REASON_CHARS, redactor)
}

/// Reads an agent's answer to its end.
pub(crate) async fn body(response: &mut Response) -> Result<Vec<u8>, BodyError> {
    read_body(response, MAX_BODY_BYTES).await
}

/// The header that shows a key; none if the key cannot stand in one.
pub(crate) fn bearer(key: &Secret) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
    header.set_sensitive(true);
    Some(header)
}
