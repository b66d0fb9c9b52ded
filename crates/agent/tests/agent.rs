//! The client against agents that behave, and against peers that do not.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pool_agent::{AgentClient, Health, ProvisionFailure, ProvisionRequest, Provisioned};
use pool_domain::write::FoundConversation;
use pool_domain::{Conversation, Redactor, Secret};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::{body_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

const KEY: &str = "the-pools-own-key";
/// What an agent may know and the client does not send.
const ANOTHER_KEY: &str = "the-key-of-agentmail";
const SOON: Duration = Duration::from_secs(5);

type TestResult = Result<(), Box<dyn StdError>>;

fn client() -> Result<AgentClient, pool_agent::Error> {
    AgentClient::new(Secret::new(KEY))
}

fn request(join_url: Option<&str>) -> ProvisionRequest {
    ProvisionRequest {
        agent_name: "Ada".to_owned(),
        instructions: "Help.".into(),
        join_url: join_url.map(str::to_owned),
    }
}

/// An agent that is ready and lets itself be provisioned, and the number of connections made to it. It
/// keeps them, or ends each after an answer.
async fn counting(keeps: bool) -> std::io::Result<(String, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while let Ok(1..) = stream.read(&mut request).await {
                    let answer =
                        "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{\"ready\":true,\"ok\":true}";
                    stream.write_all(answer.as_bytes()).await?;
                    if !keeps {
                        break;
                    }
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    Ok((url, made))
}

#[tokio::test]
async fn a_health_check_and_the_provision_after_it_share_a_connection() -> TestResult {
    let (url, made) = counting(true).await?;
    let agents = client()?;
    agents.health(&url, SOON).await?;
    agents.provision(&url, &request(None), SOON).await?;
    assert_eq!(made.load(Ordering::Relaxed), 1);
    // Later it could be closed just as the next request leaves.
    tokio::time::sleep(Duration::from_millis(700)).await;
    agents.health(&url, SOON).await?;
    assert_eq!(made.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_the_agent_ended_is_made_anew() -> TestResult {
    let (url, made) = counting(false).await?;
    let agents = client()?;
    agents.health(&url, SOON).await?;
    tokio::time::sleep(Duration::from_millis(100)).await;
    agents.provision(&url, &request(None), SOON).await?;
    assert_eq!(made.load(Ordering::Relaxed), 2);
    Ok(())
}

async fn answers(verb: &str, route: &str, answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method(verb))
        .and(path(route))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .respond_with(answer)
        .mount(&server)
        .await;
    server
}

/// A peer that reads the request's head and then does as it likes with the connection.
async fn peer<F>(misbehave: impl FnOnce(TcpStream) -> F + Send + 'static) -> std::io::Result<String>
where
    F: Future<Output = std::io::Result<()>> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await?;
        let mut head = [0; 4096];
        let _read = stream.read(&mut head).await?;
        misbehave(stream).await
    });
    Ok(url)
}

/// The address of a port at which nobody listens.
async fn nobody() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(format!("http://{}", listener.local_addr()?))
}

async fn provision_at(
    url: &str,
) -> Result<Result<Provisioned, ProvisionFailure>, pool_agent::Error> {
    Ok(client()?.provision(url, &request(None), SOON).await)
}

