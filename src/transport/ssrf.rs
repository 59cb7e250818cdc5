//! Addresses a webhook must not make us connect to: one table, each range with its source.
//!
//! An IPv6 address that carries an IPv4 address is judged by both. Ranges are those of the IANA special-purpose
//! registries (RFC 6890) that are not globally reachable, and the metadata services of the large clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::TargetPolicy;

/// A blocked range, what it is for and where that is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) net: IpNet,
    pub(super) name: &'static str,
    pub(super) source: &'static str,
    /// Hands out credentials to whoever asks: only an entry for exactly this address allows it, never a wider network.
    pub(super) metadata: bool,
}

const fn v4(octets: [u8; 4], prefix: u8, name: &'static str, source: &'static str) -> Range {
    let [a, b, c, d] = octets;
    Range { net: IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), prefix), name, source, metadata: false }
}

const fn v6(s: [u16; 8], prefix: u8, name: &'static str, source: &'static str) -> Range {
    let address = IpAddr::V6(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]));
    Range { net: IpNet::new_assert(address, prefix), name, source, metadata: false }
}

const fn metadata(range: Range) -> Range {
    Range { metadata: true, ..range }
}

/// The first match names the reason, so single addresses come before the ranges around them.
pub(super) static BLOCKED: [Range; 43] = [
    metadata(v4([169, 254, 169, 254], 32, "cloud metadata", "AWS, Google, Azure, Oracle, DigitalOcean")),
    metadata(v4([169, 254, 170, 2], 32, "container credentials", "AWS ECS")),
    metadata(v4([100, 100, 100, 200], 32, "cloud metadata", "Alibaba Cloud")),
    metadata(v4([168, 63, 129, 16], 32, "cloud platform", "Azure WireServer")),
    metadata(v4([192, 0, 0, 192], 32, "cloud metadata", "Oracle Cloud Classic")),
    metadata(v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "cloud metadata", "AWS")),
    v4([0, 0, 0, 0], 8, "this network", "RFC 791"),
    v4([10, 0, 0, 0], 8, "private use", "RFC 1918"),
    v4([100, 64, 0, 0], 10, "shared address space (CGNAT)", "RFC 6598"),
    v4([127, 0, 0, 0], 8, "loopback", "RFC 1122"),
    v4([169, 254, 0, 0], 16, "link local", "RFC 3927"),
    v4([172, 16, 0, 0], 12, "private use", "RFC 1918"),
    v4([192, 0, 0, 0], 24, "IETF protocol assignments", "RFC 6890"),
    v4([192, 0, 2, 0], 24, "documentation", "RFC 5737"),
    v4([192, 88, 99, 0], 24, "6to4 relay anycast", "RFC 7526"),
    v4([192, 168, 0, 0], 16, "private use", "RFC 1918"),
    v4([198, 18, 0, 0], 15, "benchmarking", "RFC 2544"),
    v4([198, 51, 100, 0], 24, "documentation", "RFC 5737"),
    v4([203, 0, 113, 0], 24, "documentation", "RFC 5737"),
    v4([224, 0, 0, 0], 4, "multicast", "RFC 1112"),
    v4([255, 255, 255, 255], 32, "broadcast", "RFC 919"),
    v4([240, 0, 0, 0], 4, "reserved", "RFC 1112"),
    v6([0; 8], 128, "unspecified", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback", "RFC 4291"),
    v6([0; 8], 96, "IPv4-compatible", "RFC 4291"),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped", "RFC 4291"),
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, "IPv4-translated", "RFC 2765"),
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64", "RFC 6052"),
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, "local-use NAT64", "RFC 8215"),
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discard only", "RFC 6666"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo", "RFC 4380"),
    v6([0x2001, 0x2, 0, 0, 0, 0, 0, 0], 48, "benchmarking", "RFC 5180"),
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID", "RFC 4843"),
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHIDv2", "RFC 7343"),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "IETF protocol assignments", "RFC 2928"),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "documentation", "RFC 3849"),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4", "RFC 3056"),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "documentation", "RFC 9637"),
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, "segment routing (SRv6)", "RFC 9602"),
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local", "RFC 4193"),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link local", "RFC 4291"),
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site local", "RFC 3879"),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast", "RFC 4291"),
];

/// The IPv4 address that a transition mechanism would send the packet on to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low));
    match s {
        [0x2001, 0, _, _, _, _, high, low] => Some(join(!high, !low)),
        [0x2002, high, low, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low] => Some(join(high, low)),
        _ => None,
    }
}

impl TargetPolicy {
    /// Whether `address` may be connected to; the range that forbids it otherwise.
    pub(super) fn check_address(&self, address: IpAddr) -> Result<(), &'static Range> {
        if let Some(range) = BLOCKED.iter().find(|range| range.net.contains(&address))
            && !self.allow_networks.iter().any(|net| allows(*net, range, address))
        {
            return Err(range);
        }
        match address {
            IpAddr::V6(v6) => embedded(v6).map_or(Ok(()), |v4| self.check_address(v4.into())),
            IpAddr::V4(_) => Ok(()),
        }
    }

    /// Whether every address of `host` is allowed, wherever it is. `host` is without brackets.
    pub(super) fn allows_host(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        self.allow_hosts.iter().any(|allowed| allowed.trim_end_matches('.').eq_ignore_ascii_case(host))
    }
}

