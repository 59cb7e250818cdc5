//! What Redis lets us do: the rights that are documented, and TLS.

use std::collections::BTreeSet;
use std::path::Path;

use super::many::Node;
use super::*;
use crate::domain::LaneClass;
use crate::store::StoreError;
use crate::store::redis::TlsFiles;
use crate::store::redis::testing::documented_rule;

/// Names of commands behind `before` in the sources below `folder`.
fn named(folder: &Path, before: &str, quote: char, found: &mut BTreeSet<String>) {
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            named(&path, before, quote, found);
        } else if path.is_file() && !path.ends_with("testing.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split(before).skip(1).filter_map(|after| after.split(quote).next());
            found.extend(names.map(str::to_ascii_lowercase));
        }
    }
}

/// All tests of this store run as a user with the documented rights: what lacks shows there. What is too much shows here.
#[test]
fn the_documented_rights_are_those_of_the_commands_we_use() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/redis");
    let mut used = BTreeSet::new();
    named(&sources, "cmd(\"", '"', &mut used);
    named(&sources, "redis.call('", '\'', &mut used);
    assert!(used.len() > 30, "{used:?}");
    // Sent by the library, by scripts' names, with a word behind, or only where it is asked for.
    let by_others = ["eval", "evalsha", "select", "ping", "subscribe", "psubscribe", "config|get"];
    used.extend(by_others.map(str::to_owned));
    for elsewhere in ["config", "waitaof"] {
        assert!(used.remove(elsewhere), "{elsewhere}");
    }
    let granted: BTreeSet<_> =
        documented_rule().into_iter().filter_map(|word| word.strip_prefix('+')).map(str::to_owned).collect();
    assert_eq!(granted, used);
}

#[tokio::test]
async fn what_is_not_ours_is_out_of_reach() {
    let server = Server::start(&[]);
    let store = RedisStore::open(RedisConfig::new(server.url())).await.unwrap();
    let mut others = redis::cmd("GET");
    others.arg("others:key");
    for refused in [others, redis::cmd("FLUSHALL"), redis::cmd("DBSIZE")] {
        let answer = store.shared.link.run(&refused).await;
        assert!(matches!(&answer, Err(StoreError::Unavailable(text)) if text.contains("no permissions")), "{answer:?}");
    }
    let elsewhere = RedisConfig { prefix: "others".into(), ..RedisConfig::new(server.url()) };
    assert!(RedisStore::open(elsewhere).await.is_err());
}

struct Papers {
    folder: tempfile::TempDir,
    authority: Vec<u8>,
    client: (Vec<u8>, Vec<u8>),
}

impl Papers {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap();
        let signed = |names: &[&str]| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params =
                rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, names[0]);
            let certificate = params.signed_by(&key, &issuer).unwrap();
            (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
        };
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = signed(&["127.0.0.1"]);
        let authority = issuer.pem().into_bytes();
        for (name, bytes) in [("server.pem", &certificate), ("server.key", &key), ("ca.pem", &authority)] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self { folder, authority, client: signed(&["pombo"]) }
    }

    /// Lines for a server that speaks nothing but TLS.
    fn config(&self, port: u16) -> String {
        let folder = self.folder.path().display();
        let files = format!(
            "tls-cert-file {folder}/server.pem\ntls-key-file {folder}/server.key\ntls-ca-cert-file {folder}/ca.pem\n"
        );
        format!("port 0\ntls-port {port}\n{files}save \"\"\n")
    }

    fn files(&self) -> TlsFiles {
        TlsFiles { authorities: Some(self.authority.clone()), identity: Some(self.client.clone()) }
    }
}

async fn works(url: RedisUrl) {
    let store = RedisStore::open(RedisConfig::new(url)).await.unwrap();
    let waiting = appended(&store, webhook(1), event_id(0, 1)).await;
    assert_eq!(store.lane(part(webhook(1), LaneClass::Live)).await.unwrap(), [waiting]);
    assert_eq!(store.listen().recv().await, Some(Notice::Connected));
}

#[tokio::test]
async fn tls_is_spoken_with_authorities_of_our_own_and_a_certificate_where_one_is_asked_for() {
    let papers = Papers::new();
    let lax = Node::start(|port| format!("{}tls-auth-clients no\n", papers.config(port)), &[]);
    let url = |host: &str, node: &Node| RedisUrl::parse(&format!("rediss://{host}:{}", node.port)).unwrap();
    let only_authorities = || TlsFiles { identity: None, ..papers.files() };
    works(url("127.0.0.1", &lax).with_tls(only_authorities()).unwrap()).await;
    let strict = Node::start(|port| papers.config(port), &[]);
    works(url("127.0.0.1", &strict).with_tls(papers.files()).unwrap()).await;
    for (refused, why) in [
        (url("127.0.0.1", &lax), "the platform does not know the authority"),
        (url("localhost", &lax).with_tls(only_authorities()).unwrap(), "the certificate is for another name"),
        (url("127.0.0.1", &strict).with_tls(only_authorities()).unwrap(), "no certificate was shown"),
    ] {
        let answer = RedisStore::open(RedisConfig::new(refused)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{why}: {answer:?}");
    }
    let empty = TlsFiles { authorities: Some(b"nothing".to_vec()), identity: None };
    assert!(url("127.0.0.1", &lax).with_tls(empty).is_err());
    for refused in ["redis://127.0.0.1", "rediss+cluster://127.0.0.1:1", "rediss+sentinel://127.0.0.1:1/main"] {
        assert!(RedisUrl::parse(refused).unwrap().with_tls(papers.files()).is_err(), "{refused}");
    }
}
