//! The kernel with `[f32; 4]` for its lanes, natively and under Miri: every pass, shape and layout
//! of operands against the textbook, and what is promised about bits, memory and edge values.

#[path = "kernel/any.rs"]
mod any;
#[path = "kernel/case.rs"]
mod case;
#[path = "kernel/check.rs"]
mod check;
#[path = "kernel/exact.rs"]
mod exact;
#[path = "kernel/formula.rs"]
mod formula;
#[path = "kernel/numbers.rs"]
mod numbers;
#[path = "kernel/oracle.rs"]
mod oracle;

use std::ptr::{NonNull, null, null_mut};

use proptest::prelude::*;
use proptest::{collection, num, test_runner::RngSeed};
use smooth_l1::job::{
    Job, Operand as JobOperand, count, ignore, layout, operand, result, shape, want,
};
use smooth_l1::kernel::{GRAD_EACH, SUM_GRAD};
use smooth_l1::lanes::{LANES, Lanes};
use smooth_l1::tiles::{LEAF, PIECE, STEP};

use case::{Case, GRADIENTS, Name, Operand, Outcome, Plan, WHOLE, bits_of, run, widened};
use check::{Trying, assert_close, assert_same, check};
use formula::{Form, curvature, slope, value};
use numbers::{EDGES, Noise, signed_edges};
use oracle::documented_sum;

type Vector = [f32; LANES];

/// Miri takes a millisecond for what takes the machine a microsecond, and a search through mutants runs the
/// tests a thousand times.
const IS_SLOW: bool = cfg!(miri) || option_env!("SMOOTH_L1_QUICK").is_some();

const LENGTHS: &[usize] =
    if IS_SLOW { &[0, 1, 18] } else { &[0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 1023, 1024, 1025] };
const ROW_LENGTHS: &[usize] =
    if IS_SLOW { &[1, 3, 7] } else { &[1, 2, 3, 4, 5, 7, 8, 64, 1000, 1024, 1025, 3000] };
const LONGEST: usize = if IS_SLOW { 40 } else { usize::MAX };
const OFFSETS: &[usize] = if IS_SLOW { &[1] } else { &[0, 1, 2, 3] };

// ---- data ---------------------------------------------------------------------------------------

fn case(want: u32, n: usize) -> Case {
    let mut noise = Noise(n as u64);
    let (input, target) = (noise.floats(n, -2.0, 2.0), noise.floats(n, -2.0, 2.0));
    let mut case = Case::new(want, input, target);
    case.upstream = Operand::full(noise.floats(n, -2.0, 2.0));
    case.scale = 0.75;
    case.grad_scale = -1.5;
    case
}

/// What a pass wants and what it counts.
const PASSES: [(u32, u32); 27] = [
    (want::SUM, count::NOTHING),
    (want::STORE, count::NOTHING),
    (want::ROWS, count::NOTHING),
    (want::GRAD, count::NOTHING),
    (GRAD_EACH, count::NOTHING),
    (SUM_GRAD, count::NOTHING),
    (SUM_GRAD | want::UPSTREAM, count::NOTHING),
    (want::STORE | GRAD_EACH, count::NOTHING),
    (want::SUM | want::STORE, count::NOTHING),
    (want::ROWS | want::GRAD, count::NOTHING),
    (want::CURVATURE, count::NOTHING),
    (want::CURVATURE | want::UPSTREAM, count::NOTHING),
    (want::BETA, count::NOTHING),
    (want::BETA | want::UPSTREAM, count::NOTHING),
    (want::DELTA, count::NOTHING),
    (want::DELTA | want::UPSTREAM, count::NOTHING),
    (want::NOTHING, count::WEIGHTS),
    (want::NOTHING, count::NONZERO),
    (want::NOTHING, count::UNMASKED),
    (want::SUM, count::WEIGHTS),
    (want::SUM, count::UNMASKED),
    (want::STORE, count::NONZERO),
    (want::ROWS | want::GRAD, count::WEIGHTS),
    (SUM_GRAD, count::NONZERO),
    (want::ROBUST, count::NOTHING),
    (want::SUM | want::STORE | want::ROBUST, count::NOTHING),
    (want::ROWS | want::GRAD | want::ROBUST, count::WEIGHTS),
];
const GRADIENT_SETS: usize = 1 << GRADIENTS.len();
const PASS_COUNT: usize = PASSES.len() + GRADIENT_SETS;

/// Each pass, then each set of gradients.
fn pass(index: usize, n: usize) -> Case {
    if let Some(&(want, count)) = PASSES.get(index) {
        return Case { count, ..case(want, n) };
    }
    let set = index - PASSES.len();
    let wanted = (0..GRADIENTS.len()).filter(|i| set >> i & 1 != 0).map(|i| GRADIENTS[i]);
    let outputs = [Name::Out].into_iter().chain(wanted).collect();
    Case { shift: -0.25, outputs, ..case(want::STORE | want::GRAD, n) }
}

/// Every pass in every shape and length.
fn every_case() -> impl Iterator<Item = (&'static str, Case)> {
    let shapes = pairs(LENGTHS.iter().copied(), SHAPES);
    some(37, pairs(shapes, 0..PASS_COUNT)).map(|((n, (name, reshape)), index)| {
        let mut case = pass(index, n);
        reshape(&mut case);
        (*name, case)
    })
}

fn pairs<A: Clone, B>(
    a: impl IntoIterator<Item = A>,
    b: impl IntoIterator<Item = B> + Clone,
) -> impl Iterator<Item = (A, B)> {
    a.into_iter().flat_map(move |a| b.clone().into_iter().map(move |b| (a.clone(), b)))
}

