//! Whoever hangs keeps only those waiting who need it.

use pool_simulator::{Fault, FaultRule};

use crate::stage::{NEVER, Stage};

fn hangs(operation: &str) -> FaultRule {
    FaultRule::always(Fault::Hang).on(operation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_openrouter_stops_no_destruction_of_a_service() {
    let stage = Stage::new().await;
    let leader = stage.lead(12, NEVER);
    stage.until_count("idle", 12).await;
    let keys = stage.railway.view().keys.len();
    let all = ["keyCreate", "keyList", "keyDelete"];
    let rule = all
        .into_iter()
        .fold(FaultRule::always(Fault::Hang), FaultRule::on);
    stage.railway.inject(rule).unwrap();
    // More than have a place in the lane of keys.
    stage.drain(12).await;
    stage
        .until("their services and inboxes are gone", async |stage| {
            let view = stage.railway.view();
            let stand = view.services.iter().filter(|it| it.deleted_at.is_none());
            stand.count() == 0 && view.inboxes.is_empty()
        })
        .await;
    assert_eq!(
        stage.railway.view().keys.len(),
        keys,
        "no key was deleted yet"
    );
    assert!(stage.building_at().contains("being destroyed"));
    leader.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_commit_stops_neither_promotion_nor_destruction() {
    let stage = Stage::new().await;
    stage
        .railway
        .inject(hangs("environmentPatchCommit"))
        .unwrap();
    stage.seed(3);
    let leader = stage.lead(5, NEVER);
    stage
        .until("a commit hangs", async |stage| {
            stage.building_at().contains("commit under way")
        })
        .await;
    stage.until_count("idle", 3).await;
    stage.drain(1).await;
    stage
        .until("its service is gone", async |stage| {
            let services = stage.railway.view().services;
            services.iter().any(|it| it.deleted_at.is_some())
        })
        .await;
    assert!(
        stage.building_at().contains("commit under way"),
        "it hangs on"
    );
    leader.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_not_made_anew_for_a_step_that_failed_later() {
    let stage = Stage::new().await;
    let refused = Fault::Error {
        message: "Something went wrong".to_owned(),
        code: Some("INTERNAL_SERVER_ERROR".to_owned()),
    };
    let rule = FaultRule::once(refused).on("volumeCreate");
    stage.railway.inject(rule).unwrap();
    let leader = stage.lead(1, std::time::Duration::from_millis(500));
    stage.until_count("idle", 1).await;
    let counts = stage.railway.account_request_counts();
    assert_eq!(counts.of("keyCreate"), 1);
    assert_eq!(counts.of("keyDelete"), 0);
    leader.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_stopped_ends_what_it_began() {
    let stage = Stage::new().await;
    let leader = stage.lead(4, NEVER);
    stage
        .until("something is being made", async |stage| {
            stage.services() > 0
        })
        .await;
    leader.stop().await;
    let open = "SELECT count(*) FROM provisions WHERE step <> 'created'";
    assert_eq!(stage.number(open).await, 0);
    assert!(stage.loops.report().is_none(), "it leads no more");
}
