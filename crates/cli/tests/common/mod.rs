//! The command as tests run it.

#![allow(dead_code, reason = "each test file takes what it needs")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

pub(crate) fn cleave(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cleave")).args(arguments).current_dir(folder).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a command that must succeed; its standard output.
pub(crate) fn good(folder: &Path, arguments: &[&str]) -> String {
    let output = cleave(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command that must fail with `code`, an error and a hint, and without a panic; its standard error.
pub(crate) fn bad(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = cleave(folder, arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(error.contains("error: ") && !error.contains("panicked"), "{arguments:?}: {error}");
    assert!(code == 2 || error.contains("hint: "), "{arguments:?}: {error}");
    error
}

pub(crate) const TINY: [&str; 8] = ["--data", "builtin", "--limit", "20", "--steps", "4", "--batch", "4"];

pub(crate) fn train(folder: &Path) {
    good(folder, &[&["train", "--size", "64", "--divisor", "16", "--out", "base.safetensors"][..], &TINY].concat());
}

pub(crate) fn retrain(folder: &Path) {
    let arguments = ["retrain", "base.safetensors", "--preserve", "1", "--out", "split.safetensors"];
    good(folder, &[&arguments[..], &TINY].concat());
}

pub(crate) fn cut(folder: &Path) {
    let arguments = ["cut", "split.safetensors", "--cut", "2", "--name", "shapes"];
    good(folder, &[&arguments[..], &["--out-front", "front.safetensors", "--out-back", "back.safetensors"]].concat());
}

/// A server that is killed with the test.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

pub(crate) fn serve(folder: &Path, back: &str) -> Serving {
    serve_with(folder, &["--back", back])
}

pub(crate) fn serve_with(folder: &Path, what: &[&str]) -> Serving {
    let arguments = [&["serve", "--keys", "keys", "--listen", "127.0.0.1:0"], what].concat();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cleave"));
    let mut child =
        command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut stdout, mut line) = (BufReader::new(child.stdout.take().unwrap()), String::new());
    stdout.read_line(&mut line).unwrap();
    let address = line.split_whitespace().nth(2).unwrap().to_owned();
    Serving { child, stdout, address }
}

/// A folder of PNG images, a subfolder a class.
pub(crate) fn images(folder: &Path) {
    let data = cleave_data::Shapes::new(2, 64, 9).unwrap().dataset("val", 40);
    for index in 0..40 {
        let class = folder.join("images").join(&data.classes()[data.label(index).unwrap()]);
        std::fs::create_dir_all(&class).unwrap();
        data.decode(index).unwrap().save_png(class.join(format!("{index}.png"))).unwrap();
    }
}
