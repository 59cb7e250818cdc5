//! Order on request (P4): within a key never a later event before an earlier one has ended, and no key waits for another.

use std::collections::BTreeMap;
use std::time::Duration;

use pombo::commands::listen::{Receipt, Script};
use serde_json::{Value, json};

use crate::support::api::{Api, Hook};
use crate::support::deadline::until_true;
use crate::support::pombo::Pombo;
use crate::support::receiver::Inbox;
use crate::support::scripted::{Call, Reply, Scripted};

const SOON: Duration = Duration::from_mins(1);

/// A receiver that fails one request in five, always the same ones.
fn failing() -> Script {
    Script { fail_rate: 0.2, ..Script::default() }
}

/// Retries at once, so often that nothing dies.
fn at_once(ordering: &str) -> Value {
    json!({ "ordering": ordering, "retry": { "scheduleSeconds": vec![0; 32] }, "concurrency": 32 })
}

fn message(chat: &str, number: usize) -> Value {
    json!({ "messageId": format!("{chat}-{number}"), "keyRemoteJid": chat, "content": { "text": number } })
}

async fn until_delivered(api: &mut Api, hook: &Hook) {
    until_true("all is delivered", SOON, async || {
        let left = api.unfinished(hook).await;
        (left == 0, left)
    })
    .await;
    assert_eq!(api.deliveries(hook, "dead").await, Vec::<Value>::new());
}

/// Checks that in each key every event was taken before the next one came at all, failed attempts included.
fn assert_ordered(receipts: &[Receipt], key_and_place: impl Fn(&Value) -> (String, u64)) -> BTreeMap<String, u64> {
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for receipt in receipts {
        let body: Value = serde_json::from_slice(&receipt.body).unwrap();
        let (key, place) = key_and_place(&body);
        let expected = next.entry(key.clone()).or_default();
        assert_eq!(place, *expected, "{key}: attempt {} came out of order", receipt.attempt);
        *expected += u64::from(receipt.is_taken());
    }
    next
}

#[tokio::test]
async fn fifty_interleaved_chats_each_keep_their_order_through_failures() {
    const CHATS: usize = 50;
    const EACH: usize = 12;
    let (pombo, inbox) = (Pombo::new().await, Inbox::with(failing()).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &at_once("chat")).await;
    for number in 0..EACH {
        let line = |chat: usize| {
            let data = message(&format!("55{chat:02}@s.whatsapp.net"), number);
            json!({ "event": "messages.upsert", "data": data }).to_string()
        };
        // Another order of the chats each time.
        let lines: Vec<_> = (0..CHATS).map(|place| line((place * 7 + number * 13) % CHATS)).collect();
        api.events(&instance, lines.join("\n")).await;
    }
    until_delivered(&mut api, &hook).await;
    let receipts = inbox.receipts();
    let ends = assert_ordered(&receipts, |body| {
        let data = &body["data"];
        (data["keyRemoteJid"].as_str().unwrap().to_owned(), data["content"]["text"].as_u64().unwrap())
    });
    assert_eq!(ends.len(), CHATS);
    assert!(ends.values().all(|taken| *taken == EACH as u64), "{ends:?}");
    assert!(receipts.len() > CHATS * EACH * 11 / 10, "the receiver did fail: {}", receipts.len());
}

