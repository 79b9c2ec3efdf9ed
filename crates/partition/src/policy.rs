//! What a pair must keep to be released under a promise.

use crate::{Attack, AuditSummary, Error};
use cleave_leakage::Verdict;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// A promise, and the limits that stand for it.
///
/// A limit is compared with what the attacks of an audit reached, and with nothing else: a policy that is kept was not
/// broken by what was tried. A limit on what was not measured counts as broken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it promises and what it does not, in words.
    pub promise: String,
    /// What must hold for it.
    pub limits: Limits,
}

/// The limits of a policy; one that is not set asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Whether the leakage check must pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub check_passes: bool,
    /// Attacks that must have been run. A limit on the best attack is kept by a weak one when the others are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_attacks: Vec<Attack>,
    /// Largest [`Measure::MeanSsim`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_mean_ssim: Option<f64>,
    /// Largest [`Measure::WorstSsim`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_worst_ssim: Option<f64>,
    /// Largest [`Measure::MeanSsimLead`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_mean_ssim_lead: Option<f64>,
    /// Largest [`Measure::WorstSsimLead`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_worst_ssim_lead: Option<f64>,
    /// Largest [`Measure::Explained`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_explained: Option<f64>,
    /// Smallest [`Measure::HiddenShare`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smallest_hidden_share: Option<f64>,
    /// Smallest [`Measure::Inverted`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_inverted: Option<usize>,
    /// Largest [`Measure::SignalLead`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_signal_lead: Option<f64>,
    /// Largest [`Measure::LabelLead`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_label_lead: Option<f64>,
    /// Largest [`Measure::ReplyLead`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_reply_lead: Option<f64>,
    /// Smallest [`Measure::Judged`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_judged: Option<usize>,
    /// Smallest [`Measure::Traced`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fewest_traced: Option<usize>,
    /// Largest [`Measure::Dfil`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_dfil: Option<f64>,
}

/// What a limit is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// Mean SSIM of the best inversion, 1 for the image itself.
    MeanSsim,
    /// Mean SSIM of the 5 % of images that an inversion does best on.
    WorstSsim,
    /// Mean lead in SSIM of an inversion over the mean image, which shows nothing of any image.
    MeanSsimLead,
    /// The same over the 5 % of images on which it leads most.
    WorstSsimLead,
    /// Share of the mean image's squared error that an inversion takes away: 0 for the mean image, 1 for the image
    /// itself.
    Explained,
    /// Share of the directions of an image that the Jacobian does not let through, where it lets through most.
    HiddenShare,
    /// Private images that inversions were measured on.
    Inverted,
    /// Accuracy of the best signal probe, less that of guessing.
    SignalLead,
    /// Accuracy of the best label probe, less that of guessing.
    LabelLead,
    /// How far above guessing the label that a reply shows can bring somebody who has no smashed data.
    ///
    /// A masked label is independent of the true one, the signal being uniform. A reply shows the masked label but for
    /// the share of images that the client gets a wrong answer for. So the lead is at most 1 less the accuracy of the
    /// task. It speaks of the largest score, not of all of them.
    ReplyLead,
    /// Private images that accuracies were measured on, the fewest of them.
    Judged,
    /// Private images that the Jacobian was measured at.
    Traced,
    /// Diagonal Fisher information leakage; 1/dFIL bounds the mean squared error of unbiased attackers from below.
    Dfil,
}

/// Which side of a limit is allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
}

/// A way in which a pair breaks a policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// The leakage check leaks, and the policy asks that it pass.
    CheckLeaks,
    /// The leakage check could not be made, and the policy asks that it pass.
    NotChecked,
    /// An attack that the policy asks for was not run.
    NotTried {
        /// Which.
        attack: Attack,
    },
    /// A limit is broken.
    Limit {
        /// What it is on.
        measure: Measure,
        /// What is allowed.
        bound: Bound,
        /// What the audit found; `None` where it did not measure this.
        found: Option<f64>,
    },
}

