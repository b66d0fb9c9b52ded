//! A migrated database with a handle on it, and short ways to put rows there and look at them.

use std::time::Duration;

use pool_db::claims::{self, Confirmation, Lease, Leased};
use pool_db::leadership::Candidate;
use pool_db::{Db, DbSettings};
use pool_domain::{ClaimToken, InstanceId, Secret, SeededEntropy, Term};
use pool_test_database::TestDatabase;
use tokio_postgres::Client;

pub(crate) const LEASE: Duration = Duration::from_secs(90);

pub(crate) struct Fixture {
    /// Last to go: the database is dropped with it.
    pub(crate) db: Db,
    pub(crate) sql: Client,
    pub(crate) database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with_claim_connections(2).await
    }

    pub(crate) async fn with_claim_connections(claim_pool_size: usize) -> Self {
        let database = TestDatabase::create().await;
        let settings = DbSettings {
            pool_size: 2,
            leader_pool_size: 1,
            claim_pool_size,
            ..settings(&database)
        };
        Self {
            db: Db::connect(&settings).await.unwrap(),
            sql: database.client().await,
            database,
        }
    }

    /// A row, oldest first in the order of the calls.
    pub(crate) async fn row(&self, id: &str, status: &str) {
        self.execute(&format!(
            "INSERT INTO instances (id, service_id, name, url, status, created_at, claim_token) \
             SELECT '{id}', 'service-{id}', 'convos-agent-{id}', 'https://{id}', '{status}', \
             timestamptz '2026-01-01' + count(*) * interval '1 s', \
             CASE WHEN '{status}' = 'claiming' THEN gen_random_uuid() END FROM instances"
        ))
        .await;
    }

    pub(crate) async fn execute(&self, sql: &str) {
        self.sql.batch_execute(sql).await.unwrap();
    }

    /// The first column of the first row, as text.
    pub(crate) async fn text(&self, sql: &str) -> String {
        let rows = self.sql.simple_query(sql).await.unwrap();
        let found = rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(row.get(0).unwrap_or("null").to_owned())
            }
            _ => None,
        });
        found.unwrap_or_else(|| "no row".to_owned())
    }

    /// The beginning of a month, this one's with 0, as a literal.
    pub(crate) async fn month(&self, from_this_one: i32) -> String {
        let month = format!(
            "SELECT quote_literal((date_trunc('month', now() AT TIME ZONE 'UTC') \
             + {from_this_one} * interval '1 month') AT TIME ZONE 'UTC')"
        );
        self.text(&month).await
    }

    pub(crate) async fn status(&self, id: &str) -> String {
        self.text(&format!("SELECT status FROM instances WHERE id = '{id}'"))
            .await
    }

    /// The events of one instance, each as `from to actor reason`.
    pub(crate) async fn events(&self, id: &str) -> String {
        self.text(&format!(
            "SELECT string_agg(format('%s>%s %s: %s', coalesce(from_status, 'none'), \
             coalesce(to_status, 'none'), actor, reason), '; ' ORDER BY id) \
             FROM instance_events WHERE instance_id = '{id}'"
        ))
        .await
    }

    /// A leader. It leads as long as it is kept.
    pub(crate) async fn leader(&self) -> (Candidate, Term) {
        let mut candidate = Candidate::connect(&settings(&self.database), "test")
            .await
            .unwrap();
        let term = candidate.try_lead().await.unwrap().unwrap();
        (candidate, term)
    }
}

pub(crate) fn settings(database: &TestDatabase) -> DbSettings {
    DbSettings::new(Secret::new(database.url()))
}

/// The lease of a claim without a key, if one was free.
pub(crate) async fn lease_idle(
    db: &Db,
    token: ClaimToken,
    exclude: &[InstanceId],
) -> Result<Option<Lease>, pool_db::Error> {
    match claims::lease_idle(db, token, LEASE, exclude, None).await? {
        Leased::Yes(lease) => Ok(Some(lease)),
        Leased::NoneIdle => Ok(None),
        Leased::KeyTaken => panic!("there is no key"),
        Leased::Unverified => panic!("the records were not restored"),
    }
}

pub(crate) fn confirmation(instance: &str) -> Confirmation {
    Confirmation {
        instance: instance.into(),
        agent_name: "Ada".to_owned(),
        conversation_id: Some("conversation".to_owned()),
        invite_url: Some("https://invite".to_owned()),
        instructions: "Be kind.".into(),
        source_branch: Some("main".to_owned()),
        joined: true,
        invited: true,
    }
}

pub(crate) fn token(seed: u64) -> ClaimToken {
    ClaimToken::generate(&SeededEntropy::new(seed))
}
