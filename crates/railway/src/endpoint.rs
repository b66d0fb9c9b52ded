//! Where Railway is, and how we show who we are: the URL, the token's header, the HTTP client.

use pool_http_client::{HttpClient, Request, Transport, is_loopback};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::error::Sent;
use crate::limits::CONNECT_TIMEOUT;
use crate::{Error, ErrorClass, Settings, Token};

#[derive(Debug)]
pub(crate) struct Endpoint {
    http: HttpClient,
    url: Url,
    pub(crate) host: String,
    token_header: HeaderName,
    token_value: HeaderValue,
}

/// Says who we are in the URL and the user agent, as other clients of Railway do. It never changes:
/// a changing one would look like an attempt to get around a limiter.
const SOURCE: &str = "convos-agent-pool";

impl Endpoint {
    pub(crate) fn new(settings: &Settings, transport: &Transport) -> Result<Self, Error> {
        let (url, host) = endpoint(&settings.api_url)?;
        let wrong = |message: &str| not_configured(&host, message);
        let (token_header, text) = match &settings.token {
            Token::Project(token) => (
                HeaderName::from_static("project-access-token"),
                token.expose().to_owned(),
            ),
            Token::Account(token) => (AUTHORIZATION, format!("Bearer {}", token.expose())),
        };
        let mut token_value = HeaderValue::try_from(text)
            .map_err(|_| wrong("the token holds characters that a header cannot hold"))?;
        token_value.set_sensitive(true);
        let http = http_client(transport, url.host_str().unwrap_or_default())
            .map_err(|error| wrong(&format!("cannot build the HTTP client: {error}")))?;
        Ok(Self {
            http,
            url,
            host,
            token_header,
            token_value,
        })
    }

    /// A request without its body.
    pub(crate) fn request(&self) -> Request {
        self.http
            .request(Method::POST, self.url.clone())
            .header(self.token_header.clone(), self.token_value.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }
}

fn endpoint(api_url: &str) -> Result<(Url, String), Error> {
    let wrong = |why: &str| not_configured("railway", &format!("the API's URL {why}"));
    let mut url = Url::parse(api_url).map_err(|error| wrong(&format!("is none: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("must begin with http:// or https://"));
    }
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
    let host = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    url.query_pairs_mut().append_pair("source", SOURCE);
    Ok((url, host))
}

fn not_configured(host: &str, message: &str) -> Error {
    Error {
        operation: "Settings",
        host: host.to_owned(),
        status: None,
        class: ErrorClass::BadRequest,
        message: message.to_owned(),
        trace_id: None,
        sent: Sent::No,
        is_graphql: false,
    }
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
