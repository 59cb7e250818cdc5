//! The effective configuration for people: a table with sources, or a commented file.

use std::fmt::Write as _;

use super::merge::{Effective, Loaded};

/// Name, value, source, one line each; secrets masked.
pub fn table(loaded: &Loaded) -> String {
    let rows: Vec<[String; 3]> = loaded
        .values
        .iter()
        .map(|value| [value.setting.name.to_owned(), shown(value), value.source.to_string()])
        .collect();
    let heads = ["setting", "value", "from"];
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).chain([heads[column].len()]).max().unwrap_or_default()
    };
    let (name_width, value_width) = (width(0), width(1));
    let mut out = String::new();
    for [name, value, source] in std::iter::once(heads.map(str::to_owned)).chain(rows) {
        let _ = writeln!(out, "{name:name_width$}  {value:value_width$}  {source}");
    }
    out
}

fn shown(value: &Effective) -> String {
    if value.text.is_empty() { "-".to_owned() } else { value.setting.shown(&value.text) }
}

/// Every setting with its sentence, variable and default. Values at their default are commented out; secrets always are,
/// for a file is not the place that a printed secret should end up in.
pub fn toml(loaded: &Loaded) -> String {
    let mut out = String::from("# pombo.toml: every setting. A line without # differs from the default.\n");
    let mut section = "";
    for Effective { setting, source, text } in &loaded.values {
        let (own_section, key) = setting.name.split_once('.').unwrap_or(("", setting.name));
        if own_section != section {
            section = own_section;
            let _ = writeln!(out, "\n[{section}]");
        }
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let _ = writeln!(out, "\n# {}\n# Default: {default}. Environment: {}.", setting.doc, setting.env());
        let unchanged = *source == super::Source::Default || *text == setting.default;
        let mark = if unchanged || setting.secret { "# " } else { "" };
        let _ = writeln!(out, "{mark}{key} = {}", literal(&setting.shown(text)));
    }
    out
}

/// Numbers and switches bare, everything else as a TOML string.
fn literal(text: &str) -> String {
    let bare = text == "true" || text == "false" || text.parse::<i64>().is_ok() || text.parse::<f64>().is_ok();
    if bare { text.to_owned() } else { toml::Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    const TOKEN: &str = "0123456789abcdef-secret";

    fn loaded() -> Loaded {
        let variables = [("POMBO_ADMIN_TOKEN".to_owned(), TOKEN.to_owned())];
        let flags = [
            ("--set".to_owned(), "allow_targets".to_owned(), "10.0.0.0/8,n8n".to_owned()),
            ("--set".to_owned(), "retention.dead_days".to_owned(), "9".to_owned()),
        ];
        load(None, &variables, &flags).expect("valid")
    }

    #[test]
    fn the_table_names_sources_and_masks_secrets() {
        let table = table(&loaded());
        assert!(!table.contains(TOKEN), "{table}");
        let row = table.lines().find(|line| line.starts_with("admin_token")).expect("row");
        assert!(row.contains("***") && row.ends_with("POMBO_ADMIN_TOKEN"), "{row}");
        assert_eq!(table.lines().count(), super::super::SETTINGS.len() + 1);
    }

    #[test]
    fn the_printed_file_reads_back_to_the_same_values() {
        let before = loaded();
        let text = toml(&before);
        assert!(!text.contains(TOKEN));
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("pombo.toml");
        std::fs::write(&path, &text).expect("written");
        let after = load(Some(&path), &[], &[]).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(after.config.targets.allow_hosts, ["n8n"]);
        assert_eq!(after.config.retention.dead, before.config.retention.dead);
        assert!(after.config.admin_token.is_none(), "secrets are not written");
    }

    #[test]
    fn the_printed_file_is_valid_with_every_comment_mark_removed() {
        let text = toml(&load(None, &[], &[]).expect("valid"));
        let uncommented: String = text
            .lines()
            .map(|line| {
                line.strip_prefix("# ").filter(|line| line.contains(" = ") && !line.contains(". ")).unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let table: ::toml::Table = uncommented.parse().unwrap_or_else(|error| panic!("{error}\n{uncommented}"));
        assert!(table.contains_key("listen") && table.contains_key("retention"));
    }
}
