//! An agent that is ready is idle, whatever the others do and however seldom Railway is listed.

use pool_simulator::{AgentFault, Fault, FaultRule};

use crate::stage::{NEVER, Stage};

const LISTING: &str = "EnvironmentListing";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_agent_is_idle_before_railway_is_listed_again() {
    let stage = Stage::new().await;
    let leader = stage.lead(12, NEVER);
    // More than one round's worth: what begins slowly goes on as soon as the first are whole.
    stage.until_count("idle", 12).await;
    assert_eq!(stage.asked(LISTING), 1, "the listing at the beginning");
    assert_eq!(stage.services(), 12);
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_the_stock_is_made_up_for_without_a_listing() {
    let stage = Stage::new().await;
    let leader = stage.lead(2, NEVER);
    stage.until_count("idle", 2).await;
    let query = "UPDATE instances SET status = 'claiming', claim_token = gen_random_uuid(), \
                 claim_expires_at = now() + interval '1 hour' \
                 WHERE id = (SELECT min(id) FROM instances) RETURNING 1::bigint";
    assert_eq!(stage.number(query).await, 1);
    stage.wake();
    stage.until_count("idle", 2).await;
    assert_eq!(stage.asked(LISTING), 1);
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_black_holes_keep_no_other_from_being_promoted() {
    const HOLES: usize = 300;
    let stage = Stage::new().await;
    for hole in stage.seed(HOLES) {
        let service = hole.service_id.as_str().into();
        let fault = Some(AgentFault::Mute);
        stage.railway.set_agent_fault(&service, fault).unwrap();
    }
    // While they are starting, they count towards the target.
    let leader = stage.lead(HOLES + 3, NEVER);
    stage.until_count("starting", HOLES).await;
    stage.until_count("idle", 3).await;
    assert_eq!(stage.count("starting").await, HOLES);
    leader.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_slow_to_answer_is_idle_all_the_same() {
    let stage = Stage::new().await;
    let slow = FaultRule::always(Fault::BornBroken {
        fault: AgentFault::Slow { ms: 2_000 },
    });
    stage.railway.inject(slow).unwrap();
    let leader = stage.lead(1, NEVER);
    stage.until_count("idle", 1).await;
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_one_is_asked_first_and_then_idle() {
    let stage = Stage::new().await;
    stage.seed(3);
    let leader = stage.lead(3, NEVER);
    stage.until_count("idle", 3).await;
    let unasked = "SELECT count(*) FROM instances WHERE unasked";
    assert_eq!(stage.number(unasked).await, 0);
    leader.stop().await;
}
