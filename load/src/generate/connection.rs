//! One connection to the engine: a request, its answer, the next.

use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Shared;
use super::payload::Payload;
use crate::clock;
use crate::latency::record;
use crate::plan::{Plan, Refused};
use crate::wire::Answer;

/// A request that takes longer has failed, and with it the run.
const PATIENCE: Duration = Duration::from_mins(1);
const BACK_OFF: Duration = Duration::from_millis(50);
const ACCEPTED: u16 = 202;

pub(super) async fn run(shared: Rc<Shared>) {
    let Plan { batch, body_bytes, chats, ids, .. } = shared.plan;
    let mut payload = Payload::new(batch, body_bytes, chats, ids);
    let mut line = Line { stream: None, buffer: vec![0; 16 << 10], end: 0 };
    let mut head = String::new();
    while let Some(turn) = shared.source.turn(batch as u64).await {
        let (instance, first) = shared.assign();
        payload.fill(instance, first, turn.intended, turn.measured);
        write_head(&mut head, &shared.plan, instance, payload.bytes.len());
        let answer = tokio::time::timeout(PATIENCE, line.exchange(&shared.plan, head.as_bytes(), &payload.bytes));
        let status = match answer.await {
            Ok(Ok(status)) => status,
            failed => {
                line.stream = None;
                fail(
                    &shared,
                    match failed {
                        Ok(Err(error)) => format!("{error:#}"),
                        _ => format!("no answer within {PATIENCE:?}"),
                    },
                );
                tokio::time::sleep(BACK_OFF).await;
                continue;
            }
        };
        if status == ACCEPTED {
            if turn.measured {
                record(&mut shared.accept.borrow_mut(), turn.intended, clock::now());
            }
            continue;
        }
        shared.source.refused(batch as u64);
        shared.outcome.borrow_mut().refused.push(Refused { instance, first, count: batch as u64, status });
        if !matches!(status, 429 | 503) {
            fail(&shared, format!("the engine answered {status}"));
        }
        if shared.source.backs_off() {
            tokio::time::sleep(BACK_OFF).await;
        }
    }
}

fn fail(shared: &Shared, error: String) {
    let mut outcome = shared.outcome.borrow_mut();
    outcome.errors += 1;
    outcome.first_error.get_or_insert(error);
}

fn write_head(head: &mut String, plan: &Plan, instance: usize, body_bytes: usize) {
    head.clear();
    for piece in [
        "POST /api/v2/instance/",
        &plan.instances[instance],
        "/events HTTP/1.1\r\nhost: engine\r\nauthorization: Bearer ",
        &plan.token,
        "\r\ncontent-type: application/json\r\ncontent-length: ",
        &body_bytes.to_string(),
        "\r\n\r\n",
    ] {
        head.push_str(piece);
    }
}

struct Line {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    end: usize,
}

impl Line {
    /// The status of the answer, after all of it.
    async fn exchange(&mut self, plan: &Plan, head: &[u8], body: &[u8]) -> anyhow::Result<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(plan.engine).await.context("connecting to the engine")?;
                stream.set_nodelay(true)?;
                self.end = 0;
                none.insert(stream)
            }
        };
        let both = [IoSlice::new(head), IoSlice::new(body)];
        let written = stream.write_vectored(&both).await.context("sending")?;
        stream.write_all(&head[written.min(head.len())..]).await.context("sending")?;
        stream.write_all(&body[written.saturating_sub(head.len())..]).await.context("sending")?;
        loop {
            let count = stream.read(&mut self.buffer[self.end..]).await.context("reading the answer")?;
            ensure!(count > 0, "the engine closed the connection");
            self.end += count;
            if let Some(answer) = Answer::parse(&self.buffer[..self.end])? {
                if self.end >= answer.total_bytes() {
                    self.buffer.copy_within(answer.total_bytes()..self.end, 0);
                    self.end -= answer.total_bytes();
                    return Ok(answer.status);
                }
                if answer.total_bytes() > self.buffer.len() {
                    self.buffer.resize(answer.total_bytes(), 0);
                }
            }
        }
    }
}
