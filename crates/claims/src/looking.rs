//! Asks a few idle agents whether they are ready, where this server has heard of none lately. So it knows
//! that it reaches none before a caller has to find out, and that it does again. It leases nothing, and
//! blames nobody.

use pool_agent::NotReady;
use pool_db::claims::{self, NextIdle};
use tokio::task::JoinSet;

use crate::ClaimSettings;
use crate::shared::Shared;

impl Shared {
    /// Looks, where that may tell something new.
    pub(crate) async fn look_for_agents(&self) {
        // Whoever it was that was ready, and whoever of this server asked him.
        let lately = if self.breaker.reaches_none() {
            ClaimSettings::LOOK_EVERY
        } else {
            ClaimSettings::HEARD_OF_LATELY
        };
        if self.agent.any_ready_within(lately) {
            self.breaker.reached();
            return;
        }
        let failed = self.breaker.failed_ids();
        let asked = match self.next_idle(&failed).await {
            Ok(asked) if !asked.is_empty() => asked,
            Ok(_) => match self.next_idle(&[]).await {
                Ok(asked) => asked,
                Err(_) => return,
            },
            // Whoever needs the database says that it is away.
            Err(_) => return,
        };
        if !self.ask_all(asked).await {
            self.note_if_exhausted().await;
        }
    }

    /// Whether any of them is ready. What the others say is noted.
    async fn ask_all(&self, agents: Vec<NextIdle>) -> bool {
        let mut asking = JoinSet::new();
        for NextIdle { id, url } in agents {
            let agent = self.agent.clone();
            asking.spawn(async move {
                let answer = agent.health(&url, ClaimSettings::PATIENCE).await;
                (id, answer)
            });
        }
        let (mut any, mut silent) = (false, Vec::new());
        while let Some(asked) = asking.join_next().await {
            match asked {
                Ok((_, Ok(_))) => any = true,
                Ok((id, Err(not_ready))) => silent.push((id, not_ready)),
                Err(_died) => {}
            }
        }
        if any {
            self.breaker.reached();
            return true;
        }
        for (id, NotReady { reason, heard }) in silent {
            self.breaker
                .failed(&id, &format!("health: {reason}"), heard);
        }
        false
    }

    /// Notes where there is no idle one but those that failed.
    pub(crate) async fn note_if_exhausted(&self) {
        if !self.breaker.is_open()
            && let Ok(false) = claims::idle_exists(&self.db, &self.breaker.failed_ids()).await
        {
            self.breaker.exhausted();
        }
    }

    async fn next_idle(
        &self,
        exclude: &[pool_domain::InstanceId],
    ) -> Result<Vec<NextIdle>, pool_db::Error> {
        claims::next_idle(&self.db, exclude, ClaimSettings::LOOKED_AT).await
    }
}
