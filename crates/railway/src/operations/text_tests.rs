//! Compares the text of every operation with the file beside the crate's sources. Run with
//! `UPDATE_OPERATIONS=1` to write the files.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

fn every_operation() -> Vec<(&'static str, String)> {
    let text = String::new;
    let listing = || environment_listing::Variables {
        environment_id: text(),
        project_id: text(),
        services_first: 500,
        services_after: None,
        volumes_first: 500,
        volumes_after: None,
    };
    let environments = environments::Variables {
        project_id: text(),
        first: 500,
        after: None,
    };
    let config = environment_config::Variables {
        environment_id: text(),
        project_id: text(),
    };
    let name = environment_name::Variables {
        environment_id: text(),
        project_id: text(),
    };
    let service = service_create::ServiceCreateInput {
        environment_id: text(),
        name: text(),
        project_id: text(),
    };
    let volume = volume_create::VolumeCreateInput {
        environment_id: text(),
        mount_path: text(),
        project_id: text(),
        service_id: text(),
    };
    let domain = service_domain_create::ServiceDomainCreateInput {
        environment_id: text(),
        service_id: text(),
    };
    let commit = environment_patch_commit::Variables {
        environment_id: text(),
        patch: Config(Value::Null),
        commit_message: text(),
    };
    let service_delete = service_delete::Variables {
        id: text(),
        environment_id: text(),
    };
    let volume_delete = volume_delete::Variables { volume_id: text() };
    vec![
        (
            "environment_config",
            environment_config::build(config).query,
        ),
        (
            "environment_listing",
            environment_listing::build(listing()).query,
        ),
        ("environment_name", environment_name::build(name).query),
        (
            "environment_names",
            environment_names::build(listing()).query,
        ),
        (
            "environment_patch_commit",
            environment_patch_commit::build(commit).query,
        ),
        ("environments", environments::build(environments).query),
        ("project_token", project_token::build().query),
        ("service_create", service_create::build(service).query),
        (
            "service_delete",
            service_delete::build(service_delete).query,
        ),
        (
            "service_domain_create",
            service_domain_create::build(domain).query,
        ),
        ("volume_create", volume_create::build(volume).query),
        ("volume_delete", volume_delete::build(volume_delete).query),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("operations")
}

#[test]
fn every_operation_produces_the_text_in_its_file() {
    for (name, query) in every_operation() {
        let file = folder().join(format!("{name}.graphql"));
        let text = format!("{}\n", query.trim());
        if std::env::var_os("UPDATE_OPERATIONS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(written, text, "{}", file.display());
    }
}

#[test]
fn every_file_belongs_to_an_operation() {
    let known: Vec<_> = every_operation()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(known.contains(&name.as_str()), "{}", path.display());
    }
}
