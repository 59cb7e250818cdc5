//! `pombo.toml` as names and texts. Unknown keys are problems: a misspelt setting must not be silently ignored.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::merge::Given;
use super::problem::{Bad, Problem, Source};
use super::settings::{SETTINGS, Setting};

/// Other spellings of a setting in the file.
const ALIASES: [(&str, &str); 1] = [("store.redis", "redis_url")];

/// Reads the file. Without `named`, the default file is read when it exists.
pub fn read(named: Option<&Path>, default: &Path) -> (Vec<Given>, Vec<Problem>) {
    let path = named.unwrap_or(default);
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text, path),
        Err(error) if named.is_none() && error.kind() == ErrorKind::NotFound => (Vec::new(), Vec::new()),
        Err(error) => {
            let remedy = "name a readable file with --config, or leave it out";
            (Vec::new(), vec![whole_file(path, format!("cannot be read: {error}"), remedy)])
        }
    }
}

fn whole_file(path: &Path, problem: String, remedy: &str) -> Problem {
    let setting = "the configuration file".to_owned();
    Problem { setting, source: Source::File(path.to_owned()), value: None, bad: Bad::new(problem, remedy) }
}

fn parse(text: &str, path: &Path) -> (Vec<Given>, Vec<Problem>) {
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
            let place = error.span().map_or(String::new(), |span| format!("line {}: ", line(span.start)));
            let problem = format!("is not TOML: {place}{}", toml::de::Error::message(&error));
            return (Vec::new(), vec![whole_file(path, problem, "compare with the output of `pombo config --toml`")]);
        }
    };
    let mut reading = Reading { path: path.to_owned(), given: Vec::new(), problems: Vec::new() };
    reading.table("", &table);
    (reading.given, reading.problems)
}

struct Reading {
    path: PathBuf,
    given: Vec<Given>,
    problems: Vec<Problem>,
}

impl Reading {
    fn table(&mut self, section: &str, table: &Table) {
        for (key, value) in table {
            let name = if section.is_empty() { key.clone() } else { format!("{section}.{key}") };
            match value {
                Value::Table(inner) => self.table(&name, inner),
                value => self.value(&name, value),
            }
        }
    }

    fn value(&mut self, name: &str, value: &Value) {
        let real = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| real);
        let Some(setting) = Setting::find(real) else {
            let bad = Bad::new("there is no such setting", suggestion(name));
            return self.problem(name, None, bad);
        };
        if let Some(text) = text_of(value) {
            self.given.push(Given { setting, source: Source::File(self.path.clone()), text });
            return;
        }
        let problem = format!("a value of type {}", value.type_str());
        let bad = Bad::new(problem, "write a text, a number, true or false, or a list of texts");
        self.problem(name, Some(setting.shown(&value.to_string())), bad);
    }

    fn problem(&mut self, name: &str, value: Option<String>, bad: Bad) {
        self.problems.push(Problem { setting: name.to_owned(), source: Source::File(self.path.clone()), value, bad });
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            texts.map(|texts| texts.join(","))
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// The nearest name there is, or where to find them all.
pub fn suggestion(name: &str) -> String {
    let names = SETTINGS.iter().map(|setting| setting.name).chain(ALIASES.map(|(alias, _)| alias));
    let nearest = names
        .map(|known| {
            // A key in the wrong section is near to the right one, whatever its section's name is.
            let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
            let by_key = strsim::jaro_winkler(&last(known), &last(name)) - 0.02;
            (known, strsim::jaro_winkler(known, name).max(by_key))
        })
        .max_by(|(_, a), (_, b)| a.total_cmp(b));
    match nearest {
        Some((known, likeness)) if likeness > 0.8 => format!("did you mean `{known}`?"),
        _ => "remove it; `pombo config` lists every setting".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_aliases_and_lists_become_settings() {
        let text = "listen = \"127.0.0.1:1\"\nallow_targets = [\"10.0.0.0/8\", \"n8n\"]\n\
                    [store]\nredis = \"redis://h\"\n[retention]\ndead_days = 7\n";
        let (given, problems) = parse(text, Path::new("p.toml"));
        assert_eq!(problems, []);
        let given: Vec<_> = given.iter().map(|g| (g.setting.name, g.text.as_str())).collect();
        assert!(given.contains(&("redis_url", "redis://h")));
        assert!(given.contains(&("allow_targets", "10.0.0.0/8,n8n")));
        assert!(given.contains(&("retention.dead_days", "7")));
    }

    #[test]
    fn an_unknown_key_is_told_with_the_nearest_name() {
        let (_, problems) = parse("lisen = 1\n[limits]\nhistory_hours = 3\nzzz = 1", Path::new("p.toml"));
        let mut remedies: Vec<_> = problems.iter().map(|p| p.bad.remedy.as_str()).collect();
        remedies.sort_unstable();
        assert_eq!(
            remedies,
            [
                "did you mean `listen`?",
                "did you mean `retention.history_hours`?",
                "remove it; `pombo config` lists every setting"
            ]
        );
    }

    #[test]
    fn broken_toml_names_its_line() {
        let (_, problems) = parse("listen = \"a\"\nworkers = = 2\n", Path::new("p.toml"));
        assert!(problems[0].to_string().contains("line 2"), "{}", problems[0]);
    }

    #[test]
    fn a_named_file_must_exist_and_the_default_one_need_not() {
        let missing = Path::new("/nowhere/pombo.toml");
        assert_eq!(read(None, missing).1, []);
        assert_eq!(read(Some(missing), missing).1.len(), 1);
    }
}
