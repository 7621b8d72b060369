//! What one call is about: the contract between JavaScript and the kernel. The build derives
//! `ts/generated/job.ts` from this file.

/// Where the values of an operand come from. An operand is an array with a value for each element, or
/// it is spread ("broadcast") over the elements, a leaf at a time.
pub mod layout {
    /// One number for all elements.
    pub const NUMBER: u32 = 0;
    /// One number for each element.
    pub const FULL: u32 = 1;
    /// One number for each row of `row_length` elements.
    pub const ROW: u32 = 2;
    /// One number for each column.
    pub const COLUMN: u32 = 3;
    /// One f16 for each element; `INPUT` and `TARGET` only.
    pub const FLOAT16: u32 = 4;
    /// One bf16 for each element, likewise.
    pub const BFLOAT16: u32 = 5;
}

/// The indices of [`Job::operands`].
pub mod operand {
    /// One number for each element: `FULL`, `FLOAT16` or `BFLOAT16`.
    pub const INPUT: usize = 0;
    /// The same.
    pub const TARGET: usize = 1;
    /// Weights of the residuals.
    pub const INSIDE: usize = 2;
    /// Weights of the losses.
    pub const OUTSIDE: usize = 3;
    /// Factors of the gradients; read only with [`UPSTREAM`](super::want::UPSTREAM).
    pub const UPSTREAM: usize = 4;
    /// Factors of the curvature; `FULL` or `NUMBER`.
    pub const DIRECTION: usize = 5;
    /// `NUMBER`: the six numbers `pre`, `inv`, `lim`, `half`, `below` and `above` of the job.
    /// `COLUMN`: the array has these six, each `row_length` long, one after the other.
    pub const CURVES: usize = 6;
    /// Bytes, not one `NUMBER`: an element counts where its byte is not 0. `NUMBER`: all elements count.
    pub const MASK: usize = 7;
}

/// The indices of [`Job::results`].
pub mod result {
    /// The losses, one by one or as sums of rows.
    pub const OUT: usize = 0;
    /// The gradient with respect to the input, or the curvature.
    pub const GRAD_INPUT: usize = 1;
    pub const GRAD_TARGET: usize = 2;
    pub const GRAD_INSIDE: usize = 3;
    pub const GRAD_OUTSIDE: usize = 4;
    /// The weights of robust fitting.
    pub const ROBUST_WEIGHTS: usize = 5;
}

/// What a pass computes: a set of bits.
pub mod want {
    /// Only a count.
    pub const NOTHING: u32 = 0;
    /// The losses, added to [`Totals::loss`](crate::tiles::Totals).
    pub const SUM: u32 = 1;
    /// The losses, stored in `OUT`.
    pub const STORE: u32 = 2;
    /// The losses, added up row by row in `OUT`.
    pub const ROWS: u32 = 4;
    /// The gradients whose arrays are not null.
    pub const GRAD: u32 = 8;
    /// Gradients, curvature and derivatives are multiplied by the operand `UPSTREAM`.
    pub const UPSTREAM: u32 = 16;
    /// The diagonal of the Hessian, stored in `GRAD_INPUT`; `accumulate` has no effect. `half` is the
    /// threshold itself, and `inv` the second derivative below it, divided by `pre`.
    pub const CURVATURE: u32 = 32;
    /// The derivative with respect to `beta`, added to [`Totals::loss`](crate::tiles::Totals).
    pub const BETA: u32 = 64;
    /// The derivative with respect to `delta`, added to [`Totals::loss`](crate::tiles::Totals).
    pub const DELTA: u32 = 128;
    /// The weights of robust fitting, stored in `ROBUST_WEIGHTS`.
    pub const ROBUST: u32 = 256;
    /// The losses, in place of `SUM`, or the derivatives with `BETA` or `DELTA`, are added exactly to
    /// [`Work::exact_loss`](crate::tiles::Work).
    pub const EXACT: u32 = 512;
}

/// Targets that mean "missing": a set of bits.
pub mod ignore {
    /// Those that are NaN.
    pub const NAN: u32 = 1;
    /// Those that equal a number.
    pub const VALUE: u32 = 2;
}

/// What is added to [`Totals::count`](crate::tiles::Totals), for every element that is not masked.
pub mod count {
    pub const NOTHING: u32 = 0;
    /// Its outside weight.
    pub const WEIGHTS: u32 = 1;
    /// 1 if its outside weight is not 0.
    pub const NONZERO: u32 = 2;
    /// 1.
    pub const UNMASKED: u32 = 3;
    /// Nothing: its outside weight is added exactly to [`Work::exact_count`](crate::tiles::Work).
    pub const EXACT_WEIGHTS: u32 = 4;
}

