//! The kernel with `[f32; 4]` for its lanes, natively and under Miri: every pass, shape and kind of
//! operand against the textbook, and what is promised about bits, memory and edge values.

#[path = "kernel/case.rs"]
mod case;
#[path = "kernel/oracle.rs"]
mod oracle;

use std::fmt::Debug;
use std::thread;

use proptest::prelude::*;
use smooth_l1::job::{count, kind, shape, want};
use smooth_l1::kernel::{LEAF, STEP, UNROLL};
use smooth_l1::lanes::{LANES, Lanes};

use case::{Case, Name, OUTPUTS, Operand, Outcome, Plan, WHOLE, bits_of, run};
use oracle::{Expected, Form, Sum, curvature, expected, slope, value};

type Vector = [f32; LANES];

/// Miri takes a millisecond for what takes the machine a microsecond.
const IS_SLOW: bool = cfg!(miri);

const LENGTHS: &[usize] = if IS_SLOW {
    &[0, 1, 18]
} else {
    &[0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 1023, 1024, 1025, 1039, 2048, 2051]
};
const ROW_LENGTHS: &[usize] =
    if IS_SLOW { &[1, 3, 7] } else { &[1, 2, 3, 4, 5, 7, 64, 1000, 1024, 1025] };
const OFFSETS: &[usize] = if IS_SLOW { &[1] } else { &[0, 1, 2, 3] };

// ---- data ---------------------------------------------------------------------------------------

/// Numbers without a pattern, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 31)
    }

    fn float(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    fn floats(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.float(low, high)).collect()
    }

    /// Weights: some of them 0, some negative.
    fn weights(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float(-1.0, 2.0)).map(|x| if x.abs() < 0.2 { 0.0 } else { x }).collect()
    }

    /// A mask: half of it 0, the rest any other byte.
    fn mask(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next()).map(|x| if x & 1 == 0 { 0 } else { (x >> 8) as u8 | 1 }).collect()
    }

    fn thresholds(&mut self, n: usize) -> Vec<f32> {
        const ODD: [f32; 3] = [0.0, f32::INFINITY, 1.0];
        (0..n).map(|i| if i % 4 < 3 { self.float(0.3, 2.0) } else { ODD[i / 4 % 3] }).collect()
    }
}

fn case(want: u32, n: usize) -> Case {
    let mut noise = Noise(n as u64);
    let (input, target) = (noise.floats(n, -2.0, 2.0), noise.floats(n, -2.0, 2.0));
    let mut case = Case::new(want, input, target);
    case.upstream = Operand::full(noise.floats(n, -2.0, 2.0));
    case.scale = 0.75;
    case.grad_scale = -1.5;
    case
}

const GRADIENTS: [Name; 4] =
    [Name::GradInput, Name::GradTarget, Name::GradInside, Name::GradOutside];

/// One case for each pass there is.
fn passes(n: usize) -> Vec<Case> {
    let passes = [
        0,
        want::SUM,
        want::STORE,
        want::ROWS,
        want::GRAD,
        want::GRAD_EACH,
        want::SUM_GRAD,
        want::SUM_GRAD | want::UPSTREAM,
        want::STORE | want::GRAD_EACH,
        want::SUM | want::STORE,
        want::ROWS | want::GRAD,
        want::CURVATURE,
        want::CURVATURE | want::UPSTREAM,
        want::BETA,
        want::BETA | want::UPSTREAM,
        want::DELTA,
        want::DELTA | want::UPSTREAM,
    ];
    let mut cases: Vec<_> = passes.into_iter().map(|want| case(want, n)).collect();
    for set in 0..1 << GRADIENTS.len() {
        let mut case = case(want::STORE | want::GRAD, n);
        case.shift = -0.25;
        case.outputs = vec![Name::Out];
        case.outputs.extend((0..GRADIENTS.len()).filter(|i| set >> i & 1 != 0).map(|i| GRADIENTS[i]));
        cases.push(case);
    }
    cases
}

fn weigh(case: &mut Case) {
    let mut noise = Noise(1);
    case.inside = Operand::full(noise.weights(case.len()));
    case.outside = Operand::full(noise.weights(case.len()));
}

fn mask(case: &mut Case) {
    case.mask = Operand::full(Noise(2).mask(case.len()));
    case.ignore_nan = true;
    for y in case.target.iter_mut().step_by(3) {
        *y = f32::NAN;
    }
}

