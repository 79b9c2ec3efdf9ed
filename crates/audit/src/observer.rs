//! Progress, and the wish to stop.

use crate::Error;

/// Watches an audit and may stop it.
pub trait Observer {
    /// A part of the audit begins: its name, and how many steps it takes.
    fn began(&mut self, _part: &str, _steps: usize) {}
    /// A step of the part was done.
    fn stepped(&mut self) {}
    /// A part ended: what it found, in a few words.
    fn found(&mut self, _summary: &str) {}
    /// Asked before each step: whether to stop here.
    fn stop(&self) -> bool {
        false
    }
}

/// Says nothing and never stops.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {}

/// Counts a step, and ends the part where the observer says stop. The caller knows how many parts are done.
pub(crate) fn step(observer: &mut dyn Observer) -> Result<(), Error> {
    if observer.stop() {
        return Err(Error::Interrupted { done: 0, all: 0 });
    }
    observer.stepped();
    Ok(())
}
