use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Answer, Count, Phase, Plan, Request, Status};
use crate::{
    ckks::{KeyCollector, Params},
    service::{Error, Lease, MAX_ANSWER, Result, counted, queue::Queue},
    training::{Collector, EncryptedData, EncryptedModel, Trainer, key_plan},
};

/// Share of a round that is all of it.
const WHOLE: f64 = 65_536.0;

/// What all jobs share.
pub(super) struct Tools {
    pub(super) queue: Queue,
}

/// One client's training, over its rounds.
pub(super) struct Job {
    tools: Arc<Tools>,
    params: Params,
    pub(super) plan: Plan,
    pub(super) owner: Option<[u8; 32]>,
    /// The session that speaks for it.
    pub(super) attached: u64,
    touched: Instant,
    keys: Keys,
    data: Data,
    round: Round,
    /// Iterations that were made before this round.
    iterations: u32,
    /// Why the last training failed, until the client asks.
    failed: Option<String>,
    /// Also held by the thread that trains, until it has stopped.
    lease: Arc<Lease>,
}

enum Keys {
    Collecting(KeyCollector),
    There(Arc<Trainer>, Count),
}

enum Data {
    None,
    Collecting { batch: [u8; 32], collector: Box<Collector> },
    There { batch: [u8; 32], data: Arc<EncryptedData>, count: Count },
}

enum Round {
    Idle,
    Collecting { batch: [u8; 32], collector: Box<Collector> },
    Training { batch: [u8; 32], count: Count, work: Work },
    Trained { batch: [u8; 32], count: Count, model: Box<EncryptedModel>, fetched: bool },
}

impl Job {
    pub(super) fn new(
        tools: Arc<Tools>,
        params: &Params,
        plan: Plan,
        owner: Option<[u8; 32]>,
        lease: Lease,
    ) -> Result<Self> {
        Ok(Self {
            tools,
            params: params.clone(),
            plan,
            owner,
            attached: 0,
            touched: Instant::now(),
            keys: Keys::Collecting(KeyCollector::new(&key_plan(params, plan.shape)?)),
            data: Data::None,
            round: Round::Idle,
            iterations: 0,
            failed: None,
            lease: Arc::new(lease),
        })
    }

    /// Lets a session speak for it, and no other.
    pub(super) fn attach(&mut self, session: u64) -> Status {
        self.attached = session;
        self.touched = Instant::now();
        self.settle();
        self.status()
    }

    /// Whether nobody came back for it.
    pub(super) fn is_over(&mut self, now: Instant, hold: Duration) -> bool {
        self.settle();
        !matches!(self.round, Round::Training { .. }) && now.saturating_duration_since(self.touched) > hold
    }

    pub(super) fn is_unfinished(&self) -> bool {
        match &self.round {
            Round::Idle => false,
            Round::Collecting { .. } | Round::Training { .. } => true,
            Round::Trained { fetched, .. } => !fetched,
        }
    }

    /// Stops what runs.
    pub(super) fn stop(&mut self) {
        self.round = Round::Idle;
    }

    /// Answers one message about it.
    pub(super) fn answer(&mut self, request: Request<'_>) -> Result<Vec<u8>> {
        self.touched = Instant::now();
        self.settle();
        match request {
            Request::Keys => self.forget_keys()?,
            Request::Key(bytes) => self.take_key(bytes)?,
            Request::Data { batch } => self.begin_data(batch)?,
            Request::Datum(bytes) => self.take_datum(bytes)?,
            Request::Weights { batch, iterations } => self.begin_round(batch, iterations)?,
            Request::Weight(bytes) => self.take_weight(bytes)?,
            Request::Train => self.train()?,
            Request::Poll => {
                if let Some(reason) = self.failed.take() {
                    return Err(Error::Failed { reason });
                }
            }
            Request::Fetch { index } => return self.fetch(index),
            other => return Err(self.order(&other)),
        }
        Answer::Status(self.status()).to_bytes()
    }

    fn order(&self, message: &Request<'_>) -> Error {
        let (state, next) = match &self.round {
            Round::Idle => ("no round was begun", "send keys, data and weights"),
            Round::Collecting { .. } => ("a round was being sent", "send its weights and have it trained"),
            Round::Training { .. } => ("a round was being trained", "wait for its weights, or cancel the job"),
            Round::Trained { .. } => ("there were weights", "fetch them, or begin another round"),
        };
        Error::Order { message: message.name(), state, next }
    }

