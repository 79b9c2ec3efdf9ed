//! An audit in parts.

use crate::Error;
use crate::observer::Observer;
use crate::parts::{Parts, Pictured};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A part without pictures.
#[derive(Serialize, Deserialize)]
struct Plain<T>(T);

impl<T> Pictured for Plain<T> {}

/// Parts one after the other.
pub(crate) struct Run<'a> {
    parts: &'a Parts<'a>,
    done: usize,
    all: usize,
    observer: &'a mut dyn Observer,
}

impl<'a> Run<'a> {
    pub(crate) fn new(parts: &'a Parts<'a>, all: usize, observer: &'a mut dyn Observer) -> Self {
        Self { parts, done: 0, all, observer }
    }

    pub(crate) fn part<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        title: &str,
        steps: usize,
        make: impl FnOnce(&mut dyn Observer) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.observer.began(title, steps);
        let made = self.parts.part(name, || make(&mut *self.observer).map(Plain)).map_err(|error| match error {
            Error::Interrupted { .. } => Error::Interrupted { done: self.done, all: self.all },
            other => other,
        })?;
        self.done += 1;
        Ok(made.0)
    }
}
