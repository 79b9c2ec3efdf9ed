//! Runs every attack on every cut.

use crate::baseline::{baselines, jpeg, to_pngs};
use crate::decoder::Decoder;
use crate::extraction::extract;
use crate::jacobian::visible;
use crate::keyed::{Sides, UnderKey, attack};
use crate::least_squares::{is_one_layer, solve};
use crate::parts::{Parts, Pictured, fingerprint};
use crate::pixels::Lot;
use crate::probe::probe;
use crate::query_free::substitute;
use crate::target::Seen;
use crate::white_box::{Descended, Descent, Evidence, mean_image};
use crate::{
    Audit, Baseline, Bound, CutFindings, DecoderSettings, DescentSettings, Error, Extraction, ExtractionSettings,
    Inversion, InversionKind, Judge, KeySettings, LinearSettings, Observer, Probe, ProbeSettings, Share, Subject,
    SubstituteSettings, Target, Visible, record_hash,
};
use burn::tensor::Tensor;
use cleave_data::Loader;
use cleave_keyed::Scramble;
use cleave_leakage::{LeakageError, Noise, Report, SpectrumSettings, dfil, mse_bound};
use cleave_nets::{Defence, Distribution, Pass};
use cleave_partition::{Attack, Cut, check_defences};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Instant;

/// How much is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditSettings {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// What is tried.
    pub attacks: Vec<Attack>,
    /// Private images that inversions are measured on.
    pub invert: usize,
    /// Private images that probes are measured on.
    pub probe: usize,
    /// Reconstructions that are kept as pictures.
    pub pictures: usize,
    /// White-box inversion.
    pub descent: DescentSettings,
    /// Trained inversion.
    pub decoder: DecoderSettings,
    /// The substitute front half of the query-free inversion.
    pub substitute: SubstituteSettings,
    /// Signal and label probes.
    pub probes: ProbeSettings,
    /// The linear attack, where the front half is one layer.
    pub linear: LinearSettings,
    /// The copy of the back half.
    pub extraction: ExtractionSettings,
    /// The key of a locked pair.
    pub key: KeySettings,
    /// Private images that the Jacobian is measured at.
    pub jacobians: usize,
    /// How.
    pub spectrum: SpectrumSettings,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            seed: 0,
            attacks: Attack::ALL.to_vec(),
            invert: 32,
            probe: 2000,
            pictures: 6,
            descent: DescentSettings::default(),
            decoder: DecoderSettings::default(),
            substitute: SubstituteSettings::default(),
            probes: ProbeSettings::default(),
            linear: LinearSettings::default(),
            extraction: ExtractionSettings::default(),
            key: KeySettings::default(),
            jacobians: 2,
            spectrum: SpectrumSettings::default(),
        }
    }
}

/// A front half that may be released, and what is known of it without an attack.
pub struct Candidate {
    /// Name of the model.
    pub model: String,
    /// Where it is cut.
    pub cut: Cut,
    /// Name of the layer.
    pub layer: String,
    /// The halves at work.
    pub target: Target,
    /// All defences: those trained in before those of [`Candidate::target`].
    pub defences: Vec<Defence>,
    /// SHA-256 over the front half's tensors, in hexadecimal.
    pub front_hash: String,
    /// The leakage check; `None` where it cannot count a layer.
    pub check: Option<Report>,
}

/// What an audit works with.
pub struct Auditor<'a> {
    /// How much is tried.
    pub settings: AuditSettings,
    /// The attacker's images, in batches, shuffled.
    pub attacker: &'a Loader,
    /// More of the attacker's images, which no attack is trained on: the weights of inversions are chosen on them.
    pub tuning: &'a Loader,
    /// Images that the attacker has not seen.
    pub private: &'a Loader,
    /// Says what a reconstruction shows.
    pub judge: &'a Judge,
    /// Where finished parts are kept; without it an interrupted audit starts anew.
    pub folder: Option<&'a Path>,
}

/// Images of both sides, in memory.
struct Lots {
    /// To be inverted.
    inverted: Lot,
    /// To be read by probes.
    probed: Lot,
    /// The attacker's, to take the mean over.
    own: Lot,
    /// The attacker's, to choose settings on.
    tuning: Lot,
}