impl Policy {
    /// The policies that come with this build, each under its name, as TOML with the reasons for its limits.
    pub const SHIPPED: [(&'static str, &'static str); 3] = [
        ("answer-only-masked", include_str!("../policies/answer-only-masked.toml")),
        ("no-recognisable-image", include_str!("../policies/no-recognisable-image.toml")),
        ("noise-bounded", include_str!("../policies/noise-bounded.toml")),
    ];

    /// Reads a policy from TOML.
    ///
    /// # Errors
    /// [`Error::PolicySyntax`]; [`Error::PolicyText`], [`Error::PolicyLimit`] and [`Error::EmptyPolicy`] as
    /// [`Policy::validate`].
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        let policy: Self = toml::from_str(text).map_err(|error| Error::PolicySyntax { reason: error.to_string() })?;
        policy.validate()?;
        Ok(policy)
    }

    /// Whether name, promise and limits are such that they can be kept or broken.
    ///
    /// # Errors
    /// [`Error::PolicyText`] for a name or promise that is empty or cannot be printed; [`Error::PolicyLimit`] for a
    /// limit outside its range; [`Error::EmptyPolicy`] for a policy that limits nothing.
    pub fn validate(&self) -> Result<(), Error> {
        for (field, text) in [("name", &self.name), ("promise", &self.promise)] {
            if text.trim().is_empty() || text.chars().any(char::is_control) {
                return Err(Error::PolicyText { field, text: text.clone() });
            }
        }
        let limits = self.limits.all();
        if limits.is_empty() && !self.limits.check_passes && self.limits.required_attacks.is_empty() {
            return Err(Error::EmptyPolicy { name: self.name.clone() });
        }
        match limits.into_iter().find(|(measure, bound)| !measure.allows_limit(bound.value())) {
            Some((measure, bound)) => {
                let (name, value) = (self.name.clone(), bound.value());
                Err(Error::PolicyLimit { name, measure, value, expected: measure.range() })
            }
            None => Ok(()),
        }
    }

    /// Every limit that a front half breaks, by its audit and the verdict of the check; none where it keeps the policy.
    ///
    /// `verdict` is `None` where the check cannot count a layer; a policy that asks for it is broken then.
    pub fn check(&self, audit: Option<&AuditSummary>, verdict: Option<&Verdict>) -> Vec<Violation> {
        let leaks = match verdict {
            _ if !self.limits.check_passes => None,
            None => Some(Violation::NotChecked),
            Some(verdict) => verdict.leaks().then_some(Violation::CheckLeaks),
        };
        let broken = self.limits.all().into_iter().filter_map(|(measure, bound)| {
            let found = audit.and_then(|audit| measure.found(audit));
            (!found.is_some_and(|found| bound.allows(found))).then_some(Violation::Limit { measure, bound, found })
        });
        let tried =
            |attack: &Attack| audit.is_some_and(|audit| audit.tried.iter().any(|tried| tried.attack == *attack));
        let missing = self.limits.required_attacks.iter().filter(|attack| !tried(attack));
        let missing = missing.map(|&attack| Violation::NotTried { attack });
        leaks.into_iter().chain(missing).chain(broken).collect()
    }
}

impl Limits {
    /// The limits that are set.
    fn all(&self) -> Vec<(Measure, Bound)> {
        let most = |limit: Option<f64>| limit.map(Bound::Most);
        let fewest = |limit: Option<usize>| limit.map(|limit| Bound::Least(limit as f64));
        let table = [
            (Measure::MeanSsim, most(self.largest_mean_ssim)),
            (Measure::WorstSsim, most(self.largest_worst_ssim)),
            (Measure::MeanSsimLead, most(self.largest_mean_ssim_lead)),
            (Measure::WorstSsimLead, most(self.largest_worst_ssim_lead)),
            (Measure::Explained, most(self.largest_explained)),
            (Measure::HiddenShare, self.smallest_hidden_share.map(Bound::Least)),
            (Measure::Inverted, fewest(self.fewest_inverted)),
            (Measure::SignalLead, most(self.largest_signal_lead)),
            (Measure::LabelLead, most(self.largest_label_lead)),
            (Measure::ReplyLead, most(self.largest_reply_lead)),
            (Measure::Judged, fewest(self.fewest_judged)),
            (Measure::Traced, fewest(self.fewest_traced)),
            (Measure::Dfil, most(self.largest_dfil)),
        ];
        table.into_iter().filter_map(|(measure, bound)| Some((measure, bound?))).collect()
    }
}

