//! The Redis that is configured: reached, of our format, durable, and without anything that nobody would ever remove.

use super::finding::Finding;
use crate::app::{RedisFindings, look_at_redis};
use crate::config::{Config, SecretText};

const SUBJECT: &str = "Redis";
/// Some seconds of reading beside other work.
const MAX_KEYS: u64 = 200_000;

pub async fn check(config: &Config, url: &SecretText) -> Vec<Finding> {
    match look_at_redis(config, url, MAX_KEYS).await {
        Ok(found) => rate(found),
        Err(error) => {
            let remedy = "check that it runs, the address, user and password, and the versions of all nodes";
            vec![Finding::fail(SUBJECT, format!("{error:#}"), remedy)]
        }
    }
}

fn rate(found: RedisFindings) -> Vec<Finding> {
    let RedisFindings { place, version, durability, warnings, orphans } = found;
    let mut findings = vec![Finding::good(SUBJECT, format!("{place} answers, version {version}, {durability}"))];
    let remedy = "set it in redis.conf, or where your provider lets you";
    findings.extend(warnings.into_iter().map(|warning| Finding::warn(SUBJECT, warning, remedy)));
    match orphans {
        Ok((found, looked_at)) if found.is_empty() => {
            findings.push(Finding::good(SUBJECT, format!("no orphans among {looked_at}")));
        }
        Ok((found, _)) => {
            let remedy = "they are not used and can be deleted once no node runs; please report how they came about";
            findings.extend(found.into_iter().map(|what| Finding::warn(SUBJECT, format!("orphans: {what}"), remedy)));
        }
        Err(error) => findings.push(Finding::warn(SUBJECT, format!("orphans: {error}"), "nothing is wrong with that")),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;

    fn found(warnings: &[&str], orphans: &[&str]) -> Vec<Level> {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let findings = rate(RedisFindings {
            place: "redis://here".into(),
            version: "7.0.15".into(),
            durability: "aof-everysec",
            warnings: texts(warnings),
            orphans: Ok((texts(orphans), "9 keys, all of them".into())),
        });
        findings.into_iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn warnings_and_orphans_are_warnings() {
        assert_eq!(found(&[], &[]), [Level::Good, Level::Good]);
        assert_eq!(
            found(&["no file"], &["3 of these", "1 of those"]),
            [Level::Good, Level::Warning, Level::Warning, Level::Warning]
        );
    }

    #[tokio::test]
    async fn a_redis_that_is_not_there_is_a_failure_with_a_remedy() {
        let findings = check(&Config::default(), &SecretText::new("redis://127.0.0.1:1")).await;
        assert!(
            matches!(&findings[..], [one] if one.level == Level::Failure && !one.remedy.is_empty()),
            "{findings:?}"
        );
    }
}
