use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use cleave_secrets::Secret;

use super::*;
use crate::{
    ckks::{ParamSet, Params},
    service::{Error, Memory},
    training::{Activation, Cubic, Method, Model, Preconditioner, Shape, TrainingData, memory_bytes},
};

const SET: ParamSet = ParamSet::Ckks16384x8;
const SHAPE: Shape = Shape { samples: 4, features: 3, classes: 2 };
const HOLD: Duration = Duration::from_secs(60);

fn data() -> TrainingData {
    TrainingData::new(&[0.5, 2.0, 1.5, 0.0, 0.25, 1.5, 2.0, 0.5], &[0, 1, 0, 1], 2).unwrap()
}

fn needed() -> usize {
    memory_bytes(&Params::named(SET).unwrap(), SHAPE).unwrap()
}

fn provider(jobs: usize) -> (Provider, Memory) {
    let memory = Memory::new(jobs * needed());
    (Provider::new(&[SET], &memory, 1, HOLD).unwrap(), memory)
}

fn state(iterations: u32, each: u32) -> JobState {
    JobState::new(SET, SHAPE, Cubic::PAPER, iterations, each, &Model::start(&data(), 0.1)).unwrap()
}

fn secret() -> Secret {
    Secret::from_bytes(&[3; 32])
}

fn client<'a>(state: JobState, data: &'a TrainingData) -> ClientJob<'a> {
    ClientJob::new(state, &secret(), data, Preconditioner::Diagonal).unwrap()
}

/// Sends messages until `until` likes a step.
fn drive(job: &mut ClientJob<'_>, session: &mut ProviderSession, until: impl Fn(&Step) -> bool) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(message) = job.next().unwrap() {
        let step = job.take(&session.answer(&message).unwrap()).unwrap();
        steps.push(step);
        if until(&step) {
            break;
        }
        if matches!(step, Step::Waiting { .. } | Step::Training { .. }) {
            sleep(Duration::from_millis(5));
        }
    }
    steps
}

