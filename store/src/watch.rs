//! What a caller sees of work that takes long.

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// The files of the bank are read and cut; in bytes.
    Reading,
    /// The store is asked what it has; in objects.
    Looking,
    /// What is missing is sent; in bytes.
    Sending,
    /// What is missing is fetched; in bytes.
    Fetching,
    /// Objects are read and compared with their digests; in bytes.
    Verifying,
    /// Objects are deleted; in objects.
    Deleting,
}

/// Gets told of progress, from any thread.
pub trait Watch: Send + Sync {
    /// A stage begins that will do `total` units.
    fn begin(&self, stage: Stage, total: u64);

    /// So many more units are done.
    fn advance(&self, units: u64);

    /// Whether the caller wants the work to end. Asked only while files of the disk are read; all else ends when its future is dropped.
    fn is_cancelled(&self) -> bool {
        false
    }
}

/// No one watches.
impl Watch for () {
    fn begin(&self, _: Stage, _: u64) {}

    fn advance(&self, _: u64) {}
}
