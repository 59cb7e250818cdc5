//! Holds the layers: the tables of `ARCHITECTURE.md` say who may use whom, the sources are read and compared with them.
//!
//! Also held here: sizes of files, a sentence at the head of every module, and clocks kept out of the pure layers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MAX_LINES: usize = 400;
const MAX_MEDIAN: usize = 150;
const MAX_P90: usize = 350;

/// A source file, its path below `src` and its text without comments.
struct Source {
    path: String,
    text: String,
    code: String,
    /// Compiled for tests only.
    is_test: bool,
}

impl Source {
    /// The room it is in: `engine` for `engine/lane/mod.rs`, `main` for `main.rs`.
    fn room(&self) -> &str {
        self.path.split('/').next().expect("a path has a first part").trim_end_matches(".rs")
    }

    /// The code that is compiled outside tests. Tests are at the bottom of their file.
    fn shipped(&self) -> &str {
        if self.is_test { "" } else { self.code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default() }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for item in fs::read_dir(folder).expect("a folder of sources") {
            let path = item.expect("an item of it").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found.sort();
    assert!(found.len() > 100, "only {} sources were found", found.len());
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a source");
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
        let below = path.strip_prefix(&src).expect("below src").to_str().expect("UTF-8").to_owned();
        Source { path: below, text, code, is_test: false }
    };
    let mut sources: Vec<_> = found.into_iter().map(read).collect();
    let test_modules: Vec<_> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let is_below = |test: &String| {
            module.strip_prefix(test.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // A `#[path]` may give a test module another file: its name ends in `tests` then.
        source.is_test = module.ends_with("tests") || test_modules.iter().any(is_below);
    }
    sources
}

/// The modules in files of their own that `source` declares for tests only, as paths below `src`.
fn test_modules(source: &Source) -> Vec<String> {
    let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
    let declared = source.code.split("#[cfg(test)]").skip(1).filter_map(|after| {
        let name = after.trim_start().trim_start_matches("pub ").strip_prefix("mod ")?.lines().next()?;
        name.trim().strip_suffix(';')
    });
    declared.map(|name| format!("{module}/{name}")).collect()
}

/// The rows of the table in `ARCHITECTURE.md` that follows this marker: the first cell, then the words in `code` of the second.
fn table(marker: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let (_, after) = text.split_once(marker).unwrap_or_else(|| panic!("ARCHITECTURE.md lacks {marker}"));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = after.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
    let mut table = BTreeMap::new();
    for row in rows {
        let cells: Vec<_> = row.split('|').collect();
        for name in words(cells[1]) {
            table.insert(name, words(cells[2]));
        }
    }
    assert!(table.len() > 5, "the table after {marker} was not read: {table:?}");
    table
}

/// The names that follow `prefix` where it stands as a path of its own: `crate::` finds `engine` in `crate::engine::Lane`.
fn named_after<'t>(code: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    code.match_indices(prefix).filter(|(at, _)| starts_a_path(code, *at)).map(|(at, _)| {
        let rest = &code[at + prefix.len()..];
        &rest[..rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_')).unwrap_or(rest.len())]
    })
}

fn starts_a_path(code: &str, at: usize) -> bool {
    !code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_' || letter == ':')
}

