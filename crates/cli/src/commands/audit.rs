//! `cleave audit`: attacks on a front half, before it is released.

use crate::auditing::{Attacker, Watch, parts_folder};
use crate::defences::{Sample, Wanted, signal_source};
use crate::gate;
use crate::model;
use crate::options::{DataOptions, DeviceOption};
use crate::secret::{PassphraseOption, unlock};
use crate::training::interrupt_flag;
use crate::{Failure, Output, output};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use cleave_audit::{
    Attack, Audit, AuditSettings, Auditor, Candidate, CutFindings, CutVerdict, Judge, Judgement, Stand, Subject,
    Target, judge, page,
};
use cleave_data::{Augmentation, LoadOptions, Loader, Preparation};
use cleave_keyed::Scramble;
use cleave_leakage::Effort;
use cleave_nets::{Checkpoint, Defence, Device, Header, ModelCard, Role, Training};
use cleave_partition::{BackHalf, Cut, FrontHalf, Limits, Terms, check_cut, cut, list_defences};
use cleave_retrain::SignalSource;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Attack a network at its cuts: get the image, the signal and the label back, and say how far that goes
#[derive(Args, Clone, Debug)]
pub struct AuditCommand {
    /// The network, whole; or give a released pair by --front and --back
    #[arg(required_unless_present = "front", conflicts_with = "front")]
    model: Option<PathBuf>,
    /// Where to cut: layer numbers, or 1:linear or 1:activation to stop inside a layer
    #[arg(long, value_delimiter = ',', required_unless_present = "front", conflicts_with = "front")]
    cuts: Vec<Cut>,
    /// The front half of a pair, attacked at its own cut with its own defences
    #[arg(long, requires = "back")]
    front: Option<PathBuf>,
    /// The back half of that pair
    #[arg(long, requires = "front")]
    back: Option<PathBuf>,
    /// The secret key of a locked pair: it makes what arrives, and says how much of it an attack found
    #[arg(long, requires = "front")]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseOption,
    #[command(flatten)]
    data: DataOptions,
    /// Network without a signal that says whether a reconstruction still shows its class; without it the attacked one
    #[arg(long)]
    base: Option<PathBuf>,
    /// Private images to invert; without this 32, or as many as the policy asks for
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..))]
    invert: Option<u32>,
    /// Private images to read signal and label of; without this 2000, or as many as the policy asks for
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    probe: Option<u32>,
    /// Private images to count visible directions at; without this 2, or as many as the policy asks for
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    jacobians: Option<u32>,
    /// Images that the attacker has: those that the network was trained on, or every other one that it was not, which are
    /// then not private
    #[arg(long, value_enum, default_value_t = Attacker::Train)]
    attacker: Attacker,
    /// Attacks to try; without this all
    #[arg(long, value_parser = attack_parser(), value_delimiter = ',')]
    attacks: Vec<Attack>,
    /// Attack each cut once more with this defence at it; give the option again for another. gaussian:SCALE,
    /// laplace:SCALE, gaussian:dfil:VALUE, bits:N, bits:N:LOW:HIGH, or noise and bits joined by +
    #[arg(long, value_name = "DEFENCE", allow_hyphen_values = true)]
    defend: Vec<Wanted>,
    /// Records of other audits on the same images to show beside this one
    #[arg(long, value_name = "RECORD.json")]
    compare: Vec<PathBuf>,
    /// Policy to judge by: one of `cleave policies`, or a TOML file
    #[arg(long, default_value = INPUT_REFERENCE, value_name = "NAME_OR_FILE")]
    policy: String,
    /// Page to write
    #[arg(long)]
    report: Option<PathBuf>,
    /// How hard to try
    #[arg(long = "effort", value_enum, default_value_t = Trying::Standard)]
    trying: Trying,
    /// Probability of mirroring one of the attacker's images
    #[arg(long, default_value_t = 0.5)]
    flip: f64,
    /// Images a batch of the attacker's training
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    device: DeviceOption,
    /// Seed of everything but time
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The record to write: JSON
    #[arg(long)]
    record: PathBuf,
    /// Go on from the finished parts that an interrupted audit left in RECORD.run
    #[arg(long)]
    resume: bool,
}

