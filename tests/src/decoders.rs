//! One function for each decoder of bytes from elsewhere, shared by the fuzz targets under `fuzz/` and by a test on
//! stable Rust that replays their corpus and changes it at random.
//!
//! Each takes any bytes, and says whether they were taken. What is wrong is an error and dropped here; a panic is a find,
//! and so is a value that is not what its decoder promises.
//!
//! Damage to what is sealed would never get past its checksum. So some inputs are recipes: changes to an object that is
//! in order, and whether it is sealed again afterwards, as its own sender could. See [`changed`].

#![allow(clippy::unwrap_used, clippy::panic, reason = "a find is shown by panicking")]

use std::{
    sync::{LazyLock, Mutex, PoisonError},
    time::Duration,
};

use cleave_encrypted::{
    Collector, EncryptedEnsemble, EncryptedImages, EncryptedScores, EvaluationKeys, IntegerLayer, IntegerNetwork,
    ParamSet, Params, Precision, Release, SecretKey, Shape,
    ckks::{self, Ciphertext, Complex, KeyCollector, KeyPlan, Plaintext},
    ranges,
    service::{Answer, ClientSession, Memory, Provider, Request, jobs},
    training::{self, Cubic, EncryptedModel, Model, Preconditioner, Trainer, TrainingClient, TrainingData},
};
use cleave_secrets::{Domain, Existing, Label, Secret};
use cleave_wire::{Element, Layout, Limits, Preamble, decode};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// What a target does; whether its decoder took the bytes.
pub type Body = fn(&[u8]) -> bool;

/// All targets by their names, which are those of the folders of the corpus.
pub const TARGETS: [(&str, Body); 14] = [
    ("wire_frame", wire_frame),
    ("wire_tensor", wire_tensor),
    ("evaluation_keys", evaluation_keys),
    ("image_chunks", image_chunks),
    ("scores", scores),
    ("ckks_ciphertext", ckks_ciphertext),
    ("ckks_keys", ckks_keys),
    ("training_pieces", training_pieces),
    ("training_request", training_request),
    ("training_answer", training_answer),
    ("service_request", service_request),
    ("service_answer", service_answer),
    ("release_file", release_file),
    ("key_file", key_file),
];

/// Bytes that a frame may carry here.
const PAYLOAD: Limits = Limits { max_payload: 1 << 12 };
/// Bytes of an encrypted object before its body, and of its seal.
const HEAD: usize = 68;
const SEAL: usize = 32;
const PIXELS: usize = 2;

/// A frame: the first byte is even for bytes as they are, odd for a frame whose checksums are then made right.
pub fn wire_frame(data: &[u8]) -> bool {
    let Some((&mode, frame)) = data.split_first() else { return false };
    let mut frame = frame.to_vec();
    if mode % 2 == 1 {
        check_again(&mut frame);
    }
    if let Ok((head, payload)) = decode(&frame, &PAYLOAD) {
        assert!(payload.len() as u64 <= PAYLOAD.max_payload);
        let again = [head.to_bytes(payload).unwrap(), payload.to_vec()].concat();
        assert_eq!(decode(&again, &PAYLOAD), Ok((head, payload)), "what was read can be written and read");
        return true;
    }
    false
}

/// Makes both checksums of a frame right, as far as there is one.
fn check_again(frame: &mut [u8]) {
    if frame.len() < Preamble::LEN {
        return;
    }
    let header = u32::from_le_bytes([frame[8], frame[9], frame[10], frame[11]]) as usize;
    let end = Preamble::LEN.saturating_add(header).min(frame.len());
    let payload = crc32fast::hash(&frame[end..]).to_le_bytes();
    frame[20..24].copy_from_slice(&payload);
    let mut head = crc32fast::Hasher::new();
    head.update(&frame[..24]);
    head.update(&frame[Preamble::LEN..end]);
    frame[24..28].copy_from_slice(&head.finalize().to_le_bytes());
}

