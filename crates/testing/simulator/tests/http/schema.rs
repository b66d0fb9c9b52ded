//! The schema promises fields, which are answered one by one: each of them is.

use std::collections::BTreeSet;

use apollo_compiler::Schema;
use pool_simulator::{Options, SeedServices};
use serde_json::json;

use super::support::{Result, started};

/// Everything of a type, and of the types that it leads to unless they were asked for before.
fn everything_of(schema: &Schema, ty: &str, asked: &mut BTreeSet<String>) -> String {
    let Some(object) = schema.get_object(ty) else {
        return String::new();
    };
    if !asked.insert(ty.to_owned()) {
        return "{ __typename }".to_owned();
    }
    let fields = object.fields.values().map(|field| {
        let inner = field.ty.inner_named_type();
        format!("{} {}", field.name, everything_of(schema, inner, asked))
    });
    format!("{{ {} }}", fields.collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_the_schema_is_answered() -> Result<()> {
    let (simulator, client) = started(Options::default()).await?;
    let mount_path = Some("/data".to_owned());
    simulator.seed_services(&SeedServices {
        mount_path,
        ..SeedServices::default()
    })?;
    let schema = Schema::parse_and_validate(pool_simulator::sdl(), "railway.graphql");
    let schema = schema.map_err(|problem| problem.errors.to_string())?;
    let mut asked = BTreeSet::new();
    let everything = everything_of(&schema, "Environment", &mut asked);
    let query = format!(
        "{{ environment(id: \"{}\") {everything} }}",
        client.environment
    );
    client.data(&query, json!({})).await?;
    for ty in ["ServiceInstance", "Deployment", "VolumeInstance"] {
        assert!(asked.contains(ty), "an environment leads to {ty}");
    }
    Ok(())
}
