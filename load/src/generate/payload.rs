//! A request's body, made once; before each use only its numbers are written anew.

use std::fmt::Write as _;

use crate::marker::{self, Marker};

const MESSAGE: &str = "\"messageId\":\"load-";
const JID: &str = "\"keyRemoteJid\":\"5511";
const ID: &str = "{\"id\":\"load-";

/// Where an event's numbers stand.
struct Spots {
    id: Option<usize>,
    message: usize,
    jid: usize,
    marker: usize,
}

pub struct Payload {
    pub bytes: Vec<u8>,
    events: Vec<Spots>,
    chats: u32,
}

impl Payload {
    /// `batch` events of about `event_bytes` each, one of them as an object, more as an array.
    pub fn new(batch: usize, event_bytes: usize, chats: u32, ids: bool) -> Self {
        let event = event(event_bytes, ids);
        let mut bytes = Vec::new();
        let mut events = Vec::with_capacity(batch);
        for index in 0..batch {
            if batch > 1 {
                bytes.push(if index == 0 { b'[' } else { b',' });
            }
            let base = bytes.len();
            let after = |mark: &str| event.find(mark).map(|at| base + at + mark.len());
            let marker = std::str::from_utf8(marker::FIELD).expect("ASCII");
            events.push(Spots {
                id: after(ID),
                message: after(MESSAGE).expect("every event has a message"),
                jid: after(JID).expect("every event has a chat"),
                marker: after(marker).expect("every event has a marker"),
            });
            bytes.extend_from_slice(event.as_bytes());
        }
        if batch > 1 {
            bytes.push(b']');
        }
        Self { bytes, events, chats: chats.max(1) }
    }

    /// Numbers from `first` on; `instance` makes ids differ between instances.
    pub fn fill(&mut self, instance: usize, first: u64, intended: u64, measured: bool) {
        for (number, spots) in (first..).zip(&self.events) {
            let chat = (number % u64::from(self.chats)) as u32;
            let mut put = |at: usize, width: usize, value: u64| marker::put(&mut self.bytes[at..at + width], value);
            if let Some(at) = spots.id {
                put(at, 6, instance as u64);
                put(at + 7, 10, number);
            }
            put(spots.message, 10, number);
            put(spots.jid, 5, chat.into());
            let marker = Marker { measured, chat, number, intended };
            marker.write(&mut self.bytes[spots.marker..spots.marker + marker::BYTES]);
        }
    }
}

/// A text message as a gateway hands it in, padded in its text.
fn event(event_bytes: usize, ids: bool) -> String {
    let id = if ids { "\"id\":\"load-000000-0000000000\"," } else { "" };
    let marker = std::str::from_utf8(marker::FIELD).expect("ASCII");
    let mut end = String::new();
    write!(end, "\"}},\"source\":\"android\",\"messageTimestamp\":1713103865,{marker}{}\"}}}}", marker::EMPTY)
        .expect("a String takes everything");
    let mut event = format!(
        "{{{id}\"event\":\"messages.upsert\",\"data\":{{{MESSAGE}0000000000\",\"keyId\":\"3EB0C431C26A1916E07A\",\
         \"keyFromMe\":false,{JID}000009999@s.whatsapp.net\",\"pushName\":\"Ana\",\"contentType\":\"conversation\",\
         \"content\":{{\"text\":\""
    );
    let words = "pombo-correio leva a mensagem ";
    let room = event_bytes.saturating_sub(event.len() + end.len());
    event.extend(words.chars().cycle().take(room));
    event + &end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_batch_is_json_of_the_size_asked_for_with_its_numbers() {
        let mut payload = Payload::new(3, 600, 2, true);
        assert_eq!(payload.bytes.len(), 3 * 600 + 4);
        payload.fill(7, 41, 123, true);
        let events: Vec<serde_json::Value> = serde_json::from_slice(&payload.bytes).expect("JSON");
        assert_eq!(events[1]["id"], "load-000007-0000000042");
        assert_eq!(events[1]["data"]["messageId"], "load-0000000042");
        assert_eq!(events[2]["data"]["keyRemoteJid"], "5511000019999@s.whatsapp.net");
        let found = Marker::find(&payload.bytes).expect("the marker of the last event");
        assert_eq!((found.number, found.chat, found.intended, found.measured), (43, 1, 123, true));
    }

    #[test]
    fn one_event_is_an_object() {
        let payload = Payload::new(1, 600, 1, false);
        assert_eq!((payload.bytes.len(), payload.bytes[0]), (600, b'{'));
    }
}
