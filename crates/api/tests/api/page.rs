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
async fn a_name_without_end_is_cut_and_its_beginning_shown_to_whoever_points_at_it() {
    let stage = Stage::new().await;
    stage.instance("a", "claimed").await;
    stage
        .sql("UPDATE instances SET agent_name = repeat('ä&', 100000)")
        .await;
    let page = stage.get("/page/live").await.text;
    let shown = format!(">{}…</span>", "ä&amp;".repeat(40));
    let title = format!("<span title=\"{}\">", "ä&amp;".repeat(500));
    assert!(page.contains(&shown) && page.contains(&title));
    assert!(page.len() < 10_000, "{} bytes", page.len());
}

/// What Railway, the accounts, agents and other teams name and say, each where `EVIL` stands.
const REPORT: &str = r#"{
    "listing": {"complete": false, "reason": "EVIL"},
    "replenish": {"minIdle": 1, "towardsTarget": 1, "maxTotal": 1, "towardsCap": 1, "create": 0,
        "pace": {"stopped": {"why": "EVIL", "since": "T", "tryAt": "T"}}},
    "changes": [{"id": "EVIL", "from": "idle", "to": "dead", "reason": "EVIL"}],
    "foreign": [{"serviceId": "s", "name": "EVIL", "why": "EVIL"}],
    "heldBack": [{"what": "EVIL", "why": "EVIL", "count": 1}],
    "unreadable": ["EVIL"],
    "done": {"failures": [{"id": "EVIL", "action": "EVIL", "error": "EVIL"}]},
    "open": {
        "creating": [{"id": "EVIL", "left": ["EVIL"], "since": "T", "attempts": 1,
            "lastError": "EVIL", "tryAt": null}],
        "destroying": [{"id": "EVIL", "left": ["EVIL"], "since": "T", "attempts": 1,
            "lastError": "EVIL", "tryAt": null}]},
    "budget": {"limit": 1, "remaining": 1, "listingIsSlowerBecause": "EVIL"},
    "sweep": {"at": "T", "dryRun": false, "incomplete": ["EVIL"],
        "handedOver": [{"kind": "service", "id": "s", "name": "EVIL", "instanceId": "EVIL",
            "why": "EVIL"}, {"kind": "volume", "id": "EVIL", "name": null, "instanceId": null,
            "why": "EVIL"}],
        "reported": [{"kind": "key", "id": "k", "name": "EVIL", "instanceId": null,
            "why": "EVIL"}]}
}"#;

const FUSE: &str = r#"{"trippedAt": "T", "why": "EVIL", "lost": 1, "waiting": 1, "limit": 1,
    "held": [{"id": "EVIL", "epoch": 1, "from": "idle", "to": "dead", "reason": "EVIL"}]}"#;

const ROW: [&str; 4] = ["name", "agent_name", "deploy_status", "url"];

#[tokio::test(flavor = "multi_thread")]
async fn no_word_from_outside_is_ever_markup() {
    let stage = Stage::new().await;
    stage.instance("a", "claimed").await;
    let mut places = 0;
    // Each place is told by its number.
    let mut evil = |text: &str| {
        let mut parts = text.split("EVIL");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            filled.extend([
                "<img",
                &places.to_string(),
                " src=x onerror='a'>&amp;",
                part,
            ]);
            places += 1;
        }
        filled
            .replace("\"T\"", "\"2026-11-20T10:00:00Z\"")
            .replace('\'', "''")
    };
    let report = evil(REPORT);
    let fuse = evil(FUSE);
    for column in ROW {
        let before = if column == "url" {
            "https://h/\" onclick=\""
        } else {
            ""
        };
        let value = evil(&format!("{before}EVIL"));
        stage
            .sql(&format!("UPDATE instances SET {column} = '{value}'"))
            .await;
    }
    stage
        .sql(&format!(
            "INSERT INTO ticks (term, started_at, complete, report) \
             VALUES (1, now(), false, '{report}'); INSERT INTO fuse (report) VALUES ('{fuse}')"
        ))
        .await;
    for path in ["/", "/page/live"] {
        let page = stage.get(path).await.text;
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("\" onclick"), "{page}");
        for place in 0..places {
            let shown = format!("&lt;img{place} src=x onerror='a'&gt;&amp;amp;");
            assert!(page.contains(&shown), "{shown} in {page}");
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_open_outside_and_what_the_last_sweep_found() {
    let stage = Stage::new().await;
    stage
        .sql(
            r#"INSERT INTO ticks (term, started_at, complete, report) SELECT 1, now(), true,
            jsonb_build_object('open', jsonb_build_object(
                'creating', jsonb_build_array(jsonb_build_object('id', 'made', 'left', '["volume"]'::jsonb,
                    'since', now() - interval '5 minutes', 'attempts', 2,
                    'lastError', 'too <quickly>', 'tryAt', now() + interval '10 minutes 5 seconds')),
                'destroying', jsonb_build_array(
                    jsonb_build_object('id', 'ends', 'left', '[]'::jsonb, 'since', now(),
                        'attempts', 0, 'lastError', null, 'tryAt', null),
                    jsonb_build_object('id', 'waits', 'left', '["key"]'::jsonb, 'since', now(),
                        'attempts', 0, 'lastError', null, 'tryAt', null, 'waitsForAccount', true))),
            'sweep', jsonb_build_object('at', now() - interval '3 minutes', 'dryRun', false,
                'leftForLater', 4,
                'handedOver', '[{"kind": "key", "id": "hash-x", "name": "convos-agent-x",
                    "instanceId": "x", "why": "made for an instance that is gone"},
                    {"kind": "inbox", "id": "i@secret", "name": "convos-agent-y",
                    "instanceId": "y", "why": "gone"}]'::jsonb,
                'reported', '[{"kind": "volume", "id": "vol-1", "name": null, "instanceId": null,
                    "why": "detached"}]'::jsonb,
                'incomplete', '["OpenRouter''s keys: page 2 did not arrive"]'::jsonb))"#,
        )
        .await;
    let page = stage.get("/").await.text;
    for shown in [
        "<code>made</code> for 5 min, next: volume",
        "failed 2 times: too &lt;quickly&gt;</span>. Tried again in 10 min",
        "<code>ends</code> for 0 s, left: to see that it is gone",
        "left: key<span class=\"warn\">: its account is not configured</span>",
        "3 min ago: 2 to be destroyed, 1 only reported; 4 left for the next.",
        "key <code>convos-agent-x</code> of <code>x</code>: made for an instance that is gone",
        "inbox <code>convos-agent-y</code>",
        "volume <code>vol-1</code>: detached",
        "Not whole, so nothing of it is destroyed: OpenRouter's keys: page 2 did not arrive.",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    for hidden in ["hash-x", "i@secret"] {
        assert!(!page.contains(hidden), "{hidden}");
    }
}
