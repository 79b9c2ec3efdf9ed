//! From images to features, and heads on them.

use crate::Failure;
use crate::model::KeyedModel;
use crate::options::report_faults;
use crate::training::EVALUATION_BATCH;
use cleave_data::{Batch, Dataset, LoadOptions, Loader, Preparation};
use cleave_encrypted::training::TrainingData;
use cleave_nets::{Checkpoint, Device, FeatureSource, Features, Head, HeadCard, Network, Role, argmax, read_manifest};
use cleave_partition::FrontHalf;
use cleave_retrain::SignalSource;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Where in a network features are taken.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// Behind a numbered layer, or, without one, before the last.
    Layer(Option<usize>),
    /// Behind so many entries of the layer list.
    Entries(usize),
}

impl Place {
    /// Where a head's features were taken; a head that does not say so takes the layer that is named.
    pub fn of(head: &HeadCard, layer: Option<usize>) -> Result<Self, Failure> {
        match (&head.source, layer) {
            (Some(source), None) => Ok(Self::Entries(source.at)),
            (None, layer) => Ok(Self::Layer(layer)),
            (Some(_), Some(_)) => {
                Err(Failure::Options { reason: "the head says which layer its features come from; leave --layer out" })
            }
        }
    }

    fn entries(self, network: &Network) -> Result<usize, Failure> {
        let architecture = network.architecture();
        Ok(match self {
            Self::Layer(layer) => FeatureSource::place(architecture, layer)?,
            Self::Entries(entries) => entries.min(architecture.layers.len()),
        })
    }
}

/// Layers that give features: the first of a whole network, or a front half.
pub struct Extractor {
    path: PathBuf,
    layers: Layers,
    source: FeatureSource,
    preparation: Preparation,
    rng: ChaCha20Rng,
}

enum Layers {
    Whole(Box<First>),
    Front(Box<FrontHalf>),
}

/// The first layers of a whole network, and what draws the signal where one joins among them.
struct First {
    network: Network,
    signal: Option<SignalSource>,
}

impl Extractor {
    /// Reads a whole network or a front half; `seed` is that of signals and of the noise at a cut.
    pub fn open(path: &Path, keyed: &KeyedModel, place: Place, device: &Device, seed: u64) -> Result<Self, Failure> {
        let (layers, source, preparation) = match read_manifest(path)?.0.role {
            Role::Front => front(path, keyed, place, device)?,
            _ => whole(path, keyed, place, device)?,
        };
        if source.signals {
            eprintln!("note: a signal joins before the place, so that features depend on signals, drawn from --seed");
        }
        Ok(Self { path: path.to_owned(), layers, source, preparation, rng: ChaCha20Rng::seed_from_u64(seed) })
    }

    /// Where the features come from.
    pub const fn source(&self) -> &FeatureSource {
        &self.source
    }

    /// Values of a sample.
    pub fn width(&self) -> usize {
        match &self.layers {
            Layers::Whole(first) => first.network.output().values(),
            Layers::Front(front) => front.network().output().values(),
        }
    }

