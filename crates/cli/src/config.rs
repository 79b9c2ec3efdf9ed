//! Options from a TOML file, under those of the command line.

use crate::Failure;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Puts the options of `--config FILE` into the arguments, behind the command's name.
///
/// The file has a table for each command: `[train]` with `steps = 5000` is `--steps 5000`. An option that
/// the user wrote wins. `true` is a bare flag, `false` is nothing, a list repeats the option. A table of
/// another name than a command's is an error.
///
/// # Errors
/// [`Failure::File`] and [`Failure::Toml`].
pub fn expand(arguments: Vec<OsString>) -> Result<Vec<OsString>, Failure> {
    let Some((path, mut rest)) = take_config(&arguments) else { return Ok(arguments) };
    let command =
        rest.iter().skip(1).position(|argument| !argument.to_string_lossy().starts_with('-')).map(|index| index + 1);
    if let Some(command) = command {
        let name = rest[command].to_string_lossy().into_owned();
        let added = options(&path, &name, &rest)?;
        rest.splice(command + 1..command + 1, added);
    }
    Ok(rest)
}

/// The file of `--config FILE` or `--config=FILE`, and the other arguments.
fn take_config(arguments: &[OsString]) -> Option<(PathBuf, Vec<OsString>)> {
    let joined = |argument: &OsString| argument.to_str()?.strip_prefix("--config=").map(PathBuf::from);
    let at = arguments.iter().position(|argument| argument == "--config" || joined(argument).is_some())?;
    let (path, words) = match joined(&arguments[at]) {
        Some(path) => (path, 1),
        None => (arguments.get(at + 1).map(PathBuf::from)?, 2),
    };
    Some((path, arguments[..at].iter().chain(&arguments[at + words..]).cloned().collect()))
}

fn options(path: &Path, command: &str, given: &[OsString]) -> Result<Vec<OsString>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|source| Failure::file(path, source))?;
    let file: toml::Table = toml::from_str(&text).map_err(|error| Failure::toml(path, &error))?;
    let names: Vec<_> = crate::command_names();
    if let Some(stray) = file.keys().find(|key| !names.contains(key)) {
        return Err(Failure::stray_table(path, stray, &names));
    }
    let entries = file.get(command).and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let written = |flag: &str| {
        given.iter().any(|argument| argument == flag || argument.to_string_lossy().starts_with(&format!("{flag}=")))
    };
    let flags = entries.into_iter().map(|(key, value)| (format!("--{}", key.replace('_', "-")), value));
    Ok(flags.filter(|(flag, _)| !written(flag)).flat_map(|(flag, value)| arguments(flag, &value)).collect())
}

fn arguments(flag: String, value: &toml::Value) -> Vec<OsString> {
    match value {
        toml::Value::Boolean(true) => vec![flag.into()],
        toml::Value::Boolean(false) => vec![],
        toml::Value::Array(items) => {
            items.iter().flat_map(|item| [OsString::from(&flag), plain(item).into()]).collect()
        }
        value => vec![flag.into(), plain(value).into()],
    }
}

fn plain(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str, arguments: &[&str]) -> Vec<OsString> {
        let path = std::env::temp_dir().join(format!("cleave-config-{}-{}.toml", std::process::id(), text.len()));
        std::fs::write(&path, text).unwrap();
        let mut all: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        all.extend(["--config".into(), path.clone().into_os_string()]);
        let expanded = expand(all).unwrap();
        std::fs::remove_file(path).unwrap();
        expanded
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let text = "[train]\nsteps = 7\nlearning_rate = 0.5\nclasses = ['a', 'b']\nresume = true\nstrict = false\n";
        let got = expanded(text, &["cleave", "train", "--steps", "9"]);
        let expected = [
            "cleave",
            "train",
            "--classes",
            "a",
            "--classes",
            "b",
            "--learning-rate",
            "0.5",
            "--resume",
            "--steps",
            "9",
        ];
        assert_eq!(got, expected.map(OsString::from));
    }

    #[test]
    fn a_table_of_another_command_is_left_alone() {
        assert_eq!(expanded("[serve]\nlisten = 'x'\n", &["cleave", "train"]), ["cleave", "train"].map(OsString::from));
    }

    #[test]
    fn the_file_may_be_joined_by_a_sign_and_stray_tables_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "[train]\nsteps = 7\n").unwrap();
        let arguments = ["cleave".into(), format!("--config={}", path.display()).into(), "train".into()];
        assert_eq!(expand(arguments.to_vec()).unwrap(), ["cleave", "train", "--steps", "7"].map(OsString::from));
        std::fs::write(&path, "[trian]\nsteps = 7\n").unwrap();
        assert!(expand(arguments.to_vec()).unwrap_err().to_string().contains("[trian]"));
    }
}
