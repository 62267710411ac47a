//! Which addresses may be reached: by default those that the public internet routes, and none that leads inward.
//!
//! Sources: the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), and the addresses
//! at which clouds keep machines' metadata. Whatever is not known to be public is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Why an address is not an ordinary public one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// `0.0.0.0/8`, `::`.
    Unspecified,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// RFC 1918 and unique local addresses.
    Private,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `100.64.0.0/10`: between a carrier and its customers.
    CarrierNat,
    /// Where a cloud tells machines about themselves.
    Metadata,
    /// `224.0.0.0/4`, `ff00::/8`.
    Multicast,
    /// Set aside for examples and measurements.
    Documentation,
    /// An IPv6 address that stands for an IPv4 address, or tunnels to one.
    Embedded,
    /// Set aside for protocols or for later.
    Reserved,
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Special::Unspecified => "unspecified",
            Special::Loopback => "loopback",
            Special::Private => "private",
            Special::LinkLocal => "link-local",
            Special::CarrierNat => "carrier NAT",
            Special::Metadata => "cloud metadata",
            Special::Multicast => "multicast",
            Special::Documentation => "documentation",
            Special::Embedded => "embedded IPv4",
            Special::Reserved => "reserved",
        })
    }
}

/// Ordered: the first row that contains an address names it.
const SPECIAL_V4: &[([u8; 4], u8, Special)] = &[
    ([168, 63, 129, 16], 32, Special::Metadata), // Azure's WireServer, a public address that leads inward
    ([169, 254, 169, 254], 32, Special::Metadata),
    ([100, 100, 100, 200], 32, Special::Metadata),
    ([192, 0, 0, 192], 32, Special::Metadata),
    ([0, 0, 0, 0], 8, Special::Unspecified),
    ([10, 0, 0, 0], 8, Special::Private),
    ([100, 64, 0, 0], 10, Special::CarrierNat),
    ([127, 0, 0, 0], 8, Special::Loopback),
    ([169, 254, 0, 0], 16, Special::LinkLocal),
    ([172, 16, 0, 0], 12, Special::Private),
    ([192, 0, 0, 0], 24, Special::Reserved),
    ([192, 0, 2, 0], 24, Special::Documentation),
    ([192, 88, 99, 0], 24, Special::Reserved),
    ([192, 168, 0, 0], 16, Special::Private),
    ([198, 18, 0, 0], 15, Special::Documentation),
    ([198, 51, 100, 0], 24, Special::Documentation),
    ([203, 0, 113, 0], 24, Special::Documentation),
    ([224, 0, 0, 0], 4, Special::Multicast),
    ([240, 0, 0, 0], 4, Special::Reserved),
];

/// As [`SPECIAL_V4`]. What no row contains is public inside `2000::/3` and reserved outside of it.
const SPECIAL_V6: &[([u16; 8], u8, Special)] = &[
    ([0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254], 128, Special::Metadata),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Special::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Special::Loopback),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Special::Embedded),
    ([0, 0, 0, 0, 0, 0, 0, 0], 96, Special::Embedded),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, Special::Embedded),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Special::Private),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Special::LinkLocal),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Special::Private),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Special::Multicast),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, Special::Embedded), // Teredo
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Special::Reserved),
    ([0x2001, 0x0db8, 0, 0, 0, 0, 0, 0], 32, Special::Documentation),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, Special::Embedded), // 6to4
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Special::Documentation),
];

/// `64:ff9b::/96`: the IPv4 address that an IPv6-only network's translator reaches stands in the last four bytes (RFC 6052).
const NAT64: [u16; 8] = [0x64, 0xff9b, 0, 0, 0, 0, 0, 0];

fn in_v4(address: Ipv4Addr, base: Ipv4Addr, prefix: u8) -> bool {
    let shift = 32 - u32::from(prefix);
    (address.to_bits() ^ base.to_bits()).checked_shr(shift).unwrap_or(0) == 0
}

fn in_v6(address: Ipv6Addr, base: Ipv6Addr, prefix: u8) -> bool {
    let shift = 128 - u32::from(prefix);
    (address.to_bits() ^ base.to_bits()).checked_shr(shift).unwrap_or(0) == 0
}

fn v6_from(segments: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = segments;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

fn special_v4(address: Ipv4Addr) -> Option<Special> {
    SPECIAL_V4.iter().find(|(base, prefix, _)| in_v4(address, Ipv4Addr::from(*base), *prefix)).map(|row| row.2)
}

fn special_v6(address: Ipv6Addr) -> Option<Special> {
    if in_v6(address, v6_from(NAT64), 96) {
        return special_v4(last_four(address));
    }
    let row = SPECIAL_V6.iter().find(|(base, prefix, _)| in_v6(address, v6_from(*base), *prefix));
    match row {
        Some((_, _, special)) => Some(*special),
        None if in_v6(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) => None,
        None => Some(Special::Reserved),
    }
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() as u32)
}

/// What an address is besides public; `None` for a public one.
fn special(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// A range of addresses as operators write it: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    base: IpAddr,
    prefix: u8,
}

impl AddressRange {
    /// Whether an address lies in the range. `::ffff:10.0.0.1` lies in `10.0.0.0/8`.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => in_v4(address, base, self.prefix),
            (IpAddr::V6(base), IpAddr::V6(address)) => in_v6(address, base, self.prefix),
            _ => false,
        }
    }
}

