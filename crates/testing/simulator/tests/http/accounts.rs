//! OpenRouter and AgentMail: what they answer, and the same bad days as Railway's.

use pool_simulator::faults::Lost;
use pool_simulator::invariants::{self, Row};
use pool_simulator::world::LimitBody;
use pool_simulator::{Fault, FaultRule, Options, Simulator};
use serde_json::{Value, json};

use crate::support::{Answer, Client, PATIENCE, Result, running, started, text};

/// Both accounts of one simulator.
struct Accounts {
    simulator: Simulator,
    client: Client,
}

impl Accounts {
    async fn open() -> Result<Self> {
        let (simulator, client) = started(Options::default()).await?;
        Ok(Self { simulator, client })
    }

    async fn keys(&self, method: &str, rest: &str, body: Option<Value>) -> Result<Answer> {
        let url = format!("{}/api/v1/keys{rest}", self.simulator.openrouter_url());
        let key = self.simulator.openrouter_key();
        self.client.account(method, &url, &key, body).await
    }

    async fn inboxes(&self, method: &str, rest: &str, body: Option<Value>) -> Result<Answer> {
        let url = format!("{}/v0/inboxes{rest}", self.simulator.agentmail_url());
        let key = self.simulator.agentmail_key();
        self.client.account(method, &url, &key, body).await
    }

    async fn new_key(&self, name: &str) -> Result<Answer> {
        let body = json!({"name": name, "limit": 20, "limit_reset": "monthly"});
        self.keys("POST", "", Some(body)).await
    }

    async fn new_inbox(&self, name: &str) -> Result<Answer> {
        let body = json!({"username": name, "display_name": "Convos Agent", "client_id": name});
        self.inboxes("POST", "", Some(body)).await
    }

    /// How many are listed of each.
    async fn listed(&self) -> Result<[usize; 2]> {
        let keys = self.keys("GET", "", None).await?.json();
        let inboxes = self.inboxes("GET", "", None).await?.json();
        Ok([&keys["data"], &inboxes["inboxes"]].map(|list| list.as_array().map_or(0, Vec::len)))
    }

