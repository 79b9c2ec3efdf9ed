//! `cleave retrain`: a network that answers in masked labels.

use crate::model;
use crate::options::{DataOptions, DeviceOption, GlyphOptions};
use crate::training::{self, Loaders, TrainOptions};
use crate::{Failure, Output};
use clap::{ArgGroup, Args, ValueEnum};
use cleave_nets::{Checkpoint, Defence, Network, SignalForm, SignalKind};
use cleave_retrain::{
    Adversary, Curriculum, Guard, JoinSettings, NoPeek, TrainSettings, Trainer, TrainingNoise, insert_bottleneck,
    join_signal,
};
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
    defences: DefenceOptions,
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

/// Defences that are trained in.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Defences",
    group = ArgGroup::new("defence").multiple(true).args(["bottleneck", "nopeek", "adversary_signal", "adversary_label"])
)]
pub struct DefenceOptions {
    /// The numbered layer that the bottleneck, NoPeek and the adversaries stand behind: the join or a later one, not the
    /// last. Where there is a bottleneck, the others look at its narrow tensor, behind layer LAYER + 1. Dropout in front
    /// of what they look at is left out
    #[arg(long, value_name = "LAYER", requires = "defence")]
    pub at: Option<usize>,
    /// Let this many channels through behind layer LAYER. Two layers come in: LAYER + 1 goes down to them and LAYER + 2
    /// back up, so the cut that sends the narrow tensor is LAYER + 1, and later layers count 2 more
    #[arg(long, value_name = "CHANNELS", requires = "at")]
    pub bottleneck: Option<usize>,
    /// Add this times the squared distance correlation of images and activations to the loss (NoPeek)
    #[arg(long, value_name = "WEIGHT", requires = "at")]
    pub nopeek: Option<f32>,
    /// Train against probes that read the secret signal, with this weight; 0 only measures them. Together with
    /// --adversary-label and with noise it hides most
    #[arg(long, value_name = "WEIGHT", requires = "at")]
    pub adversary_signal: Option<f32>,
    /// Train against probes that read the true label, with this weight; 0 only measures them. What they read in training
    /// is the least that is told: an audit trains its own
    #[arg(long, value_name = "WEIGHT", requires = "at")]
    pub adversary_label: Option<f32>,
    /// Steps of the probes a step of the network: more make stronger adversaries, and a longer training
    #[arg(long, value_name = "STEPS", default_value_t = Adversary::default().rounds)]
    pub adversary_rounds: usize,
    /// Add Gaussian noise behind this layer while training, so that later ones get used to it; layers of a bottleneck count
    #[arg(long, value_name = "LAYER", requires = "noise_scale")]
    pub noise_at: Option<usize>,
    /// Standard deviation of that noise, in units of the activations
    #[arg(long, value_name = "SCALE", requires = "noise_at")]
    pub noise_scale: Option<f32>,
    /// Share of the steps over which all these weights and the noise rise from 0, once all signals have come in
    #[arg(long, value_name = "SHARE", default_value_t = Guard::default().warm_up)]
    pub defence_warm_up: f32,
}

impl DefenceOptions {
    /// What the training does for them.
    fn guard(&self) -> Guard {
        let layer = self.at.unwrap_or_default() + usize::from(self.bottleneck.is_some());
        let (signal, label) = (self.adversary_signal, self.adversary_label);
        let weight = Option::unwrap_or_default;
        let adversary = (signal.is_some() || label.is_some()).then(|| Adversary {
            layer,
            signal: weight(signal),
            label: weight(label),
            rounds: self.adversary_rounds,
            ..Adversary::default()
        });
        let noise = self.noise_at.zip(self.noise_scale).map(|(layer, scale)| TrainingNoise { layer, scale });
        let nopeek = self.nopeek.map(|weight| NoPeek { layer, weight });
        Guard { warm_up: self.defence_warm_up, nopeek, adversary, noise, ..Guard::default() }
    }

    /// The layer that a bottleneck stands behind, and its channels.
    fn bottleneck(&self) -> Option<(usize, usize)> {
        self.at.zip(self.bottleneck)
    }

    /// `network` with the bottleneck, where one is asked for.
    fn narrow(&self, network: Network, seed: u64) -> Result<Network, Failure> {
        match self.bottleneck() {
            Some((layer, channels)) => Ok(insert_bottleneck(&network, layer, channels, seed)?),
            None => Ok(network),
        }
    }

    /// What goes into the model's card.
    fn record(&self, guard: &Guard) -> Vec<Defence> {
        let bottleneck = self.bottleneck.map(|channels| Defence::Bottleneck { channels });
        bottleneck.into_iter().chain(guard.defences()).collect()
    }
}

/// How a retraining ended.
#[derive(Debug, serde::Serialize)]
struct Retrained {
    #[serde(flatten)]
    summary: training::Summary,
    /// What was trained in.
    defences: Vec<Defence>,
    /// The cut that sends the bottleneck's narrow tensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    narrow_cut: Option<usize>,
}

impl std::fmt::Display for Retrained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.summary)?;
        for defence in &self.defences {
            write!(f, "\ntrained in: {defence}")?;
        }
        match self.narrow_cut {
            Some(cut) => {
                write!(f, "\nthe cut that sends the narrow tensor is {cut}: `cleave cut MODEL --cut {cut} ...`")
            }
            None => Ok(()),
        }
    }
}

impl Retrain {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let (curriculum, guard) = (self.signal.curriculum(), self.defences.guard());
        let settings = TrainSettings { curriculum, guard, ..self.training.settings(self.seed) };
        let base = model::load(&self.model, &self.device.open()?)?;
        let data = self.data.with_classes_of(&base.card.classes)?;
        let loaders = Loaders::open(&data, &base.card.preparation, &settings)?;
        let samples = loaders.train.epoch(0)?.next().transpose()?.map(|batch| batch.images).unwrap_or_default();
        let join = self.signal.join(base.card.classes.len(), self.seed);
        let glyphs = (join.form == SignalForm::Digit)
            .then(|| self.signal.glyphs.open(base.card.classes.len(), "train", self.seed));
        let (network, source) = join_signal(&base.network, &join, glyphs.transpose()?, samples)?;
        let network = self.defences.narrow(network, self.seed)?;
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
        if let Some((layer, channels)) = self.defences.bottleneck() {
            let settings = serde_json::json!({ "layer": layer, "channels": channels, "seed": self.seed });
            card.training.history.push(serde_json::json!({ "run": "bottleneck", "settings": settings }));
        }
        let defences = self.defences.record(&settings.guard);
        card.defences.extend(defences.clone());
        let checkpoint = Checkpoint { card, network, glyphs: released };
        let label = format!("retrain N={}", join.preserved);
        let measurements =
            training::run(trainer, self.training.resume, &label, (checkpoint, &Ok), &settings, &self.out)?;
        let summary = training::Summary::new(&self.out, &measurements, loaders.report_faults());
        let narrow_cut = self.defences.bottleneck().map(|(layer, _)| layer + 1);
        output.result(&Retrained { summary, defences, narrow_cut })
    }
}