/// A range that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a range of addresses: {0:?} (wanted: 10.0.0.0/8, fd00::/8 or one address)")]
pub struct AddressRangeError(String);

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || AddressRangeError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(most);
        if prefix > most { Err(wrong()) } else { Ok(AddressRange { base, prefix }) }
    }
}

/// Which addresses may be connected to.
#[derive(Clone, Debug)]
pub struct AddressPolicy {
    anywhere: bool,
    allowed: Vec<AddressRange>,
}

impl AddressPolicy {
    /// Public addresses only.
    pub fn public() -> Self {
        AddressPolicy { anywhere: false, allowed: Vec::new() }
    }

    /// Any address at all: for hosts that an operator chose, such as a provider's.
    pub fn anywhere() -> Self {
        AddressPolicy { anywhere: true, allowed: Vec::new() }
    }

    /// Also those of a range, whatever they are.
    #[must_use]
    pub fn and(mut self, range: AddressRange) -> Self {
        self.allowed.push(range);
        self
    }

    /// Refuses with what is special about the address.
    pub fn check(&self, address: IpAddr) -> Result<(), Special> {
        if self.anywhere || self.allowed.iter().any(|range| range.contains(address)) {
            return Ok(());
        }
        special(address).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(address: &str, expected: Option<Special>) {
        let address: IpAddr = address.parse().expect("an address");
        assert_eq!(AddressPolicy::public().check(address).err(), expected, "{address}");
    }

    #[test]
    fn addresses_that_lead_inward_are_named() {
        check("0.0.0.0", Some(Special::Unspecified));
        check("127.0.0.1", Some(Special::Loopback));
        check("127.255.255.254", Some(Special::Loopback));
        check("10.255.0.1", Some(Special::Private));
        check("172.16.0.1", Some(Special::Private));
        check("172.31.255.255", Some(Special::Private));
        check("192.168.1.1", Some(Special::Private));
        check("169.254.1.1", Some(Special::LinkLocal));
        check("169.254.169.254", Some(Special::Metadata));
        check("168.63.129.16", Some(Special::Metadata));
        check("100.100.100.200", Some(Special::Metadata));
        check("100.64.0.1", Some(Special::CarrierNat));
        check("100.127.255.255", Some(Special::CarrierNat));
        check("224.0.0.1", Some(Special::Multicast));
        check("255.255.255.255", Some(Special::Reserved));
        check("198.19.0.1", Some(Special::Documentation));
        check("203.0.113.9", Some(Special::Documentation));
        check("::", Some(Special::Unspecified));
        check("::1", Some(Special::Loopback));
        check("::ffff:127.0.0.1", Some(Special::Embedded));
        check("::ffff:8.8.8.8", Some(Special::Embedded));
        check("::127.0.0.1", Some(Special::Embedded));
        check("2002:7f00:1::", Some(Special::Embedded));
        check("2001:0:1::", Some(Special::Embedded));
        check("64:ff9b::7f00:1", Some(Special::Loopback));
        check("64:ff9b:1::7f00:1", Some(Special::Embedded));
        check("fc00::1", Some(Special::Private));
        check("fd00:ec2::254", Some(Special::Metadata));
        check("fe80::1", Some(Special::LinkLocal));
        check("fec0::1", Some(Special::Private));
        check("ff02::1", Some(Special::Multicast));
        check("2001:db8::1", Some(Special::Documentation));
        check("3fff::1", Some(Special::Documentation));
        check("4000::1", Some(Special::Reserved));
        check("5f00::1", Some(Special::Reserved));
    }

    #[test]
    fn public_addresses_pass() {
        for address in
            ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1"]
        {
            check(address, None);
        }
        for address in ["192.0.1.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101"] {
            check(address, None);
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_and_nothing_more() {
        let policy = AddressPolicy::public().and("10.1.0.0/16".parse().expect("a range"));
        assert_eq!(policy.check("10.1.2.3".parse().expect("an address")), Ok(()));
        assert_eq!(policy.check("::ffff:10.1.2.3".parse().expect("an address")), Ok(()));
        assert_eq!(policy.check("10.2.0.1".parse().expect("an address")), Err(Special::Private));
        let all = AddressPolicy::public().and("0.0.0.0/0".parse().expect("a range"));
        assert_eq!(all.check("127.0.0.1".parse().expect("an address")), Ok(()));
        assert_eq!(all.check("::1".parse().expect("an address")), Err(Special::Loopback));
    }

    #[test]
    fn ranges_are_read_or_refused() {
        for good in ["10.0.0.0/8", "::1", "127.0.0.1", "fd00::/8", "0.0.0.0/0", "::/0"] {
            assert!(good.parse::<AddressRange>().is_ok(), "{good}");
        }
        for wrong in ["", "10.0.0.0/33", "fd00::/129", "localhost", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }

    proptest! {
        /// The table against what the standard library knows, where it knows it.
        #[test]
        fn agrees_with_std(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let inward = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
                || address.is_broadcast() || address.is_documentation() || address.is_unspecified();
            if inward {
                prop_assert!(special_v4(address).is_some(), "{}", address);
            }
            // However an address is wrapped, it gets no further than on its own.
            let wrapped = [address.to_ipv6_mapped(), address.to_ipv6_compatible()];
            for wrapped in wrapped {
                prop_assert!(special_v6(wrapped).is_some(), "{}", wrapped);
            }
        }
    }
}
