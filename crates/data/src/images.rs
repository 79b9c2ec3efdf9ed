use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::source::{Encoded, Source, is_image};
use crate::{DataError, OpenOptions, Pixels, Skipped};

/// Images without labels, for inference.
#[derive(Clone, Debug)]
pub struct Images {
    encoded: Arc<Encoded>,
}

impl Images {
    /// Opens one image file, or all images of a folder, a tar or a gzipped tar, sorted by name.
    /// No image is decoded yet.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`], [`DataError::NoImages`], [`DataError::UnknownLayout`],
    /// [`DataError::ArchiveCut`] or [`DataError::TooLarge`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        std::fs::metadata(path).map_err(DataError::io(path))?;
        if path.is_file() && is_image(&path.to_string_lossy()) {
            return Self::from_paths(&[path]);
        }
        let encoded = Encoded::open(path, OpenOptions::default().memory)?;
        if encoded.entries.is_empty() {
            return Err(DataError::NoImages { path: path.to_owned(), skipped: encoded.skipped.total() });
        }
        Ok(Self { encoded: Arc::new(encoded) })
    }

    /// Takes image files in the order given, whatever their names.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when one of them is not there.
    pub fn from_paths(paths: &[impl AsRef<Path>]) -> Result<Self, DataError> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        for path in &paths {
            std::fs::metadata(path).map_err(DataError::io(path))?;
        }
        Ok(Self { encoded: Arc::new(Encoded::of_files(&paths)) })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.encoded.entries.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of an image: its path as given, or below the folder or in the archive; empty out
    /// of range.
    pub fn name(&self, index: usize) -> String {
        self.encoded.name(index)
    }

    /// Decodes an image.
    ///
    /// # Errors
    ///
    /// [`DataError::Index`] out of range, [`DataError::Io`], and those of
    /// [`Pixels::from_encoded`].
    pub fn decode(&self, index: usize) -> Result<Pixels, DataError> {
        self.encoded.pixels(index)
    }

    /// What was passed over when the images were listed.
    pub fn skipped(&self) -> Skipped {
        self.encoded.skipped
    }
}
