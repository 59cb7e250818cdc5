//! `POMBO_…` variables. An unknown one is a warning only: orchestrators inject variables of their own
//! (`POMBO_PORT`, `POMBO_SERVICE_HOST` in Kubernetes, when the service is named pombo).

use super::file::suggestion;
use super::merge::Given;
use super::problem::Source;
use super::settings::SETTINGS;

/// Names the configuration file, as `--config` does.
pub const FILE_VARIABLE: &str = "POMBO_CONFIG";
const PREFIX: &str = "POMBO_";

/// The settings among `variables`, and warnings about names that look like misspelt settings.
pub fn read(variables: &[(String, String)]) -> (Vec<Given>, Vec<String>) {
    let (mut given, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        let Some(rest) = name.strip_prefix(PREFIX).filter(|_| name != FILE_VARIABLE) else { continue };
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.env() == *name) {
            given.push(Given { setting, source: Source::Environment(name.clone()), text: value.clone() });
        } else {
            let hint = suggestion(&rest.to_ascii_lowercase());
            if hint.starts_with("did you mean") {
                warnings.push(format!("the variable {name} is no setting and is ignored; {hint}"));
            }
        }
    }
    (given, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_sections_use_an_underscore() {
        let (given, warnings) = read(&[("POMBO_RETENTION_DEAD_DAYS".into(), "3".into()), ("PATH".into(), "x".into())]);
        assert_eq!((given[0].setting.name, given[0].text.as_str()), ("retention.dead_days", "3"));
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn a_misspelt_variable_warns_and_does_not_fail() {
        let (given, warnings) = read(&[("POMBO_LISTNE".into(), "x".into())]);
        assert!(given.is_empty());
        assert!(warnings[0].contains("`listen`"), "{warnings:?}");
    }
}
