//! Signatures as another language's official library sees them: the PyPI package `standardwebhooks`.
//!
//! It is installed into a virtual environment below `target`, once. Where that is impossible (no network, no Python) the
//! test fails and says so; `POMBO_SKIP_PYPI=1` leaves it out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pombo::commands::listen::{Receipt, Script};
use pombo::domain::Secret;
use serde_json::json;

use crate::support::api::{short_retries, text};
use crate::support::command::succeed;
use crate::support::deadline::until_true;
use crate::support::oracle::FORMATS;
use crate::support::pombo::Pombo;
use crate::support::receiver::Inbox;
use crate::support::{api::Api, events};

const PACKAGE: &str = "standardwebhooks==1.0.0";
const EVENTS: usize = 60;

/// The interpreter of an environment that has the package.
async fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pypi-standardwebhooks-1.0.0");
    let (python, installed) = (home.join("bin/python"), home.join("installed"));
    if installed.exists() {
        return python;
    }
    let _from_a_run_that_was_stopped = fs::remove_dir_all(&home);
    let mut make = Command::new("python3");
    make.args(["-m", "venv"]).arg(&home);
    run_or_explain(make).await;
    let mut install = Command::new(&python);
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--timeout",
        "10",
        "--retries",
        "1",
    ]);
    install.arg(PACKAGE);
    run_or_explain(install).await;
    fs::write(installed, "").expect("target can be written");
    python
}

async fn run_or_explain(mut command: Command) {
    let shown = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("the task ends");
    let problem = match output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "{PACKAGE} cannot be installed from PyPI (set POMBO_SKIP_PYPI=1 to leave this test out):\n{shown}\n{problem}"
    );
}

/// One request as two files: its head with the secrets that must accept it, and its body as it came.
fn record(folder: &Path, receipt: &Receipt, secrets: &[&Secret]) {
    let headers: serde_json::Map<_, _> = receipt
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), json!(String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    let secrets: Vec<String> = secrets.iter().map(|secret| secret.reveal()).collect();
    let name = format!("{}-{:05}", receipt.path.trim_start_matches('/').replace('/', "-"), receipt.number);
    let head = json!({ "headers": headers, "secrets": secrets }).to_string();
    fs::write(folder.join(format!("{name}.json")), head).expect("the folder can be written");
    fs::write(folder.join(format!("{name}.body")), &receipt.body).expect("the folder can be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_official_python_library_accepts_every_request_during_a_rotation_with_either_secret() {
    if std::env::vars_os().any(|(name, value)| name == "POMBO_SKIP_PYPI" && value == "1") {
        eprintln!("left out: POMBO_SKIP_PYPI=1");
        return;
    }
    let python = python().await;
    let (pombo, folder) = (Pombo::new().await, tempfile::tempdir().expect("a temporary folder"));
    let inbox = Inbox::with(Script { fail_rate: 0.1, ..Script::default() }).await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let mut hooks = Vec::new();
    for format in FORMATS {
        let mut more = short_retries();
        more["format"] = json!(format);
        hooks.push(api.webhook(&instance, &inbox.url(&format!("/{format}")), &more).await);
    }
    let rotated = api.webhook(&instance, &inbox.url("/rotated"), &short_retries()).await;
    let answer = api.call("POST", &Api::path_of(&rotated, "/secret/rotate"), &json!({ "overlapSeconds": 3_600 })).await;
    let new_secret = Secret::parse(&text(&answer, "secret")).expect("a secret");
    assert_ne!(new_secret.reveal(), rotated.secret.reveal());
    let replaced = api.webhook(&instance, &inbox.url("/replaced"), &short_retries()).await;
    let answer = api.call("POST", &Api::path_of(&replaced, "/secret/rotate"), &json!({ "overlapSeconds": 0 })).await;
    let only_secret = Secret::parse(&text(&answer, "secret")).expect("a secret");

    // Messages: every format has a body for them.
    let recorded = events::read();
    let messages = recorded.iter().filter(|event| event.kind == "messages.upsert").take(EVENTS);
    let lines = messages.map(|event| format!("{{\"event\":\"{}\",\"data\":{}}}\n", event.kind, event.data));
    assert_eq!(api.events(&instance, lines.collect::<String>()).await.accepted, EVENTS as u64);
    let expected = (EVENTS * (FORMATS.len() + 2)) as u64;
    until_true("everything is taken", Duration::from_secs(30), async || {
        let counts = inbox.receiver.counts();
        (counts.taken == expected, counts)
    })
    .await;

    for receipt in inbox.receipts() {
        let signatures = receipt.headers["webhook-signature"].to_str().expect("ASCII").split(' ').count();
        let secrets = match &*receipt.path {
            "/rotated" => vec![&rotated.secret, &new_secret],
            "/replaced" => vec![&only_secret],
            path => vec![&hooks.iter().find(|hook| hook.path == path).expect("a known path").secret],
        };
        assert_eq!(signatures, secrets.len(), "{}: a signature for each secret in force", receipt.path);
        record(folder.path(), &receipt, &secrets);
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/verify.py");
    let mut verify = Command::new(python);
    verify.arg(script).arg(folder.path());
    let told = succeed(verify).await;
    let verified =
        (inbox.len() + inbox.receipts().iter().filter(|receipt| &*receipt.path == "/rotated").count()).to_string();
    assert_eq!(told.trim(), format!("{} requests, {verified} signatures verified", inbox.len()));
}
