//! Makes instances outside: key, inbox, service, row, volume, domain for each, and then one commit
//! for all that are whole. Every step is recorded before it is taken.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt, stream};
use pool_db::provisions::{self, Made, NewProvision};
use pool_domain::write::NewInstance;
use pool_domain::{
    CreateStep, Creations, InboxId, InstanceId, KeyHash, Policy, Provision, Secret, ServiceId,
    Stage, Term, VolumeId,
};
use pool_failpoints::fail_point;
use pool_planner::Resume;
use pool_railway::{ErrorClass, ServicePatch};
use tokio::time::{Duration, Instant, sleep, timeout_at};

use crate::blueprint::{Parts, new_gateway_token};
use crate::{Error, Outside, phase};

/// How the creations of a tick went.
#[derive(Debug, Default)]
pub(crate) struct Built {
    /// How many became whole, how many did not, and what Railway said.
    pub(crate) creations: Creations,
    /// How many an earlier tick had made whole without hearing of it. They say nothing of whether
    /// Railway makes any now.
    pub(crate) settled: usize,
    /// How many were not gone on with, since Railway wants no more of them.
    pub(crate) held_back: usize,
    /// Those that failed, the step at which they failed, and why.
    pub(crate) failures: Vec<(InstanceId, CreateStep, String)>,
}

/// An instance in the making.
#[derive(Debug)]
struct Draft {
    id: InstanceId,
    name: String,
    step: CreateStep,
    /// Intended in this very tick: nothing of it can be outside yet.
    is_fresh: bool,
    /// How often the present step failed in a row.
    attempts: u32,
    service_id: Option<ServiceId>,
    volume_id: Option<VolumeId>,
    has_domain: bool,
    gateway_token: Secret,
    key_hash: Option<KeyHash>,
    /// Known only to the run that made it.
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

    fn of(resume: Resume, outside: &Outside) -> Self {
        let Provision {
            id,
            name,
            gateway_token,
            openrouter_key_hash,
            agentmail_inbox_id,
            ..
        } = resume.provision;
        Self {
            id,
            name,
            step: resume.step,
            is_fresh: false,
            attempts: resume.provision.attempts,
            service_id: resume.service_id,
            volume_id: resume.volume_id,
            has_domain: resume.has_domain,
            gateway_token: gateway_token.unwrap_or_else(|| new_gateway_token(&*outside.entropy)),
            key_hash: openrouter_key_hash,
            key: None,
            inbox_id: agentmail_inbox_id,
        }
    }
}

/// A step that failed, and whether it may have happened all the same.
struct StepFailed {
    step: CreateStep,
    why: String,
    may_have_happened: bool,
    /// Railway wants no more of what the step makes.
    is_limit: bool,
}

/// What Railway wants no more of. Whoever hears of it tells the others of the same tick.
#[derive(Debug, Default)]
struct Halted {
    services: AtomicBool,
    volumes: AtomicBool,
}

impl Halted {
    /// No service is made after any such refusal: each would only be one more to finish.
    fn by(&self, step: CreateStep) {
        self.services.store(true, Ordering::SeqCst);
        if step == CreateStep::Volume {
            self.volumes.store(true, Ordering::SeqCst);
        }
    }

    fn stops(&self, draft: &Draft) -> bool {
        let makes_service = draft.step <= CreateStep::Service && draft.service_id.is_none();
        let makes_volume = draft.step <= CreateStep::Volume && draft.volume_id.is_none();
        (makes_service && self.services.load(Ordering::SeqCst))
            || (makes_volume && self.volumes.load(Ordering::SeqCst))
    }
}

/// What ends the making of one instance.
enum Ended {
    Failed(StepFailed),
    /// Railway wants no more of them: what was begun is recorded, and goes on in a later tick.
    HeldBack,
    Database(pool_db::Error),
}

impl From<pool_db::Error> for Ended {
    fn from(error: pool_db::Error) -> Self {
        Self::Database(error)
    }
}

