//! Replicas behind a balancer, as short as it gets: one is killed, one is rolled, and both sides of the ledger agree.
//!
//! Needs `redis-server` and `haproxy` (`make needs`), and the engine beside the tool, as `smoke` does. Counts are looked at; how
//! long a busy machine takes is not.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_killed_and_a_rolled_replica_lose_nothing() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    let _none_yet = std::fs::remove_dir_all(&out);
    let mut command = Command::new(env!("CARGO_BIN_EXE_pombo-load"));
    command.args(["chaos", "--seconds", "15", "--rate", "60", "--instances", "6", "--faults", "kill,roll"]);
    command.args(["--seed", "3", "--settle", "40", "--out"]).arg(&out);
    let run = command.output().expect("the tool starts");
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let reports: Vec<_> = std::fs::read_dir(&out)
        .unwrap_or_else(|_| panic!("no report: {}\n{said}\n{complained}", run.status))
        .collect::<Result<_, _>>()
        .expect("a folder of reports");
    assert_eq!(reports.len(), 1, "{reports:?}");
    let text = std::fs::read(reports[0].path().join("report.json")).expect("a report");
    let report: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!(report["phases"].as_array().map(Vec::len), Some(3), "{said}");
    for name in
        ["lost", "accepted in the end", "repeats within the bound", "order within each chat", "processes behave"]
    {
        let assertions = report["assertions"].as_array().expect("assertions");
        let found = assertions.iter().find(|assertion| assertion["name"] == name);
        assert_eq!(found.map(|found| &found["passed"]), Some(&Value::Bool(true)), "{name}\n{said}\n{complained}");
    }
}
