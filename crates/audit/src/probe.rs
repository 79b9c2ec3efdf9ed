//! Classifiers that read the signal or the label from smashed data.

use crate::learner::{Learner, cosine};
use crate::observer::{Observer, step};
use crate::pixels::{Lot, to_host};
use crate::query_free::cross_entropy;
use crate::target::{Seen, Stream, Target};
use crate::{Error, Probe, ProbeKind, ProbeTarget, Share};
use burn::tensor::Tensor;
use cleave_data::Loader;
use cleave_nets::{Architecture, Layer, Network, Pass, Shape, Window, argmax};
use cleave_retrain::mask;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::time::Instant;

/// Settings of the probes (Alain and Bengio 2016).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ProbeSettings {
    /// Batches to train on; the attacker's loader cuts them.
    pub steps: usize,
    /// Rate of Adam at the start, for the small non-linear probe; the linear one takes a third of it.
    pub rate: f64,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        Self { steps: 800, rate: 1e-3 }
    }
}

/// What a trained probe is: a network over smashed data.
struct Trained {
    target: ProbeTarget,
    kind: ProbeKind,
    network: Network,
}

/// What probes came to, besides their own accuracy.
pub(crate) struct Probed {
    /// One entry a probe.
    pub(crate) probes: Vec<Probe>,
    /// Accuracy of the client's own answers on the same images and signals.
    pub(crate) task: Share,
}

