//! Agents that do what a test tells them to, all behind one port, each below its own path. Plain
//! sockets, so that an agent can also fail in ways that no HTTP library offers.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with a broken socket"
)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What an agent does when it is to be provisioned.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Says yes.
    Serve,
    /// Says yes and nothing else.
    ServeSilently,
    /// Says yes, and that it is ready, after this long.
    Slow(Duration),
    /// Says that it is not ready, so that it is not even asked.
    NotReady,
    /// Says no with this status.
    Refuse(u16),
    /// Says no with this status in the words of Railway's edge.
    EdgeRefuses(u16),
    /// Says that it is in somebody's conversation, and in which only where it is asked for that.
    Bound,
    /// Says yes once the test adds a permit.
    Wait(Arc<Semaphore>),
    /// Says nothing.
    Hang,
    /// Closes the connection in the middle of its answer.
    CutOff,
    /// Says 200 and nonsense.
    Babble,
}

/// Every agent of one test.
pub(crate) struct Agents {
    base: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    behaviours: Mutex<HashMap<String, Behaviour>>,
    provisioned: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

impl Agents {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&serving)));
            }
        });
        Self { base, shared }
    }

    /// Where the agent of this name answers.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    /// Tells an agent what to do; without being told, it serves.
    pub(crate) fn tell(&self, name: &str, behaviour: Behaviour) {
        let mut behaviours = self.shared.behaviours.lock().unwrap();
        behaviours.insert(name.to_owned(), behaviour);
    }

    /// Who was asked to be provisioned, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Who said yes, in order.
    pub(crate) fn provisioned(&self) -> Vec<String> {
        self.shared.provisioned.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    let Some((path, body)) = read_request(&mut socket).await else {
        return;
    };
    let mut parts = path.trim_start_matches('/').splitn(2, '/');
    let (name, call) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let behaviour = {
        let behaviours = shared.behaviours.lock().unwrap();
        behaviours.get(name).cloned().unwrap_or(Behaviour::Serve)
    };
    if let Behaviour::Slow(by) = behaviour {
        tokio::time::sleep(by).await;
    }
    if call == "pool/health" {
        let ready = !matches!(behaviour, Behaviour::NotReady);
        answer(&mut socket, 200, &format!(r#"{{"ready":{ready}}}"#)).await;
        return;
    }
    if call == "convos/status" {
        let bound = matches!(behaviour, Behaviour::Bound);
        let conversation = if bound {
            format!(r#"{{"id":"of-{name}"}}"#)
        } else {
            "null".to_owned()
        };
        let said = format!(r#"{{"ready":true,"conversation":{conversation}}}"#);
        return answer(&mut socket, 200, &said).await;
    }
    shared.asked.lock().unwrap().push(name.to_owned());
    match behaviour {
        Behaviour::Serve | Behaviour::NotReady | Behaviour::Slow(_) => {}
        Behaviour::ServeSilently => return answer(&mut socket, 200, r#"{"ok":true}"#).await,
        Behaviour::Wait(permits) => permits.acquire().await.unwrap().forget(),
        Behaviour::Refuse(status) => {
            return answer(&mut socket, status, r#"{"error":"no"}"#).await;
        }
        Behaviour::EdgeRefuses(status) => {
            let page = format!(
                r#"{{"status":"error","code":{status},"message":"Application failed to respond"}}"#
            );
            return answer(&mut socket, status, &page).await;
        }
        Behaviour::Bound => {
            return answer(&mut socket, 409, r#"{"error":"already in a conversation"}"#).await;
        }
        Behaviour::Hang => return std::future::pending().await,
        Behaviour::CutOff => {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"ok\":tr";
            return socket.write_all(half).await.unwrap();
        }
        Behaviour::Babble => return answer(&mut socket, 200, "<html>fine").await,
    }
    shared.provisioned.lock().unwrap().push(name.to_owned());
    let joined = body.contains("\"joinUrl\":\"");
    let yes = format!(
        r#"{{"ok":true,"inviteUrl":"https://join.test/{name}","conversationId":"c-{name}","joined":{joined}}}"#
    );
    answer(&mut socket, 200, &yes).await;
}

async fn read_request(socket: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            let path = head.split(' ').nth(1)?.to_owned();
            return Some((path, body.to_owned()));
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &str) -> usize {
    let head = head.to_ascii_lowercase();
    let after = head.split("content-length:").nth(1);
    let digits = after.and_then(|rest| rest.lines().next());
    digits.map_or(0, |digits| digits.trim().parse().unwrap())
}

async fn answer(socket: &mut TcpStream, status: u16, body: &str) {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    // The other side may be gone, which is then what the test is about.
    let _ = socket.write_all(text.as_bytes()).await;
}
