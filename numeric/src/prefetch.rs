//! Memory that is read soon.

/// Bytes of a cache line.
const LINE: usize = 64;

/// Has the processor fetch these bytes into its caches, without waiting for them. Nothing is read and nothing changes but the time that a later read
/// takes; on processors other than x86-64 nothing happens.
#[inline]
pub fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: A prefetch of any address is no access in the sense of the language, and SSE, which has it, is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, LINE);
}
