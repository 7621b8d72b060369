//! The loop.
//!
//! Naively, each pass is
//!
//! ```text
//! for i in 0..n {
//!     d = input[i] - target[i]
//!     t = clamp(d * inv, -lim, +lim)
//!     loss = t * (d - half * t)
//!     add the loss up, or store it; store t as the gradient
//! }
//! ```
//!
//! What is done to it:
//!
//! 1. Four lanes at a time, four vectors an iteration ([`STEP`] floats). More vectors in flight make
//!    V8 of Node 20 spill an accumulator; fewer leave JavaScriptCore 13 % slower.
//! 2. All loads of an iteration come before its arithmetic and its stores, so that a result may be in
//!    exactly the place of an operand.
//! 3. Sums run in `f32` lanes over a leaf of [`LEAF`] elements, which is then folded into an `f64`.
//!    The cost of folding vanishes, and the error no longer grows with n (1e-10 instead of 1e-4 at 16M).
//!    Leaves are added up over a [`PIECE`], pieces to the total. The order is fixed by the position of
//!    an element alone, so the bits of a sum do not depend on how many calls, copies or threads made
//!    it, as long as each call starts at a piece.
//! 4. The last 1 to 15 elements are copied to where zeros follow them, whose loss and slope are 0,
//!    and take the same iteration. Nothing is read or written past the end.
//! 5. One function, `step`, computes whatever a pass may want. Its constants leave the plain passes with
//!    just their own instructions. The other passes test `want` and null pointers at run time: the answer
//!    is the same throughout a call, so the branches are cheap, and the module needs fewer loops.
//! 6. Operands with one value for each row or column are spread a leaf at a time, into a tile that stays
//!    in the first-level cache; inputs of 16 bits are widened into one. The loop reads all operands in
//!    the same way.
//! 7. Where `inv` is 1 (Huber, and smooth L1 with `beta` = 1), loops without that multiplication: 12 to
//!    14 % faster in cache. Where the inside weight is 1, as in most weighted calls, loops without it: 15 %.
//! 8. The loops for one `WANT` that read the same arrays stand in one function, which chooses among them a
//!    leaf at a time: 350 bytes for a further loop, in place of 700. They read their numbers at each leaf
//!    anew, so that no loop keeps registers for another.
//! 9. Passes over losses read a float of each input `AHEAD` elements on, and ignore it. This requests its
//!    cache line early; a processor does not get that far by itself, because the instructions in between
//!    fill its queue. 12 % faster out of the caches, 1 % slower in them. Gradients alone and weighted
//!    sums gain nothing, nor does such a read where a result will be stored.

use crate::exact;
use crate::job::{Job, Operand, count, layout, operand, result, shape, want};
use crate::lanes::{LANES, Lanes};
use crate::loss::{BOXES, Curve, ONE_WEIGHT, UNIT};
use crate::tiles::{
    LEAF, Leaf, PIECE, STEP, Sum, UNROLL, Work, each_row, locate, locate_all, pad, spread, unpad,
};

// Sets of `want` that have a loop of their own, or a meaning.
pub const GRAD_EACH: u32 = want::GRAD | want::UPSTREAM;
pub const SUM_GRAD: u32 = want::SUM | want::GRAD;
pub const STORE_GRAD: u32 = want::STORE | want::GRAD;
/// The uses of a loss.
pub const LOSS: u32 = want::SUM | want::STORE | want::ROWS | want::EXACT;
/// Derivatives that are neither a loss nor a gradient.
pub const DERIVATIVES: u32 = want::CURVATURE | want::BETA | want::DELTA;

