//! An outage that hits every agent alike must not use up the stock.

use std::time::Duration;

use pool_claims::ClaimError;
use tokio::time::sleep;

use crate::agents::Behaviour;
use crate::stage::Stage;

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

#[tokio::test(flavor = "multi_thread")]
async fn after_five_sure_failures_in_a_row_claims_are_refused_until_a_trial_succeeds() {
    let stage = Stage::new().await;
    stage.stock(&NAMES).await;
    for name in NAMES {
        stage.agents.tell(name, Behaviour::Refuse(503));
    }
    // Three instances, then two more, then it is open.
    assert!(matches!(
        stage.claim().await,
        Err(ClaimError::AllFailed { tried: 3, .. })
    ));
    // Those that failed are at the end of the queue.
    assert!(matches!(
        stage.claim().await,
        Err(ClaimError::AllFailed { tried: 2, .. })
    ));
    let error = stage.claim().await.unwrap_err();
    let ClaimError::BreakerOpen { retry_after } = error else {
        panic!("{error}");
    };
    assert_eq!(stage.agents.asked().len(), 5, "nobody else was asked");

    sleep(retry_after).await;
    let trials = tokio::join!(stage.claim(), stage.claim(), stage.claim());
    let refused = [&trials.0, &trials.1, &trials.2]
        .into_iter()
        .filter(|it| matches!(it, Err(ClaimError::BreakerOpen { .. })))
        .count();
    assert_eq!(refused, 2, "one trial goes through: {trials:?}");
    assert_eq!(stage.agents.asked(), NAMES[..6], "with another instance");
    let blamed = "SELECT count(*) FROM instances WHERE failed_claims > 0 OR status <> 'idle'";
    assert_eq!(stage.number(blamed).await, 0, "nobody is to blame");
    let agents = stage.claims.agents().unwrap();
    assert_eq!(agents.failures, 6);
    assert_eq!(agents.last_words, "the agent answered 503: no");
    assert!(!agents.none_answers);

    for name in NAMES {
        stage.agents.tell(name, Behaviour::Serve);
    }
    // The next trial is due later than the first one was.
    sleep(retry_after * 2).await;
    stage.claim().await.unwrap();
    stage.claim().await.unwrap();
    assert_eq!(stage.claims.agents(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_small_stock_as_many_failures_open_it_as_there_are() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b"]).await;
    for name in ["a", "b"] {
        stage.agents.tell(name, Behaviour::Refuse(401));
    }
    let error = stage.claim().await.unwrap_err();
    assert!(
        matches!(error, ClaimError::AllFailed { tried: 2, .. }),
        "{error}"
    );
    let error = stage.claim().await.unwrap_err();
    assert!(matches!(error, ClaimError::BreakerOpen { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_comes_again_and_again_while_all_refuse_costs_no_instance() {
    let stage = Stage::new().await;
    stage.stock(&NAMES).await;
    for name in NAMES {
        stage.agents.tell(name, Behaviour::Refuse(401));
    }
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let pause = match stage.claim().await.unwrap_err() {
            ClaimError::BreakerOpen { retry_after } => retry_after,
            _ => Duration::from_millis(10),
        };
        sleep(pause).await;
    }
    let whole = "SELECT count(*) FROM instances WHERE status = 'idle' AND failed_claims = 0";
    assert_eq!(stage.number(whole).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_those_that_are_not_reached_a_claim_walks_to_one_that_is() {
    let stage = Stage::new().await;
    for n in 0..15 {
        let dead = format!("dead{n:02}");
        stage
            .stock_at(&dead, Some("http://127.0.0.1:1"), 100 - n)
            .await;
    }
    stage.stock(&["good", "better"]).await;
    let claimed = stage.claim().await.unwrap();
    assert_eq!(claimed.instance_id.as_str(), "good");
    let blamed = "SELECT count(*) FROM instances WHERE failed_claims > 0";
    assert_eq!(
        stage.number(blamed).await,
        0,
        "nobody had been set up before"
    );
    // They are at the end of the queue by then.
    assert_eq!(stage.claim().await.unwrap().instance_id.as_str(), "better");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_reaches_no_agent_finds_out_by_itself_and_when_it_does_again() {
    let stage = Stage::new().await;
    for n in 0..4 {
        let cut_off = format!("a{n}");
        stage
            .stock_at(&cut_off, Some("http://127.0.0.1:1"), n)
            .await;
    }
    let claims = stage.claims.clone();
    let looking = tokio::spawn(async move { claims.keep_looking_for_agents().await });
    let told = until(|| stage.claims.agents()).await;
    assert!(told.none_answers, "{told:?}");
    let error = stage.claim().await.unwrap_err();
    assert!(matches!(error, ClaimError::BreakerOpen { .. }), "{error}");
    let untouched = "SELECT count(*) FROM instances WHERE status = 'idle' AND epoch = 0";
    assert_eq!(stage.number(untouched).await, 4);

    let url = stage.agents.url("there");
    stage
        .sql(&format!("UPDATE instances SET url = '{url}'"))
        .await;
    until(|| stage.claims.agents().is_none().then_some(())).await;
    stage.claim().await.unwrap();
    looking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_only_slow_is_waited_for_and_nobody_is_to_blame() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..6).map(|n| format!("slow{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.stock(&names).await;
    for name in &names {
        stage
            .agents
            .tell(name, Behaviour::Slow(Duration::from_millis(1_500)));
    }
    for _ in 0..3 {
        stage.claim().await.unwrap();
    }
    let left = "SELECT count(*) FROM instances WHERE status = 'idle' AND failed_claims = 0";
    assert_eq!(stage.number(left).await, 3);
}

async fn until<T>(is_so: impl Fn() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = is_so() {
                return seen;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .unwrap_or_else(|_| panic!("it did not become so in time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_requests_never_open_it() {
    let stage = Stage::new().await;
    stage.stock(&NAMES).await;
    for name in NAMES {
        stage.agents.tell(name, Behaviour::Refuse(400));
    }
    for _ in 0..8 {
        let error = stage.claim().await.unwrap_err();
        assert!(
            matches!(error, ClaimError::RequestRefused { .. }),
            "{error}"
        );
        sleep(Duration::from_millis(1)).await;
    }
}
