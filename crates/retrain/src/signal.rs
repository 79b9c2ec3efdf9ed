//! Drawing, applying and undoing a signal.

use crate::Error;
use cleave_data::Glyphs;
use cleave_nets::{SignalForm, SignalKind, SignalSpec};
use rand::{Rng, RngExt};

/// The masked label (sun2019, Algorithms 1 and 2): `label xor signal`, or `(signal + label) mod classes`.
///
/// Classes and signals count from 0; the paper counts them from 1.
pub const fn mask(kind: SignalKind, classes: usize, label: usize, signal: usize) -> usize {
    match kind {
        SignalKind::Complement => label ^ signal,
        SignalKind::Offset => (label + signal) % classes,
    }
}

/// Undoes [`mask`].
pub const fn unmask(kind: SignalKind, classes: usize, masked: usize, signal: usize) -> usize {
    match kind {
        SignalKind::Complement => masked ^ signal,
        SignalKind::Offset => (masked + classes - signal % classes) % classes,
    }
}

/// NewLabel and NewLabel2: each label masked by its own signal.
pub fn relabel(spec: &SignalSpec, labels: &[usize], signals: &[usize]) -> Vec<usize> {
    labels.iter().zip(signals).map(|(&label, &signal)| mask(spec.kind, spec.classes, label, signal)).collect()
}

/// Scores of the masked labels put back in the order of the true labels.
///
/// # Shapes
/// `scores` and the result: `[classes]`.
///
/// # Errors
/// [`Error::Scores`] for another number of scores; [`Error::NoSuchSignal`].
pub fn unmask_scores(spec: &SignalSpec, scores: &[f32], signal: usize) -> Result<Vec<f32>, Error> {
    if scores.len() != spec.classes {
        return Err(Error::Scores { classes: spec.classes, got: scores.len() });
    }
    if signal >= spec.classes {
        return Err(Error::NoSuchSignal { signal, classes: spec.classes });
    }
    Ok((0..spec.classes).map(|label| scores[mask(spec.kind, spec.classes, label, signal)]).collect())
}

/// Draws signals and their channel for one join.
#[derive(Clone)]
pub struct SignalSource {
    spec: SignalSpec,
    glyphs: Option<Glyphs>,
    height: usize,
    width: usize,
}

impl SignalSource {
    /// A source for a join of `height` by `width`.
    ///
    /// # Errors
    /// [`Error::Glyphs`] when the signal is drawn with digits and one of them has no image.
    pub fn new(spec: SignalSpec, glyphs: Option<Glyphs>, height: usize, width: usize) -> Result<Self, Error> {
        let images = |digit| glyphs.as_ref().map_or(0, |glyphs| glyphs.len(digit));
        if spec.form == SignalForm::Digit
            && let Some(digit) = (0..spec.classes).find(|&digit| images(digit) == 0)
        {
            return Err(Error::Glyphs { digit, last: spec.classes - 1 });
        }
        Ok(Self { spec, glyphs, height, width })
    }

    /// What the join expects.
    pub const fn spec(&self) -> &SignalSpec {
        &self.spec
    }

    /// The digit images, where there are any.
    pub const fn glyphs(&self) -> Option<&Glyphs> {
        self.glyphs.as_ref()
    }

    /// `count` independent uniform signals.
    pub fn draw(&self, count: usize, rng: &mut impl Rng) -> Vec<usize> {
        (0..count).map(|_| rng.random_range(0..self.spec.classes)).collect()
    }

    /// The channels that carry `signals`; a digit's image is picked anew each time.
    ///
    /// A digit is drawn from 0 (background) to the scale (stroke); planes are spread evenly from minus
    /// the scale (signal 0) to the scale (the last signal).
    ///
    /// # Shapes
    /// The result: `[signals, 1, height, width]`.
    ///
    /// # Errors
    /// [`Error::NoSuchSignal`].
    pub fn planes(&self, signals: &[usize], rng: &mut impl Rng) -> Result<Vec<f32>, Error> {
        let mut out = Vec::with_capacity(signals.len() * self.height * self.width);
        if let Some(&signal) = signals.iter().find(|&&signal| signal >= self.spec.classes) {
            return Err(Error::NoSuchSignal { signal, classes: self.spec.classes });
        }
        for &signal in signals {
            match (&self.glyphs, self.spec.form) {
                (Some(glyphs), SignalForm::Digit) => {
                    let plane = Glyphs::resize_to(glyphs.pick(signal, rng)?, self.height, self.width);
                    out.extend(plane.into_iter().map(|value| value * self.spec.scale));
                }
                _ => out.extend(std::iter::repeat_n(self.level(signal), self.height * self.width)),
            }
        }
        Ok(out)
    }