impl Measure {
    /// What an audit found of this; `None` where it was not measured.
    pub fn found(self, audit: &AuditSummary) -> Option<f64> {
        match self {
            Self::MeanSsim => audit.inversion.as_ref().map(|worst| worst.value),
            Self::WorstSsim => audit.worst_ssim,
            Self::MeanSsimLead => audit.ssim_lead,
            Self::WorstSsimLead => audit.worst_ssim_lead,
            Self::Explained => audit.explained,
            Self::HiddenShare => audit.sight.map(|sight| 1.0 - sight.rank / sight.of as f64),
            Self::Inverted => Some(audit.images as f64),
            Self::SignalLead => Some(audit.signal_probe.as_ref()?.value - audit.signal_guess?),
            Self::LabelLead => audit.label_probe.as_ref().map(|worst| worst.value - audit.label_guess),
            Self::ReplyLead => audit.signal_guess.map(|_| 1.0 - audit.task_accuracy),
            Self::Judged => Some(audit.judged as f64),
            Self::Traced => Some(audit.traced as f64),
            Self::Dfil => audit.dfil,
        }
    }

    fn allows_limit(self, value: f64) -> bool {
        match self {
            Self::Inverted | Self::Judged | Self::Traced => value >= 1.0,
            Self::Dfil => value.is_finite() && value > 0.0,
            _ => (0.0..=1.0).contains(&value),
        }
    }

    const fn range(self) -> &'static str {
        match self {
            Self::Inverted | Self::Judged | Self::Traced => "1 image or more",
            Self::Dfil => "a finite number above 0",
            _ => "0 to 1",
        }
    }
}

impl Bound {
    /// The number.
    pub const fn value(self) -> f64 {
        match self {
            Self::Most(value) | Self::Least(value) => value,
        }
    }

    /// Whether a number keeps it; NaN never does.
    pub fn allows(self, found: f64) -> bool {
        match self {
            Self::Most(most) => found <= most,
            Self::Least(least) => found >= least,
        }
    }
}

impl Display for Measure {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MeanSsim => "mean SSIM of the best inversion",
            Self::WorstSsim => "mean SSIM of the 5 % of images inverted best",
            Self::MeanSsimLead => "lead of the best inversion over the mean image in SSIM",
            Self::WorstSsimLead => "lead over the mean image in SSIM on the 5 % of images inverted best",
            Self::Explained => "share of the mean image's squared error that an inversion took away",
            Self::HiddenShare => "share of an image's directions that are hidden",
            Self::Inverted => "images that inversions were measured on",
            Self::SignalLead => "lead of the best signal probe over guessing",
            Self::LabelLead => "lead of the best label probe over guessing",
            Self::ReplyLead => "lead over guessing that a reply alone can give",
            Self::Judged => "images that accuracies were measured on",
            Self::Traced => "images that the Jacobian was measured at",
            Self::Dfil => "dFIL",
        })
    }
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let (measure, bound, found) = match self {
            Self::CheckLeaks => return write!(f, "the leakage check does not pass"),
            Self::NotTried { attack } => return write!(f, "the attack {attack} is asked for and was not run"),
            Self::NotChecked => return write!(f, "the leakage check cannot count a layer, and it is to pass"),
            Self::Limit { measure, bound, found } => (measure, bound, found),
        };
        match bound {
            Bound::Most(most) => write!(f, "{measure}: at most {most} is allowed, ")?,
            Bound::Least(least) => write!(f, "{measure}: at least {least} is asked for, ")?,
        }
        match found {
            Some(found) => write!(f, "{} was found", (found * 1e4).round() / 1e4),
            None => write!(f, "and it was not measured"),
        }
    }
}
