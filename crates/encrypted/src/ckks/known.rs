//! What `tests/ckks_reference.py` gives, which works with whole integers and the formulas themselves.

#![allow(clippy::unwrap_used, reason = "clippy exempts only the test functions themselves")]

use cleave_secrets::Secret;
use fhe_math::zq::Modulus;

use super::{Ciphertext, Complex, Params, Plaintext, SecretKey, keys, ring};

const CHAIN: [u64; 3] = [36_028_797_018_963_841, 274_877_906_753, 274_877_906_209];
const MESSAGE: [i64; 16] = [
    -34_359_738_368,
    -96_819_325_603,
    3_851_224_410,
    41_253_974_056,
    -12_148_002_000,
    -36_123_526_766,
    -35_595_483_431,
    61_546_994_841,
    -17_179_869_184,
    26_514_109_403,
    54_190_839_838,
    5_200_579_202,
    36_444_006_000,
    -20_591_921_072,
    41_041_937_224,
    79_302_882_884,
];
const RESCALED: [u64; 16] = [
    19_583_610_471_388_582,
    35_499_848_755_144_655,
    12_313_944_863_884_953,
    3_011_053_998_937_569,
    35_613_627_827_865_699,
    31_772_087_958_832_133,
    31_721_120_653_441_408,
    592_415_714_356_400,
    32_934_282_441_721_759,
    21_707_008_375_479_232,
    31_576_670_323_927_590,
    7_782_200_460_361_843,
    4_756_464_546_211_856,
    22_463_159_822_571_275,
    11_288_051_819_532_385,
    12_614_322_767_824_477,
];
const PHASE: [i64; 16] = [
    -125_000, -352_229, 14_012, 150_082, -44_194, -131_417, -129_494, 223_907, -62_499, 96_459, 197_145, 18_920,
    132_582, -74_913, 149_310, 288_504,
];
const TURNED: [u64; 16] = [
    46_043_557_496,
    108_069_855_469,
    255_744_258_115,
    48_822_858_049,
    127_125_662_435,
    198_481_422_595,
    63_365_870_484,
    218_700_020_210,
    138_312_946_912,
    137_047_361_708,
    146_968_679_641,
    106_005_601_716,
    17_053_246_537,
    27_446_321_058,
    29_780_409_552,
    217_273_156_666,
];
const ROTATED: [(f64, f64); 8] = [
    (-0.75, 0.25),
    (-0.5, 0.125),
    (-0.25, 0.0),
    (0.0, -0.125),
    (0.25, -0.25),
    (0.5, -0.375),
    (0.75, -0.5),
    (-1.0, 0.375),
];
const SQUARE: [[u64; 16]; 3] = [
    [
        17_938_707_342_513_678,
        30_737_740_586_834_711,
        26_041_144_578_361_101,
        572_164_652_850_090,
        31_828_752_307_874_011,
        13_874_483_915_775_053,
        9_812_776_278_429_843,
        8_479_913_181_947_637,
        31_824_180_179_962_430,
        5_978_654_402_542_618,
        24_214_169_082_015_725,
        12_019_084_457_131_604,
        1_476_824_485_762_712,
        15_787_088_327_506_844,
        19_248_612_208_395_701,
        12_045_445_405_419_862,
    ],
    [
        1_042_550_782_081_294,
        3_932_166_425_825_644,
        173_941_955_703_258,
        11_117_382_155_015_874,
        21_699_241_263_273_827,
        24_994_732_600_812_799,
        24_060_787_169_579_333,
        16_029_577_781_276_523,
        7_933_009_359_808_641,
        18_003_499_028_686_881,
        13_727_294_577_752_288,
        25_121_195_799_861_784,
        17_148_556_693_236_231,
        3_615_063_996_421_389,
        15_778_920_704_904_822,
        30_434_527_589_077_466,
    ],
    [
        11_202_859_752_042_367,
        31_053_630_333_747_269,
        20_757_943_729_378_658,
        5_918_313_046_295_494,
        16_672_189_984_481_849,
        14_430_500_839_647_165,
        10_874_437_622_809_543,
        16_656_584_273_186_891,
        21_728_970_886_559_057,
        9_616_817_444_734_951,
        20_375_360_115_191_806,
        19_353_043_318_062_019,
        4_360_620_810_031_865,
        13_705_586_165_687_177,
        29_545_132_208_246_842,
        19_557_492_049_463_204,
    ],
];

