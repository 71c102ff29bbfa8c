//! Sets the run path of tests, so that they find libtorch where the runtime has its engine, as in a build of the workspace. Does nothing elsewhere.

include!("../model/rpath.rs");

fn main() {
    println!("cargo::rerun-if-changed=../model/rpath.rs");
    if let Ok(libdir) = std::env::var("DEP_MEMPACK_RUNTIME_LIBDIR") {
        link_rpath(&libdir);
    }
}
