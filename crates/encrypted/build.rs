//! Sets `cfg(real_data)` when `CLEAVE_DATA` names a folder of real data at build time, so that the
//! tests which read it report themselves as ignored where it is absent.

fn main() {
    let mut lines = vec!["cargo:rerun-if-env-changed=CLEAVE_DATA", "cargo:rustc-check-cfg=cfg(real_data)"];
    if std::env::var_os("CLEAVE_DATA").is_some_and(|folder| !folder.is_empty()) {
        lines.push("cargo:rustc-cfg=real_data");
    }
    emit(&lines);
}

// Cargo reads these lines from standard output; nothing else in this crate prints there.
#[allow(clippy::print_stdout)]
fn emit(lines: &[&str]) {
    for line in lines {
        println!("{line}");
    }
}
