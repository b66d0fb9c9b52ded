//! Railway's schema as types, made from `schema/railway.graphql`.

#[expect(unreachable_pub, reason = "made by cynic")]
#[cynic::schema("railway")]
mod generated {}

pub(crate) use generated::*;

cynic::impl_scalar!(chrono::DateTime<chrono::Utc>, generated::DateTime);
