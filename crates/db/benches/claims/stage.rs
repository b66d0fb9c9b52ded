//! The table that is leased from, and those who do it by this crate.

use std::sync::Arc;
use std::time::Duration;

use pool_db::claims::{self, Confirmation, Confirmed, KeyedRequest, Leased};
use pool_db::{Db, DbSettings};
use pool_domain::{ClaimToken, Fingerprint, IdempotencyKey, OsEntropy, Secret};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::figures::{Figures, TURN};

/// How long a lease would hold.
const LEASE: Duration = Duration::from_hours(1);

/// What each caller does again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    Lease,
    /// A lease and its confirmation.
    Claim,
    /// The same under a key, with the look whether it was used before.
    KeyedClaim,
}

pub(crate) struct Stage {
    url: String,
    db: Db,
    admin: Client,
    rows: u32,
    claimed: u32,
}

impl Stage {
    pub(crate) async fn new(url: &str, rows: u32, claimed: u32) -> Result<Self, Failure> {
        Ok(Self {
            url: url.to_owned(),
            db: Db::connect(&DbSettings::new(Secret::new(url))).await?,
            admin: connect(url).await?,
            rows,
            claimed,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Everything is idle again, and the database knows it.
    pub(crate) async fn fill(&self) -> Result<(), Failure> {
        let fill = format!(
            "TRUNCATE instances, instance_events, claim_requests; \
             ALTER TABLE instances DISABLE TRIGGER USER; \
             INSERT INTO instances (id, service_id, name, url, status, created_at, claim_token) \
             SELECT 'bench' || n, 'service-' || n, 'convos-agent-' || n, 'https://' || n, \
             CASE WHEN n > {claimed} THEN 'idle' ELSE 'claimed' END, now() - n * interval '1 s', \
             CASE WHEN n <= {claimed} THEN gen_random_uuid() END \
             FROM generate_series(1, {all}) AS n; \
             ALTER TABLE instances ENABLE TRIGGER USER",
            claimed = self.claimed,
            all = self.rows + self.claimed,
        );
        self.admin.batch_execute(&fill).await?;
        self.admin.batch_execute("VACUUM ANALYZE instances").await?;
        Ok(self.admin.batch_execute("CHECKPOINT").await?)
    }

    /// A transaction that sees the table as it is, as a dump does: while it is open nothing dead goes.
    pub(crate) async fn hold_open(&self) -> Result<Client, Failure> {
        let client = connect(&self.url).await?;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM instances";
        client.batch_execute(begin).await?;
        Ok(client)
    }

    pub(crate) async fn turn(
        self: &Arc<Self>,
        callers: usize,
        work: Work,
    ) -> Result<Figures, Failure> {
        let until = Instant::now() + TURN;
        let mut calling = JoinSet::new();
        for _ in 0..callers {
            let stage = Arc::clone(self);
            calling.spawn(async move {
                let mut took = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    stage.once(work).await?;
                    took.push(began.elapsed());
                }
                Ok::<_, Failure>(took)
            });
        }
        let mut took = Vec::new();
        while let Some(done) = calling.join_next().await {
            took.extend(done??);
        }
        Ok(Figures::of(took))
    }

    async fn once(&self, work: Work) -> Result<(), Failure> {
        let token = ClaimToken::generate(&OsEntropy);
        let request = match work {
            Work::Lease | Work::Claim => None,
            Work::KeyedClaim => Some(keyed(token)?),
        };
        if let Some(request) = &request {
            claims::look(&self.db, request).await?;
        }
        let leased = claims::lease_idle(&self.db, token, LEASE, &[], request.as_ref()).await?;
        let Leased::Yes(lease) = leased else {
            return Err("every instance is leased: ask for more rows".into());
        };
        if let Work::Claim | Work::KeyedClaim = work {
            let confirmation = Confirmation {
                instance: lease.id,
                agent_name: "Ada".to_owned(),
                conversation_id: Some("conversation".to_owned()),
                invite_url: Some("https://invite.test/conversation".to_owned()),
                instructions: "Be helpful. ".repeat(20).into(),
                source_branch: None,
                joined: true,
                invited: true,
            };
            let confirmed = claims::confirm(&self.db, token, &confirmation).await?;
            if confirmed != Confirmed::Done {
                return Err("a lease was not confirmed".into());
            }
        }
        Ok(())
    }
}

fn keyed(token: ClaimToken) -> Result<KeyedRequest, Failure> {
    let key = token.as_uuid().to_string();
    Ok(KeyedRequest {
        key: IdempotencyKey::parse(key.as_bytes()).map_err(|_| "no key")?,
        fingerprint: Fingerprint([1; 32]),
        keep: Duration::from_hours(24),
        leased_before: None,
    })
}

async fn connect(url: &str) -> Result<Client, Failure> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
