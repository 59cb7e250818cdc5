//! What the documents say is so: the README's tables against the code, the receivers' snippets against the specification.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use pombo::api::process::document::Document;
use pombo::config::SETTINGS;

const README: &str = include_str!("../README.md");
const RECEIVERS: &str = include_str!("../docs/receivers.md");

fn section(title: &str) -> &'static str {
    let (_, after) = README.split_once(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    after.split("\n## ").next().expect("a part")
}

#[test]
fn the_table_of_settings_is_that_of_the_code() {
    let told: BTreeSet<&str> = section("Settings").lines().filter(|line| line.starts_with("| `")).collect();
    let rows: Vec<String> = SETTINGS
        .iter()
        .map(|setting| {
            let default = if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
            format!("| `{}` | `{}` | {default} | {} |", setting.name, setting.env(), setting.doc)
        })
        .collect();
    let there: BTreeSet<&str> = rows.iter().map(String::as_str).collect();
    assert_eq!(told, there, "the table should be:\n{}", rows.join("\n"));
}

#[test]
fn every_path_of_the_api_is_in_its_table_and_no_other() {
    let document = Document::new();
    let document: serde_json::Value = serde_json::from_slice(document.as_bytes()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    let there: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let api = section("API");
    let in_code = |text: &'static str| text.split('`').skip(1).step_by(2).filter(|code| code.starts_with('/'));
    let (table, beside): (Vec<_>, Vec<_>) = api.lines().partition(|line| line.starts_with("| "));
    let below: BTreeSet<String> = table
        .into_iter()
        .flat_map(in_code)
        .filter(|path| *path != "/api/v2")
        .map(|path| format!("/api/v2{path}"))
        .collect();
    let beside = beside.into_iter().flat_map(in_code).filter(|path| !matches!(*path, "/api/v2" | "/docs/"));
    let told: BTreeSet<&str> = below.iter().map(String::as_str).chain(beside).collect();
    assert_eq!(told, there);
}

/// The first block of this language.
fn snippet(text: &'static str, language: &str) -> &'static str {
    let (_, after) = text.split_once(&format!("```{language}\n")).unwrap_or_else(|| panic!("no {language}"));
    after.split("```").next().expect("a block ends")
}

/// The test vector of Standard Webhooks 1.0.0, as Python.
const VECTOR: &str = r#"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
body, sent_at = b'{"test": 2432232314}', 1614265330
"#;

fn python(program: &str) {
    let mut child = Command::new("python3").arg("-").stdin(Stdio::piped()).spawn().expect("python3 starts");
    child.stdin.take().expect("piped").write_all(program.as_bytes()).expect("written");
    assert!(child.wait().expect("it ends").success(), "{program}");
}

#[test]
fn the_python_receiver_takes_the_specifications_vector_and_refuses_all_else() {
    python(&format!(
        "{}{VECTOR}
assert verify(secret, headers, body, sent_at)
assert verify(secret, headers, body, sent_at + 299)
assert not verify(secret, headers, body, sent_at + 301), 'too old'
assert not verify(secret, headers, body), 'far too old'
assert not verify(secret, headers, body + b' ', sent_at), 'changed'
assert not verify(secret, {{}}, body, sent_at), 'unsigned'
assert not verify(secret, {{**headers, 'webhook-id': 'x'}}, body, sent_at), 'another event'
assert not verify(secret, {{**headers, 'webhook-signature': 'v1,\\u00e9'}}, body, sent_at), 'not even ASCII'
",
        snippet(RECEIVERS, "python")
    ));
}

#[test]
fn the_short_python_receiver_does_so_too() {
    python(&format!(
        "{}{VECTOR}
assert is_genuine(secret, headers, body)
assert not is_genuine(secret, headers, body + b' ')
",
        snippet(README, "python")
    ));
}
