//! Client and provider over their messages: what works, and what either can do to the other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts only the test functions themselves")]

mod common;

use std::{thread::sleep, time::Duration};

use cleave_encrypted::{
    BatchId, Collector, Error as Scheme, EvaluationKeys, Fault, ParamSet, Params, Release, Scores, SecretKey,
    service::{Answer, ClientSession, Error, Memory, Provider, ProviderSession, Request, Step},
};
use cleave_secrets::Secret;
use common::{TWO, pixels, release, rng, signed};

const PIXELS: usize = 36;

/// Room for two clients and `evaluations` at once.
fn room(release: &Release, evaluations: usize, clients: usize) -> Memory {
    let ensemble = release.ensemble().unwrap();
    let batch = Collector::bytes(ensemble.params(), PIXELS);
    let client = EvaluationKeys::memory_bytes(ensemble.params()) + batch;
    Memory::new(evaluations * (ensemble.memory_bytes() - batch) + clients * client)
}

fn provider(members: usize) -> (Provider, Memory) {
    let release = release(members);
    let memory = room(&release, 1, 2);
    (Provider::new(&release, &memory, 1).unwrap(), memory)
}

/// A session that has its keys, and the client of it.
fn greeted(provider: &Provider, seed: u8) -> (ClientSession, ProviderSession) {
    let mut session = provider.session();
    let description = session.answer(&ClientSession::describe()).unwrap();
    let client = ClientSession::new(&description, &Secret::from_bytes(&[seed; 32])).unwrap();
    ClientSession::accepted(&session.answer(&client.keys().unwrap()).unwrap()).unwrap();
    (client, session)
}

/// A session into which a batch of 36 values an image was sent, up to `chunks` messages.
fn sending(client: &ClientSession, session: &mut ProviderSession, chunks: usize) {
    let mut batch = client.begin(&[1; PIXELS]).unwrap();
    for _ in 0..=chunks {
        let message = batch.next().unwrap().unwrap();
        batch.take(&session.answer(&message).unwrap()).unwrap();
    }
}

fn scored(client: &ClientSession, session: &mut ProviderSession, pixels: &[u8]) -> (Scores, Vec<Step>) {
    let mut batch = client.begin(pixels).unwrap();
    let mut steps = Vec::new();
    while let Some(message) = batch.next().unwrap() {
        match batch.take(&session.answer(&message).unwrap()).unwrap() {
            Step::Done(scores) => {
                assert!(batch.next().unwrap().is_none());
                return (scores, steps);
            }
            step => {
                if matches!(step, Step::Waiting { .. } | Step::Evaluating { .. }) {
                    sleep(Duration::from_millis(5));
                }
                steps.push(step);
            }
        }
    }
    panic!("no scores")
}

fn sums(release: &Release, images: &[u8]) -> Vec<i128> {
    let one = |image: &[u8]| {
        let outputs: Vec<_> = release.networks.iter().map(|network| network.evaluate(image).unwrap().output).collect();
        (0..outputs[0].len()).map(|class| outputs.iter().map(|output| output[class]).sum()).collect::<Vec<i128>>()
    };
    images.chunks_exact(PIXELS).flat_map(one).collect()
}