/// Makes what was begun earlier and what was intended just now, as far as the phase's time allows.
pub(crate) async fn build(
    outside: &Outside,
    term: Term,
    resumes: Vec<Resume>,
    intents: Vec<NewProvision>,
) -> Result<Built, Error> {
    let mut built = Built::default();
    let until = Instant::now() + phase::CREATE;
    let (committed, drafts): (Vec<_>, Vec<_>) =
        resumes.into_iter().partition(|resume| resume.is_committed);
    for resume in committed {
        let id = &resume.provision.id;
        provisions::advance(&outside.db, term, id, Made::Nothing, Stage::Created).await?;
        built.settled += 1;
    }
    let drafts: Vec<_> = drafts
        .into_iter()
        .map(|resume| Draft::of(resume, outside))
        .chain(intents.into_iter().map(Draft::fresh))
        .collect();
    let halted = Halted::default();
    let ended: Vec<_> = stream::iter(drafts)
        .map(|draft| assemble_in_time(outside, term, draft, &halted, until))
        .buffer_unordered(phase::CREATES_IN_FLIGHT_MAX)
        .filter_map(|ended| async move { ended })
        .collect()
        .await;
    let mut whole = Vec::new();
    for (draft, ended) in ended {
        match ended {
            Ok(service_id) => whole.push((draft, service_id)),
            Err(Ended::Database(error)) => return Err(error.into()),
            Err(Ended::HeldBack) => built.held_back += 1,
            Err(Ended::Failed(failed)) => note(outside, term, &draft, failed, &mut built).await?,
        }
    }
    if !whole.is_empty() {
        commit_all(outside, term, whole, &mut built).await?;
    }
    Ok(built)
}

type Assembled = (Draft, Result<ServiceId, Ended>);

/// None when its time ran out: what was begun is recorded, and settled by a later listing.
async fn assemble_in_time(
    outside: &Outside,
    term: Term,
    mut draft: Draft,
    halted: &Halted,
    until: Instant,
) -> Option<Assembled> {
    if Instant::now() >= until {
        return None;
    }
    let ended = timeout_at(until, assemble(outside, term, &mut draft, halted))
        .await
        .ok()?;
    if let Err(Ended::Failed(failed)) = &ended
        && failed.is_limit
    {
        halted.by(failed.step);
    }
    Some((draft, ended))
}

/// Every step but the commit.
async fn assemble(
    outside: &Outside,
    term: Term,
    draft: &mut Draft,
    halted: &Halted,
) -> Result<ServiceId, Ended> {
    let unless_halted = |draft: &Draft| {
        let stopped = halted.stops(draft);
        if stopped {
            Err(Ended::HeldBack)
        } else {
            Ok(())
        }
    };
    unless_halted(draft)?;
    make_key(outside, term, draft).await?;
    make_inbox(outside, term, draft).await?;
    unless_halted(draft)?;
    let service = make_service(outside, term, draft).await?;
    insert_row(outside, term, draft, &service).await?;
    unless_halted(draft)?;
    make_volume(outside, term, draft, &service).await?;
    make_domain(outside, term, draft, &service).await?;
    Ok(service)
}

/// Records what the present step made, and goes on to the next one.
async fn advance(
    outside: &Outside,
    term: Term,
    draft: &mut Draft,
    made: Made,
    next: CreateStep,
) -> Result<(), Ended> {
    if next != draft.step {
        draft.attempts = 0;
    }
    draft.step = next;
    let stage = Stage::Creating(next);
    provisions::advance(&outside.db, term, &draft.id, made, stage).await?;
    Ok(())
}

/// Records that the step begins. One whose record is gone or being destroyed is not gone on with.
async fn begin(
    outside: &Outside,
    term: Term,
    id: &InstanceId,
    step: CreateStep,
) -> Result<(), Ended> {
    if provisions::begin_step(&outside.db, term, id, step).await? {
        return Ok(());
    }
    Err(refused(
        step,
        "its record is gone or being destroyed".to_owned(),
    ))
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

/// Only the run that made a key knows it, so a run that takes over makes it anew.
async fn make_key(outside: &Outside, term: Term, draft: &mut Draft) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Key;
    if !outside.makes_keys() {
        return Ok(());
    }
    let failed = |error: pool_credentials::Error| {
        // It is looked for by its name and deleted before the next try.
        refused(STEP, error.to_string())
    };
    let old = if draft.is_fresh {
        Vec::new()
    } else {
        outside
            .credentials
            .find_keys(&draft.name)
            .await
            .map_err(failed)?
    };
    for hash in old.iter().chain(&draft.key_hash) {
        outside.credentials.delete_key(hash).await.map_err(failed)?;
    }
    if draft.step == STEP {
        begin(outside, term, &draft.id, STEP).await?;
    }
    fail_point!("create.key.before");
    let made = outside.credentials.make_key(&draft.name).await;
    let made = made.map_err(failed)?;
    fail_point!("create.key.after");
    let next = draft.step.max(CreateStep::Inbox);
    let hash = made.hash.clone();
    advance(outside, term, draft, Made::Key(hash), next).await?;
    draft.key_hash = Some(made.hash);
    draft.key = Some(made.key);
    Ok(())
}

