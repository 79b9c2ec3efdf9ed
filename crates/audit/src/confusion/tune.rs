//! Fine-tuning without the key, and what it is compared with.

use super::{Field, FineTuneSettings, TuneStart, Tuning, TuningPoint};
use crate::observer::Observer;
use crate::{Error, Share};
use cleave_data::{LoadOptions, Loader};
use cleave_nets::Network;
use cleave_retrain::{Measurement, Outcome, Schedule, TrainSettings, Trainer};
use std::time::Instant;

/// Trains all of a network on the first `labelled` images of the attacker's.
pub(super) fn tune(
    field: &Field<'_>,
    start: TuneStart,
    network: &Network,
    labelled: usize,
    observer: &mut dyn Observer,
) -> Result<Tuning, Error> {
    let began = Instant::now();
    let settings = &field.settings.finetune;
    observer.began(&format!("fine-tuning on {labelled} images, {}", start.name()), settings.steps);
    let (batch, seed) = (settings.batch.clamp(1, labelled.max(1)), field.settings.seed);
    let dataset = field.own.dataset().subset(&field.order[..labelled])?;
    let loader = Loader::new(dataset, field.own.preparation().clone(), LoadOptions::training(batch, seed))?;
    let train = train_settings(settings, start, batch, seed);
    let first = field.accuracy_of(network)?;
    let mut watch = Watch { observer, curve: vec![TuningPoint { step: 0, accuracy: first }], tests: first.of };
    let mut trainer = Trainer::new(network, 0, None, loader, Some(field.tests.clone()), train)?;
    let diverged = match trainer.run(None, &mut watch) {
        Ok(Outcome::Finished) => false,
        Ok(Outcome::Interrupted) => return Err(Error::Interrupted { done: 0, all: 0 }),
        Err(cleave_retrain::Error::Diverged { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    let curve = watch.curve;
    let accuracy = curve.last().map_or(first, |point| point.accuracy);
    observer.found(&format!("{}: {:.1} % right", start.name(), 100.0 * accuracy.share));
    Ok(Tuning { start, labelled, curve, accuracy, diverged, seconds: began.elapsed().as_secs_f64() })
}

/// As the paper's Section 3.3, but that the rate falls in a straight line where it has half a cosine, since that is what
/// the trainer has.
fn train_settings(settings: &FineTuneSettings, start: TuneStart, batch: usize, seed: u64) -> TrainSettings {
    let steps = settings.steps;
    TrainSettings {
        steps,
        batch,
        learning_rate: if start == TuneStart::Scratch { settings.scratch_rate } else { settings.learning_rate },
        schedule: Schedule::Polynomial,
        power: 1.0,
        momentum: 0.9,
        weight_decay: 1e-4,
        seed,
        eval_every: steps.div_ceil(settings.evaluations.max(1)),
        log_every: steps.max(1),
        ..TrainSettings::default()
    }
}

/// Hands progress on, and keeps the accuracies.
struct Watch<'a> {
    observer: &'a mut dyn Observer,
    curve: Vec<TuningPoint>,
    tests: usize,
}

impl cleave_retrain::Observer for Watch<'_> {
    fn measured(&mut self, measurement: &Measurement) {
        if let Some(accuracy) = measurement.accuracy {
            let hits = (accuracy * self.tests as f64).round() as usize;
            self.curve.push(TuningPoint { step: measurement.step, accuracy: Share::of(hits, self.tests) });
        }
    }

    fn stepped(&mut self, _step: usize) {
        self.observer.stepped();
    }

    fn stop(&self) -> bool {
        self.observer.stop()
    }
}
