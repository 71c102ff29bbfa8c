// Shared by the build scripts of the packages whose binaries and tests load libtorch: passes the folders of the libraries to the linker,
// relative to the binary and absolute.

fn link_rpath(libdir: &str) {
    use std::path::{Path, PathBuf};
    // The layout of `make dist`: bin/mempack beside lib/.
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    // OUT_DIR is <profile>/build/<package>/out. Binaries are in <profile>, tests in <profile>/deps.
    if let Some(profile) = out.ancestors().nth(3) {
        let shared = profile.components().zip(Path::new(libdir).components()).take_while(|(a, b)| a == b).count();
        let mut relative = PathBuf::new();
        profile.components().skip(shared).for_each(|_| relative.push(".."));
        relative.extend(Path::new(libdir).components().skip(shared));
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/{}", relative.display());
        println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../{}", relative.display());
    }
    println!("cargo::rustc-link-arg=-Wl,-rpath,{libdir}");
}
