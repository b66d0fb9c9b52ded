//! What is left over outside is removed where our records say that it is ours, and only reported
//! where it merely looks like ours.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use pool_domain::ServiceId;
use pool_simulator::accounts::{NewInbox, NewKey};
use pool_simulator::world::{NewService, NewVolume};
use pool_simulator::{Caller, Fault, FaultRule};
use serde_json::{Value, json};

use crate::pool::{Pool, Server};

/// A name as another environment's pool would draw it.
const FOREIGN: &str = "convos-agent-Foreign_4xyz";

impl Pool {
    /// Makes a key of this name, as a request that is carried out late does. Gives its hash.
    fn late_key(&self, name: &str) -> anyhow::Result<String> {
        self.railway.world(|world| {
            let now = world.now();
            let new = NewKey {
                name: Some(name.to_owned()),
                ..NewKey::default()
            };
            Ok(world.accounts_mut().openrouter.create(now, new)?.hash)
        })
    }

    /// Makes an inbox of this name. Gives its address.
    fn late_inbox(&self, name: &str) -> anyhow::Result<String> {
        self.railway.world(|world| {
            let now = world.now();
            let new = NewInbox {
                username: Some(name.to_owned()),
                client_id: Some(name.to_owned()),
                ..NewInbox::default()
            };
            Ok(world.accounts_mut().agentmail.create(now, new)?.inbox_id)
        })
    }

    /// Makes a service with nothing but this name, and a volume for it.
    fn late_service(&self, name: &str) -> anyhow::Result<(String, String)> {
        let service = self.railway.world(|world| {
            let new = NewService::named(world.home().project.clone(), name);
            world.service_create(&Caller::Account, new)
        })?;
        let volume = self.volume(Some(service.clone()))?;
        Ok((service.into_string(), volume))
    }

    fn volume(&self, service: Option<ServiceId>) -> anyhow::Result<String> {
        let volume = self.railway.world(|world| {
            let home = world.home().clone();
            let new = NewVolume {
                project: home.project,
                environment: home.environment,
                service,
                mount_path: "/data".to_owned(),
            };
            world.volume_create(&Caller::Account, new)
        })?;
        Ok(volume.into_string())
    }

    /// Everything that is outside, each as `kind id`.
    fn everything(&self) -> BTreeSet<String> {
        let view = self.railway.view();
        let services = view.services.iter().filter(|it| it.deleted_at.is_none());
        let volumes = view.volumes.iter().filter(|it| !it.pending_deletion);
        let all = (services.map(|it| format!("service {}", it.id)))
            .chain(volumes.map(|it| format!("volume {}", it.id)))
            .chain(view.keys.iter().map(|it| format!("key {}", it.hash)))
            .chain(
                view.inboxes
                    .iter()
                    .map(|it| format!("inbox {}", it.inbox_id)),
            );
        all.collect()
    }
}

impl Server {
    async fn sweep(&self, body: Value) -> anyhow::Result<Value> {
        let (status, answer) = self.post("/api/pool/sweep", &body).await?;
        ensure!(status == 200, "the sweep was answered {status}: {answer}");
        Ok(answer)
    }

    /// The id of an idle instance, and what is left of it a while after a person deleted it: nothing.
    async fn delete_one(&self, pool: &Pool) -> anyhow::Result<String> {
        let status = self.get("/api/pool/status").await?;
        let idle = status["instances"].as_array().context("a list")?.iter();
        let mut idle = idle.filter(|it| it["status"] == "idle");
        let id = idle.next().context("none is idle")?["id"].clone();
        let id = id.as_str().context("a text")?.to_owned();
        self.delete(&format!("/api/pool/instances/{id}")).await?;
        let left = format!(
            "SELECT count(*) FROM instances FULL JOIN provisions USING (id) WHERE id = '{id}'"
        );
        self.until("nothing is recorded of it", async |_| {
            Ok(pool.number(&left).await? == 0)
        })
        .await?;
        Ok(id)
    }
}

