//! How a server's connections reach the database: through a stream that the simulation decides about.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::task::Context;
use std::thread;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, poll_fn};
use pool_db::Dialer;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, Socket};

use super::gate::Gate;
use super::stream::SimulatedStream;
use crate::node::Node;

/// Where sockets can be had that lead nowhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nowhere(SocketAddr);

impl Nowhere {
    /// The client's library wants a socket of its own before it lets anybody wrap it. Ours goes to a
    /// listener that does nothing with it.
    pub(crate) fn new() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let nowhere = listener.local_addr()?;
        thread::spawn(move || {
            for accepted in listener.incoming() {
                drop(accepted);
            }
        });
        Ok(Self(nowhere))
    }
}

/// The way of one server to the database.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) nowhere: Nowhere,
    pub(crate) gate: Arc<Gate>,
    pub(crate) node: Arc<Node>,
}

/// Makes the connections of one server.
pub(crate) fn dialer(route: Route) -> Dialer {
    Dialer::new(move |config| {
        let route = route.clone();
        async move { dial(&config, route).await }
    })
}

async fn dial(wanted: &Config, route: Route) -> ConnectionResult<AsyncPgConnection> {
    let cut = poll_fn(|cx: &mut Context<'_>| route.node.poll_step(cx, "before connecting")).await;
    if cut {
        return Err(ConnectionError::BadConnection(
            "cut by the simulation".to_owned(),
        ));
    }
    let name = wanted.get_application_name().unwrap_or_default();
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(route.nowhere.0.port())
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .application_name(name)
        .user(wanted.get_user().unwrap_or_default())
        .password(wanted.get_password().unwrap_or_default())
        .dbname(wanted.get_dbname().unwrap_or_default());
    let wrap = Wrap {
        name: name.to_owned(),
        route,
    };
    let bad = |error: tokio_postgres::Error| ConnectionError::BadConnection(error.to_string());
    // In a task of its own: a server that stands still must not hold the time with it.
    let connecting = tokio::spawn(async move { standing_still(config.connect(wrap)).await });
    let connected = connecting.await;
    let connected = connected.map_err(|died| ConnectionError::BadConnection(died.to_string()))?;
    let (client, connection) = connected.map_err(bad)?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// No virtual time passes while something real is waited for: the paused clock does not go on by
/// itself as long as a blocking task runs.
async fn standing_still<T>(real: impl Future<Output = T>) -> T {
    let (guard, ended) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || ended.recv());
    let done = real.await;
    drop(guard);
    done
}

/// Stands where TLS would.
#[derive(Clone)]
struct Wrap {
    route: Route,
    name: String,
}

impl MakeTlsConnect<Socket> for Wrap {
    type Stream = SimulatedStream;
    type TlsConnect = Self;
    type Error = io::Error;

    fn make_tls_connect(&mut self, _: &str) -> io::Result<Self> {
        Ok(self.clone())
    }
}

impl TlsConnect<Socket> for Wrap {
    type Stream = SimulatedStream;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<SimulatedStream>>;

    fn connect(self, nowhere: Socket) -> Self::Future {
        async move {
            drop(nowhere);
            let Route { gate, node, .. } = self.route;
            SimulatedStream::new(gate, node, &self.name)
        }
        .boxed()
    }
}