async fn make_inbox(outside: &Outside, term: Term, draft: &mut Draft) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Inbox;
    if !outside.credentials.has_agentmail() || draft.inbox_id.is_some() || draft.step > STEP {
        return Ok(());
    }
    let failed = |error: pool_credentials::Error| {
        // It is looked for by its client id before the next try.
        refused(STEP, error.to_string())
    };
    begin(outside, term, &draft.id, STEP).await?;
    fail_point!("create.inbox.before");
    let found = if draft.is_fresh {
        None
    } else {
        outside
            .credentials
            .find_inbox(&draft.name)
            .await
            .map_err(failed)?
    };
    let inbox = match found {
        Some(inbox) => inbox,
        None => outside
            .credentials
            .make_inbox(&draft.name)
            .await
            .map_err(failed)?,
    };
    fail_point!("create.inbox.after");
    let record = Made::Inbox(inbox.clone());
    advance(outside, term, draft, record, CreateStep::Service).await?;
    draft.inbox_id = Some(inbox);
    Ok(())
}

/// By name only: an image or variables would deploy it at once. Names are unique, so a lost answer
/// is found again as "already exists", and the next listing tells which one it is.
async fn make_service(
    outside: &Outside,
    term: Term,
    draft: &mut Draft,
) -> Result<ServiceId, Ended> {
    const STEP: CreateStep = CreateStep::Service;
    if let (Some(service), true) = (&draft.service_id, draft.step > STEP) {
        return Ok(service.clone());
    }
    let service = if let Some(seen) = draft.service_id.clone() {
        seen
    } else {
        begin(outside, term, &draft.id, STEP).await?;
        fail_point!("create.service.before");
        let made = patient(|| outside.railway.create_service(&draft.name)).await;
        made.map_err(|error| {
            Ended::Failed(StepFailed {
                may_have_happened: false, // Its name is unique: repeating it does no harm.
                ..StepFailed::new(STEP, &error)
            })
        })?
    };
    fail_point!("create.service.after");
    let record = Made::Service(service.clone());
    advance(outside, term, draft, record, CreateStep::Row).await?;
    draft.service_id = Some(service.clone());
    Ok(service)
}

async fn insert_row(
    outside: &Outside,
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
        runtime_image: Some(outside.blueprint.image.clone()),
    };
    // Also on a later run: the key may have been made anew since.
    fail_point!("create.row.before", |_| Err(pool_db::Error::Lose(
        "at a failpoint".into()
    )
    .into()));
    let inserted = pool_db::instances::insert_created(&outside.db, term, &row).await;
    inserted.map_err(|error| match error {
        // Another's row has its id or its service: this one cannot be, and the others can.
        pool_db::Error::InsertInstance { .. } => refused(CreateStep::Row, error.to_string()),
        error => Ended::Database(error),
    })?;
    fail_point!("create.row.after", |_| Err(pool_db::Error::Lose(
        "at a failpoint".into()
    )
    .into()));
    if draft.step <= CreateStep::Row {
        advance(outside, term, draft, Made::Nothing, CreateStep::Volume).await?;
    }
    Ok(())
}

async fn make_volume(
    outside: &Outside,
    term: Term,
    draft: &mut Draft,
    service: &ServiceId,
) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Volume;
    if draft.step > STEP {
        return Ok(());
    }
    let made = match (
        &outside.blueprint.volume_mount_path,
        draft.volume_id.clone(),
    ) {
        (None, _) => Made::Nothing,
        (Some(_), Some(seen)) => Made::Volume(seen),
        (Some(path), None) => {
            begin(outside, term, &draft.id, STEP).await?;
            fail_point!("create.volume.before");
            let made = patient(|| outside.railway.create_volume(service, path)).await;
            let made = made.map_err(|error| step_failed(STEP, &error))?;
            fail_point!("create.volume.after");
            Made::Volume(made)
        }
    };
    advance(outside, term, draft, made, CreateStep::Domain).await
}

async fn make_domain(
    outside: &Outside,
    term: Term,
    draft: &mut Draft,
    service: &ServiceId,
) -> Result<(), Ended> {
    const STEP: CreateStep = CreateStep::Domain;
    if draft.step > STEP {
        return Ok(());
    }
    if !draft.has_domain {
        begin(outside, term, &draft.id, STEP).await?;
        fail_point!("create.domain.before");
        let made = patient(|| outside.railway.create_domain(service)).await;
        made.map_err(|error| step_failed(STEP, &error))?;
        fail_point!("create.domain.after");
    }
    advance(outside, term, draft, Made::Nothing, CreateStep::Commit).await
}

impl StepFailed {
    fn new(step: CreateStep, error: &pool_railway::Error) -> Self {
        let limits = [ErrorClass::ResourceLimit, ErrorClass::CreationThrottled];
        Self {
            step,
            why: error.to_string(),
            may_have_happened: error.may_have_happened(),
            is_limit: limits.contains(&error.class()),
        }
    }
}

