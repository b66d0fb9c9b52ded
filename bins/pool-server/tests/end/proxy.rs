//! A wire between a server and its database that can be cut without either noticing: both ends talk
//! to a kernel that is well and goes on acknowledging.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Passes,
    /// Each piece arrives so much later.
    Slow(Duration),
    /// It never arrives, and no connection is closed.
    Cut,
    /// So many connections more are made; the next ones are closed at once.
    Lets(u32),
}

pub(crate) struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    refused: Arc<AtomicU32>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of a database on 127.0.0.1.
    pub(crate) async fn start(port: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (wire, state) = watch::channel(Wire::Passes);
        let wire = Arc::new(wire);
        let refused = Arc::new(AtomicU32::new(0));
        let (gate, counter) = (Arc::clone(&wire), Arc::clone(&refused));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if lets_one(&gate) {
                    tokio::spawn(connect(client, port, state.clone()));
                } else {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Self {
            address,
            wire,
            refused,
            accepting,
        })
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How many connections were closed at once.
    pub(crate) fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// The same address of a database, through this wire.
    pub(crate) fn instead_of(&self, url: &str) -> anyhow::Result<String> {
        let mut url = url::Url::parse(url)?;
        url.set_ip_host(self.address.ip())
            .and_then(|()| url.set_port(Some(self.address.port())))
            .map_err(|()| anyhow::anyhow!("{url} has no host"))?;
        Ok(url.into())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Whether one more connection may be made.
fn lets_one(wire: &watch::Sender<Wire>) -> bool {
    let mut lets = true;
    wire.send_modify(|wire| {
        if let Wire::Lets(left) = wire {
            lets = *left > 0;
            *left = left.saturating_sub(1);
        }
    });
    lets
}

async fn connect(client: TcpStream, port: u16, mut wire: watch::Receiver<Wire>) {
    if wire.wait_for(|wire| *wire != Wire::Cut).await.is_err() {
        return;
    }
    let Ok(database) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    let (client_says, client_hears) = client.into_split();
    let (database_says, database_hears) = database.into_split();
    // Whichever side ends, ends the other.
    tokio::select! {
        () = pump(client_says, database_hears, wire.clone()) => {}
        () = pump(database_says, client_hears, wire) => {}
    }
}

async fn pump(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut wire: watch::Receiver<Wire>,
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await;
        let Ok(wire) = wire.wait_for(|wire| *wire != Wire::Cut).await.map(|it| *it) else {
            return;
        };
        if let Wire::Slow(delay) = wire {
            tokio::time::sleep(delay).await;
        }
        match read {
            Ok(count @ 1..) if to.write_all(&bytes[..count]).await.is_ok() => {}
            _ => return,
        }
    }
}
