use std::{
    fmt,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use super::{Answer, Description, Error, Lease, Memory, Request, Result, counted, messages::MAX_PIECE, queue::Queue};
use crate::{BatchId, Collector, EncryptedEnsemble, EncryptedImages, EvaluationKeys, Params, Release, Stage};

/// A release that is served. Clones share it.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    ensemble: EncryptedEnsemble,
    description: Description,
    memory: Memory,
    queue: Queue,
    /// What the evaluations take besides their batch: whoever has a batch can always have it evaluated.
    _set_aside: Lease,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("ensemble", &self.0.ensemble).finish_non_exhaustive()
    }
}

impl Provider {
    /// Serves `release`, with so many `evaluations` at once, in `memory`. What the evaluations need besides the batches is
    /// set aside here.
    ///
    /// # Errors
    ///
    /// [`Error::TooLittleMemory`] if not one client would fit, [`Error::Field`] for no evaluations, [`Error::Scheme`].
    pub fn new(release: &Release, memory: &Memory, evaluations: usize) -> Result<Self> {
        if evaluations == 0 {
            return Err(Error::Field { field: "evaluations", got: "0".into(), expected: "1 or more".into() });
        }
        let ensemble = release.ensemble()?;
        let description = Description::of(release, ensemble.params());
        Answer::Description(description.clone()).to_bytes()?;
        let params = ensemble.params();
        let batch = Collector::bytes(params, ensemble.shape().pixels());
        let besides = ensemble.memory_bytes().saturating_sub(batch).saturating_mul(evaluations);
        let client = EvaluationKeys::memory_bytes(params) + batch;
        let needed = besides.saturating_add(client);
        let limit = memory.limit().saturating_sub(memory.used());
        if needed > limit {
            return Err(Error::TooLittleMemory { evaluations, needed, limit });
        }
        let set_aside = memory.lease("what evaluations need", besides)?;
        let (memory, queue) = (memory.clone(), Queue::new(evaluations));
        Ok(Self(Arc::new(Inner { ensemble, description, memory, queue, _set_aside: set_aside })))
    }

    /// What clients are told.
    pub fn description(&self) -> &Description {
        &self.0.description
    }

    /// A session for one connection.
    pub fn session(&self) -> ProviderSession {
        ProviderSession { provider: Arc::clone(&self.0), keys: None, state: State::Idle }
    }
}

/// What the provider knows of one connection. Dropping it stops its evaluation and frees its memory.
#[derive(Debug)]
pub struct ProviderSession {
    provider: Arc<Inner>,
    keys: Option<(Arc<EvaluationKeys>, Lease)>,
    state: State,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").field("memory", &self.memory).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum State {
    Idle,
    Collecting { collector: Collector, lease: Lease },
    Evaluating(Work),
    Scored { scores: Vec<u8>, fetched: bool, _lease: Lease },
}

impl State {
    const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "no batch was begun",
            Self::Collecting { .. } => "a batch was being sent",
            Self::Evaluating(_) => "a batch was being evaluated",
            Self::Scored { .. } => "there were scores",
        }
    }

    const fn next(&self) -> &'static str {
        match self {
            Self::Idle => "begin a batch",
            Self::Collecting { .. } => "send its chunks and have it evaluated, or cancel it",
            Self::Evaluating(_) => "wait for the scores, or cancel the batch",
            Self::Scored { .. } => "fetch them, or begin another batch",
        }
    }
}