fn step_failed(step: CreateStep, error: &pool_railway::Error) -> Ended {
    Ended::Failed(StepFailed::new(step, error))
}

/// A service is not ready for its volume or domain at once: "`ServiceInstance` not found" passes.
const TOO_EARLY_TRIES: u32 = 3;
/// How long to wait in between.
const TOO_EARLY_WAIT: Duration = Duration::from_secs(2);

async fn patient<T, F>(call: impl Fn() -> F) -> Result<T, pool_railway::Error>
where
    F: Future<Output = Result<T, pool_railway::Error>>,
{
    for _ in 1..TOO_EARLY_TRIES {
        match call().await {
            Err(error) if error.class() == ErrorClass::TooEarly => sleep(TOO_EARLY_WAIT).await,
            answered => return answered,
        }
    }
    call().await
}

type Whole = (Draft, ServiceId);

/// One commit for all whole instances: one deployment each. Where it is refused, halves are tried,
/// until the ones at fault stand alone.
async fn commit_all(
    outside: &Outside,
    term: Term,
    whole: Vec<Whole>,
    built: &mut Built,
) -> Result<(), Error> {
    const STEP: CreateStep = CreateStep::Commit;
    // One that failed before goes alone: whatever is wrong with it holds back no other.
    let (again, first): (Vec<_>, Vec<_>) =
        whole.into_iter().partition(|(draft, _)| draft.attempts > 0);
    let mut batches: Vec<_> = again.into_iter().map(|one| vec![one]).collect();
    batches.push(first);
    while let Some(batch) = batches.pop() {
        let mut batch = begun(outside, term, batch).await?;
        if batch.is_empty() {
            continue;
        }
        let patches: Vec<_> = batch.iter().map(|whole| patch(outside, whole)).collect();
        fail_point!("create.commit.before");
        match outside.railway.commit(&patches).await {
            Ok(()) => {
                fail_point!("create.commit.after");
                for (draft, _) in &batch {
                    let made = Made::Nothing;
                    provisions::advance(&outside.db, term, &draft.id, made, Stage::Created).await?;
                }
                built.creations.whole += batch.len();
            }
            Err(error) if batch.len() > 1 && is_refusal(&error) => {
                let half = batch.split_off(batch.len() / 2);
                batches.extend([half, batch]);
            }
            Err(error) => {
                let failed_before = built.creations.failed;
                for (draft, _) in &batch {
                    note(outside, term, draft, StepFailed::new(STEP, &error), built).await?;
                }
                // One request failed, whoever of them it was that spoilt it.
                built.creations.failed = failed_before + 1;
            }
        }
    }
    Ok(())
}

/// Records that the commit begins, and leaves out those that are being destroyed by now.
async fn begun(outside: &Outside, term: Term, batch: Vec<Whole>) -> Result<Vec<Whole>, Error> {
    let mut begun = Vec::with_capacity(batch.len());
    for whole in batch {
        let id = &whole.0.id;
        if provisions::begin_step(&outside.db, term, id, CreateStep::Commit).await? {
            begun.push(whole);
        }
    }
    Ok(begun)
}

/// Railway read the patch and did not take it: another part of it may be fine.
fn is_refusal(error: &pool_railway::Error) -> bool {
    !error.may_have_happened()
        && !matches!(
            error.class(),
            ErrorClass::RateLimited { .. }
                | ErrorClass::EdgeBlocked
                | ErrorClass::Network
                | ErrorClass::Timeout
        )
}

fn patch(outside: &Outside, (draft, service): &Whole) -> ServicePatch {
    let parts = Parts {
        service_id: service.clone(),
        gateway_token: draft.gateway_token.clone(),
        openrouter_key: draft.key.clone(),
        inbox_id: draft.inbox_id.clone(),
    };
    outside.blueprint.patch(&parts, &*outside.entropy)
}

/// Records a failure and when to try again: not before a listing could show what may have happened.
async fn note(
    outside: &Outside,
    term: Term,
    draft: &Draft,
    failed: StepFailed,
    built: &mut Built,
) -> Result<(), Error> {
    let backoff = Policy::retry_creating_after(draft.attempts + 1);
    let wait = if failed.may_have_happened {
        backoff.max(outside.policy.missing_grace)
    } else {
        backoff
    };
    provisions::failed(&outside.db, term, &draft.id, &failed.why, wait).await?;
    built.creations.failed += 1;
    built.creations.last_error = Some(failed.why.clone());
    if failed.is_limit {
        built.creations.limit = Some(failed.why.clone());
    }
    built
        .failures
        .push((draft.id.clone(), failed.step, failed.why));
    Ok(())
}
