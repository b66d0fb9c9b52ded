//! pool-reconciler's `create`: key, inbox, service, row, volume, domain for each, and then one
//! commit for all that are whole.

use std::cell::Cell;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use pool_domain::write::NewInstance;
use pool_domain::{
    CreateStep, Creations, InboxId, InstanceId, KeyHash, Policy, Secret, ServiceId, Stage, Term,
    VolumeId,
};
use pool_planner::Resume;
use serde_json::{Value, json};

use crate::database::{DbError, Made, NewProvision};
use crate::outside::{CallError, Class};
use crate::place::Place;
use crate::sim::POOL_API_KEY;
use crate::story::Kind;

const CREATE: Duration = Duration::from_secs(180);
const CREATES_IN_FLIGHT_MAX: usize = 4;
const IMAGE: &str = "ghcr.io/xmtplabs/convos-runtime:latest";
const TOO_EARLY_TRIES: u32 = 3;
const TOO_EARLY_WAIT: Duration = Duration::from_secs(2);

/// An instance in the making.
struct Draft {
    id: InstanceId,
    name: String,
    step: CreateStep,
    is_fresh: bool,
    attempts: u32,
    service_id: Option<ServiceId>,
    volume_id: Option<VolumeId>,
    has_domain: bool,
    gateway_token: Secret,
    key_hash: Option<KeyHash>,
    key: Option<Secret>,
    inbox_id: Option<InboxId>,
}

impl Draft {
    fn fresh(intent: NewProvision) -> Self {
        Self {
            id: intent.id,
            name: intent.name,
            step: CreateStep::Key,
            is_fresh: true,
            attempts: 0,
            service_id: None,
            volume_id: None,
            has_domain: false,
            gateway_token: intent.gateway_token,
            key_hash: None,
            key: None,
            inbox_id: None,
        }
    }

    fn of(resume: Resume, place: &Place) -> Self {
        let it = resume.provision;
        Self {
            id: it.id,
            name: it.name,
            step: resume.step,
            is_fresh: false,
            attempts: it.attempts,
            service_id: resume.service_id,
            volume_id: resume.volume_id,
            has_domain: resume.has_domain,
            gateway_token: it.gateway_token.unwrap_or_else(|| place.new_token()),
            key_hash: it.openrouter_key_hash,
            key: None,
            inbox_id: it.agentmail_inbox_id,
        }
    }
}

/// A step that failed, and whether it may have happened all the same.
struct StepFailed {
    step: CreateStep,
    why: String,
    may_have_happened: bool,
    is_limit: bool,
}

impl StepFailed {
    fn new(step: CreateStep, error: &CallError) -> Self {
        Self {
            step,
            why: error.to_string(),
            may_have_happened: error.may_have_happened,
            is_limit: matches!(error.class, Class::Limit | Class::Throttled),
        }
    }

    /// Whatever became of it, the next try finds it by its name.
    fn found_by_name(self) -> Self {
        Self {
            may_have_happened: false,
            ..self
        }
    }
}

enum Ended {
    Failed(StepFailed),
    HeldBack,
    Database(DbError),
}

impl From<DbError> for Ended {
    fn from(error: DbError) -> Self {
        Self::Database(error)
    }
}

/// What Railway wants no more of.
#[derive(Default)]
struct Halted {
    services: Cell<bool>,
    volumes: Cell<bool>,
}

impl Halted {
    fn by(&self, step: CreateStep) {
        self.services.set(true);
        if step == CreateStep::Volume {
            self.volumes.set(true);
        }
    }

    fn check(&self, draft: &Draft) -> Result<(), Ended> {
        let makes_service = draft.step <= CreateStep::Service && draft.service_id.is_none();
        let makes_volume = draft.step <= CreateStep::Volume && draft.volume_id.is_none();
        if (makes_service && self.services.get()) || (makes_volume && self.volumes.get()) {
            return Err(Ended::HeldBack);
        }
        Ok(())
    }
}