impl ProviderSession {
    /// Answers one message. After an error the session is as it was before; a batch whose evaluation failed is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Order`], [`Error::Memory`], [`Error::Failed`], [`Error::Scheme`] and those of
    /// [`Request::from_bytes`].
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let request = Request::from_bytes(message)?;
        let answer = match request {
            Request::Describe => Answer::Description(self.provider.description.clone()),
            Request::Keys(bytes) => self.take_keys(bytes)?,
            Request::Begin { batch, images } => self.begin(batch, images)?,
            Request::Chunk(bytes) => self.take_chunk(bytes)?,
            Request::Evaluate => self.evaluate()?,
            Request::Poll => self.poll()?,
            Request::Fetch { offset } => self.fetch(offset)?,
            Request::Cancel => {
                self.state = State::Idle;
                Answer::Accepted
            }
        };
        answer.to_bytes()
    }

    /// Whether a batch was begun whose scores have not all been fetched.
    pub fn is_unfinished(&self) -> bool {
        match &self.state {
            State::Idle => false,
            State::Collecting { .. } | State::Evaluating(_) => true,
            State::Scored { fetched, .. } => !fetched,
        }
    }

    fn params(&self) -> &Params {
        self.provider.ensemble.params()
    }

    fn order(&self, message: &Request<'_>) -> Error {
        Error::Order { message: message.name(), state: self.state.name(), next: self.state.next() }
    }

    fn take_keys(&mut self, bytes: &[u8]) -> Result<Answer<'static>> {
        if self.keys.is_some() {
            return Err(Error::Order {
                message: Request::Keys(&[]).name(),
                state: "this connection had keys",
                next: "close it and open another",
            });
        }
        let lease = self.provider.memory.lease("evaluation keys", EvaluationKeys::memory_bytes(self.params()))?;
        let keys = EvaluationKeys::from_bytes(bytes, self.params())?;
        self.keys = Some((Arc::new(keys), lease));
        Ok(Answer::Accepted)
    }

    fn begin(&mut self, batch: BatchId, images: u32) -> Result<Answer<'static>> {
        let request = Request::Begin { batch, images };
        let Some((keys, _)) = &self.keys else {
            return Err(Error::Order { message: request.name(), state: "there were no keys", next: "send them" });
        };
        if !matches!(self.state, State::Idle | State::Scored { .. }) {
            return Err(self.order(&request));
        }
        let most = self.params().degree();
        let count = usize::try_from(images).ok().filter(|images| (1..=most).contains(images)).ok_or_else(|| {
            Error::Field { field: "images of a batch", got: images.to_string(), expected: format!("1 to {most}") }
        })?;
        let items = self.provider.ensemble.shape().pixels();
        let lease = self.provider.memory.lease("a batch", Collector::bytes(self.params(), items))?;
        let collector = Collector::new(keys, items)?.expecting(batch, count);
        let answer = received(&collector);
        self.state = State::Collecting { collector, lease };
        Ok(answer)
    }

    fn take_chunk(&mut self, bytes: &[u8]) -> Result<Answer<'static>> {
        let (State::Collecting { collector, .. }, Some((keys, _))) = (&mut self.state, &self.keys) else {
            return Err(self.order(&Request::Chunk(&[])));
        };
        collector.accept(keys, bytes)?;
        Ok(received(collector))
    }

    fn evaluate(&mut self) -> Result<Answer<'static>> {
        let (State::Collecting { collector, .. }, Some((keys, _))) = (&self.state, &self.keys) else {
            return Err(self.order(&Request::Evaluate));
        };
        let (got, expected) = collector.progress();
        if got != expected {
            return Err(crate::Error::Incomplete { got, expected }.into());
        }
        let keys = Arc::clone(keys);
        let State::Collecting { collector, lease } = std::mem::replace(&mut self.state, State::Idle) else {
            return Err(self.order(&Request::Evaluate));
        };
        let job = Job { provider: Arc::clone(&self.provider), keys, images: collector.finish()?, lease };
        self.state = State::Evaluating(Work::start(job)?);
        self.poll()
    }

    fn poll(&mut self) -> Result<Answer<'static>> {
        let outcome = match &self.state {
            State::Scored { scores, .. } => return ready(scores),
            State::Evaluating(work) => match &mut *work.shared.lock() {
                Progress::Waiting => return Ok(work.waiting()),
                Progress::Running { stage, done } => return Ok(self.running(*stage, *done)),
                ended => std::mem::replace(ended, Progress::Waiting),
            },
            _ => return Err(self.order(&Request::Poll)),
        };
        self.state = State::Idle;
        match outcome {
            Progress::Done(scores, lease) => {
                let answer = ready(&scores)?;
                self.state = State::Scored { scores, fetched: false, _lease: lease };
                Ok(answer)
            }
            Progress::Failed(reason) => Err(Error::Failed { reason }),
            Progress::Waiting | Progress::Running { .. } => Err(Error::Failed { reason: "it has no end".into() }),
        }
    }

    fn running(&self, stage: Stage, done: usize) -> Answer<'static> {
        let of = self.provider.ensemble.pieces();
        Answer::Running { stage, done: counted(done), of: counted(of) }
    }

    fn fetch(&mut self, offset: u32) -> Result<Answer<'_>> {
        if !matches!(self.state, State::Scored { .. }) {
            return Err(self.order(&Request::Fetch { offset }));
        }
        let State::Scored { scores, fetched, .. } = &mut self.state else { return Ok(Answer::Accepted) };
        let rest = usize::try_from(offset).ok().and_then(|from| scores.get(from..)).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else {
            let expected = format!("below {}", scores.len());
            return Err(Error::Field { field: "offset of scores", got: offset.to_string(), expected });
        };
        let bytes = &rest[..rest.len().min(MAX_PIECE)];
        *fetched |= bytes.len() == rest.len();
        Ok(Answer::Piece { offset, bytes })
    }
}

