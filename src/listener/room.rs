//! The connections that a listener has at once, over all workers: in all, and from each address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::listener::PerAddress;
use crate::tally::{Counted, Tally};

/// How many there may be, how many there are, and those that found no room.
#[derive(Debug)]
pub struct Room {
    open: Tally,
    most: usize,
    per_address: PerAddress,
    /// Each address that has a connection: never more than there are connections.
    addresses: Addresses,
    full: Mutex<TurnedAway>,
    crowded: Mutex<TurnedAway>,
}

type Addresses = Arc<Mutex<HashMap<IpAddr, usize, RandomState>>>;

/// Why a connection found no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// The listener has as many as it may have.
    Listener,
    /// Its address has.
    Address,
}

/// A connection's place, until it is dropped.
pub struct Place {
    _counted: Counted,
    _of_address: Option<OfAddress>,
}

struct OfAddress {
    address: IpAddr,
    addresses: Addresses,
}

#[derive(Debug, Default)]
struct TurnedAway {
    /// When an operator was told last.
    told: Option<Instant>,
    /// How many there were since.
    since: u64,
}

impl Room {
    /// Room for so many.
    #[must_use]
    pub fn new(most: usize, per_address: PerAddress) -> Self {
        Self {
            open: Tally::default(),
            most,
            per_address,
            addresses: Addresses::default(),
            full: Mutex::default(),
            crowded: Mutex::default(),
        }
    }

    /// Lets one more in, if there is room. What comes in by a unix socket has no address.
    ///
    /// # Errors
    /// [`NoRoom`] says of what there is too much.
    pub fn enter(&self, from: Option<IpAddr>) -> Result<Place, NoRoom> {
        let counted = self.open.enter_below(self.most).ok_or(NoRoom::Listener)?;
        let of_address = match from.map(counted_as).zip(self.bound(from)) {
            Some((address, most)) => Some(self.enter_from(address, most).ok_or(NoRoom::Address)?),
            None => None,
        };
        Ok(Place { _counted: counted, _of_address: of_address })
    }

    fn bound(&self, from: Option<IpAddr>) -> Option<usize> {
        let is_near = from.is_some_and(|address| address.to_canonical().is_loopback());
        match self.per_address {
            PerAddress::All(most) => Some(most),
            PerAddress::Others(most) => (!is_near).then_some(most),
        }
    }

    fn enter_from(&self, address: IpAddr, most: usize) -> Option<OfAddress> {
        let mut addresses = self.addresses.lock();
        let open = addresses.entry(address).or_insert(0);
        // An entry that was just made has room: there is no bound of none.
        if *open >= most {
            return None;
        }
        *open += 1;
        Some(OfAddress { address, addresses: Arc::clone(&self.addresses) })
    }

    /// Notes one that found none. `Some`: an operator is to be told, of so many since the last time;
    /// whoever connects again and again must not fill the log.
    #[must_use]
    pub fn turn_away(&self, why: NoRoom, now: Instant) -> Option<u64> {
        let mut noted = match why {
            NoRoom::Listener => self.full.lock(),
            NoRoom::Address => self.crowded.lock(),
        };
        noted.since += 1;
        if noted.told.is_some_and(|told| now.duration_since(told) < TELL_AGAIN) {
            return None;
        }
        noted.told = Some(now);
        Some(std::mem::take(&mut noted.since))
    }
}

impl Drop for OfAddress {
    fn drop(&mut self) {
        if let Entry::Occupied(mut open) = self.addresses.lock().entry(self.address) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

/// IPv6 addresses of one /64 count as one: who has one has them all.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

const TELL_AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn there_is_room_again_for_each_that_leaves() {
        let room = Room::new(2, PerAddress::Others(1));
        let (one, other) = (room.enter(None), room.enter(None));
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(room.enter(None).err(), Some(NoRoom::Listener));
        drop(one);
        let third = room.enter(None);
        assert!(third.is_ok() && room.enter(None).is_err());
    }

    #[test]
    fn an_address_has_room_of_its_own_and_a_network_of_ipv6_is_one() {
        for (one, same, other) in [
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
            ("2001:db8::1", "2001:db8::ffff:0:0:1", "2001:db8:0:1::1"),
        ] {
            let room = Room::new(9, PerAddress::Others(2));
            let held = [room.enter(from(one)), room.enter(from(same))];
            assert!(held.iter().all(Result::is_ok));
            for full in [one, same] {
                assert_eq!(room.enter(from(full)).err(), Some(NoRoom::Address), "{full}");
            }
            assert!(room.enter(from(other)).is_ok());
            drop(held);
            assert!(room.enter(from(same)).is_ok());
            assert!(room.addresses.lock().is_empty(), "nothing is kept of those that left");
            assert_eq!(room.open.count(), 0);
        }
    }

    #[test]
    fn loopback_is_counted_only_where_it_is_asked_for() {
        for near in ["127.0.0.1", "::1", "::ffff:127.0.0.2"] {
            let (others, all) = (PerAddress::Others(1), PerAddress::All(1));
            for (bound, next) in [(others, true), (all, false)] {
                let room = Room::new(9, bound);
                let first = room.enter(from(near));
                assert!(first.is_ok());
                assert_eq!(room.enter(from(near)).is_ok(), next, "{near}");
            }
        }
        let room = Room::new(9, PerAddress::All(1));
        let unix = [room.enter(None), room.enter(None)];
        assert!(unix.iter().all(Result::is_ok), "a unix socket has no addresses");
    }

    #[test]
    fn an_operator_is_told_once_a_minute_and_of_all() {
        let (room, start) = (Room::new(0, PerAddress::All(1)), Instant::now());
        for why in [NoRoom::Listener, NoRoom::Address] {
            let mut told = Vec::new();
            for second in 0..150 {
                told.extend(room.turn_away(why, start + Duration::from_secs(second)));
            }
            assert_eq!(told, [1, 60, 60]);
        }
    }
}