// The parameters of a loop, `WANT` and `SHAPE`, are sets of `want` and `shape`, or one of these.
/// `WANT`: those losses and gradients that `job.want` has at run time.
const ANY: u32 = u32::MAX - 1;
/// `WANT`: the one of `DERIVATIVES` that `job.want` has at run time.
const SPECIAL: u32 = u32::MAX;
/// `SHAPE`: all that a job may have but different weights for the two sides of 0.
const ALL: u32 = shape::WEIGHTED_MASKED | shape::SCALED | shape::COLUMNS;
/// `SHAPE`: all that a job may have.
const ALL_SIDED: u32 = ALL | shape::SIDED;
/// `SHAPE`: different weights for the two sides of 0, and `pre`, which is not 1 for L1.
const SIDED: u32 = shape::SIDED | shape::SCALED;
const ONE_WEIGHT_UNIT: u32 = ONE_WEIGHT | UNIT;

/// Does the job for the elements `first .. first + n`, and adds to the totals of `work`.
///
/// # Safety
/// The pointers of the job that its `want` and layouts use are valid for these elements and aligned: to 2
/// bytes for 16-bit operands, to 4 bytes for all others but the mask. `row_length` is not 0 if anything goes
/// by rows or columns. A result is in exactly the place of an operand that is `FULL`, or overlaps no operand;
/// two results do not overlap, nor the job, nor `work`, which is valid and initialised. `shape` has the bits
/// of [`Job::required_shape`].
pub unsafe fn run<L: Lanes>(job: &Job, first: usize, n: usize, work: *mut Work) {
    // The loop for `$want` and `$shape`, with `$u` vectors in an iteration.
    macro_rules! pass {
        ($u:literal, $want:expr, $shape:expr) => {
            pass::<L, $u, { $want }, { $shape }>(job, first, n, work)
        };
    }
    // Exact sums are made of stored losses.
    let stored =
        if job.want & want::EXACT != 0 { job.want ^ (want::EXACT | want::STORE) } else { job.want };
    // The passes that training and evaluation spend their time in have loops of their own.
    match (stored, job.shape & !shape::HALF) {
        (want::SUM, shape::PLAIN) if job.shape == shape::HALF && is_one_type(job) => {
            sum_halves::<L>(job, first, n, work);
        }
        (want::SUM, shape) if shape & !SIDED == 0 => pass!(4, want::SUM, SIDED),
        (want::SUM, shape::WEIGHTED) => pass!(4, want::SUM, shape::WEIGHTED),
        (want::SUM, shape::MASKED) => pass!(4, want::SUM, shape::MASKED),
        (want::STORE, shape::PLAIN | shape::SCALED) => pass!(4, want::STORE, shape::SCALED),
        (want::GRAD, shape) if shape & !SIDED == 0 => pass!(4, want::GRAD, SIDED),
        (GRAD_EACH, shape::PLAIN) => pass!(4, GRAD_EACH, shape::PLAIN),
        (SUM_GRAD, shape) if shape & !SIDED == 0 => pass!(4, SUM_GRAD, SIDED),
        // A gradient alone takes the loop that adds the losses up too, which nobody reads then: 0.6 of the
        // general loop, for no byte.
        (want::GRAD | SUM_GRAD, shape::WEIGHTED) => pass!(4, SUM_GRAD, shape::WEIGHTED),
        (SUM_GRAD, shape::MASKED) => pass!(4, SUM_GRAD, shape::WEIGHTED_MASKED),
        (STORE_GRAD, shape::PLAIN) => pass!(2, STORE_GRAD, shape::PLAIN),
        (want::NOTHING, _) => count_only::<L>(job, first, n, work),
        (want, _) if want & DERIVATIVES != 0 => pass!(1, SPECIAL, ALL),
        // A detector's head, or a padded batch: a mask, and one weight.
        (want, shape::WEIGHTED_MASKED)
            if want & !want::GRAD == want::SUM && body_of(job) & ONE_WEIGHT != 0 =>
        {
            pass!(4, SUM_GRAD, shape::WEIGHTED_MASKED)
        }
        (_, shape) => match shape & !shape::MORE {
            shape::PLAIN => pass!(2, ANY, shape::PLAIN),
            shape::WEIGHTED | shape::MASKED | shape::WEIGHTED_MASKED => {
                pass!(4, ANY, shape::WEIGHTED_MASKED)
            }
            _ => pass!(1, ANY, ALL_SIDED),
        },
    }
}

