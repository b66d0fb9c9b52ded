//! A pooler in transaction mode: one session of the database, which each client has for a transaction.
//! All clients here are one process's, so that their prepared statements bear different names, as newer
//! poolers see to.

use std::sync::Arc;

use pool_db::{Error, migrations};
use pool_test_database::TestDatabase;
use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Asks for TLS.
const TLS_REQUEST: i32 = 80_877_103;
/// Authentication succeeded, and it is ready.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";

/// One message: its kind, and what follows its length.
async fn message(from: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let kind = from.read_u8().await?;
    Ok((kind, body(from).await?))
}

async fn body(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).unwrap();
    let mut body = vec![0; length - 4];
    from.read_exact(&mut body).await?;
    Ok(body)
}

fn written(kind: Option<u8>, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).unwrap().to_be_bytes();
    kind.into_iter()
        .chain(length)
        .chain(body.iter().copied())
        .collect()
}

/// The one session.
async fn log_in(config: &Config) -> io::Result<TcpStream> {
    let Host::Tcp(host) = &config.get_hosts()[0] else {
        panic!("the tests' database is reached by TCP");
    };
    let mut session = TcpStream::connect((host.as_str(), config.get_ports()[0])).await?;
    let names = format!(
        "\0\x03\0\0user\0{}\0database\0{}\0\0",
        config.get_user().unwrap(),
        config.get_dbname().unwrap()
    );
    session.write_all(&written(None, names.as_bytes())).await?;
    loop {
        match message(&mut session).await? {
            (b'R', body) if body == [0, 0, 0, 3] => {
                let password = config.get_password().unwrap();
                let password = [password, b"\0"].concat();
                session.write_all(&written(Some(b'p'), &password)).await?;
            }
            (b'Z', _) => return Ok(session),
            (kind, body) => assert_ne!(kind, b'E', "{}", String::from_utf8_lossy(&body)),
        }
    }
}

async fn serve(mut client: TcpStream, session: Arc<Mutex<TcpStream>>) -> io::Result<()> {
    while body(&mut client).await?[..4] == TLS_REQUEST.to_be_bytes() {
        client.write_all(b"N").await?;
    }
    client.write_all(WELCOME).await?;
    let mut held: Option<OwnedMutexGuard<TcpStream>> = None;
    let mut asked = Vec::new();
    loop {
        let (kind, body) = message(&mut client).await?;
        asked.extend(written(Some(kind), &body));
        if !matches!(kind, b'S' | b'Q') {
            continue;
        }
        let mut session = match held.take() {
            Some(session) => session,
            None => Arc::clone(&session).lock_owned().await,
        };
        session.write_all(&std::mem::take(&mut asked)).await?;
        loop {
            let (kind, body) = message(&mut session).await?;
            client.write_all(&written(Some(kind), &body)).await?;
            if kind == b'Z' {
                held = (body != b"I").then_some(session);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_pooler_that_exchanges_sessions_is_refused_in_one_sentence() {
    let database = TestDatabase::empty().await;
    let config: Config = database.url().parse().unwrap();
    let session = Arc::new(Mutex::new(log_in(&config).await.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pooling = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(serve(client, Arc::clone(&session)));
        }
    });
    let name = config.get_dbname().unwrap();
    let url = format!("postgres://postgres@127.0.0.1:{port}/{name}?sslmode=disable");
    let error = migrations::run(&url).await.unwrap_err();
    assert!(matches!(error, Error::ThroughPooler), "{error:?}");
    assert!(!error.is_unavailable());
    assert!(error.to_string().contains("pool_mode = session"), "{error}");
    pooling.abort();
    // Nothing was made through it, and without it all is well.
    assert!(
        !migrations::run(database.url())
            .await
            .unwrap()
            .migrations
            .is_empty()
    );
}
