//! Bad settings and a bad start: one sentence each, from the real program.

use std::process::Command;

fn run(settings: &[(&str, &str)]) -> anyhow::Result<(Option<i32>, String)> {
    let least = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("POOL_API_KEY", "hunter2"),
        ("RAILWAY_PROJECT_ID", "project"),
        ("RAILWAY_API_TOKEN", "hunter2"),
        ("RAILWAY_ENVIRONMENT_ID", "environment"),
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_pool-server"))
        .env_clear()
        .envs(least)
        .envs(settings.iter().copied())
        .output()?;
    Ok((output.status.code(), String::from_utf8(output.stderr)?))
}

#[test]
fn a_bad_setting_ends_the_program_with_its_sentence() -> anyhow::Result<()> {
    let (code, said) = run(&[("POOL_MIN_IDLE", "three")])?;
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "pool-server: POOL_MIN_IDLE must be a whole number from 0 to 100000, not 'three'\n"
    );
    Ok(())
}

#[test]
fn a_missing_setting_ends_the_program_with_its_sentence() -> anyhow::Result<()> {
    let (code, said) = run(&[("POOL_API_KEY", "")])?;
    assert_eq!(
        (code, said.as_str()),
        (Some(1), "pool-server: POOL_API_KEY is required\n")
    );
    Ok(())
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_so_is_a_contradiction() -> anyhow::Result<()> {
    let (code, said) = run(&[("POOL_API_KEY", ""), ("RUST_LOG", "debgu")])?;
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "pool-server: 2 settings are missing or wrong:\n  POOL_API_KEY is required\n  RUST_LOG must be \
         levels such as info, and part=level for parts, with commas between them, not 'debgu'\n"
    );
    let (code, said) = run(&[("POOL_MIN_IDLE", "5"), ("POOL_MAX_TOTAL", "4")])?;
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "pool-server: POOL_MIN_IDLE (5) must not be greater than POOL_MAX_TOTAL (4)\n"
    );
    Ok(())
}

#[test]
fn a_database_url_that_is_none_is_refused_without_its_password() -> anyhow::Result<()> {
    let url = "mysql://user:hunter2@db/pool";
    let (code, said) = run(&[("DATABASE_URL", url), ("PORT", "0")])?;
    assert_eq!(code, Some(1));
    assert!(said.contains("DATABASE_URL"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    Ok(())
}

#[test]
fn a_key_that_no_header_can_hold_is_named_and_not_told() -> anyhow::Result<()> {
    for (name, value) in [
        ("POOL_API_KEY", " "),
        ("POOL_API_KEY", "hunter2\nkey"),
        ("POOL_API_KEY", "\u{43a}\u{43b}\u{44e}\u{447}"),
        ("RAILWAY_API_TOKEN", "hunter2\tkey"),
    ] {
        let (code, said) = run(&[(name, value)])?;
        let sentence =
            format!("pool-server: {name} must be visible ASCII characters without blanks\n");
        assert_eq!((code, said), (Some(1), sentence));
    }
    Ok(())
}

#[test]
fn a_port_that_is_taken_is_named() -> anyhow::Result<()> {
    let taken = std::net::TcpListener::bind("[::]:0")?;
    let port = taken.local_addr()?.port().to_string();
    let (code, said) = run(&[("PORT", &port)])?;
    assert_eq!(code, Some(1));
    assert!(
        said.contains(&format!("cannot listen on PORT {port}")),
        "{said}"
    );
    Ok(())
}