#[test]
fn rooms_use_only_the_rooms_they_may() {
    let allowed = table("<!-- layers -->");
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let room = source.room();
        let Some(may) = allowed.get(room) else {
            problems.push(format!("src/{}: `{room}` is not in the table of layers", source.path));
            continue;
        };
        // The binary is a crate of its own and names the library; elsewhere that text is a log target.
        let prefix = if room == "main" { "pombo::" } else { "crate::" };
        for used in named_after(&source.code, prefix) {
            // Macros of the crate live at its root.
            let is_room = allowed.contains_key(used);
            if used.is_empty() {
                problems.push(format!("src/{}: `use crate::{{…}}` hides its rooms; one `use` a room", source.path));
            } else if is_room && used != room && !may.iter().any(|name| name == used) {
                problems.push(format!("src/{}: `{room}` may not use `{used}`", source.path));
            }
        }
        let is_root_of_room =
            !source.path.contains('/') || source.path.matches('/').count() == 1 && source.path.ends_with("/mod.rs");
        if is_root_of_room && source.shipped().contains("super::") {
            problems.push(format!("src/{}: `super::` leaves the room; write `crate::`", source.path));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_room_is_used_by_one_it_uses() {
    let allowed = table("<!-- layers -->");
    for (room, uses) in &allowed {
        let mut reached = uses.clone();
        let mut next = 0;
        while let Some(used) = reached.get(next).cloned() {
            for further in allowed.get(&used).into_iter().flatten() {
                if !reached.contains(further) {
                    reached.push(further.clone());
                }
            }
            next += 1;
        }
        // The command line's two halves are one room with two doors.
        let is_command_line = matches!(room.as_str(), "cli" | "commands");
        assert!(is_command_line || !reached.contains(room), "`{room}` reaches itself: {reached:?}");
    }
}

#[test]
fn crates_are_named_only_in_their_rooms() {
    let homes = table("<!-- crates -->");
    let mut problems = Vec::new();
    for source in sources() {
        for (name, rooms) in &homes {
            let path = format!("{name}::");
            let is_named = source.code.match_indices(&path).any(|(at, _)| starts_a_path(&source.code, at));
            let at_home = rooms
                .iter()
                .any(|room| source.path.starts_with(&format!("{room}/")) || source.path == format!("{room}.rs"));
            if is_named && !at_home {
                problems.push(format!("src/{}: `{name}` may be named in {rooms:?} only", source.path));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_row_of_the_tables_is_about_something_there() {
    let sources = sources();
    for room in table("<!-- layers -->").keys() {
        assert!(sources.iter().any(|source| source.room() == room), "no room `{room}`");
    }
    for (name, rooms) in table("<!-- crates -->") {
        let path = format!("{name}::");
        for room in rooms {
            let is_used = sources.iter().any(|source| source.path.starts_with(&room) && source.code.contains(&path));
            assert!(is_used, "`{name}` is not named in `{room}` any more");
        }
    }
}

#[test]
fn pure_rooms_read_no_clock() {
    const CLOCKS: [&str; 3] = ["Instant::now", "SystemTime", "Timestamp::now"];
    for source in sources() {
        let is_pure = matches!(source.room(), "domain" | "policy" | "format") && source.path != "domain/time.rs";
        let clock = CLOCKS.into_iter().find(|clock| source.shipped().contains(clock));
        assert!(!is_pure || clock.is_none(), "src/{}: {clock:?}; the instant is an argument here", source.path);
    }
}

#[test]
fn files_are_short() {
    let mut sizes: Vec<_> = sources().into_iter().map(|source| (source.text.lines().count(), source.path)).collect();
    sizes.sort();
    let (longest, path) = sizes.last().expect("there are sources");
    assert!(
        *longest <= MAX_LINES,
        "src/{path} has {longest} lines; at most {MAX_LINES}: which idea of it stands alone?"
    );
    let (median, p90) = (sizes[sizes.len() / 2].0, sizes[sizes.len() * 9 / 10].0);
    assert!(median <= MAX_MEDIAN, "half of the files have more than {median} lines; at most {MAX_MEDIAN}");
    assert!(p90 <= MAX_P90, "a tenth of the files has more than {p90} lines; at most {MAX_P90}");
}

#[test]
fn every_module_says_what_it_is_for() {
    for source in sources().iter().filter(|source| !source.is_test) {
        let head = source.text.lines().next().unwrap_or_default();
        assert!(head.starts_with("//! ") && head.len() > 12, "src/{} opens with {head:?}", source.path);
    }
}