/// Images of the attacker's that the mean image is taken over.
const MEAN_OF: usize = 512;
/// Forward passes that the front half's time is the median of.
const TIMINGS: usize = 7;

impl Auditor<'_> {
    /// Attacks all candidates. `subject` says what they are; the counts and the judge's accuracy are filled in here.
    ///
    /// # Errors
    /// [`Error::Interrupted`] when the observer says stop; [`Error::OtherRun`] when the folder holds another audit;
    /// [`Error::Classes`], [`Error::TooFewImages`], [`Error::Diverged`]; those of networks and images.
    pub fn run(&self, subject: Subject, candidates: &[Candidate], observer: &mut dyn Observer) -> Result<Audit, Error> {
        let Some(first) = candidates.first() else {
            return Err(Error::Setting { name: "cuts", value: "none".to_owned(), expected: "at least one cut" });
        };
        self.check(candidates)?;
        candidates.iter().try_for_each(|candidate| check_defences(&candidate.target.defences))?;
        self.settings.descent.check()?;
        let parts = Parts::open(self.folder, &self.identity(&subject, candidates)?)?;
        let lots = self.lots(first)?;
        let subject = self.counted(subject, &lots, first)?;
        let plain = || self.plain_baselines(&lots, first);
        let mut found = parts.part("baselines", plain)?.0;
        let mut cuts = Vec::new();
        for (at, candidate) in candidates.iter().enumerate() {
            let run = Run { auditor: self, candidate, lots: &lots, parts: &parts, seed: self.settings.seed };
            let (findings, jpeg) = run.all(at, observer).map_err(|error| counted_parts(error, at, candidates.len()))?;
            cuts.push(findings);
            if !found.iter().any(|other| (&other.cut, &other.name) == (&jpeg.cut, &jpeg.name)) {
                found.push(jpeg); // once a cut: defences at it change no size
            }
        }
        Ok(Audit {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            subject,
            baselines: found,
            cuts,
            seed: self.settings.seed,
            seconds: parts.seconds(),
            device: device_name(first.target.front.device()),
        })
    }

    fn check(&self, candidates: &[Candidate]) -> Result<(), Error> {
        let data = self.attacker.dataset().classes().len();
        let outputs = candidates.iter().map(|candidate| ("network", candidate.target.classes()));
        match outputs.chain([("judge", self.judge.classes())]).find(|(_, outputs)| *outputs != data) {
            Some((network, outputs)) => Err(Error::Classes { data, network, outputs }),
            None => Ok(()),
        }
    }

    /// What a resumed audit has to agree on.
    fn identity(&self, subject: &Subject, candidates: &[Candidate]) -> Result<serde_json::Value, Error> {
        let candidate = |c: &Candidate| -> Result<serde_json::Value, Error> {
            Ok(serde_json::json!({
                "cut": c.cut.to_string(),
                "model": c.model,
                "front": c.front_hash,
                "back": cleave_partition::tensor_hash(&c.target.back)?,
                "digits": c.target.digits().map(|digits| record_hash(&digits)),
                "defences": c.defences,
                "key": c.target.scramble.as_ref().map(|scramble| scramble.lock().clone()),
            }))
        };
        Ok(serde_json::json!({
            "settings": serde_json::to_value(&self.settings).map_err(cleave_nets::Error::from)?,
            "subject": serde_json::to_value(subject).map_err(cleave_nets::Error::from)?,
            "candidates": candidates.iter().map(candidate).collect::<Result<Vec<_>, _>>()?,
            "judge": self.judge.hash()?,
            "attacker": fingerprint(self.attacker),
            "tuning": fingerprint(self.tuning),
            "private": fingerprint(self.private),
        }))
    }

    fn lots(&self, first: &Candidate) -> Result<Lots, Error> {
        let device = first.target.front.device();
        let AuditSettings { invert, probe, .. } = self.settings;
        let all = Lot::load(self.private, invert.max(probe), "the private set", device)?;
        if all.len() < 2 {
            return Err(Error::TooFewImages { side: "the private set", images: all.len(), least: 2 });
        }
        let own = Lot::load(self.attacker, MEAN_OF, "the attacker", device)?;
        let (inverted, probed) = (all.part(0, invert.clamp(2, all.len())), all.part(0, probe.clamp(1, all.len())));
        let tuning = Lot::load(self.tuning, self.settings.descent.tuning_images.max(1), "the attacker", device)?;
        Ok(Lots { inverted, probed, own, tuning })
    }

    fn counted(&self, subject: Subject, lots: &Lots, first: &Candidate) -> Result<Subject, Error> {
        Ok(Subject {
            attacker_images: self.attacker.dataset().len(),
            private_images: lots.probed.len(),
            inverted_images: lots.inverted.len(),
            judge_accuracy: self.judge.accuracy(&lots.probed, &first.target.scale)?,
            ..subject
        })
    }

    fn plain_baselines(&self, lots: &Lots, first: &Candidate) -> Result<Baselines, Error> {
        let AuditSettings { seed, pictures, .. } = self.settings;
        baselines(self.judge, &lots.inverted, &lots.own, &first.target.scale, pictures, seed).map(Baselines)
    }
}

