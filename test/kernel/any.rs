//! Any job, from any bytes. Each byte is a choice, and 0, which stands for those that are missing too, is the
//! simplest one. The last bytes are single values of any bits.

use smooth_l1::exact::BLOCK;
use smooth_l1::job::{count, layout, want};
use smooth_l1::kernel::{DERIVATIVES, LOSS};
use smooth_l1::tiles::{LEAF, PIECE};

use crate::case::{Case, GRADIENTS, Name, OPERANDS, Operand, Outcome, Plan, WHOLE, bits_of, run};
use crate::check::{Trying, assert_same};
use crate::formula::Form;
use crate::numbers::{Noise, signed_edges};
use crate::oracle::{documented_sum, exact_sum};

/// Checks the job that `bytes` stand for, with so many elements at most: against the textbook, against the
/// loop for all shapes with an array of floats for each operand, and its sums against its losses.
pub fn check(bytes: &[u8], longest: usize) {
    let (case, plan) = decode(bytes, longest);
    let _trying = Trying(|| about(&case, &plan));
    let outcome = crate::check::check(&case, &plan);
    let general = run(&generalized(&case), &WHOLE);
    // The order of a sum depends on where calls begin, but for those that begin at a piece.
    let is_in_order =
        [plan.stage, plan.call].iter().all(|size| *size >= case.len() || size % PIECE == 0);
    if is_in_order {
        assert_same(&outcome, &general);
    } else {
        let Outcome { loss, count, .. } = outcome;
        assert_same(&outcome, &Outcome { loss, count, ..general.clone() });
    }
    if case.want & LOSS != 0 && case.want & DERIVATIVES == 0 {
        let losses = losses_of(&case);
        if case.want & want::SUM != 0 {
            assert_eq!(bits_of(general.loss), bits_of(documented_sum(&losses)), "the loss");
        }
        if case.want & want::EXACT != 0 {
            assert_eq!(general.exact_loss, exact_sum(losses), "the exact loss");
        }
    }
    if case.count == count::EXACT_WEIGHTS {
        let counted = (0..case.len()).filter(|&i| case.counts(i));
        let weights = counted.map(|i| case.outside.at(i, case.row_length));
        assert_eq!(general.exact_count, exact_sum(weights), "the exact count");
    }
}

fn about(case: &Case, plan: &Plan) -> String {
    let start = |values: &[f32]| format!("{:?}", &values[..values.len().min(8)]);
    let operand = |operand: &Operand<f32>| (operand.layout, start(&operand.values));
    let Case { inside, outside, upstream, direction, threshold, .. } = case;
    format!(
        "{plan:?}\n{} elements in rows of {}, want {:#b}, count {}, more shape {:#b}, types {:?}\n\
         {:?} {:?}, sides {:?}, input {}, target {}\n\
         inside {:?}, outside {:?}, upstream {:?}, direction {:?}, mask {:?}, ignored {} {}\n\
         scales {:?}, accumulate {}, outputs {:?}, aliases {:?}",
        case.len(),
        case.row_length,
        case.want,
        case.count,
        case.more_shape,
        case.types,
        case.form,
        operand(threshold),
        case.sides.values.first(),
        start(&case.input),
        start(&case.target),
        operand(inside),
        operand(outside),
        operand(upstream),
        operand(direction),
        (case.mask.layout, case.mask.values.iter().take(8)),
        case.ignore_nan,
        case.ignore_value,
        [case.scale, case.grad_scale, case.shift],
        case.accumulate,
        case.outputs,
        case.aliases,
    )
}

/// The same job in the loop for all shapes, without tiles but those of the curve.
fn generalized(case: &Case) -> Case {
    let n = case.len();
    let full = |operand: &Operand<f32>| {
        Operand::full((0..n).map(|i| operand.at(i, case.row_length)).collect())
    };
    Case {
        more_shape: 63,
        types: [layout::FULL; 2],
        inside: full(&case.inside),
        outside: full(&case.outside),
        upstream: full(&case.upstream),
        direction: full(&case.direction),
        mask: Operand::full((0..n).map(|i| case.counts(i).into()).collect()),
        ignore_nan: false,
        ignore_value: f32::NAN,
        // Gradients are added to what is there.
        aliases: if case.accumulate { case.aliases.clone() } else { Vec::new() },
        ..case.clone()
    }
}

fn losses_of(case: &Case) -> Vec<f32> {
    let stored = Case {
        want: want::STORE,
        count: count::NOTHING,
        scale: 1.0,
        outputs: vec![Name::Out],
        aliases: Vec::new(),
        ..case.clone()
    };
    run(&stored, &WHOLE).output(Name::Out).to_vec()
}