    fn level(&self, signal: usize) -> f32 {
        let last = (self.spec.classes - 1) as f32;
        self.spec.scale * (2.0 * signal as f32 / last - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn unmask_undoes_mask_for_every_class_and_signal() {
        for classes in 2..12 {
            for (label, signal) in (0..classes).flat_map(|label| (0..classes).map(move |signal| (label, signal))) {
                let masked = mask(SignalKind::Offset, classes, label, signal);
                assert!(masked < classes);
                assert_eq!(unmask(SignalKind::Offset, classes, masked, signal), label);
            }
        }
        for (label, signal) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert_eq!(mask(SignalKind::Complement, 2, label, signal), label ^ signal);
            assert_eq!(unmask(SignalKind::Complement, 2, label ^ signal, signal), label);
        }
    }

    #[test]
    fn unmasked_scores_peak_at_the_true_label() {
        let spec = SignalSpec::new(SignalKind::Offset, 5);
        for (label, signal) in (0..5).flat_map(|label| (0..5).map(move |signal| (label, signal))) {
            let mut scores = vec![0.0; 5];
            scores[mask(spec.kind, 5, label, signal)] = 1.0;
            assert_eq!(unmask_scores(&spec, &scores, signal).unwrap()[label], 1.0);
        }
    }

    #[test]
    fn scores_and_signals_of_another_number_of_classes_are_refused() {
        let spec = SignalSpec::new(SignalKind::Offset, 3);
        for scores in [&[0.0; 2][..], &[0.0; 4], &[]] {
            assert!(matches!(unmask_scores(&spec, scores, 0), Err(Error::Scores { classes: 3, .. })));
        }
        assert!(matches!(unmask_scores(&spec, &[0.0; 3], 3), Err(Error::NoSuchSignal { signal: 3, classes: 3 })));
    }

    #[test]
    fn a_uniform_signal_makes_the_masked_label_uniform() {
        let spec = SignalSpec { form: SignalForm::Plane, ..SignalSpec::new(SignalKind::Offset, 4) };
        let source = SignalSource::new(spec.clone(), None, 1, 1).unwrap();
        let signals = source.draw(8000, &mut ChaCha8Rng::seed_from_u64(1));
        let mut counts = [0usize; 4];
        relabel(&spec, &vec![2; 8000], &signals).into_iter().for_each(|masked| counts[masked] += 1);
        assert!(counts.iter().all(|&count| count.abs_diff(2000) < 200), "{counts:?}");
    }

    #[test]
    fn planes_differ_between_signals_and_digits_between_draws() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let glyphs = Glyphs::drawn(3, &[0, 1], 20).unwrap();
        let spec = SignalSpec { scale: 4.0, ..SignalSpec::new(SignalKind::Complement, 2) };
        let digits = SignalSource::new(spec.clone(), Some(glyphs), 6, 6).unwrap();
        let drawn = digits.planes(&[1, 1], &mut rng).unwrap();
        assert_ne!(drawn[..36], drawn[36..]);
        assert!(drawn.iter().all(|value| (0.0..=4.0).contains(value)));
        let plane = SignalSource::new(SignalSpec { form: SignalForm::Plane, ..spec }, None, 1, 2).unwrap();
        assert_eq!(plane.planes(&[0, 1], &mut rng).unwrap(), [-4.0, -4.0, 4.0, 4.0]);
    }

    #[test]
    fn a_digit_without_images_is_named() {
        let glyphs = Glyphs::drawn(3, &[0, 1], 2).unwrap();
        let error = SignalSource::new(SignalSpec::new(SignalKind::Offset, 3), Some(glyphs), 6, 6).err().unwrap();
        assert!(matches!(error, Error::Glyphs { digit: 2, last: 2 }));
    }
}
