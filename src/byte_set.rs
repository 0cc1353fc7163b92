//! Which bytes may stand somewhere, as a table: one look at each byte, and no branch.

/// A set of bytes.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// ASCII letters and digits.
    pub(crate) const fn alphanumeric() -> Self {
        Self([false; 256]).with_range(b'0', b'9').with_range(b'A', b'Z').with_range(b'a', b'z')
    }

    /// What can be seen of ASCII.
    pub(crate) const fn graphic() -> Self {
        Self([false; 256]).with_range(b'!', b'~')
    }

    /// These as well.
    pub(crate) const fn with(self, bytes: &[u8]) -> Self {
        self.set(bytes, true)
    }

    /// These not.
    pub(crate) const fn without(self, bytes: &[u8]) -> Self {
        self.set(bytes, false)
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// Looks at every byte, whatever the first ones are: that takes less than to ask at each whether to go on.
    pub(crate) fn has_all(&self, bytes: &[u8]) -> bool {
        bytes.iter().fold(true, |all, &byte| all & self.has(byte))
    }

    const fn with_range(mut self, first: u8, last: u8) -> Self {
        let (_, from) = self.0.split_at_mut(first as usize);
        let (mut rest, _) = from.split_at_mut((last - first) as usize + 1);
        while let Some((one, others)) = rest.split_first_mut() {
            *one = true;
            rest = others;
        }
        self
    }

    const fn set(mut self, mut bytes: &[u8], value: bool) -> Self {
        while let Some((&byte, others)) = bytes.split_first() {
            if let Some((one, _)) = self.0.split_at_mut(byte as usize).1.split_first_mut() {
                *one = value;
            }
            bytes = others;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_it_was_given_and_nothing_else() {
        static SET: ByteSet = ByteSet::alphanumeric().with(b"-\xff").without(b"x");
        for byte in 0..=u8::MAX {
            let wanted = matches!(byte, b'-' | 0xFF) || byte.is_ascii_alphanumeric();
            assert_eq!(SET.has(byte), wanted && byte != b'x', "{byte}");
            assert_eq!(ByteSet::graphic().has(byte), byte.is_ascii_graphic(), "{byte}");
        }
        assert!(SET.has_all(b"") && SET.has_all(b"a-9") && !SET.has_all(b"ax"));
    }
}
