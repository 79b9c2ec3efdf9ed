use std::{fmt, time::Duration};

use cleave_secrets::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Answer, JobId, Phase, Plan, Request, Status, Terms};
use crate::{
    ParamsHash,
    ckks::{EvaluationKeys, KeyCollector, ParamSet, Params},
    service::{Error, Result, counted},
    training::{
        Collector, Cubic, EncryptedData, EncryptedModel, Model, Preconditioner, Shape, TrainingClient, TrainingData,
        iterations, key_plan,
    },
};

/// The first message.
pub fn describe() -> Vec<u8> {
    Request::Describe.to_bytes()
}

/// Reads the answer to it.
///
/// # Errors
///
/// [`Error::OtherAnswer`], [`Error::Field`] for terms that cannot be.
pub fn terms(answer: &[u8]) -> Result<Terms> {
    match Answer::from_bytes(answer)? {
        Answer::Terms(terms) => Ok(terms),
        other => Err(other_answer(&other, "terms")),
    }
}

/// What a client keeps of a job, so that it can come back to it: all but its data and its secret key. **It has the
/// weights decrypted so far in it**, and is as private as they are.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobState {
    /// Its name.
    pub job: JobId,
    set: String,
    samples: usize,
    features: usize,
    classes: usize,
    linear: f64,
    cubic: f64,
    iterations: u32,
    each: u32,
    /// Iterations whose weights are here.
    done: u32,
    weights: Zeroizing<Vec<f64>>,
    ahead: Zeroizing<Vec<f64>>,
    /// Name of the weights that were sent for the next round, if any were.
    sent: Option<[u8; 32]>,
}

impl fmt::Debug for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobState").field("job", &self.job).field("done", &self.done).finish_non_exhaustive()
    }
}

impl JobState {
    /// A job of `iterations`, `each` of them a round, from `start` on.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for no iterations, or more in a round than `set` has levels for.
    pub fn new(set: ParamSet, shape: Shape, cubic: Cubic, iterations: u32, each: u32, start: &Model) -> Result<Self> {
        let state = Self {
            job: JobId(*Secret::generate().map_err(crate::Error::from)?.expose()),
            set: set.name().into(),
            samples: shape.samples,
            features: shape.features,
            classes: shape.classes,
            linear: cubic.linear,
            cubic: cubic.cubic,
            iterations,
            each,
            done: 0,
            weights: Zeroizing::new(start.weights().to_vec()),
            ahead: Zeroizing::new(start.ahead().to_vec()),
            sent: None,
        };
        state.check().map(|_| state)
    }

    /// All but how far it is, as text: the same for the same job.
    pub fn settings(&self) -> String {
        let Self { set, samples, features, classes, linear, cubic, iterations, each, .. } = self;
        format!(
            "{set}, samples {samples}, features {features}, classes {classes}, cubic {linear:e} {cubic:e}, iterations \
             {iterations} in rounds of {each}"
        )
    }

    /// Its plan and parameters.
    fn check(&self) -> Result<(Plan, Params)> {
        let params = Params::named(self.set.parse::<ParamSet>()?)?;
        let most = counted(iterations(&params));
        let field = |field, got: u32, expected: String| Err(Error::Field { field, got: got.to_string(), expected });
        if self.iterations == 0 {
            return field("iterations of a job", 0, "1 or more".into());
        }
        if !(1..=most).contains(&self.each) {
            return field("iterations of a round", self.each, format!("1 to {most}"));
        }
        if self.done > self.iterations {
            return field("iterations that were made", self.done, format!("at most {}", self.iterations));
        }
        let expected = self.features.checked_mul(self.classes);
        for weights in [&self.weights, &self.ahead] {
            if Some(weights.len()) != expected || weights.iter().any(|weight| !weight.is_finite()) {
                let expected = format!("{} x {} finite numbers", self.classes, self.features);
                return field("weights of a job", counted(weights.len()), expected);
            }
        }
        Ok((self.plan(params.hash()), params))
    }