/// What is left of the bytes.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        (*first).into()
    }

    fn bit(&mut self) -> bool {
        self.next() % 2 == 1
    }

    /// For what keeps a job from most of the loops: all of it at once would leave few to the plain ones.
    fn seldom(&mut self) -> bool {
        self.next() % 4 == 1
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.next() % all.len()]
    }

    /// One of these sizes, or one that is up to 19 away from it.
    fn near(&mut self, sizes: &[usize]) -> usize {
        let size = self.one_of(sizes);
        match self.next() % 40 {
            more @ 0..20 => size.saturating_add(more),
            less => size.saturating_sub(less - 20),
        }
    }

    fn bits(&mut self) -> f32 {
        f32::from_bits(u32::from_le_bytes([(); 4].map(|()| self.next() as u8)))
    }
}

fn decode(bytes: &[u8], longest: usize) -> (Case, Plan) {
    let mut bytes = Bytes(bytes);
    let n = bytes.near(&[0, 16, 32, 64, BLOCK, LEAF, LEAF + BLOCK, 2 * LEAF, 3 * LEAF, PIECE]);
    let n = n.min(longest);
    let want = any_want(&mut bytes);
    let noise = |bytes: &mut Bytes| Noise(bytes.next() as u64);
    let mut case = {
        let style = bytes.next();
        let mut noise = noise(&mut bytes);
        Case::new(want, any_values(&mut noise, style, n), any_values(&mut noise, style, n))
    };
    if want & (want::BETA | want::DELTA) == 0 && bytes.bit() {
        case.form = Form::Huber;
    }
    case.row_length = bytes.near(&[1, 4, 8, 16, 64, BLOCK, LEAF, 2 * LEAF]).clamp(1, longest);
    let row_length = case.row_length;

    let len_of = |layout| match layout {
        layout::FULL => n,
        layout::ROW => n.div_ceil(row_length),
        _ => row_length,
    };
    let operand = |bytes: &mut Bytes, layouts: &[u32]| {
        let layout = bytes.one_of(layouts);
        let mut noise = noise(bytes);
        if layout == layout::NUMBER {
            let is_one = !bytes.seldom();
            return Operand::number(if is_one { 1.0 } else { bytes.one_of(&[0.5, 0.0, -1.5]) });
        }
        let values = any_weights(&mut noise, bytes.next(), len_of(layout));
        Operand { layout, values }
    };
    const LAYOUTS: [u32; 6] =
        [layout::NUMBER, layout::FULL, layout::ROW, layout::COLUMN, layout::NUMBER, layout::NUMBER];
    case.inside = operand(&mut bytes, &LAYOUTS);
    case.outside = operand(&mut bytes, &LAYOUTS);
    case.upstream = operand(&mut bytes, &LAYOUTS);
    case.direction = operand(&mut bytes, &LAYOUTS[..2]);
    let layout = bytes.one_of(&LAYOUTS);
    if layout != layout::NUMBER {
        let len = len_of(layout);
        case.mask = Operand { layout, values: noise(&mut bytes).mask(len) };
    }

    case.threshold = Operand::number(if bytes.seldom() {
        bytes.one_of(&[0.0, f32::INFINITY, 3e38, 1e-40, f32::MAX])
    } else {
        bytes.one_of(&[1.3, 1.0, 0.1])
    });
    if bytes.seldom() {
        case.sides = Operand::number(bytes.one_of(&[[0.25, 0.75], [1.0, 0.5], [0.0, 1.0]]));
    }
    let mut columns = noise(&mut bytes);
    if bytes.seldom() {
        let values = columns.thresholds(row_length);
        case.threshold = Operand { layout: layout::COLUMN, values };
    }
    if bytes.seldom() {
        case.sides = Operand { layout: layout::COLUMN, values: columns.sides(row_length) };
    }

    // A job that wants nothing else counts.
    if want == want::NOTHING || want & DERIVATIVES == 0 && bytes.seldom() {
        case.count = 1 + bytes.next() as u32 % 4;
    }
    case.scale = bytes.one_of(&[1.0, 0.75, -1.5]);
    case.grad_scale = bytes.one_of(&[1.0, -1.5, 0.5]);
    case.shift = bytes.one_of(&[0.0, -0.25]);
    case.accumulate = bytes.seldom();
    if bytes.seldom() {
        case.more_shape = bytes.next() as u32 % 64;
    }
    case.ignore_nan = bytes.seldom();
    if bytes.seldom() && n > 0 {
        case.ignore_value = case.target[bytes.next() % n];
    }
    let outputs = if bytes.seldom() { bytes.next() } else { 0 };
    let turn = bytes.next();
    let sizes = [usize::MAX, LEAF, PIECE, 16, 64, BLOCK];
    let plan = Plan {
        offset: bytes.next() % 4,
        margin: bytes.one_of(&[0, 0, 0, 5]),
        // Each of them takes time.
        stage: bytes.near(&sizes).max(n / 64 + 1),
        call: bytes.near(&sizes).max(n / 64 + 1),
        lead: 0,
    };
    const TYPES: [u32; 4] = [layout::FULL, layout::FLOAT16, layout::BFLOAT16, layout::FULL];
    let types = [(); 2].map(|()| bytes.one_of(&TYPES));
    change(&mut case, &mut bytes);
    let mut case = case.with_types(types);

    if want & want::GRAD != 0 {
        let is_wanted = |i: usize| (outputs ^ 1) >> i & 1 != 0;
        case.outputs.retain(|name| *name != Name::GradInput);
        case.outputs.extend((0..4).filter(|&i| is_wanted(i)).map(|i| GRADIENTS[i]));
    }
    if turn != 0 {
        place(&mut case, turn);
    }
    (case, plan)
}

