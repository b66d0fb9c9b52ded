//! The configuration of one service instance, in the shape of Railway's `EnvironmentConfig`:
//! `{"source": {"image"}, "deploy": {…}, "variables": {"K": {"value": "v"}}}`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Refusal;

/// How deep a patch may nest. Railway's own go five deep; the limit keeps the merge's stack small.
const PATCH_DEPTH_MAX: usize = 32;

/// One service instance's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config(Value);

impl Default for Config {
    fn default() -> Self {
        Self(json!({}))
    }
}

impl Config {
    /// What `serviceCreate` was given.
    #[must_use]
    pub fn new(image: Option<&str>, variables: &BTreeMap<String, String>) -> Self {
        let mut config = json!({});
        if let Some(image) = image {
            config["source"] = json!({ "image": image });
        }
        for (name, value) in variables {
            config["variables"][name] = json!({ "value": value });
        }
        Self(config)
    }

    /// As `environment.config` shows it. Holds secrets.
    pub(crate) const fn as_json(&self) -> &Value {
        &self.0
    }

    /// The image that it is to run.
    pub(crate) fn image(&self) -> Option<&str> {
        self.0.pointer("/source/image")?.as_str()
    }

    /// The names and values of its variables.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let Some(variables) = self.0.get("variables").and_then(Value::as_object) else {
            return BTreeMap::new();
        };
        let value_of = |value: &Value| value.get("value")?.as_str().map(str::to_owned);
        variables
            .iter()
            .filter_map(|(k, v)| Some((k.clone(), value_of(v)?)))
            .collect()
    }

    /// Lays `patch` over it: a null removes, an object goes deeper, anything else replaces.
    /// Says whether anything changed.
    ///
    /// # Errors
    ///
    /// [`Refusal::ProblemProcessing`] for a patch that is no object, nests too deep, or has a
    /// variable without a text: nothing is changed then.
    pub fn patch(&mut self, patch: &Value) -> Result<bool, Refusal> {
        if !patch.is_object() {
            return Err(Refusal::ProblemProcessing);
        }
        let mut merged = self.0.clone();
        merge(&mut merged, patch, PATCH_DEPTH_MAX)?;
        let variables_fit = merged
            .get("variables")
            .and_then(Value::as_object)
            .is_none_or(|all| {
                all.values()
                    .all(|v| v.get("value").is_some_and(Value::is_string))
            });
        if !variables_fit {
            return Err(Refusal::ProblemProcessing);
        }
        let changed = merged != self.0;
        self.0 = merged;
        Ok(changed)
    }
}

fn merge(target: &mut Value, patch: &Value, depth_left: usize) -> Result<(), Refusal> {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    if depth_left == 0 {
        return Err(Refusal::ProblemProcessing);
    }
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else {
        return Ok(());
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(
                target.entry(key.clone()).or_insert(Value::Null),
                value,
                depth_left - 1,
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_that_changes_nothing_says_so() {
        let mut config = Config::default();
        let patch = json!({"source": {"image": "a"}, "variables": {"K": {"value": "v"}}});
        assert_eq!(config.patch(&patch), Ok(true));
        assert_eq!(config.patch(&patch), Ok(false));
        assert_eq!(config.image(), Some("a"));
        assert_eq!(
            config.variables(),
            BTreeMap::from([("K".to_owned(), "v".to_owned())])
        );
    }

    #[test]
    fn a_null_removes_a_variable() {
        let variables = BTreeMap::from([("K".to_owned(), "v".to_owned())]);
        let mut config = Config::new(None, &variables);
        assert_eq!(config.patch(&json!({"variables": {"K": null}})), Ok(true));
        assert!(config.variables().is_empty());
    }

    #[test]
    fn a_patch_of_a_wrong_shape_is_refused_and_changes_nothing() {
        let mut config = Config::default();
        for wrong in [json!([]), json!({"variables": {"K": "v"}})] {
            assert_eq!(config.patch(&wrong), Err(Refusal::ProblemProcessing));
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn a_patch_that_nests_without_end_is_refused() {
        let deep = (0..100).fold(json!(1), |inner, _| json!({ "a": inner }));
        assert_eq!(
            Config::default().patch(&deep),
            Err(Refusal::ProblemProcessing)
        );
    }
}