    fn plan(&self, params: ParamsHash) -> Plan {
        let cubic = Cubic { linear: self.linear, cubic: self.cubic };
        Plan { params, shape: self.shape(), cubic, iterations: self.iterations, each: self.each }
    }

    /// n, d and c.
    pub fn shape(&self) -> Shape {
        Shape { samples: self.samples, features: self.features, classes: self.classes }
    }

    /// Iterations whose weights are here, and iterations in all.
    pub fn progress(&self) -> (u32, u32) {
        (self.done, self.iterations)
    }

    /// The weights so far.
    pub fn model(&self) -> Model {
        let (weights, ahead) = (self.weights.clone(), self.ahead.clone());
        Model::from_parts(self.classes, self.features, self.done as usize, weights, ahead)
    }
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Something is sent: what, how many pieces of it, of how many.
    Sending(&'static str, u32, u32),
    /// Others are trained first; wait a moment before the next message.
    Waiting {
        /// So many.
        ahead: u32,
    },
    /// A round is trained; wait a moment before the next message.
    Training {
        /// Share of its work that is done, from 0 to 1.
        share: f64,
        /// Time since it began.
        elapsed: Duration,
        /// What is left of it at this pace, once there is a pace.
        left: Option<Duration>,
    },
    /// Pieces of weights received, and pieces in all.
    Fetching(u32, u32),
    /// A round is over: so many iterations, of so many.
    Round(u32, u32),
    /// All are over, and the provider has forgotten the job.
    Done,
}

/// The client's side of a job: send what [`next`](ClientJob::next) gives, hand the answer to [`take`](ClientJob::take),
/// until it says [`Step::Done`]. On a new connection begin again with [`ClientJob::reconnected`].
///
/// [`take_unsaved`](ClientJob::take_unsaved) gives what has to be on disk before the next message is sent, if the
/// client is to come back to the job in another process.
pub struct ClientJob<'a> {
    state: JobState,
    plan: Plan,
    client: TrainingClient,
    data: &'a TrainingData,
    preconditioner: Preconditioner,
    /// Of keys, data and weights.
    pieces: [u32; 3],
    /// As the provider told last on this connection.
    status: Option<Status>,
    keys: Option<EvaluationKeys>,
    encrypted: Option<EncryptedData>,
    asked: Option<EncryptedModel>,
    answer: Option<Collector>,
    /// Whether the state changed since it was last taken.
    unsaved: bool,
    /// What the last message was.
    at: At,
    over: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Status,
    Fetching(u32),
    Cancel,
}

impl<'a> ClientJob<'a> {
    /// The job of `state` with the data that it was begun with, and the key from `secret`.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for a state that cannot be, [`Error::Scheme`] for data of another shape.
    pub fn new(
        state: JobState,
        secret: &Secret,
        data: &'a TrainingData,
        preconditioner: Preconditioner,
    ) -> Result<Self> {
        let (plan, params) = state.check()?;
        if data.shape() != state.shape() {
            let (got, expected) = (format!("{:?}", data.shape()), format!("{:?}", state.shape()));
            return Err(Error::Field { field: "shape of the data", got, expected });
        }
        let client = TrainingClient::new(&params, secret, data.shape())?;
        let of_keys = KeyCollector::new(&key_plan(&params, data.shape())?).progress().1;
        let of_data = Collector::data(client.tags(), data.shape(), [0; 32])?.progress().1;
        let of_weights = Collector::model(client.tags(), data.shape(), [0; 32], 0)?.progress().1;
        let over = state.done == state.iterations;
        Ok(Self {
            state,
            plan,
            client,
            data,
            preconditioner,
            pieces: [of_keys, of_data, of_weights].map(counted),
            status: None,
            keys: None,
            encrypted: None,
            asked: None,
            answer: None,
            unsaved: !over,
            at: At::Status,
            over,
        })
    }

    /// What is public of it.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is known so far.
    pub fn state(&self) -> &JobState {
        &self.state
    }

    /// What has to be kept before the next message, if it changed.
    pub fn take_unsaved(&mut self) -> Option<&JobState> {
        std::mem::take(&mut self.unsaved).then_some(&self.state)
    }

