//! The migrations on an empty database: up, down to nothing, and up again, as an operator would
//! run them.

use std::process::Command;

use anyhow::{Result, ensure};

use pool_harness::database::{Database, sql, temporary_server};
use pool_harness::{checkout, interrupt, running};

/// There are fewer migrations than that for years; a `down` that reverts nothing must not run for
/// ever.
const DOWNS_MAX: u32 = 200;

const APPLIED: &str = "SELECT count(*) FROM __diesel_schema_migrations";

/// Whatever a migration can leave in the schema, but for diesel's own table.
const LEFT: &str = "SELECT
    (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
        AND c.relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND c.relname NOT LIKE '\\_\\_diesel%')
    + (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND p.proname NOT LIKE 'diesel\\_%')
    + (SELECT count(*) FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace
        AND t.typtype IN ('e', 'd'))";

pub(crate) fn from_command_line() -> Result<()> {
    interrupt::listen()?;
    run()
}

pub(crate) fn run() -> Result<()> {
    running::run(checkout::cargo().args(["build", "--quiet", "--workspace", "--bins"]))?;
    let name = format!("pool_migrations_{}", std::process::id());
    let database = Database::fresh(&name, temporary_server)?;
    let done = up_down_up(&database);
    let ended = database.end();
    done.and(ended)
}

fn up_down_up(database: &Database) -> Result<()> {
    let program = checkout::Metadata::read()?.binary("pool-migrate");
    let migrate = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        running::run(command.args(arguments).env("DATABASE_URL", database.url()))
    };
    let count = |statement| Ok::<_, anyhow::Error>(sql(database.url(), statement)?.unwrap_or(0));

    migrate(&["up"])?;
    migrate(&["up"])?;
    migrate(&["up", "--contract"])?;
    let applied = count(APPLIED)?;
    ensure!(applied > 0, "`pool-migrate up` applied no migration");
    let mut downs = 0;
    while count(APPLIED)? > 0 {
        ensure!(
            downs < DOWNS_MAX,
            "`pool-migrate down` was run {DOWNS_MAX} times and is not done"
        );
        migrate(&["down"])?;
        downs += 1;
    }
    let left = count(LEFT)?;
    ensure!(
        left == 0,
        "{left} tables, functions or types are left after every `down`"
    );
    migrate(&["up"])?;
    let again = count(APPLIED)?;
    ensure!(
        again == applied,
        "`pool-migrate up` applied {applied} migrations, later {again}"
    );
    Ok(())
}