#[test]
fn known_answers() {
    const N: usize = 16;
    let params = Params::insecure_for_tests(N, 2, 1, 1);
    assert_eq!([0, 1, 2].map(|index| *params.moduli()[index]), CHAIN);
    let drawn = |seed: u64, bound: u128| -> Vec<u64> {
        let next =
            |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        std::iter::successors(next(&seed), next).take(N).map(|x| (u128::from(x) % bound) as u64).collect()
    };
    let secret: Vec<i64> = drawn(1, 1 << 32).iter().map(|x| (x % 3) as i64 - 1).collect();
    let secret = keys::transformed(&params, 0..3, &secret);
    let factors = [2, 3, 4].map(|seed| drawn(seed, 1 << 60));
    let mut linear = Vec::new();
    for (q, ntt) in params.q(2).iter().zip(params.ntts()) {
        let mut row: Vec<_> =
            (0..N).map(|i| factors.iter().fold(1, |x, factor| q.mul(x, q.reduce(factor[i])))).collect();
        ntt.forward(&mut row);
        linear.extend(row);
    }
    let by_row = |x: &[u64], y: &[u64], f: &dyn Fn(&Modulus, u64, u64) -> u64| -> Vec<u64> {
        let q = |i: usize| &params.moduli()[i / N];
        x.iter().zip(y).enumerate().map(|(i, (&x, &y))| f(q(i), x, y)).collect()
    };
    let coefficients = |rows: &[u64], index: usize| {
        let mut row = rows[index * N..(index + 1) * N].to_vec();
        params.ntts()[index].backward(&mut row);
        row
    };

    // The message, and (m − a·s, a).
    let slots: Vec<_> = (0..8).map(|j| Complex::new(f64::from(j) / 4.0 - 1.0, f64::from(3 - j) / 8.0)).collect();
    let empty = [by_row(&linear, &secret, &|q, a, s| q.neg(q.mul(a, s))), linear.clone()];
    let key = SecretKey::new(&params, &Secret::from_bytes(&[1; 32])).id();
    let x = Ciphertext { params: params.clone(), key, scale: params.scale(), parts: empty, seed: None };
    let x = x.add_plain(&Plaintext::encode(&params, &slots, 2, params.scale()).unwrap()).unwrap();
    let phase = |x: &Ciphertext| {
        let [b, a] = &x.parts;
        by_row(b, &by_row(a, &secret[..a.len()], &|q, a, s| q.mul(a, s)), &|q, b, x| q.add(b, x))
    };
    let residues = |index: usize, whole: &[i64]| params.moduli()[index].reduce_vec_i64(whole);
    (0..3).for_each(|index| assert_eq!(coefficients(&phase(&x), index), residues(index, &MESSAGE)));

    let times = |part: &Vec<u64>| by_row(part, part, &|q, x, _| q.mul(x, q.reduce(1_000_003)));
    let parts = x.parts.each_ref().map(times).map(|part| ring::rescaled(&params, &part));
    let lower = Ciphertext { parts, ..x.clone() };
    assert_eq!(coefficients(&lower.parts[0], 0), RESCALED);
    (0..2).for_each(|index| assert_eq!(coefficients(&phase(&lower), index), residues(index, &PHASE)));

    let element = keys::rotation(&params, 1);
    assert_eq!(element, 5);
    assert_eq!(coefficients(&ring::permuted(&params, &x.parts[0], element), 1), TURNED);
    let message = coefficients(&ring::permuted(&params, &phase(&x), element), 0);
    let centred = |m: u64| if m > CHAIN[0] / 2 { -((CHAIN[0] - m) as f64) } else { m as f64 };
    let message: Vec<_> = message.into_iter().map(|m| centred(m) / params.scale()).collect();
    for (got, (re, im)) in params.embedding().slots_of(&message).iter().zip(ROTATED) {
        assert!((*got - Complex::new(re, im)).abs() < 1e-9);
    }

    let [b, a] = &x.parts;
    let product = |x: &[u64], y: &[u64]| coefficients(&by_row(x, y, &|q, x, y| q.mul(x, y)), 0);
    let twice = |x: Vec<u64>| x.iter().map(|&x| params.moduli()[0].add(x, x)).collect::<Vec<_>>();
    assert_eq!([product(b, b), twice(product(b, a)), product(a, a)], SQUARE);
}
