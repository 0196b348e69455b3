//! One address, or a network of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer};
use strongroom_types::ParseError;

/// What an IP rule names: an address such as `192.0.2.1`, or a network such as `192.0.2.0/24` or `fd00::/8`.
///
/// An IPv4 address that is written, or arrives, as an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange(IpNet);

impl AddressRange {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for AddressRange {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error =
            || ParseError::new("address range", "an address such as 192.0.2.1 or a network such as 192.0.2.0/24");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let range = match length {
            None => IpNet::from(address),
            Some(length) => {
                let digits = length.bytes().all(|byte| byte.is_ascii_digit());
                let length = length.parse().ok().filter(|_| digits).ok_or_else(error)?;
                IpNet::new(address, length).map_err(|_| error())?
            }
        };
        // Bits behind the prefix would say that a host was meant and a network written.
        if range.trunc() == range { Ok(Self(folded(range))) } else { Err(error()) }
    }
}

/// What lies within `::ffff:0:0/96` are IPv4 addresses (RFC 4291 §2.5.5.2).
fn folded(range: IpNet) -> IpNet {
    let IpNet::V6(mapped) = range else { return range };
    let length = mapped.prefix_len().checked_sub(MAPPED_BITS);
    let address = mapped.addr().to_ipv4_mapped();
    match address.zip(length).and_then(|(address, length)| Ipv4Net::new(address, length).ok()) {
        Some(folded) => IpNet::V4(folded),
        None => range,
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for AddressRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Bits in front of the IPv4 address in a mapped one.
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_or_a_network_is_read_and_nothing_else() {
        for text in ["1.2.3.4", "1.2.3.4/32", "10.0.0.0/8", "0.0.0.0/0", "fd00::/8", "::1", "::1/128", "::/0"] {
            assert!(text.parse::<AddressRange>().is_ok(), "{text}");
        }
        for text in ["", "1.2.3", "1.2.3.4/24", "1.2.3.4/33", "1.2.3.4/+8", "10.0.0.0/", "fd00::1/8", "::1/129", "a"] {
            assert!(text.parse::<AddressRange>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_on_both_sides() {
        let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
        assert!(range("192.0.2.0/24").contains(mapped));
        assert!(range("::ffff:192.0.2.0/120").contains("192.0.2.7".parse().unwrap()));
        assert!(range("::ffff:0.0.0.0/96").contains(mapped));
        assert!(!range("::ffff:192.0.2.0/120").contains("192.0.3.7".parse().unwrap()));
        // All of IPv6 is not all of IPv4.
        assert!(!range("::/0").contains(mapped));
    }

    proptest! {
        #[test]
        fn a_network_holds_exactly_the_addresses_with_its_prefix(network: u32, other: u32, length in 0_u32..=32) {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            let text = format!("{}/{length}", std::net::Ipv4Addr::from_bits(network & mask));
            let inside = range(&text).contains(IpAddr::V4(std::net::Ipv4Addr::from_bits(other)));
            prop_assert_eq!(inside, network & mask == other & mask);
        }

        #[test]
        fn a_network_of_ipv6_holds_exactly_the_addresses_with_its_prefix(network: u128, flip in 0_u32..128, length in 0_u32..=128) {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            // Not in the mapped range, which is IPv4.
            let network = network | 1 << 127;
            let text = format!("{}/{length}", std::net::Ipv6Addr::from_bits(network & mask));
            let other = network ^ (1 << flip);
            prop_assume!(other >> 127 == 1);
            let inside = range(&text).contains(IpAddr::V6(std::net::Ipv6Addr::from_bits(other)));
            prop_assert_eq!(inside, network & mask == other & mask);
        }
    }
}
