//! What surrounds every answer: headers, request ids, and a database that is away.

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use serde_json::json;
use wiremock::ResponseTemplate;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_keeps_browsers_careful() {
    let stage = Stage::new().await;
    for path in [
        "/",
        "/page/script.js",
        "/healthz",
        "/api/pool/counts",
        "/nothing",
    ] {
        let answer = stage.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request() {
    let stage = Stage::new().await;
    let ask = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id);
        let answer = stage.ask(request.body(Body::empty()).unwrap()).await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("mine-7").await, "mine-7");
    let long = "x".repeat(65);
    assert_ne!(ask(&long).await, long, "a stranger's long id is replaced");
    assert!(stage.get("/healthz").await.header("x-request-id").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_more_than_one_is_replaced_and_never_reaches_the_answer() {
    let stage = Stage::new().await;
    let ask = async |ids: &[&[u8]]| {
        let mut request = Request::get("/healthz");
        for id in ids {
            request = request.header("x-request-id", HeaderValue::from_bytes(id).unwrap());
        }
        let answer = stage.ask(request.body(Body::empty()).unwrap()).await;
        let answered: Vec<_> = answer
            .headers
            .get_all("x-request-id")
            .iter()
            .cloned()
            .collect();
        assert_eq!(answered.len(), 1, "{answered:?}");
        answered[0].as_bytes().to_owned()
    };
    for id in [
        "0198c4a2-7b1d-7c3e-9f00-1234567890ab",
        "Root=1-67891233:abc/def+0@x_y.z=",
        &"x".repeat(64),
    ] {
        assert_eq!(ask(&[id.as_bytes()]).await, id.as_bytes());
    }
    for id in [
        &b""[..],
        b"a b",
        b"a\tlevel=ERROR",
        b"<script>",
        b"\"},{\"",
        b"a;b",
        b"a%0d%0aSet-Cookie:x",
        "é".as_bytes(),
        b"\x80\xff",
    ] {
        let answered = ask(&[id]).await;
        assert_eq!(answered.len(), 36, "a UUID for {id:?}: {answered:?}");
    }
    let answered = ask(&[b"one", b"two"]).await;
    assert_eq!(answered.len(), 36, "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_an_agent_or_the_database_says_reaches_a_header() {
    let evil = "evil\r\nSet-Cookie: evil=1";
    let agents = [200, 400, 401, 403, 404, 413, 429, 500, 503].map(|status| {
        ResponseTemplate::new(status)
            .insert_header("retry-after", "86399")
            .insert_header("x-request-id", "evil")
            .insert_header("set-cookie", "evil=1")
            .insert_header("location", "https://evil.test")
            .insert_header("cache-control", "public, evil")
            .set_body_json(
                json!({"ok": status == 200, "error": evil, "conversationId": evil,
                                  "inviteUrl": evil}),
            )
    });
    for agent in agents {
        let stage = Stage::new().await;
        stage.instance("a", "idle").await;
        stage
            .sql("UPDATE instances SET runtime_image = E'evil\r\nX: y', source_branch = 'evil'")
            .await;
        stage.agent_answers(agent).await;
        let claim = r#"{"agentName":"A\r\nevil: 1","instructions":"evil","joinUrl":null}"#;
        let answers = [
            stage.post("/api/pool/claim", claim).await,
            stage.delete("/api/pool/instances/evil%0d%0aX:y").await,
            stage
                .get("/api/pool/agents?evil=%0d%0aSet-Cookie:evil")
                .await,
            stage.get("/evil%0d%0aSet-Cookie:evil").await,
        ];
        for answer in answers {
            for (name, value) in &answer.headers {
                let value = value.to_str().unwrap();
                assert!(SENT.contains(&name.as_str()), "{name}: {value}");
                assert!(!value.contains("evil"), "{name}: {value}");
                assert_ne!(value, "86399", "{name}");
            }
        }
    }
}

/// Every header that an answer may have, where the server behind it adds only its length and date.
const SENT: [&str; 10] = [
    "allow",
    "cache-control",
    "content-length",
    "content-security-policy",
    "content-type",
    "referrer-policy",
    "retry-after",
    "x-content-type-options",
    "x-frame-options",
    "x-request-id",
];

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_everything_says_so_and_the_page_still_shows() {
    let stage = Stage::new().await;
    stage.database_goes_away().await;
    let claim = stage
        .post("/api/pool/claim", r#"{"agentName":"A","instructions":"I"}"#)
        .await;
    let others = [
        stage.get("/api/pool/counts").await,
        stage.get_with_key("/api/pool/status").await,
        stage.post("/api/pool/drain", "").await,
        stage.post("/api/pool/reconcile", "").await,
        stage.delete("/api/pool/instances/x").await,
    ];
    for answer in others.iter().chain([&claim]) {
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{}",
            answer.text
        );
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(
            answer.error(),
            "The database is not available. Try again in a few seconds."
        );
    }
    let ready = stage.get("/readyz").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        ready.json(),
        json!({
            "ready": false, "why": null, "agents": null, "database": false, "writes": false,
            "leader": false, "lastTickAgeMs": null, "fuse": null, "unverified": null, "making": null, "budget": null, "loops": null,
            "cannotLead": null
        })
    );
    assert_eq!(stage.get("/healthz").await.status, StatusCode::OK);
    let page = stage.get("/").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.text.contains("The database does not answer."));
    assert_eq!(page.header("retry-after"), Some("5"));
}