/// Policies whose limits judge what the one asked for does not limit.
const INPUT_REFERENCE: &str = "no-recognisable-image";
const OUTPUT_REFERENCE: &str = "noise-bounded";

/// Reads an attack by its name.
fn attack_parser() -> impl TypedValueParser<Value = Attack> {
    let known = Attack::ALL.map(|attack| PossibleValue::new(attack.name()).help(what_it_does(attack)));
    PossibleValuesParser::new(known)
        .try_map(|name| Attack::ALL.into_iter().find(|attack| attack.name() == name).ok_or("no such attack"))
}

const fn what_it_does(attack: Attack) -> &'static str {
    match attack {
        Attack::Probes => "Read signal and label",
        Attack::Decoder => "Train a network to go back",
        Attack::WhiteBox => "Descend on the image",
        Attack::QueryFree => "Descend with a substitute front half",
        Attack::LeastSquares => "Solve a linear system, where the front half is one layer",
        Attack::KnownImages => "Find the key of a locked pair from images known in both forms",
        Attack::KeyedImages => "Find the key of a locked pair from keyed images alone",
        Attack::WrongKeys => "Try other keys on a locked pair",
        Attack::Extraction => "Copy the back half from its answers",
        Attack::Jacobian => "Count the visible directions",
        _ => "",
    }
}

/// How many steps the attacks get.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Trying {
    /// A tenth of the steps: to see whether everything runs
    Quick,
    /// The defaults
    Standard,
    /// Three times the steps
    Thorough,
}

/// Images that the record names as their source.
fn named(data: &DataOptions, split: &str) -> String {
    format!("{} ({split})", file_name(&data.data))
}

impl Trying {
    fn settings(self) -> AuditSettings {
        let mut settings = AuditSettings::default();
        let steps = [
            &mut settings.descent.steps,
            &mut settings.decoder.steps,
            &mut settings.substitute.steps,
            &mut settings.probes.steps,
            &mut settings.extraction.steps,
        ];
        for steps in steps {
            *steps = match self {
                Self::Quick => *steps / 10,
                Self::Standard => *steps,
                Self::Thorough => *steps * 3,
            };
        }
        settings
    }
}

