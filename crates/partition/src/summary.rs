//! What a manifest carries of an audit.

use crate::defend::do_the_same;
use crate::{Cut, Error, list_defences};
use cleave_nets::Defence;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Formatter};

/// What an audit may try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Attack {
    /// Signal and label probes.
    Probes,
    /// The trained inversion.
    Decoder,
    /// The white-box inversion; it also starts from the decoder's answer, where that is tried.
    WhiteBox,
    /// The query-free inversion.
    QueryFree,
    /// The linear attack, where the front half is one layer.
    LeastSquares,
    /// The key of a locked pair from images known in both forms.
    KnownImages,
    /// The key of a locked pair from keyed images alone.
    KeyedImages,
    /// Other keys in place of the right one.
    WrongKeys,
    /// No attack on the client, but one by it: a copy of the back half.
    Extraction,
    /// No attack, but how much an attack can see: the Jacobian.
    Jacobian,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Probes,
        Self::Decoder,
        Self::WhiteBox,
        Self::QueryFree,
        Self::LeastSquares,
        Self::KnownImages,
        Self::KeyedImages,
        Self::WrongKeys,
        Self::Extraction,
        Self::Jacobian,
    ];

    /// The name, as policies and the command line write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probes => "probes",
            Self::Decoder => "decoder",
            Self::WhiteBox => "white-box",
            Self::QueryFree => "query-free",
            Self::LeastSquares => "least-squares",
            Self::KnownImages => "known-images",
            Self::KeyedImages => "keyed-images",
            Self::WrongKeys => "wrong-keys",
            Self::Extraction => "extraction",
            Self::Jacobian => "jacobian",
        }
    }
}

impl Display for Attack {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// An attack that was run, with its effort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// Which.
    pub attack: Attack,
    /// Steps of training or descent over all starts; for the Jacobian the images it was measured at.
    pub steps: usize,
}

/// What attacks on a front half gave, in the few numbers that a policy asks for.
///
/// Every number is what was found with the images and the effort that the audit's record states. A stronger attack
/// may find more; none of them is a promise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditSummary {
    /// SHA-256 of the audit's record, in hexadecimal.
    pub record: String,
    /// SHA-256 over the tensors of the front half that was attacked, in hexadecimal.
    pub front_hash: String,
    /// The cut that was attacked, as the command line writes it.
    pub cut: String,
    /// Defences that were in place, those trained in before those applied at the cut.
    pub defences: Vec<Defence>,
    /// The attacks that were run, with their effort.
    #[serde(default)]
    pub tried: Vec<Tried>,
    /// Private images that accuracies were measured on, the fewest of them.
    pub judged: usize,
    /// Private images that inversions were measured on.
    pub images: usize,
    /// The attack whose reconstructions are nearest the private images, by their mean SSIM.
    pub inversion: Option<Worst>,
    /// Mean SSIM of the 5 % of images that any one attack reconstructs best.
    pub worst_ssim: Option<f64>,
    /// Mean lead in SSIM over the mean image, image by image, of the attack that leads most.
    #[serde(default)]
    pub ssim_lead: Option<f64>,
    /// The same over the 5 % of images on which any one attack leads most.
    #[serde(default)]
    pub worst_ssim_lead: Option<f64>,
    /// Share of the mean image's squared error that an inversion took away, at most: 0 for the mean image, 1 for the
    /// private image itself, below 0 for worse than the mean image.
    #[serde(default)]
    pub explained: Option<f64>,
    /// The probe that reads the signal best, by the accuracy on unseen images.
    pub signal_probe: Option<Worst>,
    /// The same for the true label, read from smashed data or from the answer.
    pub label_probe: Option<Worst>,
    /// Accuracy of guessing the label: the share of the most frequent class.
    pub label_guess: f64,
    /// Accuracy of guessing the signal; `None` for a network without one.
    pub signal_guess: Option<f64>,
    /// What the Jacobian lets through, at the image where it lets through most.
    pub sight: Option<Sight>,
    /// Private images that the Jacobian was measured at.
    #[serde(default)]
    pub traced: usize,
    /// Diagonal Fisher information leakage (Maeng et al. 2023) at its mean over the images measured, for pixels of 0
    /// to 1; `None` without noise, where there is no bound, and where the Jacobian was not measured.
    pub dfil: Option<f64>,
    /// Accuracy of the client's answers after unmasking, defences included.
    pub task_accuracy: f64,
}

