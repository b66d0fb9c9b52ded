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
    stage
        .sql("UPDATE instances SET created_at = now() WHERE failed_claims > 0")
        .await;
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
    assert_eq!(stage.agents.asked().len(), 6, "with one instance");

    for name in NAMES {
        stage.agents.tell(name, Behaviour::Serve);
    }
    sleep(retry_after).await;
    stage.claim().await.unwrap();
    stage.claim().await.unwrap();
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
