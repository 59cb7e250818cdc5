//! All receivers of a run, in one process on one thread: as cheap as a receiver can be, and with a ledger of every delivery.
//!
//! A webhook's path tells how it behaves and which one it is: `/c<class>/w<index>`. Beside the port of the deliveries
//! there is one for control: `GET /progress`, `POST /verify`, `GET /report`.

mod behaviour;
mod control;
mod ledger;
mod serve;

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use self::behaviour::Behaviour;
pub use self::control::{Expected, Progress, Report, Verdict};
use self::ledger::Ledger;
pub use self::serve::Inbox;

#[derive(Args, Debug)]
pub struct ReceiveArgs {
    /// Behaviour of each class, a JSON array; all receive if absent
    #[arg(long, default_value = "[\"receive\"]")]
    pub classes: String,
    /// Look at the order within each chat
    #[arg(long)]
    pub ordered: bool,
    /// Serve TLS and write the certificate, PEM, to this file
    #[arg(long)]
    pub tls: Option<PathBuf>,
}

/// Deliveries are taken on so many addresses of this machine, from 127.0.0.1 on: to one address and port there are only some 28 000
/// ports to connect from, and the system takes long to find the last ones.
pub const HOSTS: u8 = 8;

/// Where it listens: the one line it prints.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Addresses {
    pub deliveries: SocketAddr,
    pub control: SocketAddr,
}

/// # Errors
/// When it cannot listen.
pub fn run(args: &ReceiveArgs) -> anyhow::Result<ExitCode> {
    let classes: Vec<Behaviour> = serde_json::from_str(&args.classes).context("--classes")?;
    let tls = args.tls.as_deref().map(tls_acceptor).transpose()?;
    end_with_the_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let ledger = Rc::new(RefCell::new(Ledger::new(classes.len(), args.ordered)));
        let deliveries = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut others = Vec::new();
        for host in 2..=HOSTS {
            others.push(TcpListener::bind((host_of(host), deliveries.local_addr()?.port())).await?);
        }
        let control = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addresses = Addresses { deliveries: deliveries.local_addr()?, control: control.local_addr()? };
        println!("{}", serde_json::to_string(&addresses)?);
        std::io::stdout().flush()?;
        tokio::task::spawn_local(control::listen(control, Rc::clone(&ledger)));
        let classes: Rc<[Behaviour]> = classes.into();
        for listener in others {
            tokio::task::spawn_local(take(listener, Rc::clone(&classes), Rc::clone(&ledger), tls.clone()));
        }
        take(deliveries, classes, ledger, tls).await
    })
}

/// One of the machine's own addresses, the first being 127.0.0.1.
pub const fn host_of(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, number)
}

async fn take(
    listener: TcpListener,
    classes: Rc<[Behaviour]>,
    ledger: Rc<RefCell<Ledger>>,
    tls: Option<TlsAcceptor>,
) -> anyhow::Result<ExitCode> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (classes, ledger, tls) = (Rc::clone(&classes), Rc::clone(&ledger), tls.clone());
        tokio::task::spawn_local(async move {
            // A sender that goes away or speaks nonsense ends its connection, nothing else: the ledger tells what is missing.
            let _ended = match tls {
                None => serve::serve(stream, &classes, &ledger).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve::serve(stream, &classes, &ledger).await,
                    Err(error) => Err(error.into()),
                },
            };
        });
    }
}

/// A receiver whose `run` was killed must not stay behind: its standard input then ends.
#[expect(clippy::disallowed_methods, reason = "nobody is left who waits for an orderly end")]
fn end_with_the_parent() {
    std::thread::spawn(|| {
        let mut nothing = [0; 64];
        while std::io::stdin().read(&mut nothing).is_ok_and(|count| count > 0) {}
        std::process::exit(0);
    });
}

fn tls_acceptor(certificate: &Path) -> anyhow::Result<TlsAcceptor> {
    let made =
        rcgen::generate_simple_self_signed((1..=HOSTS).map(|host| host_of(host).to_string()).collect::<Vec<_>>())?;
    std::fs::write(certificate, made.cert.pem()).with_context(|| certificate.display().to_string())?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
