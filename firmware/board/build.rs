//! Puts the memory map where the linker looks.

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(format!("{out}/memory.x"), include_bytes!("memory.x"))
        .expect("OUT_DIR can be written");
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rerun-if-changed=memory.x");
}