/// Makes what was begun earlier and what was intended just now.
pub(crate) async fn build(
    place: &Place,
    term: Term,
    resumes: Vec<Resume>,
    intents: Vec<NewProvision>,
) -> Result<Creations, DbError> {
    let mut creations = Creations::default();
    let until = place.sim.now() + CREATE;
    let (committed, drafts): (Vec<_>, Vec<_>) =
        resumes.into_iter().partition(|resume| resume.is_committed);
    for resume in committed {
        let id = &resume.provision.id;
        record(place, term, id, Made::Nothing, Stage::Created).await?;
    }
    let drafts: Vec<_> = drafts
        .into_iter()
        .map(|resume| Draft::of(resume, place))
        .chain(intents.into_iter().map(Draft::fresh))
        .collect();
    let halted = Halted::default();
    let ended: Vec<_> = stream::iter(drafts)
        .map(|draft| assemble_in_time(place, term, draft, &halted, until))
        .buffer_unordered(CREATES_IN_FLIGHT_MAX)
        .filter_map(|ended| async move { ended })
        .collect()
        .await;
    let mut whole = Vec::new();
    for (draft, ended) in ended {
        match ended {
            Ok(service_id) => whole.push((draft, service_id)),
            Err(Ended::Database(error)) => return Err(error),
            Err(Ended::HeldBack) => {}
            Err(Ended::Failed(failed)) => {
                note(place, term, &draft, failed, &mut creations).await?;
            }
        }
    }
    if !whole.is_empty() {
        commit_all(place, term, whole, &mut creations).await?;
    }
    Ok(creations)
}

async fn assemble_in_time(
    place: &Place,
    term: Term,
    mut draft: Draft,
    halted: &Halted,
    until: DateTime<Utc>,
) -> Option<(Draft, Result<ServiceId, Ended>)> {
    let left = (until - place.sim.now()).to_std().ok()?;
    let assembled = assemble(place, term, &mut draft, halted);
    let ended = place.sim.scheduler.within(left, assembled).await?;
    if let Err(Ended::Failed(failed)) = &ended
        && failed.is_limit
    {
        halted.by(failed.step);
    }
    Some((draft, ended))
}

async fn assemble(
    place: &Place,
    term: Term,
    draft: &mut Draft,
    halted: &Halted,
) -> Result<ServiceId, Ended> {
    halted.check(draft)?;
    make_key(place, term, draft).await?;
    make_inbox(place, term, draft).await?;
    halted.check(draft)?;
    let service = make_service(place, term, draft).await?;
    insert_row(place, term, draft, &service).await?;
    halted.check(draft)?;
    make_volume(place, term, draft, &service).await?;
    make_domain(place, term, draft, &service).await?;
    Ok(service)
}

async fn begin(place: &Place, term: Term, id: &InstanceId, step: CreateStep) -> Result<(), Ended> {
    let begun = place.statement("begin a step", |db| db.begin_step(term, id, step));
    if begun.await? {
        return Ok(());
    }
    let why = "its record is gone or being destroyed".to_owned();
    Err(refused(step, why))
}

/// A step that surely was not taken.
fn refused(step: CreateStep, why: String) -> Ended {
    Ended::Failed(StepFailed {
        step,
        why,
        may_have_happened: false,
        is_limit: false,
    })
}

async fn record(
    place: &Place,
    term: Term,
    id: &InstanceId,
    made: Made,
    next: Stage,
) -> Result<bool, DbError> {
    let recorded = place.statement("record a step", |db| db.advance(term, id, made, next));
    recorded.await
}

/// Records what the present step made, and goes on to the next one.
async fn advance(
    place: &Place,
    term: Term,
    draft: &mut Draft,
    made: Made,
    next: CreateStep,
) -> Result<(), Ended> {
    if next != draft.step {
        draft.attempts = 0;
    }
    draft.step = next;
    record(place, term, &draft.id, made, Stage::Creating(next)).await?;
    Ok(())
}

async fn make_key(place: &Place, term: Term, draft: &mut Draft) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Key;
    if !place.sim.character.has_openrouter {
        return Ok(());
    }
    let failed = |error: CallError| {
        let failed = StepFailed::new(STEP, &error).found_by_name();
        Ended::Failed(StepFailed {
            is_limit: false,
            ..failed
        })
    };
    let old = if draft.is_fresh {
        Vec::new()
    } else {
        place.find_keys(&draft.name).await.map_err(failed)?
    };
    for hash in old.iter().chain(&draft.key_hash) {
        place.delete_key(hash).await.map_err(failed)?;
    }
    if draft.step == STEP {
        begin(place, term, &draft.id, STEP).await?;
    }
    let made = place.make_key(&draft.name).await.map_err(failed)?;
    let next = draft.step.max(CreateStep::Inbox);
    let hash = made.hash.clone();
    advance(place, term, draft, Made::Key(hash), next).await?;
    draft.key_hash = Some(made.hash);
    draft.key = Some(made.key);
    Ok(())
}

