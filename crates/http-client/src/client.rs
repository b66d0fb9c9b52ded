//! Where requests go, and how they are written and sent.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body::Body;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{ClientBuilder, IntoUrl, Method, RequestBuilder, Response, redirect, retry};
use serde::Serialize;
use tower::Service;

use crate::SendError;
use crate::in_process::{self, InProcess};
use crate::tls;

/// Where requests go. By default to the network.
#[derive(Debug, Clone, Default)]
pub struct Transport(Option<InProcess>);

impl Transport {
    /// Requests go to this service, in this process. It hears what the network would carry, with the
    /// whole URL in place of a connection, and says what becomes of the connection as the operating
    /// system does: [`io::ErrorKind::ConnectionRefused`] when none is made, another kind when it ends
    /// without an answer.
    pub fn in_process<S, B>(service: S) -> Self
    where
        S: Service<http::Request<Bytes>, Response = http::Response<B>, Error = io::Error>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Some(in_process::boxed(service)))
    }
}

/// Sends requests, each once. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct HttpClient {
    network: reqwest::Client,
    in_process: Option<InProcess>,
}

impl HttpClient {
    /// A client with its own settings for the network.
    ///
    /// # Errors
    ///
    /// When the settings contradict one another or the machine.
    pub fn new(
        transport: &Transport,
        configure: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> reqwest::Result<Self> {
        let network = match &transport.0 {
            Some(_) => tls::build_unconnected_client(),
            None => tls::build_client(|builder| {
                configure(builder)
                    .retry(retry::never())
                    .redirect(redirect::Policy::none())
            }),
        };
        Ok(Self {
            network: network?,
            in_process: transport.0.clone(),
        })
    }

    /// A request with this method to this URL.
    pub fn request(&self, method: Method, url: impl IntoUrl) -> Request {
        Request {
            builder: self.network.request(method, url),
            in_process: self.in_process.clone(),
        }
    }
}

/// A request that is being written.
#[derive(Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    builder: RequestBuilder,
    in_process: Option<InProcess>,
}

impl Request {
    /// Sets a header, in place of what it was set to before.
    pub fn header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(|builder| builder.headers([(name, value)].into_iter().collect()))
    }

    /// How long all of it may take, the answer's body too.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|builder| builder.timeout(timeout))
    }

    /// Gives it a body.
    pub fn body(self, body: Vec<u8>) -> Self {
        self.with(|builder| builder.body(body))
    }

    /// Gives it a body in JSON, and says so.
    pub fn json(self, body: &(impl Serialize + ?Sized)) -> Self {
        self.with(|builder| builder.json(body))
    }

    /// Sends it, once.
    ///
    /// # Errors
    ///
    /// When no answer begins within its time, or the URL or the body was none.
    pub fn send(self) -> BoxFuture<'static, Result<Response, SendError>> {
        // Boxed, so that the futures of callers stay small, of which a tick holds many.
        Box::pin(async move {
            match self.in_process {
                Some(service) => in_process::send(service, self.builder.build()?).await,
                None => Ok(self.builder.send().await?),
            }
        })
    }

    fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> Self {
        Self {
            builder: change(self.builder),
            ..self
        }
    }
}

/// Whether a URL's host is this machine. Its proxy is for what lies outside of it.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
