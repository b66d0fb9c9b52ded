//! The check against Railway's own schema and damaged copies of it, where the file is present.

use std::fs;

use serde_json::{Value, json};

use super::report::Report;
use super::subset::Ours;
use super::usual_file;

/// Railway's own schema, where its file is present.
fn railways_own() -> Option<Value> {
    let Some(file) = usual_file() else {
        eprintln!("skipped: there is no introspection of Railway's schema here");
        return None;
    };
    let text = fs::read(&file).unwrap_or_default();
    let answer = serde_json::from_slice(&text);
    Some(answer.unwrap_or_else(|problem| panic!("{}: {problem}", file.display())))
}

fn judged(railway: &Value) -> Vec<String> {
    let judged = Ours::read()
        .and_then(|ours| Report::new(railway.to_string().as_bytes(), "railway.json", &ours));
    match judged {
        Ok(report) => report.findings.iter().map(ToString::to_string).collect(),
        Err(problem) => vec![format!("{problem:#}")],
    }
}

/// One field of one type of Railway's.
fn field<'a>(railway: &'a mut Value, ty: &str, name: &str) -> Option<&'a mut Value> {
    let types = railway
        .pointer_mut("/data/__schema/types")?
        .as_array_mut()?;
    let ty = types.iter_mut().find(|found| found["name"] == ty)?;
    let mut fields = ty["fields"].as_array_mut()?.iter_mut();
    fields.find(|found| found["name"] == name)
}

#[test]
fn what_we_use_holds_in_railways_own_schema() {
    let Some(railway) = railways_own() else {
        return;
    };
    let judged = judged(&railway);
    let refused: Vec<_> = judged
        .iter()
        .filter(|line| !line.contains(": note, "))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn damaged_copies_of_railways_own_schema_are_refused() {
    let Some(railway) = railways_own() else {
        return;
    };

    let mut removed = railway.clone();
    field(&mut removed, "ServiceInstance", "serviceName").unwrap()["name"] = json!("title");
    let judged_removed = judged(&removed).join("\n");
    for expected in [
        "removed: ServiceInstance.serviceName is not in Railway's schema.",
        "invalid: Railway would refuse it: type `ServiceInstance` does not have a field `serviceName`.",
    ] {
        assert!(judged_removed.contains(expected), "{judged_removed}");
    }

    let mut nullable = railway.clone();
    let status = field(&mut nullable, "Deployment", "status").unwrap();
    status["type"] = status["type"]["ofType"].take();
    let judged_nullable = judged(&nullable).join("\n");
    let expected = "nullability: Deployment.status is DeploymentStatus in Railway's schema and DeploymentStatus! here: it may be null where we do not expect it.";
    assert!(judged_nullable.contains(expected), "{judged_nullable}");

    let mut deprecated = railway;
    let listing = field(&mut deprecated, "Environment", "serviceInstances").unwrap();
    listing["isDeprecated"] = json!(true);
    listing["deprecationReason"] = json!("Use services.");
    let judged_deprecated = judged(&deprecated);
    let expected = "deprecated: Environment.serviceInstances is deprecated in Railway's schema: \"Use services.\".";
    let found = judged_deprecated.iter().any(|line| line.contains(expected));
    assert!(found, "{judged_deprecated:?}");
}
