//! Lets benchmarks and tools find libtorch at run time.

include!("../model/rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=../model/rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_MEMPACK_MODEL_LIBDIR") {
        link_rpath(&libdir);
    }
}