impl AuditCommand {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let policies = [self.policy.as_str(), INPUT_REFERENCE, OUTPUT_REFERENCE].map(gate::policy);
        let [asked, input, output_] = policies;
        let [asked, input, output_] = [asked?, input?, output_?];
        [Some(&self.record), self.report.as_ref()]
            .into_iter()
            .flatten()
            .try_for_each(|path| output::place_for(path))?;
        let others = self.compare.iter().map(|path| gate::record(path)).collect::<Result<Vec<_>, _>>()?;
        if self.report.as_ref() == Some(&self.record) {
            return Err(Failure::SameFile { path: self.record.clone() });
        }
        let folder = parts_folder(&self.record, self.resume)?;
        let device = self.device.open()?;
        let Attacked { model, name, cuts, defences, locked } = self.attacked(&device)?;
        let data = self.data.with_classes_of(&model.card.classes)?;
        let settings = self.settings(&asked.limits);
        let kept = settings.descent.tuning_images;
        let Loaders { attacker, tuning, private, sources } = self.loaders(&data, &model.card.preparation, kept)?;
        let (examiner, judge_name) = self.examiner(&model, locked.as_ref(), &device)?;
        if locked.is_some() && !self.defend.is_empty() {
            return Err(Failure::DefendLocked);
        }
        let candidates = match &locked {
            Some(locked) => vec![locked.candidate(&model, &name)?],
            None => self.candidates(&model, &name, &cuts, &defences)?,
        };
        let subject = Subject {
            attacker_source: named(&self.data, &sources[0]),
            private_source: named(&self.data, &sources[1]),
            judge: judge_name,
            ..subject(&model, name)
        };
        let auditor = Auditor {
            settings,
            attacker: &attacker,
            tuning: &tuning,
            private: &private,
            judge: &examiner,
            folder: Some(&folder),
        };
        let mut watch = Watch::new(interrupt_flag()?);
        let comparable = |other: &Audit| {
            let images = |subject: &Subject| {
                let Subject { classes, input, attacker_source, private_source, .. } = subject.clone();
                (classes, input, attacker_source, private_source)
            };
            other.seed == self.seed && images(&other.subject) == images(&subject)
        };
        if let Some(at) = others.iter().position(|other| !comparable(other)) {
            return Err(Failure::OtherImages { path: self.compare[at].clone() });
        }
        let mut audit = auditor.run(subject, &candidates, &mut watch)?;
        watch.bar.finish_and_clear();
        let record = serde_json::to_vec_pretty(&audit)?;
        cleave_nets::write_atomically(&self.record, &record)?;
        audit.cuts.extend(others.into_iter().flat_map(|other| other.cuts));
        let verdicts: Vec<_> = audit.cuts.iter().map(|findings| judge(findings, &asked, [&input, &output_])).collect();
        if let Some(report) = &self.report {
            cleave_nets::write_atomically(report, page(&audit, &verdicts)?.as_bytes())?;
        }
        std::fs::remove_dir_all(&folder)?; // not earlier: a page that could not be written is made again with --resume
        output.result(&Table { audit, verdicts })
    }

    /// The network and its cuts, or a pair put together again at its own.
    fn attacked(&self, device: &Device) -> Result<Attacked, Failure> {
        if let (Some(front), Some(back)) = (&self.front, &self.back) {
            let (mut front, back) = (FrontHalf::load(front, device)?, BackHalf::load(back, device)?);
            unlock(&mut front, self.key.as_ref(), &self.passphrase)?;
            return Attacked::pair(&front, &back);
        }
        let path = self.model.as_ref().unwrap_or(&self.record); // clap asks for one of the two
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let (model, cuts) = (model::load(path, device)?, self.cuts.clone());
        Ok(Attacked { model, name, cuts, defences: Vec::new(), locked: None })
    }

    /// Every cut as it is, and then once for each defence.
    fn candidates(
        &self,
        model: &Checkpoint,
        name: &str,
        cuts: &[Cut],
        released: &[Defence],
    ) -> Result<Vec<Candidate>, Failure> {
        let source = signal_source(model)?;
        let measured = self.defend.iter().any(Wanted::is_measured);
        let sample = measured.then(|| Sample::draw(model, self.data.data.clone())).transpose()?;
        let mut candidates = Vec::new();
        for &at in cuts {
            candidates.push(candidate(model, name, at, source.as_ref(), released.to_vec())?);
            for wanted in &self.defend {
                let defences = wanted.defences(model, at, sample.as_ref())?;
                candidates.push(candidate(model, name, at, source.as_ref(), defences)?);
            }
        }
        Ok(candidates)
    }

    /// As the options say, and where they say nothing with enough images for the policy.
    fn settings(&self, asked: &Limits) -> AuditSettings {
        let settings = self.trying.settings();
        let chosen = |given: Option<u32>, default: usize, asked: Option<usize>| {
            given.map_or(default.max(asked.unwrap_or(0)), |given| given as usize)
        };
        let invert = chosen(self.invert, settings.invert, asked.fewest_inverted);
        let probe = chosen(self.probe, settings.probe, asked.fewest_judged);
        let jacobians = chosen(self.jacobians, settings.jacobians, asked.fewest_traced);
        let attacks = if self.attacks.is_empty() { settings.attacks.clone() } else { self.attacks.clone() };
        AuditSettings { seed: self.seed, attacks, invert, probe, jacobians, ..settings }
    }

    /// The attacker's images, of which some are kept for tuning, and the private ones, all in a drawn order.
    fn loaders(&self, data: &DataOptions, preparation: &Preparation, tuning: usize) -> Result<Loaders, Failure> {
        let [(train, own), (private, others)] = self.attacker.split(data)?;
        let sources = [own, others];
        let every = train.len().div_ceil(tuning.max(1)).max(2);
        let (kept, learned): (Vec<_>, Vec<_>) = (0..train.len()).partition(|at| at % every == 0);
        let options = LoadOptions {
            drop_last: learned.len() >= self.batch,
            augmentation: Some(Augmentation { flip: self.flip, ..Augmentation::default() }),
            cache_bytes: CACHE,
            ..LoadOptions::training(self.batch, self.seed)
        };
        let plain = |data| Loader::new(data, preparation.clone(), LoadOptions::training(PRIVATE_BATCH, self.seed));
        let (tuning, private) = (plain(train.subset(&kept)?)?, plain(private)?);
        let attacker = Loader::new(train.subset(&learned)?, preparation.clone(), options)?;
        Ok(Loaders { attacker, tuning, private, sources })
    }

    fn examiner(
        &self,
        model: &Checkpoint,
        locked: Option<&Locked>,
        device: &Device,
    ) -> Result<(Judge, String), Failure> {
        let (mut examiner, path) = match &self.base {
            Some(path) => (model::load(path, device)?, path),
            None => (model.clone(), self.model.as_ref().or(self.front.as_ref()).unwrap_or(&self.record)),
        };
        if let (None, Some(locked)) = (&self.base, locked) {
            examiner.network = cleave_keyed::unlock(&model.network, &locked.scramble)?;
        }
        let source = signal_source(&examiner)?;
        Ok((Judge::new(examiner.network, source, &examiner.card.preparation)?, file_name(path)))
    }
}

