//! Everything outside and inside, set against each other: exactly the target, each of them whole.

use pool_simulator::invariants::{self, Row};
use pool_simulator::world::{Service, World};
use pool_simulator::{Simulator, invariants::Violation};
use tokio_postgres::Client;

const PREFIX: &str = "convos-agent-";

/// A row with its record, as the database has them.
struct Instance {
    row: Row,
    key: Option<String>,
    inbox: Option<String>,
    /// Of its record: the step, the service, the volume, the key, the inbox.
    record: [Option<String>; 5],
}

/// What is left over or missing, a sentence each.
pub(super) async fn left(
    client: &Client,
    railway: &Simulator,
    target: usize,
) -> anyhow::Result<Vec<String>> {
    let instances = load(client).await?;
    let records: i64 = client
        .query_one("SELECT count(*) FROM provisions", &[])
        .await?
        .try_get(0)?;
    let records = usize::try_from(records)?;
    Ok(railway.world(|world| {
        let mut left = Vec::new();
        let rows: Vec<_> = instances.iter().map(|it| it.row.clone()).collect();
        left.extend(sentences(invariants::sound(world, &rows)));
        left.extend(sentences(invariants::tidy(world, &rows, PREFIX)));
        let counts = [
            ("rows", rows.len()),
            ("records", records),
            ("services", world.live_services().len()),
            ("volumes", live_volumes(world)),
            ("keys", world.openrouter().keys().count()),
            ("inboxes", world.agentmail().inboxes().count()),
        ];
        let wrong = counts.into_iter().filter(|(_, count)| *count != target);
        left.extend(wrong.map(|(what, count)| format!("{count} {what}, not {target}")));
        left.extend(instances.iter().filter_map(|it| not_whole(world, it)));
        left
    }))
}

async fn load(client: &Client) -> anyhow::Result<Vec<Instance>> {
    let query = "SELECT i.id, i.service_id, i.status, i.agent_name, \
                 i.delete_requested_at IS NOT NULL, i.openrouter_key_hash, i.agentmail_inbox_id, \
                 p.step, p.service_id, p.volume_id, p.openrouter_key_hash, p.agentmail_inbox_id \
                 FROM instances i LEFT JOIN provisions p ON p.id = i.id";
    let mut instances = Vec::new();
    for found in client.query(query, &[]).await? {
        let service: String = found.try_get(1)?;
        let mut record = [const { None }; 5];
        for (at, part) in record.iter_mut().enumerate() {
            *part = found.try_get(7 + at)?;
        }
        instances.push(Instance {
            row: Row {
                id: found.try_get(0)?,
                service_id: service.into(),
                status: found.try_get(2)?,
                claimed_by: found.try_get(3)?,
                delete_requested: found.try_get(4)?,
            },
            key: found.try_get(5)?,
            inbox: found.try_get(6)?,
            record,
        });
    }
    Ok(instances)
}

fn sentences(violations: Vec<Violation>) -> impl Iterator<Item = String> {
    violations
        .into_iter()
        .map(|violation| violation.to_string())
}

fn live_volumes(world: &World) -> usize {
    let live = world.volumes().values();
    live.filter(|volume| !volume.is_pending_deletion()).count()
}

/// Idle, deployed once, and with a key, an inbox, a volume and a domain of its own that the row and
/// the record name as they are; else what it is like instead.
fn not_whole(world: &World, instance: &Instance) -> Option<String> {
    let row = &instance.row;
    let Some(service) = world.services().get(&row.service_id) else {
        return Some(format!("{} has no service", row.id));
    };
    let environment = &world.home().environment;
    let home = service.instances.get(environment)?;
    let volume = world.volume_of(&(service.id.clone(), environment.clone()));
    let (key, inbox) = given(world, service);
    let record = [
        Some("created".to_owned()),
        Some(service.id.to_string()),
        volume.map(|volume| volume.id.to_string()),
        key.clone(),
        inbox.clone(),
    ];
    let is_whole = row.status == "idle"
        && home.deploys_by_cause.values().sum::<u32>() == 1
        && home.domains.len() == 1
        && record.iter().all(Option::is_some)
        && instance.record == record
        && (&instance.key, &instance.inbox) == (&key, &inbox);
    (!is_whole).then(|| {
        format!(
            "{} is {}, deployed {:?}, with {} domains, recorded {:?} and {:?}, really {record:?}",
            row.id,
            row.status,
            home.deploys_by_cause,
            home.domains.len(),
            instance.record,
            (&instance.key, &instance.inbox)
        )
    })
}

/// The key, by its hash, and the inbox that an agent was given.
fn given(world: &World, service: &Service) -> (Option<String>, Option<String>) {
    let environment = &world.home().environment;
    let home = service.instances.get(environment);
    let variables = home.map(|home| home.config.variables()).unwrap_or_default();
    let key = variables.get("OPENROUTER_API_KEY");
    let key = key.and_then(|secret| world.openrouter().key_with_secret(secret));
    let inbox = variables.get("AGENTMAIL_INBOX_ID");
    (key.map(|key| key.hash.clone()), inbox.cloned())
}
