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
//! 2. All loads of an iteration come before its arithmetic and its stores. This makes exact aliasing
//!    of an output with an input right, and lets V8's 256-bit revectorizer, where on, take the loop.
//! 3. Sums run in `f32` lanes over a leaf of [`LEAF`] elements, which is then folded into an `f64`.
//!    The cost of folding vanishes, and the error no longer grows with n (1e-10 instead of 1e-4 at 16M).
//!    The order is fixed by the position of an element alone, so the bits of a sum do not depend on
//!    how many calls, copies or threads made it, as long as each call starts at a leaf.
//! 4. The last 1 to 15 elements are copied to where zeros follow them, whose loss and slope are 0,
//!    and take the same iteration. Nothing is read or written past the end.
//! 5. One body, [`step`], holds what any pass may want. Its constants leave the plain passes with
//!    just their own instructions; the rest ask `want` and null pointers at run time, whose answer
//!    never changes within a call, so that the branches cost less than the loops they save.
//! 6. Operands with one value a row or a column are spread a leaf at a time, into a tile that stays
//!    in the first-level cache: to the loop, all operands look alike.

use crate::job::{Job, Leaf, Pad, Tile, Work, count, kind, shape, want};
use crate::lanes::{LANES, Lanes};
use crate::loss::Curve;

/// Vectors that are summed side by side.
pub const UNROLL: usize = 4;
/// The floats of these vectors.
pub const STEP: usize = LANES * UNROLL;
/// Elements summed in `f32` before they are folded into an `f64`.
pub const LEAF: usize = 1024;

/// Does the job for the elements `first .. first + n`, and adds to the totals of `work`.
///
/// # Safety
/// The pointers of the job are valid for these elements and 4-byte aligned. An output is exactly
/// one of the full-size inputs, or overlaps no input; two outputs do not overlap.
pub unsafe fn run<L: Lanes>(job: &Job, first: usize, n: usize, work: *mut Work) {
    macro_rules! pass {
        ($u:expr, $want:expr, $scaled:literal, $columns:literal, $weighted:literal, $masked:literal) => {
            pass::<L, $u, { $want }, $scaled, $columns, $weighted, $masked>(job, first, n, work)
        };
    }
    // The passes that training and evaluation spend their time in have loops of their own.
    match (job.want, job.shape) {
        (want::SUM, 0) => pass!(4, want::SUM, false, false, false, false),
        (want::SUM, shape::SCALED) => pass!(4, want::SUM, true, false, false, false),
        (want::SUM, shape::WEIGHTED) => pass!(4, want::SUM, false, false, true, false),
        (want::SUM, shape::MASKED) => pass!(4, want::SUM, false, false, false, true),
        (want::STORE, 0) => pass!(4, want::STORE, false, false, false, false),
        (want::GRAD, 0) => pass!(4, want::GRAD, false, false, false, false),
        (want::GRAD, shape::SCALED) => pass!(4, want::GRAD, true, false, false, false),
        (want::GRAD_EACH, 0) => pass!(4, want::GRAD_EACH, false, false, false, false),
        (want::SUM_GRAD, 0) => pass!(4, want::SUM_GRAD, false, false, false, false),
        (want::SUM_GRAD, shape::SCALED) => pass!(4, want::SUM_GRAD, true, false, false, false),
        (want::SUM_GRAD, shape::WEIGHTED) => pass!(4, want::SUM_GRAD, false, false, true, false),
        (want::SUM_GRAD, shape::MASKED) => pass!(4, want::SUM_GRAD, false, false, false, true),
        (want::NOTHING, _) => count_only::<L>(job, first, n, work),
        (want, _) if want & (want::CURVATURE | want::BETA | want::DELTA) != 0 => {
            pass!(1, want::SPECIAL, true, true, true, true)
        }
        (_, shape) => match shape & !shape::MORE {
            0 => pass!(2, want::ANY, false, false, false, false),
            shape::WEIGHTED => pass!(2, want::ANY, false, false, true, false),
            shape::MASKED | shape::WEIGHTED_MASKED => pass!(4, want::ANY, false, false, true, true),
            _ => pass!(1, want::ANY, true, true, true, true),
        },
    }
}

/// The numbers of a job in all lanes.
struct Splat<L, const SCALED: bool, const COLUMNS: bool> {
    want: u32,
    accumulate: bool,
    curve: Curve<L, SCALED, COLUMNS>,
    scale: L,
    grad_scale: L,
    shift: L,
    ignores_nan: bool,
}

