//! Environment variables that libtorch reads when it is loaded, before `main`.
//!
//! If one of them is missing, the program is restarted in place with it. Initializing libtorch takes longer than all else before `main`, so the
//! restart comes first: the loader calls a function of this module when all libraries are mapped and none is initialized.

use std::convert::Infallible;
use std::env;
use std::ffi::CStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The settings of this program, `NAME=VALUE`. What the user has set stays.
static SETTINGS: [&CStr; 3] = [
    // Idle threads of libgomp sleep. Spinning threads slow others down on a busy machine.
    c"OMP_WAIT_POLICY=passive",
    // Texts have many lengths, and oneDNN caches a compiled product for each size: 1,024 of them take 0.5 GB.
    c"LRU_CACHE_CAPACITY=16",
    c"ONEDNN_PRIMITIVE_CACHE_CAPACITY=16",
];

/// Restarts the program in place if a setting is missing. Returns if all are set, or if the restart fails.
pub fn settle() {
    let settings = SETTINGS.iter().filter_map(|setting| setting.to_str().ok()?.split_once('='));
    let missing: Vec<(&str, &str)> = settings.filter(|(name, _)| env::var_os(name).is_none()).collect();
    if !missing.is_empty() {
        // Without the settings the program works too, only slower.
        let _ = restart(missing);
    }
}

fn restart(missing: Vec<(&str, &str)>) -> io::Result<Infallible> {
    Err(Command::new(env::current_exe()?).args(env::args_os().skip(1)).envs(missing).exec())
}

/// The restart before the libraries are initialized. Where it does not happen, [`settle`] does it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
mod early {
    use std::ffi::{CStr, c_char, c_int};
    use std::ptr;

    use super::SETTINGS;

    /// Maximum number of variables in the environment, and of bytes of the program's path. With more, nothing happens here.
    const MAX_VARIABLES: usize = 4096;
    const MAX_PATH: usize = 4096;

    type Strings = *const *const c_char;

    /// What the loader calls before it initializes the libraries (System V ABI, "Initialization and Termination Functions"). glibc passes the
    /// arguments of `main`.
    // SAFETY: The section is a list of pointers to functions of this type.
    #[used]
    #[unsafe(link_section = ".preinit_array")]
    static BEFORE_LIBRARIES: unsafe extern "C" fn(c_int, Strings, Strings) = restart_if_missing;

    /// Restarts the program with the settings that are missing. Returns if none is, or if it cannot.
    ///
    /// The C library is relocated but not initialized: nothing is allocated here, and its environment is not used.
    ///
    /// # Safety
    /// The lists must be those of `main`: pointers to strings, and a null pointer at the end.
    unsafe extern "C" fn restart_if_missing(_count: c_int, arguments: Strings, variables: Strings) {
        if arguments.is_null() || variables.is_null() {
            return;
        }
        let mut list = [ptr::null(); MAX_VARIABLES + SETTINGS.len() + 1];
        let (mut length, mut is_set) = (0, [false; SETTINGS.len()]);
        loop {
            // SAFETY: No entry before this one was the null pointer at the end.
            let variable = unsafe { *variables.add(length) };
            if variable.is_null() {
                break;
            }
            if length == MAX_VARIABLES {
                return;
            }
            // SAFETY: It is a string of the list, which lives as long as the process.
            let text = unsafe { CStr::from_ptr(variable) };
            for (is_set, setting) in is_set.iter_mut().zip(SETTINGS) {
                *is_set |= has_name_of(text, setting);
            }
            list[length] = variable;
            length += 1;
        }
        let before = length;
        for (setting, _) in SETTINGS.iter().zip(is_set).filter(|(_, is_set)| !is_set) {
            list[length] = setting.as_ptr();
            length += 1;
        }
        if length == before {
            return;
        }
        let mut path = [0; MAX_PATH];
        // SAFETY: The system writes at most so many bytes; there is one more, which stays zero.
        let written = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), path.as_mut_ptr(), MAX_PATH - 1) };
        // A path that fills the buffer may be cut.
        if (1..MAX_PATH as isize - 1).contains(&written) {
            // SAFETY: The path ends with a zero byte; the lists consist of such strings and end with a null pointer. It returns only if it fails.
            unsafe { libc::execve(path.as_ptr(), arguments, list.as_ptr()) };
        }
    }

    /// Whether two texts `NAME=VALUE` have the same name.
    fn has_name_of(text: &CStr, setting: &CStr) -> bool {
        let setting = setting.to_bytes();
        let name = setting.iter().position(|byte| *byte == b'=').map_or(setting.len(), |at| at + 1);
        setting.get(..name).is_some_and(|name| text.to_bytes().starts_with(name))
    }
}
