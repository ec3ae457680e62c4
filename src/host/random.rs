//! Random bytes from the kernel, as the identifiers that a VM needs.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Returns 16 random bytes as 32 hexadecimal digits.
pub fn hex128() -> io::Result<String> {
    let bytes: [u8; 16] = bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns a random (version 4) UUID in its usual spelling, RFC 9562.
pub fn uuid4() -> io::Result<String> {
    let number = u128::from_be_bytes(bytes()?);
    let version = (number & !(0xf << 76)) | (0x4 << 76);
    let variant = (version & !(0x3 << 62)) | (0x2 << 62);
    let digits = format!("{variant:032x}");
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    Ok(format!("{a}-{b}-{c}-{d}-{e}"))
}

/// Returns random bytes.
pub fn bytes<const COUNT: usize>() -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += getrandom(rest, GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_version_four_and_differ() {
        let (one, two) = (uuid4().unwrap(), uuid4().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_eq!(hex128().unwrap().len(), 32);
    }
}
