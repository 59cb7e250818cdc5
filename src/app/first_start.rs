//! The admin token: from the configuration, or made on the first start, shown once and kept only as a digest.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context as _;

use crate::api::auth;
use crate::config::Config;
use crate::store::Store;
use crate::transport::{Target, TargetPolicy};

const DIGEST_SETTING: &str = "admin_token_digest";

/// Where the admin token comes from.
#[derive(Debug)]
pub(super) enum Admin {
    Configured(String),
    /// Made by this start: to be shown.
    New(String),
    /// Made by an earlier start, or by another node's.
    Known([u8; 32]),
}

impl Admin {
    pub(super) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Configured(token) | Self::New(token) => auth::digest(token),
            Self::Known(digest) => *digest,
        }
    }

    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Configured(token) | Self::New(token) => Some(token),
            Self::Known(_) => None,
        }
    }
}

pub(super) async fn admin(config: &Config, store: &dyn Store) -> anyhow::Result<Admin> {
    if let Some(token) = &config.admin_token {
        return Ok(Admin::Configured(token.reveal().to_owned()));
    }
    let token = auth::random_token().map_err(|error| anyhow::anyhow!("making an admin token: {error}"))?;
    let known = match store.setting(DIGEST_SETTING).await.context("reading the admin token's digest")? {
        Some(known) => known,
        // Another node may be at its first start as well: one of the tokens holds.
        None => store
            .put_setting_if_absent(DIGEST_SETTING, auth::digest(&token).to_vec())
            .await
            .context("keeping the admin token's digest")?,
    };
    let digest = <[u8; 32]>::try_from(known.as_slice()).context("the admin token's digest in the store is damaged")?;
    if digest == auth::digest(&token) {
        return Ok(Admin::New(token));
    }
    Ok(Admin::Known(digest))
}

/// The first words to a new user: the token, and the commands that lead to a first delivered event, as they can be pasted here.
pub(super) fn greet(addr: SocketAddr, token: &str, targets: &TargetPolicy) {
    let program = std::env::args().next().unwrap_or_else(|| "pombo".to_owned());
    println!("{}", greeting(addr, token, targets, &program));
}

/// Where `pombo listen` listens when it is not told otherwise.
const LISTENER: &str = "http://127.0.0.1:9000/";

fn greeting(addr: SocketAddr, token: &str, targets: &TargetPolicy, program: &str) -> String {
    let base = format!("http://{}", reachable(addr));
    let reaches_this_machine = Target::parse(LISTENER, targets).is_ok();
    let receiver = if reaches_this_machine {
        format!("1. In another terminal, a receiver that shows what arrives:\n\n  {program} listen")
    } else {
        format!(
            "1. Receivers are reached over https only, and not on this machine: the safe default. To see events arrive here, stop this\n   \
             process and start it as follows (the token stays the same), with the second line in another terminal:\n\n  \
             {program} --allow-http --allow-targets 127.0.0.0/8\n  {program} listen\n\n   \
             Or run everything at once, without these steps: {program} demo"
        )
    };
    format!(
        r#"
First start: this admin token is shown once. Keep it, or set POMBO_ADMIN_TOKEN to one of your own.

{receiver}

2. In a third terminal, a business, an instance of it and a webhook:

  export POMBO_TOKEN={token}
  api() {{ curl -sS -w '\n' "{base}/api/v2$1" -H "Authorization: Bearer $POMBO_TOKEN" -H 'Content-Type: application/json' -d "$2"; }}
  BUSINESS=$(api /admin/business '{{"name":"demo"}}' | sed 's/.*"businessId":"\([^"]*\)".*/\1/')
  api /business/$BUSINESS/instance '{{"instanceName":"demo","externalId":"demo"}}'
  api /instance/demo/webhook '{{"name":"first","url":"{LISTENER}","enabled":true}}'

3. There, an event; it arrives at the receiver:

  api /instance/demo/events '{{"event":"messages.upsert","data":{{"messageId":"1","keyRemoteJid":"5511999999999@s.whatsapp.net","content":{{"text":"oi"}}}}}}'

API: {base}/docs/
"#
    )
}

/// The address to write into a URL: one that listens on all interfaces is reached over loopback.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    addr
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    #[tokio::test]
    async fn of_two_nodes_that_start_at_once_one_shows_a_token_that_both_know() {
        let (store, config) = (MemoryStore::new(), Config::default());
        let both = futures_util::future::join(admin(&config, &store), admin(&config, &store)).await;
        let (one, other) = (both.0.unwrap(), both.1.unwrap());
        assert_eq!(one.digest(), other.digest());
        assert_eq!([&one, &other].into_iter().filter(|admin| admin.token().is_some()).count(), 1);
        assert!(matches!(admin(&config, &store).await.unwrap(), Admin::Known(digest) if digest == one.digest()));
    }

    fn greeting_with(targets: &TargetPolicy) -> String {
        greeting(SocketAddr::from(([0, 0, 0, 0], 8080)), "the-token", targets, "target/release/pombo")
    }

    #[test]
    fn a_start_that_reaches_this_machine_asks_for_no_other_start() {
        let targets = TargetPolicy {
            allow_http: true,
            allow_networks: vec!["127.0.0.0/8".parse().expect("a network")],
            ..TargetPolicy::default()
        };
        let text = greeting_with(&targets);
        assert!(text.contains("export POMBO_TOKEN=the-token\n"), "{text}");
        assert!(text.contains("\n  target/release/pombo listen\n") && !text.contains("--allow-http"), "{text}");
        assert!(text.contains("\"http://127.0.0.1:8080/api/v2$1\""), "{text}");
    }

    #[test]
    fn a_start_that_does_not_says_how() {
        let text = greeting_with(&TargetPolicy::default());
        assert!(text.contains("\n  target/release/pombo --allow-http --allow-targets 127.0.0.0/8\n"), "{text}");
    }

    #[test]
    fn every_body_that_is_shown_is_json() {
        let text = greeting_with(&TargetPolicy::default());
        let calls = text.lines().filter_map(|line| line.split_once("api /"));
        let bodies: Vec<_> = calls.filter_map(|(_, call)| call.split('\'').nth(1)).collect();
        assert_eq!(bodies.len(), 4);
        for body in bodies {
            serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
    }
}
