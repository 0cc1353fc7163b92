//! Where a name may lead. Whoever answers for DNS must not have the gateway knock at doors inside.
//!
//! An address that stands in the configuration was chosen by the operator, and so was `localhost`. What any other
//! name resolves to is looked at each time that it is dialled, and what was looked at is what is dialled.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::{TcpStream, lookup_host};

use crate::origin::Origin;
use crate::upstream::connection::ConnectError;

/// Whether a name may lead to a private address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateAddresses {
    /// It may not.
    Refuse,
    /// It may, as within a virtual private cloud.
    Allow,
}

impl PrivateAddresses {
    /// The word for it in gateway.yaml.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

/// What an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Public,
    /// To this machine, or a network of somebody's own.
    Private,
    /// To the link, or to what hands out the credentials of a machine. No name leads there in good faith.
    Forbidden,
}

/// Connects to where an origin is.
pub(super) async fn connect(
    origin: &Origin,
    private: PrivateAddresses,
) -> Result<TcpStream, ConnectError> {
    let (host, port) = (origin.host(), origin.port());
    if host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost") {
        return TcpStream::connect((host, port)).await.map_err(ConnectError::Io);
    }
    let found = lookup_host((host, port)).await.map_err(ConnectError::Io)?;
    let (mut good, mut refused) = (Vec::new(), None);
    for address in found {
        match (kind(address.ip()), private) {
            (Kind::Public, _) | (Kind::Private, PrivateAddresses::Allow) => good.push(address),
            (Kind::Private, PrivateAddresses::Refuse) => {
                refused = Some(ConnectError::PrivateAddress(address.ip()));
            }
            (Kind::Forbidden, _) => refused = Some(ConnectError::ForbiddenAddress(address.ip())),
        }
    }
    match (good.is_empty(), refused) {
        (true, Some(refused)) => Err(refused),
        (true, None) => Err(ConnectError::Io(io::ErrorKind::NotFound.into())),
        (false, _) => TcpStream::connect::<&[SocketAddr]>(&good).await.map_err(ConnectError::Io),
    }
}

pub(super) fn kind(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(address) => kind_of_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| kind_of_v6(address), kind_of_v4),
    }
}

fn kind_of_v4(address: Ipv4Addr) -> Kind {
    let [a, b, ..] = address.octets();
    if address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
    {
        return Kind::Forbidden;
    }
    let is_shared = a == 100 && (64..128).contains(&b);
    if a == 0 || address.is_loopback() || address.is_private() || is_shared {
        return Kind::Private;
    }
    Kind::Public
}

fn kind_of_v6(address: Ipv6Addr) -> Kind {
    if address.is_unicast_link_local() || address.is_multicast() || METADATA_V6.contains(&address) {
        return Kind::Forbidden;
    }
    let is_site_local = address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfec0);
    let is_translated_nearby = matches!(address.segments(), [0x64, 0xff9b, 1, ..]);
    if address.is_unspecified()
        || address.is_loopback()
        || address.is_unique_local()
        || is_site_local
        || is_translated_nearby
    {
        return Kind::Private;
    }
    Kind::Public
}

/// The IPv4 address that what is sent to this one ends up at: mapped, compatible, by NAT64 or by 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(of(high, low))
        }
        [0x2002, high, low, ..] => Some(of(high, low)),
        _ => None,
    }
}

/// Of Alibaba, of Azure, of Oracle. Most others' are link-local.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Of AWS, of Google.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_in_whichever_form() {
        for (expected, addresses) in [
            (
                Kind::Forbidden,
                "169.254.169.254 169.254.0.23 100.100.100.200 168.63.129.16 192.0.0.192 224.0.0.1 \
                 255.255.255.255 fe80::1 febf::1 ff02::1 fd00:ec2::254 fd20:ce::254 \
                 ::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::169.254.169.254 2002:a9fe:a9fe::1",
            ),
            (
                Kind::Private,
                "127.0.0.1 127.255.255.255 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 \
                 192.168.0.1 100.64.0.1 100.127.255.255 :: ::1 fc00::1 fdff::1 fec0::1 \
                 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b:1::1 2002:0a00:0001::1",
            ),
            (
                Kind::Public,
                "1.1.1.1 9.255.255.255 11.0.0.0 172.15.0.1 172.32.0.1 192.167.0.1 192.169.0.1 \
                 100.63.255.255 100.128.0.0 169.253.0.1 168.63.129.15 223.255.255.255 2606:4700::1 \
                 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2002:0101:0101::1 fb00::1 fe00::1",
            ),
        ] {
            for address in addresses.split_whitespace() {
                assert_eq!(kind(address.parse().unwrap()), expected, "{address}");
            }
        }
    }
}
