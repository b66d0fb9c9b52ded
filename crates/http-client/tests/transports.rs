//! What goes wrong, over the network and in process: a client cannot tell the two apart.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use pool_http_client::{BodyError, HttpClient, SendError, Transport, read_body};
use reqwest::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

type TestResult = Result<(), Box<dyn StdError>>;

const MAX_BYTES: usize = 64;

/// What a peer does with a request.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Answers,
    Refuses,
    HangsUp,
    IsSilent,
    BreaksOff,
    Stalls,
    SaysTooMuch,
}

/// What a client makes of it.
#[derive(Debug, PartialEq)]
enum Outcome {
    Body(Vec<u8>),
    NoConnection,
    NoAnswer { in_time: bool },
    BrokeOff { in_time: bool },
    TooLarge,
}

async fn ask(client: &HttpClient, url: &str, timeout: Duration) -> Outcome {
    let request = client.request(Method::POST, url).timeout(timeout);
    let mut response = match request.json("ping").send().await {
        Ok(response) => response,
        Err(error) if error.is_unsent() => return Outcome::NoConnection,
        Err(error) => {
            let in_time = !error.is_timeout();
            return Outcome::NoAnswer { in_time };
        }
    };
    match read_body(&mut response, MAX_BYTES).await {
        Ok(body) => Outcome::Body(body),
        Err(BodyError::TooLarge { .. }) => Outcome::TooLarge,
        Err(error) => {
            let in_time = !error.is_timeout();
            Outcome::BrokeOff { in_time }
        }
    }
}

async fn converse(mut stream: TcpStream, peer: Peer) -> io::Result<()> {
    let mut head = [0; 4096];
    let _read = stream.read(&mut head).await?;
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    match peer {
        Peer::Answers => stream.write_all((head(4) + "pong").as_bytes()).await,
        Peer::Refuses | Peer::HangsUp => Ok(()),
        Peer::IsSilent => {
            sleep(Duration::from_mins(1)).await;
            Ok(())
        }
        Peer::BreaksOff => stream.write_all((head(4) + "po").as_bytes()).await,
        Peer::Stalls => {
            stream.write_all((head(4) + "po").as_bytes()).await?;
            sleep(Duration::from_mins(1)).await;
            Ok(())
        }
        Peer::SaysTooMuch => {
            let text = head(MAX_BYTES + 1) + &"x".repeat(MAX_BYTES + 1);
            stream.write_all(text.as_bytes()).await
        }
    }
}

async fn over_the_network(peer: Peer, timeout: Duration) -> Result<Outcome, Box<dyn StdError>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    if matches!(peer, Peer::Refuses) {
        drop(listener);
    } else {
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await?;
            converse(stream, peer).await
        });
    }
    let client = HttpClient::new(&Transport::default(), reqwest::ClientBuilder::no_proxy)?;
    Ok(ask(&client, &url, timeout).await)
}

async fn answer(
    peer: Peer,
) -> io::Result<Response<impl http_body::Body<Data = Bytes, Error = io::Error>>> {
    let chunk = |text: String| stream::iter([Ok(Frame::data(Bytes::from(text)))]);
    let body = match peer {
        Peer::Answers => chunk("pong".to_owned()).boxed(),
        Peer::Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
        Peer::HangsUp => return Err(io::ErrorKind::ConnectionReset.into()),
        Peer::IsSilent => std::future::pending().await,
        Peer::BreaksOff => {
            let broken = stream::iter([Err(io::ErrorKind::ConnectionReset.into())]);
            chunk("po".to_owned()).chain(broken).boxed()
        }
        Peer::Stalls => chunk("po".to_owned()).chain(stream::pending()).boxed(),
        Peer::SaysTooMuch => chunk("x".repeat(MAX_BYTES + 1)).boxed(),
    };
    Ok(Response::new(StreamBody::new(body)))
}

fn in_process(peer: Peer) -> reqwest::Result<HttpClient> {
    let service = tower::service_fn(move |_| answer(peer));
    HttpClient::new(&Transport::in_process(service), |builder| builder)
}

#[tokio::test]
async fn both_transports_tell_the_same_of_the_same_peer() -> TestResult {
    let (soon, late) = (Duration::from_millis(50), Duration::from_secs(20));
    for (peer, timeout, expected) in [
        (Peer::Answers, late, Outcome::Body(b"pong".to_vec())),
        (Peer::Refuses, late, Outcome::NoConnection),
        (Peer::HangsUp, late, Outcome::NoAnswer { in_time: true }),
        (Peer::IsSilent, soon, Outcome::NoAnswer { in_time: false }),
        (Peer::BreaksOff, late, Outcome::BrokeOff { in_time: true }),
        (Peer::Stalls, soon, Outcome::BrokeOff { in_time: false }),
        (Peer::SaysTooMuch, late, Outcome::TooLarge),
    ] {
        let network = over_the_network(peer, timeout).await?;
        assert_eq!(network, expected, "{peer:?} over the network");
        let process = ask(&in_process(peer)?, "http://a.simulated/", timeout).await;
        assert_eq!(process, expected, "{peer:?} in process");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn in_process_a_request_has_its_time_on_a_paused_clock() -> TestResult {
    for peer in [Peer::IsSilent, Peer::Stalls] {
        let started = Instant::now();
        let timeout = Duration::from_secs(60);
        let outcome = ask(&in_process(peer)?, "http://a.simulated/", timeout).await;
        assert!(matches!(
            outcome,
            Outcome::NoAnswer { in_time: false } | Outcome::BrokeOff { in_time: false }
        ));
        assert_eq!(started.elapsed(), timeout);
    }
    Ok(())
}

#[tokio::test]
async fn in_process_a_service_hears_what_the_network_would_carry() -> TestResult {
    let echo = tower::service_fn(async |request: http::Request<Bytes>| {
        let (parts, body) = request.into_parts();
        let kind = &parts.headers["content-type"];
        let said = format!("{} {} {kind:?} {body:?}", parts.method, parts.uri);
        Ok::<_, io::Error>(Response::new(said))
    });
    let client = HttpClient::new(&Transport::in_process(echo), |builder| builder)?;
    let request = client.request(Method::PUT, "http://agent-7.up.simulated/a?b=c");
    let mut response = request.json(&[1, 2]).send().await?;
    let said = String::from_utf8(read_body(&mut response, 200).await?)?;
    assert_eq!(
        said,
        r#"PUT http://agent-7.up.simulated/a?b=c "application/json" b"[1,2]""#
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_url_is_not_sent_and_not_quoted() -> TestResult {
    for client in [
        in_process(Peer::Answers)?,
        HttpClient::new(&Transport::default(), |builder| builder)?,
    ] {
        let failure: Option<SendError> = client.request(Method::GET, "sekrit").send().await.err();
        let failure = failure.ok_or("it was sent")?;
        assert!(failure.is_unsent() && !failure.is_timeout());
        assert_eq!(failure.to_string(), "relative URL without a base");
    }
    Ok(())
}
