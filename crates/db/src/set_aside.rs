//! Rows of earlier generations that were not taken over. Adoption asks for them: such a service may
//! be somebody's.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use pool_domain::{InstanceId, ServiceId};

use crate::Db;
use crate::answer::answer;
use crate::error::Error;
use crate::schema::set_aside;
use crate::text::storable;

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The id that the older generation gave it.
    pub id: InstanceId,
    /// The service that it named, if any: it may be somebody's still.
    pub service_id: Option<ServiceId>,
    /// Why it was not taken over.
    pub reason: String,
}

/// What was set aside of these ids and these services.
///
/// # Errors
///
/// As every statement: see [`Error`].
pub async fn reasons(
    db: &Db,
    ids: &[InstanceId],
    services: &[ServiceId],
) -> Result<Vec<SetAside>, Error> {
    let of_service = set_aside::service_id.eq_any(services.iter().map(ServiceId::as_str));
    let mut connection = db.connection().await?;
    let rows: Vec<(String, Option<String>, String)> = answer(
        set_aside::table
            .filter(set_aside::id.eq_any(ids.iter().map(|id| storable(id.as_str()))))
            .or_filter(of_service.assume_not_null())
            .select((set_aside::id, set_aside::service_id, set_aside::reason))
            .order((set_aside::id, set_aside::from_table))
            .load(&mut connection),
    )
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, service_id, reason)| SetAside {
            id: id.into(),
            service_id: service_id.map(Into::into),
            reason,
        })
        .collect())
}
