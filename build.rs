//! Lets binaries and tests find libtorch at run time. Does nothing in a build without it.

include!("model/rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=model/rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_MEMPACK_MODEL_LIBDIR") {
        link_rpath(&libdir);
    }
}