/// How many elements before its turn a cache line is asked for. 64 to 512 do the same.
const AHEAD: usize = 256;

/// The numbers of a job in all lanes.
struct Splat<L> {
    want: u32,
    accumulate: bool,
    curve: Curve<L>,
    scale: L,
    robust_scale: L,
    grad_scale: L,
    shift: L,
}

impl<L: Lanes> Splat<L> {
    /// Reads those numbers alone that a loop needs.
    #[inline(always)]
    fn new<const WANT: u32, const SHAPE: u32>(job: &Job) -> Self {
        let is_own = WANT != ANY && WANT != SPECIAL;
        let number = |is_read: bool, x: &f32| L::splat(if is_read { *x } else { 1.0 });
        // What is added up is not scaled before.
        let is_raw =
            (!is_own || WANT & want::STORE != 0) && job.want & (want::ROWS | want::EXACT) != 0;
        let is_sided = SHAPE & shape::SIDED != 0;
        Splat {
            want: job.want,
            accumulate: job.accumulate != 0,
            curve: Curve {
                pre: number(SHAPE & shape::SCALED != 0, &job.pre),
                inv: number(SHAPE & UNIT == 0, &job.inv),
                lim: number(true, &job.lim),
                half: number(true, &job.half),
                below: number(is_sided, &job.below),
                above: number(is_sided, &job.above),
            },
            scale: number(!is_raw, &job.scale),
            robust_scale: number(!is_own, &job.scale),
            grad_scale: number(true, &job.grad_scale),
            shift: number(!is_own, &job.shift),
        }
    }
}

