//! Makes one instance outside, all but its deployment: key, inbox, service, row, volume, domain. Every
//! step is recorded before it is taken, and has a limit of its own.

use pool_credentials::Deleted;
use pool_db::provisions::{self, Made as Recorded};
use pool_domain::write::NewInstance;
use pool_domain::{CreateStep, InstanceId, ServiceId, Stage};
use pool_failpoints::fail_point;
use pool_railway::ErrorClass;
use tokio::time::{Duration, sleep, timeout};

use super::draft::Draft;
use super::lanes::Lane;
use super::tools::{StepFailed, Tools};
use crate::leading::lock;
use crate::limits::{ACCOUNT_STEP, RAILWAY_STEP};
use crate::{Error, budget};

/// One that is whole but for its deployment.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) draft: Draft,
    pub(super) service_id: ServiceId,
}

/// What ends the making of one instance.
enum Stopped {
    Failed(StepFailed),
    /// Railway wants no more of them, or others took too long: what was begun is recorded, and goes
    /// on in a later order.
    HeldBack,
    /// Its record is gone, or it is to be destroyed.
    Gone,
    Database(pool_db::Error),
}

impl From<pool_db::Error> for Stopped {
    fn from(error: pool_db::Error) -> Self {
        Self::Database(error)
    }
}

/// Every step but the commit. None where it did not become whole: why is recorded.
pub(super) async fn make(tools: Tools, mut draft: Draft) -> Result<Option<Box<Made>>, Error> {
    draft.key = tools.kept_key(&draft);
    let stopped = match assemble(&tools, &mut draft).await {
        Ok(service_id) => return Ok(Some(Box::new(Made { draft, service_id }))),
        Err(stopped) => stopped,
    };
    match stopped {
        Stopped::Failed(failed) => {
            tools.note(&draft, failed).await?;
            budget::share_block(&tools.leading).await?;
        }
        Stopped::HeldBack => tools.leading.tally().done.held_back += 1,
        Stopped::Gone => tools.forget_key(&draft.id),
        Stopped::Database(error) => return Err(error.into()),
    }
    Ok(None)
}

async fn assemble(tools: &Tools, draft: &mut Draft) -> Result<ServiceId, Stopped> {
    let lanes = &*tools.lanes;
    unless_halted(tools, draft)?;
    if tools.leading.context.makes_keys() && draft.key.is_none() {
        let step = (CreateStep::Key, ACCOUNT_STEP);
        limited(&lanes.making_keys, step, make_key(tools, draft)).await?;
    }
    if needs_inbox(tools, draft) {
        let step = (CreateStep::Inbox, ACCOUNT_STEP);
        limited(&lanes.making_inboxes, step, make_inbox(tools, draft)).await?;
    }
    unless_halted(tools, draft)?;
    let step = (CreateStep::Service, RAILWAY_STEP);
    let service = limited(&lanes.making, step, make_service(tools, draft)).await?;
    insert_row(tools, draft, &service).await?;
    unless_halted(tools, draft)?;
    let volume = (CreateStep::Volume, RAILWAY_STEP);
    limited(&lanes.making, volume, make_volume(tools, draft, &service)).await?;
    let domain = (CreateStep::Domain, RAILWAY_STEP);
    limited(&lanes.making, domain, make_domain(tools, draft, &service)).await?;
    Ok(service)
}

fn unless_halted(tools: &Tools, draft: &Draft) -> Result<(), Stopped> {
    let (has_service, has_volume) = (draft.service_id.is_some(), draft.volume_id.is_some());
    if lock(&tools.halted).stops(draft.step, has_service, has_volume) {
        Err(Stopped::HeldBack)
    } else {
        Ok(())
    }
}

/// Takes a step when it has its turn, and not for longer than its limit.
async fn limited<T>(
    lane: &Lane,
    (step, limit): (CreateStep, Duration),
    taken: impl Future<Output = Result<T, Stopped>>,
) -> Result<T, Stopped> {
    let _turn = lane.enter().await.ok_or(Stopped::HeldBack)?;
    timeout(limit, taken).await.unwrap_or_else(|_elapsed| {
        Err(Stopped::Failed(StepFailed {
            step,
            why: format!("no answer within {} s", limit.as_secs()),
            may_have_happened: true,
            limit: None,
        }))
    })
}

