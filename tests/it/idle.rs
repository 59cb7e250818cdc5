//! What nodes without work cost Redis.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::deadline::until_true;
use crate::support::redis::Redis;

const MEASURED: Duration = Duration::from_secs(20);
/// A second, of one node.
const ALLOWED: f64 = 5.0;

/// The names of the commands that clients send meanwhile; what scripts run within themselves is not among them.
fn monitor(socket: &str, during: Duration) -> BTreeMap<String, u32> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.write_all(b"MONITOR\r\n").unwrap();
    let (mut lines, mut line, mut seen) = (BufReader::new(stream), String::new(), BTreeMap::new());
    let until = Instant::now() + during;
    while Instant::now() < until {
        // A line may come in two parts: what was read of it stays.
        match lines.read_line(&mut line) {
            Ok(0) => panic!("Redis has hung up"),
            Ok(_) => {}
            Err(_) => continue,
        }
        if let Some((client, command)) = line.split_once("] \"")
            && !client.ends_with(" lua")
        {
            let name = command.split('"').next().unwrap_or_default();
            *seen.entry(name.to_owned()).or_default() += 1;
        }
        line.clear();
    }
    seen
}

#[tokio::test]
async fn an_idle_node_sends_fewer_than_five_commands_a_second() {
    let redis = Redis::start(&[]).await;
    let (mut first, mut second) = (redis.node().await, redis.node().await);
    first.api().tenant("shop").await;
    until_true("the shards are divided", Duration::from_secs(30), async || {
        let shown = first.stderr() + &second.stderr();
        (shown.matches("shards have moved").count() >= 2, shown)
    })
    .await;
    let socket = redis.url().trim_start_matches("unix://").to_owned();
    let seen = tokio::task::spawn_blocking(move || monitor(&socket, MEASURED)).await.unwrap();
    let each = f64::from(seen.values().sum::<u32>()) / MEASURED.as_secs_f64() / 2.0;
    eprintln!("{each:.2} commands a second of an idle node: {seen:?}");
    assert!(each < ALLOWED, "{each:.2} a second: {seen:?}");
    assert!(each > 0.0, "they tell that they live");
    assert!(first.terminate().await.success() && second.terminate().await.success());
}