/// One loop over all leaves, or a few that differ in what of `SHAPE` they have. The job has no more than
/// `WANT` and `SHAPE` say. It is a pointer, since the compiler keeps what it reads through a reference in
/// registers from leaf to leaf, for all loops at once: 5 % of a weighted call, 5 ns of a short one.
///
/// # Safety
/// As for [`run`].
#[inline(never)]
unsafe fn pass<L: Lanes, const U: usize, const WANT: u32, const SHAPE: u32>(
    job: *const Job,
    first: usize,
    n: usize,
    work: *mut Work,
) {
    let job = &*job;
    let is_own = WANT != ANY && WANT != SPECIAL;
    // All operands are arrays or numbers: no tile is needed, but for inputs of 16 bits.
    let is_bare = is_own && SHAPE & !SIDED == 0;
    let reads_ahead = is_own && WANT & LOSS != 0;
    // The weighted loop that does both computes the gradient alone, too.
    let is_shared = WANT == SUM_GRAD && SHAPE == shape::WEIGHTED;
    let adds_up = !is_own || WANT & want::SUM != 0 && (!is_shared || job.want & want::SUM != 0);
    let rows = WANT == ANY && job.want & want::ROWS != 0;
    let is_exact = (!is_own || WANT & want::STORE != 0) && job.want & want::EXACT != 0;
    let body = if is_own {
        body_of(job) & (SHAPE | ONE_WEIGHT | UNIT)
    } else {
        SHAPE & (job.shape | !shape::SIDED)
    };
    let is_half = job.shape & shape::HALF != 0;
    let mut must_spread = !is_bare || is_half;
    let mut done = 0;
    while done < n {
        let at = first + done;
        let len = LEAF.min(n - done);
        let tail = len % STEP;
        // Weights of boxes are read from their array. A tile of them would be written at each leaf.
        let Operand { layout, pointer, .. } = job.operands[operand::OUTSIDE];
        let has_boxes = is_own
            && SHAPE == shape::WEIGHTED
            && body & ONE_WEIGHT_UNIT == ONE_WEIGHT_UNIT
            && layout == layout::ROW
            && !is_half
            && job.row_length == LANES
            && at % LANES == 0
            && tail == 0;
        if must_spread && !has_boxes {
            must_spread = spread::<L>(job, at, len, done == 0, body, work);
        }
        let leaf = if is_own {
            let mut leaf = locate(job, at, work);
            if has_boxes {
                let row = at / LANES - job.row_origin;
                leaf.operands[operand::OUTSIDE] = pointer.cast::<f32>().wrapping_add(row);
            }
            leaf
        } else {
            locate_all(job, at, body, work);
            (*work).leaf
        };
        if WANT == ANY && job.count != count::NOTHING {
            counts::<L>(job, at, len, done, work);
        }
        let mut sums = [L::splat(0.0); UNROLL];
        let ahead = if n - done > LEAF + AHEAD { AHEAD } else { 0 };
        each_part::<L>(job, at, len, leaf, body, work, |leaf, end| {
            macro_rules! steps {
                ($shape:expr) => {{
                    let splat = Splat::new::<WANT, { $shape }>(job);
                    let mut i = 0;
                    // With `<` the compiler keeps two counters, which costs the loop of the gradient 3 %.
                    while i != end {
                        if reads_ahead && $shape & shape::WEIGHTED == 0 {
                            // In vain where the inputs are in tiles, behind which there are others.
                            leaf.operands[operand::INPUT].add(i + ahead).read_volatile();
                            leaf.operands[operand::TARGET].add(i + ahead).read_volatile();
                        }
                        let inputs = [operand::INPUT, operand::TARGET]
                            .map(|index| load(leaf.operands[index], i));
                        step::<L, U, WANT, { $shape }>(&splat, leaf, inputs, i, &mut sums);
                        i += U * LANES;
                    }
                }};
            }
            let has_unit = WANT == want::SUM || WANT == want::GRAD || WANT == SUM_GRAD;
            let is_unit = has_unit && body & UNIT != 0;
            if SHAPE == ALL_SIDED && body & shape::SIDED == 0 {
                steps!(ALL)
            } else if !is_own {
                steps!(SHAPE)
            } else if SHAPE == shape::WEIGHTED {
                match body & ONE_WEIGHT_UNIT {
                    ONE_WEIGHT_UNIT if has_boxes => {
                        steps!(shape::WEIGHTED | ONE_WEIGHT_UNIT | BOXES)
                    }
                    ONE_WEIGHT_UNIT => steps!(shape::WEIGHTED | ONE_WEIGHT_UNIT),
                    ONE_WEIGHT => steps!(shape::WEIGHTED | ONE_WEIGHT),
                    _ => steps!(shape::WEIGHTED),
                }
            } else if SHAPE == shape::WEIGHTED_MASKED && body & shape::WEIGHTED != 0 {
                steps!(shape::WEIGHTED_MASKED | ONE_WEIGHT)
            } else if SHAPE & shape::MASKED != 0 {
                if is_unit { steps!(shape::MASKED | UNIT) } else { steps!(shape::MASKED) }
            } else if SHAPE & body & shape::SIDED != 0 {
                steps!(SIDED)
            } else if SHAPE & body & shape::SCALED != 0 {
                steps!(shape::SCALED)
            } else if is_unit {
                steps!(UNIT)
            } else {
                steps!(shape::PLAIN)
            }
        });
        if tail != 0 {
            unpad(len - tail, tail, work);
        }
        if adds_up {
            add_leaf(sums, &raw mut (*work).totals.loss, done, work);
        }
        if rows {
            fold_rows(job, at, len, work);
        }
        if is_exact {
            exact::add::<L>(losses_of(work), len, &raw mut (*work).exact_loss);
        }
        done += len;
    }
}

/// The shape of a job, with [`ONE_WEIGHT`] and [`UNIT`] where they are so.
#[inline(always)]
fn body_of(job: &Job) -> u32 {
    let Operand { layout, number, .. } = job.operands[operand::INSIDE];
    let bit = |is: bool, bit: u32| if is { bit } else { 0 };
    job.shape
        | bit(layout == layout::NUMBER && number == 1.0, ONE_WEIGHT)
        | bit(job.inv == 1.0, UNIT)
}

/// Whether input and target have the same type.
fn is_one_type(job: &Job) -> bool {
    job.operands[operand::INPUT].layout == job.operands[operand::TARGET].layout
}