async fn make_inbox(place: &Place, term: Term, draft: &mut Draft) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Inbox;
    if !place.sim.character.has_agentmail || draft.inbox_id.is_some() || draft.step > STEP {
        return Ok(());
    }
    let failed = |error: CallError| {
        let failed = StepFailed::new(STEP, &error).found_by_name();
        Ended::Failed(StepFailed {
            is_limit: false,
            ..failed
        })
    };
    begin(place, term, &draft.id, STEP).await?;
    let found = if draft.is_fresh {
        None
    } else {
        place.find_inbox(&draft.name).await.map_err(failed)?
    };
    let inbox = match found {
        Some(inbox) => inbox,
        None => place.make_inbox(&draft.name).await.map_err(failed)?,
    };
    let made = Made::Inbox(inbox.clone());
    advance(place, term, draft, made, CreateStep::Service).await?;
    draft.inbox_id = Some(inbox);
    Ok(())
}

async fn make_service(place: &Place, term: Term, draft: &mut Draft) -> Result<ServiceId, Ended> {
    const STEP: CreateStep = CreateStep::Service;
    if let (Some(service), true) = (&draft.service_id, draft.step > STEP) {
        return Ok(service.clone());
    }
    let service = if let Some(seen) = draft.service_id.clone() {
        seen
    } else {
        begin(place, term, &draft.id, STEP).await?;
        let made = patient(place, || place.create_service(&draft.name)).await;
        made.map_err(|error| Ended::Failed(StepFailed::new(STEP, &error).found_by_name()))?
    };
    let made = Made::Service(service.clone());
    advance(place, term, draft, made, CreateStep::Row).await?;
    draft.service_id = Some(service.clone());
    Ok(service)
}

async fn insert_row(
    place: &Place,
    term: Term,
    draft: &mut Draft,
    service: &ServiceId,
) -> Result<(), Ended> {
    let row = NewInstance {
        id: draft.id.clone(),
        service_id: service.clone(),
        name: draft.name.clone(),
        openrouter_key_hash: draft.key_hash.clone(),
        agentmail_inbox_id: draft.inbox_id.clone(),
        gateway_token: Some(draft.gateway_token.clone()),
        runtime_image: Some(IMAGE.to_owned()),
    };
    let inserted = place.statement("insert the row", |db| db.insert_created(term, &row));
    inserted.await.map_err(|error| match error {
        DbError::InsertInstance(_) => refused(CreateStep::Row, error.to_string()),
        error => Ended::Database(error),
    })?;
    if draft.step <= CreateStep::Row {
        advance(place, term, draft, Made::Nothing, CreateStep::Volume).await?;
    }
    Ok(())
}

async fn make_volume(
    place: &Place,
    term: Term,
    draft: &mut Draft,
    service: &ServiceId,
) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Volume;
    if draft.step > STEP {
        return Ok(());
    }
    let made = match (place.sim.character.policy.has_volume, &draft.volume_id) {
        (false, _) => Made::Nothing,
        (true, Some(seen)) => Made::Volume(seen.clone()),
        (true, None) => {
            begin(place, term, &draft.id, STEP).await?;
            let made = patient(place, || place.create_volume(service)).await;
            let made = made.map_err(|error| Ended::Failed(StepFailed::new(STEP, &error)))?;
            place.sim.tell(Kind::Call, || {
                format!("the volume of {} is {made}", draft.id)
            });
            Made::Volume(made)
        }
    };
    advance(place, term, draft, made, CreateStep::Domain).await
}

async fn make_domain(
    place: &Place,
    term: Term,
    draft: &mut Draft,
    service: &ServiceId,
) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Domain;
    if draft.step > STEP {
        return Ok(());
    }
    if !draft.has_domain {
        begin(place, term, &draft.id, STEP).await?;
        let made = patient(place, || place.create_domain(service)).await;
        made.map_err(|error| Ended::Failed(StepFailed::new(STEP, &error)))?;
    }
    advance(place, term, draft, Made::Nothing, CreateStep::Commit).await
}