/// What a pass may compute at once.
fn any_want(bytes: &mut Bytes) -> u32 {
    let mut wanted = bytes.one_of(&[
        want::SUM,
        want::NOTHING,
        want::STORE,
        want::ROWS,
        want::EXACT,
        want::SUM | want::STORE,
        want::SUM | want::ROWS,
        want::CURVATURE,
        want::BETA,
        want::DELTA,
        want::BETA | want::EXACT,
        want::DELTA | want::EXACT,
    ]);
    let more = bytes.next();
    if wanted & DERIVATIVES == 0 {
        wanted |= [0, want::GRAD][more % 2] | [0, want::ROBUST][more / 4 % 2];
    }
    if wanted & (want::GRAD | DERIVATIVES) != 0 {
        wanted |= [0, want::UPSTREAM][more / 2 % 2];
    }
    wanted
}

fn any_values(noise: &mut Noise, style: usize, n: usize) -> Vec<f32> {
    let edges = signed_edges();
    let any = |value: &mut dyn FnMut(u64) -> f32, noise: &mut Noise| {
        (0..n).map(|_| value(noise.next())).collect()
    };
    match style % 6 {
        0 => noise.floats(n, -2.0, 2.0),
        1 => any(&mut |x| (x % 7) as f32 - 3.0, noise),
        2 => any(&mut |x| edges[x as usize % edges.len()], noise),
        3 => any(&mut |x| f32::from_bits(x as u32), noise),
        // Of 64 powers of two.
        4 => any(&mut |x| f32::from_bits(x as u32 & !(1 << 30) | 1 << 29), noise),
        _ => vec![noise.float(-2.0, 2.0); n],
    }
}

fn any_weights(noise: &mut Noise, style: usize, n: usize) -> Vec<f32> {
    match style % 4 {
        0 => noise.weights(n),
        style => any_values(noise, style, n),
    }
}

/// Single values, as the rest of the bytes says.
fn change(case: &mut Case, bytes: &mut Bytes) {
    while !bytes.0.is_empty() {
        let which = bytes.next() % 11;
        let at = bytes.next() | bytes.next() << 8;
        let x = bytes.bits();
        fn put<T>(values: &mut [T], at: usize, x: T) {
            if !values.is_empty() {
                let len = values.len();
                values[at % len] = x;
            }
        }
        let share = (x.abs() % 1.0).max(0.0);
        match which {
            0 => put(&mut case.input, at, x),
            1 => put(&mut case.target, at, x),
            2 => put(&mut case.inside.values, at, x),
            3 => put(&mut case.outside.values, at, x),
            4 => put(&mut case.upstream.values, at, x),
            5 => put(&mut case.direction.values, at, x),
            6 if case.mask.layout != layout::NUMBER => {
                put(&mut case.mask.values, at, x.to_bits() as u8);
            }
            7 if !x.is_nan() => put(&mut case.threshold.values, at, x.abs()),
            8 => put(&mut case.sides.values, at, [share, 1.0 - share]),
            9 => case.scale = x,
            10 => case.grad_scale = x,
            _ => {}
        }
    }
}

/// Puts results in the places of operands, in turn.
fn place(case: &mut Case, turn: usize) {
    let is_float = |name: Name| match name {
        Name::Input => case.types[0] == layout::FULL,
        Name::Target => case.types[1] == layout::FULL,
        _ => true,
    };
    let mut places: Vec<_> = OPERANDS.into_iter().filter(|&name| is_float(name)).collect();
    places.retain(|&name| case.full_size(name).is_some());
    let is_full = |name: &Name| *name != Name::Out || case.want & want::ROWS == 0;
    let len = places.len();
    let places = places.into_iter().cycle().skip(turn).take(len);
    case.aliases = case.outputs.iter().copied().filter(is_full).zip(places).collect();
}
