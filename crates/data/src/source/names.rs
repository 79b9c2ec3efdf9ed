use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Encoded, Entry, Found, Sample};
use crate::{Layout, Skipped};

/// What a file's name says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    Hidden,
    Other,
}

/// Folder names that stand for a split, each with the name it goes by here.
const SPLITS: [(&str, &str); 8] = [
    ("train", "train"),
    ("training", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
    ("test", "test"),
    ("testing", "test"),
    ("t10k", "test"),
];

/// The name a split goes by here, if `name` stands for one.
pub(crate) fn split_name(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let found = SPLITS.iter().find(|(alias, _)| *alias == lower);
    found.map(|(_, split)| *split)
}

/// A hidden part anywhere in the path hides the file: `._x`, `.DS_Store`, `__MACOSX/x`.
pub(crate) fn kind_of(name: &str) -> Kind {
    if name.split('/').any(|part| part.starts_with('.') || part == "__MACOSX") {
        return Kind::Hidden;
    }
    if is_image(name) { Kind::Image } else { Kind::Other }
}

pub(crate) fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png" | "webp"))
}

/// Reads splits and classes off the names; `None` when they follow neither naming.
pub(crate) fn by_name(encoded: Encoded, layout: Layout) -> Option<Found> {
    let parts = stripped(&encoded.entries);
    let with_splits = has_splits(&parts);
    let tails = parts.iter().map(|parts| match with_splits {
        true => parts.get(1..).unwrap_or_default(),
        false => &parts[..],
    });
    let folders = tails.clone().any(|tail| tail.len() > 1);
    let class_of = match layout {
        Layout::Folders => folder_class,
        Layout::Kaggle => kaggle_class,
        _ if folders => folder_class,
        _ => kaggle_class,
    };
    let classes: Vec<Option<String>> = tails.map(class_of).collect();
    let splits: Vec<&str> = match with_splits {
        true => parts.iter().map(|parts| split_of(parts).unwrap_or_default()).collect(),
        false => vec![""; parts.len()],
    };
    let named = tally(&classes, &splits);
    (!named.0.is_empty()).then(|| named_to_found(encoded, named))
}

type Named = (Vec<Sample>, Vec<String>, Vec<String>, usize);

fn named_to_found(encoded: Encoded, (samples, classes, splits, unlabelled): Named) -> Found {
    let skipped = Skipped { unlabelled, ..encoded.skipped };
    Found { source: Arc::new(encoded), samples, classes, splits, skipped }
}

/// Samples, sorted classes, sorted splits, and how many files had no class.
fn tally(classes: &[Option<String>], splits: &[&str]) -> Named {
    let class_names: BTreeSet<&String> = classes.iter().flatten().collect();
    let split_names: BTreeSet<&str> = splits.iter().copied().collect();
    let class_names: Vec<String> = class_names.into_iter().cloned().collect();
    let split_names: Vec<String> = split_names.into_iter().map(str::to_owned).collect();
    let sample = |(at, (class, split)): (usize, (&Option<String>, &&str))| {
        let label = class_names.binary_search(class.as_ref()?).ok()?;
        let split = split_names.iter().position(|name| name == split)?;
        Some(Sample { at, label, split })
    };
    let pairs = classes.iter().zip(splits).enumerate();
    let samples: Vec<Sample> = pairs.filter_map(sample).collect();
    let unlabelled = classes.len() - samples.len();
    let split_names = split_names.into_iter().filter(|name| !name.is_empty());
    (samples, class_names, split_names.collect(), unlabelled)
}

/// The parts of every name, without the folders that all names share. Folders are dropped only
/// while a class folder remains below, or while all names carry their class themselves.
fn stripped(entries: &[Entry]) -> Vec<Vec<&str>> {
    let mut parts: Vec<Vec<&str>> = entries.iter().map(|entry| entry.name.split('/').collect()).collect();
    while let Some(first) = shared_folder(&parts) {
        let deep = parts.iter().any(|parts| parts.len() > 2);
        let carried = parts.iter().all(|parts| kaggle_class(parts).is_some());
        if split_name(first).is_some() || !(deep || carried) {
            break;
        }
        for parts in &mut parts {
            parts.remove(0);
        }
    }
    parts
}

fn shared_folder<'a>(parts: &[Vec<&'a str>]) -> Option<&'a str> {
    let first = parts.first().filter(|parts| parts.len() > 1)?[0];
    let shared = parts.iter().all(|parts| parts.len() > 1 && parts[0] == first);
    shared.then_some(first)
}

/// Whether every top folder stands for a split. One that does not makes all of them classes: a
/// class may well be called `train`. Files beside the folders have no say.
fn has_splits(parts: &[Vec<&str>]) -> bool {
    let mut in_folders = parts.iter().filter(|parts| parts.len() > 1).peekable();
    in_folders.peek().is_some() && in_folders.all(|parts| split_of(parts).is_some())
}

fn split_of(parts: &[&str]) -> Option<&'static str> {
    let folder = parts.first().filter(|_| parts.len() > 1)?;
    split_name(folder)
}

/// `CLASS/…/NAME.EXTENSION`.
fn folder_class(tail: &[&str]) -> Option<String> {
    let class = tail.first().filter(|_| tail.len() > 1)?;
    Some((*class).to_owned())
}

/// `CLASS.NUMBER.EXTENSION`, in any folder.
fn kaggle_class(tail: &[&str]) -> Option<String> {
    let mut ends = tail.last()?.rsplitn(3, '.');
    let (_extension, number, class) = (ends.next()?, ends.next()?, ends.next()?);
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (numbered && !class.is_empty()).then(|| class.to_owned())
}
