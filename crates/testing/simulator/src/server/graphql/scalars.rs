//! Railway's own scalars.

use std::collections::BTreeMap;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{SecondsFormat, Utc};

/// A time, with milliseconds and a `Z`, as JavaScript writes it.
#[derive(Debug, Clone, Copy)]
pub(super) struct DateTime(pub(super) chrono::DateTime<Utc>);

#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let parsed = chrono::DateTime::parse_from_rfc3339(text);
        Ok(Self(parsed.map_err(InputValueError::custom)?.to_utc()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

macro_rules! opaque_scalars {
    ($($(#[$doc:meta])+ $name:ident, $spelled:literal;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone)]
        pub(super) struct $name(pub(super) serde_json::Value);

        #[Scalar(name = $spelled)]
        impl ScalarType for $name {
            fn parse(value: Value) -> InputValueResult<Self> {
                Ok(Self(value.into_json().map_err(InputValueError::custom)?))
            }

            fn to_value(&self) -> Value {
                Value::from_json(self.0.clone()).unwrap_or_default()
            }
        }
    )+};
}

opaque_scalars! {
    /// The configuration of services, opaque to the schema.
    EnvironmentConfig, "EnvironmentConfig";
    /// What is known of a deployment's source.
    DeploymentMeta, "DeploymentMeta";
    /// What a service instance may use.
    ServiceInstanceLimit, "ServiceInstanceLimit";
    /// What the plan allows.
    SubscriptionPlanLimit, "SubscriptionPlanLimit";
    /// Anything.
    Json, "JSON";
}

/// Names and values of variables.
#[derive(Debug, Clone)]
pub(super) struct EnvironmentVariables(pub(super) BTreeMap<String, String>);

#[Scalar(name = "EnvironmentVariables")]
impl ScalarType for EnvironmentVariables {
    fn parse(value: Value) -> InputValueResult<Self> {
        let json = value.into_json().map_err(InputValueError::custom)?;
        Ok(Self(
            serde_json::from_value(json).map_err(InputValueError::custom)?,
        ))
    }

    fn to_value(&self) -> Value {
        async_graphql::to_value(&self.0).unwrap_or_default()
    }
}
