//! The tool against the engine, as small as it gets: it starts, counts and ends everything it should.
//!
//! The engine is the one beside the tool: `cargo test --workspace` builds both; with this package alone, build
//! the engine first (`cargo build -p pombo`).

use std::path::Path;
use std::process::Command;

#[test]
fn a_smoke_run_delivers_everything_and_leaves_a_report() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke");
    let _none_yet = std::fs::remove_dir_all(&out);
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/smoke.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_pombo-load"));
    command.arg("run").arg(scenario).args(["--floor-seconds", "0.2", "--out"]).arg(&out);
    let run = command.output().expect("the tool starts");
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{}\n{said}\n{complained}", run.status);
    assert!(said.contains("counts right"), "{said}");
    let reports: Vec<_> = std::fs::read_dir(&out).expect("a folder of reports").collect::<Result<_, _>>().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    let files = std::fs::read_dir(reports[0].path()).expect("a report").count();
    assert!(files > 1, "{files} files in {}", reports[0].path().display());
}
