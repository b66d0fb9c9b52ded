//! What becomes of an instance whose agent fails, and what its caller is told.

use std::time::Duration;

use pool_claims::ClaimError;
use tokio::time::Instant;

use crate::agents::Behaviour;
use crate::stage::{Stage, keyed};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sure_failure_another_instance_is_tried_and_the_failed_one_is_idle_again() {
    for status in [401, 403, 404, 503] {
        let stage = Stage::new().await;
        stage.stock(&["first", "bad", "good"]).await;
        stage.agents.tell("bad", Behaviour::Refuse(status));
        stage.claim().await.unwrap();
        let claimed = stage.claim().await.unwrap();
        assert_eq!(claimed.instance_id.as_str(), "good", "{status}");
        assert_eq!(stage.status("bad").await, "idle", "{status}");
        assert_eq!(stage.failed_claims("bad").await, "1", "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_nobody_reaches_or_that_is_not_ready_surely_failed() {
    let stage = Stage::new().await;
    let closed = {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", socket.local_addr().unwrap())
    };
    stage.stock(&["first"]).await;
    stage.claim().await.unwrap();
    stage.stock_at("unreachable", Some(&closed), 30).await;
    stage.stock_at("nowhere", None, 20).await;
    stage.stock(&["good"]).await;
    assert_eq!(stage.claim().await.unwrap().instance_id.as_str(), "good");
    for name in ["unreachable", "nowhere"] {
        assert_eq!(stage.status(name).await, "idle");
        assert_eq!(stage.failed_claims(name).await, "1");
    }

    let stage = Stage::new().await;
    stage.stock(&["first", "unready", "good"]).await;
    stage.agents.tell("unready", Behaviour::NotReady);
    stage.claim().await.unwrap();
    assert_eq!(stage.claim().await.unwrap().instance_id.as_str(), "good");
    assert_eq!(
        stage.agents.asked(),
        ["first", "good"],
        "it was not even asked"
    );
    assert_eq!(stage.failed_claims("unready").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_while_others_do_not_must_prove_itself_at_the_second_time() {
    let stage = Stage::new().await;
    stage.stock(&["a", "bad", "b", "c"]).await;
    stage.agents.tell("bad", Behaviour::Refuse(503));
    for (served, status) in [("a", "idle"), ("b", "idle"), ("c", "idle")] {
        assert_eq!(stage.claim().await.unwrap().instance_id.as_str(), served);
        assert_eq!(stage.status("bad").await, status);
    }
    assert_eq!(
        stage.failed_claims("bad").await,
        "1",
        "it is met once in a round"
    );
    let error = stage.claim().await.unwrap_err();
    assert!(
        matches!(error, ClaimError::AllFailed { tried: 1, .. }),
        "{error}"
    );
    assert_eq!(stage.status("bad").await, "starting");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_are_tried_and_none_of_them_twice() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b", "c", "d"]).await;
    for name in ["a", "b", "c", "d"] {
        stage.agents.tell(name, Behaviour::Refuse(503));
    }
    let error = stage.claim().await.unwrap_err();
    assert!(
        matches!(error, ClaimError::AllFailed { tried: 3, .. }),
        "{error}"
    );
    assert_eq!(stage.agents.asked(), ["a", "b", "c"]);
    assert_eq!(stage.failed_claims("d").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_of_unknown_outcome_is_never_handed_out_again() {
    for behaviour in [
        Behaviour::Refuse(500),
        Behaviour::Refuse(502),
        Behaviour::Refuse(302),
        Behaviour::EdgeRefuses(404),
        Behaviour::EdgeRefuses(503),
        Behaviour::CutOff,
        Behaviour::Babble,
    ] {
        let stage = Stage::new().await;
        stage.stock(&["odd", "other"]).await;
        stage.agents.tell("odd", behaviour);
        let error = stage.claim().await.unwrap_err();
        let unknown = matches!(
            error,
            ClaimError::Indeterminate {
                timed_out: false,
                ..
            }
        );
        assert!(unknown, "{error}");
        assert_eq!(stage.status("odd").await, "dead");
        assert_eq!(stage.status("other").await, "idle", "no other is tried");
        assert_eq!(stage.claim().await.unwrap().instance_id.as_str(), "other");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_is_waited_for_no_longer_than_allowed() {
    let stage = Stage::impatient().await;
    stage.stock(&["mute"]).await;
    stage.agents.tell("mute", Behaviour::Hang);
    let began = Instant::now();
    let error = stage.claim().await.unwrap_err();
    let unknown = matches!(
        error,
        ClaimError::Indeterminate {
            timed_out: true,
            ..
        }
    );
    assert!(unknown, "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(stage.status("mute").await, "dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_instances_refuse_is_at_fault_itself() {
    for (first, second) in [(400, 400), (413, 413), (400, 413)] {
        let stage = Stage::new().await;
        stage.stock(&["a", "b", "c"]).await;
        stage.agents.tell("a", Behaviour::Refuse(first));
        stage.agents.tell("b", Behaviour::Refuse(second));
        let error = stage.claim().await.unwrap_err();
        let refused = matches!(error, ClaimError::RequestRefused { status } if status == second);
        assert!(refused, "{error}");
        assert_eq!(stage.agents.asked(), ["a", "b"]);
        for name in ["a", "b"] {
            assert_eq!(stage.status(name).await, "idle");
            assert_eq!(stage.failed_claims(name).await, "0");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_alone_refuses_a_request_is_at_fault() {
    for (other, failed_claims) in [
        (Behaviour::Serve, "1"),
        // Where none was set up, nobody is to blame.
        (Behaviour::Refuse(503), "0"),
        (Behaviour::Refuse(500), "0"),
    ] {
        let stage = Stage::new().await;
        stage.stock(&["odd", "other"]).await;
        stage.agents.tell("odd", Behaviour::Refuse(400));
        stage.agents.tell("other", other);
        let _either = stage.claim().await;
        assert_eq!(stage.status("odd").await, "idle");
        assert_eq!(stage.failed_claims("odd").await, failed_claims);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_without_a_second_opinion_blames_nobody() {
    let stage = Stage::new().await;
    stage.stock(&["only"]).await;
    stage.agents.tell("only", Behaviour::Refuse(400));
    for _ in 0..6 {
        let error = stage.claim().await.unwrap_err();
        assert!(
            matches!(error, ClaimError::AllFailed { tried: 1, .. }),
            "{error}"
        );
    }
    assert_eq!(stage.status("only").await, "idle");
    assert_eq!(stage.failed_claims("only").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_said_to_be_away() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    stage.claim().await.unwrap();
    stage.go_away().await;
    match stage.claim().await.unwrap_err() {
        ClaimError::Lease(error) => assert!(error.is_unavailable(), "{error}"),
        other => panic!("{other}"),
    }
    stage.come_back().await;
    assert!(matches!(stage.claim().await, Err(ClaimError::NoIdle)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirm_waits_for_the_database_to_come_back() {
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let caller = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { stage.claim().await.unwrap() }
    });
    stage.until("a", "claiming").await;
    stage.go_away().await;
    go.add_permits(1);
    while stage.agents.provisioned().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Long enough for some tries to fail.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!caller.is_finished());
    stage.come_back().await;
    assert_eq!(caller.await.unwrap().instance_id.as_str(), "a");
    assert_eq!(stage.status("a").await, "claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_somebodys_already_is_kept_for_him_and_the_caller_gets_another() {
    let stage = Stage::new().await;
    stage.stock(&["his", "hers", "free"]).await;
    for name in ["his", "hers"] {
        stage.agents.tell(name, Behaviour::Bound);
    }
    let claimed = stage.claims.claim(keyed("k")).await.unwrap();
    assert_eq!(claimed.instance_id.as_str(), "free");
    for name in ["his", "hers"] {
        assert_eq!(stage.status(name).await, "claimed");
        let conversation = stage.column(name, "conversation_id").await.unwrap();
        assert_eq!(conversation, format!("of-{name}"));
        assert_eq!(stage.column(name, "claim_token").await, None);
        assert_eq!(stage.column(name, "agent_name").await, None);
    }
    let again = stage.claims.claim(keyed("k")).await.unwrap();
    assert_eq!(again.instance_id, claimed.instance_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_agent_is_somebodys_none_is_idle_and_the_key_is_free() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b", "c", "d", "e"]).await;
    for name in ["a", "b", "c", "d", "e"] {
        stage.agents.tell(name, Behaviour::Bound);
    }
    for _ in 0..2 {
        let error = stage.claims.claim(keyed("k")).await.unwrap_err();
        assert!(matches!(error, ClaimError::NoIdle), "{error}");
    }
    let kept = "SELECT count(*) FROM instances WHERE status = 'claimed'";
    assert_eq!(stage.number(kept).await, 5);
    stage.stock(&["f"]).await;
    stage.claims.claim(keyed("k")).await.unwrap();
}
