//! What a manifest carries of an audit.

use serde::{Deserialize, Serialize};

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
    /// Private images that inversions were measured on.
    pub images: usize,
    /// The attack whose reconstructions are nearest the private images, by their mean SSIM.
    pub inversion: Option<Worst>,
    /// Mean SSIM of the 5 % of images that any one attack reconstructs best.
    pub worst_ssim: Option<f64>,
    /// The probe that reads the signal best, by the accuracy on unseen images.
    pub signal_probe: Option<Worst>,
    /// The same for the true label, read from smashed data or from the answer.
    pub label_probe: Option<Worst>,
    /// Accuracy of guessing the label: the share of the most frequent class.
    pub label_guess: f64,
    /// Accuracy of guessing the signal; `None` without one.
    pub signal_guess: Option<f64>,
    /// What the Jacobian lets through, at the image where it lets through most.
    pub sight: Option<Sight>,
    /// Diagonal Fisher information leakage (Maeng et al. 2023) at its mean over the images measured, for pixels of 0
    /// to 1; `None` without noise, where there is no bound.
    pub dfil: Option<f64>,
    /// Accuracy of the client's answers after unmasking, defences included.
    pub task_accuracy: f64,
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
    /// Rank of the Jacobian.
    pub rank: f64,
    /// Values of the image.
    pub of: usize,
}
