use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Answer, JobId, Plan, Request, Terms,
    job::{Job, Tools},
};
use crate::{
    ckks::{ParamSet, Params},
    service::{Error, Memory, Result, queue::Queue},
    training::memory_bytes,
};

/// Longest pause between two looks for jobs that nobody came back for.
const SWEEP: Duration = Duration::from_secs(5);

/// A place where jobs are trained and kept for a while. Clones share it.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    sets: Vec<Params>,
    terms: Terms,
    memory: Memory,
    tools: Arc<Tools>,
    hold: Duration,
    jobs: Mutex<HashMap<JobId, Arc<Mutex<Job>>>>,
    sessions: AtomicU64,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("terms", &self.0.terms).finish_non_exhaustive()
    }
}

impl Provider {
    /// Takes jobs with these parameter sets, in `memory`, and trains so many at once. A job that nobody asked about for
    /// `hold` since its last message, or since its training ended, is forgotten.
    ///
    /// # Errors
    ///
    /// [`Error::Field`] for no sets, no trainings at once or a `hold` that is not 1 second to 49 days,
    /// [`Error::Scheme`].
    pub fn new(sets: &[ParamSet], memory: &Memory, trainings: usize, hold: Duration) -> Result<Self> {
        let field = |field, got: String, expected: &str| Err(Error::Field { field, got, expected: expected.into() });
        if sets.is_empty() {
            return field("parameter sets", "none".into(), "1 or more");
        }
        if trainings == 0 {
            return field("trainings at once", "0".into(), "1 or more");
        }
        let seconds = match u32::try_from(hold.as_secs()) {
            Ok(seconds) if (1..=49 * 86_400).contains(&seconds) => seconds,
            _ => return field("time that jobs are kept", format!("{hold:?}"), "1 second to 49 days"),
        };
        let names = sets.iter().map(|set| set.name().to_owned()).collect();
        let provider = Self(Arc::new(Inner {
            sets: sets.iter().map(|&set| Params::named(set)).collect::<crate::Result<_>>()?,
            terms: Terms::new(names, seconds, memory.limit() as u64),
            memory: memory.clone(),
            tools: Arc::new(Tools { queue: Queue::new(trainings) }),
            hold,
            jobs: Mutex::default(),
            sessions: AtomicU64::new(0),
        }));
        sweep_from_now_on(&provider.0)?;
        Ok(provider)
    }

    /// What clients are told.
    pub fn terms(&self) -> &Terms {
        &self.0.terms
    }

    /// Jobs that are kept.
    pub fn jobs(&self) -> usize {
        self.0.lock().len()
    }

    #[cfg(test)]
    pub(super) fn sweep(&self, now: Instant) {
        self.0.sweep(now);
    }

    /// A session for one connection of `owner`: a hash of the certificate that it came with. Only the owner who began a job
    /// comes back to it; where no certificates are asked for, all are the same owner.
    pub fn session(&self, owner: Option<[u8; 32]>) -> ProviderSession {
        let number = self.0.sessions.fetch_add(1, Ordering::Relaxed);
        ProviderSession { provider: Arc::clone(&self.0), owner, number, job: None }
    }
}

