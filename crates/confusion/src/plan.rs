//! How many channels each group of channels gets.

use crate::{Error, Group, Groups};
use serde::{Deserialize, Serialize};

/// How confusion neurons are shared out among the layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PerLayer {
    /// The same number everywhere, so that narrow layers, which are mostly early ones, get a larger share: the paper's
    /// choice (Section 3.1.1).
    #[default]
    Absolute,
    /// The same share of every layer's channels.
    Relative,
}

/// Units to insert into each group, in the order of [`Groups::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan(pub(crate) Vec<usize>);

impl Plan {
    /// As many units for each group.
    ///
    /// # Errors
    /// [`Error::OtherNetwork`] for another number of groups.
    pub fn new(groups: &Groups, units: Vec<usize>) -> Result<Self, Error> {
        let plan = Self(units);
        plan.check(groups).map(|()| plan)
    }

    /// A `proportion` of all channels, the confusion proportion of the paper's Section 3.1: its sum over the layers is
    /// that share of the sum of their channels, as nearly as whole units come to it.
    ///
    /// # Errors
    /// [`Error::Proportion`], [`Error::NothingInserted`], [`Error::NotConfusable`].
    pub fn uniform(groups: &Groups, proportion: f64, per_layer: PerLayer) -> Result<Self, Error> {
        if !(proportion > 0.0 && proportion <= 1.0) {
            return Err(Error::Proportion { got: proportion });
        }
        let list = groups.list();
        if list.is_empty() {
            let reason = "all of its channels are its input's or its output's".to_owned();
            return Err(Error::NotConfusable { reason });
        }
        let mean = groups.channels() as f64 / list.len() as f64;
        let share = |group: &Group| match per_layer {
            PerLayer::Absolute => mean / group.width as f64,
            PerLayer::Relative => group.units as f64,
        };
        let units: Vec<_> = list.iter().map(|group| (proportion * share(group)).round() as usize).collect();
        if units.iter().all(|&units| units == 0) {
            let most = list.iter().map(share).fold(0.0, f64::max);
            return Err(Error::NothingInserted { got: proportion, least: 0.5 / most });
        }
        Ok(Self(units))
    }

    /// The same without units in any group but those that one of `layers` writes, named as in [`Group::writers`]
    /// (Section 3.1.1: all confusion neurons in one place).
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`] for a name that writes no group; [`Error::NoNeurons`] when nothing is left.
    pub fn only(mut self, groups: &Groups, layers: &[String]) -> Result<Self, Error> {
        self.check(groups)?;
        let writes = |group: &Group, layer: &String| group.writers.contains(layer);
        if let Some(layer) = layers.iter().find(|layer| !groups.list().iter().any(|group| writes(group, layer))) {
            let names = groups.list().iter().flat_map(|group| group.writers.clone()).collect();
            return Err(Error::NoSuchLayer { got: layer.clone(), names });
        }
        for (group, units) in groups.list().iter().zip(&mut self.0) {
            if !layers.iter().any(|layer| writes(group, layer)) {
                *units = 0;
            }
        }
        match self.0.iter().sum() {
            0_usize => Err(Error::NoNeurons),
            _ => Ok(self),
        }
    }

    /// Units for each group.
    pub fn units(&self) -> &[usize] {
        &self.0
    }

    pub(crate) fn check(&self, groups: &Groups) -> Result<(), Error> {
        let (expected, got) = (self.0.len(), groups.list().len());
        if expected == got {
            return Ok(());
        }
        let count = |count: usize| format!("{count} groups of channels");
        Err(Error::OtherNetwork { what: "the plan", expected: count(expected), got: count(got) })
    }
}
