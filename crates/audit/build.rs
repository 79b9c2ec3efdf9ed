//! Sets `cfg(chromium)` when a Chromium is found at build time, by `CLEAVE_CHROMIUM` or on the path, so that the tests
//! which open a page in it report themselves as ignored where there is none.

use std::path::{Path, PathBuf};

fn main() {
    let mut lines = vec![
        "cargo:rerun-if-env-changed=CLEAVE_CHROMIUM".to_owned(),
        "cargo:rerun-if-env-changed=PATH".to_owned(),
        "cargo:rerun-if-changed=build.rs".to_owned(),
        "cargo:rustc-check-cfg=cfg(chromium)".to_owned(),
    ];
    let browser = browser();
    if let Some(browser) = &browser {
        lines.push(format!("cargo:rerun-if-changed={}", browser.display()));
        lines.push("cargo:rustc-cfg=chromium".to_owned());
    }
    lines.push(format!("cargo:rustc-env=CLEAVE_CHROMIUM_FOUND={}", browser.unwrap_or_default().display()));
    emit(&lines);
}

/// The browser that was named, if it is there; otherwise the first `chromium` on the path.
fn browser() -> Option<PathBuf> {
    let named = std::env::var_os("CLEAVE_CHROMIUM").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<PathBuf> = match named {
        Some(named) if named.components().count() > 1 => vec![named],
        named => {
            let name = named.unwrap_or_else(|| PathBuf::from("chromium"));
            std::env::split_paths(&path).map(|folder| folder.join(&name)).collect()
        }
    };
    candidates.into_iter().find(|candidate: &PathBuf| Path::is_file(candidate))
}

// Cargo reads these lines from standard output; nothing else in this crate prints there.
#[allow(clippy::print_stdout)]
fn emit(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}