/// A payload of numbers: length of an item (2 bytes), batch, element, then the payload.
pub fn wire_tensor(data: &[u8]) -> bool {
    let Some((&[low, high, batch, element], payload)) = data.split_first_chunk() else { return false };
    let element = Element::ALL[usize::from(element) % Element::ALL.len()];
    let Ok(layout) = Layout::new(u16::from_le_bytes([low, high]).into(), batch.into(), element) else { return false };
    if let Ok(values) = layout.decode(payload) {
        assert_eq!(values.len(), layout.value_len());
        assert!(values.iter().all(|value| value.is_finite()));
        if element == Element::F32 {
            assert_eq!(layout.encode(&values).unwrap(), payload);
        }
        return true;
    }
    false
}

/// Evaluation keys: a recipe.
pub fn evaluation_keys(data: &[u8]) -> bool {
    let client = &*CLIENT;
    let Some(bytes) = changed(&client.key_bytes, data, &|bytes| Sha256::digest(bytes).to_vec()) else { return false };
    if let Ok(keys) = EvaluationKeys::from_bytes(&bytes, &client.params) {
        assert_eq!(bytes.len(), EvaluationKeys::bytes_len(&client.params));
        assert!(*keys.to_bytes() == bytes, "what was read is written as it was");
        return true;
    }
    false
}

/// A chunk of images: a recipe. The chunk that is in order is taken after any other that was refused.
pub fn image_chunks(data: &[u8]) -> bool {
    let client = &*CLIENT;
    let Some(bytes) = changed(&client.chunk, data, &tag) else { return false };
    let mut collector = Collector::new(&client.keys, PIXELS).unwrap();
    match collector.accept(&client.keys, &bytes) {
        Ok(()) => assert!(collector.progress().0 <= PIXELS),
        Err(_) => {
            collector.accept(&client.keys, &client.chunk).unwrap();
            return false;
        }
    }
    true
}

/// Scores: a recipe.
pub fn scores(data: &[u8]) -> bool {
    let client = &*CLIENT;
    let Some(bytes) = changed(&client.scores, data, &tag) else { return false };
    if let Ok(scores) = EncryptedScores::from_bytes(&bytes, &client.secret, &client.asked) {
        drop(client.secret.decrypt(&scores)); // of any noise
        return true;
    }
    false
}

/// A ciphertext of CKKS: a recipe.
pub fn ckks_ciphertext(data: &[u8]) -> bool {
    let Real { params, key, ciphertext, .. } = &*REAL;
    let Some(bytes) = changed(ciphertext, data, &real_tag) else { return false };
    if let Ok(got) = Ciphertext::from_bytes(&bytes, &key.tags(), &[7; 32], 3) {
        for half in got.halves() {
            let mut rows = half.chunks_exact(params.degree()).zip(params.primes());
            assert!(rows.all(|(row, prime)| row.iter().all(|&x| x < prime)));
        }
        assert!(got.to_bytes(&key.tags(), &[7; 32], 3).unwrap() == bytes, "what was read is written as it was");
        key.decrypt(&got).unwrap();
        return true;
    }
    false
}

/// A piece of keys of CKKS: a recipe. The piece that is in order is taken after any other that was refused.
pub fn ckks_keys(data: &[u8]) -> bool {
    let Real { plan, keys, .. } = &*REAL;
    let Some(bytes) = changed(&keys[0], data, &|bytes| Sha256::digest(bytes).to_vec()) else { return false };
    let mut collector = KeyCollector::new(plan);
    let taken = collector.accept(&bytes).is_ok();
    assert_eq!(collector.progress().0, usize::from(taken));
    if !taken {
        collector.accept(&keys[0]).unwrap();
        // Others may belong to what was changed in the first.
        keys[1..].iter().for_each(|piece| collector.accept(piece).unwrap());
        collector.finish().unwrap();
    }
    taken
}

