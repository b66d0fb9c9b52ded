//! The `pool-simulator` binary: one line when ready, one sentence when it cannot be, and a quiet
//! end when it is told.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn simulator() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pool-simulator"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

#[test]
fn it_says_where_it_is_and_ends_when_told() -> Result {
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = simulator().arg("--agents-max=10").spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let told: Value = serde_json::from_str(&line)?;
        let url = told["graphqlUrl"].as_str().ok_or("no graphqlUrl")?;
        assert!(
            url.starts_with("http://127.0.0.1:") && url.ends_with("/graphql/v2"),
            "{url}"
        );
        for field in [
            "controlUrl",
            "projectId",
            "environmentId",
            "environmentName",
            "token",
            "projectToken",
            "openrouterUrl",
            "openrouterKey",
            "agentmailUrl",
            "agentmailKey",
        ] {
            assert!(told[field].is_string(), "{field} is missing in {line}");
        }
        kill_process(Pid::from_child(&child), signal)?;
        assert!(child.wait()?.success(), "{signal:?}");
    }
    Ok(())
}

#[test]
fn it_says_in_one_sentence_why_it_cannot_start() -> Result {
    let cases = [
        (
            "--listen=0.0.0.0:0",
            "listens on loopback only, and 0.0.0.0:0 is not a loopback address",
        ),
        (
            "--agents-max=100000000",
            "100000000 agents need 200001088 open files",
        ),
    ];
    for (argument, sentence) in cases {
        let output = simulator().arg(argument).output()?;
        let told = String::from_utf8(output.stderr)?;
        assert!(
            !output.status.success() && told.contains(sentence),
            "{told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    Ok(())
}