fn sweep_from_now_on(inner: &Arc<Inner>) -> Result<()> {
    let (inner, pause) = (Arc::downgrade(inner), (inner.hold / 4).min(SWEEP));
    let run = move || {
        while let Some(inner) = Weak::upgrade(&inner) {
            inner.sweep(Instant::now());
            drop(inner);
            thread::sleep(pause);
        }
    };
    match thread::Builder::new().name("old jobs".into()).spawn(run) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Failed { reason: format!("no thread that forgets old jobs: {error}") }),
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Arc<Mutex<Job>>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets jobs that nobody came back for. One that is being answered is looked at the next time.
    fn sweep(&self, now: Instant) {
        self.lock().retain(|_, job| match job.try_lock() {
            Ok(mut job) => !job.is_over(now, self.hold),
            Err(_) => true,
        });
    }

    /// The job of this name, or a new one.
    fn begin(&self, id: JobId, plan: Plan, owner: Option<[u8; 32]>) -> Result<Arc<Mutex<Job>>> {
        let mut jobs = self.lock();
        if let Some(job) = jobs.get(&id) {
            let begun = locked(job);
            return match begun.plan == plan && begun.owner == owner {
                true => Ok(Arc::clone(job)),
                false => Err(Error::OtherJob),
            };
        }
        let params = self.sets.iter().find(|params| params.hash() == plan.params);
        let params = params.ok_or_else(|| Error::Field {
            field: "parameters of a job",
            got: plan.params.to_string(),
            expected: self.terms.sets.join(", "),
        })?;
        let most = crate::training::iterations(params);
        if plan.each as usize > most {
            let expected = format!("1 to {most}");
            return Err(Error::Field { field: "iterations of a round", got: plan.each.to_string(), expected });
        }
        let lease = self.memory.lease("a training", memory_bytes(params, plan.shape)?)?;
        let job = Arc::new(Mutex::new(Job::new(Arc::clone(&self.tools), params, plan, owner, lease)?));
        jobs.insert(id, Arc::clone(&job));
        Ok(job)
    }
}

fn locked(job: &Mutex<Job>) -> MutexGuard<'_, Job> {
    job.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the provider knows of one connection. Dropping it leaves its job as it is.
pub struct ProviderSession {
    provider: Arc<Inner>,
    owner: Option<[u8; 32]>,
    number: u64,
    job: Option<(JobId, Arc<Mutex<Job>>)>,
}

impl fmt::Debug for ProviderSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderSession").field("job", &self.job.as_ref().map(|(id, _)| id)).finish_non_exhaustive()
    }
}

impl ProviderSession {
    /// Answers one message. After an error the job is as it was before, but for one whose training failed, which is at
    /// the beginning of its round again.
    ///
    /// # Errors
    ///
    /// [`Error::Order`], [`Error::Memory`], [`Error::OtherJob`], [`Error::Taken`], [`Error::Failed`],
    /// [`Error::Scheme`] and those of [`Request::from_bytes`].
    pub fn answer(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        match Request::from_bytes(message)? {
            Request::Describe => Answer::Terms(self.provider.terms.clone()).to_bytes(),
            Request::Begin { job: id, plan } => {
                self.provider.sweep(Instant::now());
                let job = self.provider.begin(id, plan, self.owner)?;
                let status = locked(&job).attach(self.number);
                self.job = Some((id, job));
                Answer::Status(status).to_bytes()
            }
            Request::Cancel => {
                let (id, _) = self.job.as_ref().ok_or_else(|| no_job("the end of a job"))?;
                self.attached()?.stop();
                self.provider.lock().remove(id);
                self.job = None;
                Answer::Forgotten.to_bytes()
            }
            request => {
                if self.job.is_none() {
                    return Err(no_job(request.name()));
                }
                self.attached()?.answer(request)
            }
        }
    }

    /// Whether the job of this connection has work that is not over, or weights that were not fetched.
    pub fn is_unfinished(&self) -> bool {
        self.job.as_ref().is_some_and(|(_, job)| {
            let job = locked(job);
            job.attached == self.number && job.is_unfinished()
        })
    }

    /// The job, if it is still there and no other connection took it over.
    fn attached(&self) -> Result<MutexGuard<'_, Job>> {
        let (id, job) = self.job.as_ref().ok_or_else(|| no_job("a message"))?;
        if !self.provider.lock().contains_key(id) {
            return Err(no_job("a message for a job that was given up or kept too long"));
        }
        let job = locked(job);
        match job.attached == self.number {
            true => Ok(job),
            false => Err(Error::Taken),
        }
    }
}

fn no_job(message: &'static str) -> Error {
    Error::Order { message, state: "this connection had no job", next: "begin one" }
}
