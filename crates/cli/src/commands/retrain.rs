//! `cleave retrain`: a network that answers in masked labels.

use crate::options::{DataOptions, DeviceOption, GlyphOptions};
use crate::training::{self, Loaders, TrainOptions};
use crate::{Failure, Output};
use clap::{Args, ValueEnum};
use cleave_nets::{Checkpoint, SignalForm, SignalKind};
use cleave_retrain::{Curriculum, JoinSettings, TrainSettings, Trainer, join_signal};
use std::path::PathBuf;

/// Retrain a network with a secret signal that masks its answer
#[derive(Args, Clone, Debug)]
pub struct Retrain {
    /// The base network
    model: PathBuf,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    signal: SignalOptions,
    #[command(flatten)]
    training: TrainOptions,
    #[command(flatten)]
    device: DeviceOption,
    /// Seed of new weights, order, augmentation, dropout and signals
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The model to write
    #[arg(long)]
    out: PathBuf,
}

/// The signal and where it joins.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Signal")]
pub struct SignalOptions {
    /// Layers of the base network that are kept as they are (the paper's N); 0 trains from scratch
    #[arg(long)]
    pub preserve: usize,
    /// What the signal does to the label; without this, complement for two classes and offset for more
    #[arg(long, value_enum)]
    pub kind: Option<Kind>,
    /// How the signal is drawn
    #[arg(long, value_enum, default_value_t = Form::Digit)]
    pub signal: Form,
    /// Energy of the signal at the join, in units of all other channels' together; without this 1, or 0.3 where
    /// nothing is preserved
    #[arg(long)]
    pub strength: Option<f32>,
    /// Size of the new weights, in units of the old ones
    #[arg(long, default_value_t = 1.0)]
    pub new_weights: f32,
    /// Share of the steps over which signals come in, those of class 0 at once; 0 for all from the start; without this
    /// 0.5, or 0.3 where nothing is preserved
    #[arg(long)]
    pub curriculum: Option<f32>,
    /// Share of the steps before that, with few signals; without this 0, or 0.3 where nothing is preserved
    #[arg(long)]
    pub hold: Option<f32>,
    #[command(flatten)]
    pub glyphs: GlyphOptions,
}

/// Labelling algorithms.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Kind {
    /// label xor signal, for two classes
    Complement,
    /// (signal + label) mod classes
    Offset,
}

/// Forms of the signal's channel.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    /// An image of the digit, another one each time
    Digit,
    /// One value at every position
    Plane,
}

impl SignalOptions {
    /// How signals come in.
    pub fn curriculum(&self) -> Curriculum {
        let usual = Curriculum::for_join(self.preserve);
        Curriculum { span: self.curriculum.unwrap_or(usual.span), hold: self.hold.unwrap_or(usual.hold), ..usual }
    }

    /// The settings of the join for a network of so many classes.
    pub fn join(&self, classes: usize, seed: u64) -> JoinSettings {
        let kind = match (self.kind, classes) {
            (Some(Kind::Complement), _) | (None, 2) => SignalKind::Complement,
            _ => SignalKind::Offset,
        };
        let form = match self.signal {
            Form::Digit => SignalForm::Digit,
            Form::Plane => SignalForm::Plane,
        };
        let Self { preserve: preserved, new_weights, .. } = *self;
        let strength = self.strength.unwrap_or(JoinSettings::usual_strength(preserved));
        JoinSettings { preserved, kind, form, strength, new_weights, seed }
    }
}

impl Retrain {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let settings = TrainSettings { curriculum: self.signal.curriculum(), ..self.training.settings(self.seed) };
        let base = Checkpoint::load(&self.model, &self.device.open()?)?;
        let data = self.data.with_classes_of(&base.card.classes)?;
        let loaders = Loaders::open(&data, &base.card.preparation, &settings)?;
        let samples = loaders.train.epoch(0)?.next().transpose()?.map(|batch| batch.images).unwrap_or_default();
        let join = self.signal.join(base.card.classes.len(), self.seed);
        let glyphs = (join.form == SignalForm::Digit)
            .then(|| self.signal.glyphs.open(base.card.classes.len(), "train", self.seed));
        let (network, source) = join_signal(&base.network, &join, glyphs.transpose()?, samples)?;
        let released = source
            .glyphs()
            .map(|glyphs| glyphs.subset(self.signal.glyphs.released_glyphs.get(), self.seed))
            .transpose()?;
        let trainer = Trainer::new(
            &network,
            join.preserved,
            Some(source),
            loaders.train.clone(),
            loaders.validation.clone(),
            settings.clone(),
        )?;
        let mut card = base.card;
        card.architecture = network.architecture().clone();
        card.training.history.push(serde_json::json!({ "run": "join", "settings": join }));
        let checkpoint = Checkpoint { card, network, glyphs: released };
        let label = format!("retrain N={}", join.preserved);
        let measurements = training::run(trainer, self.training.resume, &label, checkpoint, &settings, &self.out)?;
        output.result(&training::Summary::new(&self.out, &measurements, loaders.report_faults()))
    }
}
