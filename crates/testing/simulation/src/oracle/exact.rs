//! What must hold in the end: nothing is left over, and nothing is missing.

use std::collections::BTreeSet;

use anyhow::Result;
use pool_simulator::invariants;

use super::watched::{Instance, Oracle};
use crate::pool::PREFIX;

impl Oracle {
    /// What keeps the pool from being exact: empty when nothing is left over and nothing is missing.
    pub(crate) fn exact(&self) -> Result<Vec<String>> {
        let instances = self.instances()?;
        let count = |status: &str| instances.iter().filter(|it| it.status == status).count();
        let kept = count("claimed") + count("crashed");
        let idle = count("idle");
        let scenario = &self.scenario;
        let target = scenario.target.min(scenario.cap.saturating_sub(kept));
        let mut wrong = Vec::new();
        if idle != target {
            wrong.push(format!("{idle} are idle, and the target is {target}"));
        }
        if instances.len() != idle + kept || instances.iter().any(|it| it.delete_requested) {
            let all = instances.len();
            wrong.push(format!(
                "{all} rows, of which {idle} are idle, {kept} claimed or crashed"
            ));
        }
        wrong.extend(self.outside(&instances)?);
        Ok(wrong)
    }

    /// Services, volumes, keys, inboxes and provisions are those of the rows, and no others.
    fn outside(&self, instances: &[Instance]) -> Result<Vec<String>> {
        let rows: Vec<_> = instances.iter().map(Instance::row).collect();
        let provisions = self.database.query(
            "SELECT p.id, p.name, p.step, p.openrouter_key_hash, i.id IS NOT NULL \
             FROM public.provisions p LEFT JOIN public.instances i USING (id) ORDER BY p.id",
            &[],
        )?;
        let mut wrong = Vec::new();
        let (mut made, mut recorded) = (BTreeSet::new(), BTreeSet::new());
        for provision in &provisions {
            let (id, name, step): (String, String, String) =
                (provision.get(0), provision.get(1), provision.get(2));
            if step != "created" || !provision.get::<_, bool>(4) {
                wrong.push(format!("the provision of {id} is {step}"));
            }
            made.insert(name);
            recorded.extend(provision.get::<_, Option<String>>(3));
        }
        let made_late = self.known().made_late.clone();
        let scenario = &self.scenario;
        self.simulator.world(|world| {
            // The sweep reports them, and a person deletes them.
            let now = world.now();
            let extra = world.openrouter().keys();
            let extra = extra.filter(|key| {
                made.contains(&key.name)
                    && made_late.contains(&key.name)
                    && !recorded.contains(&key.hash)
            });
            let extra: Vec<_> = extra.map(|key| key.hash.clone()).collect();
            for hash in extra {
                let _ = world.accounts_mut().openrouter.delete(now, &hash);
            }
            wrong.extend(
                invariants::tidy(world, &rows, PREFIX)
                    .iter()
                    .map(ToString::to_string),
            );
            let live = world.live_services();
            let live: BTreeSet<_> = live
                .iter()
                .filter(|service| made.contains(&service.name))
                .map(|service| service.id.clone())
                .collect();
            let home = &world.home().environment;
            let volumes = world.volumes().values().filter(|volume| {
                let service = volume
                    .service
                    .as_ref()
                    .filter(|_| volume.environment == *home);
                !volume.is_pending_deletion() && service.is_some_and(|it| live.contains(it))
            });
            let keys = world
                .openrouter()
                .keys()
                .filter(|key| made.contains(&key.name));
            let inboxes = world.agentmail().inboxes();
            let inboxes =
                inboxes.filter(|it| it.client_id.as_ref().is_some_and(|id| made.contains(id)));
            for (what, found, is_made) in [
                ("volumes", volumes.count(), scenario.has_volume),
                ("keys", keys.count(), scenario.has_openrouter),
                ("inboxes", inboxes.count(), scenario.has_agentmail),
            ] {
                let wanted = if is_made { live.len() } else { 0 };
                if found != wanted {
                    wrong.push(format!("{found} {what} of {wanted}"));
                }
            }
        });
        Ok(wrong)
    }
}