/// What a job has that the plain loop does not: a set of bits, which [`Job::required_shape`] derives.
pub mod shape {
    pub const PLAIN: u32 = 0;
    /// `INSIDE` or `OUTSIDE` is not the number 1.
    pub const WEIGHTED: u32 = 1;
    /// There is a `MASK`, or the job [ignores](super::Job::ignores) targets.
    pub const MASKED: u32 = 2;
    /// `pre` is not 1.
    pub const SCALED: u32 = 4;
    /// `CURVES` go by column, `lim` is infinite, or [`ROBUST`](super::want::ROBUST) is wanted, which the
    /// loops without this bit leave out, to stay short.
    pub const COLUMNS: u32 = 8;
    /// Gradients other than that of the input, something to accumulate to or to count, or an
    /// `UPSTREAM` that is not `FULL`.
    pub const MORE: u32 = 16;
    /// `below` or `above` is not 1.
    pub const SIDED: u32 = 32;
    /// `INPUT` or `TARGET` has 16 bits an element.
    pub const HALF: u32 = 64;

    pub const WEIGHTED_MASKED: u32 = WEIGHTED | MASKED;
}

/// One operand. A pointer to an array with one value for each element is the place of element
/// `origin` of the job, one to an array with one value for each row the place of row `row_origin`.
/// This is how a long array passes through a short staging buffer.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Operand {
    /// One of [`layout`].
    pub layout: u32,
    /// Floats of 32 or 16 bits, or bytes for the mask. Not read with `NUMBER`.
    pub pointer: *const u8,
    /// The value with `NUMBER`.
    pub number: f32,
}

/// The job. Every scalar is one word of four bytes on wasm32.
///
/// The numbers of the curve follow one another, in the order of `CURVES`. `scale` is more than 16 bytes from
/// `half`: otherwise the compiler loads the two as one vector and shuffles them apart, which makes the
/// weighted gradient 10 % slower in V8.
#[repr(C)]
pub struct Job {
    /// A set of [`want`].
    pub want: u32,
    /// A set of [`shape`]: [`Job::required_shape`], or more.
    pub shape: u32,
    /// One of [`count`].
    pub count: u32,
    /// Not 0: gradients are added to what their arrays hold.
    pub accumulate: u32,
    /// A set of [`ignore`]: elements with such a target are masked.
    pub ignore: u32,
    /// With [`ignore::VALUE`], what such a target equals; otherwise NaN.
    pub ignore_value: f32,
    pub pre: f32,
    pub inv: f32,
    /// Not -0.
    pub lim: f32,
    pub half: f32,
    /// The weight of residuals below 0; with `CURVES` by column, 1 if it is 1 for all columns. Losses and
    /// gradients have it: `CURVATURE`, `BETA` and `DELTA` take both sides as 1.
    pub below: f32,
    /// The weight of all other residuals; with `CURVES` by column, 1 if it is 1 for all columns.
    pub above: f32,
    /// The element that pointers to arrays with one value for each element point to.
    pub origin: usize,
    pub row_length: usize,
    /// The row that pointers to arrays with one value for each row point to.
    pub row_origin: usize,
    /// Multiplies the losses that are stored, one by one or as rows.
    pub scale: f32,
    /// Multiplies all gradients.
    pub grad_scale: f32,
    /// Subtracted from the loss in the gradient with respect to the outside weights.
    pub shift: f32,
    /// By index of [`operand`].
    pub operands: [Operand; 8],
    /// By index of [`result`]; null if absent or not wanted. `OUT` goes by row of `row_origin` with
    /// `ROWS`, all others by element of `origin`.
    pub results: [*mut f32; 6],
}

impl Job {
    /// Whether some targets mean that an element is masked.
    pub fn ignores(&self) -> bool {
        self.ignore != 0
    }

    /// The [`shape`] that follows from the other fields. Of pointers it matters only which results are
    /// null, so it stays the same while a call moves through its arrays.
    pub fn required_shape(&self) -> u32 {
        let is_weight = |index: usize| {
            let Operand { layout, number, .. } = self.operands[index];
            layout != layout::NUMBER || number != 1.0
        };
        let layout_of = |index: usize| self.operands[index].layout;
        let is_half = |index: usize| layout_of(index) >= layout::FLOAT16;
        let has_columns = layout_of(operand::CURVES) == layout::COLUMN;
        let more_gradients = self.want & want::GRAD != 0
            && (self.results[result::GRAD_INPUT].is_null()
                || !self.results[result::GRAD_TARGET].is_null()
                || !self.results[result::GRAD_INSIDE].is_null()
                || !self.results[result::GRAD_OUTSIDE].is_null());
        let spreads_upstream =
            self.want & want::UPSTREAM != 0 && layout_of(operand::UPSTREAM) != layout::FULL;
        let bit = |is: bool, bit: u32| if is { bit } else { 0 };
        bit(is_weight(operand::INSIDE) || is_weight(operand::OUTSIDE), shape::WEIGHTED)
            | bit(layout_of(operand::MASK) != layout::NUMBER || self.ignores(), shape::MASKED)
            | bit(!has_columns && self.pre != 1.0, shape::SCALED)
            | bit(
                has_columns || self.lim == f32::INFINITY || self.want & want::ROBUST != 0,
                shape::COLUMNS,
            )
            | bit(self.below != 1.0 || self.above != 1.0, shape::SIDED)
            | bit(is_half(operand::INPUT) || is_half(operand::TARGET), shape::HALF)
            | bit(
                self.count != count::NOTHING
                    || self.accumulate != 0
                    || more_gradients
                    || spreads_upstream,
                shape::MORE,
            )
    }
}