/// The sum of plain losses of two inputs of the same type of 16 bits. They are widened on the way: through
/// tiles it would take 1.3 to 1.6 times as long. Two vectors an iteration: four are 2 % faster for bf16,
/// 7 % for f16, and take 370 bytes more. What is rare goes through tiles: a leaf that has an f16 that is
/// infinite or NaN, and the last leaf if it is not full.
///
/// # Safety
/// As for [`run`].
#[inline(never)]
unsafe fn sum_halves<L: Lanes>(job: &Job, first: usize, n: usize, work: *mut Work) {
    let splat = Splat::new::<{ want::SUM }, { shape::PLAIN }>(job);
    let is_bfloat = job.operands[operand::INPUT].layout == layout::BFLOAT16;
    let mut done = 0;
    while done < n {
        let at = first + done;
        let len = LEAF.min(n - done);
        let inputs = [operand::INPUT, operand::TARGET]
            .map(|index| job.operands[index].pointer.cast::<u16>().add(at - job.origin));
        let mut largest = L::splat(0.0);
        let mut sums = [L::splat(0.0); UNROLL];
        let ahead = if n - done > LEAF + AHEAD { AHEAD } else { 0 };
        let mut i = 0;
        while len == LEAF && i != LEAF {
            let at_i = inputs.map(|p| p.add(i));
            for p in at_i {
                p.add(ahead).read_volatile();
            }
            let widened = at_i.map(|p| {
                if is_bfloat { L::bfloat16(p.cast()) } else { L::float16(p.cast(), &mut largest) }
            });
            step::<L, 2, { want::SUM }, { shape::PLAIN }>(
                &splat,
                &(*work).leaf,
                widened,
                i,
                &mut sums,
            );
            i += 2 * LANES;
        }
        let sum = &raw mut (*work).totals.loss;
        if len == LEAF && !largest.is_beyond() {
            add_leaf(sums, sum, done, work);
        } else {
            let (before, piece) = ((*sum).before, (*sum).piece);
            pass::<L, 4, { want::SUM }, SIDED>(job, at, len, work);
            if done % PIECE != 0 {
                // That began a piece.
                (*sum).before = before;
                (*sum).piece += piece;
                (*sum).total = before + (*sum).piece;
            }
        }
        done += len;
    }
}

/// Calls `f(leaf, end)` for the elements `0 .. end` of a leaf that are whole steps, then for the last
/// elements, with the leaf that they are padded in.
///
/// # Safety
/// As for [`run`]; `leaf` is that of `at .. at + len`.
#[inline(always)]
unsafe fn each_part<L: Lanes>(
    job: &Job,
    at: usize,
    len: usize,
    mut leaf: Leaf,
    shape: u32,
    work: *mut Work,
    mut f: impl FnMut(&Leaf, usize),
) {
    let tail = len % STEP;
    let mut end = len - tail;
    let mut is_last = tail == 0;
    loop {
        f(&leaf, end);
        if is_last {
            break;
        }
        is_last = true;
        pad::<L>(job, at, end, tail, shape, work);
        leaf = (*work).padded;
        end = STEP;
    }
}

