//! The page: what it shows, and what it must not.

use http::StatusCode;

use crate::stage::{KEY, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_counts_the_last_tick_and_instances_but_no_conversation() {
    let stage = Stage::new().await;
    stage.instance("a", "claimed").await;
    stage
        .sql(
            r#"INSERT INTO ticks (term, started_at, complete, report) VALUES (3, now(), false, '{
                "listing": {"complete": false, "reason": "page 2 did not arrive"},
                "heldBack": [{"what": "creations", "why": "the cap is reached", "count": 4}],
                "done": {"failures": [{"id": "b", "action": "volumeCreate", "error": "too quickly"}]}
            }')"#,
        )
        .await;
    let page = stage.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    for shown in [
        "convos-agent-a",
        "agent a",
        "of leader 3",
        "page 2 did not arrive",
        "4 × creations: the cap is reached",
        "volumeCreate",
        "too quickly",
        "staging · version 1.2.3",
    ] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }
    for hidden in [
        KEY,
        "c-a",
        "join.test",
        "instructions of",
        "secret-token",
        "hash-a",
    ] {
        assert!(!page.text.contains(hidden), "{hidden}");
    }
    let live = stage.get("/page/live").await;
    assert!(
        page.text
            .contains(&live.text[..live.text.find("ended").unwrap()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_callers_and_agents_say_is_never_markup() {
    let stage = Stage::new().await;
    stage.instance("a", "claimed").await;
    stage
        .sql(
            "UPDATE instances SET agent_name = '<script>alert(1)</script>', \
             url = 'javascript:alert(2)'",
        )
        .await;
    let page = stage.get("/").await.text;
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains("javascript:"), "such an address is no link");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_asks_for_the_key_and_no_browser_sends_it_by_itself() {
    let stage = Stage::new().await;
    let page = stage.get("/").await.text;
    assert!(page.contains(r#"<input id="key" type="password""#));
    assert!(
        !page.contains(" name=\"key"),
        "a field without a name is never sent"
    );
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "nothing from elsewhere"
    );
    let script = stage.get("/page/script.js").await;
    assert_eq!(
        script.header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    for kept in ["localStorage", "sessionStorage", "cookie"] {
        assert!(!script.text.contains(kept), "{kept}");
    }
    let style = stage.get("/page/style.css").await;
    assert_eq!(
        style.header("content-type"),
        Some("text/css; charset=utf-8")
    );
}