/// What can be added to any pass.
const SHAPES: &[(&str, fn(&mut Case))] = &[
    ("plain", |_| {}),
    ("weighted", weigh),
    ("one number for a weight", |case| {
        case.inside = Operand::number(0.5);
        case.outside = Operand::number(-1.5);
    }),
    ("masked", mask),
    ("NaN is ignored", |case| {
        mask(case);
        case.mask = Operand::number(1);
    }),
    ("weighted and masked", |case| {
        weigh(case);
        mask(case);
    }),
    ("scaled", |case| case.threshold = Operand::number(0.0)),
    ("scaled and weighted", |case| {
        case.threshold = Operand::number(f32::INFINITY);
        weigh(case);
    }),
    ("columns", |case| {
        let thresholds = Noise(3).thresholds(case.row_length);
        case.threshold = Operand { kind: kind::COLUMN, values: thresholds };
    }),
    ("columns, weighted and masked", |case| {
        let thresholds = Noise(3).thresholds(case.row_length);
        case.threshold = Operand { kind: kind::COLUMN, values: thresholds };
        weigh(case);
        mask(case);
    }),
    ("accumulated", |case| case.accumulate = true),
    ("accumulated and weighted", |case| {
        case.accumulate = true;
        weigh(case);
    }),
    ("Huber", |case| {
        if case.want & want::BETA == 0 {
            case.form = Form::Huber;
        }
    }),
    ("an infinite delta", |case| {
        if case.want & want::BETA == 0 {
            case.form = Form::Huber;
            case.threshold = Operand::number(f32::INFINITY);
        }
    }),
    ("directed", |case| case.direction = Some(Noise(4).floats(case.len(), -1.0, 1.0))),
];

// ---- comparison ---------------------------------------------------------------------------------

/// Asserts that a result is as near as f32 arithmetic comes.
fn assert_close(actual: f64, expected: Sum, tolerance: f64, what: &dyn Debug) {
    let Sum { value, size } = expected;
    let is_close = actual.is_nan() && value.is_nan()
        || actual == f64::from(value as f32)
        || (actual - value).abs() <= tolerance * size + 4.0 * f64::from(f32::from_bits(1));
    assert!(is_close, "{what:?}: {actual:e}, expected {value:e}");
}

/// Says what was tried when a comparison fails.
struct Trying<F: Fn() -> String>(F);

impl<F: Fn() -> String> Drop for Trying<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("with {}", self.0());
        }
    }
}

/// Runs a case and compares all that it leaves behind with the textbook.
fn check(case: &Case, plan: &Plan) -> Outcome {
    let outcome = run(case, plan);
    let Expected { loss, count, row, outputs } = expected(case);
    let has_count = case.want == 0 || case.want & want::LOSS != 0;
    assert_close(outcome.loss, loss, 4e-6, &"loss");
    assert_close(outcome.row, row, 1e-6, &"row");
    assert_close(outcome.count, if has_count { count } else { Sum::default() }, 4e-6, &"count");
    for ((actual, expected), name) in outcome.outputs.iter().zip(outputs).zip(OUTPUTS) {
        assert_eq!(actual.len(), expected.len());
        for (i, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
            assert_close(actual.into(), expected, 1e-6, &(name, i, case.input.get(i), case.target.get(i)));
        }
    }
    outcome
}

fn assert_same(actual: &Outcome, expected: &Outcome) {
    assert_eq!(actual.bits(), expected.bits(), "{actual:?}\nis not\n{expected:?}");
}

// ---- every pass ---------------------------------------------------------------------------------

#[test]
fn every_pass_and_shape_agrees_with_the_textbook() {
    for &n in LENGTHS {
        for (name, reshape) in SHAPES {
            for mut case in passes(n) {
                reshape(&mut case);
                let _trying = Trying(|| format!("{name}, {n} elements, {:?}", summary(&case)));
                let outcome = check(&case, &WHOLE);
                for &offset in OFFSETS {
                    assert_same(&run(&case, &Plan { offset, margin: 9, ..WHOLE }), &outcome);
                }
            }
        }
    }
}

#[test]
fn every_count_agrees_with_the_textbook() {
    for &n in LENGTHS {
        for (name, reshape) in SHAPES {
            for want in [0, want::SUM, want::STORE, want::ROWS | want::GRAD] {
                for count in [count::WEIGHTS, count::NONZERO, count::UNMASKED] {
                    let mut case = case(want, n);
                    case.count = count;
                    reshape(&mut case);
                    let _trying = Trying(|| format!("{name}, {n} elements, {:?}", summary(&case)));
                    check(&case, &WHOLE);
                }
            }
        }
    }
}

/// A case without its data.
fn summary(case: &Case) -> Case {
    let mut case = case.clone();
    case.input.clear();
    case.target.clear();
    case.direction = None;
    for operand in [&mut case.inside, &mut case.outside, &mut case.upstream] {
        operand.values.truncate(1);
    }
    case.mask.values.truncate(1);
    case
}

// ---- operands that are spread -------------------------------------------------------------------

/// An operand with `n` elements of any kind.
fn spread<T: Copy>(kind: u32, n: usize, row_length: usize, mut values: impl FnMut(usize) -> Vec<T>) -> Operand<T> {
    let len = match kind {
        kind::FULL => n,
        kind::ROW => n.div_ceil(row_length),
        kind::COLUMN => row_length,
        _ => 1,
    };
    // One more, so that no operand of an empty job is empty.
    Operand { kind, values: values(len.max(1)) }
}
