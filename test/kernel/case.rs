//! A job written down as plain values, and a runner that lays it out in memory for the kernel: in
//! one call or in many, in place or piece by piece through buffers, as the wrapper does.

use std::iter;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::OnceLock;

use smooth_l1::exact::{DIGITS, Exact};
use smooth_l1::job::{Job, Operand as JobOperand, count, ignore, layout, want};
use smooth_l1::kernel::{self, DERIVATIVES};
use smooth_l1::lanes::LANES;
use smooth_l1::tiles::{Sum, Totals, Work};

use crate::formula::{Form, curve_of};

/// One value for all elements, or one for each element, row or column.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand<T> {
    pub layout: u32,
    pub values: Vec<T>,
}

impl<T: Copy> Operand<T> {
    pub fn number(value: T) -> Self {
        Operand { layout: layout::NUMBER, values: vec![value] }
    }

    pub fn full(values: Vec<T>) -> Self {
        Operand { layout: layout::FULL, values }
    }

    pub fn at(&self, i: usize, row_length: usize) -> T {
        self.values[match self.layout {
            layout::FULL => i,
            layout::ROW => i / row_length,
            layout::COLUMN => i % row_length,
            _ => 0,
        }]
    }

    /// The values that the kernel reads from memory for `elements`.
    fn part(&self, elements: &Range<usize>, row_length: usize) -> Option<&[T]> {
        match self.layout {
            layout::FULL => Some(&self.values[elements.clone()]),
            layout::ROW => Some(&self.values[rows(elements, row_length)]),
            layout::COLUMN => Some(&self.values),
            _ => None,
        }
    }
}

/// The rows that have an element among `elements`.
fn rows(elements: &Range<usize>, row_length: usize) -> Range<usize> {
    elements.start / row_length..elements.end.div_ceil(row_length)
}

/// The arrays of floats of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Name {
    Input,
    Target,
    Inside,
    Outside,
    Upstream,
    Direction,
    Curves,
    Out,
    GradInput,
    GradTarget,
    GradInside,
    GradOutside,
    RobustWeights,
}

pub const OUTPUTS: [Name; 6] = [
    Name::Out,
    Name::GradInput,
    Name::GradTarget,
    Name::GradInside,
    Name::GradOutside,
    Name::RobustWeights,
];

/// The operands that can have one value for each element.
pub const OPERANDS: [Name; 6] =
    [Name::Input, Name::Target, Name::Inside, Name::Outside, Name::Upstream, Name::Direction];
pub const GRADIENTS: [Name; 4] =
    [Name::GradInput, Name::GradTarget, Name::GradInside, Name::GradOutside];

/// The weights of residuals below 0 and of all others.
pub type Sides = [f32; 2];

/// A job. Its shape and its curves follow from the rest.
#[derive(Clone, Debug)]
pub struct Case {
    pub want: u32,
    /// Bits of the shape beyond those that the job needs.
    pub more_shape: u32,
    pub form: Form,
    /// A number, or one for each column.
    pub threshold: Operand<f32>,
    /// One pair, or one for each column.
    pub sides: Operand<Sides>,
    pub input: Vec<f32>,
    pub target: Vec<f32>,
    /// The layouts of the two, which say what type they are in memory. All of their values have that type.
    pub types: [u32; 2],
    pub row_length: usize,
    pub inside: Operand<f32>,
    pub outside: Operand<f32>,
    pub upstream: Operand<f32>,
    /// One value for each element, or one number.
    pub direction: Operand<f32>,
    pub mask: Operand<u8>,
    pub ignore_nan: bool,
    /// NaN: none.
    pub ignore_value: f32,
    pub count: u32,
    pub scale: f32,
    pub grad_scale: f32,
    pub shift: f32,
    pub accumulate: bool,
    pub outputs: Vec<Name>,
    /// Outputs and the full-size operands in whose place they are.
    pub aliases: Vec<(Name, Name)>,
}

impl Case {
    /// Whether an element is not masked.
    pub fn counts(&self, i: usize) -> bool {
        let y = self.target[i];
        self.mask.at(i, self.row_length) != 0
            && !(self.ignore_nan && y.is_nan())
            && y != self.ignore_value
    }

