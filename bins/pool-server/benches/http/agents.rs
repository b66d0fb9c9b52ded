//! Agents, as many as anybody asks for: each address of this machine's loopback network is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

const ANSWER: &str = "{\"ready\":true,\"ok\":true,\"joined\":true,\"conversationId\":\"c\",\
    \"inviteUrl\":\"https://invite.test/c\"}";

pub(crate) struct Agents {
    port: u16,
    takes_ms: Arc<AtomicU64>,
}

pub(crate) async fn start() -> Result<Agents, Failure> {
    let listener = TcpListener::bind("0.0.0.0:0").await?;
    let agents = Agents {
        port: listener.local_addr()?.port(),
        takes_ms: Arc::default(),
    };
    let takes_ms = Arc::clone(&agents.takes_ms);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&takes_ms)));
        }
    });
    Ok(agents)
}

impl Agents {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How long each takes to be provisioned, from now on.
    pub(crate) fn take(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.takes_ms.store(ms, Ordering::Relaxed);
    }
}

/// What the server sends fits into one packet.
async fn serve(mut stream: TcpStream, takes_ms: Arc<AtomicU64>) -> std::io::Result<()> {
    let mut request = [0; 16_384];
    loop {
        let read = stream.read(&mut request).await?;
        if read == 0 {
            return Ok(());
        }
        if request.starts_with(b"POST") {
            let ms = takes_ms.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
        let length = ANSWER.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{ANSWER}");
        stream.write_all(answer.as_bytes()).await?;
    }
}
