//! The other commands of the binary, run to their end.

use std::path::Path;
use std::process::{Command, Output};

/// The binary with these arguments and none of our variables from around the test.
pub fn pombo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pombo"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POMBO_") {
            command.env_remove(name);
        }
    }
    command.args(args);
    command
}

/// Runs to the end beside the receivers of the test; fails the test when the command fails.
pub async fn succeed(mut command: Command) -> String {
    let shown = format!("{command:?}");
    let run = tokio::task::spawn_blocking(move || command.output());
    let output: Output = run.await.expect("the task ends").unwrap_or_else(|error| panic!("{shown}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{shown}: {}\n{stdout}\n{stderr}", output.status);
    stdout.into_owned()
}

/// `pombo emit` of a file of events whose instances are called `prefix` and a number; answers the accepted events'
/// (id of ours, id of the caller), in the order of the file within each instance.
pub async fn emit(url: &url::Url, token: &str, file: &Path, prefix: &str, more: &[&str]) -> Vec<(String, String)> {
    let ledger = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut command = pombo(&["emit", "--url", url.as_str(), "--map-instances", prefix]);
    command.args(["--file".as_ref(), file.as_os_str(), "--ledger".as_ref(), ledger.path().as_os_str()]);
    command.args(more).env("POMBO_ADMIN_TOKEN", token);
    succeed(command).await;
    let lines = std::fs::read_to_string(ledger.path()).expect("emit has written its ledger");
    let read = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).expect("the ledger is made of JSON lines");
        (super::api::text(&line, "event"), super::api::text(&line, "id"))
    };
    lines.lines().map(read).collect()
}
