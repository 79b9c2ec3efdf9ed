//! The counts of the paper, and those it does not make.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use cleave_leakage::{
    Activation, ConvShape, Count, Finding, FrontLayer, LeakageError, Op, Pool, Stage, largest_passing_kernels,
    paper_count, window_counts,
};

fn conv1(kernels: usize, padding: usize) -> FrontLayer {
    let shape = ConvShape::new([11; 2], [4; 2], [padding; 2], [3, kernels], [224; 2]);
    FrontLayer::new("conv1", Op::Conv(shape)).with_activation(Activation::Relu).with_pool(Pool {
        window: [3; 2],
        stride: [2; 2],
        padding: [0; 2],
    })
}

fn numbers(count: &Count) -> (f64, u64, bool) {
    (count.equations, count.unknowns, count.leaks)
}

fn counts(layer: FrontLayer, stage: Stage) -> Vec<Count> {
    let report = cleave_leakage::check(&[layer], stage, &Default::default()).unwrap();
    report.layers.into_iter().flat_map(|layer| layer.counts).collect()
}

fn find(counts: &[Count], finding: Finding) -> &Count {
    counts.iter().find(|count| count.finding == finding).unwrap()
}

#[test]
fn equation_9_gives_the_figures_the_paper_prints() {
    let original = paper_count([11; 2], [4; 2], 3, 96).unwrap();
    assert_eq!(numbers(&original), (2_400.0, 2_187, true));
    let adjusted = paper_count([11; 2], [4; 2], 3, 64).unwrap();
    assert_eq!(numbers(&adjusted), (1_600.0, 2_187, false));
    assert_eq!(adjusted.positions, [5, 5]);
}

#[test]
fn largest_passing_kernels_is_the_last_that_does_not_leak() {
    let largest = largest_passing_kernels([11; 2], [4; 2], 3).unwrap();
    assert_eq!(largest, 87);
    for (kernels, leaks) in [(87, false), (88, true)] {
        assert_eq!(paper_count([11; 2], [4; 2], 3, kernels).unwrap().leaks, leaks);
    }
}

#[test]
fn rectangles_are_counted_an_axis_at_a_time() {
    // Heights as above: 5 positions, 27 pixels. Widths: ⌈6/2⌉ − 1 = 2 positions, 3 − 2 + 2·2 = 5 pixels.
    let count = paper_count([11, 3], [4, 2], 2, 7).unwrap();
    assert_eq!(count.positions, [5, 2]);
    assert_eq!(numbers(&count), (70.0, 270, false));
}

#[test]
fn strides_beyond_the_kernel_leave_gaps_uncounted() {
    let count = paper_count([1; 2], [4; 2], 3, 3).unwrap();
    assert_eq!((count.positions, numbers(&count)), ([1, 1], (3.0, 3, true)));
}

#[test]
fn paper_count_refuses_a_stride_of_zero() {
    let refused = paper_count([3; 2], [0, 1], 3, 3).unwrap_err();
    assert!(matches!(refused, LeakageError::Extent { what: "stride", got: 0, min: 1, .. }));
}

#[test]
fn without_padding_64_kernels_turn_at_windows_of_12() {
    let windows = window_counts(&conv1(64, 0), Stage::Linear).unwrap();
    assert_eq!(windows.len(), 54);
    let turn = windows.iter().position(|window| window.open.leaks).unwrap();
    assert_eq!(windows[turn].open.positions, [12, 12]);
    assert_eq!(numbers(&windows[turn - 1].open), (7_744.0, 7_803, false));
    assert_eq!(numbers(&windows[turn].open), (9_216.0, 9_075, true));
    assert_eq!(numbers(&windows[turn + 1].open), (10_816.0, 10_443, true));
    let all = counts(conv1(64, 0), Stage::Linear);
    assert_eq!(numbers(find(&all, Finding::Window)), (9_216.0, 9_075, true));
    assert_eq!(numbers(find(&all, Finding::WholeImage)), (186_624.0, 149_187, true));
    assert!(all.iter().all(|count| count.finding != Finding::EdgeWindow));
}

