//! `cleave demo`: the whole path on built-in images, in one go.

use crate::options::{DataOptions, open_dataset, validation_split};
use crate::page::{DemoReport, RequestRow, Row};
use crate::serving::{BackService, MAX_BATCH};
use crate::training::{EVALUATION_BATCH, Watch, interrupt_flag, measured_preparation};
use crate::{Failure, Output};
use clap::Args;
use cleave_data::{Augmentation, Dataset, Glyphs, LoadOptions, Loader, Preparation};
use cleave_nets::{
    AlexNet, Checkpoint, Device, Header, ModelCard, Network, Role, SignalForm, SignalKind, Training, argmax,
};
use cleave_partition::{BackHalf, Cut, Error, FrontHalf, Offer, release};
use cleave_retrain::{
    Curriculum, JoinSettings, Outcome, SignalSource, TrainSettings, Trainer, average_accuracy, evaluate, join_signal,
};
use cleave_transport::{Authority, Client, ClientConfig, ClientTls, Server, ServerConfig, ServerTls, Service};
use rand::SeedableRng;
use rand::rngs::SysRng;
use rand_chacha::ChaCha20Rng;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// Train, retrain, cut, check, serve and infer on built-in images, and write a page about it
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// Labelled images of your own, with a train and a val or test split, instead of the built-in ones
    #[arg(long, default_value = "builtin")]
    data: PathBuf,
    /// Steps of training the base network
    #[arg(long, default_value_t = 1600)]
    steps: usize,
    /// Steps for N = 0, which trains from scratch with the signal
    #[arg(long, default_value_t = 4000)]
    scratch_steps: usize,
    /// Steps of each retraining that starts from the base network
    #[arg(long, default_value_t = 900)]
    retrain_steps: usize,
    /// Divide AlexNet's widths by this
    #[arg(long, default_value_t = 4)]
    divisor: usize,
    /// Seed of everything but the client's secrets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The page to write
    #[arg(long, default_value = "cleave-demo.html")]
    out: PathBuf,
}

/// Side of the demo's images in pixels: the least that AlexNet's pools fit in.
const SIDE: usize = 64;
/// Unseen images that go over the wire.
const REQUESTS: usize = 8;
/// Name of the served model.
const MODEL: &str = "demo";

/// What all trainings of the demo share.
struct Stage {
    train: Loader,
    validation: Loader,
    settings: TrainSettings,
    glyphs: Glyphs,
    stop: Arc<AtomicBool>,
}

/// A trained network with its row in the table.
struct Trained {
    network: Network,
    preserved: usize,
    row: Row,
}

impl Demo {
    /// Runs the command.
    pub fn run(&self, output: &Output) -> Result<(), Failure> {
        let began = Instant::now();
        let (data, preparation, stage, card) = self.prepare()?;
        let base = self.train_base(&stage, &card)?;
        let retrained =
            (0..=4).map(|preserved| self.retrain(&stage, &base.network, preserved)).collect::<Result<Vec<_>, _>>()?;
        let best = retrained.iter().max_by(|a, b| a.row.average_accuracy.total_cmp(&b.row.average_accuracy));
        let Some(best) = best else { return Ok(()) };
        let mut report = DemoReport { data: self.describe(&data), ..DemoReport::default() };
        self.cut_and_serve(&stage, best, card, &preparation, &mut report)?;
        report.rows = std::iter::once(base).chain(retrained).map(|trained| trained.row).collect();
        report.seconds = began.elapsed().as_secs_f64();
        cleave_nets::write_atomically(&self.out, report.html().as_bytes())?;
        output.result(&report)?;
        eprintln!("wrote {}", self.out.display());
        Ok(())
    }

    fn describe(&self, data: &Dataset) -> String {
        let from = if self.data.as_os_str() == "builtin" {
            "drawn shapes".to_owned()
        } else {
            self.data.display().to_string()
        };
        format!("Images: {from}, {} to train on, classes {}", data.len(), data.classes().join(", "))
    }

