//! The wire between a server and its database: counts the statements that pass, and is cut where a
//! test says, before a statement arrives or after it was carried out and before its answer is heard.
//! It reads PostgreSQL's protocol only as far as that: <https://www.postgresql.org/docs/15/protocol-message-formats.html>.
#![expect(
    clippy::unwrap_used,
    reason = "a test has nothing else to do with a broken socket"
)]

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

/// When a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The statement never arrives.
    Before,
    /// It is carried out, and nobody hears of it.
    After,
    /// Nobody waits for it any more when it arrives, which is this much later.
    Late(Duration),
}

/// Stands between a server and its database.
pub(crate) struct Wire {
    /// Where the server finds its database.
    pub(crate) url: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<String>>,
    cuts: Mutex<Vec<(&'static str, Cut)>>,
}

impl Wire {
    /// To the database of this address, without TLS.
    pub(crate) async fn to(url: &str) -> Self {
        let (before, rest) = url.rsplit_once('@').unwrap();
        let (host, name) = rest.split_once('/').unwrap();
        let name = name.split('?').next().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let wire = Self {
            url: format!("{before}@{address}/{name}?sslmode=disable"),
            shared: Arc::default(),
        };
        let (database, shared) = (host.to_owned(), Arc::clone(&wire.shared));
        tokio::spawn(async move {
            while let Ok((server, _)) = listener.accept().await {
                if let Ok(database) = TcpStream::connect(&database).await {
                    tokio::spawn(carry(server, database, Arc::clone(&shared)));
                }
            }
        });
        wire
    }

    /// Cuts the connection at the next statement that begins with this name.
    pub(crate) fn cut(&self, name: &'static str, cut: Cut) {
        self.shared.cuts.lock().unwrap().push((name, cut));
    }

    /// The names of the statements carried out since the last call, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Whether every cut has been made.
    pub(crate) fn is_cut(&self) -> bool {
        self.shared.cuts.lock().unwrap().is_empty()
    }
}

/// One connection, until either side ends it or it is cut.
async fn carry(server: TcpStream, database: TcpStream, shared: Arc<Shared>) {
    let (mut from_server, to_server) = server.into_split();
    let (from_database, mut to_database) = database.into_split();
    let silence = Arc::new(Notify::new());
    let answers = tokio::spawn(answers(from_database, to_server, Arc::clone(&silence)));
    let hang_up = || answers.abort();
    let _cut_or_ended = questions(
        &mut from_server,
        &mut to_database,
        &shared,
        &silence,
        hang_up,
    )
    .await;
    answers.abort();
}

async fn questions(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    shared: &Shared,
    silence: &Notify,
    hang_up: impl Fn(),
) -> io::Result<()> {
    let mut first = vec![0; 4];
    from.read_exact(&mut first).await?;
    let mut rest = vec![0; length(&first) - 4];
    from.read_exact(&mut rest).await?;
    to.write_all(&[first, rest].concat()).await?;
    let (mut texts, mut bound) = (HashMap::new(), String::new());
    // What a statement is carried out with goes with it.
    let mut values = Vec::new();
    loop {
        let message = message(from).await?;
        let fields: Vec<_> = message[5..]
            .split(|byte| *byte == 0)
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect();
        match message[0] {
            b'P' => drop(texts.insert(fields[0].clone(), name(&fields[1]))),
            b'B' => {
                bound.clone_from(&texts[&fields[1]]);
                values = message;
                continue;
            }
            b'Q' => shared.seen.lock().unwrap().push(name(&fields[0])),
            b'E' => {
                match shared.due(&bound) {
                    Some(Cut::Before) => return Ok(()),
                    // What comes now is heard by nobody.
                    Some(Cut::After) => silence.notify_one(),
                    Some(Cut::Late(by)) => {
                        hang_up();
                        sleep(by).await;
                    }
                    None => {}
                }
                shared.seen.lock().unwrap().push(bound.clone());
            }
            _ => {}
        }
        to.write_all(&[std::mem::take(&mut values), message].concat())
            .await?;
    }
}

impl Shared {
    fn due(&self, statement: &str) -> Option<Cut> {
        let mut cuts = self.cuts.lock().unwrap();
        let at = cuts.iter().position(|(name, _)| *name == statement)?;
        Some(cuts.remove(at).1)
    }
}

/// Passes answers on. Once silent, waits for the database to say that it is ready for the next
/// question, and ends the connection.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, silence: Arc<Notify>) {
    let silenced = silence.notified();
    tokio::pin!(silenced);
    let mut silent = false;
    loop {
        let answer = tokio::select! {
            biased;
            () = &mut silenced, if !silent => {
                silent = true;
                continue;
            }
            answer = message(&mut from) => answer,
        };
        match answer {
            Ok(answer) if silent && answer[0] == b'Z' => return,
            Ok(_) if silent => {}
            Ok(answer) if to.write_all(&answer).await.is_ok() => {}
            _ => return,
        }
    }
}

/// One message: a letter, a length that counts itself, and what it says.
async fn message(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let mut message = vec![0; 5];
    from.read_exact(&mut message).await?;
    message.resize(1 + length(&message[1..]), 0);
    from.read_exact(&mut message[5..]).await?;
    Ok(message)
}

fn length(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

/// The name that a statement of a `.sql` file opens with; otherwise its first word.
fn name(statement: &str) -> String {
    let first = statement.lines().next().unwrap_or("");
    let name = first.strip_prefix("-- ").or(first.split(' ').next());
    name.unwrap_or("").to_owned()
}