    /// The connection is another one: the job is begun again there.
    pub fn reconnected(&mut self) {
        self.status = None;
        self.at = At::Status;
    }

    /// Whether the provider has something of the job.
    pub fn is_begun(&self) -> bool {
        self.status.is_some() || self.state.done > 0 || self.state.sent.is_some()
    }

    /// The next message; `None` when all is over.
    ///
    /// # Errors
    ///
    /// [`Error::Scheme`] without randomness, or for data that do not fit.
    #[allow(clippy::should_implement_trait, reason = "it fails, and waits for an answer in between")]
    pub fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.over {
            return Ok(None);
        }
        self.at = At::Status;
        let Some(status) = self.status else {
            return Ok(Some(Request::Begin { job: self.state.job, plan: self.plan }.to_bytes()));
        };
        if self.state.done == self.state.iterations {
            self.at = At::Cancel;
            return Ok(Some(Request::Cancel.to_bytes()));
        }
        let message = match status {
            Status { keys: (got, of), .. } if got < of => self.key(got)?,
            Status { data: (got, of), data_batch, .. } if got < of || of == 0 => self.datum(data_batch, got)?,
            status => self.round(&status)?,
        };
        Ok(Some(message))
    }

    /// Gives the job up: the message, and what [`take`](ClientJob::take) is to expect.
    pub fn cancel(&mut self) -> Vec<u8> {
        self.at = At::Cancel;
        Request::Cancel.to_bytes()
    }

    fn key(&mut self, got: u32) -> Result<Vec<u8>> {
        let piece = self.keys.as_ref().and_then(|keys| keys.piece(got as usize));
        match piece {
            Some(piece) => Ok(Request::Key(&piece).to_bytes()),
            None => {
                self.keys = Some(self.client.evaluation_keys()?);
                Ok(Request::Keys.to_bytes())
            }
        }
    }

    fn datum(&mut self, batch: [u8; 32], got: u32) -> Result<Vec<u8>> {
        self.keys = None; // the provider has them all
        if let Some(data) = self.encrypted.as_ref().filter(|data| data.batch() == batch)
            && let Some(piece) = data.piece(&self.client.tags(), got as usize)
        {
            return Ok(Request::Datum(&piece?).to_bytes());
        }
        let data = self.client.encrypt_data(self.data, self.preconditioner)?;
        let message = Request::Data { batch: data.batch() }.to_bytes();
        self.encrypted = Some(data);
        Ok(message)
    }

    fn round(&mut self, status: &Status) -> Result<Vec<u8>> {
        self.encrypted = None; // the provider has them all
        let ours = self.state.sent == Some(status.weights_batch) && status.iterations == self.state.done;
        match (status.phase, status.weights) {
            (Phase::Waiting { .. } | Phase::Training { .. }, _) if ours => Ok(Request::Poll.to_bytes()),
            (Phase::Trained { .. }, _) if ours => {
                let index = self.answer.as_ref().map_or(0, |answer| counted(answer.progress().0));
                self.at = At::Fetching(index);
                Ok(Request::Fetch { index }.to_bytes())
            }
            (Phase::Collecting, (got, of)) if ours && self.asked.is_some() => match got < of {
                false => Ok(Request::Train.to_bytes()),
                true => {
                    let piece = self.asked.as_ref().and_then(|asked| asked.piece(&self.client.tags(), got as usize));
                    let piece = piece.ok_or_else(|| wrong("pieces of the weights", of.to_string(), "fewer"))?;
                    Ok(Request::Weight(&piece?).to_bytes())
                }
            },
            _ => self.weights(),
        }
    }

    /// Encrypts the weights for a round, which thereby begins anew.
    fn weights(&mut self) -> Result<Vec<u8>> {
        let asked = self.client.encrypt_model(&self.state.model())?;
        let batch = asked.batch();
        (self.asked, self.answer) = (Some(asked), None);
        (self.state.sent, self.unsaved) = (Some(batch), true);
        Ok(Request::Weights { batch, iterations: self.state.done }.to_bytes())
    }

    /// Takes the answer to the last message.
    ///
    /// # Errors
    ///
    /// [`Error::OtherAnswer`], [`Error::Field`] and [`Error::Scheme`] for an answer that cannot be.
    pub fn take(&mut self, answer: &[u8]) -> Result<Step> {
        match (self.at, Answer::from_bytes(answer)?) {
            (At::Status, Answer::Status(status)) => self.take_status(status),
            (At::Fetching(expected), Answer::Piece { index, bytes }) if index == expected => self.take_piece(bytes),
            (At::Cancel, Answer::Forgotten) => {
                self.over = true;
                Ok(Step::Done)
            }
            (At::Status, other) => Err(other_answer(&other, "the state of the job")),
            (At::Fetching(_), other) => Err(other_answer(&other, "the next piece of the weights")),
            (At::Cancel, other) => Err(other_answer(&other, "the end of the job")),
        }
    }

    fn take_status(&mut self, status: Status) -> Result<Step> {
        self.check(&status)?;
        self.status = Some(status);
        let sending = |what, (got, of)| Ok(Step::Sending(what, got, of));
        match (status.phase, status.keys, status.data) {
            (_, keys @ (got, of), _) if got < of => sending("keys", keys),
            (_, _, data @ (got, of)) if got < of => sending("data", data),
            (Phase::Collecting, ..) => sending("weights", status.weights),
            (Phase::Waiting { ahead }, ..) => Ok(Step::Waiting { ahead }),
            (Phase::Training { share, elapsed }, ..) => {
                let (share, elapsed) = (f64::from(share) / 65_536.0, Duration::from_millis(elapsed.into()));
                let left = (share > 0.02).then(|| elapsed.mul_f64((1.0 - share) / share));
                Ok(Step::Training { share, elapsed, left })
            }
            (Phase::Trained { pieces }, ..) => Ok(Step::Fetching(0, pieces)),
        }
    }

    /// What a provider of this plan can say.
    fn check(&self, status: &Status) -> Result<()> {
        let [keys, data, weights] = self.pieces;
        let same = |field, got: u32, expected: u32, or_none: bool| match got == expected || or_none && got == 0 {
            true => Ok(()),
            false => Err(wrong(field, got.to_string(), expected)),
        };
        same("pieces of the keys", status.keys.1, keys, false)?;
        same("pieces of the data", status.data.1, data, true)?;
        same("pieces of the weights", status.weights.1, weights, true)?;
        match status.phase {
            Phase::Trained { pieces } => same("pieces of the answer", pieces, weights, false),
            _ => Ok(()),
        }
    }

    fn take_piece(&mut self, bytes: &[u8]) -> Result<Step> {
        let batch = self.state.sent.ok_or_else(|| wrong("pieces of the weights", "one".into(), "none"))?;
        let (done, count) = (self.state.done as usize, self.plan.next(self.state.done) as usize);
        let collector = match self.answer.take() {
            Some(collector) => collector,
            None => Collector::answer_to(self.client.tags(), self.plan.shape, batch, done, count)?,
        };
        let collector = self.answer.insert(collector);
        collector.accept(bytes)?;
        let (got, of) = collector.progress();
        if got < of {
            return Ok(Step::Fetching(counted(got), counted(of)));
        }
        let Some(collector) = self.answer.take() else { return Ok(Step::Fetching(counted(got), counted(of))) };
        let model = self.client.decrypt_model(&collector.into_model()?)?;
        let state = &mut self.state;
        state.weights = Zeroizing::new(model.weights().to_vec());
        state.ahead = Zeroizing::new(model.ahead().to_vec());
        (state.done, state.sent) = (counted(model.iterations()), None);
        (self.asked, self.unsaved) = (None, true);
        Ok(Step::Round(state.done, state.iterations))
    }
}

fn other_answer(got: &Answer<'_>, expected: &'static str) -> Error {
    Error::OtherAnswer { got: got.name(), expected }
}

fn wrong(field: &'static str, got: String, expected: impl ToString) -> Error {
    Error::Field { field, got, expected: expected.to_string() }
}
