//! What a service is to run, as the JSON that Railway's settings of an environment have.

use pool_domain::{Secret, ServiceId};
use serde_json::{Map, Value, json};

/// What a service is to run. Committed together with those of other services, and deployed once.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePatch {
    /// The service that is patched; others keep what they have.
    pub service_id: ServiceId,
    /// The image that it runs, with its tag.
    pub image: String,
    /// What its container runs.
    pub start_command: String,
    /// Its limit in vCPUs.
    pub vcpus: f64,
    /// Its limit in bytes.
    pub memory_bytes: u64,
    /// Names and values that its container is started with; others stay.
    pub variables: Vec<(String, Secret)>,
}

/// The patch of an environment for these services.
pub(crate) fn environment_patch(patches: &[ServicePatch]) -> Value {
    let services: Map<String, Value> = patches
        .iter()
        .map(|patch| (patch.service_id.as_str().to_owned(), service(patch)))
        .collect();
    json!({ "services": services })
}

/// `sleepApplication` is said although false is the default: a service that sleeps is not warm.
fn service(patch: &ServicePatch) -> Value {
    let variables: Map<String, Value> = patch
        .variables
        .iter()
        .map(|(name, value)| (name.clone(), json!({ "value": value.expose() })))
        .collect();
    json!({
        "source": { "image": patch.image },
        "deploy": {
            "startCommand": patch.start_command,
            "limitOverride": {
                "containers": { "cpu": patch.vcpus, "memoryBytes": patch.memory_bytes }
            },
            "sleepApplication": false,
        },
        "variables": variables,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_has_the_shape_of_railways_settings() {
        let patch = ServicePatch {
            service_id: ServiceId::new("s1"),
            image: "ghcr.io/x/y:latest".to_owned(),
            start_command: "node run.js".to_owned(),
            vcpus: 4.0,
            memory_bytes: 8 * 1024 * 1024 * 1024,
            variables: vec![
                ("A".to_owned(), Secret::new("1")),
                ("EMPTY".to_owned(), Secret::new("")),
            ],
        };
        insta::assert_json_snapshot!(environment_patch(&[patch]), @r#"
        {
          "services": {
            "s1": {
              "deploy": {
                "limitOverride": {
                  "containers": {
                    "cpu": 4.0,
                    "memoryBytes": 8589934592
                  }
                },
                "sleepApplication": false,
                "startCommand": "node run.js"
              },
              "source": {
                "image": "ghcr.io/x/y:latest"
              },
              "variables": {
                "A": {
                  "value": "1"
                },
                "EMPTY": {
                  "value": ""
                }
              }
            }
          }
        }
        "#);
    }
}