    /// What happens to the next request of each of these names.
    fn strike(&self, fault: &Fault, names: [&str; 2]) -> Result<()> {
        for name in names {
            let rule = FaultRule::once(fault.clone()).on(name);
            self.simulator.inject(rule)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_once_listed_without_itself_and_deleted_by_its_hash() -> Result<()> {
    let accounts = Accounts::open().await?;
    let made = accounts.new_key("convos-agent-a").await?;
    assert_eq!(made.status, 201);
    let hash = text(&made.json(), "/data/hash")?;
    assert!(text(&made.json(), "/key")?.starts_with("sk-or-v1-"));
    let listed = accounts.keys("GET", "?offset=0", None).await?.json();
    let shown = &listed["data"][0];
    assert_eq!(
        (&shown["hash"], &shown["limit"], &shown["key"]),
        (&json!(hash), &json!(20.0), &Value::Null)
    );
    let left = accounts.client.world().await?["keys"].clone();
    assert_eq!(left, json!([{"hash": hash, "name": "convos-agent-a"}]));
    for status in [200, 404] {
        let deleted = accounts.keys("DELETE", &format!("/{hash}"), None).await?;
        assert_eq!(deleted.status, status);
    }
    assert_eq!(accounts.client.world().await?["keys"], json!([]));
    let simulator = &accounts.simulator;
    assert_eq!(simulator.request_counts().total, 0, "none was Railway's");
    assert_eq!(simulator.account_request_counts().of("keyDelete"), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_a_hundred_at_a_time_and_names_may_repeat() -> Result<()> {
    let accounts = Accounts::open().await?;
    for _ in 0..103 {
        accounts.new_key("same").await?;
    }
    for (offset, size) in [(0, 100), (100, 3), (103, 0)] {
        let rest = format!("?offset={offset}");
        let page = accounts.keys("GET", &rest, None).await?.json();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(size));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_is_made_once_paged_and_deleted_by_its_address() -> Result<()> {
    let accounts = Accounts::open().await?;
    let first = accounts.new_inbox("convos-agent-a").await?.json();
    assert_eq!(first["inbox_id"], json!("convos-agent-a@agentmail.to"));
    for name in ["convos-agent-a", "convos-agent-b"] {
        accounts.new_inbox(name).await?;
    }
    let page = accounts.inboxes("GET", "?limit=1", None).await?.json();
    assert_eq!((&page["count"], &page["inboxes"][0]), (&json!(1), &first));
    let rest = format!("?limit=1&page_token={}", text(&page, "/next_page_token")?);
    let page = accounts.inboxes("GET", &rest, None).await?.json();
    assert_eq!(page["inboxes"][0]["client_id"], json!("convos-agent-b"));
    assert_eq!(page["next_page_token"], Value::Null);
    for status in [202, 404] {
        let rest = "/convos-agent-a%40agentmail.to";
        let deleted = accounts.inboxes("DELETE", rest, None).await?;
        assert_eq!(deleted.status, status);
    }
    let left = json!([{"inboxId": "convos-agent-b@agentmail.to", "clientId": "convos-agent-b"}]);
    assert_eq!(accounts.client.world().await?["inboxes"], left);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_check_their_keys_and_what_they_are_given() -> Result<()> {
    let accounts = Accounts::open().await?;
    for path in ["/api/v1/keys", "/v0/inboxes"] {
        let url = format!("{}{path}", accounts.simulator.openrouter_url());
        let refused = accounts.client.account("GET", &url, "wrong", None).await?;
        assert_eq!(refused.status, 401, "{path}");
    }
    let nameless = accounts.keys("POST", "", Some(json!({}))).await?.json();
    assert_eq!(nameless["error"]["message"], json!("name is required"));
    let bad = accounts.inboxes("GET", "?page_token=x", None).await?;
    assert_eq!(bad.status, 400);
    assert_eq!(bad.json()["name"], json!("ValidationError"));
    accounts.new_inbox("a").await?;
    let other = json!({"username": "a", "client_id": "other"});
    let taken = accounts.inboxes("POST", "", Some(other)).await?;
    assert_eq!(taken.status, 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_the_same_bad_days_as_railway() -> Result<()> {
    let accounts = Accounts::open().await?;
    accounts
        .simulator
        .inject(FaultRule::always(Fault::Dropped))?;
    assert_eq!(
        accounts.listed().await?,
        [0, 0],
        "it is about Railway alone"
    );
    accounts.simulator.clear_faults();
    let error = Fault::Error {
        message: "Something broke".to_owned(),
        code: None,
    };
    let limited = Fault::RateLimited {
        retry_after_s: 3,
        body: LimitBody::Json,
    };
    let cases = [
        (error, [500, 500]),
        (limited, [429, 429]),
        (Fault::Gateway { status: 503 }, [503, 503]),
        (Fault::EdgeBlock, [429, 429]),
        (Fault::NotAuthorized, [401, 401]),
        (Fault::CreationThrottle, [429, 429]),
        (Fault::HtmlOk, [200, 200]),
        (Fault::Dropped, [0, 0]),
        (Fault::ProvisionLimit, [402, 403]),
    ];
    for (fault, statuses) in cases {
        accounts.strike(&fault, ["keyCreate", "agentmail"])?;
        let answers = [accounts.new_key("a").await, accounts.new_inbox("a").await];
        let answers = answers.map(|answer| answer.map_or(0, |answer| answer.status));
        assert_eq!(answers, statuses, "{fault:?}");
    }
    let view = accounts.simulator.view();
    assert!(
        view.keys.is_empty() && view.inboxes.is_empty(),
        "all undone"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_do_it_and_lose_the_answer() -> Result<()> {
    let accounts = Accounts::open().await?;
    let lost = |how| Fault::AnswerLost { how };
    let faults = [
        lost(Lost::Dropped),
        lost(Lost::Gateway504),
        Fault::Truncated,
        Fault::CutShort,
    ];
    for fault in &faults {
        accounts.strike(fault, ["keyCreate", "inboxCreate"])?;
        for answer in [accounts.new_key("a").await, accounts.new_inbox("a").await] {
            let told = answer.map_or(Value::Null, |answer| answer.json());
            assert!(told["key"].is_null(), "{fault:?}");
            assert!(told["inbox_id"].is_null(), "{fault:?}");
        }
    }
    let view = accounts.simulator.view();
    assert_eq!(view.keys.len(), faults.len(), "each was made");
    assert_eq!(view.inboxes.len(), 1, "an inbox is made once");
    for (fault, count) in [(Fault::Hang, 4), (lost(Lost::Never), 5)] {
        let rule = FaultRule::once(fault.clone()).on("openrouter");
        accounts.simulator.inject(rule)?;
        let asked = tokio::time::timeout(PATIENCE, accounts.new_key("a"));
        assert!(asked.await.is_err(), "{fault:?}");
        assert_eq!(accounts.simulator.view().keys.len(), count, "{fault:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_list_may_be_short_stale_or_a_lie() -> Result<()> {
    let accounts = Accounts::open().await?;
    for name in ["a", "b", "c", "d"] {
        accounts.new_key(name).await?;
        accounts.new_inbox(name).await?;
    }
    let cases = [
        (Fault::ClampPage { max: 3 }, 3),
        (Fault::EmptyListing, 0),
        (Fault::PartialListing { every: 2 }, 2),
        (Fault::StaleListing { by_ms: 60_000 }, 0),
    ];
    for (fault, count) in cases {
        accounts.strike(&fault, ["keyList", "inboxList"])?;
        assert_eq!(accounts.listed().await?, [count; 2], "{fault:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_list_may_never_end_or_show_what_is_gone() -> Result<()> {
    let accounts = Accounts::open().await?;
    let made = accounts.new_key("a").await?.json();
    accounts.new_inbox("a").await?;
    let lists = |fault| FaultRule::always(fault).on("keyList").on("inboxList");
    accounts.simulator.inject(lists(Fault::EndlessListing))?;
    for offset in [0, 1, 7] {
        let rest = format!("?offset={offset}");
        let page = accounts.keys("GET", &rest, None).await?.json();
        assert_eq!(page["data"].as_array().map(Vec::len), Some(1));
    }
    let page = accounts.inboxes("GET", "", None).await?.json();
    let rest = format!("?page_token={}", text(&page, "/next_page_token")?);
    let page = accounts.inboxes("GET", &rest, None).await?.json();
    assert_eq!(page["inboxes"], json!([]), "{page}");
    accounts.simulator.clear_faults();

    let gone = format!("/{}", text(&made, "/data/hash")?);
    accounts.keys("DELETE", &gone, None).await?;
    accounts
        .inboxes("DELETE", "/a%40agentmail.to", None)
        .await?;
    assert_eq!(accounts.listed().await?, [0, 0]);
    let again = lists(Fault::BackAgain { by_ms: 60_000 });
    accounts.simulator.inject(again)?;
    assert_eq!(accounts.listed().await?, [1, 1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_an_inbox_that_nobody_uses_are_found() -> Result<()> {
    let accounts = Accounts::open().await?;
    let simulator = &accounts.simulator;
    let made = accounts.new_key("convos-agent-a").await?.json();
    for name in ["convos-agent-a", "somebody-elses"] {
        accounts.new_key(name).await?;
    }
    for name in ["convos-agent-a", "convos-agent-b"] {
        accounts.new_inbox(name).await?;
    }
    let mut seed = running(1);
    for (name, value) in [
        ("OPENROUTER_API_KEY", text(&made, "/key")?),
        (
            "AGENTMAIL_INBOX_ID",
            "convos-agent-a@agentmail.to".to_owned(),
        ),
    ] {
        seed.variables.insert(name.to_owned(), value);
    }
    let seeded = simulator.seed_services(&seed)?;
    let row = [Row {
        id: "a".to_owned(),
        service_id: seeded[0].service_id.as_str().into(),
        status: "idle".to_owned(),
        claimed_by: None,
        delete_requested: false,
    }];
    let rules = |found: Vec<invariants::Violation>| -> Vec<_> {
        found.iter().map(|violation| violation.rule).collect()
    };
    let tidy = || simulator.world(|world| invariants::tidy(world, &row, "convos-agent-"));
    let sound = || simulator.world(|world| invariants::sound(world, &row));
    assert_eq!(rules(tidy()), ["key-leak", "inbox-leak"]);
    let rest = format!("/{}", text(&made, "/data/hash")?);
    accounts.keys("DELETE", &rest, None).await?;
    assert_eq!(rules(tidy()), ["key-leak", "inbox-leak", "credential-gone"]);
    assert_eq!(sound(), []);
    simulator.seed_services(&seed)?;
    assert_eq!(rules(sound()), ["credential-of-one", "credential-of-one"]);
    Ok(())
}
