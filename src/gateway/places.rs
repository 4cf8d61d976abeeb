//! Places that clients hold: connections, and requests of clients behind a proxy.
//!
//! There are so many in all, and one client address may hold at most half, so that no single
//! sender shuts the others out. Taking a place never waits: who is refused is told at once.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::client_address::counted_as;

/// A number of places, counted in all and by client address.
#[derive(Debug)]
pub struct Places {
    most: AtomicUsize,
    taken: AtomicUsize,
    /// Only addresses that hold a place stand here, so `most` bounds it.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A place taken; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    All,
    /// This client holds its half.
    Client,
}

impl Places {
    /// `most` places, all free.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            taken: AtomicUsize::new(0),
            by_address: Mutex::default(),
        })
    }

    /// Changes how many there are; places beyond a smaller number stay taken until given back.
    pub fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a place for the client at `address`; `None` counts in all only (a trusted proxy's
    /// connection, which speaks for many clients).
    pub fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Full> {
        let most = self.most.load(Ordering::Relaxed);
        let address = address.map(counted_as);
        if self.taken.fetch_add(1, Ordering::Relaxed) >= most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::All);
        }
        let place = Place {
            places: Arc::clone(self),
            // Set below, once it is counted, so that a refusal gives nothing back twice.
            address: None,
        };
        let Some(address) = address else {
            return Ok(place);
        };
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let held = by_address.get(&address).copied().unwrap_or(0);
        if held >= (most / 2).max(1) {
            drop(by_address);
            return Err(Full::Client);
        }
        by_address.insert(address, held + 1);
        drop(by_address);
        let mut place = place;
        place.address = Some(address);
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            let mut by_address = self
                .places
                .by_address
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match by_address.get_mut(&address) {
                Some(held) if *held > 1 => *held -= 1,
                _ => {
                    by_address.remove(&address);
                }
            }
        }
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_gets_half_and_all_together_no_more_than_there_are() {
        let places = Places::new(4);
        let a = Some("192.0.2.1".parse().unwrap());
        let b = Some("192.0.2.2".parse().unwrap());
        let first = places.take(a).unwrap();
        let second = places.take(a).unwrap();
        assert_eq!(places.take(a).unwrap_err(), Full::Client);
        let third = places.take(b).unwrap();
        let proxy = places.take(None).unwrap();
        assert_eq!(places.take(b).unwrap_err(), Full::All);
        assert_eq!(places.take(None).unwrap_err(), Full::All);
        assert_eq!(places.taken(), 4);
        drop(first);
        let again = places.take(a).unwrap();
        drop((second, third, proxy, again));
        assert_eq!(places.taken(), 0);
        assert!(places.by_address.lock().unwrap().is_empty());
    }

    #[test]
    fn places_can_be_fewer_than_are_taken() {
        let places = Places::new(4);
        let held: Vec<_> = (0..4).map(|_| places.take(None).unwrap()).collect();
        places.resize(2);
        assert_eq!(places.take(None).unwrap_err(), Full::All);
        drop(held);
        assert!(places.take(None).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_their_half() {
        let places = Places::new(2);
        let _held = places.take(Some("2001:db8::1".parse().unwrap())).unwrap();
        let refused = places.take(Some("2001:db8::2".parse().unwrap()));
        assert_eq!(refused.unwrap_err(), Full::Client);
    }
}