/// `LibTorch(Cpu)` of `Device<LibTorch(Cpu)>`.
pub(crate) fn device_name(device: &cleave_nets::Device) -> String {
    let written = format!("{device:?}");
    let inner = written.strip_prefix("Device<").and_then(|rest| rest.strip_suffix('>'));
    inner.map_or_else(|| written.clone(), str::to_owned)
}

/// An interruption inside a candidate, counted among all of them.
fn counted_parts(error: Error, done: usize, all: usize) -> Error {
    match error {
        Error::Interrupted { .. } | Error::Leakage(LeakageError::Stopped { .. }) => Error::Interrupted { done, all },
        error => error,
    }
}

/// All attacks on one candidate.
struct Run<'a> {
    auditor: &'a Auditor<'a>,
    candidate: &'a Candidate,
    lots: &'a Lots,
    parts: &'a Parts<'a>,
    seed: u64,
}

#[derive(Serialize, Deserialize)]
struct Baselines(Vec<Baseline>);

#[derive(Serialize, Deserialize)]
struct Inversions(Vec<Inversion>);

#[derive(Serialize, Deserialize)]
struct ReadBy {
    probes: Vec<Probe>,
    task: Share,
}

impl Pictured for Baselines {
    fn pictures(&mut self) -> Vec<&mut Vec<Vec<u8>>> {
        self.0.iter_mut().map(|baseline| &mut baseline.pictures).collect()
    }
}

impl Pictured for Inversions {
    fn pictures(&mut self) -> Vec<&mut Vec<Vec<u8>>> {
        self.0.iter_mut().map(|inversion| &mut inversion.pictures).collect()
    }
}

#[derive(Serialize, Deserialize)]
struct Seeing(Vec<Visible>);

impl Pictured for Seeing {}

impl Pictured for ReadBy {}

impl Pictured for Extraction {}