    /// Gives the features of all images of a set, batch after batch, with their labels; the number of broken images.
    pub fn run(
        &mut self,
        dataset: Dataset,
        mut take: impl FnMut(Vec<f32>, Vec<usize>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let given = dataset.len();
        let loader = Loader::new(dataset, self.preparation.clone(), LoadOptions::evaluation(EVALUATION_BATCH))?;
        let bar = progress(given);
        for batch in loader.epoch(0)? {
            let batch = batch?;
            bar.inc(batch.len() as u64);
            let labels = batch.labels.clone();
            take(self.features(batch)?, labels)?;
        }
        bar.finish_and_clear();
        match report_faults(&loader) {
            left_out if left_out == given => Err(Failure::AllBroken { count: given }),
            left_out => Ok(left_out),
        }
    }

    fn features(&mut self, batch: Batch) -> Result<Vec<f32>, Failure> {
        let (count, rng) = (batch.len(), &mut self.rng);
        match &self.layers {
            Layers::Front(front) => {
                let signals = front.draw(count, rng);
                Ok(front.smash(batch.images, &signals, rng)?.values().to_vec())
            }
            Layers::Whole(first) => {
                let planes =
                    first.signal.as_ref().map(|source| source.planes(&source.draw(count, rng), rng)).transpose()?;
                Ok(first.network.infer(batch.images, planes, count)?)
            }
        }
    }

    /// Whether a head can stand behind these layers.
    pub fn check(&self, path: &Path, head: &Head) -> Result<(), Failure> {
        check(path, head, &self.path, &self.source)?;
        check_width(path, head, self.width())
    }
}

/// Whether a head was trained on features of the layers of a network, as far as it says so.
pub fn check(path: &Path, head: &Head, network: &Path, source: &FeatureSource) -> Result<(), Failure> {
    match &head.card.source {
        Some(expected) if !expected.is_alike(source) => {
            let sources = Box::new((expected.clone(), source.clone()));
            return Err(Failure::OtherNetwork { head: path.to_owned(), network: network.to_owned(), sources });
        }
        Some(expected) if expected.defences != source.defences => {
            eprintln!("note: the head was trained on features of {expected}, and these are of {source}");
        }
        Some(_) => {}
        None => eprintln!("note: the head does not say which features it was trained on; it gets those of {source}"),
    }
    Ok(())
}

/// Whether a head takes samples of so many values.
pub fn check_width(path: &Path, head: &Head, given: usize) -> Result<(), Failure> {
    match head.width() {
        takes if takes == given => Ok(()),
        takes => Err(Failure::HeadWidth { path: path.to_owned(), takes, given }),
    }
}

/// A whole network's layers before a place, and the network without its confusion neurons.
struct Part {
    layers: Network,
    source: FeatureSource,
    model: Checkpoint,
}

impl Part {
    fn open(path: &Path, keyed: &KeyedModel, place: Place, device: &Device) -> Result<Self, Failure> {
        let model = Checkpoint::load(path, device)?;
        let at = place.entries(&model.network)?;
        let mut source = FeatureSource::of(&model.network, at)?;
        let (model, key) = keyed.strip(path, model)?;
        source.key = key.map(|key| key.id());
        Ok(Self { layers: model.network.slice(0..at)?, source, model })
    }
}

type Opened = (Layers, FeatureSource, Preparation);

fn whole(path: &Path, keyed: &KeyedModel, place: Place, device: &Device) -> Result<Opened, Failure> {
    let Part { layers: network, source, model } = Part::open(path, keyed, place, device)?;
    if let Some(key) = model.card.confused {
        eprintln!("note: this network has confusion neurons, and runs without its key {key}");
    }
    let signal = match (network.architecture().join(), network.signal_shape()) {
        (Some((_, spec)), Some(shape)) => {
            Some(SignalSource::new(spec.clone(), model.glyphs, shape.height, shape.width)?)
        }
        _ => None,
    };
    Ok((Layers::Whole(Box::new(First { network, signal })), source, model.card.preparation))
}

fn front(path: &Path, keyed: &KeyedModel, place: Place, device: &Device) -> Result<Opened, Failure> {
    if matches!(place, Place::Layer(Some(_))) {
        return Err(Failure::Options { reason: "a front half gives its smashed data; leave --layer out" });
    }
    let mut front = FrontHalf::load(path, device)?;
    if front.manifest().terms.lock.is_some() {
        return Err(Failure::LockedFeatures { path: path.to_owned() });
    }
    let mut source = FeatureSource::of(front.network(), front.network().architecture().layers.len())?;
    keyed.unlock(&mut front)?;
    source.key = front.manifest().terms.confused;
    source.defences = front.manifest().terms.defences_at_cut();
    let preparation = front.manifest().preparation.clone();
    Ok((Layers::Front(Box::new(front)), source, preparation))
}

/// One network of the layers that a head's features come from and the head.
pub fn attach(
    path: &Path,
    keyed: &KeyedModel,
    (head_path, head): (&Path, Head),
    layer: Option<usize>,
    device: &Device,
) -> Result<Checkpoint, Failure> {
    let Part { layers, source, model } = Part::open(path, keyed, Place::of(&head.card, layer)?, device)?;
    if let Some(key) = model.card.confused {
        return Err(Failure::Confused { path: path.to_owned(), key });
    }
    check(head_path, &head, path, &source)?;
    check_width(head_path, &head, layers.output().values())?;
    if source.signals {
        return Err(Failure::HeadWithSignals { path: head_path.to_owned() });
    }
    let (network, mut card) = (head.behind(&layers)?, model.card);
    card.architecture = network.architecture().clone();
    card.classes = head.card.classes;
    card.training.history.extend(head.card.training.history);
    card.training.history.push(serde_json::json!({ "run": "attach", "source": source }));
    card.defences.clear(); // they are trained in together with a signal, and stand behind its join
    Ok(Checkpoint { card, network, glyphs: None })
}

/// Right answers of a head, sample after sample.
pub fn answers(head: &Head, features: Vec<f32>, labels: &[usize]) -> Result<Vec<bool>, Failure> {
    let scores = head.scores(features, labels.len())?;
    let rows = scores.chunks_exact(head.card.classes.len());
    Ok(rows.zip(labels).map(|(row, &label)| argmax(row) == label).collect())
}

/// Whether classes have no names but their numbers, as those of a table.
pub fn are_numbered(classes: &[String]) -> bool {
    classes.iter().enumerate().all(|(number, name)| *name == number.to_string())
}

/// Whether labels of `given` classes are those of `own`. Where one of the two has numbers for names, the order decides.
pub fn same_classes(own: &[String], given: &[String]) -> bool {
    own == given || (are_numbered(own) || are_numbered(given)) && given.len() <= own.len()
}

/// Whether labels of `given` classes are those of a head.
pub fn check_classes(head: &Head, given: &[String]) -> Result<(), Failure> {
    let own = &head.card.classes;
    match same_classes(own, given) {
        true => Ok(()),
        false => Err(Failure::HeadClasses { head: own.clone(), given: given.to_vec() }),
    }
}

fn progress(images: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("features {bar:24} {pos}/{len} images {eta} left");
    ProgressBar::new(images as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Samples of a file of features, to train a last layer on.
pub fn training_data(features: &Features, samples: Range<usize>) -> Result<TrainingData, Failure> {
    let values = &features.values()[samples.start * features.width()..samples.end * features.width()];
    let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    Ok(TrainingData::new(&values, &features.labels()[samples], features.classes().len())?)
}
