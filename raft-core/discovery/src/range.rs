//! A range of IPv4 addresses to ask one by one.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::error::DiscoveryError;

/// A run of IPv4 addresses, written `10.0.0.0/24`, `10.0.0.10-10.0.0.40` or `10.0.0.7`.
///
/// - `first <= last`, and it holds at most [`AddressRange::MAX_ADDRESSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: u32,
    last: u32,
}

impl AddressRange {
    /// The most addresses a range may hold: asking more would look like an attack to whoever
    /// watches the network, and would not fit a second.
    pub const MAX_ADDRESSES: u32 = 1024;

    /// The addresses from `first` to `last`, both included.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Range`] if `last` is before `first`, or there are more than
    /// [`AddressRange::MAX_ADDRESSES`].
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Result<AddressRange, DiscoveryError> {
        let wrong = |reason: String| {
            Err(DiscoveryError::Range { range: format!("{first}-{last}"), reason })
        };
        let (from, to) = (u32::from(first), u32::from(last));
        let Some(distance) = to.checked_sub(from) else {
            return wrong("it ends before it starts".to_owned());
        };
        if distance >= AddressRange::MAX_ADDRESSES {
            return wrong(format!("it holds more than {} addresses", AddressRange::MAX_ADDRESSES));
        }
        Ok(AddressRange { first: from, last: to })
    }

    /// Every address, ascending.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> + use<> {
        debug_assert!(self.first <= self.last);
        (self.first..=self.last).map(Ipv4Addr::from)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }

    /// The hosts of a network. Its first and last address (the network's own and broadcast) are
    /// left out where there are others.
    fn of_network(text: &str, base: &str, prefix: &str) -> Result<AddressRange, DiscoveryError> {
        let wrong = |reason: &str| DiscoveryError::Range {
            range: text.to_owned(),
            reason: reason.to_owned(),
        };
        let base: Ipv4Addr = base.parse().map_err(|_| wrong("it has no IPv4 address"))?;
        let prefix: u32 = prefix.parse().map_err(|_| wrong("the prefix is not a number"))?;
        let host_bits =
            32_u32.checked_sub(prefix).ok_or_else(|| wrong("the prefix is longer than 32 bits"))?;
        let size = 1_u32
            .checked_shl(host_bits)
            .filter(|size| *size <= AddressRange::MAX_ADDRESSES)
            .ok_or_else(|| wrong("it holds more than 1024 addresses (/22 is the widest)"))?;
        let first = u32::from(base) & !(size - 1);
        let last = first | (size - 1);
        let (first, last) = if size > 2 { (first + 1, last - 1) } else { (first, last) };
        AddressRange::new(first.into(), last.into())
    }
}

impl FromStr for AddressRange {
    type Err = DiscoveryError;

    fn from_str(text: &str) -> Result<AddressRange, DiscoveryError> {
        if let Some((base, prefix)) = text.split_once('/') {
            return AddressRange::of_network(text, base, prefix);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let wrong = |_| DiscoveryError::Range {
            range: text.to_owned(),
            reason: "write it as 10.0.0.0/24, as 10.0.0.1-10.0.0.9 or as one address".to_owned(),
        };
        AddressRange::new(first.trim().parse().map_err(wrong)?, last.trim().parse().map_err(wrong)?)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Ipv4Addr::from(self.first), Ipv4Addr::from(self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> AddressRange {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_network_is_its_hosts_without_its_own_address_and_broadcast() {
        let range = parsed("10.1.2.77/28");
        assert_eq!(range.to_string(), "10.1.2.65-10.1.2.78");
        assert_eq!(range.addresses().count(), 14);
        assert_eq!(parsed("10.0.0.0/22").addresses().count(), 1022);
        assert_eq!(parsed("10.0.0.4/31").to_string(), "10.0.0.4-10.0.0.5");
        assert_eq!(parsed("255.255.255.255/32").addresses().count(), 1);
    }

    #[test]
    fn a_run_and_a_single_address_are_ranges() {
        assert_eq!(parsed("10.0.0.9-10.0.1.2").addresses().count(), 250);
        let one = parsed("255.255.255.255");
        assert_eq!(one.addresses().collect::<Vec<_>>(), [Ipv4Addr::BROADCAST]);
        assert!(one.contains(Ipv4Addr::BROADCAST) && !one.contains(Ipv4Addr::LOCALHOST));
        assert_eq!(parsed("10.0.0.0-10.0.3.255").addresses().count(), 1024);
    }

    #[test]
    fn what_is_too_wide_reversed_or_no_range_is_refused() {
        let wrong = [
            "",
            "/",
            "-",
            "10.0.0.0/21",
            "10.0.0.0/0",
            "10.0.0.0/33",
            "10.0.0.0/x",
            "::1/128",
            "10.0.0.2-10.0.0.1",
            "10.0.0.0-10.0.4.0",
            "0.0.0.0-255.255.255.255",
            "host",
        ];
        for text in wrong {
            let outcome = text.parse::<AddressRange>();
            assert!(matches!(outcome, Err(DiscoveryError::Range { .. })), "{text:?}");
        }
    }
}