impl Run<'_> {
    fn all(&self, at: usize, observer: &mut dyn Observer) -> Result<(CutFindings, Baseline), Error> {
        let name = |part: &str| format!("{at}-{part}");
        let bytes = self.bytes();
        let read = self.parts.part(&name("probes"), || self.probes(observer))?;
        let mut inversions = Vec::new();
        let mut key = None;
        if let Some(scramble) = &self.candidate.target.scramble {
            let found = self.parts.part(&name("key"), || self.under_key(scramble, observer))?;
            inversions.extend(found.inversions);
            key = Some(found.findings);
        }
        if self.tries(Attack::Decoder) || self.tries(Attack::WhiteBox) {
            inversions.extend(self.parts.part(&name("inversions"), || self.inversions(observer))?.0);
        }
        if self.tries(Attack::QueryFree) {
            inversions.extend(self.parts.part(&name("query-free"), || self.query_free(observer))?.0);
        }
        if self.tries(Attack::LeastSquares) && is_one_layer(&self.candidate.target.front) {
            inversions.extend(self.parts.part(&name("least-squares"), || self.solved(observer))?.0);
        }
        let mut copied = || self.parts.part(&name("extraction"), || self.extracted(observer));
        let extraction = self.tries(Attack::Extraction).then(&mut copied).transpose()?;
        let seeing = match self.tries(Attack::Jacobian) {
            true => self.parts.part(&self.jacobian_name(), || self.seeing(observer))?.0,
            false => Vec::new(),
        };
        let bound = bound(&self.candidate.defences, &seeing)?;
        let jpeg = self.parts.part(&name("jpeg"), || self.jpeg(bytes).map(|jpeg| Baselines(vec![jpeg])))?;
        let jpeg = jpeg
            .0
            .into_iter()
            .next()
            .ok_or_else(|| Error::Part { path: name("jpeg").into(), reason: "it is empty".to_owned() })?;
        Ok((CutFindings { key, extraction, visible: seeing, bound, ..self.findings(bytes, read, inversions)? }, jpeg))
    }

    /// Candidates that differ in defences at the cut alone have one Jacobian.
    fn jacobian_name(&self) -> String {
        let Candidate { front_hash, cut, .. } = self.candidate;
        let weights: String = front_hash.chars().filter(char::is_ascii_alphanumeric).take(HASH_DIGITS).collect();
        format!("jacobian-{weights}-{}", cut.to_string().replace(':', "-"))
    }

    fn findings(&self, bytes: usize, read: ReadBy, inversions: Vec<Inversion>) -> Result<CutFindings, Error> {
        let Candidate { model, cut, layer, target, defences, front_hash, check } = self.candidate;
        let parameters = |network: &cleave_nets::Network| -> Result<usize, Error> {
            let shapes = cleave_nets::Network::tensor_shapes(network.architecture())?;
            Ok(shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum())
        };
        let (front_parameters, back_parameters) = (parameters(&target.front)?, parameters(&target.back)?);
        Ok(CutFindings {
            model: model.clone(),
            cut: cut.to_string(),
            layer: layer.clone(),
            defences: defences.clone(),
            front_hash: front_hash.clone(),
            shape: target.front.output().dims(),
            bytes,
            front_ms: self.front_ms()?,
            front_parameters,
            all_parameters: front_parameters + back_parameters,
            task_accuracy: read.task,
            label_guess: self.lots.probed.guess(target.classes()),
            signal_guess: target.spec().map(|spec| 1.0 / spec.classes as f64),
            check: check.clone(),
            inversions,
            probes: read.probes,
            key: None,
            extraction: None,
            visible: Vec::new(),
            bound: None,
        })
    }

    /// Bytes an image on the wire as f32.
    fn bytes(&self) -> usize {
        self.candidate.target.front.output().values() * size_of::<f32>()
    }

    fn front_ms(&self) -> Result<f64, Error> {
        let (target, image) = (&self.candidate.target, self.lots.inverted.part(0, 1));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut time = || {
            let signal = target.planes(&[0], &mut rng)?;
            let began = Instant::now();
            crate::pixels::to_host(target.front.forward(image.prepared.clone(), Pass { signal, ..Pass::default() })?)?;
            Ok(began.elapsed().as_secs_f64() * 1000.0)
        };
        let mut times = (0..TIMINGS).map(|_| time()).collect::<Result<Vec<f64>, Error>>()?;
        times.sort_by(f64::total_cmp);
        Ok(times[TIMINGS / 2])
    }

    fn jpeg(&self, bytes: usize) -> Result<Baseline, Error> {
        let (cut, pictures) = (self.candidate.cut.to_string(), self.auditor.settings.pictures);
        let scale = &self.candidate.target.scale;
        jpeg(self.auditor.judge, &self.lots.inverted, &self.mean(), scale, (&cut, bytes), pictures, self.seed)
    }

    /// Whether an attack was asked for and can be made on this pair: what needs the front half's weights has nothing to
    /// begin with where there are none, and a key instead.
    fn tries(&self, attack: Attack) -> bool {
        let locked = self.candidate.target.scramble.is_some();
        let fits = match attack {
            Attack::KnownImages | Attack::KeyedImages | Attack::WrongKeys => locked,
            Attack::Probes | Attack::Extraction => true,
            _ => !locked,
        };
        fits && self.auditor.settings.attacks.contains(&attack)
    }

    fn under_key(&self, scramble: &Scramble, observer: &mut dyn Observer) -> Result<UnderKey, Error> {
        let (Lots { inverted, probed, .. }, AuditSettings { pictures, key, .. }) = (self.lots, &self.auditor.settings);
        let most = (REFERENCE / inverted.prepared.dims()[1..].iter().product::<usize>().max(1)).max(1);
        let own =
            &Lot::load(self.auditor.attacker, most.min(REFERENCE_IMAGES), "the attacker", &inverted.prepared.device())?;
        let sides = Sides {
            judge: self.auditor.judge,
            own,
            stream: probed,
            private: inverted,
            mean: self.mean(),
            pictures: *pictures,
            seed: self.seed,
        };
        attack(&self.candidate.target, scramble, &sides, |attack| self.tries(attack), key, observer)
    }

    /// What probes read, and the accuracy of the client's own answers, which is measured without probes too.
    fn probes(&self, observer: &mut dyn Observer) -> Result<ReadBy, Error> {
        let settings = self.tries(Attack::Probes).then_some(&self.auditor.settings.probes);
        let steps = settings.map_or(0, |settings| settings.steps);
        observer.began(&format!("cut {}: probes", self.candidate.cut), steps);
        let target = &self.candidate.target;
        let probed = probe(target, self.auditor.attacker, &self.lots.probed, settings, self.seed, observer)?;
        for probe in &probed.probes {
            let (read, by, share) = (probe.target, probe.kind, 100.0 * probe.accuracy.share);
            observer.found(&format!("{read:?} by {by:?} probe: {share:.1} % (guessing {:.1} %)", 100.0 * probe.guess));
        }
        Ok(ReadBy { probes: probed.probes, task: probed.task })
    }

    /// What arrives of the images to be inverted: the same for every attack.
    fn seen(&self) -> Result<Seen, Error> {
        self.candidate.target.see(self.lots.inverted.clone(), &mut ChaCha8Rng::seed_from_u64(!self.seed))
    }

    /// What arrives of the attacker's own images, whose truth it knows.
    fn own(&self, target: &Target) -> Result<Seen, Error> {
        target.see(self.lots.tuning.clone(), &mut ChaCha8Rng::seed_from_u64(self.seed))
    }

    /// The trained decoder, and the descent, which also makes use of the decoder's answer.
    fn inversions(&self, observer: &mut dyn Observer) -> Result<Inversions, Error> {
        let mut found = Vec::new();
        let decoder = match self.tries(Attack::Decoder) {
            true => {
                let (inversion, decoder) = self.decoded(&self.seen()?, observer)?;
                found.push(inversion);
                Some(decoder)
            }
            false => None,
        };
        if self.tries(Attack::WhiteBox) {
            let front = &self.candidate.target.front;
            let mut descent = self.descended(InversionKind::WhiteBox, front, decoder.as_ref(), observer)?;
            descent.attacker_images += found.first().map_or(self.lots.own.len(), |decoder| decoder.attacker_images);
            found.insert(0, descent);
        }
        Ok(Inversions(found))
    }

    fn decoded(&self, seen: &Seen, observer: &mut dyn Observer) -> Result<(Inversion, Decoder), Error> {
        let (began, settings) = (Instant::now(), &self.auditor.settings.decoder);
        observer.began(&format!("cut {}: decoder", self.candidate.cut), settings.steps);
        let decoder = Decoder::train(&self.candidate.target, self.auditor.attacker, settings, self.seed, observer)?;
        let decoded = decoder.decode(seen.smashed.clone())?;
        let words = format!(
            "residual decoder of width {}, loss MSE and, after a fifth of the steps, {} (1 − SSIM); last step taken",
            settings.width, settings.structure
        );
        let found = Found {
            kind: InversionKind::Decoder,
            settings: words,
            attacker_images: self.learned_from(settings.steps),
            steps: settings.steps,
            seconds: began.elapsed().as_secs_f64(),
        };
        Ok((self.inversion(found, seen, decoded, observer)?, decoder))
    }

    fn query_free(&self, observer: &mut dyn Observer) -> Result<Inversions, Error> {
        let settings = &self.auditor.settings.substitute;
        let began = Instant::now();
        observer.began(&format!("cut {}: substitute front half", self.candidate.cut), settings.steps);
        let made_up = substitute(&self.candidate.target, self.auditor.attacker, settings, self.seed, observer)?;
        let mut found = self.descended(InversionKind::QueryFree, &made_up, None, observer)?;
        found.attacker_images = self.learned_from(settings.steps);
        found.steps += settings.steps;
        found.seconds = began.elapsed().as_secs_f64();
        Ok(Inversions(vec![found]))
    }

    fn solved(&self, observer: &mut dyn Observer) -> Result<Inversions, Error> {
        let (began, seen, settings) = (Instant::now(), self.seen()?, &self.auditor.settings.linear);
        observer.began(&format!("cut {}: least squares", self.candidate.cut), settings.rounds * settings.iterations);
        let (pixels, steps) = solve(&self.candidate.target, &seen, &self.mean(), settings, observer)?;
        let words = format!(
            "conjugate gradients from the mean image, {steps} iterations; the signal's channel as a sum of the \
             drawings that clients have"
        );
        let found = Found {
            kind: InversionKind::LeastSquares,
            settings: words,
            attacker_images: self.lots.own.len(),
            steps,
            seconds: began.elapsed().as_secs_f64(),
        };
        Ok(Inversions(vec![self.inversion(found, &seen, pixels, observer)?]))
    }

    fn extracted(&self, observer: &mut dyn Observer) -> Result<Extraction, Error> {
        let settings = &self.auditor.settings.extraction;
        observer.began(&format!("cut {}: extraction", self.candidate.cut), settings.steps);
        let Auditor { attacker, .. } = self.auditor;
        let copy = extract(&self.candidate.target, attacker, &self.lots.probed, settings, self.seed, observer)?;
        let (alike, right) = (100.0 * copy.agreement.share, 100.0 * copy.accuracy.share);
        observer.found(&format!("extraction: {alike:.1} % of answers alike, {right:.1} % right"));
        Ok(copy)
    }

    fn seeing(&self, observer: &mut dyn Observer) -> Result<Seeing, Error> {
        let AuditSettings { jacobians, ref spectrum, .. } = self.auditor.settings;
        let target = &self.candidate.target;
        let smaller = target.front.input().values().min(target.front.output().values());
        let steps = if smaller <= spectrum.exact_up_to { smaller } else { spectrum.steps };
        observer.began(&format!("cut {}: Jacobian", self.candidate.cut), jacobians * steps);
        let found = visible(target, &self.seen()?, jacobians, spectrum, observer)?;
        for Visible { rank, rank_low, rank_high, of, .. } in &found {
            observer.found(&format!("{rank:.0} ({rank_low:.0} to {rank_high:.0}) of {of} directions visible"));
        }
        Ok(Seeing(found))
    }

    /// A descent on the private images with `front`, its weights chosen on what `front` makes of the attacker's own: a
    /// substitute's attacker knows nothing of the true front half but what arrives.
    fn descended(
        &self,
        kind: InversionKind,
        front: &cleave_nets::Network,
        decoder: Option<&Decoder>,
        observer: &mut dyn Observer,
    ) -> Result<Inversion, Error> {
        let (began, target) = (Instant::now(), &self.candidate.target);
        let mut settings = self.auditor.settings.descent.clone();
        if kind == InversionKind::QueryFree {
            settings.restarts = 0;
        }
        let decoded = decoder.is_some();
        observer.began(&format!("cut {}: {kind:?} inversion", self.candidate.cut), settings.most_steps(decoded));
        let (seen, own) = (self.seen()?, self.own(&target.with_front(front.clone()))?);
        let evidence = |seen: &Seen| -> Result<Evidence, Error> {
            let decoded = decoder.map(|decoder| decoder.decode(seen.smashed.clone())).transpose()?;
            Ok(Evidence { smashed: seen.smashed.clone(), decoded })
        };
        let truth = target.scale.pixels(own.prepared.clone());
        let descent = Descent::new(front, target, &settings, self.mean(), self.seed)?;
        let Descended { pixels, prior, steps } =
            descent.invert(&evidence(&seen)?, &evidence(&own)?, &truth, self.seed, observer)?;
        let mut from = String::from(if decoded { " and the decoder's answer" } else { "" });
        if settings.restarts > 0 {
            from = format!("{from} and {} of noise", settings.restarts);
        }
        let anchor =
            if decoded { format!(", distance from the decoder's answer {}", prior.anchor) } else { String::new() };
        let words = format!(
            "Adam at rate {}, {} steps from the mean image{from}; weight of the total variation {}{anchor}, chosen by \
             SSIM on {} of the attacker's images that no attack was trained on",
            settings.rate,
            settings.steps,
            prior.smoothness,
            own.labels.len()
        );
        let found = Found {
            kind,
            settings: words,
            attacker_images: own.labels.len(),
            steps,
            seconds: began.elapsed().as_secs_f64(),
        };
        self.inversion(found, &seen, pixels, observer)
    }

    fn inversion(
        &self,
        found: Found,
        seen: &Seen,
        pixels: Tensor<4>,
        observer: &mut dyn Observer,
    ) -> Result<Inversion, Error> {
        let truth = self.candidate.target.scale.pixels(seen.prepared.clone());
        let scores = self.auditor.judge.scores(truth, pixels.clone(), &self.mean(), &seen.labels, self.seed)?;
        let Found { kind, settings, attacker_images, steps, seconds } = found;
        let (ssim, psnr) = (scores.ssim.mean, scores.psnr.mean);
        observer.found(&format!("{kind:?} inversion: SSIM {ssim:.3}, PSNR {psnr:.1} dB, {seconds:.0} s"));
        let pictures = to_pngs(pixels, self.auditor.settings.pictures)?;
        Ok(Inversion { kind, scores, settings, attacker_images, steps, seconds, seed: self.seed, pictures })
    }

    fn mean(&self) -> Tensor<4> {
        mean_image(&self.lots.own, &self.candidate.target.scale)
    }

    /// Images that so many batches show at least once.
    fn learned_from(&self, steps: usize) -> usize {
        let loader = self.auditor.attacker;
        let (images, batches) = (loader.dataset().len(), loader.batches().max(1));
        if steps >= batches { images } else { images * steps / batches }
    }
}

