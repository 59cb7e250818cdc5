//! Writes JSON text piece by piece into a buffer.

/// Appends pieces of JSON text as they are.
pub(super) fn push(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// Appends `text` as a JSON string, quoted and escaped.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string always has a JSON form and a Vec takes every byte");
}

/// Appends `text` as a JSON string, or `null`.
pub(super) fn push_nullable(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => push(out, &["null"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped_and_absent_ones_are_null() {
        let mut out = Vec::new();
        push(&mut out, &["[", ""]);
        push_string(&mut out, "a\"\\\n\u{1}é");
        push(&mut out, &[","]);
        push_nullable(&mut out, None);
        push(&mut out, &[","]);
        push_nullable(&mut out, Some("x"));
        push(&mut out, &["]"]);
        assert_eq!(String::from_utf8(out).unwrap(), r#"["a\"\\\n\u0001é",null,"x"]"#);
    }
}
