//! Hands libtorch's folder on to the dependents' build scripts and links the tests of this package to it.

include!("rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::metadata=LIBDIR={libdir}");
        link_rpath(&libdir);
        // The folder of the library says which version it is.
        let version = std::path::Path::new(&libdir).with_file_name("build-version");
        println!("cargo::rerun-if-changed={}", version.display());
        if let Ok(version) = std::fs::read_to_string(version) {
            println!("cargo::rustc-env=MEMPACK_LIBTORCH={}", version.trim());
        }
    }
}
