//! A blocking HTTP/1.1 client for everything that is not measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::wire::Answer;

const PATIENCE: Duration = Duration::from_mins(1);

/// One keep-alive connection.
pub struct Client {
    addr: SocketAddr,
    authorization: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    /// `token` may be empty: the receivers want none.
    pub fn connect(addr: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
        Ok(Self { addr, authorization, stream, buffer: Vec::new() })
    }

    /// Status and body.
    pub fn send(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.addr,
            self.authorization,
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        self.buffer.clear();
        loop {
            if let Some(answer) = Answer::parse(&self.buffer)?
                && self.buffer.len() >= answer.total_bytes()
            {
                return Ok((answer.status, self.buffer[answer.head_bytes..answer.total_bytes()].to_vec()));
            }
            let mut piece = [0; 16 << 10];
            match self.stream.read(&mut piece).with_context(|| format!("{method} {path}"))? {
                0 => bail!("{method} {path}: the connection was closed"),
                count => self.buffer.extend_from_slice(&piece[..count]),
            }
        }
    }

    /// # Errors
    /// Also when the answer is not 2xx, with what it says.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, path: &str, body: &Value) -> anyhow::Result<T> {
        let sent = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, answer) = self.send(method, path, &sent)?;
        if !(200..300).contains(&status) {
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
        }
        serde_json::from_slice(&answer).with_context(|| format!("the answer to {method} {path}"))
    }
}