fn allows(net: IpNet, range: &Range, address: IpAddr) -> bool {
    net.contains(&address) && (!range.metadata || net.prefix_len() == net.max_prefix_len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn blocked(text: &str) -> bool {
        TargetPolicy::default().check_address(text.parse().unwrap()).is_err()
    }

    fn allowing(networks: &[&str]) -> TargetPolicy {
        let allow_networks = networks.iter().map(|net| net.parse().unwrap()).collect();
        TargetPolicy { allow_networks, ..TargetPolicy::default() }
    }

    /// An address of the range, its host bits taken from `noise`.
    fn inside(range: &Range, noise: u128) -> IpAddr {
        match range.net {
            IpNet::V4(net) => {
                Ipv4Addr::from_bits(net.network().to_bits() | (noise as u32 & net.hostmask().to_bits())).into()
            }
            IpNet::V6(net) => Ipv6Addr::from_bits(net.network().to_bits() | (noise & net.hostmask().to_bits())).into(),
        }
    }

    /// Every way an IPv4 address is written inside an IPv6 one.
    fn embeddings(v4: Ipv4Addr, noise: u128) -> Vec<Ipv6Addr> {
        let bits = u128::from(v4.to_bits());
        let prefix = |high: u128| Ipv6Addr::from_bits(high | bits);
        vec![
            v4.to_ipv6_mapped(),
            prefix(0),
            prefix(0xffff << 48),
            prefix(0x0064_ff9b << 96),
            prefix((0x0064_ff9b_0001 << 80) | (noise & (u128::from(u16::MAX) << 64))),
            Ipv6Addr::from_bits((0x2002 << 112) | (bits << 80) | (noise & ((1 << 80) - 1))),
            Ipv6Addr::from_bits((0x2001_0000 << 96) | u128::from(!v4.to_bits())),
        ]
    }

    proptest! {
        #[test]
        fn no_address_of_the_table_passes_in_any_embedding(index in 0..BLOCKED.len(), noise: u128) {
            let address = inside(&BLOCKED[index], noise);
            let policy = TargetPolicy::default();
            prop_assert!(policy.check_address(address).is_err(), "{}", address);
            if let IpAddr::V4(v4) = address {
                // Even where the outer ranges are allowed, the address inside is judged.
                let gateways = allowing(&["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::ffff:0:0/96", "::ffff:0:0:0/96"]);
                for v6 in embeddings(v4, noise) {
                    prop_assert!(policy.check_address(v6.into()).is_err(), "{}", v6);
                    prop_assert!(gateways.check_address(v6.into()).is_err(), "{} behind a gateway", v6);
                }
            }
        }

        #[test]
        fn an_address_outside_the_table_passes(bits: u32) {
            let address = IpAddr::from(Ipv4Addr::from_bits(bits));
            let listed = BLOCKED.iter().any(|range| range.net.contains(&address));
            prop_assert_eq!(TargetPolicy::default().check_address(address).is_err(), listed);
        }
    }

    #[test]
    fn the_edges_of_ranges_are_exact() {
        for (address, expected) in [
            ("9.255.255.255", false),
            ("10.0.0.0", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("100.63.255.255", false),
            ("100.64.0.0", true),
            ("100.127.255.255", true),
            ("100.128.0.0", false),
            ("172.15.255.255", false),
            ("172.16.0.0", true),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("198.17.255.255", false),
            ("198.18.0.0", true),
            ("198.19.255.255", true),
            ("198.20.0.0", false),
            ("223.255.255.255", false),
            ("224.0.0.0", true),
            ("255.255.255.255", true),
            ("168.63.129.16", true),
            ("8.8.8.8", false),
            ("1.1.1.1", false),
            ("2606:4700::1111", false),
            ("2001:4860:4860::8888", false),
            ("::", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::127.0.0.1", true),
            ("fe80::1", true),
            ("fec0::1", true),
            ("fd00:ec2::254", true),
            ("fbff::1", false),
            ("ff02::1", true),
            ("100::1", true),
            ("2001:db8::1", true),
            ("3fff:fff::1", true),
            ("3fff:1000::1", false),
            ("5f00::1", true),
            ("2002:0808:0808::1", true),
            ("64:ff9b::8.8.8.8", true),
            ("64:ff9b:1::1", true),
            ("2001:20::1", true),
        ] {
            assert_eq!(blocked(address), expected, "{address}");
        }
    }

    #[test]
    fn a_wide_allowed_network_does_not_open_the_metadata_service() {
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        assert!(allowing(&["0.0.0.0/0"]).check_address(metadata).is_err());
        assert!(allowing(&["169.254.169.254/32"]).check_address(metadata).is_ok());
        assert!(allowing(&["100.64.0.0/10"]).check_address("100.100.100.200".parse().unwrap()).is_err());
    }

    #[test]
    fn an_allowed_network_lets_through_its_addresses_only() {
        let policy = allowing(&["10.1.0.0/16"]);
        assert!(policy.check_address("10.1.2.3".parse().unwrap()).is_ok());
        assert!(
            policy.check_address("::ffff:10.1.2.3".parse().unwrap()).is_err(),
            "no receiver is announced like this"
        );
        assert!(policy.check_address("10.2.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn hosts_are_compared_without_case_and_trailing_dot() {
        let policy = TargetPolicy { allow_hosts: vec!["N8N.internal".into()], ..TargetPolicy::default() };
        assert!(policy.allows_host("n8n.INTERNAL."));
        assert!(!policy.allows_host("evil.n8n.internal"));
    }
}
