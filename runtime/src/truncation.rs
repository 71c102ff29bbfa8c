//! Handles the truncation of a mapped file by another process: the system raises SIGBUS at the first access to a missing page.
//!
//! By default that signal ends the process without a message. [`exit_when_cut_short`] ends it with a message and a chosen exit code;
//! [`go_on_when_cut_short`] lets the access read zeros. The signal cannot become an error value, because the access is an ordinary load somewhere
//! below a borrow of the mapping's bytes.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Maximum number of mappings in the table. Further mappings can be read, but if they are truncated, the process ends as without a handler.
const MAX_MAPPINGS: usize = 1024;

/// `start` of an entry that is being written. No address is at or above it.
const CLAIMED: usize = usize::MAX;

/// An entry of the table of mappings: the addresses `start..end`; empty if `start` is 0.
///
/// It consists of atomics only, so that the signal handler can read it at any time.
struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
}

static MAPPINGS: [Entry; MAX_MAPPINGS] = [const { Entry { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; MAX_MAPPINGS];

/// A mapping's entry in the table, removed on drop. It must be dropped before the mapping.
#[derive(Debug)]
pub(crate) struct Registered(Option<usize>);

impl Registered {
    /// Adds the mapping of `bytes` to the table, unless the table is full.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let Range { start, end } = bytes.as_ptr_range();
        let claim = |entry: &Entry| entry.start.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let index = MAPPINGS.iter().position(claim);
        if let Some(entry) = index.and_then(|index| MAPPINGS.get(index)) {
            // The last page is mapped completely.
            entry.end.store((end as usize).next_multiple_of(page_bytes()), Ordering::Release);
            entry.start.store(start as usize, Ordering::Release);
        }
        Self(index)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(entry) = self.0.and_then(|index| MAPPINGS.get(index)) {
            // First hide the entry from the handler, then free it.
            entry.start.store(CLAIMED, Ordering::Release);
            entry.end.store(0, Ordering::Release);
            entry.start.store(0, Ordering::Release);
        }
    }
}

/// Whether `address` is in a mapping of the table.
fn is_mapped(address: usize) -> bool {
    let holds = |entry: &Entry| entry.start.load(Ordering::Acquire) <= address && address < entry.end.load(Ordering::Acquire);
    address != 0 && MAPPINGS.iter().any(holds)
}

#[cfg(unix)]
fn page_bytes() -> usize {
    // SAFETY: `sysconf` has no precondition; it reads a constant of the system.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).ok().filter(|bytes| bytes.is_power_of_two()).unwrap_or(4096)
}

#[cfg(not(unix))]
fn page_bytes() -> usize {
    4096
}

#[cfg(unix)]
pub use unix::{exit_when_cut_short, go_on_when_cut_short};

#[cfg(unix)]
mod unix {
    use std::io;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::{is_mapped, page_bytes};

    /// The message printed before the process ends.
    const MESSAGE: &[u8] = b"mempack: a pack was cut short while it was read; replace packs by renaming a new file over them, never in \
        place; copy or build the pack again\n";

    /// The exit code, or [`GO_ON`].
    static CODE: AtomicI32 = AtomicI32::new(1);

    /// In place of an exit code: the missing page is replaced by zeros, and the process goes on.
    const GO_ON: i32 = -1;

    /// The previous action for SIGBUS. It is set before the handler is installed, so that the handler finds it.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Installs a SIGBUS handler: access to a part of a pack that another process has cut off ends this process with a message on standard
    /// error and the exit code `code`. Every other SIGBUS keeps its previous action.
    ///
    /// Call it once at the start of a program; a later call changes only the code. It is for programs, not for libraries: destructors and
    /// exit handlers do not run, and threads end immediately. Without the handler, the signal ends the process. Usually neither happens:
    /// searches and decodings check the file's length before and after they read, and return an error that names the section and the
    /// offset.
    ///
    /// # Errors
    /// If the system does not accept the handler.
    pub fn exit_when_cut_short(code: u8) -> io::Result<()> {
        CODE.store(code.into(), Ordering::Relaxed);
        install()
    }

    /// As [`exit_when_cut_short`], but the process goes on: a page of a pack that another process has cut off reads as zeros from then on. Searches and
    /// decodings compare what they read with its digest and the file's length when they end, and return an error. For services, which answer others
    /// meanwhile.
    ///
    /// Zeros are also what programs read that look at a pack without these checks, such as the slices of
    /// [`embedding`](crate::MappedPack::embedding) that they have kept.
    ///
    /// # Errors
    /// If the system does not accept the handler.
    pub fn go_on_when_cut_short() -> io::Result<()> {
        CODE.store(GO_ON, Ordering::Relaxed);
        install()
    }

    fn install() -> io::Result<()> {
        if BEFORE.get().is_some() {
            return Ok(());
        }
        let mut before = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: A null action only queries the present one, which is written to `before`; that has the right type and lives long enough.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The call succeeded, so it has filled `before`.
        let before = unsafe { before.assume_init() };
        if BEFORE.set(before).is_err() {
            return Ok(());
        }
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
        // SAFETY: `sigaction` is a C struct of integers and an optional function pointer; all-zero bytes are valid for each of them.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler as *const () as usize;
        // On the alternative stack if the thread has one, like the standard library's handler.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is initialised, its mask has the right type, and its handler is a function with the signature that SA_SIGINFO
        // requires, which does only what is async-signal-safe.
        let installed = unsafe {
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut())
        };
        if installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: With SA_SIGINFO the system passes a valid `siginfo_t`. The address field is read only for codes above 0, which mean that
        // the system raised the signal for a fault; the field then is the address of the fault.
        let address = unsafe { info.as_ref().filter(|info| info.si_code > 0).map_or(0, |info| info.si_addr() as usize) };
        if is_mapped(address) {
            let code = CODE.load(Ordering::Relaxed);
            if code == GO_ON && replace_page(address) {
                return;
            }
            // SAFETY: `write` and `_exit` are async-signal-safe, and the message is static memory of the given length.
            unsafe {
                libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
                libc::_exit(code.max(1));
            }
        }
        pass_on(signal, info, context);
    }

    /// Maps zeros in place of the missing page of a pack. Returns whether that succeeded, so that the access can be repeated.
    fn replace_page(address: usize) -> bool {
        let page = page_bytes();
        let start = (address & !(page - 1)) as *mut libc::c_void;
        // SAFETY: The page belongs to the read-only mapping of a pack, which whoever reads it keeps mapped; its file has no bytes there any more. A read-only
        // page of zeros takes its place and is unmapped with the mapping. `mmap` is a system call without state of the process's own; it may change
        // `errno`, which is put back for the code that was interrupted.
        unsafe {
            let errno = *libc::__errno_location();
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            let mapped = libc::mmap(start, page, libc::PROT_READ, flags, -1, 0);
            *libc::__errno_location() = errno;
            mapped == start
        }
    }

    /// Performs the previous action for SIGBUS. Async-signal-safe: [`BEFORE`] is set, and reading it is a load.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let before = BEFORE.get().filter(|before| before.sa_sigaction != libc::SIG_DFL);
        // SAFETY: Reading the code of the `siginfo_t` that the system passed.
        let sent = unsafe { info.as_ref().is_some_and(|info| info.si_code <= 0) };
        match before {
            // Only a signal that a process sent can be ignored; a fault would repeat immediately, without end.
            Some(before) if before.sa_sigaction == libc::SIG_IGN && sent => {}
            Some(before) if before.sa_sigaction != libc::SIG_IGN && before.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: The value is neither SIG_DFL nor SIG_IGN, so it is the address of a handler, which has this signature because of
                // SA_SIGINFO. It gets the arguments that the system passed.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(before.sa_sigaction) };
                handler(signal, info, context);
            }
            Some(before) if before.sa_sigaction != libc::SIG_IGN => {
                // SAFETY: As above; without SA_SIGINFO a handler takes only the signal's number.
                let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(before.sa_sigaction) };
                handler(signal);
            }
            // SAFETY: `signal` and `raise` are async-signal-safe. The signal is blocked until this handler returns, and then ends the
            // process.
            _ => unsafe {
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A single test, because the table is global to the process.
    #[test]
    fn a_mapping_is_known_while_it_is_registered() {
        let bytes = vec![0u8; 3 * page_bytes()];
        let (first, last) = (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len() - 1);
        assert!(!is_mapped(first));
        let registered = Registered::new(&bytes);
        assert!(is_mapped(first) && is_mapped(last) && !is_mapped(first - 1) && !is_mapped(last + page_bytes() + 1));
        let again = Registered::new(&bytes);
        drop(registered);
        assert!(is_mapped(first), "the other registration still exists");
        drop(again);
        assert!(!is_mapped(first) && !is_mapped(0));

        let many: Vec<Registered> = (0..MAX_MAPPINGS + 10).map(|_| Registered::new(&bytes)).collect();
        assert!(many.iter().filter(|registered| registered.0.is_none()).count() >= 10, "a full table accepts no more entries");
        drop(many);
        assert!(Registered::new(&bytes).0.is_some(), "there is room again");
    }
}
