//! What git says with `-z`, as it comes: fields that are ended by NUL.

/// The most of a field that is kept, in bytes. Linux opens no path of more than 4096.
const MAX: usize = 64 * 1024;

/// The field that has begun.
#[derive(Debug, Default)]
pub struct Fields {
    pending: Vec<u8>,
}

impl Fields {
    /// Takes what came, and passes each field on that is whole.
    pub fn take(&mut self, bytes: &[u8], mut whole: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|byte| *byte == 0) {
            let text = part.strip_suffix(&[0]).unwrap_or(part);
            let room = MAX.saturating_sub(self.pending.len());
            self.pending.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            if part.ends_with(&[0]) {
                whole(&self.pending);
                self.pending.clear();
            }
        }
    }
}
