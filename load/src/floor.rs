//! What this machine does at best: the same requests, no engine.
//!
//! - *raw*: one thread writes prebuilt requests to blocking keep-alive sockets and reads the answers' heads.
//! - *hyper*: one thread with a task a connection, `hyper::client::conn::http1`; over TLS if asked.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::marker;
use crate::processes::Receiver;
use crate::receive::{Behaviour, Progress};
use crate::temporary::TemporaryFolder;
use crate::wire::Answer;

#[derive(Args, Clone, Debug)]
pub struct FloorArgs {
    /// Of a delivered body
    #[arg(long, default_value_t = 600)]
    pub body_bytes: usize,
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Seconds for each sender
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// TLS for the hyper sender
    #[arg(long)]
    pub tls: bool,
}

/// One sender against one receiver.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub rate: f64,
    pub sender_us: f64,
    pub receiver_us: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Floor {
    pub raw: Figures,
    pub hyper: Figures,
    pub body_bytes: usize,
    pub tls: bool,
}

/// # Errors
/// When the receiver cannot be started or reached.
pub fn run(args: &FloorArgs) -> anyhow::Result<ExitCode> {
    let floor = measure(args)?;
    println!("{:<8}{:>12}{:>20}{:>22}", "sender", "POST/s", "sender µs/POST", "receiver µs/POST");
    for (name, figures) in [("raw", floor.raw), (if args.tls { "hyper+tls" } else { "hyper" }, floor.hyper)] {
        println!("{name:<8}{:>12.0}{:>20.2}{:>22.2}", figures.rate, figures.sender_us, figures.receiver_us);
    }
    Ok(ExitCode::SUCCESS)
}

/// Both senders, one after the other, against a receiver each.
pub fn measure(args: &FloorArgs) -> anyhow::Result<Floor> {
    let folder = TemporaryFolder::make(None)?;
    let certificate = folder.path().join("ca.pem");
    let raw = against_receiver(None, |addr| raw(addr, args))?;
    let tls = args.tls.then_some(certificate.as_path());
    let hyper = against_receiver(tls, |addr| hyper(addr, args, tls))?;
    Ok(Floor { raw, hyper, body_bytes: args.body_bytes, tls: args.tls })
}

/// `send` answers how many requests it made, in which time and with how much CPU.
fn against_receiver(
    tls: Option<&Path>,
    send: impl FnOnce(SocketAddr) -> anyhow::Result<(u64, Duration, Duration)>,
) -> anyhow::Result<Figures> {
    let receiver = Receiver::start(&[Behaviour::Receive], false, tls)?;
    let before = receiver.process.usage()?;
    let (requests, took, cpu) = send(receiver.addresses.deliveries)?;
    let used = receiver.process.usage()?.since(&before);
    let arrived = receiver.ask::<Progress>("/progress", &Value::Null)?.requests;
    ensure!(requests > 0 && arrived == requests, "{requests} requests were answered, {arrived} arrived");
    Ok(Figures {
        rate: requests as f64 / took.as_secs_f64(),
        sender_us: cpu.as_secs_f64() * 1e6 / requests as f64,
        receiver_us: used.cpu_us() as f64 / requests as f64,
    })
}

/// A delivery's body: of the size asked for, with a marker at its end.
fn body(bytes: usize) -> Vec<u8> {
    let end = [b"\",".as_slice(), marker::FIELD, marker::EMPTY.as_bytes(), b"\"}}"].concat();
    let mut body = b"{\"event\":\"messages.upsert\",\"data\":{\"text\":\"".to_vec();
    body.resize(bytes.saturating_sub(end.len()).max(body.len()), b'a');
    body.extend_from_slice(&end);
    body
}

