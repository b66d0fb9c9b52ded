//! Claims under a key: repeated at any server, nothing is done twice.

use std::sync::Arc;
use std::time::Duration;

use pool_claims::{ClaimError, ClaimRequest, ClaimSettings, Claimed};
use tokio::sync::{Barrier, Semaphore};
use tokio::task::JoinSet;

use crate::agents::Behaviour;
use crate::stage::{Stage, keyed, request};
use crate::wire::Cut;

async fn claim(stage: &Stage, key: &str) -> Result<Claimed, ClaimError> {
    stage.claims.claim(keyed(key)).await
}

/// The same answer to whoever repeats the claim.
fn repeated(claimed: &Claimed) -> Claimed {
    Claimed {
        is_replayed: true,
        ..claimed.clone()
    }
}

fn is_unknown(result: &Result<Claimed, ClaimError>, wanted: bool) -> bool {
    matches!(result, Err(ClaimError::Indeterminate { timed_out, .. }) if *timed_out == wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_repeated_at_any_server_gets_the_same_answer() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b", "c"]).await;
    let (first, other) = (
        claim(&stage, "k").await.unwrap(),
        stage.other_server().await,
    );
    assert_eq!(claim(&stage, "k").await.unwrap(), repeated(&first));
    assert_eq!(other.claim(keyed("k")).await.unwrap(), repeated(&first));
    let joining = ClaimRequest {
        join_url: Some("a-slug".to_owned()),
        ..keyed("joining")
    };
    let joined = stage.claims.claim(joining.clone()).await.unwrap();
    assert!(joined.joined);
    assert_eq!(other.claim(joining).await.unwrap(), repeated(&joined));
    assert_eq!(stage.agents.asked(), ["a", "b"]);
    assert_eq!(stage.status("c").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_also_the_same_where_the_agent_said_nothing_of_itself() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    stage.agents.tell("a", Behaviour::ServeSilently);
    let joining = ClaimRequest {
        join_url: Some("a-slug".to_owned()),
        ..keyed("k")
    };
    let first = stage.claims.claim(joining.clone()).await.unwrap();
    assert_eq!(first.invite_url, None);
    let stored = stage.column("a", "invite_url").await;
    assert_eq!(stored.as_deref(), Some("a-slug"));
    let again = stage.claims.claim(joining).await.unwrap();
    assert_eq!(again, repeated(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_first_one_runs_the_second_is_told_to_come_again() {
    let stage = Arc::new(Stage::new().await);
    let other = stage.other_server().await;
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a", "b"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let first = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { claim(&stage, "k").await.unwrap() }
    });
    stage.until("a", "claiming").await;
    for server in [&stage.claims, &other] {
        let told = server.claim(keyed("k")).await;
        assert!(
            matches!(told, Err(ClaimError::KeyInProgress { decided_in })
                if !decided_in.is_zero()),
            "{told:?}"
        );
    }
    go.add_permits(1);
    let first = first.await.unwrap();
    assert_eq!(other.claim(keyed("k")).await.unwrap(), repeated(&first));
    assert_eq!(stage.status("b").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_repeat_it_at_once_at_two_servers_one_agent_is_set_up() {
    const CALLERS: usize = 16;
    let stage = Arc::new(Stage::new().await);
    let other = stage.other_server().await;
    let names: Vec<String> = (0..CALLERS).map(|n| format!("a{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    stage.stock(&names).await;
    let begin = Arc::new(Barrier::new(CALLERS));
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let claims = if caller % 2 == 0 {
            &stage.claims
        } else {
            &other
        };
        let (claims, begin) = (claims.clone(), Arc::clone(&begin));
        callers.spawn(async move {
            begin.wait().await;
            loop {
                match claims.claim(keyed("k")).await {
                    Ok(claimed) => return claimed,
                    Err(ClaimError::KeyInProgress { .. }) => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    let answers = callers.join_all().await;
    let same = repeated(&answers[0]);
    assert!(answers.iter().all(|answer| repeated(answer) == same));
    let firsts = answers.iter().filter(|answer| !answer.is_replayed);
    assert_eq!(firsts.count(), 1);
    assert_eq!(stage.agents.asked(), [answers[0].instance_id.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_request_is_refused() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b"]).await;
    claim(&stage, "k").await.unwrap();
    let other = ClaimRequest {
        instructions: "Be quick.".into(),
        ..keyed("k")
    };
    let refused = stage.claims.claim(other).await;
    assert!(matches!(refused, Err(ClaimError::KeyReused)), "{refused:?}");
    assert_eq!(stage.agents.asked(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_surely_came_to_nothing_may_be_repeated_and_gets_an_agent() {
    let stage = Stage::new().await;
    assert!(matches!(claim(&stage, "k").await, Err(ClaimError::NoIdle)));
    stage.stock(&["a", "b"]).await;
    for status in [400, 503] {
        stage.agents.tell("a", Behaviour::Refuse(status));
        stage.agents.tell("b", Behaviour::Refuse(status));
        let refused = claim(&stage, "k").await;
        assert!(
            matches!(
                refused,
                Err(ClaimError::AllFailed { .. } | ClaimError::RequestRefused { .. })
            ),
            "{refused:?}"
        );
    }
    stage.agents.tell("b", Behaviour::Serve);
    // The first refuses, the second does not: its answer is kept.
    let other = stage.other_server().await;
    let claimed = other.claim(keyed("k")).await.unwrap();
    assert_eq!(claimed.instance_id.as_str(), "b");
    assert_eq!(claim(&stage, "k").await.unwrap(), repeated(&claimed));
    assert_eq!(stage.status("a").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_away_is_asked_again() {
    let stage = Stage::new().await;
    stage.stock(&["a"]).await;
    stage.claims.claim(request()).await.unwrap();
    stage.go_away().await;
    assert!(matches!(
        claim(&stage, "k").await,
        Err(ClaimError::Lease(_))
    ));
    stage.come_back().await;
    assert!(matches!(claim(&stage, "k").await, Err(ClaimError::NoIdle)));
    stage.stock(&["b"]).await;
    assert_eq!(claim(&stage, "k").await.unwrap().instance_id.as_str(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_outcome_is_told_again_and_no_second_agent_is_asked() {
    for (behaviour, timed_out) in [
        (Behaviour::Refuse(500), false),
        (Behaviour::CutOff, false),
        (Behaviour::Hang, true),
    ] {
        let stage = Stage::impatient().await;
        stage.stock(&["odd", "good"]).await;
        stage.agents.tell("odd", behaviour);
        for _ in 0..3 {
            let told = claim(&stage, "k").await;
            assert!(is_unknown(&told, timed_out), "{told:?}");
        }
        assert_eq!(stage.agents.asked(), ["odd"]);
        assert_eq!(stage.status("good").await, "idle");
        // Also once nothing is left of it.
        stage.sql("DELETE FROM instances WHERE id = 'odd'").await;
        assert!(is_unknown(&claim(&stage, "k").await, timed_out));
        assert_eq!(
            claim(&stage, "k2").await.unwrap().instance_id.as_str(),
            "good"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_ran_out_under_a_key_is_told_like_the_late_claimer_is() {
    let stage = Arc::new(Stage::new().await);
    let go = Arc::new(Semaphore::new(0));
    stage.stock(&["a", "b"]).await;
    stage.agents.tell("a", Behaviour::Wait(Arc::clone(&go)));
    let late = tokio::spawn({
        let stage = Arc::clone(&stage);
        async move { claim(&stage, "k").await }
    });
    stage.until("a", "claiming").await;
    stage
        .sql("UPDATE instances SET claim_expires_at = now() - interval '1 second'")
        .await;
    let running = claim(&stage, "k").await;
    assert!(
        matches!(running, Err(ClaimError::KeyInProgress { .. })),
        "nobody has decided yet: {running:?}"
    );
    stage.claims.expire_leases().await;
    assert!(is_unknown(&claim(&stage, "k").await, false));
    go.add_permits(1);
    assert!(is_unknown(&late.await.unwrap(), false));
    assert!(is_unknown(&claim(&stage, "k").await, false));
    assert_eq!(stage.status("b").await, "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_a_person_destroyed_since_is_not_given_again_nor_replaced() {
    let stage = Stage::new().await;
    stage.stock(&["a", "b"]).await;
    claim(&stage, "k").await.unwrap();
    stage
        .sql("UPDATE instances SET delete_requested_at = now() WHERE id = 'a'")
        .await;
    for _ in 0..2 {
        let told = claim(&stage, "k").await;
        assert!(
            matches!(&told, Err(ClaimError::Destroyed { id }) if id.as_str() == "a"),
            "{told:?}"
        );
        stage.sql("DELETE FROM instances WHERE id = 'a'").await;
    }
    assert_eq!(stage.agents.asked(), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_forgotten_a_day_after_their_lease_however_many_there_are() {
    const KEYS: usize = ClaimSettings::KEYS_FORGOTTEN_AT_ONCE * 2 + 1;
    let stage = Stage::new().await;
    stage.stock(&["a", "b"]).await;
    claim(&stage, "k").await.unwrap();
    let ran_out = format!(
        "UPDATE claim_requests SET expires_at = now() - interval '1 second'; \
         INSERT INTO claim_requests (key, fingerprint, claim_token, instance_id, expires_at) \
         SELECT n::text, '', gen_random_uuid(), n::text, now() - interval '1 second' \
         FROM generate_series(1, {KEYS}) AS n"
    );
    stage.sql(&ran_out).await;
    stage.claims.forget_keys().await;
    let left = stage.number("SELECT count(*) FROM claim_requests").await;
    assert_eq!(left, 0);
    assert_eq!(claim(&stage, "k").await.unwrap().instance_id.as_str(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_which_no_agent_was_called_is_free_also_when_the_database_is_away_beyond_the_lease()
 {
    let (stage, wire) = Stage::wired_with(ClaimSettings {
        lease: Duration::from_millis(500),
        provision_timeout: Duration::from_millis(400),
        ..ClaimSettings::default()
    })
    .await;
    stage.stock(&["a", "b"]).await;
    for _ in 0..3 {
        wire.cut("claims::lease_idle", Cut::After);
    }
    // The lease is taken; what gives it back does not arrive before it has run out.
    for _ in 0..6 {
        wire.cut("claims::release", Cut::Before);
    }
    let told = claim(&stage, "k").await;
    assert!(matches!(told, Err(ClaimError::Lease(_))), "{told:?}");
    stage.until("a", "claiming").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.other_server().await.expire_leases().await;
    assert_eq!(stage.status("a").await, "dead");
    assert_eq!(stage.claims.drain(Duration::from_secs(30)).await, 0);
    let again = stage.other_server().await.claim(keyed("k")).await.unwrap();
    assert_eq!(again.instance_id.as_str(), "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provision_ends_while_its_lease_still_holds() {
    let stage = Stage::with(ClaimSettings {
        lease: Duration::from_millis(900),
        provision_timeout: Duration::from_millis(800),
        ..ClaimSettings::default()
    })
    .await;
    stage.stock(&["mute"]).await;
    stage.agents.tell("mute", Behaviour::Hang);
    let told = claim(&stage, "k").await;
    assert!(is_unknown(&told, true), "{told:?}");
    assert_eq!(stage.status("mute").await, "dead");
    let reason = stage.column("mute", "status_actor").await;
    assert_eq!(
        reason.as_deref(),
        Some("claim"),
        "its lease had not run out"
    );
}