/// The first piece of what a training sends: a recipe. The first byte modulo 6 says of what: 0 and 1 of an answer, then
/// of data, then of weights.
pub fn training_pieces(data: &[u8]) -> bool {
    let training = &*TRAINING;
    let Some(which) = data.first().map(|first| usize::from(first % 6 / 2)) else { return false };
    let pieces = &training.pieces[which];
    let Some(bytes) = changed(&pieces[0], data, &real_tag) else { return false };
    let mut collector = training.collector(which);
    let taken = collector.accept(&bytes).is_ok();
    assert_eq!(collector.progress().0, usize::from(taken));
    if !taken {
        collector.accept(&pieces[0]).unwrap();
        return false;
    }
    pieces[1..].iter().for_each(|piece| collector.accept(piece).unwrap());
    match which {
        0 => {
            let model = training.client.decrypt_model(&collector.into_model().unwrap()).unwrap();
            assert!(model.ahead().iter().chain(model.weights()).all(|w| w.is_finite()));
            training.client.encrypt_model(&model).unwrap(); // or a provider would see it fail
        }
        1 => drop(collector.into_data().unwrap()),
        _ => drop(collector.into_model().unwrap()),
    }
    true
}

/// Messages to a provider that has keys: each is its length (2 bytes) and itself.
pub fn service_request(data: &[u8]) -> bool {
    let (provider, memory) = &*PROVIDER;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = memory.used();
    let mut session = provider.session();
    if data.first().is_some_and(|first| first % 2 == 1) {
        session.answer(&Request::Keys(&CLIENT.key_bytes).to_bytes()).unwrap();
    }
    let (mut rest, mut taken) = (data.get(1..).unwrap_or_default(), false);
    while let Some((length, after)) = rest.split_first_chunk() {
        let (message, next) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        if let Ok(request) = Request::from_bytes(message) {
            assert_eq!(request.to_bytes(), message);
        }
        if let Ok(answer) = session.answer(message) {
            Answer::from_bytes(&answer).unwrap();
            taken = true;
        }
        assert!(memory.used() <= memory.limit());
        rest = next;
    }
    drop(session);
    assert_eq!(memory.used(), before, "no evaluation can have begun, and nothing else may be left");
    taken
}

/// An answer of a provider.
pub fn service_answer(data: &[u8]) -> bool {
    if let Ok(answer) = Answer::from_bytes(data)
        && !matches!(answer, Answer::Description(_))
    {
        assert_eq!(answer.to_bytes().unwrap(), data);
    }
    let _ = ClientSession::new(data, &Secret::from_bytes(&[1; 32]));
    let mut batch = BATCH.begin(&[1; PIXELS]).unwrap();
    batch.next().unwrap();
    let _ = batch.take(data);
    Answer::from_bytes(data).is_ok()
}

/// A release: the first byte is even for a list, odd for a network that the list names by its hash.
pub fn release_file(data: &[u8]) -> bool {
    let Some((&mode, text)) = data.split_first() else { return false };
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (folder, list, member) = &*RELEASE;
    let path = folder.path().join("changed.toml");
    let (list, member) = match mode % 2 {
        0 => (text.to_vec(), member.as_bytes().to_vec()),
        _ => {
            let hash = |text: &[u8]| data_encoding::HEXLOWER.encode(&Sha256::digest(text));
            (list.replace(&hash(member.as_bytes()), &hash(text)).into_bytes(), text.to_vec())
        }
    };
    std::fs::write(&path, list).unwrap();
    std::fs::write(folder.path().join("fuzz-1.json"), member).unwrap();
    if let Ok(release) = Release::read(&path) {
        release.check().unwrap();
        // What it says of weights may still be too heavy for the parameters, which is an error too.
        let _ = EncryptedEnsemble::new(&CLIENT.params, &release.networks);
        return true;
    }
    false
}

/// A key file, sealed or in the clear. Passphrases are tried where that is cheap.
pub fn key_file(data: &[u8]) -> bool {
    const PURPOSE: &str = "fuzz";
    let Ok(label) = Label::read(data) else {
        assert!(cleave_secrets::open(data, PURPOSE, None).is_err());
        return false;
    };
    let passphrase = match label.sealed {
        None => None,
        Some(cost) if cost.memory_kib <= 64 && cost.passes <= 2 => Some("passphrase"),
        Some(_) => return false,
    };
    if let Ok(contents) = cleave_secrets::open(data, PURPOSE, passphrase) {
        assert_eq!(label.purpose, PURPOSE);
        let _ = contents.secret();
        return true;
    }
    false
}

