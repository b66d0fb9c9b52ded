//! Every setting: its default, its sentence when it is bad, and its line in `.env.example`.

use std::collections::HashMap;

use clap::{CommandFactory, Parser};
use proptest::prelude::*;

use super::*;

fn least() -> HashMap<String, String> {
    [
        ("DATABASE_URL", "postgres://user:hunter2@db/pool"),
        ("POOL_API_KEY", "hunter2-key"),
        ("RAILWAY_PROJECT_ID", "project"),
        ("RAILWAY_API_TOKEN", "hunter2-token"),
        ("RAILWAY_ENVIRONMENT_ID", "environment"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// Resolves as the program does, with what is not secret given as flags.
fn resolve(settings: &HashMap<String, String>) -> Result<Config, BadSettings> {
    let open = settings
        .iter()
        .filter(|(name, _)| !SECRETS.contains(&name.as_str()));
    let flags =
        open.map(|(name, value)| format!("--{}={value}", name.to_lowercase().replace('_', "-")));
    let arguments = std::iter::once("pool-server".to_owned()).chain(flags);
    Config::resolve(&Flags::parse_from(arguments), |name| {
        settings.get(name).cloned()
    })
}

fn with(name: &str, value: &str) -> HashMap<String, String> {
    let mut settings = least();
    settings.insert(name.to_owned(), value.to_owned());
    settings
}

#[test]
fn the_least_settings_give_the_documented_defaults() {
    let config = resolve(&least()).unwrap();
    assert_eq!(config.port, 3_001);
    assert_eq!(config.environment, "undefined");
    assert_eq!(config.policy, Policy::default());
    assert_eq!(config.volume_mount_path.as_deref(), Some("/data"));
    assert_eq!(
        config.railway.api_url,
        "https://backboard.railway.com/graphql/v2"
    );
    assert!(matches!(config.railway.token, Token::Account(_)));
    assert!(config.openrouter.is_none() && config.agentmail.is_none());
    let names: Vec<_> = config
        .agent_variables
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    insta::assert_snapshot!(names.join(" "), @"OPENCLAW_STATE_DIR CHROMIUM_PATH XMTP_ENV POOL_API_KEY OPENCLAW_PRIMARY_MODEL AGENTMAIL_API_KEY BANKR_API_KEY TELNYX_API_KEY TELNYX_PHONE_NUMBER TELNYX_MESSAGING_PROFILE_ID");
}

#[test]
fn each_required_setting_is_named_when_it_is_missing_or_empty() {
    let cases = [
        ("DATABASE_URL", "DATABASE_URL is required"),
        ("POOL_API_KEY", "POOL_API_KEY is required"),
        ("RAILWAY_PROJECT_ID", "RAILWAY_PROJECT_ID is required"),
        (
            "RAILWAY_API_TOKEN",
            "RAILWAY_API_TOKEN or RAILWAY_TOKEN is required",
        ),
        (
            "RAILWAY_ENVIRONMENT_ID",
            "RAILWAY_ENVIRONMENT_ID or RAILWAY_ENVIRONMENT_NAME is required",
        ),
    ];
    for (name, sentence) in cases {
        let mut settings = least();
        settings.remove(name);
        assert_eq!(resolve(&settings).unwrap_err().to_string(), sentence);
        assert_eq!(resolve(&with(name, "")).unwrap_err().to_string(), sentence);
    }
}

const BAD: [(&str, &str, &str); 20] = [
    (
        "PORT",
        "70000",
        "PORT must be a whole number from 0 to 65535, not '70000'",
    ),
    (
        "POOL_MIN_IDLE",
        "-1",
        "POOL_MIN_IDLE must be a whole number from 0 to 100000, not '-1'",
    ),
    (
        "POOL_MAX_TOTAL",
        "many",
        "POOL_MAX_TOTAL must be a whole number from 0 to 100000, not 'many'",
    ),
    (
        "POOL_UNHEALTHY_AFTER",
        "0",
        "POOL_UNHEALTHY_AFTER must be a whole number from 1 to 1000, not '0'",
    ),
    (
        "TICK_INTERVAL_MS",
        "30",
        "TICK_INTERVAL_MS must be a whole number of ms from 100 to 86400000 (24 h), not '30'",
    ),
    (
        "POOL_STUCK_TIMEOUT_MS",
        "15m",
        "POOL_STUCK_TIMEOUT_MS must be a whole number of ms from 100 to 86400000 (24 h), not '15m'",
    ),
    (
        "POOL_MISSING_GRACE_MS",
        "86400001",
        "POOL_MISSING_GRACE_MS must be a whole number of ms from 100 to 86400000 (24 h), not '86400001'",
    ),
    (
        "POOL_MIN_IDLE",
        "101",
        "POOL_MIN_IDLE (101) must not be greater than POOL_MAX_TOTAL (100)",
    ),
    (
        "POOL_CLAIM_LEASE_MS",
        "60000",
        "POOL_CLAIM_LEASE_MS (60000) must be 70000 at least, since POOL_PROVISION_TIMEOUT_MS is \
         60000: what comes before and after a provision needs time, too",
    ),
    (
        "POOL_PROVISION_TIMEOUT_MS",
        "1.5",
        "POOL_PROVISION_TIMEOUT_MS must be a whole number of ms from 100 to 86400000 (24 h), not '1.5'",
    ),
    (
        "POOL_EVENT_RETENTION_DAYS",
        "0",
        "POOL_EVENT_RETENTION_DAYS must be a whole number of days from 1 to 3650, not '0'",
    ),
    (
        "POOL_SERVICE_PREFIX",
        "a b",
        "POOL_SERVICE_PREFIX must be at most 40 of [A-Za-z0-9_-], not 'a b'",
    ),
    (
        "POOL_AGENT_SCHEME",
        "ftp",
        "POOL_AGENT_SCHEME must be https or http, not 'ftp'",
    ),
    (
        "POOL_VOLUME_MOUNT_PATH",
        "data",
        "POOL_VOLUME_MOUNT_PATH must be a path that begins with '/', or none, not 'data'",
    ),
    (
        "POOL_LOG_FORMAT",
        "xml",
        "POOL_LOG_FORMAT must be text or json, not 'xml'",
    ),
    (
        "RAILWAY_API_URL",
        "railway",
        "RAILWAY_API_URL must be an http or https URL, not 'railway'",
    ),
    (
        "OPENROUTER_KEY_LIMIT",
        "0",
        "OPENROUTER_KEY_LIMIT must be a number of US dollars greater than 0, not '0'",
    ),
    (
        "OPENROUTER_KEY_LIMIT_RESET",
        "never",
        "OPENROUTER_KEY_LIMIT_RESET must be daily, weekly, monthly or none, not 'never'",
    ),
    (
        "OPENROUTER_API_URL",
        "file:///x",
        "OPENROUTER_API_URL must be an http or https URL, not 'file:///x'",
    ),
    (
        "AGENTMAIL_API_URL",
        "-",
        "AGENTMAIL_API_URL must be an http or https URL, not '-'",
    ),
];

#[test]
fn each_bad_setting_gets_its_sentence() {
    for (name, value, sentence) in BAD {
        assert_eq!(
            resolve(&with(name, value)).unwrap_err().to_string(),
            sentence
        );
    }
}

#[test]
fn all_that_is_missing_or_wrong_is_said_at_once() {
    let mut settings = with("PORT", "x");
    settings.remove("POOL_API_KEY");
    settings.insert("TICK_INTERVAL_MS".to_owned(), "1".to_owned());
    // A default stands in for the cap, and contradicts nothing.
    settings.insert("POOL_MAX_TOTAL".to_owned(), "many".to_owned());
    settings.insert("POOL_MIN_IDLE".to_owned(), "500".to_owned());
    insta::assert_snapshot!(resolve(&settings).unwrap_err(), @r"
    4 settings are missing or wrong:
      POOL_API_KEY is required
      PORT must be a whole number from 0 to 65535, not 'x'
      POOL_MAX_TOTAL must be a whole number from 0 to 100000, not 'many'
      TICK_INTERVAL_MS must be a whole number of ms from 100 to 86400000 (24 h), not '1'
    ");
}

#[test]
fn a_key_without_a_reset_is_a_choice() {
    for (written, reset) in [("none", None), ("weekly", Some("weekly"))] {
        let mut settings = with("OPENROUTER_KEY_LIMIT_RESET", written);
        settings.insert("OPENROUTER_MANAGEMENT_KEY".into(), "hunter2-key".into());
        let openrouter = resolve(&settings).unwrap().openrouter.unwrap();
        assert_eq!(openrouter.limit_reset.as_deref(), reset);
    }
}

#[test]
fn what_is_logged_is_a_filter_that_logs_something() {
    let resolve = |filter: &str| {
        let environment = |name: &str| match name {
            "RUST_LOG" => Some(filter.to_owned()),
            name => least().get(name).cloned(),
        };
        let arguments = ["--railway-project-id=p", "--railway-environment-id=e"];
        let arguments = std::iter::once("pool-server").chain(arguments);
        Config::resolve(&Flags::parse_from(arguments), environment)
    };
    for filter in [
        "",
        "warn",
        "DEBUG",
        "off",
        "pool_claims",
        "pool_claims=debug,info",
    ] {
        assert!(resolve(filter).is_ok(), "{filter}");
    }
    assert_eq!(resolve("").unwrap().log_filter, "info");
    for filter in ["debgu", "pool_claims=debgu", "info, verbose", "=,="] {
        let sentence = format!(
            "RUST_LOG must be levels such as info, and part=level for parts, with commas between \
             them, not '{filter}'"
        );
        assert_eq!(resolve(filter).unwrap_err().to_string(), sentence);
    }
}

#[test]
fn a_project_token_wins_and_so_does_the_environments_id() {
    let mut settings = with("RAILWAY_TOKEN", "project-token");
    settings.insert("RAILWAY_ENVIRONMENT_NAME".into(), "staging".into());
    let config = resolve(&settings).unwrap();
    assert!(matches!(config.railway.token, Token::Project(_)));
    assert_eq!(
        config.railway.environment,
        EnvironmentRef::Id("environment".into())
    );
    assert_eq!(config.environment, "staging");
}

#[test]
fn no_volume_is_a_choice() {
    let config = resolve(&with("POOL_VOLUME_MOUNT_PATH", "none")).unwrap();
    assert_eq!(
        (config.volume_mount_path, config.policy.has_volume),
        (None, false)
    );
}

#[test]
fn the_settings_print_no_secret() {
    let printed = format!("{:?}", resolve(&least()).unwrap());
    assert!(!printed.contains("hunter2"), "{printed}");
}

fn example() -> HashMap<String, String> {
    include_str!("../../../.env.example")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_example_file_is_accepted_and_its_defaults_are_the_real_ones() {
    let config = resolve(&example()).unwrap();
    assert_eq!(config.policy, Policy::default());
    let least = resolve(&least()).unwrap();
    assert_eq!(config.event_retention, least.event_retention);
    assert_eq!(config.prefix, least.prefix);
    assert_eq!(config.runtime_image, least.runtime_image);
    assert_eq!(config.railway.api_url, least.railway.api_url);
    assert_eq!(config.port, least.port);
}

#[test]
fn the_example_file_and_the_readme_name_every_setting_and_no_other() {
    let mut known: Vec<_> = Flags::command()
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned))
        .chain(SECRETS.map(str::to_owned))
        .collect();
    let mut named: Vec<_> = example().into_keys().collect();
    known.sort();
    named.sort();
    assert_eq!(named, known);
    let readme = include_str!("../../../README.md");
    for name in known {
        assert!(
            readme.contains(&format!("`{name}`")),
            "README.md does not name {name}"
        );
    }
}

#[test]
fn every_secret_is_known_to_the_redactor_used_or_not() {
    let mut settings = least();
    for name in SECRETS {
        settings.insert(name.to_owned(), format!("hunter2-{name}"));
    }
    let url = "postgres://user:p%40ss%2Bword@one:1,two:2/pool";
    settings.insert("DATABASE_URL".to_owned(), url.to_owned());
    let redactor = resolve(&settings).unwrap().redactor;
    for secret in settings.values().filter(|value| value.contains("hunter2-")) {
        assert_eq!(redactor.redact(secret), "[REDACTED]");
    }
    for text in [url, "p@ss+word", "p%40ss%2Bword"] {
        assert_eq!(redactor.redact(text), "[REDACTED]");
    }
}

proptest! {
    #[test]
    fn no_value_of_a_setting_makes_it_panic_and_a_duration_is_within_its_bounds(
        value in "[-+0-9.eE_]{0,25}|\\PC{0,30}",
    ) {
        for name in ["TICK_INTERVAL_MS", "PORT", "POOL_MIN_IDLE", "OPENROUTER_KEY_LIMIT"] {
            let mut settings = least();
            settings.insert(name.to_owned(), value.clone());
            match resolve(&settings) {
                Ok(config) => {
                    let interval = config.policy.tick_interval.as_millis();
                    prop_assert!((100..=86_400_000).contains(&interval));
                }
                Err(bad) => prop_assert!(bad.to_string().contains(name), "{}", bad),
            }
        }
    }

    #[test]
    fn a_duration_in_its_bounds_is_read_back(ms in 100_u64..=86_400_000) {
        let mut settings = least();
        settings.insert("POOL_STUCK_TIMEOUT_MS".to_owned(), ms.to_string());
        let config = resolve(&settings).unwrap();
        prop_assert_eq!(config.policy.stuck_timeout, Duration::from_millis(ms));
    }
}