/// The headers the engine sends with each delivery, as long as the real ones.
const HEADERS: [(&str, &str); 8] = [
    ("content-type", "application/json"),
    ("user-agent", "Pombo/0.1.0"),
    ("webhook-id", "evt_01JZ0000000000000000000000"),
    ("webhook-timestamp", "1700000000"),
    ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ("x-businessid", "00000000-0000-4000-8000-000000000000"),
    ("x-instanceid", "load-0"),
    ("x-webhook-attempt", "1"),
];

fn raw(addr: SocketAddr, args: &FloorArgs) -> anyhow::Result<(u64, Duration, Duration)> {
    let body = body(args.body_bytes);
    let mut request = format!("POST /c0/w0 HTTP/1.1\r\nhost: {addr}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in HEADERS {
        write!(request, "{name}: {value}\r\n").expect("a String takes everything");
    }
    let request = [request.as_bytes(), b"\r\n", &body].concat();
    let connect = |_| {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut streams = (0..args.connections).map(connect).collect::<std::io::Result<Vec<_>>>()?;
    let mut buffer = vec![0; 4 << 10];
    let (begun, cpu, mut requests) = (Instant::now(), clock::thread_cpu(), 0);
    while begun.elapsed().as_secs_f64() < args.seconds {
        for stream in &mut streams {
            stream.write_all(&request)?;
        }
        for stream in &mut streams {
            let mut end = 0;
            loop {
                let count = stream.read(&mut buffer[end..])?;
                ensure!(count > 0, "the receiver closed the connection");
                end += count;
                if Answer::parse(&buffer[..end])?.is_some_and(|answer| answer.total_bytes() <= end) {
                    break;
                }
            }
            requests += 1;
        }
    }
    Ok((requests, begun.elapsed(), clock::thread_cpu().saturating_sub(cpu)))
}

fn hyper(addr: SocketAddr, args: &FloorArgs, certificate: Option<&Path>) -> anyhow::Result<(u64, Duration, Duration)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let body = Bytes::from(body(args.body_bytes));
    let tls = certificate.map(|file| connector(&file.to_owned())).transpose()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let until = Instant::now() + Duration::from_secs_f64(args.seconds);
        let (begun, cpu) = (Instant::now(), clock::thread_cpu());
        let mut tasks = Vec::new();
        for _ in 0..args.connections {
            let (body, tls) = (body.clone(), tls.clone());
            tasks.push(tokio::task::spawn_local(async move {
                let stream = tokio::net::TcpStream::connect(addr).await?;
                stream.set_nodelay(true)?;
                match tls {
                    None => send_until(stream, addr, body, until).await,
                    Some(tls) => {
                        let stream = tls.connect(ServerName::IpAddress(addr.ip().into()), stream).await?;
                        send_until(stream, addr, body, until).await
                    }
                }
            }));
        }
        let mut requests = 0;
        for task in tasks {
            requests += task.await??;
        }
        Ok((requests, begun.elapsed(), clock::thread_cpu().saturating_sub(cpu)))
    })
}

async fn send_until(
    io: impl AsyncRead + AsyncWrite + Unpin + 'static,
    addr: SocketAddr,
    body: Bytes,
    until: Instant,
) -> anyhow::Result<u64> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let driver = tokio::task::spawn_local(connection);
    let mut requests = 0;
    while Instant::now() < until {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(Uri::from_static("/c0/w0"))
            .header(header::HOST, addr.to_string());
        for (name, value) in HEADERS {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Full::new(body.clone()))?).await?;
        ensure!(answer.status().is_success(), "the receiver answered {}", answer.status());
        answer.into_body().collect().await?;
        requests += 1;
    }
    driver.abort();
    Ok(requests)
}

fn connector(certificate: &PathBuf) -> anyhow::Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).context("the receiver's certificate")?)?;
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_sends_bodies_of_the_size_asked_for_that_a_receiver_recognises() {
        let body = body(600);
        assert_eq!(body.len(), 600);
        assert!(marker::Marker::find(&body).is_some());
        serde_json::from_slice::<serde_json::Value>(&body).expect("JSON");
    }
}