#[inline(never)]
unsafe fn pass<
    L: Lanes,
    const U: usize,
    const WANT: u32,
    const SCALED: bool,
    const COLUMNS: bool,
    const WEIGHTED: bool,
    const MASKED: bool,
>(
    job: &Job,
    first: usize,
    n: usize,
    work: *mut Work,
) {
    // All operands are arrays or numbers: no tile is needed.
    let is_bare = WANT != want::ANY && WANT != want::SPECIAL && !WEIGHTED && !MASKED;
    let rows = WANT == want::ANY && job.want & want::ROWS != 0;
    let splat = Splat::<L, SCALED, COLUMNS> {
        want: job.want,
        accumulate: job.accumulate != 0,
        curve: Curve {
            pre: L::splat(job.pre),
            inv: L::splat(job.inv),
            lim: L::splat(job.lim),
            half: L::splat(job.half),
        },
        scale: L::splat(if rows { 1.0 } else { job.scale }),
        grad_scale: L::splat(job.grad_scale),
        shift: L::splat(job.shift),
        ignores_nan: job.ignore_nan != 0,
    };
    let mut total = (*work).totals.loss;
    let mut done = 0;
    while done < n {
        let at = first + done;
        let len = LEAF.min(n - done);
        let tail = len % STEP;
        let mut leaf = if is_bare {
            locate(job, at, work)
        } else {
            spread::<L>(job, at, len, done == 0, COLUMNS, work);
            (*work).leaf
        };
        if WANT == want::ANY && job.count != count::NOTHING {
            counts::<L>(job, at, len, work);
        }
        let mut sums = [L::splat(0.0); UNROLL];
        let mut end = len - tail;
        let mut is_last = tail == 0;
        let mut i = 0;
        loop {
            while i < end {
                step::<L, U, WANT, SCALED, COLUMNS, WEIGHTED, MASKED>(&splat, &leaf, i, &mut sums);
                i += U * LANES;
            }
            if is_last {
                break;
            }
            is_last = true;
            pad(job, at, end, tail, is_bare, work);
            leaf = (*work).padded;
            (i, end) = (0, STEP);
        }
        if tail != 0 {
            unpad(len - tail, tail, work);
        }
        total += total_of(sums);
        if rows {
            fold_rows(job, at, len, work);
        }
        done += len;
    }
    (*work).totals.loss = total;
}

/// Elements `i .. i + U * LANES` of a leaf.
#[inline(always)]
unsafe fn step<
    L: Lanes,
    const U: usize,
    const WANT: u32,
    const SCALED: bool,
    const COLUMNS: bool,
    const WEIGHTED: bool,
    const MASKED: bool,
