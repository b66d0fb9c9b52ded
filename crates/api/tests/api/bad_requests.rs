//! Each way in which a request can be wrong, and the sentence that says so.

use axum::body::Body;
use http::{Method, Request, StatusCode};

use crate::stage::{KEY, Stage};

const KEYED: [(Method, &str); 9] = [
    (Method::GET, "/api/pool/status"),
    (Method::POST, "/api/pool/claim"),
    (Method::POST, "/api/pool/replenish"),
    (Method::POST, "/api/pool/reconcile"),
    (Method::POST, "/api/pool/sweep"),
    (Method::POST, "/api/pool/fuse/confirm"),
    (Method::POST, "/api/pool/drain"),
    (Method::DELETE, "/api/pool/instances/x"),
    (Method::DELETE, "/api/pool/crashed/x"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_claim_has_its_sentence() {
    let stage = Stage::new().await;
    let instructions = "instructions (string) is required";
    let name = "agentName (string) is required";
    let join_url = "joinUrl must be a string if provided";
    let network = "popup.convos.org links cannot be used in the staging environment";
    let object = "The body must be a JSON object";
    let json = "The body is not valid JSON";
    for (body, sentence) in [
        ("", instructions),
        ("{}", instructions),
        (r#"{"agentName":"A"}"#, instructions),
        (r#"{"agentName":"A","instructions":""}"#, instructions),
        (r#"{"agentName":"A","instructions":null}"#, instructions),
        (r#"{"agentName":"A","instructions":7}"#, instructions),
        (r#"{"agentName":"A","instructions":["x"]}"#, instructions),
        (
            r#"{"agentName":7,"instructions":7,"joinUrl":7}"#,
            instructions,
        ),
        (r#"{"instructions":"I"}"#, name),
        (r#"{"agentName":"","instructions":"I"}"#, name),
        (r#"{"agentName":null,"instructions":"I"}"#, name),
        (r#"{"agentName":{},"instructions":"I","joinUrl":7}"#, name),
        (
            r#"{"agentName":"A","instructions":"I","joinUrl":7}"#,
            join_url,
        ),
        (
            r#"{"agentName":"A","instructions":"I","joinUrl":true}"#,
            join_url,
        ),
        (
            r#"{"agentName":"A","instructions":"I","joinUrl":[]}"#,
            join_url,
        ),
        (
            r#"{"agentName":"A","instructions":"I","joinUrl":{}}"#,
            join_url,
        ),
        (
            r#"{"agentName":"A","instructions":"I","joinUrl":"https://POPUP.convos.org/v2?i=x"}"#,
            network,
        ),
        (
            r#"{"agentName":"A","instructions":"a\u0000b"}"#,
            "instructions must not contain the character U+0000",
        ),
        ("[]", object),
        ("7", object),
        ("null", object),
        (r#""text""#, object),
        ("{", json),
        ("agentName=A", json),
        (r#"{"agentName":"A",}"#, json),
        (r#"{"agentName":"\ud800","instructions":"I"}"#, json),
    ] {
        let answer = stage.post("/api/pool/claim", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.error(), sentence, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_may_have_a_thousand_characters_and_not_one_more() {
    let stage = Stage::new().await;
    let claim = |name: &str| format!(r#"{{"agentName":"{name}","instructions":"I"}}"#);
    let longest = stage
        .post("/api/pool/claim", claim(&"é".repeat(1_000)))
        .await;
    assert_eq!(longest.status, StatusCode::SERVICE_UNAVAILABLE, "no stock");
    let longer = stage
        .post("/api/pool/claim", claim(&"é".repeat(1_001)))
        .await;
    assert_eq!(longer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        longer.error(),
        "agentName must have at most 1000 characters"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_link_is_refused_in_production_and_a_production_link_elsewhere() {
    let stage = Stage::in_environment("production").await;
    let link = |host: &str| {
        format!(r#"{{"agentName":"A","instructions":"I","joinUrl":"https://{host}/x"}}"#)
    };
    let refused = stage.post("/api/pool/claim", link("Dev.Convos.org")).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        refused.error(),
        "dev.convos.org links cannot be used in the production environment"
    );
    let fine = stage
        .post("/api/pool/claim", link("popup.convos.org"))
        .await;
    assert_eq!(
        fine.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "only the stock is empty"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_nothing_happens_that_needs_it() {
    let stage = Stage::new().await;
    stage.instance("x", "idle").await;
    for (method, path) in KEYED {
        for key in [None, Some("wrong"), Some("")] {
            // The body is wrong, too, and that is none of a stranger's business.
            let body = Some("{".to_owned());
            let answer = stage.send(method.clone(), path, key, body).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path} {key:?}");
            assert_eq!(answer.text, r#"{"error":"Invalid or missing API key"}"#);
        }
    }
    let status = stage.value("SELECT status FROM instances").await;
    assert_eq!(status.as_deref(), Some("idle"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scheme_may_be_written_in_any_case() {
    let stage = Stage::new().await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let request = Request::get("/api/pool/status")
            .header("authorization", format!("{scheme} {KEY}"))
            .body(Body::empty())
            .unwrap();
        assert_eq!(stage.ask(request).await.status, StatusCode::OK, "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_wrong_methods_are_errors_in_json() {
    let stage = Stage::new().await;
    for path in [
        "/nothing",
        "/api/pool",
        "/api/pool/claim/",
        "/api/pool/instances/",
    ] {
        let answer = stage.get_with_key(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.text, r#"{"error":"Not found"}"#, "{path}");
    }
    for (method, path, allowed) in [
        (Method::GET, "/api/pool/claim", "POST"),
        (Method::POST, "/api/pool/counts", "GET,HEAD"),
        (Method::PUT, "/api/pool/instances/x", "DELETE"),
        (Method::DELETE, "/healthz", "GET,HEAD"),
    ] {
        let answer = stage.send(method, path, Some(KEY), None).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.text, r#"{"error":"Method not allowed"}"#, "{path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_hold_a_mebibyte_and_not_a_byte_more() {
    let stage = Stage::new().await;
    let body = |bytes: usize| {
        let rest = r#"{"agentName":"A","instructions":""}"#.len();
        let instructions = "x".repeat(bytes - rest);
        format!(r#"{{"agentName":"A","instructions":"{instructions}"}}"#)
    };
    let most = stage.post("/api/pool/claim", body(1024 * 1024)).await;
    assert_eq!(
        most.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "only the stock is empty"
    );
    for path in ["/api/pool/claim", "/api/pool/drain", "/api/pool/reconcile"] {
        let more = stage.post(path, body(1024 * 1024 + 1)).await;
        assert_eq!(more.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert_eq!(more.error(), "The body is larger than 1 MiB", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_malformed_count_and_list_of_ids_has_its_sentence() {
    let stage = Stage::new().await;
    let number = "count must be a number";
    let ids = "ids must be an array of at least one string if provided";
    for (path, body, sentence) in [
        ("drain", r#"{"count":"many"}"#, number),
        ("drain", r#"{"count":[]}"#, number),
        ("drain", r#"{"count":-1}"#, "count must not be negative"),
        ("drain", r#"{"count":"-3"}"#, "count must not be negative"),
        ("replenish", r#"{"count":"many"}"#, number),
        ("replenish", r#"{"count":true}"#, number),
        ("fuse/confirm", r#"{"ids":[]}"#, ids),
        ("fuse/confirm", r#"{"ids":{}}"#, ids),
        ("fuse/confirm", r#"{"ids":"a"}"#, ids),
        ("fuse/confirm", r#"{"ids":["a",7]}"#, ids),
    ] {
        let answer = stage.post(&format!("/api/pool/{path}"), body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}");
        assert_eq!(answer.error(), sentence, "{path} {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_no_row_can_have_is_nobodys() {
    let stage = Stage::new().await;
    let gone = stage.delete("/api/pool/instances/a%00b").await;
    assert_eq!(
        (gone.status, gone.text.as_str()),
        (StatusCode::OK, r#"{"ok":true}"#)
    );
    let unknown = stage.delete("/api/pool/crashed/a%00b").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let not_text = stage.delete("/api/pool/instances/%ff").await;
    assert_eq!(not_text.status, StatusCode::BAD_REQUEST);
    assert_eq!(not_text.error(), "The path is not valid");
}