/// All of them; where that takes too long, one in `stride`.
fn some<T>(stride: usize, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    all.step_by(if cfg!(miri) {
        4 * stride
    } else if IS_SLOW {
        stride
    } else {
        1
    })
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

fn ignore_value(case: &mut Case) {
    case.ignore_value = 255.0;
    for y in case.target.iter_mut().skip(1).step_by(4) {
        *y = 255.0;
    }
}

type Reshape = fn(&mut Case);

/// What can be added to any pass.
const SHAPES: &[(&str, Reshape)] = &[
    ("plain", |_| {}),
    ("weighted", weigh),
    ("an outside weight", |case| {
        weigh(case);
        case.inside = Operand::number(1.0);
    }),
    ("an outside weight and a threshold of 1", |case| {
        weigh(case);
        case.inside = Operand::number(1.0);
        case.threshold = Operand::number(1.0);
    }),
    ("an inside weight and a threshold of 1", |case| {
        weigh(case);
        case.outside = Operand::number(1.0);
        case.threshold = Operand::number(1.0);
    }),
    ("masked, and a threshold of 1", |case| {
        mask(case);
        case.threshold = Operand::number(1.0);
    }),
    ("one number for a weight", |case| {
        case.inside = Operand::number(0.5);
        case.outside = Operand::number(-1.5);
    }),
    ("masked", mask),
    ("NaN is ignored", |case| {
        mask(case);
        case.mask = Operand::number(1);
    }),
    ("a value is ignored", |case| {
        ignore_value(case);
        case.mask = Operand::full(Noise(2).mask(case.len()));
    }),
    ("NaN and a value are ignored, weighted", |case| {
        weigh(case);
        mask(case);
        ignore_value(case);
    }),
    ("weighted and masked", |case| {
        weigh(case);
        mask(case);
    }),
    ("an outside weight and a mask", |case| {
        weigh(case);
        case.inside = Operand::number(1.0);
        case.mask = Operand::full(Noise(2).mask(case.len()));
    }),
    ("a threshold of 1", |case| case.threshold = Operand::number(1.0)),
    ("scaled", |case| case.threshold = Operand::number(0.0)),
    ("scaled down", |case| case.threshold = Operand::number(3e38)),
    ("scaled and weighted", |case| {
        case.threshold = Operand::number(f32::INFINITY);
        weigh(case);
    }),
    ("columns", |case| {
        let thresholds = Noise(3).thresholds(case.row_length);
        case.threshold = Operand { layout: layout::COLUMN, values: thresholds };
    }),
    ("columns, weighted and masked", |case| {
        let thresholds = Noise(3).thresholds(case.row_length);
        case.threshold = Operand { layout: layout::COLUMN, values: thresholds };
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
    ("sided", |case| case.sides = Operand::number([0.25, 0.75])),
    ("sided and scaled", |case| {
        case.sides = Operand::number([1.5, 1.0]);
        case.threshold = Operand::number(3e38);
    }),
    ("sided, weighted and masked", |case| {
        case.sides = Operand::number([0.9, 0.1]);
        weigh(case);
        mask(case);
    }),
    ("sides by column", |case| {
        case.sides = Operand { layout: layout::COLUMN, values: Noise(9).sides(case.row_length) };
    }),
    ("sides and thresholds by column, weighted and masked", |case| {
        case.sides = Operand { layout: layout::COLUMN, values: Noise(9).sides(case.row_length) };
        let thresholds = Noise(3).thresholds(case.row_length);
        case.threshold = Operand { layout: layout::COLUMN, values: thresholds };
        weigh(case);
        mask(case);
    }),
    ("directed by one number", |case| case.direction = Operand::number(-0.5)),
    ("directed", |case| case.direction = Operand::full(Noise(4).floats(case.len(), -1.0, 1.0))),
];

fn about(name: &str, case: &Case) -> String {
    let Case { want, count, outputs, aliases, more_shape, .. } = case;
    let n = case.len();
    format!(
        "{name}: {n} elements, want {want}, count {count}, outputs {outputs:?}, aliases {aliases:?}, more shape {more_shape}"
    )
}

// ---- every pass ---------------------------------------------------------------------------------

#[test]
fn every_pass_and_shape_agrees_with_the_textbook() {
    for (name, case) in every_case() {
        let _trying = Trying(|| about(name, &case));
        let outcome = check(&case, &WHOLE);
        // Long arrays take time, and say no more about the place within a vector.
        for &offset in if case.len() < LEAF / 2 { OFFSETS } else { &OFFSETS[..1] } {
            assert_same(&run(&case, &Plan { offset, margin: 9, ..WHOLE }), &outcome);
        }
    }
}

// ---- inputs of 16 bits ----------------------------------------------------------------------------

const TYPES: [u32; 3] = [layout::FULL, layout::FLOAT16, layout::BFLOAT16];

/// The types of input and target but two of 32 bits.
fn half_types() -> impl Iterator<Item = [u32; 2]> {
    pairs(TYPES, TYPES).map(|(a, b)| [a, b]).skip(1)
}

/// A case gives the bits of the one with the same values as floats.
fn check_types(case: &Case, types: [u32; 2], plan: &Plan) {
    let case = case.clone().with_types(types);
    let plain = Case { types: [layout::FULL; 2], ..case.clone() };
    let _trying = Trying(|| format!("{types:?} {:?}", about("types", &case)));
    assert_same(&run(&case, plan), &run(&plain, plan));
}

#[test]
fn inputs_of_16_bits_give_the_bits_of_the_same_floats() {
    for (i, (_, case)) in every_case().enumerate() {
        // Each case with one pair of types, each pair with every 8th case.
        let types = half_types().nth(i % 8).expect("one of eight");
        check_types(&case, types, &Plan { offset: i % 4, ..WHOLE });
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn every_16_bits_are_widened_exactly_alone_and_among_others() {
    for half in [layout::FLOAT16, layout::BFLOAT16] {
        let all: Vec<f32> = (0..=u16::MAX).map(|bits| widened(half, bits)).collect();
        let zeros = vec![0.0; all.len()];
        for want in [want::STORE, want::SUM] {
            let mut case = Case::new(want, all.clone(), zeros.clone());
            case.threshold = Operand::number(0.0);
            for types in [[half; 2], [half, layout::FULL]] {
                check_types(&case, types, &Plan { call: LEAF, ..WHOLE });
                check_types(&case, types, &Plan { call: 7, ..WHOLE });
            }
        }
    }
}

#[test]
fn nan_and_infinity_anywhere_in_a_leaf_of_16_bits_are_seen() {
    for at in some(301, 0..LEAF) {
        for value in [f32::NAN, f32::INFINITY, -f32::INFINITY] {
            let mut case = Case::new(want::SUM, vec![2.0; LEAF], vec![1.0; LEAF]);
            case.input[at] = value;
            let case = case.with_types([layout::FLOAT16; 2]);
            let Outcome { loss, .. } = run(&case, &WHOLE);
            assert!(if value.is_nan() { loss.is_nan() } else { loss == f64::INFINITY }, "{at}");
        }
    }
}

/// Plain sums of two inputs of one type have a loop of their own.
#[test]
fn a_sum_of_16_bits_over_leaves_and_pieces_has_the_bits_of_floats() {
    let lengths = [2 * (LEAF + 18), PIECE + 18, PIECE + LEAF + 18];
    let types = half_types().collect::<Vec<_>>();
    for (&n, types) in pairs(if IS_SLOW { &lengths[..1] } else { &lengths }, types) {
        for (stage, call) in [(usize::MAX, usize::MAX), (LEAF, LEAF), (usize::MAX, LEAF + 18)] {
            check_types(&wide_case(want::SUM, n), types, &Plan { stage, call, ..WHOLE });
        }
    }
}

#[test]
fn the_last_elements_of_16_bits_join_the_leaves_before_them() {
    let half = LEAF + 18;
    let mut case = Case::new(want::SUM, vec![0.0; 2 * half], vec![0.0; 2 * half]);
    case.threshold = Operand::number(2.0);
    case.input[0] = 2f32.powi(53);
    // Losses of 1: alone, each would be lost beside that of the first call.
    case.input[half] = 2.0;
    case.input[2 * half - 1] = 2.0;
    let case = case.with_types([layout::BFLOAT16; 2]);
    assert_eq!(run(&case, &Plan { call: half, ..WHOLE }).loss, 2f64.powi(53) + 2.0);
}

// ---- the shape of a job ---------------------------------------------------------------------------

/// A job of numbers alone, with the gradient to the input.
fn plain_job(want: u32) -> Job {
    let operand = JobOperand { layout: layout::NUMBER, pointer: null(), number: 1.0 };
    let mut results = [null_mut(); 6];
    results[result::GRAD_INPUT] = NonNull::dangling().as_ptr();
    Job {
        want,
        shape: 0,
        count: count::NOTHING,
        accumulate: 0,
        ignore: 0,
        ignore_value: f32::NAN,
        origin: 0,
        row_length: 0,
        row_origin: 0,
        pre: 1.0,
        inv: 2.0,
        lim: 1.0,
        half: 0.25,
        below: 1.0,
        above: 1.0,
        scale: 3.0,
        grad_scale: 4.0,
        shift: 5.0,
        operands: [operand; 8],
        results,
    }
}

#[test]
fn the_shape_follows_from_the_other_fields() {
    type Change = fn(&mut Job);
    fn with(job: &mut Job, index: usize) -> &mut JobOperand {
        &mut job.operands[index]
    }
    const CHANGES: &[(u32, Change)] = &[
        (shape::PLAIN, |_| {}),
        (shape::PLAIN, |job| job.lim = f32::MAX),
        (shape::PLAIN, |job| with(job, operand::UPSTREAM).layout = layout::ROW),
        (shape::PLAIN, |job| with(job, operand::DIRECTION).layout = layout::FULL),
        (shape::WEIGHTED, |job| with(job, operand::INSIDE).number = 0.0),
        (shape::WEIGHTED, |job| with(job, operand::INSIDE).number = f32::NAN),
        (shape::WEIGHTED, |job| with(job, operand::OUTSIDE).number = -1.0),
        (shape::WEIGHTED, |job| with(job, operand::INSIDE).layout = layout::COLUMN),
        (shape::WEIGHTED, |job| with(job, operand::OUTSIDE).layout = layout::ROW),
        (shape::MASKED, |job| with(job, operand::MASK).layout = layout::FULL),
        (shape::MASKED, |job| with(job, operand::MASK).layout = layout::ROW),
        (shape::MASKED, |job| job.ignore = ignore::NAN),
        (shape::MASKED, |job| job.ignore = ignore::VALUE),
        (shape::SCALED, |job| job.pre = 2.0),
        (shape::COLUMNS, |job| job.lim = f32::INFINITY),
        (shape::COLUMNS, |job| job.want |= want::ROBUST),
        (shape::COLUMNS, |job| {
            with(job, operand::CURVES).layout = layout::COLUMN;
            job.pre = 0.0;
        }),
        (shape::SIDED, |job| job.below = 0.5),
        (shape::SIDED, |job| job.above = f32::NAN),
        (shape::HALF, |job| with(job, operand::INPUT).layout = layout::FLOAT16),
        (shape::HALF, |job| with(job, operand::TARGET).layout = layout::BFLOAT16),
        (shape::MORE, |job| job.accumulate = 1),
        (shape::MORE, |job| job.count = count::WEIGHTS),
        (shape::MORE, |job| job.results[result::GRAD_INPUT] = null_mut()),
        (shape::MORE, |job| job.results[result::GRAD_TARGET] = job.results[1]),
        (shape::MORE, |job| job.results[result::GRAD_INSIDE] = job.results[1]),
        (shape::MORE, |job| job.results[result::GRAD_OUTSIDE] = job.results[1]),
        (shape::MORE, |job| {
            job.want |= want::UPSTREAM;
            with(job, operand::UPSTREAM).layout = layout::ROW;
        }),
        (shape::MORE, |job| job.want |= want::UPSTREAM),
        (shape::PLAIN, |job| {
            job.want |= want::UPSTREAM;
            with(job, operand::UPSTREAM).layout = layout::FULL;
        }),
        (shape::PLAIN, |job| {
            job.want = want::SUM;
            job.results = [job.results[1]; 6];
        }),
    ];
    let shape_of = |changes: &[Change]| {
        let mut job = plain_job(want::GRAD);
        changes.iter().for_each(|change| change(&mut job));
        job.required_shape()
    };
    for (i, &(shape, change)) in CHANGES.iter().enumerate() {
        assert_eq!(shape_of(&[change]), shape, "change {i}");
    }
}

// ---- operands that are spread -------------------------------------------------------------------

const LAYOUTS: [u32; 4] = [layout::NUMBER, layout::FULL, layout::ROW, layout::COLUMN];

/// How many values an operand has for `n` elements.
fn len_of(layout: u32, n: usize, row_length: usize) -> usize {
    match layout {
        layout::FULL => n,
        layout::ROW => n.div_ceil(row_length),
        layout::COLUMN => row_length,
        _ => 1,
    }
}

/// A case whose operands are of the layouts that `turn` stands for: each pair of layouts has its turn
/// below [`TURNS`].
fn spread_case(want: u32, n: usize, row_length: usize, turn: usize) -> Case {
    let mut noise = Noise(turn as u64);
    let mut operand = |layout| {
        let values = noise.weights(len_of(layout, n, row_length));
        Operand { layout, values }
    };
    let mut case = case(want, n);
    case.row_length = row_length;
    case.inside = operand(LAYOUTS[turn % 4]);
    case.outside = operand(LAYOUTS[turn / 4 % 4]);
    case.upstream = operand(LAYOUTS[(turn + turn / 16) % 4]);
    let layout = LAYOUTS[(turn + turn / 12) % 4];
    case.mask = Operand { layout, values: noise.mask(len_of(layout, n, row_length)) };
    if layout == layout::NUMBER {
        case.mask = Operand::number(1);
    }
    if turn / 3 % 2 == 1 {
        let values = noise.thresholds(row_length);
        case.threshold = Operand { layout: layout::COLUMN, values };
    }
    if turn / 6 % 2 == 1 {
        case.sides = Operand { layout: layout::COLUMN, values: noise.sides(row_length) };
    }
    if want & want::GRAD != 0 {
        case.outputs.extend(&GRADIENTS[1..]);
    }
    if want & (want::CURVATURE | want::BETA | want::DELTA) == 0 {
        case.count = [count::WEIGHTS, count::NONZERO, count::UNMASKED][turn % 3];
    }
    case
}

const TURNS: usize = 48;
const SPREAD_PASSES: [u32; 7] = [
    0,
    SUM_GRAD | want::UPSTREAM,
    want::STORE,
    want::ROWS | GRAD_EACH | want::ROBUST,
    want::CURVATURE | want::UPSTREAM,
    want::BETA | want::UPSTREAM,
    want::DELTA,
];

#[test]
fn every_layout_of_operands_agrees_with_the_textbook() {
    let n = if IS_SLOW { 19 } else { 2 * LEAF + 77 };
    for (&row_length, turn) in some(5, pairs(ROW_LENGTHS, 0..TURNS).step_by(5)) {
        let case = spread_case(SPREAD_PASSES[turn % 7], n, row_length, turn);
        let _trying = Trying(|| format!("rows of {row_length}, turn {turn}"));
        check_cuts(&case);
    }
}

/// One weight has loops of its own, and so have weights for rows of a vector.
#[test]
fn one_weight_of_any_layout_agrees_with_the_textbook() {
    let n = if IS_SLOW { 72 } else { 2 * LEAF + 77 };
    let kinds = pairs([layout::ROW, layout::COLUMN], [1.0, 1.3]).collect::<Vec<_>>();
    let rows = pairs([1, 3, 4, 5, 8, 16, 64, 1025], kinds);
    for (row_length, (layout, threshold)) in some(4, rows) {
        for want in [want::SUM, SUM_GRAD] {
            let mut case = case(want, n);
            case.row_length = row_length;
            case.threshold = Operand::number(threshold);
            let values = Noise(7).weights(len_of(layout, n, row_length));
            case.outside = Operand { layout, values };
            let _trying = Trying(|| format!("rows of {row_length}, layout {layout}"));
            check_windows(&case);
            if row_length == LANES {
                check_windows(&case.clone().with_types([layout::FLOAT16; 2]));
                case.mask = Operand::full(Noise(2).mask(n));
                check_windows(&case);
            }
        }
    }
}

/// Checks a case in calls that begin within a row, and windows that begin within a vector.
fn check_windows(case: &Case) {
    check_cuts(case);
    let windows = [(usize::MAX, 18), (usize::MAX, 64), (50, 16), (48, 32), (usize::MAX, 3)];
    for ((stage, call), lead) in pairs(windows, [0, 2]) {
        let plan = Plan { stage, call, lead, ..WHOLE };
        let _trying = Trying(|| format!("{plan:?}"));
        check(case, &plan);
    }
}

/// Checks a case in one call, and that it stays the same in many.
fn check_cuts(case: &Case) {
    let whole = check(case, &WHOLE);
    // Leaf by leaf the bits are the same as long as there is one piece.
    for (stage, call) in [(usize::MAX, LEAF), (2 * LEAF, LEAF)] {
        let plan = Plan { offset: 3, margin: 5, stage, call, lead: 0 };
        let _trying = Trying(|| format!("{plan:?}"));
        assert_same(&run(case, &plan), &whole);
    }
    for (stage, call) in [(100, usize::MAX), (777, 5)] {
        let plan = Plan { stage, call, ..WHOLE };
        let _trying = Trying(|| format!("{plan:?}"));
        let Outcome { outputs, row, .. } = check(case, &plan);
        assert_same(&Outcome { outputs, row, ..whole }, &whole);
    }
}

#[test]
fn without_rows_and_columns_a_row_may_have_no_length() {
    for want in [want::SUM, want::STORE | want::GRAD, want::CURVATURE, want::NOTHING] {
        let mut any = case(want, LEAF + 20);
        weigh(&mut any);
        any.count = count::NONZERO;
        let none = Case { row_length: 0, ..any.clone() };
        assert_same(&run(&none, &WHOLE), &run(&any, &WHOLE));
    }
}

#[test]
fn a_row_goes_on_from_call_to_call() {
    let n = if IS_SLOW { 40 } else { 5000 };
    for row_length in some(3, [1, 2, 7, 39, 1000, 1024, 1025, 4999, 5000, 6000].into_iter()) {
        let mut case = case(want::ROWS, n);
        case.row_length = row_length;
        check_cuts(&case);
        weigh(&mut case);
        check_cuts(&case);
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_tile_of_columns_reaches_to_the_end_of_a_leaf_that_begins_at_the_last_one() {
    // In rows of 1,013, which are repeated in a tile, the 93rd leaf begins at column 1,012.
    let mut case = case(want::STORE, 93 * LEAF);
    case.row_length = 1013;
    assert_eq!(92 * LEAF % case.row_length, 1012);
    let mut noise = Noise(5);
    [case.inside, case.outside] = [(); 2]
        .map(|()| Operand { layout: layout::COLUMN, values: noise.weights(case.row_length) });
    check(&case, &WHOLE);
}

// ---- bits ---------------------------------------------------------------------------------------

/// Residuals of so many sizes that a sum in any other order has other bits, in f64 too.
fn wide_case(want: u32, n: usize) -> Case {
    let mut case = case(want, n);
    let mut noise = Noise(8);
    for x in &mut case.input {
        *x *= 2.0_f32.powi((noise.next() % 60) as i32);
    }
    case
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_sum_is_the_documented_sum_of_the_losses() {
    for &n in LENGTHS.iter().chain(&[PIECE, 3 * PIECE + LEAF + 5]) {
        for (name, reshape) in SHAPES {
            let mut losses = wide_case(want::STORE, n);
            losses.scale = 1.0;
            reshape(&mut losses);
            let expected = documented_sum(run(&losses, &WHOLE).output(Name::Out));
            for want in [want::SUM, SUM_GRAD, SUM_GRAD | want::UPSTREAM] {
                let mut sum = wide_case(want, n);
                reshape(&mut sum);
                let actual = run(&sum, &WHOLE).loss;
                assert_eq!(bits_of(actual), bits_of(expected), "{name}, {n} elements, pass {want}");
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_call_for_each_piece_changes_no_bit() {
    let n = if IS_SLOW { PIECE + 3 } else { 2 * PIECE + LEAF + 3 };
    for ((name, reshape), index) in some(301, pairs(SHAPES, 0..PASS_COUNT)) {
        let mut case = pass(index, n);
        reshape(&mut case);
        let _trying = Trying(|| about(name, &case));
        let whole = run(&case, &WHOLE);
        assert_same(&run(&case, &Plan { call: PIECE, ..WHOLE }), &whole);
        assert_same(&run(&case, &Plan { stage: PIECE, ..WHOLE }), &whole);
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_shape_that_is_not_needed_changes_no_bit() {
    let all = shape::WEIGHTED
        | shape::MASKED
        | shape::SCALED
        | shape::COLUMNS
        | shape::MORE
        | shape::SIDED;
    for (&n, (index, threshold)) in
        pairs(LENGTHS, pairs(0..PASS_COUNT, [1.3, 1.0]).collect::<Vec<_>>())
    {
        let mut case = pass(index, n);
        case.threshold = Operand::number(threshold);
        let plain = run(&case, &WHOLE);
        for more_shape in 1..=all {
            case.more_shape = more_shape;
            let _trying = Trying(|| about("plain", &case));
            assert_same(&run(&case, &WHOLE), &plain);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn the_last_elements_are_treated_as_if_zeros_followed() {
    for (name, case) in every_case() {
        if case.count != count::NOTHING || case.want & want::ROWS != 0 {
            continue;
        }
        let n = case.len();
        let mut long = case.clone();
        for name in case::OPERANDS {
            if let Some(values) = long.full_size(name) {
                let is_residual = name == Name::Input || name == Name::Target;
                values.resize(n.next_multiple_of(STEP), if is_residual { 0.0 } else { 0.5 });
            }
        }
        long.mask.values.resize(n.next_multiple_of(STEP), 1);
        let _trying = Trying(|| about(name, &case));
        let mut expected = run(&long, &WHOLE);
        expected.outputs.iter_mut().for_each(|output| output.truncate(n));
        assert_same(&run(&case, &WHOLE), &expected);
    }
}

// ---- memory -------------------------------------------------------------------------------------

#[test]
fn a_result_may_take_the_place_of_an_operand() {
    let reshapes: [Reshape; 3] = [
        |_| {},
        |case| case.sides = Operand::number([0.25, 0.75]),
        |case| {
            weigh(case);
            mask(case);
            case.direction = Operand::full(Noise(5).floats(case.len(), -1.0, 1.0));
        },
    ];
    let passes = pairs(LENGTHS, pairs(0..PASS_COUNT, reshapes).collect::<Vec<_>>());
    for (&n, (index, reshape)) in some(29, passes) {
        let mut case = pass(index, n);
        reshape(&mut case);
        check_places(case);
    }
}

/// Puts the results of a case in the places of its operands, in turn.
fn check_places(mut case: Case) {
    let apart = run(&case, &WHOLE);
    let operands: Vec<_> =
        case::OPERANDS.into_iter().filter(|&name| case.full_size(name).is_some()).collect();
    for turn in 0..operands.len() {
        let places = operands.iter().copied().cycle().skip(turn).take(operands.len());
        // The sums of rows have a place of their own, and so has a result when operands run out.
        let is_full = |name: &Name| *name != Name::Out || case.want & want::ROWS == 0;
        case.aliases = case.outputs.iter().copied().filter(is_full).zip(places).collect();
        let _trying = Trying(|| about("in place", &case));
        let plan = Plan { offset: 1, call: LEAF, ..WHOLE };
        assert_same(&run(&case, &plan), &apart);
        check(&Case { accumulate: true, ..case.clone() }, &plan);
    }
}

// ---- edge values --------------------------------------------------------------------------------

/// All pairs of edge values, with both signs.
fn edge_case(want: u32) -> Case {
    let signed = signed_edges();
    let (input, target) = pairs(signed.iter().copied(), signed.iter().copied()).unzip();
    Case::new(want, input, target)
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn losses_and_slopes_hold_for_every_sort_of_number() {
    let passes = [
        (want::STORE, value as fn(Form, f64, f64) -> f64),
        (want::GRAD, slope),
        (want::CURVATURE, curvature),
    ];
    let forms = pairs([Form::SmoothL1, Form::Huber], [[1.0, 1.0], [0.25, 0.75]]);
    for ((form, sides), (want, pass)) in pairs(forms, passes) {
        for threshold in EDGES.into_iter().filter(|x| !x.is_nan()) {
            let mut case = edge_case(want);
            case.form = form;
            case.threshold = Operand::number(threshold);
            case.sides = Operand::number(sides);
            let outcome = run(&case, &WHOLE);
            let results = outcome.outputs.iter().flatten();
            for (i, &actual) in results.enumerate() {
                let (x, y) = (case.input[i], case.target[i]);
                // What the side multiplies is an f32: it may be infinite.
                let all = pass(form, threshold.into(), (x - y).into()) as f32;
                let [below, above] = case.sides_at(i);
                let side = if x - y < 0.0 { below } else { above };
                let sum = [f64::from(side) * f64::from(all)].into_iter().collect();
                assert_close(actual.into(), sum, 1e-6, &(form, threshold, sides, x, y, want));
            }
        }
    }
}

/// For beta 1: loss and slope, which have two sides, and the second derivative and that by beta, which have
/// none. Both zeros are on the upper side.
#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn each_side_of_zero_has_its_own_weight() {
    let tiny = f32::from_bits;
    let rows = [
        (f32::NEG_INFINITY, [f32::INFINITY, -0.25, 0.0, -0.5]),
        (-3.0, [0.625, -0.25, 0.0, -0.5]),
        (-0.5, [0.03125, -0.125, 1.0, -0.125]),
        (-tiny(4), [0.0, -tiny(1), 1.0, 0.0]),
        (-0.0, [0.0, -0.0, 1.0, 0.0]),
        (0.0, [0.0, 0.0, 1.0, 0.0]),
        (tiny(4), [0.0, tiny(3), 1.0, 0.0]),
        (0.5, [0.09375, 0.375, 1.0, -0.125]),
        (3.0, [1.875, 0.75, 0.0, -0.5]),
        (f32::INFINITY, [f32::INFINITY, 0.75, 0.0, -0.5]),
        (f32::NAN, [f32::NAN; 4]),
    ];
    let bits = |x: f32| bits_of(x.into());
    for ((d, expected), layout) in pairs(rows, [layout::NUMBER, layout::COLUMN]) {
        let run = |want| {
            let mut case = Case::new(want, vec![d], vec![0.0]);
            case.row_length = 1;
            case.threshold = Operand::number(1.0);
            case.sides = Operand { layout, values: vec![[0.25, 0.75]] };
            run(&case, &WHOLE)
        };
        let loss = run(want::STORE).output(Name::Out)[0];
        let slope = run(want::GRAD).output(Name::GradInput)[0];
        let curvature = run(want::CURVATURE).output(Name::GradInput)[0];
        let actual = [loss, slope, curvature, run(want::BETA).loss as f32];
        assert_eq!(actual.map(bits), expected.map(bits), "{d:e}: {actual:?}");
        assert_eq!(bits(run(want::SUM).loss as f32), bits(loss));
        let both = run(SUM_GRAD);
        assert_eq!(bits(both.loss as f32), bits(loss));
        assert_eq!(bits(both.output(Name::GradInput)[0]), bits(slope));
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn nan_anywhere_is_nan_in_loss_and_gradient() {
    for threshold in [0.0, f32::from_bits(1), 1.0, f32::MAX, f32::INFINITY] {
        for name in [Name::Input, Name::Target, Name::Inside, Name::Outside] {
            for i in [0, 15, 17] {
                let mut case = case(want::STORE | want::GRAD, 18);
                weigh(&mut case);
                case.threshold = Operand::number(threshold);
                case.full_size(name).expect("one for each element")[i] = f32::NAN;
                let outcome = run(&case, &WHOLE);
                for output in [Name::Out, Name::GradInput] {
                    let nans = outcome.output(output).iter().map(|x| x.is_nan());
                    let expected = (0..18).map(|j| i == j);
                    assert!(nans.eq(expected), "{threshold:e}, {name:?}, {output:?}: {outcome:?}");
                }
                case.want = want::SUM;
                case.outputs.clear();
                assert!(run(&case, &WHOLE).loss.is_nan());
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn what_is_masked_does_not_matter() {
    for (name, mut tame) in every_case() {
        weigh(&mut tame);
        tame.mask = Operand::full(Noise(6).mask(tame.len()));
        tame.direction = Operand::full(Noise(7).floats(tame.len(), -1.0, 1.0));
        let mut wild = tame.clone();
        for name in case::OPERANDS {
            let values = wild.full_size(name).expect("one for each element");
            for (x, &mask) in values.iter_mut().zip(&tame.mask.values) {
                if mask == 0 {
                    *x = if x.to_bits() % 2 == 0 { f32::NAN } else { f32::NEG_INFINITY };
                }
            }
        }
        let _trying = Trying(|| about(name, &wild));
        assert_same(&run(&wild, &WHOLE), &run(&tame, &WHOLE));
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_target_that_is_ignored_is_a_masked_element() {
    for (&n, index) in pairs(LENGTHS, 0..PASS_COUNT) {
        let mut ignored = pass(index, n);
        mask(&mut ignored);
        ignore_value(&mut ignored);
        // One of the two, both, both beside a mask.
        match index % 4 {
            0 => ignored.ignore_value = f32::NAN,
            1 => ignored.ignore_nan = false,
            _ => {}
        }
        if index % 4 != 3 {
            ignored.mask = Operand::number(1);
        }
        let mut masked = ignored.clone();
        masked.ignore_nan = false;
        masked.ignore_value = f32::NAN;
        let counts = (0..n).map(|i| ignored.counts(i).into()).collect();
        masked.mask = Operand::full(counts);
        let _trying = Trying(|| about("ignored", &ignored));
        assert_same(&run(&ignored, &WHOLE), &run(&masked, &WHOLE));
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_masked_result_is_plus_zero_and_so_is_the_loss_of_minus_zero() {
    let mut case = Case::new(want::STORE | want::GRAD, vec![-0.0; 18], vec![0.0; 18]);
    case.outputs.extend(&GRADIENTS[1..]);
    let losses = run(&case, &WHOLE);
    assert!(losses.output(Name::Out).iter().all(|loss| loss.to_bits() == 0), "{losses:?}");
    case.mask = Operand::full(vec![0; 18]);
    let masked = run(&case, &WHOLE);
    assert!(masked.outputs.iter().flatten().all(|x| x.to_bits() == 0), "{masked:?}");
}

// ---- any job ------------------------------------------------------------------------------------

/// A fixed seed: a run that fails can be repeated.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) {
            5
        } else if IS_SLOW {
            20
        } else {
            cases
        },
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0),
        ..ProptestConfig::default()
    }
}

/// What the search of `npm run fuzz:kernel` has found to be worth a try.
#[test]
fn the_corpus_of_the_search_agrees_with_the_textbook() {
    for line in some(9, include_str!("kernel/fuzz/corpus.txt").lines()) {
        let byte = |i| u8::from_str_radix(&line[i..i + 2], 16).expect("two hexadecimal digits");
        let bytes: Vec<_> = (0..line.len()).step_by(2).map(byte).collect();
        let _trying = Trying(|| format!("npm run fuzz:kernel -- --case {line}"));
        any::check(&bytes, LONGEST);
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn any_job_agrees_with_the_textbook(bytes in collection::vec(any::<u8>(), 0..90)) {
        any::check(&bytes, LONGEST);
    }
}

proptest! {
    #![proptest_config(config(20_000))]

    #[test]
    fn any_residual_has_the_loss_and_the_slope_of_the_textbook(
        x in num::f32::ANY,
        y in num::f32::ANY,
        threshold in num::f32::POSITIVE | num::f32::NORMAL | num::f32::SUBNORMAL | num::f32::ZERO | num::f32::INFINITE,
        is_huber: bool,
    ) {
        let mut case = Case::new(want::STORE | want::GRAD, vec![x], vec![y]);
        case.form = if is_huber { Form::Huber } else { Form::SmoothL1 };
        case.threshold = Operand::number(threshold);
        check(&case, &WHOLE);
    }
}

// ---- lanes --------------------------------------------------------------------------------------

/// Vectors with every pair of edge values.
fn vectors() -> impl Iterator<Item = (Vector, Vector)> {
    let edges = signed_edges();
    let n = edges.len();
    let vector = move |i: usize, step: usize| each(|k| edges[(i + k * step) % n]);
    some(11, 0..n * n).map(move |i| (vector(i % n, 1), vector(i / n, 5)))
}

fn each<T>(f: impl FnMut(usize) -> T) -> [T; LANES] {
    std::array::from_fn(f)
}

fn mask_of(set: bool) -> u32 {
    if set { u32::MAX } else { 0 }
}

#[test]
fn lanes_do_arithmetic() {
    let bits = |v: Vector| v.map(|x| bits_of(x.into()));
    for (a, b) in vectors() {
        assert_eq!(bits(a.add(b)), bits(each(|i| a[i] + b[i])));
        assert_eq!(bits(a.sub(b)), bits(each(|i| a[i] - b[i])));
        assert_eq!(bits(a.mul(b)), bits(each(|i| a[i] * b[i])));
        assert_eq!(bits(Vector::splat(a[0])), bits([a[0]; LANES]));
        let [p, q, r, s] = a.map(f64::from);
        assert_eq!(bits_of(a.fold()), bits_of((p + q) + (r + s)));
    }
}

#[test]
fn lanes_fold_in_pairs() {
    let large = (1_u64 << 60) as f32;
    assert_eq!([1.0, 0.0, large, -large].fold(), 1.0);
    assert_eq!([large, -large, 1.0, 0.0].fold(), 1.0);
    assert_eq!([1.0, large, 0.0, -large].fold(), 0.0);
}

#[test]
fn lanes_compare_and_select() {
    let bits = |v: Vector| v.map(f32::to_bits);
    for (a, b) in vectors() {
        let limit = b.map(|x| if x.is_nan() { 1.0 } else { x });
        let (high, low) = (limit.map(|x| x + 0.0), limit.map(|x| -(x + 0.0)));
        let p = |i: usize| if high[i] < a[i] { high[i] } else { a[i] };
        let q = |i: usize| if a[i] < low[i] { low[i] } else { a[i] };
        assert_eq!(bits(a.pmin(high)), each(|i| p(i).to_bits()));
        assert_eq!(bits(a.pmax(low)), each(|i| q(i).to_bits()));
        assert_eq!(bits(a.abs()), each(|i| a[i].abs().to_bits()));
        assert_eq!(bits(a.eq(b)), each(|i| mask_of(a[i] == b[i])));
        assert_eq!(bits(a.ge(b)), each(|i| mask_of(a[i] >= b[i])));
        assert_eq!(bits(a.nan()), each(|i| mask_of(a[i].is_nan())));
        let (nan, equal) = (a.nan(), a.eq(b));
        assert_eq!(bits(nan.or(equal)), each(|i| mask_of(a[i].is_nan() || a[i] == b[i])));
        assert_eq!(bits(b.drop(nan)), each(|i| if a[i].is_nan() { 0 } else { b[i].to_bits() }));
    }
}

#[test]
fn lanes_find_the_least_bits() {
    for (a, b) in vectors() {
        let bits = |x: f32| x.to_bits() as i32;
        let least = a.min_bits(b);
        assert_eq!(least.map(bits), each(|i| bits(a[i]).min(bits(b[i]))));
        assert_eq!(Some(a.least_bits()), a.map(bits).into_iter().min());
    }
}

/// For these, min and max of ARM64 give other bits than pmin and pmax.
#[test]
#[cfg(debug_assertions)]
fn lanes_refuse_limits_of_nan_or_the_other_zero() {
    let refuses = |limit: fn(Vector, Vector) -> Vector, x: f32| {
        let one_lane = each(|i| if i == 2 { x } else { 1.0 });
        std::panic::catch_unwind(|| limit([1.0; LANES], one_lane)).is_err()
    };
    let both = |x: f32| [refuses(Vector::pmin, x), refuses(Vector::pmax, x)];
    assert_eq!(both(f32::NAN), [true, true]);
    assert_eq!(both(-0.0), [true, false]);
    assert_eq!(both(0.0), [false, true]);
}

#[test]
fn lanes_find_zero_bytes() {
    for set in 0..1 << LANES {
        let zero: [bool; LANES] = each(|i| set >> i & 1 != 0);
        let bytes = each(|i| if zero[i] { 0 } else { 1 << (2 * i) });
        let mask = unsafe { Vector::zero_byte4(&bytes) };
        assert_eq!(mask.map(f32::to_bits), zero.map(mask_of));

        let mut more = [7; 4 * LANES];
        for j in 0..4 {
            more[j * LANES..][..LANES].copy_from_slice(&bytes);
            let masks = unsafe { Vector::zero_bytes(&more) };
            assert_eq!(masks[j].map(f32::to_bits), zero.map(mask_of));
        }
    }
}

#[test]
fn lanes_load_and_store_at_any_float() {
    let from: [f32; 8] = std::array::from_fn(|i| i as f32);
    for at in 0..=LANES {
        let mut to = [-1.0; 8];
        unsafe { Vector::load(from.as_ptr().add(at)).store(to.as_mut_ptr().add(LANES - at)) };
        let mut expected = [-1.0; 8];
        expected[LANES - at..][..LANES].copy_from_slice(&from[at..][..LANES]);
        assert_eq!(to, expected);
    }
}
