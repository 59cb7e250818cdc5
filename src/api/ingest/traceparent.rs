//! The W3C `traceparent` header (Trace Context, section 3.2): kept when it is well-formed, dropped without an error when not.

/// Whether `text` is a `traceparent` that may be passed on: version 00 exactly, later versions with what they append.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let Some((head, rest)) = text.split_at_checked(55) else { return false };
    let mut fields = head.split('-');
    let mut field = |length: usize| {
        fields
            .next()
            .filter(|field| field.len() == length && field.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) = (field(2), field(32), field(16), field(2)) else {
        return false;
    };
    let is_zero = |field: &str| field.bytes().all(|b| b == b'0');
    let tail_fits = rest.is_empty() || (version != "00" && rest.starts_with('-') && rest.len() <= 200);
    version != "ff" && !is_zero(trace) && !is_zero(parent) && tail_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_passes_and_its_forbidden_forms_do_not() {
        assert!(is_well_formed("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(is_well_formed("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
        ] {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }
}
