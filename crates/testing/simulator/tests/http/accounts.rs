//! OpenRouter and AgentMail: what they answer, and the same bad days as Railway's.

use pool_simulator::faults::Lost;
use pool_simulator::invariants::{self, Row};
use pool_simulator::{Fault, FaultRule, Options, Simulator};
use serde_json::{Value, json};

use crate::support::{Answer, Client, Result, started, text};

async fn keys(
    simulator: &Simulator,
    client: &Client,
    method: &str,
    rest: &str,
    body: Value,
) -> Result<Answer> {
    let url = format!("{}/api/v1/keys{rest}", simulator.openrouter_url());
    client
        .account(method, &url, &simulator.openrouter_key(), body)
        .await
}

async fn inboxes(
    simulator: &Simulator,
    client: &Client,
    method: &str,
    rest: &str,
    body: Value,
) -> Result<Answer> {
    let url = format!("{}/v0/inboxes{rest}", simulator.agentmail_url());
    client
        .account(method, &url, &simulator.agentmail_key(), body)
        .await
}

fn new_key(name: &str) -> Value {
    json!({"name": name, "limit": 20, "limit_reset": "monthly"})
}

fn new_inbox(name: &str) -> Value {
    json!({"username": name, "display_name": "Convos Agent", "client_id": name})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_listed_without_itself_and_deleted_by_its_hash() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let made = keys(&simulator, &client, "POST", "", new_key("convos-agent-a")).await?;
    assert_eq!(made.status, 201);
    let hash = text(&made.json(), "/data/hash")?;
    assert!(text(&made.json(), "/key")?.starts_with("sk-or-v1-"));
    let listed = keys(&simulator, &client, "GET", "?offset=0", Value::Null)
        .await?
        .json();
    assert_eq!(listed["data"][0]["hash"], json!(hash));
    assert_eq!(listed["data"][0]["limit"], json!(20.0));
    assert!(listed["data"][0]["key"].is_null());
    assert_eq!(
        client.world().await?["keys"],
        json!([{"hash": hash, "name": "convos-agent-a"}])
    );
    let gone = format!("/{hash}");
    for status in [200, 404] {
        let deleted = keys(&simulator, &client, "DELETE", &gone, Value::Null).await?;
        assert_eq!(deleted.status, status);
    }
    assert_eq!(client.world().await?["keys"], json!([]));
    assert_eq!(
        simulator.request_counts().total,
        0,
        "nothing of it was Railway's"
    );
    assert_eq!(simulator.account_request_counts().of("keyDelete"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_a_hundred_at_a_time_and_names_may_repeat() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    for _ in 0..103 {
        keys(&simulator, &client, "POST", "", new_key("same")).await?;
    }
    let mut sizes = Vec::new();
    for offset in [0, 100, 103] {
        let rest = format!("?offset={offset}");
        let page = keys(&simulator, &client, "GET", &rest, Value::Null)
            .await?
            .json();
        sizes.push(page["data"].as_array().map_or(0, Vec::len));
    }
    assert_eq!(sizes, [100, 3, 0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_is_made_once_paged_and_deleted_by_its_address() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let mut first = Value::Null;
    for name in ["convos-agent-a", "convos-agent-a", "convos-agent-b"] {
        let made = inboxes(&simulator, &client, "POST", "", new_inbox(name))
            .await?
            .json();
        if first.is_null() {
            first = made;
        }
    }
    assert_eq!(first["inbox_id"], json!("convos-agent-a@agentmail.to"));
    let page = inboxes(&simulator, &client, "GET", "?limit=1", Value::Null)
        .await?
        .json();
    assert_eq!((&page["count"], &page["inboxes"][0]), (&json!(1), &first));
    let rest = format!("?limit=1&page_token={}", text(&page, "/next_page_token")?);
    let page = inboxes(&simulator, &client, "GET", &rest, Value::Null)
        .await?
        .json();
    assert_eq!(page["inboxes"][0]["client_id"], json!("convos-agent-b"));
    assert_eq!(page["next_page_token"], Value::Null);
    for status in [202, 404] {
        let rest = "/convos-agent-a%40agentmail.to";
        let deleted = inboxes(&simulator, &client, "DELETE", rest, Value::Null).await?;
        assert_eq!(deleted.status, status);
    }
    let left = json!([{"inboxId": "convos-agent-b@agentmail.to", "clientId": "convos-agent-b"}]);
    assert_eq!(client.world().await?["inboxes"], left);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_check_their_keys_and_what_they_are_given() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    for path in ["/api/v1/keys", "/v0/inboxes"] {
        let url = format!("{}{path}", simulator.openrouter_url());
        let refused = client.account("GET", &url, "wrong", Value::Null).await?;
        assert_eq!(refused.status, 401, "{path}");
    }
    let nameless = keys(&simulator, &client, "POST", "", json!({})).await?;
    assert_eq!(
        nameless.json()["error"]["message"],
        json!("name is required")
    );
    let bad = inboxes(&simulator, &client, "GET", "?page_token=x", Value::Null).await?;
    assert_eq!(
        (bad.status, bad.json()["name"].clone()),
        (400, json!("ValidationError"))
    );
    inboxes(&simulator, &client, "POST", "", new_inbox("a")).await?;
    let other = json!({"username": "a", "client_id": "other"});
    assert_eq!(
        inboxes(&simulator, &client, "POST", "", other)
            .await?
            .status,
        403
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_the_same_bad_days_as_railway() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    simulator.inject(FaultRule::always(Fault::Dropped))?;
    assert_eq!(
        keys(&simulator, &client, "GET", "", Value::Null)
            .await?
            .status,
        200
    );
    simulator.clear_faults();
    let error = Fault::Error {
        message: "Something broke".to_owned(),
        code: None,
    };
    let limited = Fault::RateLimited {
        retry_after_s: 3,
        body: pool_simulator::world::LimitBody::Json,
    };
    let cases = [
        (error, 500),
        (limited, 429),
        (Fault::Gateway { status: 503 }, 503),
        (Fault::EdgeBlock, 429),
        (Fault::NotAuthorized, 401),
        (Fault::CreationThrottle, 429),
        (Fault::HtmlOk, 200),
        (Fault::Dropped, 0),
    ];
    for (fault, status) in cases {
        for account in ["keyCreate", "agentmail"] {
            simulator.inject(FaultRule::once(fault.clone()).on(account))?;
        }
        let key = keys(&simulator, &client, "POST", "", new_key("a")).await;
        assert_eq!(key.map_or(0, |answer| answer.status), status, "{fault:?}");
        let inbox = inboxes(&simulator, &client, "POST", "", new_inbox("a")).await;
        assert_eq!(inbox.map_or(0, |answer| answer.status), status, "{fault:?}");
    }
    for account in ["keyCreate", "agentmail"] {
        simulator.inject(FaultRule::once(Fault::ProvisionLimit).on(account))?;
    }
    let key = keys(&simulator, &client, "POST", "", new_key("a")).await?;
    let inbox = inboxes(&simulator, &client, "POST", "", new_inbox("a")).await?;
    assert_eq!((key.status, inbox.status), (402, 403));
    let view = simulator.view();
    assert!(
        view.keys.is_empty() && view.inboxes.is_empty(),
        "nothing was done"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_do_it_and_lose_the_answer() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let lost = |how| Fault::AnswerLost { how };
    let faults = [
        lost(Lost::Dropped),
        lost(Lost::Gateway504),
        Fault::Truncated,
        Fault::CutShort,
    ];
    for fault in &faults {
        for operation in ["keyCreate", "inboxCreate"] {
            simulator.inject(FaultRule::once(fault.clone()).on(operation))?;
        }
        let key = keys(&simulator, &client, "POST", "", new_key("a")).await;
        assert!(
            key.map_or(true, |answer| answer.json()["key"].is_null()),
            "{fault:?}"
        );
        let inbox = inboxes(&simulator, &client, "POST", "", new_inbox("a")).await;
        assert!(
            inbox.map_or(true, |answer| answer.json()["inbox_id"].is_null()),
            "{fault:?}"
        );
    }
    assert_eq!(simulator.view().keys.len(), faults.len(), "each was made");
    assert_eq!(simulator.view().inboxes.len(), 1, "an inbox is made once");
    let patience = std::time::Duration::from_millis(500);
    for (fault, count) in [(Fault::Hang, 4), (lost(Lost::Never), 5)] {
        simulator.inject(FaultRule::once(fault.clone()).on("openrouter"))?;
        let asked = keys(&simulator, &client, "POST", "", new_key("a"));
        assert!(
            tokio::time::timeout(patience, asked).await.is_err(),
            "{fault:?}"
        );
        assert_eq!(simulator.view().keys.len(), count, "{fault:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_list_may_be_short_stale_or_a_lie() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    for name in ["a", "b", "c", "d"] {
        keys(&simulator, &client, "POST", "", new_key(name)).await?;
        inboxes(&simulator, &client, "POST", "", new_inbox(name)).await?;
    }
    let cases = [
        (Fault::ClampPage { max: 3 }, 3),
        (Fault::EmptyListing, 0),
        (Fault::PartialListing { every: 2 }, 2),
        (Fault::StaleListing { by_ms: 60_000 }, 0),
    ];
    for (fault, count) in cases {
        for operation in ["keyList", "inboxList"] {
            simulator.inject(FaultRule::once(fault.clone()).on(operation))?;
        }
        let page = keys(&simulator, &client, "GET", "", Value::Null)
            .await?
            .json();
        assert_eq!(
            page["data"].as_array().map(Vec::len),
            Some(count),
            "{fault:?}"
        );
        let page = inboxes(&simulator, &client, "GET", "", Value::Null)
            .await?
            .json();
        assert_eq!(
            page["inboxes"].as_array().map(Vec::len),
            Some(count),
            "{fault:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_list_may_never_end_or_show_what_is_gone() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let made = keys(&simulator, &client, "POST", "", new_key("a")).await?;
    inboxes(&simulator, &client, "POST", "", new_inbox("a")).await?;
    let lists = |fault| FaultRule::always(fault).on("keyList").on("inboxList");
    simulator.inject(lists(Fault::EndlessListing))?;
    for offset in [0, 1, 7] {
        let rest = format!("?offset={offset}");
        let page = keys(&simulator, &client, "GET", &rest, Value::Null);
        assert_eq!(page.await?.json()["data"].as_array().map(Vec::len), Some(1));
    }
    let page = inboxes(&simulator, &client, "GET", "", Value::Null).await?;
    let token = text(&page.json(), "/next_page_token")?;
    let rest = format!("?page_token={token}");
    let page = inboxes(&simulator, &client, "GET", &rest, Value::Null).await?;
    assert_eq!(page.json()["inboxes"], json!([]), "{}", page.json());
    simulator.clear_faults();

    let gone = format!("/{}", text(&made.json(), "/data/hash")?);
    keys(&simulator, &client, "DELETE", &gone, Value::Null).await?;
    inboxes(
        &simulator,
        &client,
        "DELETE",
        "/a%40agentmail.to",
        Value::Null,
    )
    .await?;
    for (fault, count) in [(Some(Fault::BackAgain { by_ms: 60_000 }), 1), (None, 0)] {
        simulator.clear_faults();
        if let Some(fault) = fault {
            simulator.inject(lists(fault))?;
        }
        let page = keys(&simulator, &client, "GET", "", Value::Null)
            .await?
            .json();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(count));
        let page = inboxes(&simulator, &client, "GET", "", Value::Null)
            .await?
            .json();
        assert_eq!(page["inboxes"].as_array().map(Vec::len), Some(count));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_an_inbox_that_nobody_uses_are_found() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let made = keys(&simulator, &client, "POST", "", new_key("convos-agent-a"))
        .await?
        .json();
    keys(&simulator, &client, "POST", "", new_key("convos-agent-a")).await?;
    keys(&simulator, &client, "POST", "", new_key("somebody-elses")).await?;
    inboxes(&simulator, &client, "POST", "", new_inbox("convos-agent-a")).await?;
    inboxes(&simulator, &client, "POST", "", new_inbox("convos-agent-b")).await?;
    let mut seed = crate::support::running(1);
    seed.variables
        .insert("OPENROUTER_API_KEY".to_owned(), text(&made, "/key")?);
    let inbox = "convos-agent-a@agentmail.to".to_owned();
    seed.variables
        .insert("AGENTMAIL_INBOX_ID".to_owned(), inbox);
    let seeded = simulator.seed_services(&seed)?;
    let row = Row {
        id: "a".to_owned(),
        service_id: seeded[0].service_id.as_str().into(),
        status: "idle".to_owned(),
        claimed_by: None,
        delete_requested: false,
    };
    let rules = |found: Vec<invariants::Violation>| -> Vec<_> {
        found.iter().map(|violation| violation.rule).collect()
    };
    let prefix = "convos-agent-";
    let row = std::slice::from_ref(&row);
    let left = simulator.world(|world| invariants::tidy(world, row, prefix));
    assert_eq!(rules(left), ["key-leak", "inbox-leak"]);
    let rest = format!("/{}", text(&made, "/data/hash")?);
    keys(&simulator, &client, "DELETE", &rest, Value::Null).await?;
    let left = simulator.world(|world| invariants::tidy(world, row, prefix));
    assert_eq!(rules(left), ["key-leak", "inbox-leak", "credential-gone"]);
    assert_eq!(simulator.world(|world| invariants::sound(world, row)), []);
    simulator.seed_services(&seed)?;
    let shared = simulator.world(|world| invariants::sound(world, row));
    assert_eq!(rules(shared), ["credential-of-one", "credential-of-one"]);
    Ok(())
}
