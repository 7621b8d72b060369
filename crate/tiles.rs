//! Where the operands of a leaf are: in their arrays, in tiles that they are spread over, or, for the
//! last few elements, in pads with zeros behind them.

use crate::job::{Job, count, kind, shape, want};
use crate::lanes::{LANES, Lanes};

/// Vectors that are summed side by side.
pub const UNROLL: usize = 4;
/// The floats of these vectors.
pub const STEP: usize = LANES * UNROLL;
/// Elements summed in `f32` before they are folded into an `f64`.
pub const LEAF: usize = 1024;

/// What a pass adds up.
#[repr(C)]
pub struct Totals {
    pub loss: f64,
    pub count: f64,
    /// The sum of a row that the next call goes on with.
    pub row: f64,
}

/// The memory that one thread works in: the caller's, aligned to 64 bytes. What it holds at first
/// does not matter, as long as it is initialised.
#[repr(C)]
pub struct Work {
    pub totals: Totals,
    /// The leaf that is being worked on, and its last elements.
    pub leaf: Leaf,
    pub padded: Leaf,
    pub pads: Pads,
    /// The sums of a leaf, on their way to its total.
    pub sums: Pad,
    pub tiles: Tiles,
}

/// Where the operands and results of a leaf are.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Leaf {
    pub input: *const f32,
    pub target: *const f32,
    pub inside: *const f32,
    pub outside: *const f32,
    pub upstream: *const f32,
    pub direction: *const f32,
    pub pre: *const f32,
    pub inv: *const f32,
    pub lim: *const f32,
    pub half: *const f32,
    pub mask: *const u8,
    pub out: *mut f32,
    pub grad_input: *mut f32,
    pub grad_target: *mut f32,
    pub grad_inside: *mut f32,
    pub grad_outside: *mut f32,
}

/// The last elements of an operand, followed by zeros; the last results.
pub type Pad = [f32; STEP];

#[repr(C, align(64))]
pub struct Pads {
    pub input: Pad,
    pub target: Pad,
    pub inside: Pad,
    pub outside: Pad,
    pub upstream: Pad,
    pub pre: Pad,
    pub inv: Pad,
    pub lim: Pad,
    pub half: Pad,
    pub direction: Pad,
    pub mask: [u8; STEP],
    pub out: Pad,
    pub grad_input: Pad,
    pub grad_target: Pad,
    pub grad_inside: Pad,
    pub grad_outside: Pad,
}

/// A tile holds one operand of one leaf, or the columns repeated, beginning with the first: a row
/// and a leaf then. Sixteen floats more keep the tiles off each other's cache sets.
pub type Tile = [f32; 2 * LEAF + 16];

#[repr(C, align(64))]
pub struct Tiles {
    pub inside: Tile,
    pub outside: Tile,
    pub upstream: Tile,
    pub pre: Tile,
    pub inv: Tile,
    pub lim: Tile,
    pub half: Tile,
    pub losses: Tile,
    pub mask: [u8; LEAF],
}

/// Where the operands and results of the leaf at element `at` are: in their arrays, or in tiles.
#[inline(always)]
pub(crate) unsafe fn locate(job: &Job, at: usize, work: *mut Work) -> Leaf {
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
/// first. `shape` says which of them the pass reads.
#[inline(never)]
pub(crate) unsafe fn spread<L: Lanes>(
    job: &Job,
    at: usize,
    len: usize,
    is_first: bool,
    shape: u32,
    work: *mut Work,
) {
    (*work).leaf = locate(job, at, work);
    let tiles = &raw mut (*work).tiles;
    let counts = if job.count != count::NOTHING { shape::WEIGHTED_MASKED } else { 0 };
    let shape = shape | counts;
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
    if shape & shape::COLUMNS != 0 {
        let columns = |j: usize| job.curves.wrapping_add(j * job.row_length);
        fill(job.curves_kind, &job.pre, columns(0), &raw mut (*tiles).pre);
        fill(job.curves_kind, &job.inv, columns(1), &raw mut (*tiles).inv);
        fill(job.curves_kind, &job.lim, columns(2), &raw mut (*tiles).lim);
        fill(job.curves_kind, &job.half, columns(3), &raw mut (*tiles).half);
    }
    if shape & shape::WEIGHTED != 0 {
        fill(job.inside_kind, &job.inside_number, job.inside, &raw mut (*tiles).inside);
        fill(job.outside_kind, &job.outside_number, job.outside, &raw mut (*tiles).outside);
    }
    if job.want & want::UPSTREAM != 0 {
        fill(job.upstream_kind, &*job.upstream, job.upstream, &raw mut (*tiles).upstream);
    }
    if shape & shape::MASKED != 0 {
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
        kind::COLUMN if !has_short_rows(job) => each_row(job, at, len, |j, count, row, _| {
            let column = at + j - (row + job.row_origin) * row_length(job);
            copy(p.add(column), tile.add(j), count);
        }),
        // Short rows: the leaves differ only in the column that they begin with.
        kind::COLUMN if is_first => {
            let length = row_length(job);
            copy(p, tile, length);
            // What is there already, again and again; a leaf that is not full is the last.
            let wanted = if len == LEAF { LEAF + length } else { at % length + len };
            copy(tile, tile.add(length), wanted.saturating_sub(length));
        }
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
pub(crate) unsafe fn each_row(
    job: &Job,
    at: usize,
    len: usize,
    mut f: impl FnMut(usize, usize, usize, bool),
) {
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
pub(crate) unsafe fn pad(job: &Job, at: usize, i: usize, k: usize, is_bare: bool, work: *mut Work) {
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
pub(crate) unsafe fn unpad(i: usize, k: usize, work: *mut Work) {
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
