//! What happens when another process cuts a mapped file short: the system raises SIGBUS at the first touch of a page that is gone.
//!
//! The default for that signal ends the process without a word. [`exit_when_cut_short`] has it end with a message and an exit code of
//! its own instead. It cannot become an error: the touch is an ordinary load, anywhere below a borrow of the mapping's bytes.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mappings that the handler can know at a time. One beyond is read all the same; cut short, it ends the process as without a handler.
const MOST_MAPPINGS: usize = 1024;

/// Start of an entry of the table that is being written. No address is at or above it.
const CLAIMED: usize = usize::MAX;

/// An entry of the table of mappings: the addresses `start..end`, or nothing where `start` is 0.
///
/// Atomics alone, so that the handler can read it whatever it interrupted.
struct Entry {
    start: AtomicUsize,
    end: AtomicUsize,
}

static MAPPINGS: [Entry; MOST_MAPPINGS] = [const { Entry { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; MOST_MAPPINGS];

/// A mapping in the table; dropped, it leaves it. It has to be dropped before the mapping is.
#[derive(Debug)]
pub(crate) struct Registered(Option<usize>);

impl Registered {
    /// Enters the mapping of `bytes`. Where the table is full it is not entered.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let Range { start, end } = bytes.as_ptr_range();
        let claim = |entry: &Entry| entry.start.compare_exchange(0, CLAIMED, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let index = MAPPINGS.iter().position(claim);
        if let Some(entry) = index.and_then(|index| MAPPINGS.get(index)) {
            // The last page is mapped whole.
            entry.end.store((end as usize).next_multiple_of(page_bytes()), Ordering::Release);
            entry.start.store(start as usize, Ordering::Release);
        }
        Self(index)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(entry) = self.0.and_then(|index| MAPPINGS.get(index)) {
            // First unreachable, then free.
            entry.start.store(CLAIMED, Ordering::Release);
            entry.end.store(0, Ordering::Release);
            entry.start.store(0, Ordering::Release);
        }
    }
}

/// Whether `address` lies in a mapping of the table.
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
pub use unix::exit_when_cut_short;

#[cfg(unix)]
mod unix {
    use std::io;
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI32, Ordering};

    use super::is_mapped;

    /// What is said before the process ends.
    const MESSAGE: &[u8] =
        b"mempack: a pack was cut short while it was read; packs are replaced by a rename, never written in place: copy or build it again\n";

    /// The exit code.
    static CODE: AtomicI32 = AtomicI32::new(1);

    /// What SIGBUS did before. Set before our handler is there, so that the handler finds it.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// From now on, a touch of a part of a pack that another process has cut off ends this process with a message on standard error and
    /// the exit code `code`. Every other SIGBUS does what it did before.
    ///
    /// To be called once, when a program begins; a later call only changes the code. It is meant for programs: destructors and exit
    /// handlers do not run, and threads end where they are. A library should leave the choice to its user. Without it such a touch ends
    /// the process by the signal. Most often it comes to neither: searches and decodings look at the file's length before
    /// and after they read, and give an error that names section and offset.
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub fn exit_when_cut_short(code: u8) -> io::Result<()> {
        CODE.store(code.into(), Ordering::Relaxed);
        if BEFORE.get().is_some() {
            return Ok(());
        }
        let mut before = MaybeUninit::<libc::sigaction>::uninit();
        // SAFETY: A null action asks for the present one, which is written to `before`, memory of that type that lives long enough.
        if unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: The call succeeded, so it has filled `before`.
        let before = unsafe { before.assume_init() };
        if BEFORE.set(before).is_err() {
            return Ok(());
        }
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
        // SAFETY: `sigaction` is a C struct of integers and an optional function pointer, for all of which zero is a value.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler as *const () as usize;
        // On the alternative stack where a thread has one, as the standard library's own handler.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `action` is initialised, its mask is memory of the right type, and its handler has the signature that SA_SIGINFO
        // demands, does only what is async-signal-safe, and stays as long as the program, being a function.
        let installed = unsafe {
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut())
        };
        if installed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: With SA_SIGINFO the system passes a valid `siginfo_t`. Its address field is read only for codes above 0: those say that
        // the system raised the signal for a fault, and then the field is the address of the fault.
        let address = unsafe { info.as_ref().filter(|info| info.si_code > 0).map_or(0, |info| info.si_addr() as usize) };
        if is_mapped(address) {
            // SAFETY: `write` and `_exit` are async-signal-safe; the message is static memory of the length given.
            unsafe {
                libc::write(libc::STDERR_FILENO, MESSAGE.as_ptr().cast(), MESSAGE.len());
                libc::_exit(CODE.load(Ordering::Relaxed));
            }
        }
        pass_on(signal, info, context);
    }

    /// Does what SIGBUS did before our handler was there. Async-signal-safe: [`BEFORE`] is set, and reading it is a load.
    fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        let before = BEFORE.get().filter(|before| before.sa_sigaction != libc::SIG_DFL);
        // SAFETY: Reading the code of the `siginfo_t` that the system passed.
        let sent = unsafe { info.as_ref().is_some_and(|info| info.si_code <= 0) };
        match before {
            // Only a signal that a process sent can be ignored; a fault would come again at once, and for ever.
            Some(before) if before.sa_sigaction == libc::SIG_IGN && sent => {}
            Some(before) if before.sa_sigaction != libc::SIG_IGN && before.sa_flags & libc::SA_SIGINFO != 0 => {
                // SAFETY: Neither SIG_DFL nor SIG_IGN, it is the address of a handler, with SA_SIGINFO of this signature; it gets the
                // arguments that it would have got.
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    unsafe { std::mem::transmute(before.sa_sigaction) };
                handler(signal, info, context);
            }
            Some(before) if before.sa_sigaction != libc::SIG_IGN => {
                // SAFETY: As above; without SA_SIGINFO a handler takes the signal's number alone.
                let handler: extern "C" fn(libc::c_int) = unsafe { std::mem::transmute(before.sa_sigaction) };
                handler(signal);
            }
            // SAFETY: `signal` and `raise` are async-signal-safe. The signal is blocked until this handler returns, and then ends the process.
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

    // One test: the table is one for the process.
    #[test]
    fn a_mapping_is_known_while_it_is_registered() {
        let bytes = vec![0u8; 3 * page_bytes()];
        let (first, last) = (bytes.as_ptr() as usize, bytes.as_ptr() as usize + bytes.len() - 1);
        assert!(!is_mapped(first));
        let registered = Registered::new(&bytes);
        assert!(is_mapped(first) && is_mapped(last) && !is_mapped(first - 1) && !is_mapped(last + page_bytes() + 1));
        let again = Registered::new(&bytes);
        drop(registered);
        assert!(is_mapped(first), "the other registration is still there");
        drop(again);
        assert!(!is_mapped(first) && !is_mapped(0));

        let many: Vec<Registered> = (0..MOST_MAPPINGS + 10).map(|_| Registered::new(&bytes)).collect();
        assert!(many.iter().filter(|registered| registered.0.is_none()).count() >= 10, "a full table takes no more");
        drop(many);
        assert!(Registered::new(&bytes).0.is_some(), "there is room again");
    }
}
