//! What one call is about: the contract between JavaScript and the kernel.

/// Where the values of an operand come from. An operand is a full-size array, or it is spread
/// ("broadcast") over the elements a leaf at a time, and never in full.
pub mod kind {
    /// One number for all elements.
    pub const NUMBER: u32 = 0;
    /// One number for each element.
    pub const FULL: u32 = 1;
    /// One number for each row of `row_length` elements.
    pub const ROW: u32 = 2;
    /// One number for each column.
    pub const COLUMN: u32 = 3;
}

/// Results of a pass; several may be wanted.
pub mod want {
    /// The losses, added to [`Totals::loss`](crate::tiles::Totals).
    pub const SUM: u32 = 1;
    /// The losses, stored in `out`.
    pub const STORE: u32 = 2;
    /// The losses, added up row by row in `out`.
    pub const ROWS: u32 = 4;
    /// The gradients whose pointers are not null.
    pub const GRAD: u32 = 8;
    /// With `GRAD`, `CURVATURE` and the two below: multiplied by the operand `upstream`.
    pub const UPSTREAM: u32 = 16;
    /// The diagonal of the Hessian, stored in `grad_input`, whatever `accumulate` says. `half` is the
    /// threshold itself.
    pub const CURVATURE: u32 = 32;
    /// The derivative with respect to `beta`, added to [`Totals::loss`](crate::tiles::Totals).
    pub const BETA: u32 = 64;
    /// The derivative with respect to `delta`, added to [`Totals::loss`](crate::tiles::Totals).
    pub const DELTA: u32 = 128;

    pub const NOTHING: u32 = 0;
    pub const GRAD_EACH: u32 = GRAD | UPSTREAM;
    pub const SUM_GRAD: u32 = SUM | GRAD;
    /// Any of these that a loss has.
    pub const LOSS: u32 = SUM | STORE | ROWS;
    /// To the loops: losses and gradients as the job says, asked at run time.
    pub const ANY: u32 = u32::MAX - 1;
    /// To the loops: one of `CURVATURE`, `BETA`, `DELTA`.
    pub const SPECIAL: u32 = u32::MAX;
}

/// What a job has that the plain loop does not.
pub mod shape {
    pub const PLAIN: u32 = 0;
    /// `inside` and `outside` count.
    pub const WEIGHTED: u32 = 1;
    /// `mask` and `ignore_nan` count.
    pub const MASKED: u32 = 2;
    /// `pre` is not 1.
    pub const SCALED: u32 = 4;
    /// There is a threshold for each column, or `lim` is infinite.
    pub const COLUMNS: u32 = 8;
    /// More than the gradient to the input, or something to accumulate to, or to count.
    pub const MORE: u32 = 16;

    pub const WEIGHTED_MASKED: u32 = WEIGHTED | MASKED;
    /// To the loops: plain, and `inv` is 1.
    pub const UNIT: u32 = 32;
    /// To the loops: each operand may be anything.
    pub const ALL: u32 = WEIGHTED | MASKED | SCALED | COLUMNS;
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
}

/// The job. Every field is one word of four bytes on wasm32: the build derives the offsets that
/// JavaScript writes to from this list.
///
/// Pointers to full-size arrays are the place of element `origin`, pointers to arrays with one
/// value a row the place of row `row_origin`; this is how a long array passes through a short
/// staging buffer. An output that is absent, or not wanted, is null.
#[repr(C)]
pub struct Job {
    pub want: u32,
    pub shape: u32,
    pub input: *const f32,
    pub target: *const f32,
    pub origin: usize,
    pub row_length: usize,
    pub row_origin: usize,
    pub pre: f32,
    pub inv: f32,
    pub lim: f32,
    pub half: f32,
    /// `NUMBER`: the four above. `COLUMN`: `curves` holds `pre`, `inv`, `lim`, `half`, each
    /// `row_length` long, one after the other.
    pub curves_kind: u32,
    pub curves: *const f32,
    pub inside_kind: u32,
    pub inside: *const f32,
    pub inside_number: f32,
    pub outside_kind: u32,
    pub outside: *const f32,
    pub outside_number: f32,
    /// `NUMBER`: at `upstream`.
    pub upstream_kind: u32,
    pub upstream: *const f32,
    /// Full size or null: multiplies the curvature.
    pub direction: *const f32,
    /// `NUMBER`: nothing is masked. `FULL`, `ROW`: an element counts where its byte is not 0.
    pub mask_kind: u32,
    pub mask: *const u8,
    /// Not 0: elements whose target is NaN are masked.
    pub ignore_nan: u32,
    pub count: u32,
    /// Multiplies the losses that are stored, one by one or as rows.
    pub scale: f32,
    pub out: *mut f32,
    /// Multiplies all gradients.
    pub grad_scale: f32,
    pub grad_input: *mut f32,
    pub grad_target: *mut f32,
    pub grad_inside: *mut f32,
    pub grad_outside: *mut f32,
    /// Taken from the loss in the gradient to the outside weights.
    pub shift: f32,
    /// Not 0: gradients are added to what their arrays hold.
    pub accumulate: u32,
}
