//! Retires unclaimed stock.

use axum::Json;
use axum::extract::State;
use pool_db::instances;
use pool_domain::Policy;
use serde::Serialize;

use crate::body::Body;
use crate::error::ApiError;
use crate::routes::ACTOR;
use crate::state::Shared;
use crate::views::Counts;

#[derive(Serialize)]
pub(crate) struct DrainAnswer {
    ok: bool,
    drained: usize,
    counts: Counts,
}

pub(crate) async fn drain(
    State(shared): State<Shared>,
    body: Body,
) -> Result<Json<DrainAnswer>, ApiError> {
    let count = how_many(body.count()?)?;
    let change = shared.change();
    let drained = instances::drain(&shared.app.db, count, ACTOR).await?;
    drop(change);
    if !drained.is_empty() {
        shared.wake_leader().await;
    }
    for id in &drained {
        tracing::info!(instance.id = %id, "drained: it will be destroyed");
    }
    Ok(Json(DrainAnswer {
        ok: true,
        drained: drained.len(),
        counts: *shared.counts().await?,
    }))
}

/// Missing or 0 is one, and more than one request may drain is as many as it may.
fn how_many(count: Option<i64>) -> Result<usize, ApiError> {
    let count = usize::try_from(count.unwrap_or(1)).map_err(|_| ApiError::CountNegative)?;
    Ok(count.clamp(1, Policy::PERSON_COUNT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_twenty_are_drained_and_never_fewer_than_none() {
        for (count, expected) in [
            (None, 1),
            (Some(0), 1),
            (Some(1), 1),
            (Some(20), 20),
            (Some(21), 20),
            (Some(i64::MAX), 20),
        ] {
            assert_eq!(how_many(count).unwrap(), expected, "{count:?}");
        }
        assert!(matches!(how_many(Some(-1)), Err(ApiError::CountNegative)));
    }
}
