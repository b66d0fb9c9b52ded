//! The fuse, as people see it, and how they confirm what it holds back.

use http::StatusCode;
use serde_json::json;

use crate::leader::{ask_leader, counts};
use crate::stage::Stage;

const CONFIRM: &str = "/api/pool/fuse/confirm";

/// A fuse that holds back losses of `x` and `y`.
async fn tripped() -> Stage {
    let stage = Stage::new().await;
    stage.instance("a", "idle").await;
    stage
        .sql(
            r#"INSERT INTO fuse (report) VALUES ('{
                "trippedAt": "2026-11-20T10:00:00Z", "why": "too many <b>", "lost": 1,
                "waiting": 7, "limit": 5, "held": [
                    {"id": "x", "epoch": 3, "from": "claimed", "to": "crashed", "reason": "gone"},
                    {"id": "y", "epoch": 1, "from": "idle", "to": "dead", "reason": "gone"}
                ]}')"#,
        )
        .await;
    stage
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_hands_the_leader_the_named_ones_or_all_that_are_listed() {
    for (body, asked_ids, result) in [
        (r#"{"ids":["y"]}"#, r#"["y"]"#, r#"["y"]"#),
        (
            r#"{"ids":["y","x","y"]}"#,
            r#"["y", "x", "y"]"#,
            r#"["x","y"]"#,
        ),
        ("", r#"["x", "y"]"#, r#"["x"]"#),
        (r#"{"ids":null}"#, r#"["x", "y"]"#, r#"["x","y"]"#),
    ] {
        let stage = tripped().await;
        let outcome = format!(r#"{{"report":{{"durationMs":7}},"confirmed":{result}}}"#);
        let (answer, asked) = ask_leader(&stage, CONFIRM, body, &outcome).await;
        assert_eq!(answer.status, StatusCode::OK, "{body}");
        let confirmed: serde_json::Value = serde_json::from_str(result).unwrap();
        assert_eq!(
            answer.json(),
            json!({
                "ok": true, "confirmed": confirmed, "counts": counts(),
                "report": { "durationMs": 7 },
            })
        );
        let command = format!(r#"confirm_fuse {{"ids": {asked_ids}}}"#);
        assert_eq!(asked, command, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_listed_is_not_confirmed_and_the_leader_is_not_asked() {
    let stage = tripped().await;
    let answer = stage.post(CONFIRM, r#"{"ids":["x","z","a"]}"#).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.error(), "The fuse does not hold back z, a");
    let many: Vec<_> = (0..5_000).map(|n| format!("id{n}")).collect();
    let answer = stage
        .post(CONFIRM, json!({ "ids": many }).to_string())
        .await;
    assert!(answer.error().len() < 100, "{}", answer.error());

    for whole in [
        "UPDATE fuse SET report = jsonb_set(report, '{held}', '[]')",
        "UPDATE fuse SET report = NULL",
    ] {
        stage.sql(whole).await;
        for body in ["{}", r#"{"ids":["x"]}"#] {
            let answer = stage.post(CONFIRM, body).await;
            assert_eq!(answer.status, StatusCode::CONFLICT);
            assert_eq!(answer.error(), "The fuse holds nothing back");
        }
    }
    let commands = "SELECT count(*)::text FROM commands";
    assert_eq!(stage.value(commands).await.as_deref(), Some("0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_no_more_when_the_leader_comes_to_it_is_said_to_be_so() {
    let stage = tripped().await;
    // The second is what a leader of an older build says.
    for outcome in [r#"{"report":{},"confirmed":[]}"#, r#"{"report":{}}"#] {
        let (answer, _) = ask_leader(&stage, CONFIRM, "", outcome).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        let sentence = "None of these waits any more. Look at what the fuse holds back now.";
        assert_eq!(answer.error(), sentence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_and_the_page_say_why_it_has_tripped_and_what_waits() {
    let stage = tripped().await;
    let ready = stage.get("/readyz").await;
    let fuse = &ready.json()["fuse"];
    assert_eq!(
        (&fuse["why"], &fuse["waiting"], &fuse["held"][1]),
        (
            &json!("too many <b>"),
            &json!(7),
            &json!({"id": "y", "epoch": 1, "from": "idle", "to": "dead", "reason": "gone"})
        )
    );
    let page = stage.get("/").await.text;
    for shown in [
        "The fuse has tripped",
        "too many &lt;b&gt;",
        "7 wait",
        "<code>x</code> claimed → crashed: gone",
        CONFIRM,
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    stage.sql("UPDATE fuse SET report = NULL").await;
    stage.forgets().await;
    assert!(stage.get("/readyz").await.json()["fuse"].is_null());
    // What is shown may be half a second old.
    let whole = async {
        while stage.get("/").await.text.contains("The fuse has tripped") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let limit = std::time::Duration::from_secs(10);
    tokio::time::timeout(limit, whole).await.unwrap();
}
