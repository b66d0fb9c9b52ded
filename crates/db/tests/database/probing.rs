//! What is read for probing, and what making an instance tells before any listing does.

use std::fmt::Write as _;

use pool_db::instances::{self, load_probed};
use pool_db::provisions::begin_step;
use pool_domain::{CreateStep, Instance};

use crate::fixture::Fixture;

fn ids(rows: &[Instance]) -> String {
    rows.iter().fold(String::new(), |mut ids, row| {
        let _ = write!(ids, "{} ", row.id);
        ids
    })
}

#[tokio::test]
async fn the_stock_is_looked_at_in_the_order_of_claims_from_where_the_last_look_ended() {
    let fixture = Fixture::new().await;
    // Their ids are not in the order of claims.
    for id in ["e", "d", "c", "b", "a"] {
        fixture.row(id, "idle").await;
    }
    fixture.row("s", "starting").await;
    fixture.row("x", "claimed").await;
    fixture.row("y", "claimed").await;
    let named = ["x".into()];
    let first = load_probed(&fixture.db, 2, None, 3, &named).await.unwrap();
    let read = [&first.starting, &first.next, &first.others, &first.named];
    assert_eq!(read.map(|rows| ids(rows)), ["s ", "e d ", "e d c ", "x "]);

    let rest = load_probed(&fixture.db, 2, first.ends_at.as_ref(), 3, &[]).await;
    assert_eq!(ids(&rest.unwrap().others), "b a ");

    // One that a claim put back is behind the others.
    fixture
        .execute("UPDATE instances SET put_back_at = now() WHERE id = 'd'")
        .await;
    let first = load_probed(&fixture.db, 2, None, 3, &[]).await.unwrap();
    assert_eq!(ids(&first.next), "e c ");
    let rest = load_probed(&fixture.db, 2, first.ends_at.as_ref(), 3, &[]).await;
    assert_eq!(ids(&rest.unwrap().others), "a d ");
}

#[tokio::test]
async fn a_url_is_noted_once_and_no_step_begins_for_one_that_is_to_be_destroyed() {
    let fixture = Fixture::new().await;
    let (_leader, term) = fixture.leader().await;
    fixture.row("a", "starting").await;
    fixture
        .execute(
            "UPDATE instances SET url = NULL; INSERT INTO provisions (id, name) VALUES ('a', 'n')",
        )
        .await;
    let (db, id) = (&fixture.db, "a".into());
    for url in ["http://first", "http://second"] {
        instances::set_url(db, term, &id, url).await.unwrap();
    }
    let url = fixture.text("SELECT url FROM instances").await;
    assert_eq!(url, "http://first");

    let step = CreateStep::Commit;
    assert!(begin_step(db, term, &id, step).await.unwrap());
    fixture
        .execute("UPDATE instances SET status = 'dead'")
        .await;
    assert!(!begin_step(db, term, &id, step).await.unwrap());
}