/// Images of the attacker's that keyed ones are compared with, at most, and the values that they may have together.
const REFERENCE_IMAGES: usize = 8192;
const REFERENCE: usize = 1 << 26;

/// Digits of a front half's hash that the name of a part carries.
const HASH_DIGITS: usize = 16;

/// Standard errors of the estimated traces that a bound allows for.
const ERRORS: f64 = 2.0;

/// What the noise among the defences guarantees, by the mean trace over the images measured. What is done to the values
/// after the noise cannot add information, so the bound stands behind a quantisation too.
fn bound(defences: &[Defence], seeing: &[Visible]) -> Result<Option<Bound>, Error> {
    let noise = defences.iter().find_map(|defence| match *defence {
        Defence::Noise { distribution: Distribution::Gaussian, scale, .. } => {
            Some(Noise::Gaussian { deviation: f64::from(scale) })
        }
        Defence::Noise { distribution: Distribution::Laplace, scale, .. } => {
            Some(Noise::Laplace { scale: f64::from(scale) })
        }
        _ => None,
    });
    let (Some(noise), Some(first)) = (noise, seeing.first()) else { return Ok(None) };
    let error = seeing.iter().map(|visible| visible.trace_error.powi(2)).sum::<f64>().sqrt();
    let trace = (seeing.iter().map(|visible| visible.trace).sum::<f64>() + ERRORS * error) / seeing.len() as f64;
    if trace <= 0.0 {
        return Ok(None); // nothing sent depends on these images, and there is nothing to bound
    }
    let dfil = dfil(trace, first.of, noise)?;
    Ok(Some(Bound { dfil, mse: mse_bound(dfil)? }))
}

/// What is known of an inversion before it is scored.
struct Found {
    kind: InversionKind,
    settings: String,
    attacker_images: usize,
    steps: usize,
    seconds: f64,
}
