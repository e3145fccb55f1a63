//! UIDs that follow from what they name.
//!
//! The same content has the same UID wherever and however often it is written, so that a second
//! export is no second object, and another content always has another one.

use sha2::{Digest, Sha256};

/// `2.25.` and 128 bits of a hash as a decimal number, in the form of a UUID of version 8. PS3.5,
/// annex B.2; RFC 9562, section 5.8.
pub(super) fn uid_of(kind: &str, content: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"lamina ");
    hasher.update(kind.as_bytes());
    hasher.update([0]);
    hasher.update(content);
    let mut bits = [0; 16];
    bits.copy_from_slice(&hasher.finalize()[..16]);
    bits[6] = bits[6] & 0x0f | 0x80;
    bits[8] = bits[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_valid_and_follow_from_what_they_name() {
        let uid = uid_of("series", b"abc");
        assert!(uid.len() <= 44 && uid.starts_with("2.25."));
        assert_eq!(uid, uid_of("series", b"abc"));
        assert_ne!(uid, uid_of("instance", b"abc"));
        assert_ne!(uid, uid_of("series", b"abd"));
        let number: u128 = uid[5..].parse().unwrap();
        assert_eq!((number >> 76 & 0xf, number >> 62 & 3), (8, 2));
    }
}