    fn prepare(&self) -> Result<(Dataset, Preparation, Stage, ModelCard), Failure> {
        let options = DataOptions { data: self.data.clone(), classes: None, limit: None, strict: false };
        let train = open_dataset(&options, Some("train"))?;
        let split =
            validation_split(&options, &train).ok_or_else(|| Failure::NoValidation { path: self.data.clone() })?;
        let preparation = measured_preparation(&options, SIDE, 3, self.seed)?;
        let settings = TrainSettings {
            steps: self.steps,
            learning_rate: 0.01,
            batch: 16,
            seed: self.seed,
            weight_decay: 0.0, // these runs are too short to overfit, and decay holds a narrow network on its plateau
            augmentation: Augmentation::shift_and_flip(3),
            log_every: (self.retrain_steps / 30).max(1),
            ..TrainSettings::default()
        };
        let loading = LoadOptions {
            drop_last: true,
            augmentation: Some(settings.augmentation),
            ..LoadOptions::training(settings.batch, self.seed)
        };
        let classes = train.classes().to_vec();
        let architecture =
            AlexNet { size: SIDE, classes: classes.len(), divisor: self.divisor, channels: 3 }.architecture()?;
        let digits: Vec<_> = (0..classes.len().min(10)).collect();
        let stage = Stage {
            train: Loader::new(train.clone(), preparation.clone(), loading)?,
            validation: Loader::new(
                open_dataset(&options, Some(split))?,
                preparation.clone(),
                LoadOptions::evaluation(EVALUATION_BATCH),
            )?,
            settings,
            glyphs: Glyphs::drawn(self.seed, &digits, 200)?,
            stop: interrupt_flag()?,
        };
        let header = Header::of(Role::Whole);
        let card = ModelCard {
            header,
            architecture,
            classes,
            preparation: preparation.clone(),
            training: Training::default(),
            defences: Vec::new(),
            confused: None,
        };
        Ok((train, preparation, stage, card))
    }

    fn train_base(&self, stage: &Stage, card: &ModelCard) -> Result<Trained, Failure> {
        let network = Network::random(card.architecture.clone(), self.seed, &device()?)?;
        self.train(stage, &network, 0, None, "base")
    }

    fn retrain(&self, stage: &Stage, base: &Network, preserved: usize) -> Result<Trained, Failure> {
        let classes = base.output().values();
        let kind = if classes == 2 { SignalKind::Complement } else { SignalKind::Offset };
        let form = if classes <= 10 { SignalForm::Digit } else { SignalForm::Plane };
        let strength = JoinSettings::usual_strength(preserved);
        let join = JoinSettings { preserved, kind, form, strength, new_weights: 1.0, seed: self.seed };
        let samples = stage.train.epoch(0)?.next().transpose()?.map(|batch| batch.images).unwrap_or_default();
        let (network, source) = join_signal(base, &join, Some(stage.glyphs.clone()), samples)?;
        self.train(stage, &network, preserved, Some(source), &format!("N = {preserved}"))
    }

    fn train(
        &self,
        stage: &Stage,
        network: &Network,
        preserved: usize,
        source: Option<SignalSource>,
        name: &str,
    ) -> Result<Trained, Failure> {
        let steps = match (source.is_some(), preserved) {
            (false, _) => self.steps,
            (true, 0) => self.scratch_steps,
            (true, _) => self.retrain_steps,
        };
        let settings = TrainSettings { steps, curriculum: Curriculum::for_join(preserved), ..stage.settings.clone() };
        let mut trainer = Trainer::new(network, preserved, source.clone(), stage.train.clone(), None, settings)?;
        let mut watch = Watch::new(name, steps, None, Arc::clone(&stage.stop))?;
        if trainer.run(None, &mut watch)? == Outcome::Interrupted {
            return Err(Failure::DemoInterrupted);
        }
        watch.finish();
        let network = trainer.network()?;
        let evaluation =
            evaluate(&network, source.as_ref(), &stage.validation, if source.is_some() { 3 } else { 1 }, self.seed)?;
        let row = Row {
            name: name.to_owned(),
            average_accuracy: average_accuracy(&evaluation, 1000, 100, self.seed),
            masked_matches: evaluation.masked_matches,
            steps,
            seconds: watch.measurements.last().map_or(0.0, |last| last.seconds),
            curve: watch.measurements.iter().map(|point| (point.step, point.train_accuracy)).collect(),
        };
        eprintln!("{name}: average accuracy {:.2} %, {:.1} s", 100.0 * row.average_accuracy, row.seconds);
        Ok(Trained { network, preserved, row })
    }

    fn cut_and_serve(
        &self,
        stage: &Stage,
        best: &Trained,
        mut card: ModelCard,
        preparation: &Preparation,
        report: &mut DemoReport,
    ) -> Result<(), Failure> {
        card.architecture = best.network.architecture().clone();
        let model =
            Checkpoint { card, network: best.network.clone(), glyphs: Some(stage.glyphs.subset(64, self.seed)?) };
        let folder = tempfile::tempdir()?;
        let (front, back) = (folder.path().join("front.safetensors"), folder.path().join("back.safetensors"));
        report.cut = write_first_that_passes(&model, best.preserved + 1, &front, &back, &mut report.check)?;
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(self.over_the_wire(
            stage,
            &front,
            &back,
            preparation,
            report,
        ))
    }

