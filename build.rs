//! Links the C compiler's unwinder into the program. By default that is a library of its own, `libgcc_s.so`, and what it
//! does when it is loaded, besides being loaded, takes a twentieth of the time that a command over a kept connection takes.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu") && has_unwinder() {
        // The standard library asks the linker for `gcc_s`, and this is what it finds first.
        let dir = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
        fs::write(dir.join("libgcc_s.so"), "INPUT(-lgcc_eh)\n")?;
        println!("cargo::rustc-link-search=native={}", dir.display());
    }
    Ok(())
}

/// Tells whether the compiler that links has the unwinder as an archive. It prints the bare name of a file that it does not
/// have.
fn has_unwinder() -> bool {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let printed = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    printed.is_ok_and(|printed| printed.stdout.starts_with(b"/"))
}
