//! What an event carries so that its delivery can be recognised: the last field of its `data`, of fixed width, at a
//! place the receiver finds without parsing JSON.

/// Number, chat and intended send time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Whether its latency counts: not during the warm-up.
    pub measured: bool,
    pub chat: u32,
    /// Counts up from 0 for each instance.
    pub number: u64,
    /// Nanoseconds of the monotonic clock.
    pub intended: u64,
}

/// `"load":"` in the data, then the fields with dots between.
pub const FIELD: &[u8] = b"\"load\":\"";
const CHAT: usize = 2;
const NUMBER: usize = CHAT + 6;
const INTENDED: usize = NUMBER + 11;
/// Of the field's text.
pub const BYTES: usize = INTENDED + 19;
pub const EMPTY: &str = "0.00000.0000000000.0000000000000000000";
/// Closing quotes and brackets behind the marker, with some room for formats that put more there.
const TAIL: usize = 64;

impl Marker {
    /// Overwrites `text`, the [`BYTES`] of the field.
    pub fn write(self, text: &mut [u8]) {
        text[0] = b'0' + u8::from(self.measured);
        put(&mut text[CHAT..CHAT + 5], self.chat.into());
        put(&mut text[NUMBER..NUMBER + 10], self.number);
        put(&mut text[INTENDED..INTENDED + 19], self.intended);
    }

    /// From the end of a delivered body.
    pub fn find(body: &[u8]) -> Option<Self> {
        let end = &body[body.len().saturating_sub(FIELD.len() + BYTES + TAIL)..];
        // Backwards: it is nearly always the very last thing.
        let at = (0..end.len().checked_sub(FIELD.len() + BYTES)?).rev().find(|at| end[*at..].starts_with(FIELD))?;
        let text = &end[at + FIELD.len()..][..BYTES];
        Some(Self {
            measured: text[0] == b'1',
            chat: u32::try_from(get(&text[CHAT..CHAT + 5])?).ok()?,
            number: get(&text[NUMBER..NUMBER + 10])?,
            intended: get(&text[INTENDED..INTENDED + 19])?,
        })
    }
}

/// Decimal, right-aligned, zeros in front.
pub fn put(text: &mut [u8], mut value: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn get(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_again_behind_an_envelope() {
        let marker = Marker { measured: true, chat: 41, number: 1_234_567_890, intended: 987_654_321_000_000_001 };
        let mut text = EMPTY.as_bytes().to_vec();
        assert_eq!(text.len(), BYTES);
        marker.write(&mut text);
        let body = [b"{\"event\":\"x\",\"data\":{\"a\":1,".as_slice(), FIELD, &text, b"\"}}"].concat();
        assert_eq!(Marker::find(&body), Some(marker));
        assert_eq!(Marker::find(&body[..40]), None);
        assert_eq!(Marker::find(b""), None);
    }
}
