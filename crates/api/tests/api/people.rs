//! What people do to instances: drain, kill, dismiss.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::timeout;

use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn drain_retires_the_oldest_unclaimed_ones_and_wakes_the_leader() {
    let stage = Stage::new().await;
    for (name, status) in [
        ("a", "claimed"),
        ("b", "starting"),
        ("c", "idle"),
        ("d", "idle"),
        ("e", "crashed"),
    ] {
        stage.instance(name, status).await;
    }
    let mut leader = stage.listen().await;
    let answer = stage.post("/api/pool/drain", r#"{"count":"2"}"#).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!({ "ok": true, "drained": 2, "counts": {
            "starting": 0, "idle": 1, "claiming": 0, "claimed": 1, "crashed": 1, "dead": 2
        } })
    );
    let woken = timeout(Duration::from_secs(5), leader.woken()).await;
    woken.unwrap().unwrap();
    let dead = "SELECT string_agg(id, ' ' ORDER BY id) FROM instances WHERE status = 'dead'";
    assert_eq!(stage.value(dead).await.as_deref(), Some("b c"));

    let rest = stage
        .post("/api/pool/drain", r#"{"count":99}"#)
        .await
        .json();
    assert_eq!(rest["drained"], json!(1), "never a claimed one");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_takes_any_instance_and_answers_the_same_when_it_is_gone() {
    let stage = Stage::new().await;
    for status in ["starting", "idle", "claimed", "crashed", "dead"] {
        let (name, path) = (
            format!("i-{status}"),
            format!("/api/pool/instances/i-{status}"),
        );
        stage.instance(&name, status).await;
        for _twice in 0..2 {
            let answer = stage.delete(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{status}");
            assert_eq!(answer.text, r#"{"ok":true}"#, "{status}");
        }
    }
    let left = "SELECT count(*)::text FROM instances \
                WHERE status <> 'dead' AND delete_requested_at IS NULL";
    assert_eq!(stage.value(left).await.as_deref(), Some("0"));
    let gone = stage.delete("/api/pool/instances/never-was").await;
    assert_eq!(
        (gone.status, gone.text.as_str()),
        (StatusCode::OK, r#"{"ok":true}"#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_being_claimed_is_not_killed() {
    let stage = Stage::new().await;
    stage.instance("a", "claiming").await;
    stage
        .sql("UPDATE instances SET claim_expires_at = now() + interval '60 seconds'")
        .await;
    let answer = stage.delete("/api/pool/instances/a").await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(
        answer.error(),
        "Instance a is being claimed. Try again in a few seconds."
    );
    assert_eq!(answer.header("retry-after"), Some("10"));
    assert_eq!(
        stage.value("SELECT status FROM instances").await.as_deref(),
        Some("claiming")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_crashed_instance_is_dismissed() {
    let stage = Stage::new().await;
    stage.instance("a", "crashed").await;
    stage.instance("b", "claimed").await;
    let dismissed = stage.delete("/api/pool/crashed/a").await;
    assert_eq!(
        (dismissed.status, dismissed.text.as_str()),
        (StatusCode::OK, r#"{"ok":true}"#)
    );
    assert_eq!(
        stage.get("/api/pool/agents").await.json()["crashed"],
        json!([])
    );
    for id in ["b", "never-was"] {
        let answer = stage.delete(&format!("/api/pool/crashed/{id}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.error(), format!("Crashed instance {id} not found"));
    }
}