>(
    splat: &Splat<L, SCALED, COLUMNS>,
    leaf: &Leaf,
    i: usize,
    sums: &mut [L; UNROLL],
) {
    let any = WANT == want::ANY;
    let special = WANT == want::SPECIAL;
    let want = if any || special { splat.want } else { WANT };
    let one = L::splat(1.0);

    let x: [L; U] = load(leaf.input, i);
    let y: [L; U] = load(leaf.target, i);
    let (inside, outside): ([L; U], [L; U]) =
        if WEIGHTED { (load(leaf.inside, i), load(leaf.outside, i)) } else { ([one; U], [one; U]) };
    let upstream: [L; U] =
        if want & want::UPSTREAM != 0 { load(leaf.upstream, i) } else { [one; U] };
    let masked: [L; U] = if MASKED {
        let zero: [L; U] = load_mask(leaf.mask, i);
        if splat.ignores_nan { each(|j| zero[j].or(y[j].nan())) } else { zero }
    } else {
        [L::splat(0.0); U]
    };
    let curve: [Curve<L, SCALED, COLUMNS>; U] = if COLUMNS {
        let pre: [L; U] = load(leaf.pre, i);
        let inv: [L; U] = load(leaf.inv, i);
        let lim: [L; U] = load(leaf.lim, i);
        let half: [L; U] = load(leaf.half, i);
        each(|j| Curve { pre: pre[j], inv: inv[j], lim: lim[j], half: half[j] })
    } else {
        [splat.curve; U]
    };

    let unmasked = |v: [L; U]| {
        if MASKED { each(|j| v[j].drop(masked[j])) } else { v }
    };
    let weigh = |v: [L; U], weight: [L; U]| {
        if WEIGHTED { each(|j| v[j].mul(weight[j])) } else { v }
    };
    let d: [L; U] = each(|j| x[j].sub(y[j]));
    let e = weigh(d, inside);
    let t: [L; U] = each(|j| curve[j].slope(e[j]));
    let loss = || -> [L; U] { each(|j| curve[j].loss(e[j], t[j])) };
    // What a gradient is multiplied by, before any weight.
    let pull = || {
        let g = [splat.grad_scale; U];
        if want & want::UPSTREAM != 0 { each(|j| g[j].mul(upstream[j])) } else { g }
    };

    if !special && want & want::LOSS != 0 {
        let losses = unmasked(weigh(loss(), outside));
        if want & want::SUM != 0 {
            add_to(sums, losses);
        }
        if want & (want::STORE | want::ROWS) != 0 {
            // Adding zero turns the -0 of a residual of -0 into 0.
            let zero = L::splat(0.0);
            store::<L, U>(each(|j| losses[j].mul(splat.scale).add(zero)), leaf.out, i);
        }
    }
    if !special && want & want::GRAD != 0 {
        let put = |v: [L; U], p: *mut f32| {
            let mut v = unmasked(v);
            if any {
                // Adding -0 changes nothing, not even +0.
                let old = if splat.accumulate { load(p, i) } else { [L::splat(-0.0); U] };
                v = each(|j| old[j].add(v[j]));
            }
            store(v, p, i);
        };
        let g = pull();
        let outer = weigh(g, outside);
        let inner = weigh(outer, inside);
        let to_input: [L; U] = each(|j| t[j].mul(inner[j]));
        if !any || !leaf.grad_input.is_null() {
            put(to_input, leaf.grad_input);
        }
        if any && !leaf.grad_target.is_null() {
            put(each(|j| to_input[j].mul(L::splat(-1.0))), leaf.grad_target);
        }
        if any && !leaf.grad_inside.is_null() {
            put(each(|j| outer[j].mul(t[j]).mul(d[j])), leaf.grad_inside);
        }
        if any && !leaf.grad_outside.is_null() {
            let loss = loss();
            put(each(|j| g[j].mul(loss[j].sub(splat.shift))), leaf.grad_outside);
        }
    }
    if special {
        let outer = weigh(pull(), outside);
        if want & want::CURVATURE != 0 {
            let g = weigh(weigh(outer, inside), inside);
            let direction: [L; U] =
                if leaf.direction.is_null() { [one; U] } else { load(leaf.direction, i) };
            let h = each(|j| curve[j].curvature(e[j]).mul(g[j]).mul(direction[j]));
            store(unmasked(h), leaf.grad_input, i);
        } else {
            let is_beta = want & want::BETA != 0;
            let slope = |j: usize| {
                if is_beta { curve[j].beta_slope(t[j]) } else { curve[j].delta_slope(e[j], t[j]) }
            };
            add_to::<L, U>(sums, unmasked(each(|j| slope(j).mul(outer[j]))));
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

#[inline(always)]
fn total_of<L: Lanes>(sums: [L; UNROLL]) -> f64 {
    let [a, b, c, d] = sums.map(L::fold);
    (a + b) + (c + d)
}

#[inline(always)]
fn each<T, const N: usize>(f: impl FnMut(usize) -> T) -> [T; N] {
    core::array::from_fn(f)
}

#[inline(always)]
unsafe fn load<L: Lanes, const U: usize>(p: *const f32, i: usize) -> [L; U] {
    each(|j| L::load(p.add(i + j * LANES)))
}

#[inline(always)]
unsafe fn store<L: Lanes, const U: usize>(v: [L; U], p: *mut f32, i: usize) {
    for (j, v) in v.into_iter().enumerate() {
        v.store(p.add(i + j * LANES));
    }
}

#[inline(always)]
unsafe fn load_mask<L: Lanes, const U: usize>(p: *const u8, i: usize) -> [L; U] {
    if U == UNROLL {
        let masks = L::zero_bytes(p.add(i).cast::<[u8; STEP]>());
        each(|j| masks[j])
    } else {
        each(|j| L::zero_byte4(p.add(i + j * LANES).cast::<[u8; LANES]>()))
    }
}

/// Where the operands and results of the leaf at element `at` are: in their arrays, or in tiles.
#[inline(always)]
unsafe fn locate(job: &Job, at: usize, work: *mut Work) -> Leaf {
    let rows = job.want & want::ROWS != 0;
    let offset = at - job.origin;
    let tiles = &raw mut (*work).tiles;
    let array = |p: *mut f32| if p.is_null() { p } else { p.add(offset) };
    let phase = if has_short_rows(job) { at % row_length(job) } else { 0 };
    let operand = |kind: u32, p: *const f32, tile: *const Tile| {
        let tile: *const f32 = tile.cast();
        match kind {
            kind::FULL => p.add(offset),
            kind::COLUMN => tile.add(phase),
            _ => tile,
        }
    };
    let curve = |tile: *const Tile| operand(job.curves_kind, job.curves, tile);
    Leaf {
        input: job.input.add(offset),
        target: job.target.add(offset),
        inside: operand(job.inside_kind, job.inside, &raw const (*tiles).inside),
        outside: operand(job.outside_kind, job.outside, &raw const (*tiles).outside),
        upstream: operand(job.upstream_kind, job.upstream, &raw const (*tiles).upstream),
        direction: array(job.direction.cast_mut()),
        pre: curve(&raw const (*tiles).pre),
        inv: curve(&raw const (*tiles).inv),
        lim: curve(&raw const (*tiles).lim),
        half: curve(&raw const (*tiles).half),
        mask: if job.mask_kind == kind::FULL {
            job.mask.add(offset)
        } else {
            (&raw const (*tiles).mask).cast()
        },
        out: if rows { (&raw mut (*tiles).losses).cast() } else { array(job.out) },
        grad_input: array(job.grad_input),
        grad_target: array(job.grad_target),
        grad_inside: array(job.grad_inside),
        grad_outside: array(job.grad_outside),
    }
}

/// Locates a leaf and fills its tiles. A tile that is the same for all leaves is filled for the
/// first. With `all`, the pass reads every tile, needed or not.
#[inline(never)]
unsafe fn spread<L: Lanes>(
    job: &Job,
    at: usize,
    len: usize,
    is_first: bool,
    all: bool,
    work: *mut Work,
) {
    (*work).leaf = locate(job, at, work);
    let tiles = &raw mut (*work).tiles;
    let all = all || job.count != count::NOTHING;
    let fill = |kind: u32, number: &f32, p: *const f32, tile: *mut Tile| {
        fill::<L>(
            job,
            kind,
            if kind == kind::NUMBER { number } else { p },
            at,
            len,
            is_first,
            tile.cast(),
        );
    };
    if all {
        let columns = |j: usize| job.curves.wrapping_add(j * job.row_length);
        fill(job.curves_kind, &job.pre, columns(0), &raw mut (*tiles).pre);
        fill(job.curves_kind, &job.inv, columns(1), &raw mut (*tiles).inv);
        fill(job.curves_kind, &job.lim, columns(2), &raw mut (*tiles).lim);
        fill(job.curves_kind, &job.half, columns(3), &raw mut (*tiles).half);
    }
    if all || job.shape & shape::WEIGHTED_MASKED != 0 {
        fill(job.inside_kind, &job.inside_number, job.inside, &raw mut (*tiles).inside);
        fill(job.outside_kind, &job.outside_number, job.outside, &raw mut (*tiles).outside);
    }
    if job.want & want::UPSTREAM != 0 {
        fill(job.upstream_kind, &1.0, job.upstream, &raw mut (*tiles).upstream);
    }
    if all || job.shape & shape::MASKED != 0 {
        let mask: *mut u8 = (&raw mut (*tiles).mask).cast();
        match job.mask_kind {
            kind::NUMBER if is_first => write_bytes(mask, 1, len),
            kind::ROW => each_row(job, at, len, |j, count, row, _| {
                write_bytes(mask.add(j), job.mask.add(row).read(), count);
            }),
            _ => {}
        }
    }
}

#[inline(never)]
unsafe fn fill<L: Lanes>(
    job: &Job,
    kind: u32,
    p: *const f32,
    at: usize,
    len: usize,
    is_first: bool,
    tile: *mut f32,
) {
    match kind {
        kind::NUMBER if is_first => splat_into::<L>(tile, p.read(), len),
        // Boxes: a vector is a row.
        kind::ROW if job.row_length == LANES && (at | len) % LANES == 0 => {
            let row = p.add(at / LANES - job.row_origin);
            for j in 0..len / LANES {
                L::splat(row.add(j).read()).store(tile.add(j * LANES));
            }
        }
        kind::ROW => each_row(job, at, len, |j, count, row, _| {
            splat_into::<L>(tile.add(j), p.add(row).read(), count);
        }),
        // Short rows: the leaves differ only in the column that they begin with.
        kind::COLUMN if has_short_rows(job) => {
            if is_first {
                let length = row_length(job);
                copy(p, tile, length);
                // What is there already, again and again; a leaf that is not full is the last.
                let wanted = if len == LEAF { LEAF + length } else { at % length + len };
                copy(tile, tile.add(length), wanted.saturating_sub(length));
            }
        }
        kind::COLUMN => each_row(job, at, len, |j, count, row, _| {
            let column = at + j - (row + job.row_origin) * row_length(job);
            copy(p.add(column), tile.add(j), count);
        }),
        _ => {}
    }
}

#[inline(always)]
unsafe fn splat_into<L: Lanes>(p: *mut f32, value: f32, len: usize) {
    let mut j = 0;
    while len - j >= LANES {
        L::splat(value).store(p.add(j));
        j += LANES;
    }
    while j < len {
        p.add(j).write(value);
        j += 1;
    }
}

#[inline(always)]
unsafe fn write_bytes(p: *mut u8, value: u8, len: usize) {
    let mut j = 0;
    while len - j >= 4 {
        p.add(j).cast::<[u8; 4]>().write([value; 4]);
        j += 4;
    }
    while j < len {
        p.add(j).write(value);
        j += 1;
    }
}

/// True if a whole row fits beside a leaf in a tile.
#[inline(always)]
fn has_short_rows(job: &Job) -> bool {
    job.row_length != 0 && job.row_length <= LEAF
}

/// Rows and columns exist only where their length is not 0; saying so leaves no panic behind.
#[inline(always)]
unsafe fn row_length(job: &Job) -> usize {
    core::hint::assert_unchecked(job.row_length != 0);
    job.row_length
}

/// Calls `f(j, count, row, is_end)` for each piece of a row in `at .. at + len`: `count` elements
/// from `at + j` on, the last of their row or not.
#[inline(always)]
unsafe fn each_row(job: &Job, at: usize, len: usize, mut f: impl FnMut(usize, usize, usize, bool)) {
    let length = row_length(job);
    let mut row = at / length - job.row_origin;
    let mut left = length - at % length;
    let mut j = 0;
    while j < len {
        let count = left.min(len - j);
        f(j, count, row, count == left);
        j += count;
        row += 1;
        left = length;
    }
}

/// Copies the last `k` elements of the leaf at `at`, from `i` on, to where zeros follow them, and
/// has the leaf be there. A padded element has residual 0, weight 0, and is masked.
#[inline(never)]
unsafe fn pad(job: &Job, at: usize, i: usize, k: usize, is_bare: bool, work: *mut Work) {
    let pads = &raw mut (*work).pads;
    if is_bare {
        (*work).leaf = locate(job, at, work);
    }
    let home = &raw const (*work).leaf;
    let read = |p: *const f32, pad: *mut Pad| pad_from(p, i, k, pad);
    let write = |p: *mut f32, pad: *mut Pad| pad_from(p, i, k, pad).cast_mut();
    let leaf = &raw mut (*work).padded;
    (*leaf).input = read((*home).input, &raw mut (*pads).input);
    (*leaf).target = read((*home).target, &raw mut (*pads).target);
    if job.want & want::UPSTREAM != 0 {
        (*leaf).upstream = read((*home).upstream, &raw mut (*pads).upstream);
    }
    if !is_bare {
        (*leaf).inside = read((*home).inside, &raw mut (*pads).inside);
        (*leaf).outside = read((*home).outside, &raw mut (*pads).outside);
        (*leaf).direction = read((*home).direction, &raw mut (*pads).direction);
        (*leaf).pre = read((*home).pre, &raw mut (*pads).pre);
        (*leaf).inv = read((*home).inv, &raw mut (*pads).inv);
        (*leaf).lim = read((*home).lim, &raw mut (*pads).lim);
        (*leaf).half = read((*home).half, &raw mut (*pads).half);
        let mask: *mut u8 = (&raw mut (*pads).mask).cast();
        mask.cast::<[u8; STEP]>().write([0; STEP]);
        copy((*home).mask.add(i), mask, k);
        (*leaf).mask = mask;
    }
    (*leaf).out = write((*home).out, &raw mut (*pads).out);
    (*leaf).grad_input = write((*home).grad_input, &raw mut (*pads).grad_input);
    (*leaf).grad_target = write((*home).grad_target, &raw mut (*pads).grad_target);
    (*leaf).grad_inside = write((*home).grad_inside, &raw mut (*pads).grad_inside);
    (*leaf).grad_outside = write((*home).grad_outside, &raw mut (*pads).grad_outside);
}

/// Brings results home from where [`pad`] sent them.
#[inline(never)]
unsafe fn unpad(i: usize, k: usize, work: *mut Work) {
    let pads = &raw const (*work).pads;
    let home = &raw const (*work).leaf;
    let back = |p: *mut f32, pad: *const Pad| {
        if !p.is_null() {
            copy(pad.cast(), p.add(i), k);
        }
    };
    back((*home).out, &raw const (*pads).out);
    back((*home).grad_input, &raw const (*pads).grad_input);
    back((*home).grad_target, &raw const (*pads).grad_target);
    back((*home).grad_inside, &raw const (*pads).grad_inside);
    back((*home).grad_outside, &raw const (*pads).grad_outside);
}

#[inline(never)]
unsafe fn pad_from(p: *const f32, i: usize, k: usize, pad: *mut Pad) -> *const f32 {
    if p.is_null() {
        return p;
    }
    pad.write([0.0; STEP]);
    copy(p.add(i), pad.cast(), k);
    pad.cast()
}

/// Copies one by one, from the first on: what overlaps is repeated.
#[inline(never)]
unsafe fn copy<T: Copy>(from: *const T, to: *mut T, k: usize) {
    for j in 0..k {
        // Volatile: a call to copy a block costs more, for the few that there are.
        to.add(j).write_volatile(from.add(j).read_volatile());
    }
}

/// Adds the losses of a leaf up, row by row. A row may have begun in an earlier leaf or call.
#[inline(never)]
unsafe fn fold_rows(job: &Job, at: usize, len: usize, work: *mut Work) {
    let losses: *const f32 = (&raw const (*work).tiles.losses).cast();
    let mut sum = (*work).totals.row;
    each_row(job, at, len, |j, count, row, is_end| {
        for i in j..j + count {
            sum += f64::from(losses.add(i).read());
        }
        if is_end {
            job.out.add(row).write((sum * f64::from(job.scale)) as f32);
            sum = 0.0;
        }
    });
    (*work).totals.row = sum;
}

unsafe fn count_only<L: Lanes>(job: &Job, first: usize, n: usize, work: *mut Work) {
    let mut done = 0;
    while done < n {
        let len = LEAF.min(n - done);
        spread::<L>(job, first + done, len, done == 0, true, work);
        counts::<L>(job, first + done, len, work);
        done += len;
    }
}

/// Counts a leaf, or adds its weights up.
#[inline(never)]
unsafe fn counts<L: Lanes>(job: &Job, at: usize, len: usize, work: *mut Work) {
    let mut leaf = (*work).leaf;
    let tail = len % STEP;
    let mut sums = [L::splat(0.0); UNROLL];
    let mut end = len - tail;
    let mut is_last = tail == 0;
    let mut i = 0;
    loop {
        while i < end {
            let [mut value]: [L; 1] =
                if job.count == count::UNMASKED { [L::splat(1.0)] } else { load(leaf.outside, i) };
            if job.count == count::NONZERO {
                value = L::splat(1.0).drop(value.eq(L::splat(0.0)));
            }
            let [mut masked]: [L; 1] = load_mask(leaf.mask, i);
            if job.ignore_nan != 0 {
                let [y]: [L; 1] = load(leaf.target, i);
                masked = masked.or(y.nan());
            }
            add_to(&mut sums, [value.drop(masked)]);
            i += LANES;
        }
        if is_last {
            break;
        }
        is_last = true;
        pad(job, at, end, tail, false, work);
        leaf = (*work).padded;
        (i, end) = (0, STEP);
    }
    (*work).totals.count += total_of(sums);
}