/// Records what the present step made, and goes on to the next one.
async fn advance(
    tools: &Tools,
    draft: &mut Draft,
    made: Recorded,
    next: CreateStep,
) -> Result<(), Stopped> {
    if next != draft.step {
        draft.attempts = 0;
    }
    draft.step = next;
    let stage = Stage::Creating(next);
    let leading = &tools.leading;
    provisions::advance(&leading.context.db, leading.term, &draft.id, made, stage).await?;
    Ok(())
}

/// Records that the step begins. One whose record is gone, or that is to be destroyed by now, is not
/// gone on with.
async fn begin(tools: &Tools, id: &InstanceId, step: CreateStep) -> Result<(), Stopped> {
    let leading = &tools.leading;
    if provisions::begin_step(&leading.context.db, leading.term, id, step).await? {
        Ok(())
    } else {
        Err(Stopped::Gone)
    }
}

/// A step that surely was not taken.
fn refused(step: CreateStep, why: String) -> Stopped {
    Stopped::Failed(StepFailed {
        step,
        why,
        may_have_happened: false,
        limit: None,
    })
}

/// Only the leader that made a key knows it, so one that takes over makes it anew.
async fn make_key(tools: &Tools, draft: &mut Draft) -> Result<(), Stopped> {
    const STEP: CreateStep = CreateStep::Key;
    let context = &tools.leading.context;
    let failed = |error| account_failed(STEP, &error);
    // With the place in hand: others may have heard of a limit while this one waited for it.
    unless_halted(tools, draft)?;
    delete_unknown_keys(tools, draft).await.map_err(failed)?;
    if draft.step == STEP {
        begin(tools, &draft.id, STEP).await?;
    }
    fail_point!("create.key.before");
    let made = context.credentials.make_key(&draft.name).await;
    let made = made.map_err(failed)?;
    fail_point!("create.key.after");
    let next = draft.step.max(CreateStep::Inbox);
    let hash = made.hash.clone();
    advance(tools, draft, Recorded::Key(hash), next).await?;
    tools.keep_key(&draft.id, &made.hash, &made.key);
    draft.key_hash = Some(made.hash);
    draft.key = Some(made.key);
    Ok(())
}

/// What an earlier try made, or an earlier leader: nobody knows its secret. The keys of the account are
/// listed only where it is not known by which hash to delete it, or where that one is not found: then
/// it was made anew before, and nobody heard of it.
async fn delete_unknown_keys(tools: &Tools, draft: &Draft) -> Result<(), pool_credentials::Error> {
    let credentials = &tools.leading.context.credentials;
    if draft.is_fresh {
        return Ok(());
    }
    if let Some(hash) = &draft.key_hash
        && credentials.delete_key(hash).await? == Deleted::Now
    {
        return Ok(());
    }
    for hash in credentials.find_keys(&draft.name).await? {
        credentials.delete_key(&hash).await?;
    }
    Ok(())
}

fn account_failed(step: CreateStep, error: &pool_credentials::Error) -> Stopped {
    Stopped::Failed(StepFailed::of_account(step, error))
}

fn needs_inbox(tools: &Tools, draft: &Draft) -> bool {
    tools.leading.context.credentials.has_agentmail()
        && draft.inbox_id.is_none()
        && draft.step <= CreateStep::Inbox
}

async fn make_inbox(tools: &Tools, draft: &mut Draft) -> Result<(), Stopped> {
    const STEP: CreateStep = CreateStep::Inbox;
    let context = &tools.leading.context;
    let failed = |error| account_failed(STEP, &error);
    unless_halted(tools, draft)?;
    begin(tools, &draft.id, STEP).await?;
    fail_point!("create.inbox.before");
    let found = if draft.is_fresh {
        None
    } else {
        context
            .credentials
            .find_inbox(&draft.name)
            .await
            .map_err(failed)?
    };
    let inbox = match found {
        Some(inbox) => inbox,
        None => context
            .credentials
            .make_inbox(&draft.name)
            .await
            .map_err(failed)?,
    };
    fail_point!("create.inbox.after");
    let record = Recorded::Inbox(inbox.clone());
    advance(tools, draft, record, CreateStep::Service).await?;
    draft.inbox_id = Some(inbox);
    Ok(())
}