    /// A job with nothing but an input and a target.
    pub fn new(want: u32, input: Vec<f32>, target: Vec<f32>) -> Self {
        let mut outputs = Vec::new();
        if want & (want::STORE | want::ROWS) != 0 {
            outputs.push(Name::Out);
        }
        if want & (want::GRAD | want::CURVATURE) != 0 {
            outputs.push(Name::GradInput);
        }
        if want & want::ROBUST != 0 {
            outputs.push(Name::RobustWeights);
        }
        Case {
            want,
            more_shape: 0,
            form: if want & want::DELTA != 0 { Form::Huber } else { Form::SmoothL1 },
            threshold: Operand::number(1.3),
            sides: Operand::number([1.0, 1.0]),
            input,
            target,
            types: [layout::FULL; 2],
            row_length: 5,
            inside: Operand::number(1.0),
            outside: Operand::number(1.0),
            upstream: Operand::number(1.0),
            direction: Operand::number(1.0),
            mask: Operand::number(1),
            ignore_nan: false,
            ignore_value: f32::NAN,
            count: count::NOTHING,
            scale: 1.0,
            grad_scale: 1.0,
            shift: 0.0,
            accumulate: false,
            outputs,
            aliases: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.input.len()
    }

    /// The same with inputs of these types, rounded towards 0.
    pub fn with_types(mut self, types: [u32; 2]) -> Self {
        self.types = types;
        for (values, half) in [&mut self.input, &mut self.target].into_iter().zip(types) {
            if half != layout::FULL {
                values.iter_mut().for_each(|x| *x = widened(half, narrowed(half, *x)));
            }
        }
        self
    }

    /// Losses and gradients have two sides, second derivatives and those to a threshold do not.
    fn has_sides(&self) -> bool {
        self.want & DERIVATIVES == 0
    }

    /// The weights below 0 and above, of an element or a column.
    pub fn sides_at(&self, i: usize) -> Sides {
        if self.has_sides() { self.sides.at(i, self.row_length) } else { [1.0, 1.0] }
    }

    fn has_columns(&self) -> bool {
        self.threshold.layout == layout::COLUMN
            || self.has_sides() && self.sides.layout == layout::COLUMN
    }

    /// The six numbers of each column, or those of all elements.
    fn curves(&self) -> Vec<[f32; 6]> {
        let curve = |column| {
            let threshold = self.threshold.at(column, self.row_length);
            let [pre, inv, lim, mut half] = curve_of(self.form, threshold);
            if self.want & want::CURVATURE != 0 {
                half = threshold;
            }
            let [below, above] = self.sides_at(column);
            [pre, inv, lim, half, below, above]
        };
        (0..if self.has_columns() { self.row_length } else { 1 }).map(curve).collect()
    }

    /// The values of an operand that has one for each element.
    pub fn full_size(&mut self, name: Name) -> Option<&mut Vec<f32>> {
        let operand = match name {
            Name::Input => return Some(&mut self.input),
            Name::Target => return Some(&mut self.target),
            Name::Inside => &mut self.inside,
            Name::Outside => &mut self.outside,
            Name::Upstream => &mut self.upstream,
            Name::Direction => &mut self.direction,
            _ => return None,
        };
        (operand.layout == layout::FULL).then_some(&mut operand.values)
    }

    /// What an output holds before the job.
    pub fn before(&self, output: Name) -> Vec<f32> {
        if let Some(&(_, operand)) = self.aliases.iter().find(|(name, _)| *name == output) {
            return self.clone().full_size(operand).expect("an operand of full size").clone();
        }
        place_of(self, output, &(0..self.len())).map(|i| 1.0 + (i % 3) as f32).collect()
    }
}

/// The number that 16 bits of this type stand for.
pub fn widened(half: u32, bits: u16) -> f32 {
    let (fraction_bits, bias) = if half == layout::FLOAT16 { (10, 15) } else { (7, 127) };
    let magnitude = i32::from(bits & 0x7fff);
    let exponent = magnitude >> fraction_bits;
    let fraction = magnitude & ((1 << fraction_bits) - 1);
    let unit = |exponent: i32| f64::from(exponent - bias - fraction_bits).exp2();
    let value = match (exponent, fraction) {
        (0, _) => f64::from(fraction) * unit(1),
        (_, 0) if exponent == 2 * bias + 1 => f64::INFINITY,
        _ if exponent == 2 * bias + 1 => f64::NAN,
        _ => f64::from(fraction + (1 << fraction_bits)) * unit(exponent),
    };
    (if bits >> 15 == 0 { value } else { -value }) as f32
}

/// All that this type has from 0 to infinity, in order: the place of a number is its bits.
fn magnitudes(half: u32) -> &'static [f32] {
    static ALL: [OnceLock<Vec<f32>>; 2] = [OnceLock::new(), OnceLock::new()];
    let (all, infinity) =
        if half == layout::FLOAT16 { (&ALL[0], 0x7c00) } else { (&ALL[1], 0x7f80) };
    all.get_or_init(|| (0..=infinity).map(|bits| widened(half, bits)).collect())
}

