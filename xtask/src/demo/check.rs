//! What `demo --check` plays, as a person would with curl, and tells line by line.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::pool::Outside;
use super::stack::Stack;
use pool_harness::stopwatch::{Look, Stopwatch, wait_until};

/// The check promises to end within a minute; ending the programs takes a few seconds of it.
const LIMIT: Duration = Duration::from_secs(50);

/// What happened, with the time since the beginning.
pub(super) struct Story {
    pub(super) watch: Stopwatch,
}

impl Story {
    pub(super) fn begin() -> Self {
        Self {
            watch: Stopwatch::start(),
        }
    }

    pub(super) fn tell(&self, what: &str) {
        println!("{:>7}  {what}", self.watch.to_string());
    }

    /// What is left for everything that is still to happen.
    fn left(&self) -> Duration {
        LIMIT.saturating_sub(self.watch.elapsed())
    }
}

pub(super) fn play(stack: &mut Stack, idle: u16, story: &Story) -> Result<()> {
    await_idle(stack, idle, story)?;
    story.tell(&format!("the empty pool has filled to {idle} idle agents"));

    let claimed = stack.pool().claim("Ada")?;
    let id = claimed.instance_id;
    ensure!(
        claimed.conversation_id.is_some(),
        "the claim of instance {id} was answered without a conversation"
    );
    let instances = stack.pool().instances()?;
    let instance = instances.into_iter().find(|instance| instance.id == id);
    let instance = instance.with_context(|| format!("GET /api/pool/status lacks instance {id}"))?;
    ensure!(
        instance.status == "claimed",
        "instance {id} was claimed and is {} in GET /api/pool/status",
        instance.status
    );
    let outside = stack.world().of_service(&instance.service_id)?;
    ensure!(
        outside
            == Outside {
                service: true,
                volumes: 1
            },
        "on Railway, service {} of instance {id} should exist with one volume: {outside:?}",
        instance.service_id
    );
    story.tell(&format!(
        "claimed instance {id}, which has a service and a volume on Railway"
    ));

    await_idle(stack, idle, story)?;
    story.tell(&format!(
        "the stock is at {idle} idle again, and the claimed one is untouched"
    ));
    ensure!(
        stack.pool().count("claimed")? == 1,
        "the claimed instance {id} did not stay claimed while the stock was refilled"
    );

    stack.pool().destroy(&id)?;
    story.tell(&format!("asked for the end of instance {id}"));
    await_gone(stack, &id, &instance.service_id, story)?;
    story.tell("its service, its volume and its row are gone");
    await_idle(stack, idle, story)?;
    story.tell(&format!("the stock is at {idle} idle still"));
    Ok(())
}

fn await_idle(stack: &mut Stack, idle: u16, story: &Story) -> Result<()> {
    let what = format!("a stock of {idle} idle agents");
    wait_until(story.left(), &what, || {
        stack.ensure_running()?;
        let now = stack.pool().count("idle")?;
        if now == u64::from(idle) {
            return Ok(Look::Found(()));
        }
        let starting = stack.pool().count("starting")?;
        Ok(Look::NotYet(format!("{now} are idle, {starting} starting")))
    })
}

fn await_gone(stack: &mut Stack, id: &str, service_id: &str, story: &Story) -> Result<()> {
    let what = format!("the end of instance {id}, outside and inside,");
    wait_until(story.left(), &what, || {
        stack.ensure_running()?;
        let Outside { service, volumes } = stack.world().of_service(service_id)?;
        let row = stack
            .pool()
            .instances()?
            .iter()
            .any(|instance| instance.id == id);
        if !service && volumes == 0 && !row {
            return Ok(Look::Found(()));
        }
        Ok(Look::NotYet(format!(
            "service there: {service}, volumes: {volumes}, row: {row}"
        )))
    })
}
