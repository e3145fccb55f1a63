//! One output buffer written by many threads, each in its own places.

/// A buffer that threads share, each writing where no other one reads or writes.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    start: *mut f32,
    len: usize,
}

// SAFETY: the methods that touch the buffer are unsafe and ask their callers for disjoint places.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Shares `buffer`, which has to outlive every use.
    pub(crate) fn new(buffer: &mut [f32]) -> Self {
        Self { start: buffer.as_mut_ptr(), len: buffer.len() }
    }

    /// The `len` values from `start`.
    ///
    /// # Safety
    /// The buffer still lives, and nobody else touches this range while the slice does.
    #[expect(clippy::mut_from_ref, reason = "that is what sharing means here")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "range lies in the buffer");
        // SAFETY: in bounds by the line above; alive and exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// The address of value `index`, with room for `len` values from there.
    pub(crate) fn at(&self, index: usize, len: usize) -> *mut f32 {
        assert!(index <= self.len && len <= self.len - index, "range lies in the buffer");
        // SAFETY: in bounds by the line above.
        unsafe { self.start.add(index) }
    }
}
