//! The programs as they are deployed: stripped, with their line tables in a file beside each. A backtrace
//! finds that file by itself where it lies beside the program, and `addr2line -e FILE` elsewhere.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use pool_harness::{checkout, interrupt, running};

const PROGRAMS: [&str; 2] = ["pool-server", "pool-migrate"];

/// Builds into `target/dist` and splits what is there into `target/dist/stripped`.
pub(crate) fn run() -> Result<()> {
    interrupt::listen()?;
    let mut build = checkout::cargo();
    build.args(["build", "--locked", "--profile", "dist"]);
    for program in PROGRAMS {
        build.args(["--package", program]);
    }
    running::run(&mut build)?;
    let unstripped = checkout::Metadata::read()?.target_directory.join("dist");
    let folder = unstripped.join("stripped");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for program in PROGRAMS {
        split(&unstripped.join(program), &folder)?;
    }
    Ok(())
}

/// `objcopy` comes with every linker that a Rust toolchain needs.
fn split(program: &Path, folder: &Path) -> Result<()> {
    let stripped = folder.join(program.file_name().context("a program without a name")?);
    let symbols = stripped.with_extension("debug");
    let objcopy = |arguments: &[&str], from: &Path, to: &Path| {
        let mut command = Command::new("objcopy");
        // A link to the symbols names a file in the folder that it is made in.
        command
            .current_dir(folder)
            .args(arguments)
            .arg(from)
            .arg(to);
        running::run(&mut command)
    };
    objcopy(&["--only-keep-debug"], program, &symbols)?;
    let link = format!("--add-gnu-debuglink={}", symbols.display());
    objcopy(&["--strip-all", &link], program, &stripped)?;
    for file in [&stripped, &symbols] {
        let megabytes = fs::metadata(file)?.len() / 1_000_000;
        println!("{megabytes:>4} MB  {}", file.display());
    }
    Ok(())
}
