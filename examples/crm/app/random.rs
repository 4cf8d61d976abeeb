//! Texts that nobody can guess.

use std::hash::{BuildHasher, RandomState};

use super::hmac::hex;

/// 128 random bits in hexadecimal.
pub fn random() -> String {
    // The keys of a `RandomState` come from the operating system (and then count up): what a hash
    // with them makes of nothing is as random as they are.
    let half = || RandomState::new().hash_one(()).to_be_bytes();
    hex(&[half(), half()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_the_same() {
        let first = random();
        assert_eq!(first.len(), 32);
        assert_ne!(first, random());
    }
}
