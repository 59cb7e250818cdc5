//! How deep JSON nests. Skipping over a value does not recurse and so has no bound of its own, but everybody who later
//! reads `data` (we, and the receivers) does recurse: what no ordinary parser would read is refused at the door.

/// The bound of `serde_json`'s own parser.
pub const MAX_DEPTH: usize = 127;

/// Whether arrays and objects in `json`, which must be valid, nest deeper than [`MAX_DEPTH`].
#[must_use]
pub fn is_too_deep(json: &[u8]) -> bool {
    // Counting vectorises, tracking strings does not: nearly every event has too few brackets to nest that deep.
    json.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > MAX_DEPTH && depth(json) > MAX_DEPTH
}

fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> String {
        format!("{}{}", "[".repeat(depth), "]".repeat(depth))
    }

    #[test]
    fn the_bound_is_the_one_serde_json_has() {
        for depth in [1, MAX_DEPTH, MAX_DEPTH + 1, 100_000] {
            let json = nested(depth);
            assert_eq!(
                is_too_deep(json.as_bytes()),
                serde_json::from_str::<serde_json::Value>(&json).is_err(),
                "{depth}"
            );
        }
    }

    #[test]
    fn brackets_in_strings_and_siblings_do_not_count() {
        let text = format!(r#"{{"a":"\"{}\\","b":[{}1]}}"#, "[".repeat(500), "{},".repeat(500));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        assert!(!is_too_deep(text.as_bytes()));
        assert_eq!(depth(text.as_bytes()), 3);
    }
}
