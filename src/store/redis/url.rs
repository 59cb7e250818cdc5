//! Where Redis is: `redis://`, `rediss://`, `unix://`, `redis+sentinel://host:port[,…]/service[/db]`, `redis+cluster://host:port[,…]`.
//!
//! `user:password@` goes to Redis itself, percent-encoded where needed; `rediss+sentinel` and `rediss+cluster` speak TLS.

use std::fmt;

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo,
    TlsCertificates,
};

/// A parsed address; its `Debug` and `Display` hide the password.
#[derive(Clone)]
pub struct RedisUrl {
    pub(super) place: Place,
    shown: String,
}

#[derive(Clone)]
pub(super) enum Place {
    Single(Box<ConnectionInfo>),
    Sentinel { sentinels: Vec<ConnectionInfo>, service: String, settings: RedisConnectionInfo, is_tls: bool },
    Cluster(Vec<ConnectionInfo>),
}

/// PEM of TLS, as read from files.
#[derive(Clone, Default)]
pub struct TlsFiles {
    /// Trusted instead of the platform's.
    pub authorities: Option<Vec<u8>>,
    /// The certificate Redis is shown, with its chain, and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles").finish_non_exhaustive()
    }
}

/// Why an address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis address: {0}")]
pub struct InvalidUrl(String);

impl RedisUrl {
    /// # Errors
    /// When the scheme is another, a host or port is missing, or Sentinel's service is.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| InvalidUrl("it has no scheme".into()))?;
        let place = match scheme {
            "redis" | "rediss" | "unix" | "redis+unix" => {
                let info = text.into_connection_info().map_err(|error| InvalidUrl(error.to_string()))?;
                Place::Single(Box::new(info))
            }
            "redis+sentinel" | "rediss+sentinel" | "redis+cluster" | "rediss+cluster" => many(scheme, rest)?,
            other => return Err(InvalidUrl(format!("the scheme {other} is unknown"))),
        };
        // A socket's login is in the query.
        let plain = rest.split_once('?').map_or(rest, |(before, _)| before);
        let shown = match plain.rsplit_once('@') {
            Some((_, after)) => format!("{scheme}://***@{after}"),
            None => format!("{scheme}://{plain}"),
        };
        Ok(Self { place, shown })
    }

    /// The same, with authorities and a certificate of one's own.
    ///
    /// # Errors
    /// When the address is not that of a single server that speaks TLS, or the files are not PEM.
    pub fn with_tls(mut self, files: TlsFiles) -> Result<Self, InvalidUrl> {
        let TlsFiles { authorities, identity } = files;
        if authorities.as_deref().is_some_and(|pem| !String::from_utf8_lossy(pem).contains("BEGIN CERTIFICATE")) {
            return Err(InvalidUrl("the file of authorities holds no certificate".into()));
        }
        let client_tls = identity.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        let certificates = TlsCertificates { client_tls, root_cert: authorities };
        let Place::Single(info) = &mut self.place else {
            return Err(InvalidUrl(
                "files of one's own are for a single server; for Sentinel and Cluster let SSL_CERT_FILE name the authorities"
                    .into(),
            ));
        };
        let client = Client::build_with_tls((**info).clone(), certificates);
        let client = client.map_err(|error| InvalidUrl(error.to_string()))?;
        **info = client.get_connection_info().clone();
        Ok(self)
    }
}

fn many(scheme: &str, rest: &str) -> Result<Place, InvalidUrl> {
    let is_tls = scheme.starts_with("rediss");
    let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let mut settings = RedisConnectionInfo::default();
    if let Some(login) = login {
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let plain = |text: &str| percent_decoded(text).ok_or_else(|| InvalidUrl("a login is not UTF-8".into()));
        if !user.is_empty() {
            settings = settings.set_username(plain(user)?);
        }
        settings = settings.set_password(plain(password)?);
    }
    let node = |host: &str| -> Result<ConnectionInfo, InvalidUrl> {
        let missing = || InvalidUrl(format!("{host:?} is not host:port"));
        let (name, port) = host.rsplit_once(':').ok_or_else(missing)?;
        let port = port.parse().map_err(|_| missing())?;
        let host = name.trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(missing());
        }
        let addr = if is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        addr.into_connection_info().map_err(|error| InvalidUrl(error.to_string()))
    };
    let nodes = hosts.split(',').map(node).collect::<Result<Vec<_>, _>>()?;
    if scheme.ends_with("cluster") {
        return Ok(Place::Cluster(nodes.into_iter().map(|node| node.set_redis_settings(settings.clone())).collect()));
    }
    let (service, db) = path.split_once('/').unwrap_or((path, "0"));
    if service.is_empty() {
        return Err(InvalidUrl("the name of Sentinel's service is missing: redis+sentinel://host:port/service".into()));
    }
    let db = db.parse().map_err(|_| InvalidUrl(format!("the database {db:?} is not a number")))?;
    Ok(Place::Sentinel { sentinels: nodes, service: service.into(), settings: settings.set_db(db), is_tls })
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((first, rest)) = left.split_first() {
        let hex = (*first == b'%').then(|| rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok())).flatten();
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            left = &rest[2..];
        } else {
            bytes.push(*first);
            left = rest;
        }
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        for url in [
            "redis://u:hunter2@h:1/3",
            "redis+cluster://u:hunter2@h:1,i:2",
            "redis+sentinel://:hunter2@h:1/main",
            "unix:///run/redis.sock?user=u&pass=hunter2",
        ] {
            let url = RedisUrl::parse(url).unwrap();
            assert!(!format!("{url} {url:?}").contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn sentinel_names_its_service_and_database() {
        let url = RedisUrl::parse("redis+sentinel://ana:p%40ss@a:1,[::1]:2/main/4").unwrap();
        let Place::Sentinel { sentinels, service, settings, .. } = url.place else { panic!("not Sentinel") };
        assert_eq!((sentinels.len(), &*service, settings.db()), (2, "main", 4));
        assert_eq!((settings.username(), settings.password()), (Some("ana"), Some("p@ss")));
        assert!(RedisUrl::parse("redis+sentinel://a:1").is_err());
    }

    #[test]
    fn cluster_nodes_share_the_login() {
        let url = RedisUrl::parse("rediss+cluster://:pw@a:1,b:2").unwrap();
        let Place::Cluster(nodes) = url.place else { panic!("not a cluster") };
        assert!(nodes.iter().all(|node| node.redis_settings().password() == Some("pw")));
        assert_eq!(nodes.len(), 2);
    }

    #[test]
    fn what_is_no_address_is_told() {
        for text in ["", "h:1", "http://h", "redis+cluster://h", "redis+cluster://:1x@h:z", "redis+sentinel://h:1/s/x"]
        {
            assert!(RedisUrl::parse(text).is_err(), "{text}");
        }
    }
}
