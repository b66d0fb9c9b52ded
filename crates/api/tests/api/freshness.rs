//! How old what is shown may be.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wiremock::ResponseTemplate;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_through_this_server_shows_at_once() {
    let stage = Stage::new().await;
    let yes = ResponseTemplate::new(200).set_body_json(json!({ "ok": true, "joined": false }));
    stage.agent_answers(yes).await;
    for name in ["a", "b", "c"] {
        stage.instance(name, "idle").await;
    }
    assert_eq!(stage.get("/api/pool/counts").await.json()["idle"], json!(3));
    assert_eq!(
        stage.get("/api/pool/agents").await.json()["claimed"],
        json!([])
    );

    let body = r#"{"agentName":"A","instructions":"I"}"#;
    assert!(
        stage
            .post("/api/pool/claim", body)
            .await
            .status
            .is_success()
    );
    let counts = stage.get("/api/pool/counts").await.json();
    assert_eq!(
        (&counts["idle"], &counts["claimed"]),
        (&json!(2), &json!(1))
    );
    let agents = stage.get("/api/pool/agents").await.json();
    assert_eq!(agents["claimed"][0]["id"], json!("a"));

    let drained = stage.post("/api/pool/drain", "").await.json();
    assert_eq!(
        drained["counts"]["dead"],
        json!(1),
        "also in the answer itself"
    );
    assert_eq!(stage.get("/api/pool/counts").await.json()["dead"], json!(1));

    stage.delete("/api/pool/instances/a").await;
    assert_eq!(
        stage.get("/api/pool/counts").await.json()["claimed"],
        json!(0)
    );
    assert_eq!(
        stage.get("/api/pool/agents").await.json()["claimed"],
        json!([])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_elsewhere_shows_within_a_second() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/pool/counts").await.json()["idle"], json!(0));
    assert_eq!(
        stage.get_with_key("/api/pool/status").await.json()["instances"],
        json!([])
    );
    stage.instance("a", "idle").await;
    let changed = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let counts = stage.get("/api/pool/counts").await.json();
    assert_eq!(counts["idle"], json!(1), "{:?} later", changed.elapsed());
    let status = stage.get_with_key("/api/pool/status").await.json();
    assert_eq!(status["instances"][0]["id"], json!("a"));
}
