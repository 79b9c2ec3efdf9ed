//! What a join layer accepts: the kind of signal and how it is drawn.

use serde::{Deserialize, Serialize};

/// What the signal does to the label (sun2019, Sections 5.1 and 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// Two classes: `masked = label xor signal`.
    Complement,
    /// Any number of classes: `masked = (signal + label) mod classes`.
    Offset,
}

/// How the signal's channel is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalForm {
    /// An image of the digit, resized to the height and width at the join; another image each time.
    Digit,
    /// One value at every position.
    Plane,
}

/// The secret signal that a join layer expects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalSpec {
    /// Complement or offset.
    pub kind: SignalKind,
    /// Digit image or constant plane.
    pub form: SignalForm,
    /// Classes of the network, and so the number of signal values.
    pub classes: usize,
    /// Largest absolute value on the channel, in the units of the activations at the join.
    pub scale: f32,
}

impl SignalSpec {
    /// A digit signal of scale 1.
    pub const fn new(kind: SignalKind, classes: usize) -> Self {
        Self { kind, form: SignalForm::Digit, classes, scale: 1.0 }
    }

    /// What is wrong with the specification, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.scale.is_finite() || self.scale <= 0.0 {
            return Err(format!("has a signal of scale {}, which is not above 0", self.scale));
        }
        match self.kind {
            SignalKind::Complement if self.classes != 2 => {
                Err(format!("complements {} classes; a complement needs 2, use an offset", self.classes))
            }
            SignalKind::Offset if self.classes < 2 => {
                Err(format!("shifts {} classes; an offset needs at least 2", self.classes))
            }
            _ if self.form == SignalForm::Digit && self.classes > 10 => {
                Err(format!("draws {} signals as digits, of which there are 10; use a plane", self.classes))
            }
            _ => Ok(()),
        }
    }
}
