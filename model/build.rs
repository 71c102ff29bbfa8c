//! Hands libtorch's folder on to the dependents' build scripts and links the tests of this package to it.

include!("rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo::metadata=LIBDIR={libdir}");
        link_rpath(&libdir);
    }
}
