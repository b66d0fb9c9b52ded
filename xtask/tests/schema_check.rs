//! `cargo xtask schema-check` as a person runs it: what it ends with, and how it asks a server.

#[path = "../src/schema_check/introspected.rs"]
mod introspected;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};

use introspected::introspected;

/// Has all that we use, so that it can stand for Railway's own.
const OURS: &str = include_str!("../../crates/railway/schema/railway.graphql");

const TOKEN: &str = "a-token-of-these-tests";

fn schema_check() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("schema-check");
    for name in [
        "RAILWAY_TOKEN",
        "RAILWAY_API_TOKEN",
        "RAILWAY_INTROSPECTION",
    ] {
        command.env_remove(name);
    }
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command
}

fn ending(output: &Output) -> Option<i32> {
    output.status.code()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn it_ends_with_0_when_all_holds_with_1_when_not_and_with_2_when_it_cannot_tell() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let [whole, damaged, cut] = ["whole", "damaged", "cut"].map(|name| folder.path().join(name));
    let answer = introspected(OURS)?;
    fs::write(&whole, &answer)?;
    fs::write(&cut, &answer[..answer.len() / 2])?;
    let nullable = OURS.replace("serviceName: String!", "serviceName: String");
    fs::write(&damaged, introspected(&nullable)?)?;

    let output = schema_check().arg(&whole).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(ending(&output), Some(0), "{said}{}", errors(&output));
    assert!(said.contains("schema-check: fine: "), "{said}");

    let output = schema_check().arg(&damaged).output()?;
    assert_eq!(ending(&output), Some(1), "{}", errors(&output));
    let sentence = "nullability: ServiceInstance.serviceName is String in Railway's schema and \
                    String! here: it may be null where we do not expect it.";
    assert!(errors(&output).contains(sentence), "{}", errors(&output));

    let output = schema_check().arg(&cut).output()?;
    assert_eq!(ending(&output), Some(2), "{}", errors(&output));
    let missing = folder.path().join("missing");
    let output = schema_check().arg(&missing).output()?;
    assert_eq!(ending(&output), Some(2));
    let sentence = "missing cannot be opened: No such file or directory (os error 2)\n";
    assert!(errors(&output).ends_with(sentence), "{}", errors(&output));
    Ok(())
}

/// What a server was asked.
struct Asked {
    head: String,
    body: String,
}

/// A server that gives these answers, one a connection, and then what it was asked.
struct Server {
    url: String,
    asked: JoinHandle<Result<Vec<Asked>>>,
}

impl Server {
    fn start(answers: Vec<(&'static str, Vec<u8>)>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/graphql/v2", listener.local_addr()?);
        let asked = thread::spawn(move || {
            let answer = |(status, body): &(&str, Vec<u8>)| {
                let (stream, _) = listener.accept()?;
                serve(stream, status, body)
            };
            answers.iter().map(answer).collect()
        });
        Ok(Self { url, asked })
    }

    fn asked(self) -> Result<Vec<Asked>> {
        let asked = self.asked.join().ok().context("the server panicked")?;
        asked.context("the server failed")
    }
}

fn serve(stream: TcpStream, status: &str, answer: &[u8]) -> Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "the request broke off");
    }
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let mut body = vec![0; length.context("the request has no length")?.parse()?];
    reader.read_exact(&mut body)?;
    let mut stream = reader.into_inner();
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(answer)?;
    Ok(Asked {
        head,
        body: String::from_utf8(body)?,
    })
}

#[test]
fn a_server_is_asked_with_the_token_and_its_answer_is_kept() -> Result<()> {
    let answer = introspected(OURS)?;
    let folder = tempfile::tempdir()?;
    let kept = folder.path().join("introspection.json");
    for (name, header) in [
        (
            "RAILWAY_API_TOKEN",
            format!("\r\nauthorization: Bearer {TOKEN}\r\n"),
        ),
        (
            "RAILWAY_TOKEN",
            format!("\r\nproject-access-token: {TOKEN}\r\n"),
        ),
    ] {
        let server = Server::start(vec![("200 OK", answer.clone())])?;
        let mut command = schema_check();
        command.arg("--live").arg("--save").arg(&kept);
        command.env("RAILWAY_API_URL", &server.url).env(name, TOKEN);
        let output = command.output()?;
        assert_eq!(ending(&output), Some(0), "{}", errors(&output));
        assert_eq!(fs::read(&kept)?, answer);
        let asked = server.asked()?;
        assert!(asked[0].head.contains(&header), "{}", asked[0].head);
    }
    Ok(())
}