async fn patient<T, F>(place: &Place, call: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    for _ in 1..TOO_EARLY_TRIES {
        match call().await {
            Err(error) if error.class == Class::TooEarly => {
                place.sim.scheduler.sleep(TOO_EARLY_WAIT).await;
            }
            answered => return answered,
        }
    }
    call().await
}

async fn commit_all(
    place: &Place,
    term: Term,
    whole: Vec<(Draft, ServiceId)>,
    creations: &mut Creations,
) -> Result<(), DbError> {
    const STEP: CreateStep = CreateStep::Commit;
    // One that failed before goes alone: whatever is wrong with it holds back no other.
    let (again, first): (Vec<_>, Vec<_>) =
        whole.into_iter().partition(|(draft, _)| draft.attempts > 0);
    let mut batches: Vec<_> = again.into_iter().map(|one| vec![one]).collect();
    batches.push(first);
    while let Some(batch) = batches.pop() {
        let mut batch = begun(place, term, batch).await?;
        if batch.is_empty() {
            continue;
        }
        let patches: Vec<_> = batch
            .iter()
            .map(|(draft, service)| (service.clone(), patch(draft)))
            .collect();
        match place.commit(&patches).await {
            Ok(()) => {
                for (draft, _) in &batch {
                    record(place, term, &draft.id, Made::Nothing, Stage::Created).await?;
                }
                creations.whole += batch.len();
            }
            Err(error) if batch.len() > 1 && is_refusal(&error) => {
                let half = batch.split_off(batch.len() / 2);
                batches.extend([half, batch]);
            }
            Err(error) => {
                let failed_before = creations.failed;
                for (draft, _) in &batch {
                    let failed = StepFailed::new(STEP, &error);
                    note(place, term, draft, failed, creations).await?;
                }
                // One request failed, whoever of them it was that spoilt it.
                creations.failed = failed_before + 1;
            }
        }
    }
    Ok(())
}

/// Those whose commit is recorded as begun: not those that are being destroyed by now.
async fn begun(
    place: &Place,
    term: Term,
    batch: Vec<(Draft, ServiceId)>,
) -> Result<Vec<(Draft, ServiceId)>, DbError> {
    let mut begun = Vec::with_capacity(batch.len());
    for whole in batch {
        let id = &whole.0.id;
        let is_begun = place.statement("begin a step", |db| {
            db.begin_step(term, id, CreateStep::Commit)
        });
        if is_begun.await? {
            begun.push(whole);
        }
    }
    Ok(begun)
}

fn is_refusal(error: &CallError) -> bool {
    !error.may_have_happened
        && !matches!(
            error.class,
            Class::RateLimited | Class::EdgeBlocked | Class::Network | Class::Timeout
        )
}

fn patch(draft: &Draft) -> Value {
    let mut variables = json!({
        "POOL_API_KEY": {"value": POOL_API_KEY},
        "OPENCLAW_GATEWAY_TOKEN": {"value": draft.gateway_token.expose()},
    });
    if let Some(key) = &draft.key {
        variables["OPENROUTER_API_KEY"] = json!({"value": key.expose()});
    }
    if let Some(inbox) = &draft.inbox_id {
        variables["AGENTMAIL_INBOX_ID"] = json!({"value": inbox.as_str()});
    }
    json!({"source": {"image": IMAGE}, "variables": variables})
}

async fn note(
    place: &Place,
    term: Term,
    draft: &Draft,
    failed: StepFailed,
    creations: &mut Creations,
) -> Result<(), DbError> {
    let backoff = Policy::retry_creating_after(draft.attempts + 1);
    let wait = if failed.may_have_happened {
        backoff.max(place.sim.character.policy.missing_grace)
    } else {
        backoff
    };
    let why = failed.why;
    place
        .statement("note a failure", |db| {
            db.failed(term, &draft.id, &why, wait)
        })
        .await?;
    creations.failed += 1;
    creations.last_error = Some(why.clone());
    if failed.is_limit {
        creations.limit = Some(why);
    }
    Ok(())
}
