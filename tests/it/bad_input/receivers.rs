//! Receivers that may not be reached, and headers that may not be sent to them.

use std::time::Duration;

use serde_json::json;

use super::{World, refusal};
use crate::support::api::text;
use crate::support::deadline::until_true;
use crate::support::pombo::Setup;

#[tokio::test]
async fn receivers_that_are_not_https_or_not_public_are_refused_in_every_spelling() {
    let setup = Setup::default().set("POMBO_ALLOW_HTTP", "false").set("POMBO_ALLOW_TARGETS", "");
    let pombo = setup.start().await;
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let path = format!("/api/v2/instance/{instance}/webhook");
    for (url, wanted) in [
        ("http://example.com/", "https"),
        ("HTTP://example.com/", "https"),
        ("ftp://example.com/", "https"),
        ("file:///etc/passwd", "https"),
        ("javascript:alert(1)", "https"),
        ("//example.com", "https"),
        ("example.com", "https"),
        ("https://", "host"),
        ("https://user:pass@example.com/", "user name"),
        ("https://127.0.0.1/", "not public"),
        ("https://127.1/", "not public"),
        ("https://2130706433/", "not public"),
        ("https://0x7f000001/", "not public"),
        ("https://0177.0.0.1/", "not public"),
        ("https://%31%32%37.0.0.1/", "not public"),
        ("https://①②⑦.0.0.1/", "not public"),
        ("https://10.0.0.8/", "not public"),
        ("https://172.16.3.4/", "not public"),
        ("https://192.168.1.1:8443/x", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://100.64.0.1/", "not public"),
        ("https://0.0.0.0/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://[::ffff:7f00:1]/", "not public"),
        ("https://[fd00::1]/", "not public"),
        ("https://[fe80::1]/", "not public"),
        ("https://[64:ff9b::7f00:1]/", "not public"),
        ("https://localhost/", "loopback"),
        ("https://LOCALHOST./", "loopback"),
        ("https://a.localhost/", "loopback"),
        ("https://metadata.google.internal/", "internal"),
    ] {
        let body = json!({ "name": "n", "url": url }).to_string();
        let messages = refusal(&api.send("POST", &path, "application/json", body).await.unwrap(), 400);
        assert!(messages.len() == 1 && messages[0].starts_with("url "), "{url}: {messages:?}");
        assert!(messages[0].contains(wanted), "{url}: {wanted:?} in {messages:?}");
    }
    assert_eq!(api.get(&path).await, json!([]));
    let fine = json!({ "name": "n", "url": "https://example.com/hook?a=b#fragment" });
    let made = api.call("POST", &path, &fine).await;
    // PUT is no way around it.
    let path = format!("{path}/{}", text(&made, "webhookId"));
    let body = json!({ "name": "n", "url": "https://192.168.0.1/" }).to_string();
    refusal(&api.send("PUT", &path, "application/json", body).await.unwrap(), 400);
    assert_eq!(api.get(&path).await["url"], made["url"]);
}

#[tokio::test]
async fn custom_headers_cannot_break_out_of_their_line_or_take_ours() {
    let mut world = World::new().await;
    let path = format!("/api/v2/instance/{}/webhook", world.instance);
    for (name, value) in [
        ("x-a", "b\r\nx-evil: 1"),
        ("x-a", "b\nc"),
        ("x-a", "b\u{0}c"),
        ("x-a\r\nx-evil", "1"),
        ("x a", "1"),
        ("x:a", "1"),
        ("", "1"),
        ("é", "1"),
        ("Host", "evil.example"),
        ("content-length", "0"),
        ("Content-Type", "text/html"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("webhook-signature", "v1,forged"),
        ("Webhook-Id", "forged"),
        ("webhook-timestamp", "0"),
        ("x-instanceId", "other"),
    ] {
        let body = json!({ "name": "n", "url": "https://example.com/", "headers": { name: value } }).to_string();
        let messages = refusal(&world.api.send("POST", &path, "application/json", body).await.unwrap(), 400);
        assert!(messages[0].starts_with("headers"), "{name:?}: {messages:?}");
        assert!(!messages[0].contains('\r') && !messages[0].contains('\n'), "{messages:?}");
    }
    assert_eq!(world.api.get(&path).await.as_array().map(Vec::len), Some(1));
    let url = world.inbox.url("/headers");
    world.api.webhook(&world.instance, &url, &json!({ "headers": { "X-Api-Key": "k: v, w" } })).await;
    world.api.event(&world.instance, "messages.upsert", None, &json!({})).await;
    until_true("it arrives with the header", Duration::from_secs(10), async || {
        let receipts = world.inbox.receipts();
        let found = receipts.iter().find(|receipt| &*receipt.path == "/headers");
        (found.is_some_and(|receipt| receipt.headers["x-api-key"] == "k: v, w"), receipts.len())
    })
    .await;
}