    async fn over_the_wire(
        &self,
        stage: &Stage,
        front: &Path,
        back: &Path,
        preparation: &Preparation,
        report: &mut DemoReport,
    ) -> Result<(), Failure> {
        let (front, back) = (FrontHalf::load(front, &device()?)?, BackHalf::load(back, &device()?)?);
        let service =
            BackService::new(back).map(Arc::new).ok_or_else(|| Failure::PairHash { path: self.out.clone() })?;
        let authority = Authority::make(1)?;
        let tls = ServerTls::new(authority.issue_server(&["localhost".to_owned()], 1)?, authority.trust());
        let services: Vec<(String, Arc<dyn Service>)> =
            vec![(MODEL.to_owned(), Arc::clone(&service) as Arc<dyn Service>)];
        let server = Server::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls, services, ServerConfig::default())?;
        let address = server.local_addr()?;
        let (done, finished) = tokio::sync::oneshot::channel::<()>();
        let serving = tokio::spawn(server.run(async { drop(finished.await) }));
        let tls = ClientTls::new(authority.issue_client("demo", 1)?, authority.trust());
        let config = ClientConfig { expected_pair_hash: front.manifest().terms.pair_hash(), ..ClientConfig::default() };
        let client = Client::connect(address, "localhost", tls, MODEL, config).await?;
        eprintln!("server and client on {address}, batches of 1 of at most {MAX_BATCH}");
        let mut rng = ChaCha20Rng::try_from_rng(&mut SysRng)
            .map_err(|error| Failure::Randomness { reason: error.to_string() })?;
        let unseen = stage.validation.dataset();
        for index in 0..REQUESTS.min(unseen.len()) {
            let index = (index * unseen.len() / REQUESTS + index % unseen.classes().len()) % unseen.len();
            let pixels = unseen.decode(index)?;
            let signals = front.draw(1, &mut rng);
            let smashed = front.smash(preparation.prepare(&pixels)?, &signals, &mut rng)?;
            let reply = client.call(smashed.values(), 1).await?;
            let class = |label: usize| unseen.classes().get(label).cloned().unwrap_or_default();
            report.requests.push(RequestRow {
                png: pixels.to_png()?,
                truth: class(unseen.label(index).unwrap_or_default()),
                masked: service.last_masked().first().map(|&label| class(label)).unwrap_or_default(),
                unmasked: class(argmax(&front.unmask(&reply.values, signals[0])?)),
                bytes: reply.bytes_sent + reply.bytes_received,
                milliseconds: reply.elapsed.as_secs_f64() * 1000.0,
            });
        }
        client.close().await;
        drop(done);
        if let Ok(ended) = serving.await {
            ended?;
        }
        Ok(())
    }
}

fn device() -> Result<Device, Failure> {
    Ok(cleave_nets::device("flex")?)
}

/// Releases at the first cut from layer `first` on that passes the gate, and says what happened.
fn write_first_that_passes(
    model: &Checkpoint,
    first: usize,
    front: &Path,
    back: &Path,
    check: &mut String,
) -> Result<String, Failure> {
    let mut story = String::new();
    let mut at = Cut::after(first);
    loop {
        match release(&Offer::new(model, at, MODEL)) {
            Ok(pair) => {
                check.push_str(&pair.front().terms.leakage.to_string());
                pair.write(front, back, true)?;
                let values = pair.front().terms.smashed.values();
                story.push_str(&format!("Cut after layer {at}; {values} values go over the wire for each image."));
                return Ok(story);
            }
            Err(Error::Leaks { cut, report }) => {
                check.push_str(&format!("{report}\n\n"));
                story.push_str(&format!("{}. ", Error::Leaks { cut, report }));
                at = Cut::after(at.layer + 1);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl std::fmt::Display for DemoReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\n", self.data)?;
        writeln!(
            f,
            "{:8} {:>16} {:>20} {:>6} {:>8}",
            "network", "average accuracy", "masked label is true", "steps", "seconds"
        )?;
        for Row { name, average_accuracy, masked_matches, steps, seconds, .. } in &self.rows {
            let (accuracy, masked) = (100.0 * average_accuracy, 100.0 * masked_matches);
            writeln!(f, "{name:8} {accuracy:14.2} % {masked:18.1} % {steps:6} {seconds:8.1}")?;
        }
        writeln!(f, "\n{}\n\n{}\n", self.cut, self.check)?;
        writeln!(f, "{:10} {:12} {:12} {:>8} {:>8}", "true", "server sees", "client reads", "bytes", "ms")?;
        for RequestRow { truth, masked, unmasked, bytes, milliseconds, .. } in &self.requests {
            writeln!(f, "{truth:10} {masked:12} {unmasked:12} {bytes:8} {milliseconds:8.1}")?;
        }
        write!(f, "\n{:.0} s in all", self.seconds)
    }
}