#[test]
fn a_server_that_cannot_tell_of_inputs_is_asked_again_without() -> Result<()> {
    let refusal = br#"{"errors": [{"message": "Unknown argument \"includeDeprecated\""}]}"#;
    let server = Server::start(vec![
        ("400 Bad Request", refusal.to_vec()),
        ("200 OK", introspected(OURS)?),
    ])?;
    let mut command = schema_check();
    let output = command
        .arg("--live")
        .env("RAILWAY_API_URL", &server.url)
        .output()?;
    assert_eq!(ending(&output), Some(0), "{}", errors(&output));
    let asked = server.asked()?;
    let bodies: Vec<_> = asked.iter().map(|asked| asked.body.as_str()).collect();
    assert!(
        bodies[0].contains("args(includeDeprecated: true)"),
        "{bodies:?}"
    );
    assert!(bodies[1].contains(" args { "), "{bodies:?}");
    assert!(
        !asked[0].head.contains("authorization"),
        "{}",
        asked[0].head
    );
    Ok(())
}

#[test]
fn a_server_that_gives_no_schema_is_quoted_and_nothing_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kept = folder.path().join("introspection.json");
    let unauthorized = || br#"{"data": null, "errors": [{"message": "Not Authorized"}]}"#.to_vec();
    let page = || b"<html>error code: 1015</html>".to_vec();
    let cases = [
        (
            vec![("200 OK", unauthorized()), ("200 OK", unauthorized())],
            "answered 200: the introspection was answered with an error: Not Authorized\n",
        ),
        (
            vec![("429 Too Many Requests", page())],
            "answered 429: too many requests; wait, then try again\n",
        ),
        (
            vec![("503 Service Unavailable", page())],
            "answered 503 and no schema\n",
        ),
    ];
    for (answers, sentence) in cases {
        let server = Server::start(answers)?;
        let mut command = schema_check();
        command.arg("--live").arg("--save").arg(&kept);
        let output = command.env("RAILWAY_API_URL", &server.url).output()?;
        assert_eq!(ending(&output), Some(2), "{}", errors(&output));
        assert!(errors(&output).ends_with(sentence), "{}", errors(&output));
        assert!(!kept.exists());
        server.asked()?;
    }
    Ok(())
}

#[test]
fn a_token_that_a_server_says_back_is_not_repeated() -> Result<()> {
    let echo = || format!("{{\"errors\": [{{\"message\": \"no {TOKEN} here\"}}]}}").into_bytes();
    let server = Server::start(vec![("200 OK", echo()), ("200 OK", echo())])?;
    let mut command = schema_check();
    command.arg("--live").env("RAILWAY_API_URL", &server.url);
    let output = command.env("RAILWAY_API_TOKEN", TOKEN).output()?;
    assert_eq!(ending(&output), Some(2), "{}", errors(&output));
    assert!(
        errors(&output).contains("no (token) here"),
        "{}",
        errors(&output)
    );
    assert!(!errors(&output).contains(TOKEN), "{}", errors(&output));
    server.asked()?;
    Ok(())
}

#[test]
fn a_server_that_is_not_there_and_a_token_with_a_line_break_end_in_a_sentence() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut command = schema_check();
    command
        .arg("--live")
        .env("RAILWAY_API_URL", format!("http://{free}"));
    let output = command.output()?;
    assert_eq!(ending(&output), Some(2), "{}", errors(&output));
    assert!(
        errors(&output).contains("could not be asked: "),
        "{}",
        errors(&output)
    );

    let broken = format!("{TOKEN}\nurl = \"http://elsewhere\"");
    let mut command = schema_check();
    let output = command
        .arg("--live")
        .env("RAILWAY_TOKEN", broken)
        .output()?;
    assert_eq!(ending(&output), Some(2), "{}", errors(&output));
    let sentence =
        "schema-check: cannot tell: RAILWAY_TOKEN holds what no header or URL may hold\n";
    assert_eq!(errors(&output), sentence);
    Ok(())
}