#[tokio::test]
async fn a_ready_agent_is_ready_and_remembered() -> TestResult {
    let answer = json!({"ready": true, "version": "1.2.3", "runtime": "openclaw"});
    let answer = ResponseTemplate::new(200).set_body_json(answer);
    let server = answers("GET", "/pool/health", answer).await;
    let client = client()?;
    assert!(!client.last_ready_within(&server.uri(), SOON));
    assert_eq!(
        client.health(&server.uri(), SOON).await?,
        Health {
            version: Some("1.2.3".to_owned()),
            runtime: Some("openclaw".to_owned())
        }
    );
    assert!(client.clone().last_ready_within(&server.uri(), SOON));
    server.reset().await;
    assert!(client.health(&server.uri(), SOON).await.is_err());
    assert!(!client.last_ready_within(&server.uri(), SOON));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_not_ready_says_why() -> TestResult {
    for (answer, reason) in [
        (
            ResponseTemplate::new(200).set_body_json(json!({"ready": false})),
            "the agent says that it is not ready",
        ),
        (
            ResponseTemplate::new(503).set_body_json(json!({"ready": true})),
            "the agent answered 503: {\"ready\":true}",
        ),
        (
            ResponseTemplate::new(401).set_body_json(json!({"error": format!("no {KEY}!")})),
            "the agent answered 401: no [REDACTED]!",
        ),
        (
            ResponseTemplate::new(502).set_body_string("<html><title>Bad gateway</title>"),
            "the agent answered 502: a page titled \"Bad gateway\"",
        ),
        (
            ResponseTemplate::new(200).set_body_string("ready"),
            "the agent's answer does not say whether it is ready",
        ),
        (
            ResponseTemplate::new(302).insert_header("location", "/elsewhere"),
            "the agent answered 302",
        ),
        (
            ResponseTemplate::new(200).set_body_bytes(vec![b' '; 1024 * 1024 + 1]),
            "the answer exceeds 1048576 bytes",
        ),
    ] {
        let server = answers("GET", "/pool/health", answer).await;
        let outcome = client()?.health(&server.uri(), SOON).await;
        assert_eq!(outcome.map_err(|not| not.reason), Err(reason.to_owned()));
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_agent_is_given_up_in_time() -> TestResult {
    let url = peer(|stream| async move {
        let _held = stream;
        tokio::time::sleep(SOON * 10).await;
        Ok(())
    })
    .await?;
    let outcome = client()?.health(&url, Duration::from_millis(100)).await;
    let not_ready = outcome.err().ok_or("a silent agent is not ready")?;
    assert_eq!(not_ready.reason, "no answer in time");
    Ok(())
}

#[tokio::test]
async fn an_agent_is_provisioned_and_its_answer_read() -> TestResult {
    let server = MockServer::start().await;
    let sent = json!({"agentName": "Ada", "instructions": "Help.", "joinUrl": "https://j"});
    let answer =
        json!({"ok": true, "inviteUrl": "https://j", "conversationId": null, "joined": true});
    Mock::given(method("POST"))
        .and(path("/pool/provision"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .and(body_json(sent))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    let url = format!("{}/", server.uri());
    let provisioned = client()?
        .provision(&url, &request(Some("https://j")), SOON)
        .await?;
    assert_eq!(
        provisioned,
        Provisioned {
            invite_url: Some("https://j".to_owned()),
            conversation_id: None,
            joined: true
        }
    );
    Ok(())
}

#[tokio::test]
async fn a_join_url_that_is_not_given_is_not_sent() -> TestResult {
    let answer = ResponseTemplate::new(200).set_body_json(json!({"ok": true}));
    let server = answers("POST", "/pool/provision", answer).await;
    provision_at(&server.uri()).await??;
    let sent = server.received_requests().await.unwrap_or_default();
    let body: serde_json::Value = serde_json::from_slice(&sent[0].body)?;
    assert_eq!(body, json!({"agentName": "Ada", "instructions": "Help."}));
    Ok(())
}

#[tokio::test]
async fn a_refusal_before_the_agent_began_is_definite() -> TestResult {
    for code in [400, 401, 403, 404, 413, 503] {
        let answer = ResponseTemplate::new(code).set_body_json(json!({"error": "no"}));
        let server = answers("POST", "/pool/provision", answer).await;
        assert_eq!(
            provision_at(&server.uri()).await?,
            Err(ProvisionFailure::Definite {
                reason: format!("the agent answered {code}: no"),
                status: Some(code)
            })
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_in_the_words_of_hermes_is_its_own_and_its_503_is_not_before_it_began()
-> TestResult {
    for (code, is_definite) in [(400, true), (401, true), (404, true), (503, false)] {
        let answer = ResponseTemplate::new(code).set_body_json(json!({"detail": "no"}));
        let server = answers("POST", "/pool/provision", answer).await;
        let outcome = provision_at(&server.uri()).await?;
        let definite = matches!(outcome, Err(ProvisionFailure::Definite { .. }));
        assert_eq!(definite, is_definite, "{code}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_is_not_the_agents_own_says_nothing_of_the_agent() -> TestResult {
    for code in [400, 401, 403, 404, 413, 503] {
        let edge = json!({"status": "error", "code": code, "message": "Application not found"});
        for answer in [
            ResponseTemplate::new(code).set_body_json(edge),
            ResponseTemplate::new(code).set_body_string("<html><title>no</title>"),
            ResponseTemplate::new(code),
        ] {
            let server = answers("POST", "/pool/provision", answer).await;
            let outcome = provision_at(&server.uri()).await?;
            let unknown = matches!(outcome, Err(ProvisionFailure::Indeterminate { .. }));
            assert!(unknown, "{code}: {outcome:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_is_somebodys_says_so_and_in_which_conversation() -> TestResult {
    for (answer, expected) in [
        (json!({"error": "bound", "conversationId": "c"}), Some("c")),
        (
            json!({"error": "bound", "conversation": {"id": "c"}}),
            Some("c"),
        ),
        (
            json!({"detail": "Instance already bound to a conversation."}),
            None,
        ),
        (json!("bound"), None),
    ] {
        let answer = ResponseTemplate::new(409).set_body_json(answer);
        let server = answers("POST", "/pool/provision", answer).await;
        let outcome = provision_at(&server.uri()).await?;
        let Err(ProvisionFailure::Bound { conversation, .. }) = outcome else {
            return Err(format!("{outcome:?}").into());
        };
        let named = conversation.map(|it| it.conversation_id);
        assert_eq!(named.as_deref(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn no_secret_and_nothing_of_the_callers_comes_back_in_a_refusal() -> TestResult {
    let request = ProvisionRequest {
        agent_name: "Ada".to_owned(),
        instructions: "Tell \"nobody\"\nof it".into(),
        join_url: Some("https://join.test/i/42".to_owned()),
    };
    let said = format!(
        "{KEY} and {ANOTHER_KEY} of {}, {}",
        serde_json::to_string(&request)?,
        request.instructions,
    );
    let client =
        AgentClient::with_redactor(Secret::new(KEY), &Redactor::new([Secret::new(ANOTHER_KEY)]))?;
    let left = "[REDACTED] and [REDACTED] of {\"agentName\":\"Ada\",\"instructions\":\"[REDACTED]\",\
                \"joinUrl\":\"[REDACTED]\"}, [REDACTED]";
    for (status, answer) in [
        (400, json!({ "error": said })),
        (200, json!({ "ok": false, "error": said })),
    ] {
        let answer = ResponseTemplate::new(status).set_body_json(answer);
        let server = answers("POST", "/pool/provision", answer).await;
        let outcome = client.provision(&server.uri(), &request, SOON).await;
        let failure = outcome.err().ok_or("refused")?.to_string();
        assert!(failure.ends_with(left), "{failure}");
    }
    Ok(())
}

#[tokio::test]
async fn any_other_answer_leaves_the_outcome_unknown() -> TestResult {
    let ok_body = json!({"ok": true});
    for answer in [
        ResponseTemplate::new(500).set_body_json(json!({"error": "Convos join failed"})),
        ResponseTemplate::new(502),
        ResponseTemplate::new(504),
        ResponseTemplate::new(429),
        ResponseTemplate::new(201).set_body_json(&ok_body),
        ResponseTemplate::new(307).insert_header("location", "/pool/provision"),
        ResponseTemplate::new(200).set_body_json(json!({"ok": false, "error": "no"})),
        ResponseTemplate::new(200).set_body_json(json!({"ok": true, "joined": "yes"})),
        ResponseTemplate::new(200).set_body_string("<html>ok</html>"),
        ResponseTemplate::new(200).set_body_bytes(vec![b' '; 1024 * 1024 + 1]),
        ResponseTemplate::new(200),
    ] {
        let server = answers("POST", "/pool/provision", answer).await;
        let outcome = provision_at(&server.uri()).await?;
        let Err(ProvisionFailure::Indeterminate {
            timed_out: false, ..
        }) = outcome
        else {
            return Err(format!("{outcome:?}").into());
        };
        let sent = server.received_requests().await.unwrap_or_default();
        assert_eq!(sent.len(), 1, "a provision is never repeated or redirected");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_connection_it_surely_did_not_happen() -> TestResult {
    for url in [
        nobody().await?,
        "http://no-such-agent.invalid".to_owned(),
        "not a url".to_owned(),
    ] {
        let outcome = provision_at(&url).await?;
        let Err(ProvisionFailure::Definite { status: None, .. }) = outcome else {
            return Err(format!("{url}: {outcome:?}").into());
        };
    }
    Ok(())
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_a_sure_failure() -> TestResult {
    let plain =
        peer(|mut stream| async move { stream.write_all(b"HTTP/1.1 400 no\r\n\r\n").await });
    let url = plain.await?.replace("http://", "https://");
    let outcome = provision_at(&url).await?;
    let Err(ProvisionFailure::Definite { status: None, .. }) = outcome else {
        return Err(format!("{outcome:?}").into());
    };
    Ok(())
}

#[tokio::test]
async fn a_peer_that_hangs_up_leaves_the_outcome_unknown() -> TestResult {
    let before_any_answer = peer(|stream| async move {
        drop(stream);
        Ok(())
    });
    let in_the_head = peer(|mut stream| async move { stream.write_all(b"HTTP/1.1 20").await });
    let in_the_body = peer(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ok\": true";
        stream.write_all(head).await
    });
    for url in [
        before_any_answer.await?,
        in_the_head.await?,
        in_the_body.await?,
    ] {
        let outcome = provision_at(&url).await?;
        let Err(ProvisionFailure::Indeterminate {
            timed_out: false, ..
        }) = outcome
        else {
            return Err(format!("{outcome:?}").into());
        };
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_breaks_off_may_be_anybodys() -> TestResult {
    let url = peer(|mut stream| async move {
        let head = b"HTTP/1.1 503 Not ready\r\ncontent-length: 100\r\n\r\n{\"err";
        stream.write_all(head).await
    });
    let outcome = provision_at(&url.await?).await?;
    let unknown = matches!(outcome, Err(ProvisionFailure::Indeterminate { .. }));
    assert!(unknown, "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn an_agent_that_takes_too_long_is_unknown_and_timed_out() -> TestResult {
    let silent = peer(|stream| async move {
        let _held = stream;
        tokio::time::sleep(SOON * 10).await;
        Ok(())
    });
    let dripping = peer(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head).await?;
        loop {
            stream.write_all(b" ").await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    for url in [silent.await?, dripping.await?] {
        let patience = Duration::from_millis(200);
        let outcome = client()?.provision(&url, &request(None), patience).await;
        let Err(ProvisionFailure::Indeterminate {
            timed_out: true, ..
        }) = outcome
        else {
            return Err(format!("{outcome:?}").into());
        };
    }
    Ok(())
}

/// What a peer does once it has read a request's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Silent,
    DripsItsHead,
    DripsItsBody,
    NeverEnds,
    Closes,
    ClosesInItsHead,
    ClosesInItsBody,
}

impl Peer {
    const ALL: [Self; 7] = [
        Self::Silent,
        Self::DripsItsHead,
        Self::DripsItsBody,
        Self::NeverEnds,
        Self::Closes,
        Self::ClosesInItsHead,
        Self::ClosesInItsBody,
    ];

    /// Whether only the caller's patience ends the call.
    fn dawdles(self) -> bool {
        matches!(self, Self::Silent | Self::DripsItsHead | Self::DripsItsBody)
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4000000000\r\n\r\n";
        match self {
            Self::Silent => std::future::pending().await,
            Self::DripsItsHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await?;
                drip(stream).await
            }
            Self::DripsItsBody => {
                stream.write_all(head).await?;
                drip(stream).await
            }
            Self::NeverEnds => {
                stream.write_all(head).await?;
                loop {
                    stream.write_all(&[b' '; 8 * 1024]).await?;
                }
            }
            Self::Closes => Ok(()),
            Self::ClosesInItsHead => stream.write_all(b"HTTP/1.1 20").await,
            Self::ClosesInItsBody => {
                stream.write_all(head).await?;
                stream.write_all(b"{\"ready\": true, \"ok\": true").await
            }
        }
    }
}

async fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        stream.write_all(b" ").await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_call_of_a_peer_that_misbehaves_ends_in_time_and_says_what_is_known() -> TestResult {
    let patience = Duration::from_millis(400);
    for conduct in Peer::ALL {
        let url = || peer(move |stream| conduct.serve(stream));
        let client = client()?;
        let calls = async {
            let healthy = client.health(&url().await?, patience).await;
            let conversation = client.conversation(&url().await?, patience).await;
            let at = url().await?;
            let provisioned = client.provision(&at, &request(None), patience).await;
            Ok::<_, std::io::Error>((healthy, conversation, provisioned))
        };
        // Whatever the machine does beside this: not the minutes that four gigabytes or a drip take.
        let (healthy, conversation, provisioned) =
            tokio::time::timeout(Duration::from_secs(60), calls).await??;
        assert!(healthy.is_err(), "{conduct:?}");
        assert_eq!(conversation, Conversation::NoAnswer, "{conduct:?}");
        let Err(ProvisionFailure::Indeterminate { timed_out, reason }) = provisioned else {
            return Err(format!("{conduct:?}: {provisioned:?}").into());
        };
        assert_eq!(timed_out, conduct.dawdles(), "{conduct:?}: {reason}");
    }
    Ok(())
}

#[tokio::test]
async fn an_adopted_agent_tells_its_conversation() -> TestResult {
    let found = Conversation::In(FoundConversation {
        conversation_id: "c1".to_owned(),
        invite_url: None,
    });
    for (answer, expected) in [
        (
            ResponseTemplate::new(200).set_body_json(json!({"conversationId": "c1"})),
            found,
        ),
        (
            ResponseTemplate::new(200).set_body_json(json!({"conversationId": null})),
            Conversation::None,
        ),
        (
            ResponseTemplate::new(404).set_body_json(json!({"error": "Not Found"})),
            Conversation::Unsupported,
        ),
        (
            ResponseTemplate::new(404).set_body_json(json!({
                "status": "error", "code": 404, "message": "Application not found",
                "request_id": "r",
            })),
            Conversation::NoAnswer,
        ),
        (ResponseTemplate::new(404), Conversation::NoAnswer),
        (ResponseTemplate::new(401), Conversation::NoAnswer),
        (ResponseTemplate::new(500), Conversation::NoAnswer),
        (ResponseTemplate::new(502), Conversation::NoAnswer),
        (ResponseTemplate::new(503), Conversation::NoAnswer),
    ] {
        let server = answers("GET", "/convos/status", answer).await;
        assert_eq!(client()?.conversation(&server.uri(), SOON).await, expected);
    }
    Ok(())
}

#[tokio::test]
async fn an_agent_that_gives_no_answer_is_to_be_asked_again() -> TestResult {
    let cut_off = peer(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"conversationId\": nu";
        stream.write_all(head).await
    });
    for url in [nobody().await?, cut_off.await?] {
        let conversation = client()?.conversation(&url, SOON).await;
        assert_eq!(conversation, Conversation::NoAnswer);
    }
    Ok(())
}

#[tokio::test]
async fn a_runtime_that_wants_its_gateway_token_gets_it() -> TestResult {
    let server = MockServer::start().await;
    let answer = json!({"conversationId": "c1", "pending": false, "clean": false});
    Mock::given(method("GET"))
        .and(path("/convos/status"))
        .and(header("authorization", "Bearer the-gateways-token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(answer))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .and(header("authorization", format!("Bearer {KEY}").as_str()))
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    let (client, url) = (client()?, server.uri());
    let token = Secret::new("the-gateways-token");
    let answer = client.conversation_with_gateway_token(&url, &token, SOON);
    let expected = Conversation::In(FoundConversation {
        conversation_id: "c1".to_owned(),
        invite_url: None,
    });
    assert_eq!(answer.await, expected);
    Ok(())
}

#[tokio::test]
async fn the_key_is_in_no_debug_text() -> TestResult {
    assert!(!format!("{:?}", client()?).contains(KEY));
    assert!(AgentClient::new(Secret::new("line\nbreak")).is_err());
    Ok(())
}

#[tokio::test]
async fn questions_are_answered_by_nothing_in_between() -> TestResult {
    let server = MockServer::start().await;
    let ready = ResponseTemplate::new(200).set_body_json(json!({"ready": true}));
    Mock::given(method("GET"))
        .and(header("cache-control", "no-cache"))
        .respond_with(ready)
        .expect(2)
        .mount(&server)
        .await;
    client()?.health(&server.uri(), SOON).await?;
    client()?.conversation(&server.uri(), SOON).await;
    server.verify().await;
    Ok(())
}

#[tokio::test]
async fn an_agent_without_https_hears_nothing_where_the_key_must_not_travel_in_the_open()
-> TestResult {
    let server = MockServer::start().await;
    let client = client()?.over_https_only();
    let url = server.uri();
    let said = client.health(&url, SOON).await.unwrap_err().to_string();
    assert_eq!(said, "not called: its address is not https");
    let asked = client.conversation(&url, SOON).await;
    assert_eq!(asked, Conversation::NoAnswer);
    let provisioned = client.provision(&url, &request(None), SOON).await;
    assert!(matches!(
        provisioned,
        Err(ProvisionFailure::Definite { .. })
    ));
    assert!(
        server
            .received_requests()
            .await
            .is_some_and(|all| all.is_empty())
    );
    Ok(())
}
