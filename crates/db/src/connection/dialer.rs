//! What makes connections in place of the network.

use std::fmt;
use std::sync::Arc;

use diesel::ConnectionResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio_postgres::Config;

type Dial = dyn Fn(Config) -> BoxFuture<'static, ConnectionResult<AsyncPgConnection>> + Send + Sync;

/// Makes connections in place of the network: a simulation stands between this crate and the
/// database with it. It is given the address and the limits that a connection would be made with.
#[derive(Clone)]
pub struct Dialer(Arc<Dial>);

impl Dialer {
    /// Connections are made by `dial`.
    pub fn new<F, C>(dial: F) -> Self
    where
        F: Fn(Config) -> C + Send + Sync + 'static,
        C: Future<Output = ConnectionResult<AsyncPgConnection>> + Send + 'static,
    {
        Self(Arc::new(move |config| dial(config).boxed()))
    }

    pub(crate) async fn dial(&self, config: Config) -> ConnectionResult<AsyncPgConnection> {
        (self.0)(config).await
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}
