//! One or two lines for each event that a person can read while they scroll by.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use super::receipt::Receipt;
use super::verify::Signature;
use crate::commands::paint::Paint;
use crate::domain::EventId;

/// Longest text of a message shown.
const TEXT_CHARS: usize = 80;

/// What is worth showing of any of the body formats.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub kind: String,
    pub instance: Option<String>,
    pub chat: Option<String>,
    pub text: Option<String>,
}

/// The fields of all formats in one; what a format lacks stays empty.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    event: Option<String>,
    r#type: Option<String>,
    instance: Value,
    subject: Option<String>,
    instance_name: Option<String>,
    number: Option<String>,
    message: Value,
    message_sent: Option<String>,
    whatsapp_status: Value,
    data: Value,
}

impl Summary {
    pub fn read(body: &[u8]) -> Self {
        // A derived struct would also take an array.
        let object = body.trim_ascii_start().starts_with(b"{");
        let Some(body) = object.then(|| serde_json::from_slice::<Body>(body).ok()).flatten() else {
            return Self { kind: "(not a JSON object)".to_owned(), ..Self::default() };
        };
        let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        // Arrays (history, contacts, chats) are summed up by their first entry.
        let first = body.data.get(0).unwrap_or(&body.data);
        let chat = ["/keyRemoteJid", "/remoteJid", "/chatId", "/id"].iter().find_map(|path| text(first, path));
        let message = ["/content/text", "/content/caption", "/status", "/state", "/action", "/subject", "/pushName"];
        let kind = body.event.or(body.r#type).or_else(|| text(&body.whatsapp_status, "/message"));
        Self {
            kind: kind.unwrap_or_else(|| "(no kind)".to_owned()),
            instance: text(&body.instance, "/name")
                .or_else(|| text(&body.instance, "/instanceId"))
                .or_else(|| body.instance.as_str().map(str::to_owned))
                .or(body.instance_name)
                .or(body.subject),
            chat: chat.or(body.number),
            text: body
                .message_sent
                .or_else(|| body.message.as_str().map(str::to_owned))
                .or_else(|| message.iter().find_map(|path| text(first, path))),
        }
    }
}

/// The lines of a request, without a line break at the end.
pub fn lines(receipt: &Receipt, paint: Paint) -> String {
    let summary = Summary::read(&receipt.body);
    let clock = receipt.at.to_rfc3339();
    let mut line = format!("{} {}", paint.faint(clock.get(11..23).unwrap_or(&clock)), paint.strong(&summary.kind));
    for part in [&summary.instance, &summary.chat].into_iter().flatten() {
        let _ = write!(line, "  {part}");
    }
    let status = if receipt.is_taken() { paint.good(receipt.status) } else { paint.bad(receipt.status) };
    let _ = write!(line, "  → {status}  {}", signature(receipt.signature, paint));
    if receipt.attempt > 1 {
        let _ = write!(line, "  {}", paint.warn(format_args!("attempt {}", receipt.attempt)));
    }
    if let Some(age) = age(receipt) {
        let _ = write!(line, "  {}", paint.faint(age));
    }
    if let Some(text) = &summary.text {
        let short: String = text.chars().take(TEXT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let dots = if text.chars().nth(TEXT_CHARS).is_some() { "…" } else { "" };
        let _ = write!(line, "\n             {short}{dots}");
    }
    line
}

fn signature(signature: Signature, paint: Paint) -> String {
    match signature {
        Signature::Valid => paint.good("signed ✓"),
        Signature::Unchecked => paint.faint("unchecked"),
        bad => paint.bad(format_args!("signature {}", bad.as_str())),
    }
}

/// Ours since the acceptance, which the id tells to the millisecond; others' since the timestamp, in seconds.
fn age(receipt: &Receipt) -> Option<String> {
    if let Ok(id) = receipt.webhook_id.parse::<EventId>() {
        return Some(format!("{} ms after acceptance", receipt.at.since(id.timestamp()).as_millis()));
    }
    let sent = receipt.sent_at_seconds?;
    Some(format!("{} s after its timestamp", receipt.at.seconds().saturating_sub(sent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_summed_up() {
        let of = |body: &str| Summary::read(body.as_bytes());
        let codechat = r#"{"event":"messages.upsert","instance":{"name":"shop"},"data":{"keyRemoteJid":"5@s","content":{"text":"oi"}}}"#;
        let some = |text: &str| Some(text.to_owned());
        let expected =
            Summary { kind: "messages.upsert".into(), instance: some("shop"), chat: some("5@s"), text: some("oi") };
        assert_eq!(of(codechat), expected);
        let legacy = r#"{"messageId":"1","message":"oi","number":"55","instanceName":"shop","whatsappStatus":{"message":"Received"}}"#;
        assert_eq!(
            of(legacy),
            Summary { kind: "Received".into(), instance: some("shop"), chat: some("55"), text: some("oi") }
        );
        let cloud = r#"{"specversion":"1.0","type":"chats.set","data":[{"remoteJid":"5@s"}]}"#;
        assert_eq!(of(cloud).chat, some("5@s"));
        assert_eq!(of("[]").kind, "(not a JSON object)");
    }

    #[test]
    fn text_of_a_stranger_cannot_drive_the_terminal() {
        let receipt = Receipt {
            number: 1,
            path: "/".into(),
            webhook_id: "x".into(),
            attempt: 2,
            sent_at_seconds: Some(0),
            at: crate::domain::Timestamp::from_millis(5_000),
            status: 500,
            signature: Signature::Wrong,
            headers: http::HeaderMap::new(),
            body: r#"{"event":"e","data":{"content":{"text":"a\u001b[2Jb"}}}"#.into(),
        };
        let lines = lines(&receipt, Paint { colour: false });
        assert!(!lines.contains('\u{1b}'), "{lines:?}");
        for part in ["500", "signature wrong", "attempt 2", "5 s after"] {
            assert!(lines.contains(part), "{part} is missing in {lines}");
        }
    }
}