/// An object after the changes that `data` lists, of 4 bytes each: 3 for what is done and where, 1 for a value. The first
/// byte is odd if the object gets its seal again. `None` for no changes and for more than 64.
///
/// Places are spread over the head, where the fields are, and the rest: what is done is, by the first byte modulo 4, to
/// set a byte of the first 256, to set one of the whole, to cut off so many, to append so many.
pub fn changed(base: &[u8], data: &[u8], seal: &dyn Fn(&[u8]) -> Vec<u8>) -> Option<Vec<u8>> {
    let (&sealed, changes) = data.split_first()?;
    let changes = changes.as_chunks::<4>().0;
    if changes.is_empty() || changes.len() > 64 {
        return None;
    }
    let mut bytes = base.to_vec();
    for &[what, low, high, value] in changes {
        let place = usize::from(u16::from_le_bytes([low, high]));
        match what % 4 {
            0 => bytes.iter_mut().take(256).nth(place % 256).into_iter().for_each(|byte| *byte = value),
            1 => {
                let place = (place << 8 | usize::from(what)) % bytes.len().max(1);
                bytes.get_mut(place).into_iter().for_each(|byte| *byte = value);
            }
            2 => bytes.truncate(bytes.len().saturating_sub(place)),
            _ => bytes.extend(std::iter::repeat_n(value, place)),
        }
    }
    if sealed % 2 == 1 && bytes.len() >= HEAD + SEAL {
        let body = bytes.len() - SEAL;
        let length = (body - HEAD) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_le_bytes());
        let seal = seal(&bytes[..body]);
        bytes[body..].copy_from_slice(&seal);
    }
    Some(bytes)
}

/// The tag that a client's or provider's objects end with; its key stands in the evaluation keys.
fn tag(bytes: &[u8]) -> Vec<u8> {
    let key = &CLIENT.key_bytes[HEAD..HEAD + 32];
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(bytes).finalize().into_bytes().to_vec()
}

/// Messages to a provider of trainings: each is its length (2 bytes) and itself. One for an odd first byte has a job.
pub fn training_request(data: &[u8]) -> bool {
    let (provider, memory) = &*JOBS;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut session, mut begun) = (provider.session(None), Vec::new());
    if data.first().is_some_and(|first| first % 2 == 1) {
        session.answer(&JOB.begin).unwrap();
        begun.push(JOB.begin.clone());
    }
    let (mut rest, mut taken) = (data.get(1..).unwrap_or_default(), false);
    while let Some((length, after)) = rest.split_first_chunk() {
        let (message, next) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        if let Ok(request) = jobs::Request::from_bytes(message) {
            assert_eq!(request.to_bytes(), message);
        }
        if let Ok(answer) = session.answer(message) {
            jobs::Answer::from_bytes(&answer).unwrap();
            taken = true;
            if let Ok(jobs::Request::Begin { .. }) = jobs::Request::from_bytes(message) {
                begun.push(message.to_vec());
            }
        }
        assert!(memory.used() <= memory.limit());
        rest = next;
    }
    assert!(!session.is_unfinished(), "no keys, and so no round, can have been sent");
    for begin in begun {
        if session.answer(&begin).is_ok() {
            session.answer(&jobs::Request::Cancel.to_bytes()).unwrap();
        }
    }
    assert_eq!((provider.jobs(), memory.used()), (0, 0));
    taken
}

/// An answer of a provider of trainings, to a client that began a job, and to one that asked for terms.
pub fn training_answer(data: &[u8]) -> bool {
    let parsed = jobs::Answer::from_bytes(data);
    if let Ok(answer) = &parsed
        && !matches!(answer, jobs::Answer::Terms(_) | jobs::Answer::Status(_))
    {
        assert_eq!(answer.to_bytes().unwrap(), data);
    }
    let _ = jobs::terms(data);
    let secret = Secret::from_bytes(&[1; 32]);
    let mut client = jobs::ClientJob::new(JOB.state.clone(), &secret, &JOB.data, Preconditioner::Diagonal).unwrap();
    client.next().unwrap();
    // What follows where keys are missing is to make them, whatever the answer was, and takes long.
    let keyed = !matches!(&parsed, Ok(jobs::Answer::Status(status)) if status.keys.0 < status.keys.1);
    if client.take(data).is_ok() && keyed {
        let next = client.next().unwrap().unwrap();
        jobs::Request::from_bytes(&next).unwrap();
        let _ = client.take(data);
        assert_eq!(client.state().progress().0, 0, "no weights came");
    }
    parsed.is_ok()
}