/// `kind id` of each entry of a list.
fn told(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    list.map(|it| format!("{} {}", text(&it["kind"]), text(&it["id"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_over_of_ours_is_removed_and_what_only_looks_like_it_is_reported()
-> anyhow::Result<()> {
    let pool = Pool::new(2).await?.with_accounts(true);
    let server = pool.start().await?;
    server.until_count("idle", 2).await?;
    let gone = server.delete_one(&pool).await?;
    server.until_count("idle", 2).await?;
    let of_the_living = pool.everything();
    ensure!(of_the_living.len() == 8, "two of each: {of_the_living:?}");

    let name = format!("convos-agent-{gone}");
    let (service, its_volume) = pool.late_service(&name)?;
    let detached = pool.volume(None)?;
    pool.number(&format!(
        "WITH seen AS (INSERT INTO belongings (kind, outside_id, instance_id) \
         VALUES ('volume', '{detached}', '{gone}') RETURNING 1) SELECT count(*) FROM seen"
    ))
    .await?;
    let living = pool.railway.view().keys.remove(0);
    let ours: BTreeSet<_> = [
        format!("service {service}"),
        format!("volume {its_volume}"),
        format!("volume {detached}"),
        format!("key {}", pool.late_key(&name)?),
        // One whose answer was lost, so that another was made in its place.
        format!("key {}", pool.late_key(&living.name)?),
        format!("inbox {}", pool.late_inbox(&name)?),
    ]
    .into();
    let (foreign_service, foreign_volume) = pool.late_service(FOREIGN)?;
    let foreign: BTreeSet<_> = [
        format!("service {foreign_service}"),
        format!("volume {foreign_volume}"),
        format!("volume {}", pool.volume(None)?),
        format!("key {}", pool.late_key(FOREIGN)?),
        format!("inbox {}", pool.late_inbox(FOREIGN)?),
    ]
    .into();
    pool.late_key("somebody-elses")?;
    pool.late_inbox("somebody-elses")?;
    let all = pool.everything();

    let looked = server.sweep(json!({ "dryRun": true })).await?;
    ensure!(told(&looked["wouldRemove"]) == ours, "{looked}");
    ensure!(told(&looked["reported"]) == foreign, "{looked}");
    ensure!(looked["dryRun"] == true && told(&looked["handedOver"]).is_empty());
    ensure!(pool.everything() == all, "a look changes nothing");

    let swept = server.sweep(json!({})).await?;
    ensure!(told(&swept["handedOver"]) == ours, "{swept}");
    ensure!(told(&swept["reported"]) == foreign, "{swept}");
    let left: BTreeSet<_> = all.difference(&ours).cloned().collect();
    server
        .until(
            "all of it is gone, and nothing is recorded of it",
            async |_| {
                let records = pool.number("SELECT count(*) FROM provisions").await?;
                Ok(pool.everything() == left && records == 2)
            },
        )
        .await?;
    ensure!(of_the_living.is_subset(&left) && foreign.is_subset(&left));

    let again = server.sweep(json!({})).await?;
    ensure!(told(&again["handedOver"]).is_empty(), "{again}");
    let report = server.reconcile().await?;
    ensure!(told(&report["sweep"]["reported"]) == foreign, "{report}");
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_removes_nothing_and_what_fails_is_tried_again() -> anyhow::Result<()>
{
    let pool = Pool::new(1).await?.with_accounts(true);
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    let gone = server.delete_one(&pool).await?;
    let name = format!("convos-agent-{gone}");
    let key = format!("key {}", pool.late_key(&name)?);
    let inbox = format!("inbox {}", pool.late_inbox(&name)?);

    let trouble = Fault::BadRequest;
    let on = |operation: &str| FaultRule::always(trouble.clone()).on(operation);
    pool.railway.inject(on("keyList"))?;
    pool.railway.inject(on("inboxDelete"))?;
    let swept = server.sweep(json!({})).await?;
    ensure!(
        told(&swept["handedOver"]) == [inbox.clone()].into(),
        "{swept}"
    );
    let incomplete = swept["incomplete"].to_string();
    ensure!(incomplete.contains("OpenRouter's keys: "), "{swept}");
    server
        .until("its deletion has failed", async |server| {
            let report = server.reconcile().await?;
            let open = &report["open"]["destroying"][0];
            Ok(open["id"] == gone.as_str() && open["attempts"].as_u64() > Some(0))
        })
        .await?;
    ensure!(pool.everything().contains(&key) && pool.everything().contains(&inbox));

    // With the inbox goes what else the accounts hold under that name.
    pool.railway.clear_faults();
    server
        .until("both are gone", async |_| {
            let everything = pool.everything();
            Ok(!everything.contains(&key) && !everything.contains(&inbox))
        })
        .await?;
    let recorded = format!("SELECT count(*) FROM provisions WHERE id = '{gone}'");
    server
        .until("nothing is recorded of them", async |_| {
            Ok(pool.number(&recorded).await? == 0)
        })
        .await?;

    // An incomplete listing of Railway's: whether a service still stands is not known.
    let key = format!("key {}", pool.late_key(&name)?);
    pool.railway
        .inject(FaultRule::always(Fault::NotAuthorized).on("EnvironmentListing"))?;
    let swept = server.sweep(json!({})).await?;
    ensure!(told(&swept["handedOver"]).is_empty(), "{swept}");
    ensure!(pool.everything().contains(&key));
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_volume_of_an_adopted_instance_whose_service_vanished_is_swept() -> anyhow::Result<()> {
    let pool = Pool::new(2).await?;
    pool.seed(1)?;
    let adopted = pool.railway.view().services.remove(0).id;
    let server = pool.start().await?;
    server.until_count("idle", 2).await?;
    server
        .until("its volume is remembered", async |_| {
            let known = "SELECT count(*) FROM belongings b JOIN instances i ON i.id = b.instance_id \
                         WHERE b.kind = 'volume' AND i.service_id =";
            Ok(pool.number(&format!("{known} '{adopted}'")).await? == 1)
        })
        .await?;
    pool.railway.delete_service(&adopted.as_str().into())?;
    let left = format!(
        "SELECT count(*) FROM instances FULL JOIN provisions USING (id, service_id) \
         WHERE service_id = '{adopted}'"
    );
    server
        .until("nothing is recorded of it", async |_| {
            Ok(pool.number(&left).await? == 0)
        })
        .await?;
    server.until_count("idle", 2).await?;
    server
        .until("only the volumes of the living are left", async |server| {
            server.sweep(json!({})).await?;
            Ok(pool.live_volumes() == 2)
        })
        .await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_sweeps_by_itself_and_an_account_that_comes_back_is_swept_too()
-> anyhow::Result<()> {
    let pool = Pool::new(1).await?.with_accounts(true);
    let server = pool.start().await?;
    server.until_count("idle", 1).await?;
    server.stop().await?;

    // Without its accounts an instance goes, and what it has there stays recorded.
    let pool = pool.set("pool-min-idle", 0).with_accounts(false);
    let server = pool.start().await?;
    let (status, answer) = server.post("/api/pool/drain", &json!({})).await?;
    ensure!((status, &answer["drained"]) == (200, &json!(1)), "{answer}");
    server
        .until("its row is gone", async |_| {
            Ok(pool.number("SELECT count(*) FROM instances").await? == 0)
        })
        .await?;
    ensure!(pool.number("SELECT count(*) FROM provisions").await? == 1);
    ensure!(pool.everything().len() == 2, "a key and an inbox");
    let name = pool.railway.view().keys.remove(0).name;
    server.stop().await?;

    // One that nobody knows by its hash: it goes when it is found by its name.
    pool.late_key(&name)?;
    let pool = pool.with_accounts(true);
    let server = pool.start().await?;
    server
        .until("key and inbox are deleted", async |_| {
            Ok(pool.number("SELECT count(*) FROM provisions").await? == 0
                && pool.railway.view().inboxes.is_empty())
        })
        .await?;
    server.stop().await?;
    ensure!(pool.everything().len() == 1, "the late key is there still");
    pool.number(
        "WITH aged AS (UPDATE ticks SET report = jsonb_set(report, '{sweep,at}', \
         to_jsonb(now() - interval '11 minutes')) RETURNING 1) SELECT count(*) FROM aged",
    )
    .await?;
    let server = pool.start().await?;
    server
        .until("nothing is left outside", async |_| {
            Ok(pool.everything().is_empty())
        })
        .await?;
    server.stop().await
}