/// Elements `i .. i + U * LANES` of a leaf, whose inputs are `x` and `y`.
///
/// # Safety
/// The operands and results of the leaf that `WANT` and `SHAPE` use are valid for these elements.
#[inline(always)]
unsafe fn step<L: Lanes, const U: usize, const WANT: u32, const SHAPE: u32>(
    splat: &Splat<L>,
    leaf: &Leaf,
    [x, y]: [[L; U]; 2],
    i: usize,
    sums: &mut [L; UNROLL],
) {
    let weighted = SHAPE & shape::WEIGHTED != 0;
    let is_masked = SHAPE & shape::MASKED != 0;
    let is_sided = SHAPE & shape::SIDED != 0;
    let any = WANT == ANY;
    let special = WANT == SPECIAL;
    // One loop for the sum, with a gradient or without. A second one would take 800 bytes.
    let is_both = !any && !special && weighted && is_masked;
    let want = if any || special {
        splat.want
    } else if is_both {
        splat.want & want::GRAD | want::SUM
    } else {
        WANT
    };
    let one = L::splat(1.0);

    let read = |index: usize| -> [L; U] { load(leaf.operands[index], i) };
    let has_inside = weighted && SHAPE & ONE_WEIGHT == 0;
    let inside = if has_inside { read(operand::INSIDE) } else { [one; U] };
    let outside = if SHAPE & BOXES != 0 {
        let row = leaf.operands[operand::OUTSIDE].add(i / LANES);
        each(|j| L::splat(row.add(j).read()))
    } else if weighted {
        read(operand::OUTSIDE)
    } else {
        [one; U]
    };
    let upstream = if want & want::UPSTREAM != 0 { read(operand::UPSTREAM) } else { [one; U] };
    let masked: [L; U] = if is_masked { load_mask(leaf.mask, i) } else { [L::splat(0.0); U] };
    let mut curve = [splat.curve; U];
    if SHAPE & shape::COLUMNS != 0 {
        let read = |index: usize| -> [L; U] { load(leaf.operands[operand::CURVES + index], i) };
        let [pre, inv, lim, half] = [read(0), read(1), read(2), read(3)];
        let [below, above] = if is_sided { [read(4), read(5)] } else { [[one; U]; 2] };
        curve = each(|j| Curve {
            pre: pre[j],
            inv: inv[j],
            lim: lim[j],
            half: half[j],
            below: below[j],
            above: above[j],
        });
    }

    let unmasked = |v: [L; U]| {
        if is_masked { each(|j| v[j].drop(masked[j])) } else { v }
    };
    let weigh = |v: [L; U], weight: [L; U]| {
        if weighted { each(|j| v[j].mul(weight[j])) } else { v }
    };
    let weigh_inside = |v: [L; U]| if has_inside { weigh(v, inside) } else { v };
    let d: [L; U] = each(|j| x[j].sub(y[j]));
    let e = weigh_inside(d);
    let t: [L; U] = each(|j| curve[j].slope::<SHAPE>(e[j]));
    let sided = |v: [L; U]| -> [L; U] {
        if is_sided { each(|j| v[j].mul(curve[j].side(e[j]))) } else { v }
    };
    let loss = || sided(each(|j| curve[j].loss::<SHAPE>(e[j], t[j])));
    // What a gradient is multiplied by, before any weight.
    let pull = || {
        let g = [splat.grad_scale; U];
        if want & want::UPSTREAM != 0 { each(|j| g[j].mul(upstream[j])) } else { g }
    };

    if !special && want & LOSS != 0 {
        let losses = unmasked(weigh(loss(), outside));
        if want & want::SUM != 0 {
            add_to(sums, losses);
        }
        if want & (want::STORE | want::ROWS | want::EXACT) != 0 {
            // Adding zero turns the -0 of a residual of -0 into 0.
            let zero = L::splat(0.0);
            let out = leaf.results[result::OUT];
            store::<L, U>(each(|j| losses[j].mul(splat.scale).add(zero)), out, i);
        }
    }
    if !special && want & want::GRAD != 0 {
        let put = |v: [L; U], index: usize| {
            let p = leaf.results[index];
            let mut v = unmasked(v);
            if any {
                // Adding -0 changes nothing, not even +0.
                let old = if splat.accumulate { load(p, i) } else { [L::splat(-0.0); U] };
                v = each(|j| old[j].add(v[j]));
            }
            store(v, p, i);
        };
        let wants = |index: usize| any && !leaf.results[index].is_null();
        let g = pull();
        let outer = weigh(g, outside);
        let inner = weigh_inside(outer);
        let slope = sided(t);
        let to_input: [L; U] = each(|j| slope[j].mul(inner[j]));
        if !any || wants(result::GRAD_INPUT) {
            put(to_input, result::GRAD_INPUT);
        }
        if wants(result::GRAD_TARGET) {
            put(each(|j| to_input[j].mul(L::splat(-1.0))), result::GRAD_TARGET);
        }
        if wants(result::GRAD_INSIDE) {
            put(each(|j| outer[j].mul(slope[j]).mul(d[j])), result::GRAD_INSIDE);
        }
        if wants(result::GRAD_OUTSIDE) {
            let loss = loss();
            put(each(|j| g[j].mul(loss[j].sub(splat.shift))), result::GRAD_OUTSIDE);
        }
    }
    if any && SHAPE & shape::COLUMNS != 0 && want & want::ROBUST != 0 {
        let factor = weigh(weigh(outside, inside), inside);
        let weight = weigh(sided(each(|j| curve[j].robust_weight(e[j]))), factor);
        // A weight of 0 times infinity is 0 here.
        let weight: [L; U] = each(|j| weight[j].drop(factor[j].eq(L::splat(0.0))));
        let scaled = each(|j| weight[j].mul(splat.robust_scale));
        store(unmasked(scaled), leaf.results[result::ROBUST_WEIGHTS], i);
    }
    if special {
        let outer = weigh(pull(), outside);
        if want & want::CURVATURE != 0 {
            let g = weigh_inside(weigh_inside(outer));
            let direction = read(operand::DIRECTION);
            let bend = sided(each(|j| curve[j].curvature(e[j])));
            let h = each(|j| bend[j].mul(g[j]).mul(direction[j]).mul(curve[j].pre));
            store(unmasked(h), leaf.results[result::GRAD_INPUT], i);
        } else {
            let is_beta = want & want::BETA != 0;
            let slope = sided(each(|j| {
                if is_beta { curve[j].beta_slope(t[j]) } else { curve[j].delta_slope(e[j], t[j]) }
            }));
            let slopes: [L; U] = unmasked(each(|j| slope[j].mul(outer[j])));
            if want & want::EXACT != 0 {
                store(slopes, leaf.results[result::OUT], i);
            } else {
                add_to::<L, U>(sums, slopes);
            }
        }
    }
}