#[tokio::test]
async fn a_chat_that_waits_for_its_retry_holds_only_itself() {
    let script = |call: &Call| {
        let first_of_slow = call.json()["data"]["messageId"] == "slow-0" && call.attempt == 1;
        Reply::status(if first_of_slow { 500 } else { 200 })
    };
    let (pombo, receiver) = (Pombo::new().await, Scripted::start(script).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let more = json!({ "ordering": "chat", "retry": { "scheduleSeconds": [4] } });
    let hook = api.webhook(&instance, &receiver.url("/hook"), &more).await;
    let chats = ["slow", "slow", "quick", "slow", "quick", "other", "quick"];
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for chat in chats {
        let number = numbers.entry(chat).or_default();
        api.event(&instance, "messages.upsert", None, &message(chat, *number)).await;
        *number += 1;
    }
    until_delivered(&mut api, &hook).await;
    let calls = receiver.calls();
    let came: Vec<_> = calls.iter().map(|call| call.json()["data"]["messageId"].as_str().unwrap().to_owned()).collect();
    let place = |id: &str| came.iter().rposition(|came| came == id).unwrap_or_else(|| panic!("{id} in {came:?}"));
    for quick in ["quick-0", "quick-1", "quick-2", "other-0"] {
        assert!(place(quick) < place("slow-0"), "{quick} waited: {came:?}");
    }
    assert!(place("slow-0") < place("slow-1") && place("slow-1") < place("slow-2"), "{came:?}");
    let (first, last) = (&calls[came.iter().position(|id| id == "slow-0").unwrap()], &calls[place("slow-0")]);
    assert!(last.at - first.at > Duration::from_secs(3), "it did wait");
    let waited = api.deliveries(&hook, "delivered").await;
    assert!(waited.iter().any(|delivery| delivery["lastAttempt"]["waitedFor"] == "order"), "{waited:?}");
}

#[tokio::test]
async fn an_instance_in_order_sends_one_after_the_other_whatever_the_chat() {
    let (pombo, inbox) = (Pombo::new().await, Inbox::with(failing()).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &at_once("instance")).await;
    let kinds = ["messages.upsert", "send.message", "chats.update", "new.jwt"];
    let line = |number: usize| {
        let mut data = message(&format!("chat-{}", number % 5), number);
        data["place"] = json!(number);
        json!({ "event": kinds[number % kinds.len()], "data": data }).to_string()
    };
    for start in [0, 40, 80] {
        api.events(&instance, (start..start + 40).map(line).collect::<Vec<_>>().join("\n")).await;
    }
    until_delivered(&mut api, &hook).await;
    let ends = assert_ordered(&inbox.receipts(), |body| (String::new(), body["data"]["place"].as_u64().unwrap()));
    assert_eq!(ends[""], 120);
}

#[tokio::test]
async fn the_states_of_a_message_come_after_it_and_in_the_order_they_happened() {
    const MESSAGES: usize = 20;
    let (pombo, inbox) = (Pombo::new().await, Inbox::with(failing()).await);
    let mut api = pombo.api();
    let instance = api.tenant("shop").await;
    let hook = api.webhook(&instance, &inbox.url("/hook"), &at_once("chat")).await;
    let states = ["SERVER_ACK", "DELIVERY_ACK", "READ"];
    // Half of the updates name their chat, the others only their message, as the vendor's do.
    for place in 0..=states.len() {
        let line = |number: usize| {
            let (id, chat) = (format!("M{number}"), format!("55{number}@s.whatsapp.net"));
            let event = match place.checked_sub(1) {
                None => ("send.message", json!({ "messageId": id, "keyRemoteJid": chat })),
                Some(state) if number.is_multiple_of(2) => {
                    let data = json!({ "messageMessageId": id, "status": states[state], "keyRemoteJid": chat });
                    ("messages.update", data)
                }
                Some(state) => ("messages.update", json!({ "messageMessageId": id, "status": states[state] })),
            };
            json!({ "event": event.0, "data": event.1 }).to_string()
        };
        api.events(&instance, (0..MESSAGES).map(line).collect::<Vec<_>>().join("\n")).await;
    }
    until_delivered(&mut api, &hook).await;
    let place = |body: &Value| {
        let data = &body["data"];
        let id = data["messageId"].as_str().or(data["messageMessageId"].as_str()).unwrap().to_owned();
        let state = states.iter().position(|state| data["status"] == *state);
        (id, state.map_or(0, |state| state as u64 + 1))
    };
    let receipts = inbox.receipts();
    let even = |id: &str| id.trim_start_matches('M').parse::<usize>().unwrap() % 2 == 0;
    let (with_chat, without): (Vec<_>, Vec<_>) =
        receipts.into_iter().partition(|receipt| even(&place(&serde_json::from_slice(&receipt.body).unwrap()).0));
    let ends = assert_ordered(&with_chat, place);
    assert!(ends.len() == MESSAGES / 2 && ends.values().all(|taken| *taken == 4), "{ends:?}");
    // Without a chat an update knows its message only: the states are in order among themselves.
    let updates: Vec<_> = without
        .into_iter()
        .filter(|receipt| serde_json::from_slice::<Value>(&receipt.body).unwrap()["event"] == "messages.update")
        .collect();
    let ends = assert_ordered(&updates, |body| {
        let (id, place) = place(body);
        (id, place - 1)
    });
    assert!(ends.len() == MESSAGES / 2 && ends.values().all(|taken| *taken == 3), "{ends:?}");
    for number in 0..MESSAGES {
        let message = api.get(&format!("/api/v2/instance/{instance}/messages/M{number}")).await;
        assert_eq!(message["status"], "READ");
    }
}