impl AuditSummary {
    /// Whether this is about that front half, at that cut, with those defences.
    ///
    /// # Errors
    /// [`Error::AuditOfOther`] says in what it differs.
    pub fn check_subject(&self, cut: Cut, front_hash: &str, defences: &[Defence]) -> Result<(), Error> {
        let cut = cut.to_string();
        let (what, audited, released) = if self.cut != cut {
            ("cut", self.cut.clone(), cut)
        } else if self.front_hash != front_hash {
            ("weights' hash", self.front_hash.clone(), front_hash.to_owned())
        } else if !do_the_same(&self.defences, defences) {
            ("list of defences", list_defences(&self.defences), list_defences(defences))
        } else {
            return Ok(());
        };
        Err(Error::AuditOfOther { what, audited, released })
    }

    /// Whether every text can be printed on a terminal as it stands.
    pub(crate) fn is_printable(&self) -> bool {
        let attacks = [&self.inversion, &self.signal_probe, &self.label_probe].into_iter().flatten();
        let mut texts = attacks.map(|worst| &worst.attack).chain([&self.record, &self.front_hash, &self.cut]);
        !texts.any(|text| text.chars().any(char::is_control))
    }
}

/// The strongest of several attacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// Its name.
    pub attack: String,
    /// What it reached: SSIM or accuracy.
    pub value: f64,
}

/// How many directions of an image are visible in smashed data.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sight {
    /// Rank of the Jacobian; where it was estimated, the upper end of its interval.
    pub rank: f64,
    /// Values of the image.
    pub of: usize,
}

/// A few lines: what was tried and what came out.
impl Display for AuditSummary {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "audit    record {}", self.record)?;
        let tried = self.tried.iter().map(|Tried { attack, steps }| match attack {
            Attack::Jacobian => format!("{attack} at {steps} images"),
            _ => format!("{attack} of {steps} steps"),
        });
        let tried = tried.collect::<Vec<_>>().join(", ");
        writeln!(f, "tried    {}", if tried.is_empty() { "nothing" } else { &tried })?;
        match &self.inversion {
            Some(Worst { attack, value }) => {
                write!(f, "image    {attack} on {} images: mean SSIM {value:.3}", self.images)?;
                let worst = self.worst_ssim.map(|worst| format!(", {worst:.3} for the 5 % inverted best"));
                writeln!(f, "{}", worst.unwrap_or_default())?;
                if let (Some(lead), Some(explained)) = (self.ssim_lead, self.explained) {
                    let explained = 100.0 * explained;
                    writeln!(f, "         {lead:.3} above the mean image, {explained:.0} % of its squared error gone")?;
                }
            }
            None => writeln!(f, "image    no inversion was tried")?,
        }
        probe(f, "signal", self.signal_probe.as_ref(), self.signal_guess)?;
        probe(f, "label", self.label_probe.as_ref(), Some(self.label_guess))?;
        writeln!(f, "task     the client's answers are right in {:.1} %", 100.0 * self.task_accuracy)?;
        match self.sight {
            Some(Sight { rank, of }) => writeln!(f, "visible  {rank:.0} of {of} directions of an image")?,
            None => writeln!(f, "visible  directions were not counted")?,
        }
        match self.dfil {
            Some(dfil) => {
                let error = dfil.recip();
                write!(f, "bound    dFIL {dfil:.4}: unbiased attackers err by {error:.4} a pixel or more (MSE)")
            }
            None if self.defences.iter().any(Defence::is_noise) => {
                write!(f, "bound    not measured: the Jacobian is needed")
            }
            None => write!(f, "bound    no bound: there is no noise"),
        }
    }
}

fn probe(f: &mut Formatter<'_>, what: &str, probe: Option<&Worst>, guess: Option<f64>) -> std::fmt::Result {
    let guess = guess.map_or_else(String::new, |guess| format!("; guessing is right in {:.1} %", 100.0 * guess));
    match probe {
        Some(Worst { attack, value }) => {
            writeln!(f, "probe    {attack}: reads the {what} in {:.1} %{guess}", 100.0 * value)
        }
        None => writeln!(f, "probe    the {what} was not probed{guess}"),
    }
}
