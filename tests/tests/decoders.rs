//! The bodies of the fuzz targets on stable Rust: the committed corpus, and changes of it from a fixed seed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy exempts only the test functions themselves"
)]
#![allow(clippy::print_stdout, reason = "shown for the input that fails")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use cleave_secrets::{Contents, Cost, Protection, Secret, seal};
use cleave_tests::decoders::{TARGETS, release};
use cleave_wire::{ClientHello, Element, Head, Layout, ReplyHead, RequestHead, ServerHello, Status};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target)
}

/// The inputs of a target, in the order of their names.
fn inputs(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = fs::read_dir(corpus(target)).expect(target).map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn every_target_has_a_corpus_and_a_file() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    let list = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        assert!(!inputs(target).is_empty(), "{target}");
        assert!(list.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
        let body = fs::read_to_string(fuzz.join(format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(body.contains(&format!("decoders::{target}(data)")), "{target}");
    }
    let folders = fs::read_dir(fuzz.join("corpus")).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder of no target");
}

/// A body that takes nothing, or everything, looks at nothing.
#[test]
fn the_corpus_finds_nothing_and_reaches_both_ends() {
    for (target, body) in TARGETS {
        let taken = inputs(target).into_iter().map(|(path, data)| {
            println!("{}", path.display());
            body(&data)
        });
        let taken: Vec<_> = taken.collect();
        assert!(taken.contains(&true) && taken.contains(&false), "{target}: {taken:?}");
    }
}

/// Some seconds of it. A fuzzer that sees which branches are taken goes further.
#[test]
fn changes_of_the_corpus_find_nothing() {
    for (target, body) in TARGETS {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let seeds: Vec<_> = inputs(target).into_iter().map(|(_, data)| data).collect();
        let rounds = match target {
            "wire_frame" | "wire_tensor" => 50_000,
            "key_file" => 5_000,
            "release_file" => 1_500,
            "training_pieces" => 100,
            _ => 200,
        };
        for round in 0..rounds {
            let data = change(&mut rng, &seeds);
            println!("{target}, round {round}: {data:02x?}");
            let _ = body(&data);
        }
    }
}

/// Flips, sets, cuts, doubles and joins what is there.
fn change(rng: &mut ChaCha8Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    const NUMBERS: [u8; 8] = [0, 1, 2, 127, 128, 254, 255, b'-'];
    let pick = |rng: &mut ChaCha8Rng| seeds[rng.random_range(0..seeds.len())].clone();
    let mut data = pick(rng);
    for _ in 0..rng.random_range(1..5) {
        let place = rng.random_range(0..=data.len());
        match rng.random_range(0..6) {
            0 if place < data.len() => data[place] ^= 1 << rng.random_range(0..8),
            1 if place < data.len() => data[place] = NUMBERS[rng.random_range(0..NUMBERS.len())],
            2 => data.truncate(place),
            3 => data.insert(place, rng.random()),
            4 => {
                let end = rng.random_range(place..=data.len());
                data.extend_from_within(place..end);
            }
            _ => {
                let other = pick(rng);
                data.truncate(place);
                data.extend(&other[rng.random_range(0..=other.len())..]);
            }
        }
    }
    data.truncate(1 << 14);
    data
}

#[test]
#[ignore = "writes the corpus that comes with the repository"]
fn write_the_corpus() {
    for (target, files) in [
        ("wire_frame", frames()),
        ("wire_tensor", tensors()),
        ("evaluation_keys", recipes()),
        ("image_chunks", recipes()),
        ("scores", recipes()),
        ("ckks_ciphertext", recipes()),
        ("ckks_keys", recipes()),
        ("training_pieces", [recipes(), of_training()].concat()),
        ("training_request", training_requests()),
        ("training_answer", training_answers()),
        ("service_request", requests()),
        ("service_answer", answers()),
        ("release_file", releases()),
        ("key_file", key_files()),
    ] {
        fs::create_dir_all(corpus(target)).unwrap();
        for (name, data) in files {
            fs::write(corpus(target).join(name), data).unwrap();
        }
    }
}

type Files = Vec<(&'static str, Vec<u8>)>;

fn frames() -> Files {
    let (item_shape, output_shape) = (vec![2, 3], vec![2]);
    let hello = ServerHello {
        version: 1,
        model: "cats".into(),
        pair_hash: [7; 32],
        element: Element::U8,
        item_shape,
        output_shape,
        max_batch: 64,
        item_bytes: 14,
        notice: Some("released for tests".into()),
    };
    let bytes =
        ServerHello { element: Element::Bytes, item_shape: vec![9], max_batch: 1, item_bytes: 9, ..hello.clone() };
    let client = ClientHello {
        version_min: 1,
        version_max: 1,
        model: "cats".into(),
        expected_pair_hash: Some([7; 32]),
        element: Element::F16,
    };
    let reply =
        |status, batch| ReplyHead { id: 9, status, batch, retry_after_ms: Some(20), message: Some("later".into()) };
    let frame = |head: Head, payload: &[u8]| [&[1], &head.to_bytes(payload).unwrap()[..], payload].concat();
    vec![
        ("client-hello", frame(Head::ClientHello(client), &[])),
        ("server-hello", frame(Head::ServerHello(hello), &[])),
        ("server-hello-bytes", frame(Head::ServerHello(bytes), &[])),
        ("request", frame(Head::Request(RequestHead { id: 1, batch: 2, element: Element::F32 }), &[1; 24])),
        ("request-bytes", frame(Head::Request(RequestHead { id: 1, batch: 1, element: Element::Bytes }), &[255; 5])),
        ("reply", frame(Head::Reply(reply(Status::Ok, 1)), &[0; 8])),
        ("reply-busy", frame(Head::Reply(reply(Status::Busy, 0)), &[])),
        ("http", b"\0GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ]
}

fn tensors() -> Files {
    let values: Vec<f32> = (0..6).map(|x| x as f32 - 2.5).collect();
    let tensor = |element: Element, code: u8| {
        [&[3, 0, 2, code], &Layout::new(3, 2, element).unwrap().encode(&values).unwrap()[..]].concat()
    };
    vec![
        ("f32", tensor(Element::F32, 0)),
        ("f16", tensor(Element::F16, 1)),
        ("u8", tensor(Element::U8, 2)),
        ("bytes", vec![3, 0, 1, 3, 9, 9, 9]),
        ("nan", [&[1, 0, 1, 0], &f32::NAN.to_le_bytes()[..]].concat()),
        ("scale", [&[1, 0, 1, 2], &f32::MAX.to_le_bytes()[..], &f32::MAX.to_le_bytes(), &[255]].concat()),
    ]
}

fn recipes() -> Files {
    vec![
        ("as-it-was", vec![1, 3, 0, 0, 0]),
        ("magic", vec![0, 0, 0, 0, b'X']),
        ("version", vec![1, 0, 8, 0, 2]),
        ("kind", vec![1, 0, 10, 0, 9]),
        ("parameters", vec![1, 0, 20, 0, 9]),
        ("key", vec![1, 0, 50, 0, 9]),
        ("length", vec![0, 0, 67, 0, 255]),
        ("seed", vec![1, 0, 80, 0, 9]),
        ("images", vec![1, 0, 100, 0, 0, 0, 101, 0, 255]),
        ("items", vec![1, 0, 104, 0, 3]),
        ("lane", vec![1, 0, 108, 0, 1]),
        ("first", vec![1, 0, 112, 0, 1]),
        ("count", vec![1, 0, 116, 0, 255, 0, 119, 0, 255]),
        (
            "residue",
            vec![
                1, 0, 126, 0, 255, 0, 125, 0, 255, 0, 124, 0, 255, 0, 123, 0, 255, 0, 122, 0, 255, 0, 121, 0, 255, 0,
                120, 0, 255, 0, 127, 0, 255,
            ],
        ),
        ("middle", vec![1, 1, 9, 4, 255]),
        ("damage", vec![0, 1, 9, 4, 255]),
        ("cut", vec![1, 2, 100, 0, 0]),
        ("cut-to-the-head", vec![0, 2, 255, 255, 0, 2, 255, 255, 0, 2, 255, 255, 0, 2, 255, 255, 0]),
        ("longer", vec![1, 3, 100, 0, 7]),
    ]
}

/// Of data and of weights; the others are of an answer.
fn of_training() -> Files {
    vec![
        ("data", vec![3, 3, 0, 0, 0]),
        ("data-of-another-place", vec![3, 0, 107, 0, 2]),
        ("data-at-another-scale", vec![3, 0, 115, 0, 66]),
        ("data-at-another-level", vec![3, 0, 116, 0, 7]),
        ("data-damage", vec![2, 1, 9, 4, 255]),
        ("weights", vec![5, 3, 0, 0, 0]),
        ("weights-of-another-iteration", vec![5, 0, 104, 0, 1]),
        ("weights-that-are-not-fresh", vec![5, 0, 120, 0, 0]),
        ("weights-cut", vec![5, 2, 100, 0, 0]),
    ]
}

fn messages(first: u8, messages: &[&[u8]]) -> Vec<u8> {
    let pieces = messages.iter().flat_map(|message| [&(message.len() as u16).to_le_bytes()[..], message].concat());
    std::iter::once(first).chain(pieces).collect()
}

/// With numbers of samples, features, classes, iterations and iterations of a round.
fn begin([samples, features, classes, iterations, each]: [u32; 5]) -> Vec<u8> {
    use cleave_encrypted::{ckks, service::jobs, training};
    let [samples, features, classes] = [samples, features, classes].map(|count| count as usize);
    let plan = jobs::Plan {
        params: ckks::Params::named(ckks::ParamSet::Ckks16384x8).unwrap().hash(),
        shape: training::Shape { samples, features, classes },
        cubic: training::Cubic::PAPER,
        iterations,
        each,
    };
    jobs::Request::Begin { job: jobs::JobId([9; 32]), plan }.to_bytes()
}

fn training_requests() -> Files {
    let right = begin([2, 2, 2, 2, 2]);
    let data = [&[5], &[1; 32][..]].concat();
    let weights = [&[7], &[1; 32][..], &[0; 4]].concat();
    let mut strange = right.clone();
    strange[40] ^= 1;
    let mut endless = right.clone();
    endless[85..93].copy_from_slice(&f64::INFINITY.to_le_bytes());
    vec![
        ("describe", messages(0, &[&[1]])),
        ("begin", messages(0, &[&right, &right, &[10], &[12], &[12]])),
        ("begin-many", messages(0, &[&begin([u32::MAX; 5])])),
        ("begin-none", messages(0, &[&begin([0; 5])])),
        ("begin-large", messages(0, &[&begin([4096, 4096, 10, 2, 2])])),
        ("begin-long-rounds", messages(0, &[&begin([2, 2, 2, 9, 9])])),
        ("begin-with-other-parameters", messages(0, &[&strange])),
        ("begin-with-an-endless-cubic", messages(0, &[&endless])),
        ("keys", messages(1, &[&[3], &[4, 1, 2, 3], &[4], &[3]])),
        ("out-of-order", messages(1, &[&data, &[6, 1], &weights, &[8], &[9], &[10], &[11, 0, 0, 0, 0]])),
        ("without-a-job", messages(0, &[&[3], &[9], &[10], &[12]])),
        ("unknown", messages(0, &[&[0], &[], &[13], &[1, 1]])),
    ]
}

fn training_answers() -> Files {
    use cleave_encrypted::service::jobs::{Answer, Phase, Provider, Status};
    let memory = cleave_encrypted::service::Memory::new(1 << 30);
    let sets = cleave_encrypted::ckks::ParamSet::ALL;
    let provider = Provider::new(&sets, &memory, 1, std::time::Duration::from_secs(900)).unwrap();
    let empty = Status {
        iterations: 0,
        keys: (0, 0),
        data: (0, 0),
        weights: (0, 0),
        data_batch: [0; 32],
        weights_batch: [0; 32],
        phase: Phase::Collecting,
    };
    // Of a job on two samples with two features and two classes, as a provider of it would say.
    let mut session = provider.session(None);
    let begun = session.answer(&begin([2, 2, 2, 2, 2])).unwrap();
    let Answer::Status(begun_status) = Answer::from_bytes(&begun).unwrap() else { panic!("{begun:?}") };
    let all = begun_status.keys.1;
    let status = |status: Status| Answer::Status(status).to_bytes().unwrap();
    let keyed = Status { keys: (all, all), ..empty };
    let full = Status { data: (3, 3), weights: (2, 2), data_batch: [1; 32], weights_batch: [2; 32], ..keyed };
    let mut phase = status(full);
    phase[93] = 9;
    vec![
        ("terms", session.answer(&[1]).unwrap()),
        ("begun", begun),
        ("nothing", status(empty)),
        ("keyed", status(keyed)),
        ("more-than-all", status(Status { keys: (all, all), data: (3, 3), ..begun_status })),
        ("waiting", status(Status { phase: Phase::Waiting { ahead: 3 }, ..full })),
        ("training", status(Status { phase: Phase::Training { share: 1 << 15, elapsed: 900 }, ..full })),
        ("trained", status(Status { phase: Phase::Trained { pieces: 2 }, ..full })),
        ("another-phase", phase),
        ("piece", vec![3, 0, 0, 0, 0, 1, 2, 3]),
        ("forgotten", vec![4]),
        ("forgotten-and-more", vec![4, 0]),
        ("unknown", vec![0]),
    ]
}

fn requests() -> Files {
    let begin = [&[3], &[9; 32][..], &[1, 0, 0, 0]].concat();
    let many = [&[3], &[9; 32][..], &[255; 4]].concat();
    vec![
        ("describe", messages(0, &[&[1]])),
        ("keys-cut-short", messages(0, &[&[2, 1, 2, 3], &[2]])),
        ("begin", messages(1, &[&begin, &[4, 1, 2], &[5], &[8], &begin])),
        ("begin-without-keys", messages(0, &[&begin])),
        ("too-many-images", messages(1, &[&many])),
        ("out-of-order", messages(1, &[&[5], &[6], &[7, 0, 0, 0, 0], &[8], &[4]])),
        ("unknown", messages(0, &[&[0], &[], &[9], &[1, 1]])),
    ]
}

fn answers() -> Files {
    let memory = cleave_encrypted::service::Memory::new(1 << 30);
    let provider = cleave_encrypted::service::Provider::new(&release(), &memory, 1).unwrap();
    let description = provider.session().answer(&[1]).unwrap();
    vec![
        ("description", description),
        ("accepted", vec![2]),
        ("received", vec![3, 0, 0, 0, 0, 2, 0, 0, 0]),
        ("waiting", vec![4, 1, 0, 0, 0]),
        ("running", vec![5, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]),
        ("ready", vec![6, 255, 255, 255, 255]),
        ("ready-cut-short", vec![6, 255]),
        ("stage", vec![5, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]),
        ("unknown", vec![0]),
        ("piece", vec![7, 0, 0, 0, 0, 1, 2, 3]),
    ]
}

fn releases() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("fuzz.toml");
    release().write(&list, cleave_secrets::Existing::Keep).unwrap();
    let [list, member] = [list, folder.path().join("fuzz-1.json")].map(|path| fs::read_to_string(path).unwrap());
    let list_of = |text: String| [&[0], text.as_bytes()].concat();
    vec![
        ("list", list_of(list.clone())),
        ("list-of-elsewhere", list_of(list.replace("fuzz-1.json", "../fuzz-1.json"))),
        ("list-of-later", list_of(list.replace("format = 1", "format = 2"))),
        ("list-of-others", list_of(list.replace("bfv-8192-45", "bfv-1-1"))),
        ("network", [&[1], member.as_bytes()].concat()),
        ("network-too-large", [&[1], member.replace("\"hidden\":1", "\"hidden\":16384").as_bytes()].concat()),
        (
            "network-overflow",
            [&[1], member.replace("\"height\":1", "\"height\":18446744073709551615").as_bytes()].concat(),
        ),
    ]
}

fn key_files() -> Files {
    let contents = Contents::from(&Secret::from_bytes(&[5; 32]));
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let sealed = seal(&contents, "fuzz", Protection::Passphrase { passphrase: "passphrase", cost }).unwrap();
    let clear = seal(&contents, "fuzz", Protection::ClearText).unwrap();
    vec![("sealed", sealed.to_vec()), ("clear", clear.to_vec()), ("half", sealed[..sealed.len() / 2].to_vec())]
}
