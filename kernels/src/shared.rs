//! A slice whose parts several threads write.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice that threads share, each writing its own elements.
pub(crate) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: It gives access to `T`s of a slice that is borrowed mutably, to any thread; what a thread may access is in the contract of
// `range` and `range_mut`.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: PhantomData }
    }

    /// These elements, to write.
    ///
    /// # Safety
    /// No other reference to any of them may be used, here or in another thread, while the result lives.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range_mut(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a range of the slice");
        // SAFETY: The range is in the slice, as was just checked, and the caller makes sure that it is not accessed elsewhere.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

/// Memory that threads share, each writing its own elements.
pub(crate) struct Cells<T>(Box<[UnsafeCell<T>]>);

// SAFETY: What a thread may access is in the contract of `range` and `range_mut`.
unsafe impl<T: Send + Sync> Sync for Cells<T> {}

impl<T: Copy + Default> Cells<T> {
    /// `len` zeros.
    pub fn new(len: usize) -> Self {
        Self(std::iter::repeat_with(|| UnsafeCell::new(T::default())).take(len).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The first `len` elements.
    pub fn shared(&self, len: usize) -> Shared<'_, T> {
        Shared { start: UnsafeCell::raw_get(self.0[..len].as_ptr()), len, borrow: PhantomData }
    }

    /// All elements, to read.
    pub fn all(&mut self) -> &[T] {
        // SAFETY: They are borrowed mutably.
        unsafe { self.range(0..self.len()) }
    }

    /// These elements, to read.
    ///
    /// # Safety
    /// No thread may write any of them while the result lives.
    #[inline(always)]
    pub unsafe fn range(&self, range: Range<usize>) -> &[T] {
        let cells = &self.0[range];
        // SAFETY: A cell has the layout of what it holds, and the caller makes sure that nobody writes it.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast(), cells.len()) }
    }

    /// These elements, to write.
    ///
    /// # Safety
    /// No other reference to any of them may be used, here or in another thread, while the result lives.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn range_mut(&self, range: Range<usize>) -> &mut [T] {
        let cells = &self.0[range];
        // SAFETY: A cell has the layout of what it holds and may be written through a shared reference; the caller makes sure that it is
        // not accessed elsewhere.
        unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) }
    }
}