/// Images of both sides.
struct Loaders {
    attacker: Loader,
    tuning: Loader,
    private: Loader,
    /// Where the attacker's and the private ones come from, in words.
    sources: [String; 2],
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// What is attacked.
struct Attacked {
    model: Checkpoint,
    name: String,
    cuts: Vec<Cut>,
    /// Those that a released pair applies at its cut.
    defences: Vec<Defence>,
    /// What images travel under.
    locked: Option<Locked>,
}

/// A pair under a key, by those who hold the key.
struct Locked {
    scramble: Arc<Scramble>,
    terms: Terms,
}

impl Locked {
    fn candidate(&self, model: &Checkpoint, name: &str) -> Result<Candidate, Failure> {
        let (nothing, network) = (model.network.slice(0..0)?, model.network.clone());
        let target = Target::new(nothing, network, None, Vec::new(), &model.card.preparation);
        Ok(Candidate {
            model: name.to_owned(),
            cut: self.terms.cut,
            layer: "key".to_owned(),
            front_hash: self.terms.front_hash.clone(),
            defences: Vec::new(),
            target: target.under_key(Arc::clone(&self.scramble)),
            check: Some(self.terms.leakage.clone()),
        })
    }
}

impl Attacked {
    fn pair(front: &FrontHalf, back: &BackHalf) -> Result<Self, Failure> {
        let (manifest, terms) = (front.manifest(), &front.manifest().terms);
        if terms.pair != back.manifest().terms.pair {
            return Err(Failure::OtherPair { front: terms.pair.clone(), back: back.manifest().terms.pair.clone() });
        }
        let (defences, trained) = terms.defences.iter().cloned().partition(Defence::is_at_cut);
        let network = front.network().followed_by(back.network())?;
        let card = ModelCard {
            header: Header::of(Role::Whole),
            architecture: network.architecture().clone(),
            classes: manifest.classes.clone(),
            preparation: manifest.preparation.clone(),
            training: Training::default(),
            defences: trained,
            confused: None,
        };
        let glyphs = front.source().and_then(SignalSource::glyphs).cloned();
        let model = Checkpoint { card, network, glyphs };
        let locked = front.scramble().map(|scramble| Locked { scramble, terms: terms.clone() });
        Ok(Self { model, name: terms.model.clone(), cuts: vec![terms.cut], defences, locked })
    }
}

/// 2 GiB of decoded images, as for training.
const CACHE: usize = 2 << 30;
/// Images that are decoded together.
const PRIVATE_BATCH: usize = 100;

fn subject(model: &Checkpoint, name: String) -> Subject {
    let architecture = model.network.architecture();
    let numbered = architecture.numbered_layers();
    let join = architecture.join();
    Subject {
        model: name,
        classes: model.card.classes.clone(),
        input: model.network.input().dims(),
        signal: join.map(|(_, spec)| spec.kind),
        join: join
            .and_then(|(at, _)| numbered.iter().find(|layer| layer.range.contains(&at)).map(|layer| layer.number)),
        layers: numbered.len(),
        ..Subject::default()
    }
}

fn candidate(
    model: &Checkpoint,
    name: &str,
    at: Cut,
    source: Option<&SignalSource>,
    defences: Vec<Defence>,
) -> Result<Candidate, Failure> {
    let (front, back) = cut(&model.network, at)?;
    let layer = model.network.architecture().numbered_layer(at.layer)?.name;
    let check = check_cut(&model.network, at, None, &Effort::default()).ok();
    Ok(Candidate {
        model: name.to_owned(),
        cut: at,
        layer,
        front_hash: cleave_partition::tensor_hash(&front)?,
        defences: [&model.card.defences[..], &defences].concat(),
        target: Target::new(front, back, source.cloned(), defences, &model.card.preparation),
        check,
    })
}

/// What was found, as a table.
#[derive(serde::Serialize)]
struct Table {
    #[serde(flatten)]
    audit: Audit,
    verdicts: Vec<CutVerdict>,
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (findings, verdict) in self.audit.cuts.iter().zip(&self.verdicts) {
            let CutFindings { model, cut, layer, task_accuracy, bytes, defences, .. } = findings;
            let right = 100.0 * task_accuracy.share;
            writeln!(f, "{model}, cut {cut} ({layer}), {}", list_defences(defences))?;
            writeln!(f, "  {bytes} bytes an image, the client's answers {right:.1} % right")?;
            for Judgement { privacy, stand, evidence } in &verdict.judgements {
                writeln!(f, "  {privacy:?} privacy: {}", stand_in_words(*stand))?;
                evidence.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
            }
            let answer = if verdict.passes { "keeps" } else { "breaks" };
            writeln!(f, "  It {answer} the policy {}.\n", verdict.policy)?;
        }
        write!(f, "{:.0} s", self.audit.seconds)
    }
}

const fn stand_in_words(stand: Stand) -> &'static str {
    match stand {
        Stand::NotBroken => "not broken by what was tried",
        Stand::NotMeasured => "not measured",
        Stand::Broken => "broken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn as_many_images_are_attacked_as_the_policy_asks_for() {
        let settings = |options: &str, asked: &Limits| {
            let words = format!("audit network --cuts 2 --data builtin --record record.json {options}");
            let command = AuditCommand::augment_args(clap::Command::new("audit"));
            let matches = command.get_matches_from(words.split_whitespace());
            let AuditSettings { invert, probe, .. } = AuditCommand::from_arg_matches(&matches).unwrap().settings(asked);
            [invert, probe]
        };
        let AuditSettings { invert, probe, .. } = AuditSettings::default();
        let asked = |images| Limits { fewest_inverted: Some(images), fewest_judged: Some(images), ..Limits::default() };
        assert_eq!(settings("", &Limits::default()), [invert, probe]);
        assert_eq!(settings("", &asked(5000)), [5000, 5000]);
        assert_eq!(settings("", &asked(5)), [invert, probe]);
        assert_eq!(settings("--invert 3 --probe 4", &asked(5000)), [3, 4]);
    }
}