#[test]
fn padding_leaves_fewer_unknowns_at_the_border() {
    let windows = window_counts(&conv1(64, 2), Stage::Linear).unwrap();
    // The first kernel sees 9 × 9 real pixels; all 55 together the whole image.
    assert_eq!((windows[0].edge.unknowns, windows[0].open.unknowns), (243, 363));
    assert_eq!(windows[54].edge.unknowns, 150_528);
    let turn = windows.iter().position(|window| window.edge.leaks).unwrap();
    // 64 p² ≥ (4p + 5)² · 3 first at p = 9: 5,184 against 5,043.
    assert_eq!(numbers(&windows[turn].edge), (5_184.0, 5_043, true));
    let all = counts(conv1(64, 2), Stage::Linear);
    assert_eq!(numbers(find(&all, Finding::WholeImage)), (193_600.0, 150_528, true));
    assert_eq!(numbers(find(&all, Finding::EdgeWindow)), (5_184.0, 5_043, true));
}

#[test]
fn windows_of_every_size_pass_up_to_as_many_kernels_as_there_are_phases() {
    for (kernels, leaks) in [(48, false), (49, true)] {
        let shape = ConvShape::new([11; 2], [4; 2], [0; 2], [3, kernels], [16_384; 2]);
        let layer = FrontLayer::new("conv1", Op::Conv(shape));
        let windows = window_counts(&layer, Stage::Linear).unwrap();
        assert_eq!(windows.iter().any(|window| window.open.leaks), leaks, "{kernels} kernels");
        let report = cleave_leakage::check(&[layer], Stage::Linear, &Default::default()).unwrap();
        assert_eq!(report.layers[0].largest_by_windows, Some(48));
    }
}

#[test]
fn kernels_that_do_not_overlap_reach_the_bound_and_may_not() {
    for (kernels, leaks) in [(11, false), (12, true)] {
        let shape = ConvShape::new([2; 2], [3; 2], [0; 2], [3, kernels], [20; 2]);
        let report =
            cleave_leakage::check(&[FrontLayer::new("conv", Op::Conv(shape))], Stage::Linear, &Default::default());
        let report = report.unwrap();
        assert_eq!(report.layers[0].largest_by_windows, Some(11));
        assert_eq!(report.verdict.leaks(), leaks, "{kernels} kernels");
    }
}

#[test]
fn pooled_values_see_the_windows_of_all_values_they_choose_from() {
    let all = counts(conv1(64, 2), Stage::Pooled);
    // Window 11 + 2·4 = 19, stride 8: ⌈38/8⌉ − 1 = 4 positions, 19 − 8 + 4·8 = 43 pixels.
    let paper = find(&all, Finding::PaperWindow);
    assert_eq!((paper.positions, numbers(paper)), ([4, 4], (1_024.0, 5_547, false)));
    assert_eq!(numbers(find(&all, Finding::WholeImage)), (46_656.0, 150_528, false));
    assert!(all.iter().all(|count| !count.leaks));
}

#[test]
fn zeros_are_left_out_of_the_equations_only_behind_a_relu() {
    let whole = |stage, activation| {
        let layer = conv1(64, 2).with_activation(activation).with_zero_share(0.25);
        find(&counts(layer, stage), Finding::WholeImage).equations
    };
    assert_eq!(whole(Stage::Activation, Activation::Relu), 145_200.0);
    assert_eq!(whole(Stage::Pooled, Activation::Relu), 34_992.0);
    assert_eq!(whole(Stage::Linear, Activation::Relu), 193_600.0);
    assert_eq!(whole(Stage::Activation, Activation::Other), 193_600.0);
}

#[test]
fn known_channels_are_no_unknowns() {
    let shape = ConvShape::new([11; 2], [4; 2], [2; 2], [4, 64], [224; 2]).with_known_channels(1);
    let all = counts(FrontLayer::new("conv1", Op::Conv(shape)), Stage::Linear);
    assert_eq!(find(&all, Finding::PaperWindow).unknowns, 2_187);
    assert_eq!(find(&all, Finding::WholeImage).unknowns, 150_528);
}

#[test]
fn images_need_not_be_square() {
    let shape = ConvShape::new([3, 5], [1, 2], [0; 2], [1, 2], [10, 41]);
    let layer = FrontLayer::new("conv", Op::Conv(shape));
    assert_eq!(layer.output(Stage::Linear).unwrap(), [2, 8, 19]);
    assert_eq!(window_counts(&layer, Stage::Linear).unwrap().len(), 8);
    let all = counts(layer, Stage::Linear);
    assert_eq!(numbers(find(&all, Finding::WholeImage)), (304.0, 410, false));
}
