//! Clients that are slow, silent, numerous or malformed, over real sockets.

use std::net::SocketAddr;

use axum::routing::{get, post};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    /// Lets the requests to /slow be answered.
    go_on: Arc<Notify>,
}

/// Short times, and four connections of which the last is for refusing idlers.
fn limits() -> Limits {
    Limits {
        connections: 4,
        crowded_from: 4,
        head: Duration::from_millis(300),
        idle: PATIENCE,
        stall: PATIENCE,
        leaving: Duration::from_millis(300),
    }
}

impl Door {
    async fn open(limits: Limits) -> Self {
        let go_on = Arc::new(Notify::new());
        let (waits, body) = (Arc::clone(&go_on), "x".repeat(16 * 1024 * 1024));
        let router = Router::new()
            .route("/", get(async || "fine"))
            .route("/echo", post(async |body: String| body))
            .route("/large", get(async move || body))
            .route(
                "/slow",
                get(async move || {
                    waits.notified().await;
                    "at last"
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, router, limits, stop.clone()));
        Self {
            address,
            stop,
            serving,
            go_on,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// What comes back until the connection ends.
    async fn answer(&self, bytes: &[u8]) -> String {
        rest(&mut self.send(bytes).await).await
    }
}

/// Everything until the end; a reset is one.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ended_or_reset = read.expect("the server does not close the connection");
    String::from_utf8(bytes).unwrap()
}

/// Reads until this was said.
async fn until_said(stream: &mut TcpStream, text: &str) -> String {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(text) {
        let mut some = [0; 1_024];
        let count = timeout(PATIENCE, stream.read(&mut some)).await;
        let count = count.expect("nothing more is said").unwrap();
        assert!(count > 0, "the connection ended after {said:?}");
        said.extend(&some[..count]);
    }
    String::from_utf8(said).unwrap()
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ASK_ONCE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_head_that_trickles_is_cut_off() {
    let door = Door::open(limits()).await;
    let mut stream = door.send(b"GET / HTTP/1.1\r\n").await;
    let (mut reading, mut writing) = stream.split();
    let trickle = async {
        while writing.write_all(b"x-a: b\r\n").await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let mut answer = Vec::new();
    let cut = async { reading.read_to_end(&mut answer).await };
    tokio::select! {
        () = trickle => {}
        _ended = cut => {}
        () = sleep(PATIENCE) => panic!("the trickle goes on"),
    }
    assert!(answer.is_empty(), "{answer:?}");
    assert!(door.answer(ASK_ONCE).await.ends_with("fine"));
}

#[tokio::test]
async fn a_connection_that_asks_nothing_more_is_closed() {
    let idle = Duration::from_millis(200);
    let door = Door::open(Limits { idle, ..limits() }).await;
    assert_eq!(door.answer(b"").await, "", "one that never asked");
    let asked = door.answer(ASK).await;
    assert!(asked.ends_with("fine"), "{asked}");
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let stall = Duration::from_millis(300);
    let door = Door::open(Limits { stall, ..limits() }).await;
    let mut stream = door.send(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // The answer is larger than what the sockets hold; it is read only once it was given up.
    sleep(stall * 4).await;
    let taken = rest(&mut stream).await;
    assert!(taken.len() < 16 * 1024 * 1024, "{} bytes", taken.len());
}

#[tokio::test]
async fn a_long_answer_is_whole_for_one_who_takes_it() {
    let door = Door::open(limits()).await;
    let answer = door
        .answer(b"GET /large HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.len() > 16 * 1024 * 1024);
}

#[tokio::test]
async fn what_is_not_http_is_a_bad_request_and_what_is_too_large_is_told_so() {
    let door = Door::open(limits()).await;
    let header = "x".repeat(HEAD_BYTES_MAX);
    let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
    for (sent, status) in [
        ("\0\0\0\0\r\n\r\n".to_owned(), "400"),
        ("hello\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\na: b\0c\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.1\r\n\r\n".to_owned(), "400"),
        ("GET /\r\n\r\n".to_owned(), "400"),
        (
            "POST /echo HTTP/1.1\r\ncontent-length: many\r\n\r\n".to_owned(),
            "400",
        ),
        (
            "POST /echo HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_owned(),
            "400",
        ),
        (format!("GET / HTTP/1.1\r\na: {header}\r\n\r\n"), "431"),
        (format!("GET /{header} HTTP/1.1\r\n\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\n{many}\r\n"), "431"),
    ] {
        let shown: String = sent.chars().take(60).collect();
        let answer = door.answer(sent.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{shown:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_whose_length_is_told_twice_is_read_once() {
    let door = Door::open(limits()).await;
    // By the chunks alone. The rest is not taken for a request of somebody else's.
    let answer = door
        .answer(
            b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\
              transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nGET /slow HTTP/1.1\r\n\r\n",
        )
        .await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[tokio::test]
async fn requests_that_come_together_are_answered_one_after_the_other() {
    let door = Door::open(limits()).await;
    let echo = b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nfirst";
    let sent = [echo, ASK, ASK_ONCE].concat();
    let answer = door.answer(&sent).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 3, "{answer}");
    let first = answer.find("first").unwrap();
    assert!(first < answer.find("fine").unwrap(), "{answer}");
}

#[tokio::test]
async fn idle_connections_make_room_for_others() {
    let door = Door::open(limits()).await;
    let mut idlers = Vec::new();
    for _ in 0..4 {
        let mut idler = door.send(ASK).await;
        until_said(&mut idler, "fine").await;
        idlers.push(idler);
    }
    // The first of them comes on top of the bound, and may be told to come again.
    timeout(PATIENCE, async {
        while !door.answer(ASK_ONCE).await.ends_with("fine") {}
    })
    .await
    .expect("there is never room");
    assert_eq!(rest(&mut idlers[0]).await, "", "the oldest had to go");
    idlers[3].write_all(ASK_ONCE).await.unwrap();
    assert!(rest(&mut idlers[3]).await.ends_with("fine"));
}

#[tokio::test]
async fn connections_that_are_being_served_stay_and_newcomers_are_told() {
    let door = Door::open(limits()).await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let ask = b"GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        served.push(door.send(ask).await);
    }
    // Once all four are seen, there is no room.
    let refused = timeout(PATIENCE, async {
        loop {
            let answer = door.answer(ASK_ONCE).await;
            if answer.starts_with("HTTP/1.1 503 ") {
                break answer;
            }
        }
    });
    let refused = refused.await.expect("there is always room");
    assert!(refused.contains("\r\nretry-after: 2\r\n"), "{refused}");
    let (_, body) = refused.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, REFUSAL);
    let mut answered = 0;
    for mut stream in served {
        door.go_on.notify_one();
        let answer = rest(&mut stream).await;
        answered += u32::from(answer.ends_with("at last"));
    }
    assert_eq!(answered, 4);
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_serves_and_leaves_nobody_waiting() {
    let door = Door::open(limits()).await;
    let mut silent = door.connect().await;
    let mut idle = door.send(ASK).await;
    until_said(&mut idle, "fine").await;
    let mut served = door.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // A connection after it was taken after it.
    assert!(door.answer(ASK_ONCE).await.ends_with("fine"));
    door.stop.cancel();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut idle).await, "");
    let refused = TcpStream::connect(door.address).await;
    assert!(refused.is_err(), "no new connection is taken");
    door.go_on.notify_one();
    assert!(rest(&mut served).await.ends_with("at last"));
    timeout(PATIENCE, door.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_sent_behind_a_request_that_is_served_is_answered_at_a_stop() {
    let door = Door::open(limits()).await;
    let mut stream = door.send(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    stream.write_all(ASK).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    door.stop.cancel();
    sleep(Duration::from_millis(100)).await;
    door.go_on.notify_one();
    let said = rest(&mut stream).await;
    assert!(said.contains("at last") && said.ends_with("fine"), "{said}");
    timeout(PATIENCE, door.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_sends_without_end_does_not_keep_a_server_that_stops() {
    let door = Door::open(limits()).await;
    let mut stream = door.send(ASK).await;
    door.stop.cancel();
    let asking = async {
        loop {
            let mut some = [0; 1_024];
            match stream.read(&mut some).await {
                Ok(1..) => {}
                _ended => return,
            }
            if stream.write_all(ASK).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, asking).await.unwrap();
    timeout(PATIENCE, door.serving).await.unwrap().unwrap();
}