/// Waits for threads that were told to stop.
fn settles_at(memory: &Memory, bytes: usize) {
    for _ in 0..500 {
        if memory.used() == bytes {
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("{} bytes are taken, expected {bytes}", memory.used());
}

fn order(session: &mut ProviderSession, request: Request<'_>) -> &'static str {
    match session.answer(&request.to_bytes()).unwrap_err() {
        Error::Order { state, .. } => state,
        other => panic!("{request:?}: {other}"),
    }
}

#[test]
fn scores_are_those_of_the_networks_batch_after_batch() {
    let release = release(2);
    let (provider, memory) = provider(2);
    let before = memory.used();
    let (client, mut session) = greeted(&provider, 1);
    let keyed = memory.used();
    assert_eq!(keyed - before, EvaluationKeys::memory_bytes(&TWO.params));
    for images in [1, 5] {
        let pixels = pixels(&mut rng(images as u64), images, common::SMALL);
        let (scores, steps) = scored(&client, &mut session, &pixels);
        assert_eq!(scores.values, sums(&release, &pixels));
        assert_eq!((scores.images, scores.classes, scores.networks), (images, 3, 2));
        let sent: Vec<_> = steps
            .iter()
            .filter_map(|step| if let Step::Sending { sent, of } = step { Some((*sent, *of)) } else { None })
            .collect();
        assert_eq!((sent[0], *sent.last().unwrap()), ((0, 72), (72, 72)));
        assert!(sent.len() >= 5, "{sent:?}");
        let shares: Vec<_> = steps
            .iter()
            .filter_map(|step| if let Step::Evaluating { share, .. } = step { Some(*share) } else { None })
            .collect();
        assert!(shares.is_sorted() && shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
        assert!(
            steps.iter().any(|step| matches!(step, Step::Fetching { got, of } if 0 < *got && got < of)),
            "{steps:?}"
        );
        assert!(!session.is_unfinished());
    }
    drop(session);
    settles_at(&memory, before);
}

#[test]
fn a_piece_of_work_is_counted_once() {
    let release = release(2);
    let ensemble = release.ensemble().unwrap();
    let images = TWO.secret.encrypt(&signed(&[3; PIXELS]), PIXELS).unwrap();
    let mut pieces = 0;
    ensemble.evaluate_watched(&TWO.keys, &images, |_, _| pieces += 1).unwrap();
    assert_eq!(pieces, ensemble.pieces());
    let stopped = ensemble.evaluate_while(&TWO.keys, &images, |_, _| std::ops::ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Scheme::Stopped)));
}

#[test]
fn messages_out_of_order_are_refused_and_change_nothing() {
    let (provider, _) = provider(1);
    let begin = Request::Begin { batch: batch_of(&[0; 36]), images: 1 };
    let mut session = provider.session();
    assert_eq!(order(&mut session, begin), "there were no keys");
    for request in [Request::Chunk(&[]), Request::Evaluate, Request::Poll, Request::Fetch { offset: 0 }] {
        assert_eq!(order(&mut session, request), "no batch was begun");
    }
    let (client, mut session) = greeted(&provider, 1);
    assert_eq!(order(&mut session, Request::Keys(&[])), "this connection had keys");
    assert_eq!(order(&mut session, Request::Keys(&client.keys().unwrap()[1..])), "this connection had keys");
    sending(&client, &mut session, 1);
    assert!(session.is_unfinished());
    for request in [begin, Request::Poll, Request::Fetch { offset: 0 }] {
        assert_eq!(order(&mut session, request), "a batch was being sent");
    }
    let error = session.answer(&Request::Evaluate.to_bytes()).unwrap_err();
    assert!(matches!(error, Error::Scheme(Scheme::Incomplete { got: 18, expected: 72 })), "{error}");
    assert_eq!(session.answer(&Request::Cancel.to_bytes()).unwrap(), [2]);
    assert!(!session.is_unfinished());
    assert!(scored(&client, &mut session, &[2; PIXELS]).0.budget_bits > 20.0);
    for request in [Request::Chunk(&[]), Request::Evaluate] {
        assert_eq!(order(&mut session, request), "there were scores");
    }
    let error = session.answer(&Request::Fetch { offset: u32::MAX }.to_bytes()).unwrap_err();
    assert!(matches!(error, Error::Field { field: "offset of scores", .. }), "{error}");
}

/// The name of some batch.
fn batch_of(pixels: &[u8]) -> BatchId {
    TWO.secret.encrypt(&signed(pixels), PIXELS).unwrap().batch()
}

#[test]
fn keys_that_are_damaged_or_of_other_parameters_are_refused() {
    let (provider, memory) = provider(1);
    let before = memory.used();
    let mut session = provider.session();
    let mut refused = |bytes: &[u8]| match session.answer(&Request::Keys(bytes).to_bytes()).unwrap_err() {
        Error::Scheme(error) => error,
        other => panic!("{other}"),
    };
    let other = Params::named(ParamSet::Bfv8192x45).unwrap();
    let keys = SecretKey::generate(&other).unwrap().evaluation_keys().unwrap().to_bytes();
    assert!(matches!(refused(&keys), Scheme::OtherParams { .. }));
    let keys = TWO.keys.to_bytes();
    for end in [0, 50, 100, keys.len() - 1] {
        assert!(matches!(refused(&keys[..end]), Scheme::Bytes { fault: Fault::Truncated { .. }, .. }), "{end}");
    }
    for place in (0..keys.len()).step_by(keys.len() / 50) {
        let mut damaged = keys.to_vec();
        damaged[place] ^= 4;
        refused(&damaged);
    }
    assert_eq!(memory.used(), before, "what was refused takes nothing");
    session.answer(&Request::Keys(&keys).to_bytes()).unwrap();
}

#[test]
fn chunks_that_are_damaged_foreign_or_out_of_order_are_refused() {
    let (provider, _) = provider(1);
    let mut session = provider.session();
    session.answer(&Request::Keys(&TWO.keys.to_bytes()).to_bytes()).unwrap();
    let [mine, other] = [(); 2].map(|()| TWO.secret.encrypt(&signed(&[5; PIXELS]), PIXELS).unwrap());
    for images in [0, 8193, u32::MAX] {
        let error = session.answer(&Request::Begin { batch: mine.batch(), images }.to_bytes()).unwrap_err();
        assert!(matches!(error, Error::Field { field: "images of a batch", .. }), "{error}");
    }
    session.answer(&Request::Begin { batch: mine.batch(), images: 1 }.to_bytes()).unwrap();
    let mut refused = |bytes: &[u8]| match session.answer(&Request::Chunk(bytes).to_bytes()).unwrap_err() {
        Error::Scheme(error) => error,
        other => panic!("{other}"),
    };
    let chunks: Vec<_> = mine.chunks(&TWO.secret, 1 << 20).unwrap().collect();
    let foreign = other.chunks(&TWO.secret, 1 << 20).unwrap().next().unwrap();
    assert!(matches!(refused(&foreign), Scheme::OtherBatch));
    assert!(matches!(refused(&chunks[1]), Scheme::ChunkOrder { expected: 0, .. }));
    assert!(matches!(refused(&TWO.keys.to_bytes()), Scheme::Bytes { fault: Fault::Kind { .. }, .. }));
    let stranger = SecretKey::generate(&TWO.params).unwrap();
    let images = stranger.encrypt(&signed(&[5; PIXELS]), PIXELS).unwrap();
    let chunk = images.chunks(&stranger, 1 << 20).unwrap().next().unwrap();
    assert!(matches!(refused(&chunk), Scheme::Bytes { fault: Fault::Tag, .. }));
    for place in (0..chunks[0].len()).step_by(chunks[0].len() / 50) {
        let mut damaged = chunks[0].clone();
        damaged[place] ^= 1;
        refused(&damaged);
        refused(&chunks[0][..place]);
    }
    for chunk in &chunks {
        session.answer(&Request::Chunk(chunk).to_bytes()).unwrap();
    }
    let error = session.answer(&Request::Chunk(&chunks[0]).to_bytes()).unwrap_err();
    assert!(matches!(error, Error::Scheme(Scheme::ChunkOrder { .. })), "{error}");
}

#[test]
fn beyond_its_memory_a_provider_says_what_is_needed() {
    let release = release(1);
    let enough = room(&release, 1, 1).limit();
    let error = Provider::new(&release, &Memory::new(enough - 1), 1).unwrap_err();
    assert!(
        matches!(error, Error::TooLittleMemory { evaluations: 1, needed, limit } if needed == enough && limit == enough - 1)
    );
    assert!(Provider::new(&release, &Memory::new(enough), 2).is_err());
    assert!(matches!(Provider::new(&release, &Memory::new(enough), 0), Err(Error::Field { .. })));
    assert!(Provider::new(&release, &Memory::new(1 << 40), usize::MAX).is_err());

    let keys = EvaluationKeys::memory_bytes(&TWO.params);
    let memory = Memory::new(enough + 2 * keys);
    let provider = Provider::new(&release, &memory, 1).unwrap();
    let (one, mut first) = greeted(&provider, 1);
    let (two, mut second) = greeted(&provider, 2);
    sending(&one, &mut first, 2);
    let begin = two.begin(&[1; PIXELS]).unwrap().next().unwrap().unwrap();
    let error = second.answer(&begin).unwrap_err();
    let batch = Collector::bytes(&TWO.params, PIXELS);
    assert!(
        matches!(error, Error::Memory { what: "a batch", needed, free, .. } if needed == batch && free == keys),
        "{error}"
    );
    assert!(error.is_passing() && error.to_string().contains("--memory"));
    let (_three, _third) = greeted(&provider, 3);
    let mut fourth = provider.session();
    let error = fourth.answer(&two.keys().unwrap()).unwrap_err();
    assert!(matches!(error, Error::Memory { what: "evaluation keys", free: 0, .. }), "{error}");

    drop(first); // in the middle of its batch
    assert_eq!(scored(&two, &mut second, &[1; PIXELS]).0.values, sums(&release, &[1; PIXELS]));
    assert!(memory.used() <= memory.limit());
}

#[test]
fn who_goes_away_stops_the_evaluation_and_frees_its_memory() {
    let (provider, memory) = provider(8);
    let before = memory.used();
    let (client, mut session) = greeted(&provider, 1);
    sending(&client, &mut session, 4);
    session.answer(&Request::Evaluate.to_bytes()).unwrap();
    assert!(session.is_unfinished());
    assert_eq!(order(&mut session, Request::Evaluate), "a batch was being evaluated");
    session.answer(&Request::Poll.to_bytes()).unwrap();
    drop(session);
    settles_at(&memory, before);
    let (client, mut session) = greeted(&provider, 1);
    assert_eq!(scored(&client, &mut session, &[1; PIXELS]).0.networks, 8, "the place is free again");
}

#[test]
fn evaluations_wait_for_one_another_and_who_gives_up_leaves_the_queue() {
    let release = release(3);
    let memory = room(&release, 1, 3);
    let provider = Provider::new(&release, &memory, 1).unwrap();
    let mut sessions: Vec<_> = (1..4)
        .map(|seed| {
            let (client, mut session) = greeted(&provider, seed);
            sending(&client, &mut session, 4);
            session
        })
        .collect();
    let mut evaluate = |index: usize| sessions[index].answer(&Request::Evaluate.to_bytes()).unwrap();
    evaluate(0);
    evaluate(1);
    let third = evaluate(2);
    let ahead = |answer: &[u8]| match Answer::from_bytes(answer).unwrap() {
        Answer::Waiting { ahead } => ahead,
        other => panic!("{other:?}"),
    };
    assert!((1..=2).contains(&ahead(&third)));
    sessions[1].answer(&Request::Cancel.to_bytes()).unwrap();
    let mut poll = |index: usize| sessions[index].answer(&Request::Poll.to_bytes()).unwrap();
    for _ in 0..5000 {
        let [first, third] = [poll(0), poll(2)];
        let ready = |answer: &[u8]| matches!(Answer::from_bytes(answer).unwrap(), Answer::Ready { .. });
        if ready(&third) {
            assert!(ready(&first));
            return;
        }
        sleep(Duration::from_millis(20));
    }
    panic!("the third was never evaluated");
}

#[test]
fn a_client_refuses_descriptions_that_cannot_be() {
    let (provider, _) = provider(1);
    let answer = provider.session().answer(&ClientSession::describe()).unwrap();
    let text = String::from_utf8(answer[1..].to_vec()).unwrap();
    let open = |text: &str| {
        let answer = [&[1], text.as_bytes()].concat();
        ClientSession::new(&answer, &Secret::from_bytes(&[1; 32])).err().unwrap()
    };
    let edited = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        open(&text.replacen(from, to, 1))
    };
    let field = |error| match error {
        Error::Field { field, .. } => field,
        other => panic!("{other}"),
    };
    assert!(matches!(edited("bfv-8192-40x2", "bfv-1024-1"), Error::Scheme(Scheme::UnknownSet { .. })));
    assert_eq!(field(edited("bfv-8192-40x2", "bfv-8192-45")), "hash of the parameters");
    assert_eq!(field(edited("\"format\":1", "\"format\":2")), "format of the description");
    assert_eq!(field(edited("\"height\":6", "\"height\":129")), "height");
    assert_eq!(field(edited("\"width\":6", "\"width\":0")), "width");
    assert_eq!(field(edited("\"max_pixel\":15", "\"max_pixel\":0")), "max_pixel");
    assert_eq!(field(edited("\"networks\":1", "\"networks\":0")), "number of networks");
    assert_eq!(field(edited("\"scale\":1.0", "\"scale\":-1.0")), "scale");
    assert_eq!(field(edited("\"one\"", "\"on\\u001be\"")), "name of a class");
    assert_eq!(field(edited("\"one\"", "1")), "description");
    assert_eq!(field(edited("{", "{\"more\":1,")), "description");
    assert!(matches!(open(&text.replacen("one", &"x".repeat(1 << 16), 1)), Error::Length { .. }));
    assert!(matches!(ClientSession::new(&[2], &Secret::from_bytes(&[1; 32])), Err(Error::OtherAnswer { .. })));
    assert!(matches!(ClientSession::accepted(&answer), Err(Error::OtherAnswer { .. })));
}

#[test]
fn a_client_refuses_answers_that_do_not_fit_its_batch() {
    let (provider, _) = provider(1);
    let (client, mut session) = greeted(&provider, 1);
    let mut batch = client.begin(&[1; PIXELS]).unwrap();
    let wrong = |answer: Answer<'_>| answer.to_bytes().unwrap();
    batch.next().unwrap();
    assert!(matches!(batch.take(&wrong(Answer::Accepted)), Err(Error::OtherAnswer { .. })));
    assert!(matches!(batch.take(&wrong(Answer::Received { got: 1, of: 72 })), Err(Error::Field { .. })));
    assert!(matches!(batch.take(&wrong(Answer::Received { got: 0, of: 71 })), Err(Error::Field { .. })));
    assert!(matches!(batch.take(&[]), Err(Error::Length { .. })));
    loop {
        let message = batch.next().unwrap().unwrap();
        let answer = session.answer(&message).unwrap();
        if let Answer::Ready { bytes } = Answer::from_bytes(&answer).unwrap() {
            assert!(matches!(batch.take(&wrong(Answer::Ready { bytes: bytes + 1 })), Err(Error::Field { .. })));
            batch.take(&answer).unwrap();
            break;
        }
        batch.take(&answer).unwrap();
        sleep(Duration::from_millis(5));
    }
    let message = batch.next().unwrap().unwrap();
    let answer = session.answer(&message).unwrap();
    let Answer::Piece { bytes, .. } = Answer::from_bytes(&answer).unwrap() else { panic!() };
    for piece in [Answer::Piece { offset: 1, bytes }, Answer::Piece { offset: 0, bytes: &[] }] {
        assert!(matches!(batch.take(&wrong(piece)), Err(Error::Field { field: "piece of scores", .. })));
    }
    let mut damaged = answer.clone();
    damaged[500] ^= 1;
    batch.take(&damaged).unwrap();
    let message = batch.next().unwrap().unwrap();
    let error = batch.take(&session.answer(&message).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Scheme(Scheme::Bytes { fault: Fault::Tag, .. })), "{error}");
    assert!(matches!(client.begin(&[16; PIXELS]), Err(Error::Scheme(Scheme::OutOfRange { .. }))));
    assert!(matches!(client.begin(&[1; 35]), Err(Error::Scheme(Scheme::Count { .. }))));
}