/// By name only: an image or variables would deploy it at once. Names are unique, so a lost answer
/// is found again as "already exists", and the next listing tells which one it is.
async fn make_service(tools: &Tools, draft: &mut Draft) -> Result<ServiceId, Stopped> {
    const STEP: CreateStep = CreateStep::Service;
    if let (Some(service), true) = (&draft.service_id, draft.step > STEP) {
        return Ok(service.clone());
    }
    let service = if let Some(seen) = draft.service_id.clone() {
        seen
    } else {
        // With the place in hand: others may have heard of a limit while this one waited for it.
        unless_halted(tools, draft)?;
        begin(tools, &draft.id, STEP).await?;
        fail_point!("create.service.before");
        let made = patient(|| tools.leading.context.railway.create_service(&draft.name)).await;
        made.map_err(|error| {
            Stopped::Failed(StepFailed {
                may_have_happened: false, // Its name is unique: repeating it does no harm.
                ..StepFailed::new(STEP, &error)
            })
        })?
    };
    fail_point!("create.service.after");
    let record = Recorded::Service(service.clone());
    advance(tools, draft, record, CreateStep::Row).await?;
    draft.service_id = Some(service.clone());
    Ok(service)
}

async fn insert_row(tools: &Tools, draft: &mut Draft, service: &ServiceId) -> Result<(), Stopped> {
    let context = &tools.leading.context;
    let row = NewInstance {
        id: draft.id.clone(),
        service_id: service.clone(),
        name: draft.name.clone(),
        openrouter_key_hash: draft.key_hash.clone(),
        agentmail_inbox_id: draft.inbox_id.clone(),
        gateway_token: Some(draft.gateway_token.clone()),
        runtime_image: Some(context.blueprint.image.clone()),
    };
    // Also on a later run: the key may have been made anew since.
    fail_point!("create.row.before", |_| Err(pool_db::Error::Lose(
        "at a failpoint".into()
    )
    .into()));
    let inserted = pool_db::instances::insert_created(&context.db, tools.leading.term, &row).await;
    let is_wanted = inserted.map_err(|error| match error {
        // Another's row has its id or its service: this one cannot be, and the others can.
        pool_db::Error::InsertInstance { .. } => refused(CreateStep::Row, error.to_string()),
        error => Stopped::Database(error),
    })?;
    if !is_wanted {
        return Err(Stopped::Gone);
    }
    fail_point!("create.row.after", |_| Err(pool_db::Error::Lose(
        "at a failpoint".into()
    )
    .into()));
    if draft.step <= CreateStep::Row {
        advance(tools, draft, Recorded::Nothing, CreateStep::Volume).await?;
    }
    Ok(())
}

async fn make_volume(tools: &Tools, draft: &mut Draft, service: &ServiceId) -> Result<(), Stopped> {
    const STEP: CreateStep = CreateStep::Volume;
    if draft.step > STEP {
        return Ok(());
    }
    let context = &tools.leading.context;
    let made = match (
        &context.blueprint.volume_mount_path,
        draft.volume_id.clone(),
    ) {
        (None, _) => Recorded::Nothing,
        (Some(_), Some(seen)) => Recorded::Volume(seen),
        (Some(path), None) => {
            unless_halted(tools, draft)?;
            begin(tools, &draft.id, STEP).await?;
            fail_point!("create.volume.before");
            let made = patient(|| context.railway.create_volume(service, path)).await;
            let made = made.map_err(|error| step_failed(STEP, &error))?;
            fail_point!("create.volume.after");
            Recorded::Volume(made)
        }
    };
    advance(tools, draft, made, CreateStep::Domain).await
}

async fn make_domain(tools: &Tools, draft: &mut Draft, service: &ServiceId) -> Result<(), Stopped> {
    const STEP: CreateStep = CreateStep::Domain;
    if draft.step > STEP {
        return Ok(());
    }
    if !draft.has_domain {
        begin(tools, &draft.id, STEP).await?;
        fail_point!("create.domain.before");
        let context = &tools.leading.context;
        let made = patient(|| context.railway.create_domain(service)).await;
        let host = made.map_err(|error| step_failed(STEP, &error))?;
        fail_point!("create.domain.after");
        // Its agent may be ready before a listing shows where it answers.
        let (url, term) = (context.identity.url_of(&host), tools.leading.term);
        pool_db::instances::set_url(&context.db, term, &draft.id, &url).await?;
    }
    advance(tools, draft, Recorded::Nothing, CreateStep::Commit).await
}

fn step_failed(step: CreateStep, error: &pool_railway::Error) -> Stopped {
    Stopped::Failed(StepFailed::new(step, error))
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