    fn forget_keys(&mut self) -> Result<()> {
        if matches!(self.keys, Keys::There(..)) {
            return Err(Error::Order {
                message: Request::Keys.name(),
                state: "this job had keys",
                next: "begin another job",
            });
        }
        self.keys = Keys::Collecting(KeyCollector::new(&key_plan(&self.params, self.plan.shape)?));
        Ok(())
    }

    fn take_key(&mut self, bytes: &[u8]) -> Result<()> {
        let Keys::Collecting(collector) = &mut self.keys else { return Err(self.order(&Request::Key(&[]))) };
        collector.accept(bytes)?;
        let (got, of) = collector.progress();
        if got == of {
            let empty = KeyCollector::new(&crate::ckks::KeyPlan::new(&self.params));
            let trainer = Trainer::new(std::mem::replace(collector, empty).finish()?, self.plan.shape)?;
            self.keys = Keys::There(Arc::new(trainer), (counted(got), counted(of)));
        }
        Ok(())
    }

    fn trainer(&self, message: &'static str) -> Result<&Arc<Trainer>> {
        match &self.keys {
            Keys::There(trainer, _) => Ok(trainer),
            Keys::Collecting(_) => Err(Error::Order { message, state: "keys were missing", next: "send them" }),
        }
    }

    fn begin_data(&mut self, batch: [u8; 32]) -> Result<()> {
        let request = Request::Data { batch };
        if matches!(self.data, Data::There { .. }) {
            let (message, state) = (request.name(), "this job had data");
            return Err(Error::Order { message, state, next: "begin another job" });
        }
        let collector = Box::new(Collector::data(self.trainer(request.name())?.tags(), self.plan.shape, batch)?);
        self.data = Data::Collecting { batch, collector };
        Ok(())
    }

    fn take_datum(&mut self, bytes: &[u8]) -> Result<()> {
        let Data::Collecting { batch, collector } = &mut self.data else {
            return Err(self.order(&Request::Datum(&[])));
        };
        collector.accept(bytes)?;
        let (got, of) = collector.progress();
        if got == of {
            let batch = *batch;
            let Data::Collecting { collector, .. } = std::mem::replace(&mut self.data, Data::None) else {
                return Ok(());
            };
            let data = Arc::new(collector.into_data()?);
            self.data = Data::There { batch, data, count: (counted(got), counted(of)) };
        }
        Ok(())
    }

    fn begin_round(&mut self, batch: [u8; 32], iterations: u32) -> Result<()> {
        let request = Request::Weights { batch, iterations };
        let tags = self.trainer(request.name())?.tags();
        if !matches!(self.data, Data::There { .. }) {
            let (message, state) = (request.name(), "data were missing");
            return Err(Error::Order { message, state, next: "send them" });
        }
        // A round is begun anew by a client that lost it. One after the last there is not.
        if iterations >= self.plan.iterations || !iterations.is_multiple_of(self.plan.each) {
            let expected = format!("a multiple of {} below {}", self.plan.each, self.plan.iterations);
            return Err(Error::Field { field: "iterations before a round", got: iterations.to_string(), expected });
        }
        let collector = Box::new(Collector::model(tags, self.plan.shape, batch, iterations as usize)?);
        self.round = Round::Collecting { batch, collector };
        self.iterations = iterations;
        Ok(())
    }

    fn take_weight(&mut self, bytes: &[u8]) -> Result<()> {
        let Round::Collecting { collector, .. } = &mut self.round else {
            return Err(self.order(&Request::Weight(&[])));
        };
        Ok(collector.accept(bytes)?)
    }

    fn train(&mut self) -> Result<()> {
        let trainer = Arc::clone(self.trainer(Request::Train.name())?);
        let (Round::Collecting { batch, collector }, Data::There { data, .. }) = (&self.round, &self.data) else {
            return Err(self.order(&Request::Train));
        };
        let (got, expected) = collector.progress();
        if got != expected {
            return Err(crate::Error::Incomplete { got, expected }.into());
        }
        let (batch, data, count) = (*batch, Arc::clone(data), (counted(got), counted(expected)));
        let Round::Collecting { collector, .. } = std::mem::replace(&mut self.round, Round::Idle) else {
            return Ok(());
        };
        let (plan, model) = (self.plan, collector.into_model()?);
        let each = plan.next(self.iterations) as usize;
        let lease = Arc::clone(&self.lease);
        let task = move |watch: &(dyn Fn(f64) -> ControlFlow<()> + Sync)| {
            let _held = lease;
            trainer.train_while(&data, model, plan.cubic, each, watch)
        };
        self.round = Round::Training { batch, count, work: Work::start(&self.tools, task)? };
        Ok(())
    }

