//! What the wire costs: a batch over loopback QUIC against the same two halves called one after the other.
//!
//! `cargo bench -p cleave-tests` prints, for each element type, the medians of both and their ratio. The two take
//! turns in one run, so that a machine that slows down slows both.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people at a terminal")]

use cleave_data::Preparation;
use cleave_nets::{
    AlexNet, Checkpoint, Device, Header, ModelCard, Network, Role, SignalForm, SignalKind, SignalSpec, Training, device,
};
use cleave_partition::{BackHalf, Cut, FrontHalf, Offer, SmashedData, release};
use cleave_transport::{
    Authority, Client, ClientConfig, ClientTls, Reply, Request, Server, ServerConfig, ServerTls, Service, ServiceError,
    ServiceInfo,
};
use cleave_wire::Element;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Images a request.
const BATCH: usize = 16;
/// Height and width of an image in pixels.
const SIDE: usize = 112;
/// Measurements of each way.
const ROUNDS: usize = 30;
/// Rounds before the first measurement.
const WARM_UP: usize = 3;

struct Back(BackHalf);

impl Service for Back {
    fn info(&self) -> ServiceInfo {
        let terms = &self.0.manifest().terms;
        ServiceInfo {
            pair_hash: terms.pair_hash().unwrap(),
            item_shape: terms.smashed.dims().map(|extent| extent as u32).to_vec(),
            output_shape: vec![terms.outputs as u32],
            max_batch: BATCH as u16,
            elements: Element::NUMBERS.to_vec(),
            notice: None,
        }
    }

    fn answer(&self, Request { values, batch, .. }: Request) -> Result<Reply, ServiceError> {
        let failed = |error: cleave_partition::Error| ServiceError::Failed { message: error.to_string() };
        let data = SmashedData::new(values, self.0.manifest().terms.smashed, batch).map_err(failed)?;
        Ok(Reply { values: self.0.answer(data).map_err(failed)? })
    }
}

/// The paper's network, untrained, with the signal at layer 2, cut behind it.
fn halves(folder: &Path, device: &Device) -> (std::path::PathBuf, std::path::PathBuf) {
    let plain = AlexNet { size: SIDE, ..AlexNet::default() }.architecture().unwrap();
    let spec = SignalSpec { form: SignalForm::Plane, ..SignalSpec::new(SignalKind::Complement, 2) };
    let network = Network::random(plain.with_join(2, spec).unwrap(), 1, device).unwrap();
    let card = ModelCard {
        header: Header::of(Role::Whole),
        architecture: network.architecture().clone(),
        classes: vec!["a".to_owned(), "b".to_owned()],
        preparation: Preparation::new(SIDE, SIDE, 3),
        training: Training::default(),
        defences: Vec::new(),
        confused: None,
    };
    let model = Checkpoint { card, network, glyphs: None };
    let accept = Some("a benchmark, not released");
    let pair = release(&Offer { accept, ..Offer::new(&model, Cut::after(2), "bench") }).unwrap();
    let (front, back) = (folder.join("front"), folder.join("back"));
    pair.write(&front, &back, false).unwrap();
    (front, back)
}

fn median(mut milliseconds: Vec<f64>) -> f64 {
    milliseconds.sort_by(f64::total_cmp);
    milliseconds[milliseconds.len() / 2]
}

fn main() {
    let device = device("flex").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (front, back) = halves(folder.path(), &device);
    let (front, local) = (FrontHalf::load(&front, &device).unwrap(), BackHalf::load(&back, &device).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let authority = Authority::make(1).unwrap();
    let identity = authority.issue_server(&["localhost".to_owned()], 1).unwrap();
    let service: Arc<dyn Service> = Arc::new(Back(BackHalf::load(&back, &device).unwrap()));
    let tls = ServerTls::new(identity, authority.trust());
    let services = vec![("bench".to_owned(), service)];
    let bind = async { Server::bind("127.0.0.1:0".parse().unwrap(), tls, services, ServerConfig::default()).unwrap() };
    let server = runtime.block_on(bind);
    let address = server.local_addr().unwrap();
    runtime.spawn(server.run(std::future::pending()));

    let smashed = front.manifest().terms.smashed;
    println!("AlexNet at {SIDE} pixels, batch {BATCH}, cut after layer 2 ({smashed} an image), {ROUNDS} rounds");
    println!("{:8} {:>14} {:>14} {:>7}", "element", "in process ms", "over QUIC ms", "ratio");
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let images: Vec<f32> = (0..BATCH * 3 * SIDE * SIDE).map(|index| (index as f32 * 0.7).sin()).collect();
    for element in Element::NUMBERS {
        let tls = ClientTls::new(authority.issue_client("bench", 1).unwrap(), authority.trust());
        let config = ClientConfig { element, ..ClientConfig::default() };
        let client = runtime.block_on(Client::connect(address, "localhost", tls, "bench", config)).unwrap();
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for round in 0..WARM_UP + ROUNDS {
            let signals = front.draw(BATCH, &mut rng);
            let began = Instant::now();
            let data = front.smash(images.clone(), &signals, &mut rng).unwrap();
            let _ = local.answer(data).unwrap();
            let middle = Instant::now();
            let data = front.smash(images.clone(), &signals, &mut rng).unwrap();
            let _ = runtime.block_on(client.call(data.values(), BATCH)).unwrap();
            let end = Instant::now();
            if round >= WARM_UP {
                near.push((middle - began).as_secs_f64() * 1000.0);
                far.push((end - middle).as_secs_f64() * 1000.0);
            }
        }
        let (near, far) = (median(near), median(far));
        println!("{:8} {near:14.1} {far:14.1} {:7.3}", format!("{element:?}"), far / near);
        runtime.block_on(client.close());
    }
}