fn received(collector: &Collector) -> Answer<'static> {
    let (got, of) = collector.progress();
    Answer::Received { got: counted(got), of: counted(of) }
}

fn ready(scores: &[u8]) -> Result<Answer<'static>> {
    match u32::try_from(scores.len()) {
        Ok(bytes) => Ok(Answer::Ready { bytes }),
        Err(_) => Err(Error::Failed { reason: format!("scores of {} bytes are too long to send", scores.len()) }),
    }
}

/// What one evaluation needs.
struct Job {
    provider: Arc<Inner>,
    keys: Arc<EvaluationKeys>,
    images: EncryptedImages,
    lease: Lease,
}

#[derive(Debug)]
enum Progress {
    Waiting,
    Running { stage: Stage, done: usize },
    Done(Vec<u8>, Lease),
    Failed(String),
}

/// An evaluation on a thread of its own, which dropping this stops.
#[derive(Debug)]
struct Work {
    shared: Arc<Watched>,
    provider: Arc<Inner>,
    ticket: u64,
}

#[derive(Debug)]
struct Watched {
    progress: Mutex<Progress>,
    stopped: AtomicBool,
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Work {
    fn start(job: Job) -> Result<Self> {
        let shared = Arc::new(Watched { progress: Mutex::new(Progress::Waiting), stopped: AtomicBool::new(false) });
        let provider = Arc::clone(&job.provider);
        let ticket = provider.queue.ticket();
        let work = Self { shared: Arc::clone(&shared), provider, ticket };
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| job.run(ticket, &shared)));
            *shared.lock() = match outcome {
                Ok(Ok((scores, lease))) => Progress::Done(scores, lease),
                Ok(Err(error)) => Progress::Failed(error.to_string()),
                Err(_) => Progress::Failed("it panicked".into()),
            };
        };
        match thread::Builder::new().name("evaluation".into()).spawn(run) {
            Ok(_) => Ok(work),
            Err(error) => Err(Error::Failed { reason: format!("no thread for it: {error}") }),
        }
    }

    fn waiting(&self) -> Answer<'static> {
        Answer::Waiting { ahead: counted(self.provider.queue.ahead(self.ticket)) }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.provider.queue.leave(self.ticket);
    }
}

impl Job {
    fn run(self, ticket: u64, shared: &Watched) -> crate::Result<(Vec<u8>, Lease)> {
        let Self { provider, keys, images, mut lease } = self;
        let _place = provider.queue.enter(ticket, &shared.stopped).ok_or(crate::Error::Stopped)?;
        let mut done = 0;
        *shared.lock() = Progress::Running { stage: Stage::Convolution, done };
        let scores = provider.ensemble.evaluate_while(&keys, &images, |stage, _| {
            done += 1;
            *shared.lock() = Progress::Running { stage, done };
            match shared.is_stopped() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        let bytes = scores.to_bytes(&keys)?;
        drop((images, scores));
        lease.shrink(bytes.len());
        Ok((bytes, lease))
    }
}
