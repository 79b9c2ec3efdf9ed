//! Finished parts of an audit on disk, so that it can be interrupted.

use crate::Error;
use cleave_data::{LoadOptions, Loader};
use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A folder of finished parts; without one everything is computed anew.
pub(crate) struct Parts<'a> {
    folder: Option<&'a Path>,
    /// What each part took.
    seconds: RefCell<BTreeMap<String, f64>>,
}

/// A part with its pictures.
#[derive(Serialize, Deserialize)]
struct Saved<T> {
    found: T,
    /// PNG in base 64, a list for each entry of what was found.
    pictures: Vec<Vec<String>>,
    /// What it took.
    seconds: f64,
}

/// What a part consists of, and where its pictures hang.
pub(crate) trait Pictured: Sized {
    /// The pictures of each entry; none, where a part has no pictures.
    fn pictures(&mut self) -> Vec<&mut Vec<Vec<u8>>> {
        Vec::new()
    }
}

const SETTINGS: &str = "settings.json";

impl<'a> Parts<'a> {
    /// Opens a folder, or makes it. Parts of an audit with other settings are not taken.
    pub(crate) fn open(folder: Option<&'a Path>, settings: &serde_json::Value) -> Result<Self, Error> {
        let parts = Self { folder, seconds: RefCell::default() };
        let Some(path) = folder else { return Ok(parts) };
        std::fs::create_dir_all(path).map_err(|source| Error::Io {
            action: "create",
            path: path.to_owned(),
            source,
        })?;
        let file = path.join(SETTINGS);
        if !file.exists() {
            parts.write(&file, settings)?;
            return Ok(parts);
        }
        let written = serde_json::to_vec(settings).and_then(|text| serde_json::from_slice(&text));
        match difference(&read(&file)?, &written.map_err(|error| unreadable(&file, error))?, "") {
            Some(difference) => Err(Error::OtherRun { path: path.to_owned(), difference }),
            None => Ok(parts),
        }
    }

    /// A part that was finished before, or else made now and saved.
    pub(crate) fn part<T>(&self, name: &str, make: impl FnOnce() -> Result<T, Error>) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned + Pictured,
    {
        let file = self.folder.map(|folder| folder.join(format!("{name}.json")));
        if let Some(file) = file.as_ref().filter(|file| file.exists()) {
            return self.restored(name, file);
        }
        let began = Instant::now();
        let mut found = make()?;
        let seconds = began.elapsed().as_secs_f64();
        *self.seconds.borrow_mut().entry(name.to_owned()).or_default() += seconds;
        let Some(file) = file else { return Ok(found) };
        let encoded = |pictures: &mut Vec<Vec<u8>>| pictures.iter().map(|png| BASE64.encode(png)).collect();
        let pictures = found.pictures().into_iter().map(encoded).collect();
        self.write(&file, &Saved { found: &found, pictures, seconds })?;
        self.restored(name, &file) // as a resumed audit would read it, to the last digit
    }

    /// What all parts took together, in whichever run they were made.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds.borrow().values().sum()
    }

    fn restored<T: DeserializeOwned + Pictured>(&self, name: &str, file: &Path) -> Result<T, Error> {
        let Saved::<T> { mut found, pictures, seconds } = read(file)?;
        self.seconds.borrow_mut().insert(name.to_owned(), seconds);
        for (place, encoded) in found.pictures().into_iter().zip(pictures) {
            let decoded = encoded.iter().map(|text| BASE64.decode(text.as_bytes()));
            *place = decoded.collect::<Result<_, _>>().map_err(|error| unreadable(file, error))?;
        }
        Ok(found)
    }

    fn write(&self, file: &Path, value: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_vec(value).map_err(|error| unreadable(file, error))?;
        Ok(cleave_nets::write_atomically(file, &text)?)
    }
}

/// What tells sets of images apart, and ways to cut them into batches.
pub(crate) fn fingerprint(loader: &Loader) -> serde_json::Value {
    let LoadOptions { batch_size, augmentation, drop_last, seed, .. } = *loader.options();
    serde_json::json!({
        "images": loader.dataset().len(),
        "sha256": loader.dataset().fingerprint(),
        "batch": batch_size,
        "augmentation": augmentation,
        "drop_last": drop_last,
        "seed": seed,
    })
}

fn read<T: DeserializeOwned>(file: &Path) -> Result<T, Error> {
    let text = std::fs::read(file).map_err(|source| Error::Io { action: "read", path: file.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &Path, error: impl std::fmt::Display) -> Error {
    Error::Part { path: PathBuf::from(file), reason: error.to_string() }
}

/// The first place where two settings differ, in words.
fn difference(old: &serde_json::Value, new: &serde_json::Value, at: &str) -> Option<String> {
    if old == new {
        return None;
    }
    match (old.as_object(), new.as_object()) {
        (Some(a), Some(b)) => {
            let null = serde_json::Value::Null;
            a.keys().chain(b.keys()).find_map(|key| {
                let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &place)
            })
        }
        _ => Some(format!("{at} was {old}, now {new}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Thing {
        value: usize,
        #[serde(skip)]
        pictures: Vec<Vec<u8>>,
    }

    impl Pictured for Thing {
        fn pictures(&mut self) -> Vec<&mut Vec<Vec<u8>>> {
            vec![&mut self.pictures]
        }
    }

    #[test]
    fn a_part_is_made_once_and_comes_back_with_its_pictures() {
        let folder = tempfile::tempdir().unwrap();
        let settings = serde_json::json!({ "seed": 1, "probe": { "steps": 3 } });
        let make = |value| move || Ok(Thing { value, pictures: vec![vec![1, 2, 3]] });
        let parts = Parts::open(Some(folder.path()), &settings).unwrap();
        assert_eq!(parts.part("a", make(7)).unwrap().value, 7);
        let resumed = Parts::open(Some(folder.path()), &settings).unwrap();
        let again = resumed.part("a", make(8)).unwrap();
        assert!(parts.seconds() > 0.0 && resumed.seconds() == parts.seconds(), "the time it took in the first run");
        assert_eq!((again.value, again.pictures), (7, vec![vec![1, 2, 3]]));
        let other = serde_json::json!({ "seed": 1, "probe": { "steps": 4 } });
        let error = Parts::open(Some(folder.path()), &other).err().unwrap().to_string();
        assert!(error.contains("probe.steps was 3, now 4"), "{error}");
    }

    #[test]
    fn a_damaged_part_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(Some(folder.path()), &serde_json::json!({})).unwrap();
        std::fs::write(folder.path().join("a.json"), "{").unwrap();
        let error = parts.part("a", || Ok(Thing { value: 0, pictures: vec![] })).err().unwrap();
        assert!(matches!(error, Error::Part { path, .. } if path.ends_with("a.json")));
    }
}
