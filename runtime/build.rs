//! Sets the run path of binaries and tests, so that they find libtorch. Does nothing in a build without libtorch.

include!("../model/rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=../model/rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_MEMPACK_MODEL_LIBDIR") {
        link_rpath(&libdir);
        println!("cargo::metadata=LIBDIR={libdir}");
    }
}