/// Adds to the first `U` sums, then brings the next ones to the front.
#[inline(always)]
fn add_to<L: Lanes, const U: usize>(sums: &mut [L; UNROLL], v: [L; U]) {
    for j in 0..U {
        sums[j] = sums[j].add(v[j]);
    }
    *sums = each(|j| sums[(j + U) % UNROLL]);
}

/// Adds all lanes of a leaf to a sum, after `done` elements of the run. [`fold`] is not inlined, since
/// it is as long as a loop: 5 % of the module.
///
/// # Safety
/// `work` is valid, and `sum` in it.
#[inline(always)]
unsafe fn add_leaf<L: Lanes>(sums: [L; UNROLL], sum: *mut Sum, done: usize, work: *mut Work) {
    // Not `store`: with that, the compiler takes a stack for some loops, or 300 bytes more.
    let p: *mut f32 = (&raw mut (*work).sums).cast();
    let [a, b, c, d] = sums;
    a.store(p);
    b.store(p.add(LANES));
    c.store(p.add(2 * LANES));
    d.store(p.add(3 * LANES));
    fold::<L>(sum, done, work);
}

/// # Safety
/// As for [`add_leaf`].
#[inline(never)]
unsafe fn fold<L: Lanes>(sum: *mut Sum, done: usize, work: *mut Work) {
    let sums: [L; UNROLL] = load((&raw const (*work).sums).cast(), 0);
    let [a, b, c, d] = sums.map(L::fold);
    let sum = &mut *sum;
    if done % PIECE == 0 {
        sum.before = sum.total;
        sum.piece = 0.0;
    }
    sum.piece += (a + b) + (c + d);
    sum.total = sum.before + sum.piece;
}

#[inline(always)]
fn each<T, const N: usize>(f: impl FnMut(usize) -> T) -> [T; N] {
    core::array::from_fn(f)
}

