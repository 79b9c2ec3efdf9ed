//! Verdicts on whole front halves, and how they read.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use cleave_leakage::{
    Activation, ConvShape, Effort, Finding, FrontLayer, Injectivity, LeakageError, LinearShape, Op, Pool, Rank, Report,
    Stage, Verdict, Zeros, check,
};

const POOL: Pool = Pool { window: [3; 2], stride: [2; 2], padding: [0; 2] };

fn noise(count: usize) -> Vec<f32> {
    let mut state = 7u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// The paper's first layer with its signal channel: 64 kernels on 224 × 224 × (3 + 1).
fn conv1() -> FrontLayer {
    let shape = ConvShape::new([11; 2], [4; 2], [2; 2], [4, 64], [224; 2]).with_known_channels(1);
    FrontLayer::new("conv1", Op::Conv(shape))
        .with_activation(Activation::Relu)
        .with_pool(POOL)
        .with_weights(noise(64 * 4 * 121))
}

fn conv2(kernels: usize) -> FrontLayer {
    let shape = ConvShape::new([5; 2], [1; 2], [2; 2], [64, kernels], [27; 2]);
    FrontLayer::new("conv2", Op::Conv(shape)).with_activation(Activation::Relu).with_pool(POOL)
}

fn small(name: &str, channels: [usize; 2], side: usize) -> FrontLayer {
    let shape = ConvShape::new([3; 2], [1; 2], [1; 2], channels, [side; 2]);
    FrontLayer::new(name, Op::Conv(shape)).with_activation(Activation::Relu)
}

fn quick() -> Effort {
    Effort { frequencies: 20, ..Effort::default() }
}

fn findings(verdict: &Verdict) -> Vec<(Option<&str>, Finding)> {
    match verdict {
        Verdict::Leaks { by } => by.iter().map(|reason| (reason.layer.as_deref(), reason.finding)).collect(),
        Verdict::Passes => Vec::new(),
    }
}

#[test]
fn the_papers_choice_passes_its_own_count_and_leaks_by_all_others() {
    let report = check(&[conv1()], Stage::Linear, &quick()).unwrap();
    let paper = &report.layers[0].counts[0];
    assert_eq!((paper.equations, paper.unknowns, paper.leaks), (1_600.0, 2_187, false));
    let expected =
        [Finding::Window, Finding::EdgeWindow, Finding::WholeImage, Finding::Rank].map(|f| (Some("conv1"), f));
    assert_eq!(findings(&report.verdict), expected);
    let Rank::Evaluated(spectrum) = &report.layers[0].rank else { unreachable!() };
    assert_eq!((spectrum.min_rank, spectrum.unknowns), (48, 48));
    assert!(matches!(spectrum.injectivity, Injectivity::Injective { .. }));
}

#[test]
fn behind_the_relu_unmeasured_zeros_count_as_none() {
    let report = check(&[conv1()], Stage::Activation, &quick()).unwrap();
    assert_eq!(report.layers[0].zeros, Zeros::NotMeasured);
    assert!(findings(&report.verdict).contains(&(Some("conv1"), Finding::Rank)));
    assert!(report.to_string().contains("counted as if none were zero"));
}

#[test]
fn behind_the_relu_the_rank_decides_only_with_enough_values_left() {
    // 48 of 64 values a position have to stay: a share of zeros of one quarter.
    for (share, leaks) in [(0.25, true), (0.26, false)] {
        let layer = conv1().with_zero_share(share);
        let report = check(&[layer], Stage::Activation, &quick()).unwrap();
        assert_eq!(report.layers[0].zeros, Zeros::Measured(share));
        let by_rank = findings(&report.verdict).contains(&(Some("conv1"), Finding::Rank));
        assert_eq!(by_rank, leaks, "{share}");
    }
    let half = check(&[conv1().with_zero_share(0.5)], Stage::Activation, &quick()).unwrap();
    assert_eq!(half.verdict, Verdict::Passes);
    assert!(half.to_string().contains("injective, but for zeros"));
}

#[test]
fn a_layer_that_loses_only_the_mean_still_leaks() {
    // 36 equations for 64 unknowns; the kernel's weights sum to zero, so one frequency is lost.
    let shape = ConvShape::new([3; 2], [1; 2], [0; 2], [1, 1], [8; 2]);
    let laplacian = vec![0.0, 1.0, 0.0, 1.0, -4.0, 1.0, 0.0, 1.0, 0.0];
    let layer = FrontLayer::new("edges", Op::Conv(shape)).with_weights(laplacian);
    let report = check(&[layer], Stage::Linear, &quick()).unwrap();
    let Rank::Evaluated(spectrum) = &report.layers[0].rank else { unreachable!() };
    assert_eq!((spectrum.min_rank, spectrum.generic_rank), (0, 1));
    assert_eq!(spectrum.injectivity, Injectivity::Hidden { dimension: 1 });
    assert_eq!(findings(&report.verdict), [(Some("edges"), Finding::Rank)]);
}

#[test]
fn the_pooled_first_layer_passes_the_counts() {
    let report = check(&[conv1()], Stage::Pooled, &quick()).unwrap();
    assert_eq!(report.verdict, Verdict::Passes);
    assert_eq!(report.layers[0].rank, Rank::Pooled);
    let whole = report.layers[0].counts.last().unwrap();
    assert_eq!((whole.equations, whole.unknowns), (46_656.0, 150_528));
}

#[test]
fn a_wide_layer_cannot_undo_a_narrow_one_before_it() {
    // 27² · 256 = 186,624 values are more than the image has, but they came through 46,656.
    let report = check(&[conv1(), conv2(256)], Stage::Activation, &quick()).unwrap();
    assert!(report.layers[1].verdict.leaks());
    assert_eq!(report.verdict, Verdict::Passes);
    let chain = report.chain.unwrap();
    assert_eq!((chain.equations, chain.unknowns, chain.leaks), (46_656.0, 150_528, false));
}

#[test]
fn a_chain_leaks_when_every_layer_is_undone() {
    let front = [small("a", [3, 12], 8), small("b", [12, 20], 8)];
    let report = check(&front, Stage::Linear, &quick()).unwrap();
    let found = findings(&report.verdict);
    for expected in [(Some("a"), Finding::WholeImage), (Some("b"), Finding::WholeImage), (None, Finding::Chain)] {
        assert!(found.contains(&expected), "{found:?}");
    }
}

#[test]
fn a_chain_leaks_when_its_narrowest_point_has_enough_values() {
    // Layer b passes on its own, 6 kernels on 12 channels, and still sends 6 values for each 3 unknowns of the image.
    let front = [small("a", [3, 12], 8), small("b", [12, 6], 8)];
    let report = check(&front, Stage::Linear, &quick()).unwrap();
    assert!(!report.layers[1].verdict.leaks());
    assert_eq!(findings(&report.verdict), [(None, Finding::Chain)]);
}

#[test]
fn an_early_layer_runs_to_its_end_whatever_the_stage() {
    let report = check(&[conv1(), conv2(192)], Stage::Linear, &quick()).unwrap();
    let stages: Vec<_> = report.layers.iter().map(|layer| layer.stage).collect();
    assert_eq!(stages, [Stage::Pooled, Stage::Linear]);
}

#[test]
fn a_fully_connected_layer_takes_the_flattened_map_and_known_features() {
    let shape = LinearShape { in_features: 12 * 64 + 5, out_features: 10, known_features: 5 };
    let front = [small("conv", [3, 12], 8), FrontLayer::new("fc", Op::Linear(shape))];
    let report = check(&front, Stage::Linear, &quick()).unwrap();
    assert_eq!(report.layers[1].counts.len(), 1);
    assert_eq!(report.verdict, Verdict::Passes);
}

#[test]
fn refuse_layers_that_do_not_join() {
    let refused = check(&[small("a", [3, 12], 8), small("b", [11, 6], 8)], Stage::Linear, &quick());
    let expected = LeakageError::ChainMismatch { layer: "b".into(), expected: [11, 8, 8], got: [12, 8, 8] };
    assert_eq!(refused.unwrap_err(), expected);
    assert_eq!(check(&[], Stage::Linear, &quick()).unwrap_err(), LeakageError::EmptyFront);
}

fn refused(layer: FrontLayer) -> LeakageError {
    check(&[layer], Stage::Pooled, &quick()).unwrap_err()
}

#[test]
fn refuse_shapes_that_cannot_be_counted() {
    let good = ConvShape::new([3; 2], [1; 2], [1; 2], [3, 4], [8; 2]);
    let conv = |shape| FrontLayer::new("conv", Op::Conv(shape));
    assert!(matches!(refused(conv(ConvShape { groups: 2, ..good })), LeakageError::Groups { got: 2, .. }));
    let cases = [
        ("stride", ConvShape { stride: [1, 0], ..good }),
        ("kernel side", ConvShape { kernel: [11, 3], ..good }),
        ("known channels", ConvShape { known_channels: 3, ..good }),
        ("input channels", ConvShape { in_channels: 0, ..good }),
        ("output channels", ConvShape { out_channels: usize::MAX, ..good }),
        ("padding", ConvShape { padding: [usize::MAX; 2], ..good }),
        ("input side", ConvShape { input: [0, 8], ..good }),
    ];
    for (field, shape) in cases {
        assert!(matches!(refused(conv(shape)), LeakageError::Extent { what, .. } if what == field), "{field}");
    }
    let wide = Pool { window: [9; 2], ..POOL };
    let refused_pool = refused(conv(good).with_pool(wide));
    assert!(matches!(refused_pool, LeakageError::Extent { what: "pool window", got: 9, max: 8, .. }));
    let shape = LinearShape { in_features: 4, out_features: 4, known_features: 0 };
    let pooled = refused(FrontLayer::new("fc", Op::Linear(shape)).with_pool(POOL));
    assert!(matches!(pooled, LeakageError::PoolAfterLinear { .. }));
}

#[test]
fn refuse_shares_and_tolerances_that_are_none() {
    for share in [-0.1, 1.1, f64::NAN] {
        let layer = small("a", [3, 4], 8).with_zero_share(share);
        assert!(matches!(refused(layer), LeakageError::ZeroShare { .. }));
    }
    for tolerance in [f64::NAN, -1.0, 0.0, 1.0] {
        let effort = Effort { tolerance, ..quick() };
        let layer = small("a", [3, 4], 8).with_weights(noise(108));
        let refused = check(&[layer], Stage::Linear, &effort).unwrap_err();
        assert!(matches!(refused, LeakageError::Tolerance { .. }));
    }
}

#[test]
fn the_largest_shapes_accepted_are_counted_without_overflow() {
    let side = cleave_leakage::MAX_EXTENT;
    let channels = cleave_leakage::MAX_CHANNELS;
    for kernel in [1, side] {
        let shape = ConvShape::new([kernel; 2], [1; 2], [side; 2], [channels; 2], [side; 2]);
        let report = check(&[FrontLayer::new("huge", Op::Conv(shape))], Stage::Linear, &quick());
        assert!(report.unwrap().layers[0].counts.iter().all(|count| count.equations > 0.0));
    }
}

#[test]
fn a_report_survives_json() {
    let report = check(&[conv1(), conv2(192)], Stage::Activation, &quick()).unwrap();
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
}

#[test]
fn a_report_reads_as_an_aligned_table_and_ends_with_the_caution() {
    let report = check(&[conv1(), conv2(256)], Stage::Activation, &quick()).unwrap();
    let text = report.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("layer  stage"));
    let result = lines[0].find("result").unwrap();
    for line in &lines[1..9] {
        assert!(matches!(&line[result..], "passes" | "leaks"), "{line}");
    }
    assert_eq!(lines[0].find("count"), lines[9].find("narrowest point"));
    assert!(lines[lines.len() - 1].starts_with("Counting is neither necessary nor sufficient"));
}