fn error(job: &JobState, data: &TrainingData, iterations: usize) -> f64 {
    let mut clear = Model::start(data, 0.1);
    let how = Method { activation: Activation::Cubic(Cubic::PAPER), preconditioner: Preconditioner::Diagonal };
    (0..iterations).for_each(|_| clear.advance(data, how).unwrap());
    let model = job.model();
    let both = model.weights().iter().zip(clear.weights()).chain(model.ahead().iter().zip(clear.ahead()));
    both.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn rounds_end_with_the_weights_of_the_clear() {
    let (provider, memory) = provider(1);
    let data = data();
    let mut job = client(state(3, 2), &data);
    let mut session = provider.session(None);
    assert_eq!(terms(&session.answer(&describe()).unwrap()).unwrap(), *provider.terms());
    let steps = drive(&mut job, &mut session, |_| false);
    assert_eq!(*steps.last().unwrap(), Step::Done);
    let rounds: Vec<_> = steps.iter().filter(|step| matches!(step, Step::Round(..))).collect();
    assert_eq!(rounds, [&Step::Round(2, 3), &Step::Round(3, 3)]);
    assert!(steps.iter().any(|step| matches!(step, Step::Training { share, .. } if *share < 1.0)));
    assert!(error(job.state(), &data, 3) < 1e-5);
    assert!(job.next().unwrap().is_none());
    assert_eq!((provider.jobs(), memory.used()), (0, 0));
}

#[test]
fn a_client_that_was_cut_off_comes_back() {
    let (provider, _) = provider(1);
    let data = data();
    let owner = Some([1; 32]);
    let mut job = client(state(2, 1), &data);
    // In the middle of the keys, in the middle of the data: another connection of the same process goes on.
    for what in ["keys", "data"] {
        let mut session = provider.session(owner);
        drive(&mut job, &mut session, |step| matches!(step, Step::Sending(name, got, _) if *name == what && *got > 0));
        job.reconnected();
    }
    // Another process has only what was kept: in the middle of the weights, and while it trains.
    let mut kept = job.state().clone();
    for what in ["weights", "training", "fetching"] {
        let mut job = client(kept.clone(), &data);
        let mut session = provider.session(owner);
        let stop = |step: &Step| match step {
            Step::Sending(name, got, _) => *name == what && *got > 0,
            Step::Training { .. } => what == "training",
            Step::Fetching(got, _) => what == "fetching" && *got > 0,
            _ => false,
        };
        let steps = drive(&mut job, &mut session, stop);
        let keys = steps.iter().filter(|step| matches!(step, Step::Sending("keys", ..))).count();
        assert_eq!(keys, 0, "{what}: nothing is sent twice");
        kept = job.take_unsaved().cloned().unwrap_or(kept);
        assert!(!matches!(steps.last(), Some(Step::Done)));
    }
    // A session that was left behind speaks for nobody.
    let (mut old, mut new) = (provider.session(owner), provider.session(owner));
    let begin = Request::Begin { job: kept.job, plan: *client(kept.clone(), &data).plan() }.to_bytes();
    old.answer(&begin).unwrap();
    new.answer(&begin).unwrap();
    assert!(matches!(old.answer(&Request::Poll.to_bytes()), Err(Error::Taken)));
    // Another client, or another plan, is not let in.
    assert!(matches!(provider.session(Some([2; 32])).answer(&begin), Err(Error::OtherJob)));
    assert!(matches!(provider.session(None).answer(&begin), Err(Error::OtherJob)));
    let other = Plan { iterations: 3, ..*client(kept.clone(), &data).plan() };
    let other = Request::Begin { job: kept.job, plan: other }.to_bytes();
    assert!(matches!(provider.session(owner).answer(&other), Err(Error::OtherJob)));

    let mut job = client(kept, &data);
    assert_eq!(drive(&mut job, &mut new_session(&provider), |_| false).last(), Some(&Step::Done));
    assert!(error(job.state(), &data, 2) < 1e-5);
}

fn new_session(provider: &Provider) -> ProviderSession {
    provider.session(Some([1; 32]))
}

#[test]
fn jobs_that_nobody_asks_for_are_forgotten_and_can_be_sent_again() {
    let (provider, memory) = provider(1);
    let data = data();
    let mut job = client(state(2, 1), &data);
    let mut session = provider.session(None);
    drive(&mut job, &mut session, |step| matches!(step, Step::Round(1, 2)));
    drop(session);
    provider.sweep(Instant::now() + HOLD / 2);
    assert_eq!(provider.jobs(), 1);
    provider.sweep(Instant::now() + 2 * HOLD);
    assert_eq!((provider.jobs(), memory.used()), (0, 0));
    let mut job = client(job.state().clone(), &data);
    let steps = drive(&mut job, &mut provider.session(None), |_| false);
    assert!(steps.iter().any(|step| matches!(step, Step::Sending("keys", ..))));
    assert!(!steps.contains(&Step::Round(1, 2)) && steps.contains(&Step::Round(2, 2)), "the first round stays");
    assert!(error(job.state(), &data, 2) < 1e-5);
}

#[test]
fn what_a_job_may_not_do_is_an_error_and_changes_nothing() {
    let (provider, memory) = provider(1);
    let data = data();
    let mut session = provider.session(None);
    let say = |session: &mut ProviderSession, request: Request<'_>| session.answer(&request.to_bytes());
    for request in [Request::Poll, Request::Cancel, Request::Keys, Request::Train, Request::Fetch { index: 0 }] {
        assert!(matches!(say(&mut session, request), Err(Error::Order { .. })));
    }
    let mut job = client(state(2, 1), &data);
    let plan = *job.plan();
    let begin = |session: &mut ProviderSession, plan| say(session, Request::Begin { job: JobId([9; 32]), plan });
    for wrong in [
        Plan { params: crate::ParamsHash([0; 32]), ..plan },
        Plan { each: 3, ..plan },
        Plan { iterations: 0, ..plan },
        Plan { cubic: Cubic { linear: f64::NAN, cubic: 0.0 }, ..plan },
        Plan { cubic: Cubic { linear: 1e9, cubic: 0.0 }, ..plan },
        Plan { shape: Shape { samples: 0, ..SHAPE }, ..plan },
    ] {
        assert!(matches!(begin(&mut session, wrong), Err(Error::Field { .. })), "{wrong:?}");
    }
    let large = Plan { shape: Shape { features: 1 << 20, ..SHAPE }, ..plan };
    assert!(matches!(begin(&mut session, large), Err(Error::Scheme(crate::Error::Count { .. }))));
    assert_eq!((provider.jobs(), memory.used()), (0, 0));
    // There is room for one.
    begin(&mut session, plan).unwrap();
    let mut second = provider.session(None);
    let more = say(&mut second, Request::Begin { job: JobId([8; 32]), plan }).unwrap_err();
    assert!(more.is_passing(), "{more}");
    say(&mut session, Request::Cancel).unwrap();

    drive(&mut job, &mut session, |step| matches!(step, Step::Sending("keys", got, _) if *got == 2));
    assert!(say(&mut session, Request::Key(&[1, 2, 3])).is_err());
    for request in [
        Request::Data { batch: [1; 32] },
        Request::Datum(&[]),
        Request::Weights { batch: [1; 32], iterations: 0 },
        Request::Weight(&[]),
        Request::Train,
        Request::Fetch { index: 0 },
    ] {
        assert!(matches!(say(&mut session, request), Err(Error::Order { .. })), "{request:?}");
    }
    drive(&mut job, &mut session, |step| matches!(step, Step::Sending("weights", 1, _)));
    assert!(matches!(say(&mut session, Request::Keys), Err(Error::Order { .. })));
    assert!(matches!(say(&mut session, Request::Data { batch: [1; 32] }), Err(Error::Order { .. })));
    assert!(matches!(say(&mut session, Request::Train), Err(Error::Scheme(crate::Error::Incomplete { .. }))));
    for iterations in [2, 7, u32::MAX] {
        let wrong = say(&mut session, Request::Weights { batch: [1; 32], iterations });
        assert!(matches!(wrong, Err(Error::Field { .. })));
    }
    let steps = drive(&mut job, &mut session, |step| matches!(step, Step::Fetching(..)));
    let Some(&Step::Fetching(_, pieces)) = steps.last() else { panic!("{steps:?}") };
    assert!(matches!(say(&mut session, Request::Fetch { index: pieces }), Err(Error::Field { .. })));
    assert!(session.is_unfinished());
    drive(&mut job, &mut session, |_| false);
    assert!(!session.is_unfinished() && error(job.state(), &data, 2) < 1e-5);
}

#[test]
fn a_job_that_is_cancelled_stops_and_gives_its_memory_back() {
    let (provider, memory) = provider(1);
    let data = data();
    let mut job = client(state(2, 2), &data);
    let mut session = provider.session(None);
    drive(&mut job, &mut session, |step| matches!(step, Step::Training { .. }));
    let message = job.cancel();
    assert_eq!(job.take(&session.answer(&message).unwrap()).unwrap(), Step::Done);
    assert!(job.next().unwrap().is_none());
    assert_eq!(provider.jobs(), 0);
    for _ in 0..1000 {
        if memory.used() == 0 {
            break;
        }
        sleep(Duration::from_millis(10)); // the thread stops after its piece of work
    }
    assert_eq!(memory.used(), 0);
    assert!(matches!(session.answer(&Request::Poll.to_bytes()), Err(Error::Order { .. })));
}

/// What a provider says never makes the client send a number that it decrypted, and never panics.
#[test]
fn answers_that_cannot_be_are_refused() {
    let data = data();
    let (provider, _) = provider(1);
    let mut session = provider.session(None);
    let mut job = client(state(2, 1), &data);
    let begin = job.next().unwrap().unwrap();
    let right = session.answer(&begin).unwrap();
    let Answer::Status(status) = Answer::from_bytes(&right).unwrap() else { panic!() };
    let wrong = [
        Status { keys: (0, status.keys.1 + 1), ..status },
        Status { data: (0, 7), ..status },
        Status { weights: (1, 9), ..status },
        Status { phase: Phase::Trained { pieces: 1000 }, ..status },
    ];
    for status in wrong {
        let answer = Answer::Status(status).to_bytes().unwrap();
        assert!(matches!(job.take(&answer), Err(Error::Field { .. })), "{status:?}");
    }
    let others = [Answer::Forgotten, Answer::Piece { index: 0, bytes: &[1] }, Answer::Terms(provider.terms().clone())];
    for other in others {
        assert!(matches!(job.take(&other.to_bytes().unwrap()), Err(Error::OtherAnswer { .. })));
    }
    // One that says to have weights before there were any.
    let done = Status { keys: (status.keys.1, status.keys.1), phase: Phase::Trained { pieces: 2 }, ..status };
    let done = Status { data: (3, 3), weights: (2, 2), ..done };
    if job.take(&Answer::Status(done).to_bytes().unwrap()).is_ok() {
        let next = job.next().unwrap().unwrap();
        assert!(matches!(Request::from_bytes(&next).unwrap(), Request::Weights { .. }), "it sends its own first");
    }
}

#[test]
fn messages_come_back_and_no_other_length_does() {
    let plan = *client(state(2, 1), &data()).plan();
    let requests = [
        Request::Describe,
        Request::Begin { job: JobId([7; 32]), plan },
        Request::Keys,
        Request::Key(&[1, 2]),
        Request::Data { batch: [1; 32] },
        Request::Datum(&[3]),
        Request::Weights { batch: [2; 32], iterations: 6 },
        Request::Weight(&[]),
        Request::Train,
        Request::Poll,
        Request::Fetch { index: u32::MAX },
        Request::Cancel,
    ];
    for request in requests {
        let bytes = request.to_bytes();
        assert_eq!(Request::from_bytes(&bytes).unwrap(), request);
        if !matches!(request, Request::Key(_) | Request::Datum(_) | Request::Weight(_)) {
            assert!(matches!(Request::from_bytes(&[&bytes[..], &[0]].concat()), Err(Error::Length { .. })));
            (0..bytes.len()).for_each(|end| assert!(Request::from_bytes(&bytes[..end]).is_err(), "{request:?}"));
        }
    }
    let status = |phase| {
        let batches = ([1; 32], [2; 32]);
        Answer::Status(Status {
            iterations: 4,
            keys: (1, 2),
            data: (3, 3),
            weights: (0, 5),
            data_batch: batches.0,
            weights_batch: batches.1,
            phase,
        })
    };
    let answers = [
        Answer::Terms(Terms::new(vec!["ckks-16384-8".into()], 900, 1 << 32)),
        status(Phase::Collecting),
        status(Phase::Waiting { ahead: 1 }),
        status(Phase::Training { share: 1 << 15, elapsed: 7 }),
        status(Phase::Trained { pieces: 68 }),
        Answer::Piece { index: 3, bytes: &[1] },
        Answer::Forgotten,
    ];
    for answer in answers {
        let bytes = answer.to_bytes().unwrap();
        assert_eq!(Answer::from_bytes(&bytes).unwrap(), answer);
        if !matches!(answer, Answer::Piece { .. }) {
            assert!(Answer::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
            (0..bytes.len()).for_each(|end| assert!(Answer::from_bytes(&bytes[..end]).is_err(), "{answer:?}"));
        }
    }
    for name in [0, 13, 255] {
        assert!(matches!(Request::from_bytes(&[name]), Err(Error::UnknownMessage { .. })));
        assert!(matches!(Answer::from_bytes(&[name]), Err(Error::UnknownMessage { .. })));
    }
}

#[test]
fn states_come_back_from_json_and_wrong_ones_are_refused() {
    let data = data();
    let state = state(4, 2);
    let text = serde_json::to_string(&state).unwrap();
    let back: JobState = serde_json::from_str(&text).unwrap();
    assert_eq!(back, state);
    assert!(!format!("{state:?}").contains("0.1"), "no weights");
    for (from, to) in [
        ("\"each\":2", "\"each\":3"),
        ("\"each\":2", "\"each\":0"),
        ("\"iterations\":4", "\"iterations\":0"),
        ("\"done\":0", "\"done\":5"),
        ("\"samples\":4", "\"samples\":5"),
        ("\"features\":3", "\"features\":4"),
        ("ckks-16384-8", "ckks-nothing"),
    ] {
        let wrong: JobState = serde_json::from_str(&text.replace(from, to)).unwrap();
        assert!(ClientJob::new(wrong, &secret(), &data, Preconditioner::Diagonal).is_err(), "{to}");
    }
}

#[test]
fn providers_that_cannot_be_are_refused() {
    let memory = Memory::new(1);
    for (sets, trainings, hold) in
        [(&[][..], 1, HOLD), (&[SET][..], 0, HOLD), (&[SET][..], 1, Duration::ZERO), (&[SET][..], 1, Duration::MAX)]
    {
        assert!(matches!(Provider::new(sets, &memory, trainings, hold), Err(Error::Field { .. })));
    }
}