/// The bits of the number next to `x` towards 0.
fn narrowed(half: u32, x: f32) -> u16 {
    let all = magnitudes(half);
    // NaN: the first bits above those of infinity.
    let above = all.partition_point(|&y| x.is_nan() || y <= x.abs());
    let bits = if x.is_nan() { above } else { above - 1 } as u16;
    if x.is_sign_negative() { bits | 0x8000 } else { bits }
}

/// How a case is laid out and cut into calls.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Floats before each array. Allocations start at a vector, so this is the place within one.
    pub offset: usize,
    /// Floats after each array. Without any, Miri and Valgrind see what goes past the end.
    pub margin: usize,
    /// Elements that are in memory at once, in buffers of just that size.
    pub stage: usize,
    /// Elements of one call.
    pub call: usize,
    /// Elements of a call before these.
    pub lead: usize,
}

pub const WHOLE: Plan = Plan { offset: 0, margin: 0, stage: usize::MAX, call: usize::MAX, lead: 0 };

/// What a case leaves behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub loss: f64,
    pub count: f64,
    /// The sum of a row that did not end.
    pub row: f64,
    pub exact_loss: Exact,
    pub exact_count: Exact,
    /// In the order of [`OUTPUTS`]; empty without an array.
    pub outputs: [Vec<f32>; 6],
}

impl Outcome {
    pub fn output(&self, name: Name) -> &[f32] {
        &self.outputs[OUTPUTS.iter().position(|&output| output == name).expect("an output")]
    }

    /// All bits, but those that tell one NaN from another, which no engine promises.
    pub fn bits(&self) -> Vec<u64> {
        let totals = [self.loss, self.count, self.row];
        let values = self.outputs.iter().flatten().map(|&x| f64::from(x));
        totals.into_iter().chain(values).map(bits_of).collect()
    }
}

pub fn bits_of(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }
}

pub fn run(case: &Case, plan: &Plan) -> Outcome {
    // NaN in every tile, zeros among the bytes of the mask: what is read without having been written
    // shows in the results. A copy: Miri takes ten seconds for a loop.
    static NANS: [f32; size_of::<Work>() / size_of::<f32>()] =
        [f32::NAN; size_of::<Work>() / size_of::<f32>()];
    let mut work = Box::new(MaybeUninit::<Work>::uninit());
    let work = work.as_mut_ptr();
    unsafe {
        work.cast::<f32>().copy_from_nonoverlapping(NANS.as_ptr(), NANS.len());
        // What a run leaves of its last piece is of no use to the next.
        let sum = || Sum { total: 0.0, before: f64::NAN, piece: f64::NAN };
        (*work).totals = Totals { loss: sum(), count: sum(), row: 0.0 };
        (*work).exact_loss = Exact { digits: [0; DIGITS], specials: 0 };
        (*work).exact_count = (*work).exact_loss;
    }
    let mut outputs = OUTPUTS
        .map(|name| if case.outputs.contains(&name) { case.before(name) } else { Vec::new() });
    for stage in pieces(0..case.len(), plan.stage) {
        let mut memory = Memory::new(case, plan, &stage, &outputs);
        let job = memory.job(case, &stage);
        let start = stage.end.min(stage.start + plan.lead);
        let calls = pieces(start..stage.end, plan.call);
        for call in iter::once(stage.start..start).chain(calls) {
            unsafe { kernel::run::<[f32; LANES]>(&job, call.start, call.len(), work) };
        }
        memory.check(case);
        for (output, name) in outputs.iter_mut().zip(OUTPUTS) {
            if !output.is_empty() {
                let place = place_of(case, name, &stage);
                output[place].copy_from_slice(memory.values(memory.home_of(name)));
            }
        }
    }
    let Totals { loss, count, row } = unsafe { (&raw const (*work).totals).read() };
    let [exact_loss, exact_count] = unsafe { [(*work).exact_loss, (*work).exact_count] };
    Outcome { loss: loss.total, count: count.total, row, exact_loss, exact_count, outputs }
}