/// A job of two samples.
struct Job {
    data: TrainingData,
    state: jobs::JobState,
    /// The message that begins it.
    begin: Vec<u8>,
}

static JOB: LazyLock<Job> = LazyLock::new(|| {
    let data = TrainingData::new(&[0.5, 1.5], &[0, 1], 2).unwrap();
    let (set, start) = (ckks::ParamSet::Ckks16384x8, Model::start(&data, 0.0));
    let state = jobs::JobState::new(set, data.shape(), Cubic::PAPER, 2, 2, &start).unwrap();
    let secret = Secret::from_bytes(&[1; 32]);
    let client = jobs::ClientJob::new(state.clone(), &secret, &data, Preconditioner::Diagonal);
    let begin = client.unwrap().next().unwrap().unwrap();
    Job { data, state, begin }
});

/// Room for that one.
static JOBS: LazyLock<(jobs::Provider, Memory)> = LazyLock::new(|| {
    let memory = Memory::new(training::memory_bytes(&REAL.params, JOB.data.shape()).unwrap());
    let hold = Duration::from_secs(60);
    (jobs::Provider::new(&[ckks::ParamSet::Ckks16384x8], &memory, 1, hold).unwrap(), memory)
});

/// The tag of ciphertexts of CKKS, whose key is derived from the secret.
fn real_tag(bytes: &[u8]) -> Vec<u8> {
    let mut key = [0; 32];
    Secret::from_bytes(&[1; 32]).stream(Domain::new("encrypted/ckks tag", &[])).fill(&mut key);
    Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(bytes).finalize().into_bytes().to_vec()
}

/// A ciphertext and keys for the last level, where they are smallest.
struct Real {
    params: ckks::Params,
    key: ckks::SecretKey,
    ciphertext: Vec<u8>,
    plan: KeyPlan,
    keys: Vec<Vec<u8>>,
}

static REAL: LazyLock<Real> = LazyLock::new(|| {
    let params = ckks::Params::named(ckks::ParamSet::Ckks16384x8).unwrap();
    let key = ckks::SecretKey::new(&params, &Secret::from_bytes(&[1; 32]));
    let plain = Plaintext::encode(&params, &[Complex::from(0.5)], 0, params.scale()).unwrap();
    let ciphertext = key.encrypt(&plain).unwrap().to_bytes(&key.tags(), &[7; 32], 3).unwrap();
    let plan = KeyPlan::new(&params).rotate(1, 0).conjugate(0);
    let keys = key.evaluation_keys(&plan).unwrap().pieces().map(|piece| piece.to_vec()).collect();
    Real { params, key, ciphertext, plan, keys }
});

/// One iteration on two features, with a class for each pair of slots, so that few keys are needed.
struct Training {
    client: TrainingClient,
    batch: [u8; 32],
    asked: EncryptedModel,
    /// Of an answer, of data, of weights.
    pieces: [Vec<Vec<u8>>; 3],
}

impl Training {
    const SHAPE: training::Shape = training::Shape { samples: 128, features: 2, classes: 64 };

    fn collector(&self, which: usize) -> training::Collector {
        let (tags, shape) = (self.client.tags(), Self::SHAPE);
        match which {
            0 => training::Collector::answer(tags, &self.asked, 1),
            1 => training::Collector::data(tags, shape, self.batch),
            _ => training::Collector::model(tags, shape, self.asked.batch(), 0),
        }
        .unwrap()
    }
}