    /// Takes what a training that ended left.
    fn settle(&mut self) {
        let Round::Training { batch, count, work } = &self.round else { return };
        let Some(outcome) = work.shared.lock().take() else { return };
        let (batch, count) = (*batch, *count);
        self.touched = work.shared.times().1.unwrap_or(self.touched).max(self.touched);
        match outcome {
            Ok(model) => self.round = Round::Trained { batch, count, model: Box::new(model), fetched: false },
            Err(reason) => (self.round, self.failed) = (Round::Idle, Some(reason)),
        }
    }

    fn fetch(&mut self, index: u32) -> Result<Vec<u8>> {
        let request = Request::Fetch { index };
        let tags = self.trainer(request.name())?.tags();
        let Round::Trained { model, fetched, .. } = &mut self.round else { return Err(self.order(&request)) };
        let count = model.count();
        let Some(piece) = model.piece(&tags, index as usize) else {
            let expected = format!("below {count}");
            return Err(Error::Field { field: "number of a piece", got: index.to_string(), expected });
        };
        let answer = Answer::Piece { index, bytes: &piece? }.to_bytes()?;
        if answer.len() > MAX_ANSWER {
            return Err(Error::Failed { reason: format!("a piece of {} bytes is too long to send", answer.len()) });
        }
        *fetched |= index as usize + 1 == count;
        Ok(answer)
    }

    fn status(&self) -> Status {
        let progress = |(got, of): (usize, usize)| (counted(got), counted(of));
        let keys = match &self.keys {
            Keys::Collecting(collector) => progress(collector.progress()),
            Keys::There(_, count) => *count,
        };
        let (data_batch, data) = match &self.data {
            Data::None => ([0; 32], (0, 0)),
            Data::Collecting { batch, collector } => (*batch, progress(collector.progress())),
            Data::There { batch, count, .. } => (*batch, *count),
        };
        let (weights_batch, weights, phase) = match &self.round {
            Round::Idle => ([0; 32], (0, 0), Phase::Collecting),
            Round::Collecting { batch, collector } => (*batch, progress(collector.progress()), Phase::Collecting),
            Round::Training { batch, count, work } => (*batch, *count, work.phase()),
            Round::Trained { batch, count, model, .. } => {
                (*batch, *count, Phase::Trained { pieces: counted(model.count()) })
            }
        };
        Status { iterations: self.iterations, keys, data, weights, data_batch, weights_batch, phase }
    }
}

/// A training on a thread of its own, which dropping this stops.
struct Work {
    shared: Arc<Watched>,
    tools: Arc<Tools>,
    ticket: u64,
}

struct Watched {
    outcome: Mutex<Option<Result<EncryptedModel, String>>>,
    times: Mutex<(Option<Instant>, Option<Instant>)>,
    share: AtomicU32,
    stopped: AtomicBool,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Option<Result<EncryptedModel, String>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it began and when it ended.
    fn times(&self) -> MutexGuard<'_, (Option<Instant>, Option<Instant>)> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn start(
        tools: &Arc<Tools>,
        task: impl FnOnce(&(dyn Fn(f64) -> ControlFlow<()> + Sync)) -> crate::Result<EncryptedModel> + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Watched {
            outcome: Mutex::new(None),
            times: Mutex::new((None, None)),
            share: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
        });
        let ticket = tools.queue.ticket();
        let work = Self { shared: Arc::clone(&shared), tools: Arc::clone(tools), ticket };
        let tools = Arc::clone(tools);
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let _place = tools.queue.enter(ticket, &shared.stopped).ok_or(crate::Error::Stopped)?;
                shared.times().0 = Some(Instant::now());
                task(&|share| {
                    shared.share.fetch_max((share * WHOLE) as u32, Ordering::Relaxed);
                    match shared.stopped.load(Ordering::Relaxed) {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    }
                })
            }));
            shared.times().1 = Some(Instant::now());
            *shared.lock() = Some(match outcome {
                Ok(outcome) => outcome.map_err(|error| error.to_string()),
                Err(_) => Err("it panicked".into()),
            });
        };
        match thread::Builder::new().name("training".into()).spawn(run) {
            Ok(_) => Ok(work),
            Err(error) => Err(Error::Failed { reason: format!("no thread for it: {error}") }),
        }
    }

    fn phase(&self) -> Phase {
        match self.shared.times().0 {
            None => Phase::Waiting { ahead: counted(self.tools.queue.ahead(self.ticket)) },
            Some(began) => Phase::Training {
                share: self.shared.share.load(Ordering::Relaxed),
                elapsed: u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX),
            },
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.tools.queue.leave(self.ticket);
    }
}