/// Cuts a range. An empty one is one piece: a call with nothing to do is a call too.
fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (range.start..range.end.max(range.start + 1)).step_by(size);
    starts.map(move |at| at..range.end.min(at.saturating_add(size)))
}

/// Where in an output the results of `elements` are.
fn place_of(case: &Case, output: Name, elements: &Range<usize>) -> Range<usize> {
    if output == Name::Out && case.want & want::ROWS != 0 {
        rows(elements, case.row_length)
    } else {
        elements.clone()
    }
}

/// A value that no operand has. Each result that it gets into is wrong.
const CANARY: f32 = 1.2345e30;

struct Array {
    name: Name,
    cells: Vec<f32>,
    before: Vec<f32>,
    values: Range<usize>,
}

/// The arrays of a case for some of its elements.
struct Memory {
    arrays: Vec<Array>,
    /// Input and target as 16 bits.
    halves: [Vec<u16>; 2],
    half_offset: usize,
    mask: Vec<u8>,
    mask_offset: usize,
    aliases: Vec<(Name, Name)>,
}

impl Memory {
    /// What the job does not read has no memory.
    fn new(case: &Case, plan: &Plan, elements: &Range<usize>, outputs: &[Vec<f32>; 6]) -> Self {
        let has_residuals = case.want != want::NOTHING;
        let reads_inputs = has_residuals || case.ignore_nan || !case.ignore_value.is_nan();
        let mut memory = Memory {
            arrays: Vec::new(),
            halves: [(case.types[0], &case.input), (case.types[1], &case.target)].map(
                |(half, values)| {
                    if half == layout::FULL || !reads_inputs {
                        return Vec::new();
                    }
                    let values = values[elements.clone()].iter().map(|&x| narrowed(half, x));
                    // Boxed: nothing that is not a value is there to be read.
                    let cells: Box<[u16]> =
                        vec![0x7fff; plan.offset].into_iter().chain(values).collect();
                    cells.into_vec()
                },
            ),
            half_offset: plan.offset,
            mask: vec![1; plan.offset],
            mask_offset: plan.offset,
            aliases: case.aliases.clone(),
        };
        let mut add = |name: Name, values: &[f32]| {
            memory.arrays.push(Array::new(name, values, plan));
        };
        if reads_inputs {
            add(Name::Input, &case.input[elements.clone()]);
            add(Name::Target, &case.target[elements.clone()]);
        }
        let is_home = |name: Name| case.aliases.iter().any(|alias| alias.1 == name);
        for (is_read, name, operand) in [
            (has_residuals, Name::Inside, &case.inside),
            (true, Name::Outside, &case.outside),
            (case.want & want::UPSTREAM != 0, Name::Upstream, &case.upstream),
            (case.want & want::CURVATURE != 0, Name::Direction, &case.direction),
        ] {
            match operand.part(elements, case.row_length) {
                Some(values) if is_read || is_home(name) => add(name, values),
                _ => {}
            }
        }
        if case.has_columns() {
            add(Name::Curves, &transpose(&case.curves()));
        }
        for (name, values) in OUTPUTS.into_iter().zip(outputs) {
            if !values.is_empty() && !case.aliases.iter().any(|alias| alias.0 == name) {
                add(name, &values[place_of(case, name, elements)]);
            }
        }
        memory.mask.extend(case.mask.part(elements, case.row_length).unwrap_or_default());
        memory.mask.shrink_to_fit();
        memory
    }