static TRAINING: LazyLock<Training> = LazyLock::new(|| {
    let shape = Training::SHAPE;
    let features: Vec<f64> = (0..shape.samples).map(|at| at as f64 / 128.0).collect();
    let labels: Vec<usize> = (0..shape.samples).map(|at| at % shape.classes).collect();
    let data = TrainingData::new(&features, &labels, shape.classes).unwrap();
    let client = TrainingClient::new(&REAL.params, &Secret::from_bytes(&[1; 32]), shape).unwrap();
    let trainer = Trainer::new(client.evaluation_keys().unwrap(), shape).unwrap();
    let encrypted = client.encrypt_data(&data, Preconditioner::Diagonal).unwrap();
    let asked = client.encrypt_model(&Model::start(&data, 0.0)).unwrap();
    let tags = client.tags();
    let sent = [encrypted.pieces(&tags).collect(), asked.pieces(&tags).collect()];
    let mut collector = training::Collector::model(tags, shape, asked.batch(), 0).unwrap();
    let [of_data, of_weights] = sent.map(|pieces: Result<Vec<_>, _>| pieces.unwrap());
    of_weights.iter().for_each(|piece: &Vec<u8>| collector.accept(piece).unwrap());
    let answer = trainer.train(&encrypted, collector.into_model().unwrap(), Cubic::PAPER, 1, |_, _| true).unwrap();
    let answered = answer.pieces(&trainer.tags()).collect::<Result<Vec<_>, _>>().unwrap();
    Training { client, batch: encrypted.batch(), asked, pieces: [answered, of_data, of_weights] }
});

struct Client {
    params: Params,
    secret: SecretKey,
    keys: EvaluationKeys,
    key_bytes: Vec<u8>,
    asked: EncryptedImages,
    chunk: Vec<u8>,
    scores: Vec<u8>,
}

/// One image of two pixels, asked and answered.
static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let params = Params::named(ParamSet::Bfv8192x45).unwrap();
    let secret = SecretKey::new(&params, &Secret::from_bytes(&[1; 32]));
    let keys = secret.evaluation_keys().unwrap();
    let asked = secret.encrypt(&[3, 4], PIXELS).unwrap();
    let chunk = asked.chunks(&secret, 1 << 20).unwrap().next().unwrap();
    let scores = release().ensemble().unwrap().evaluate(&keys, &asked).unwrap().to_bytes(&keys).unwrap();
    Client { key_bytes: keys.to_bytes().to_vec(), params, secret, keys, asked, chunk, scores }
});

static PROVIDER: LazyLock<(Provider, Memory)> = LazyLock::new(|| {
    let memory = Memory::new(1 << 30);
    (Provider::new(&release(), &memory, 1).unwrap(), memory)
});

static BATCH: LazyLock<ClientSession> = LazyLock::new(|| {
    let answer = PROVIDER.0.session().answer(&ClientSession::describe()).unwrap();
    ClientSession::new(&answer, &Secret::from_bytes(&[1; 32])).unwrap()
});

/// A folder with a release, its list and its only network.
static RELEASE: LazyLock<(TempDir, String, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("fuzz.toml");
    release().write(&list, Existing::Keep).unwrap();
    let [list, member] = [list, folder.path().join("fuzz-1.json")].map(|path| std::fs::read_to_string(path).unwrap());
    (folder, list, member)
});

/// For what is counted over all sessions, and for files.
static ALONE: Mutex<()> = Mutex::new(());

/// One network on two pixels.
pub fn release() -> Release {
    let shape = Shape { height: 1, width: 2, kernel: 1, stride: 1, padding: 0, maps: 1, hidden: 1, classes: 2 };
    let layer = |weights: &[i32], biases: &[i128]| IntegerLayer { weights: weights.into(), biases: biases.into() };
    let layers = [layer(&[2], &[1]), layer(&[1, -1], &[3]), layer(&[1, -2], &[0, 5])];
    let networks = vec![IntegerNetwork { shape, max_pixel: 15, layers, scale: 1.0 }];
    Release {
        set: ParamSet::Bfv8192x45,
        shape,
        scale: 1.0,
        classes: vec!["no".into(), "yes".into()],
        precision: Precision { max_pixel: 15, max_weight: [31; 3] },
        ranges: ranges(&networks, &[0, 15, 15, 0]).unwrap(),
        margin: 3,
        sources: vec!["fuzz".into()],
        networks,
    }
}
