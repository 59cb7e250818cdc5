//! The names of the event kinds on the wire: one table for all formats. `legacy` writes no event name.

use crate::domain::EventKind;

/// How each format names a kind.
pub(super) struct Names {
    /// CodeChat API v2.
    pub codechat: &'static str,
    /// CodeChat API v1.3.
    pub codechat_v1: &'static str,
    /// Words of `A-Z a-z 0-9 _` between full stops, as Standard Webhooks asks of `type`; CloudEvents puts `codechat.`
    /// before it. The v2 name wherever that is one.
    pub dotted: &'static str,
}

pub(super) const fn names(kind: EventKind) -> Names {
    let codechat = kind.wire();
    let (codechat_v1, dotted) = match kind {
        EventKind::StateInstance => ("status.instance", codechat),
        EventKind::GroupsUpsert => ("groups.upsert", codechat),
        EventKind::GroupUpdate => ("groups.update", codechat),
        EventKind::GroupParticipantsUpdate => ("group-participants.update", "group.participants.update"),
        _ => (codechat, codechat),
    };
    Names { codechat, codechat_v1, dotted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_reads_back_as_its_kind() {
        for kind in EventKind::ALL {
            let Names { codechat, codechat_v1, dotted } = names(kind);
            for name in [codechat, codechat_v1, dotted] {
                assert_eq!(EventKind::parse(name), Some(kind), "{name}");
            }
        }
    }

    #[test]
    fn the_names_of_a_format_are_distinct() {
        let distinct = |of: fn(Names) -> &'static str| {
            EventKind::ALL.iter().map(|kind| of(names(*kind))).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(distinct(|names| names.codechat), 19);
        assert_eq!(distinct(|names| names.codechat_v1), 19);
        assert_eq!(distinct(|names| names.dotted), 19);
    }

    #[test]
    fn standard_types_are_words_between_full_stops() {
        for kind in EventKind::ALL {
            let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            assert!(names(kind).dotted.split('.').all(word), "{kind}");
        }
    }

    #[test]
    fn v2_and_v1_differ_where_the_vendor_changed_them() {
        assert_eq!(names(EventKind::GroupParticipantsUpdate).codechat, "group.participants:update");
        assert_eq!(names(EventKind::GroupParticipantsUpdate).codechat_v1, "group-participants.update");
        assert_eq!(names(EventKind::StateInstance).codechat_v1, "status.instance");
        assert_eq!(names(EventKind::MessagesUpsert).codechat_v1, "messages.upsert");
    }
}
