use std::fmt;
use std::sync::Arc;

use crate::DataError;
use crate::source::Kind;

/// Files that were passed over when a dataset was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Hidden files and folders, such as `._x`, `.DS_Store` and `__MACOSX`.
    pub hidden: usize,
    /// Files that are no images, by their names.
    pub other: usize,
    /// Images whose place or name gives no class.
    pub unlabelled: usize,
}

impl Skipped {
    /// The number of files passed over.
    pub fn total(&self) -> usize {
        self.hidden + self.other + self.unlabelled
    }

    pub(crate) fn count(&mut self, kind: Kind) {
        match kind {
            Kind::Hidden => self.hidden += 1,
            Kind::Other => self.other += 1,
            Kind::Image => {}
        }
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hidden, other, unlabelled) = (self.hidden, self.other, self.unlabelled);
        write!(f, "{} files skipped ({hidden} hidden, {other} no images, {unlabelled} without a class)", self.total())
    }
}

/// A sample that could not be used, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// The sample's index in its dataset.
    pub index: usize,
    /// The sample's name in its dataset.
    pub name: String,
    /// What went wrong.
    pub error: Arc<DataError>,
}

/// The samples that could not be used, in order of their indices, each once.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether every sample could be used.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The samples, in order of their indices.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// Adds the faults of another collector; a sample that is here already is not added again.
    pub fn merge(&mut self, other: &Self) {
        for fault in &other.list {
            self.add(fault.clone());
        }
    }

    pub(crate) fn add(&mut self, fault: Fault) {
        if let Err(at) = self.list.binary_search_by_key(&fault.index, |f| f.index) {
            self.list.insert(at, fault);
        }
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// How many faults a printed collector names.
const NAMED: usize = 10;

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken images left out", self.len())?;
        for fault in self.iter().take(NAMED) {
            write!(f, "\n  {}", fault.error)?;
        }
        match self.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