    fn job(&mut self, case: &Case, elements: &Range<usize>) -> Job {
        // What ruins a result that it gets into.
        const UNUSED: f32 = f32::NAN;
        // With the layout of a number this would be no weight.
        const UNUSED_NUMBER: f32 = 1.0;
        let curves = case.curves();
        let [mut pre, mut inv, mut lim, mut half, mut below, mut above] = curves[0];
        let curves_layout = if case.has_columns() { layout::COLUMN } else { layout::NUMBER };
        if case.has_columns() {
            [pre, inv, lim, half] = [UNUSED; 4];
            let is_sided = |index: usize| curves.iter().any(|curve| curve[index] != 1.0);
            [below, above] = [4, 5].map(|index| if is_sided(index) { UNUSED } else { 1.0 });
        }
        let mut operand = |name, layout, number: &[f32]| JobOperand {
            layout,
            pointer: self.place_of(name).cast_const().cast(),
            number: if layout == layout::NUMBER { number[0] } else { UNUSED_NUMBER },
        };
        let mut job = Job {
            want: case.want,
            shape: 0,
            count: case.count,
            accumulate: case.accumulate.into(),
            ignore: if case.ignore_nan { ignore::NAN } else { 0 }
                | if case.ignore_value.is_nan() { 0 } else { ignore::VALUE },
            ignore_value: case.ignore_value,
            origin: elements.start,
            row_length: case.row_length,
            row_origin: elements.start.checked_div(case.row_length).unwrap_or(0),
            pre,
            inv,
            lim,
            half,
            below,
            above,
            scale: case.scale,
            grad_scale: case.grad_scale,
            shift: case.shift,
            operands: [
                operand(Name::Input, case.types[0], &[]),
                operand(Name::Target, case.types[1], &[]),
                operand(Name::Inside, case.inside.layout, &case.inside.values),
                operand(Name::Outside, case.outside.layout, &case.outside.values),
                operand(Name::Upstream, case.upstream.layout, &case.upstream.values),
                operand(Name::Direction, case.direction.layout, &case.direction.values),
                operand(Name::Curves, curves_layout, &[UNUSED]),
                JobOperand {
                    layout: case.mask.layout,
                    pointer: self.mask.as_ptr().wrapping_add(self.mask_offset),
                    number: UNUSED,
                },
            ],
            results: OUTPUTS.map(|name| self.place_of(name)),
        };
        for (slot, half) in case.types.into_iter().enumerate() {
            if half != layout::FULL {
                let place = self.halves[slot].as_ptr().wrapping_add(self.half_offset);
                job.operands[slot].pointer = place.cast();
            }
        }
        job.shape = job.required_shape() | case.more_shape;
        job
    }

    /// The array that `name` shares, or its own.
    fn home_of(&self, name: Name) -> Name {
        self.aliases.iter().find(|alias| alias.0 == name).map_or(name, |alias| alias.1)
    }

    fn place_of(&mut self, name: Name) -> *mut f32 {
        let home = self.home_of(name);
        match self.arrays.iter_mut().find(|array| array.name == home) {
            Some(array) => array.cells.as_mut_ptr().wrapping_add(array.values.start),
            None => null_mut(),
        }
    }

    fn values(&self, name: Name) -> &[f32] {
        let array = self.arrays.iter().find(|array| array.name == name).expect("an array");
        &array.cells[array.values.clone()]
    }

    /// Nothing but the outputs has changed.
    fn check(&self, case: &Case) {
        let outputs: Vec<_> = case.outputs.iter().map(|&name| self.home_of(name)).collect();
        for Array { name, cells, before, values } in &self.arrays {
            for i in 0..cells.len() {
                let may_change = outputs.contains(name) && values.contains(&i);
                assert!(
                    may_change || cells[i].to_bits() == before[i].to_bits(),
                    "{name:?}: float {i} has changed from {} to {}, its values are {values:?}",
                    before[i],
                    cells[i],
                );
            }
        }
    }
}

impl Array {
    fn new(name: Name, values: &[f32], plan: &Plan) -> Self {
        let (start, end) = (plan.offset, plan.offset + values.len());
        let mut cells = Vec::with_capacity(end + plan.margin);
        cells.resize(start, CANARY);
        cells.extend(values);
        cells.resize(end + plan.margin, CANARY);
        Array { name, before: cells.clone(), cells, values: start..end }
    }
}

fn transpose(curves: &[[f32; 6]]) -> Vec<f32> {
    (0..6).flat_map(|index| curves.iter().map(move |curve| curve[index])).collect()
}