/// Trains all probes on what the attacker makes of its own images, with signals of its own drawing, and reads the
/// private images with them, each once with a fresh signal.
///
/// Without settings nothing is trained, and only the client's own answers are counted.
///
/// All probes learn from the same batches. The label is also read a second way: the back half's answer is unmasked
/// with what the signal probe says, weighted by how sure it is.
pub(crate) fn probe(
    target: &Target,
    loader: &Loader,
    private: &Lot,
    settings: Option<&ProbeSettings>,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Probed, Error> {
    let (began, steps) = (Instant::now(), settings.map_or(0, |settings| settings.steps));
    let trained = settings.map(|settings| train(target, loader, settings, seed, observer)).transpose()?;
    let trained = trained.unwrap_or_default();
    let learned_from = loader.dataset().len().min(steps * loader_batch(loader));
    let tally = read(target, private, &trained, seed)?;
    let entry = |target_read, kind, hits| Probe {
        target: target_read,
        kind,
        accuracy: Share::of(hits, private.len()),
        guess: match target_read {
            ProbeTarget::Signal => 1.0 / target.classes() as f64,
            _ => private.guess(target.classes()),
        },
        attacker_images: learned_from,
        steps,
        seconds: began.elapsed().as_secs_f64(),
        seed,
    };
    let mut probes: Vec<_> =
        trained.iter().zip(&tally.hits).map(|(probe, &hits)| entry(probe.target, probe.kind, hits)).collect();
    probes.extend(tally.by_answer.iter().map(|&(kind, hits)| entry(ProbeTarget::LabelByAnswer, kind, hits)));
    Ok(Probed { probes, task: Share::of(tally.task, private.len()) })
}

fn loader_batch(loader: &Loader) -> usize {
    loader.dataset().len().div_ceil(loader.batches().max(1))
}

fn train(
    target: &Target,
    loader: &Loader,
    settings: &ProbeSettings,
    seed: u64,
    observer: &mut dyn Observer,
) -> Result<Vec<Trained>, Error> {
    let reads =
        if target.source.is_some() { &[ProbeTarget::Signal, ProbeTarget::Label][..] } else { &[ProbeTarget::Label] };
    let kinds = [ProbeKind::Linear, ProbeKind::Small];
    let wanted = reads.iter().flat_map(|&read| kinds.map(|kind| (read, kind)));
    let mut learners = Vec::new();
    for ((read, kind), seed) in wanted.zip(seed..) {
        let architecture = architecture(kind, target.front.output(), target.classes())?;
        learners.push((read, kind, Learner::new(architecture, seed, target.front.device())?));
    }
    let mut stream = Stream::new(target, loader, seed)?;
    for at in 0..settings.steps {
        step(observer)?;
        let Seen { smashed, labels, signals, .. } = stream.next()?;
        for (read, kind, learner) in &mut learners {
            let truth = if *read == ProbeTarget::Signal { &signals } else { &labels };
            let scores = learner.forward(smashed.clone(), None)?.flatten::<2>(1, 3);
            let rate = if *kind == ProbeKind::Linear { settings.rate / 3.0 } else { settings.rate };
            let loss = cross_entropy(scores, truth);
            let value = loss.clone().into_scalar::<f32>();
            if !value.is_finite() {
                return Err(Error::Diverged { attack: "a probe", value, step: at });
            }
            learner.step(cosine(rate, at, settings.steps), &mut loss.backward());
        }
    }
    let finished = |(target, kind, learner): (_, _, Learner)| Trained { target, kind, network: learner.finished() };
    Ok(learners.into_iter().map(finished).collect())
}

/// Channels and features of the small probe.
const SMALL: usize = 64;

/// Both kinds standardise their input by the statistics of what they were trained on.
fn architecture(kind: ProbeKind, input: Shape, classes: usize) -> Result<Architecture, Error> {
    let spatial = input.height > 1 || input.width > 1;
    let mut layers = vec![Layer::BatchNorm { epsilon: 1e-5 }];
    match (kind, spatial) {
        (ProbeKind::Linear, true) => layers.push(Layer::Flatten),
        (ProbeKind::Linear, false) => {}
        (ProbeKind::Small, true) => {
            let conv = || Layer::Conv2d { filters: SMALL, window: Window::square(3, 1, 1), groups: 1, bias: true };
            layers.extend([conv(), Layer::Relu]);
            if input.height >= 4 && input.width >= 4 {
                layers.extend([Layer::MaxPool(Window::square(2, 2, 0)), conv(), Layer::Relu]);
            }
            layers.extend([Layer::Flatten, Layer::Linear { features: SMALL }, Layer::Relu]);
        }
        (ProbeKind::Small, false) => layers.extend([Layer::Linear { features: 2 * SMALL }, Layer::Relu]),
    }
    layers.push(Layer::Linear { features: classes });
    Ok(Architecture::new(input, layers)?)
}

/// Right answers on private images.
struct Tally {
    /// One an entry of the trained probes.
    hits: Vec<usize>,
    /// Labels by way of the answer, for each kind of signal probe.
    by_answer: Vec<(ProbeKind, usize)>,
    /// The client's own labels.
    task: usize,
}

/// Images that are read together.
pub(crate) const CHUNK: usize = 100;

fn read(target: &Target, private: &Lot, trained: &[Trained], seed: u64) -> Result<Tally, Error> {
    let signal_probes = || trained.iter().filter(|probe| probe.target == ProbeTarget::Signal);
    let by_answer = signal_probes().map(|probe| (probe.kind, 0)).collect();
    let mut tally = Tally { hits: vec![0; trained.len()], by_answer, task: 0 };
    let (mut rng, classes) = (ChaCha8Rng::seed_from_u64(!seed), target.classes());
    for chunk in private.chunks(CHUNK) {
        let seen = target.see(chunk, &mut rng)?;
        let answers = target.answers(seen.smashed.clone())?;
        tally.task += client_hits(target, &seen, &answers);
        for (probe, hits) in trained.iter().zip(&mut tally.hits) {
            let truth = if probe.target == ProbeTarget::Signal { &seen.signals } else { &seen.labels };
            let scores = to_host(probe.network.forward(seen.smashed.clone(), Pass::default())?)?;
            *hits += scores.chunks(classes).zip(truth).filter(|(row, truth)| argmax(row) == **truth).count();
        }
        for (probe, (_, hits)) in signal_probes().zip(&mut tally.by_answer) {
            let scores = probe.network.forward(seen.smashed.clone(), Pass::default())?;
            *hits += unmasked_hits(target, &seen, &answers, scores)?;
        }
    }
    Ok(tally)
}

/// Right labels that the client reads off `answers`, knowing its signals.
pub(crate) fn client_hits(target: &Target, seen: &Seen, answers: &[f32]) -> usize {
    let label = |row: &[f32], signal: usize| match target.spec() {
        Some(spec) => {
            let scores: Vec<f32> =
                (0..spec.classes).map(|label| row[mask(spec.kind, spec.classes, label, signal)]).collect();
            argmax(&scores)
        }
        None => argmax(row),
    };
    let rows = answers.chunks(target.classes()).zip(&seen.signals).zip(&seen.labels);
    rows.filter(|((row, signal), truth)| label(row, **signal) == **truth).count()
}

/// Labels that the server reads: each label gets the probability that some signal and the answer agree on it.
fn unmasked_hits(target: &Target, seen: &Seen, answers: &[f32], signals: Tensor<4>) -> Result<usize, Error> {
    let Some(spec) = target.spec() else { return Ok(0) };
    let classes = spec.classes;
    let signals = to_host(signals)?;
    let rows = answers.chunks(classes).zip(signals.chunks(classes)).zip(&seen.labels);
    let label = |answer: &[f32], signal: &[f32]| {
        let (answer, signal) = (cleave_partition::probabilities(answer), cleave_partition::probabilities(signal));
        let weight =
            |label: usize| (0..classes).map(|s| signal[s] * answer[mask(spec.kind, classes, label, s)]).sum::<f32>();
        argmax(&(0..classes).map(weight).collect::<Vec<_>>())
    };
    Ok(rows.filter(|((answer, signal), truth)| label(answer, signal) == **truth).count())
}
