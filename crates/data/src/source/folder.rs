use std::fs;
use std::path::Path;

use super::names::{Kind, kind_of};
use super::{Encoded, Entry, Place, Store};
use crate::{DataError, Skipped};

/// How deep a folder is searched: enough for any layout, and the end of a loop of links.
const DEEPEST: usize = 8;

/// Lists the image files below a folder.
pub(crate) fn list(root: &Path) -> Result<Encoded, DataError> {
    let mut encoded = Encoded { entries: Vec::new(), skipped: Skipped::default(), store: Store::Disk };
    walk(root, "", 0, &mut encoded)?;
    Ok(encoded)
}

fn walk(folder: &Path, prefix: &str, depth: usize, encoded: &mut Encoded) -> Result<(), DataError> {
    for item in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = item.map_err(DataError::io(folder))?.path();
        let name = match path.file_name().and_then(|name| name.to_str()) {
            Some(name) => format!("{prefix}{name}"),
            None => {
                encoded.skipped.count(Kind::Other);
                continue;
            }
        };
        match kind_of(&name) {
            Kind::Hidden => encoded.skipped.count(Kind::Hidden),
            _ if path.is_dir() && depth < DEEPEST => {
                walk(&path, &format!("{name}/"), depth + 1, encoded)?;
            }
            Kind::Image if path.is_file() => {
                let place = Place::File(path);
                encoded.entries.push(Entry { name, place });
            }
            _ => encoded.skipped.count(Kind::Other),
        }
    }
    Ok(())
}