/// # Safety
/// `p + i` is valid for reading `U` vectors.
#[inline(always)]
unsafe fn load<L: Lanes, const U: usize>(p: *const f32, i: usize) -> [L; U] {
    each(|j| L::load(p.add(i + j * LANES)))
}

/// # Safety
/// `p + i` is valid for writing `U` vectors.
#[inline(always)]
unsafe fn store<L: Lanes, const U: usize>(v: [L; U], p: *mut f32, i: usize) {
    for (j, v) in v.into_iter().enumerate() {
        v.store(p.add(i + j * LANES));
    }
}

/// The masks of elements whose byte is 0.
///
/// # Safety
/// `p + i` is valid for reading `U * LANES` bytes.
#[inline(always)]
unsafe fn load_mask<L: Lanes, const U: usize>(p: *const u8, i: usize) -> [L; U] {
    if U == UNROLL {
        let masks = L::zero_bytes(p.add(i).cast::<[u8; STEP]>());
        each(|j| masks[j])
    } else {
        each(|j| L::zero_byte4(p.add(i + j * LANES).cast::<[u8; LANES]>()))
    }
}

/// The tile for the losses of a leaf, or for its weights.
///
/// # Safety
/// `work` is valid.
#[inline(always)]
unsafe fn losses_of(work: *mut Work) -> *mut f32 {
    (&raw mut (*work).tiles.losses).cast()
}

/// Adds the losses of a leaf up, row by row. A row may have begun in an earlier leaf or call.
///
/// # Safety
/// As for [`run`]; the losses of the leaf are in their tile.
#[inline(never)]
unsafe fn fold_rows(job: &Job, at: usize, len: usize, work: *mut Work) {
    let losses = losses_of(work);
    let mut sum = (*work).totals.row;
    each_row(job, at, len, |j, count, row, is_end| {
        for i in j..j + count {
            sum += f64::from(losses.add(i).read());
        }
        if is_end {
            job.results[result::OUT].add(row).write((sum * f64::from(job.scale)) as f32);
            sum = 0.0;
        }
    });
    (*work).totals.row = sum;
}

/// `SHAPE` of the pass that counts.
const COUNTED: u32 = shape::WEIGHTED_MASKED | ONE_WEIGHT;

/// Counts, and reads neither input nor losses.
///
/// # Safety
/// As for [`run`].
unsafe fn count_only<L: Lanes>(job: &Job, first: usize, n: usize, work: *mut Work) {
    let mut done = 0;
    while done < n {
        let len = LEAF.min(n - done);
        spread::<L>(job, first + done, len, done == 0, COUNTED, work);
        locate_all(job, first + done, COUNTED, work);
        counts::<L>(job, first + done, len, done, work);
        done += len;
    }
}

/// Counts a leaf, or adds its weights up.
///
/// # Safety
/// As for [`run`]; [`spread`] has filled the tiles of the leaf, [`locate_all`] located it.
#[inline(never)]
unsafe fn counts<L: Lanes>(job: &Job, at: usize, len: usize, done: usize, work: *mut Work) {
    let mut sums = [L::splat(0.0); UNROLL];
    let is_exact = job.count == count::EXACT_WEIGHTS;
    let values = losses_of(work);
    let mut place = values;
    each_part::<L>(job, at, len, (*work).leaf, COUNTED, work, |leaf, end| {
        let mut i = 0;
        while i != end {
            let [mut value]: [L; 1] = if job.count == count::UNMASKED {
                [L::splat(1.0)]
            } else {
                load(leaf.operands[operand::OUTSIDE], i)
            };
            if job.count == count::NONZERO {
                value = L::splat(1.0).drop(value.eq(L::splat(0.0)));
            }
            let [masked]: [L; 1] = load_mask(leaf.mask, i);
            let value = value.drop(masked);
            if is_exact {
                value.store(place);
                place = place.add(LANES);
            } else {
                add_to(&mut sums, [value]);
            }
            i += LANES;
        }
    });
    add_leaf(sums, &raw mut (*work).totals.count, done, work);
    if is_exact {
        exact::add::<L>(values, len, &raw mut (*work).exact_count);
    }
}
