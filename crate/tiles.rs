//! Where the operands of a leaf are: in their arrays, in tiles that they are spread over, or, for the
//! last few elements, in pads with zeros behind them.
//!
//! The unsafe functions share the contract of [`run`](crate::kernel::run): the job is as `run` demands,
//! and the elements `at .. at + len` are among its elements, at most [`LEAF`] of them.

use core::mem::offset_of;

use crate::exact::Exact;
use crate::job::{Job, Operand, count, ignore, layout, operand, result, shape, want};
use crate::lanes::{BEYOND, LANES, Lanes};
use crate::loss::ONE_WEIGHT;

/// Vectors that are summed side by side.
pub const UNROLL: usize = 4;
/// The floats of these vectors.
pub const STEP: usize = LANES * UNROLL;
/// Elements summed in `f32` before they are folded into an `f64`.
pub const LEAF: usize = 1024;
/// Elements whose leaves are added up before their sum joins the total; what a thread or a copy takes
/// at a time, so that neither changes the order of a sum.
pub const PIECE: usize = 8 * LEAF;

/// A loop reads floats from so many arrays: the operands up to `DIRECTION`, by index of [`operand`],
/// then, from `CURVES` on, the six numbers of the curve.
const SLOTS: usize = operand::CURVES + 6;
/// `INPUT` and `TARGET` come first. They are in an array, or widened.
const FIRST_TILE: usize = operand::INSIDE;
const RESULTS: usize = result::ROBUST_WEIGHTS + 1;

/// A sum of leaves. It is `before + piece` after each leaf.
#[repr(C)]
pub struct Sum {
    pub total: f64,
    /// The total of the pieces before the running one.
    pub before: f64,
    /// The leaves of the running piece.
    pub piece: f64,
}

/// What a pass adds up.
#[repr(C)]
pub struct Totals {
    pub loss: Sum,
    pub count: Sum,
    /// The sum of a row that the next call continues.
    pub row: f64,
}

/// The memory that one thread works in: the caller's, aligned to 64 bytes. What it holds at first
/// does not matter, as long as it is initialised.
#[repr(C)]
pub struct Work {
    pub totals: Totals,
    /// What is added up exactly.
    pub exact_loss: Exact,
    pub exact_count: Exact,
    /// The leaf that is being worked on, and its last elements.
    pub leaf: Leaf,
    pub padded: Leaf,
    pub pads: Pads,
    /// The sums of a leaf, on their way to its total.
    pub sums: Pad,
    pub tiles: Tiles,
}

/// Where the operands and results of a leaf are. An operand that the pass does not read may be anywhere;
/// a result that is not wanted is null.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Leaf {
    pub operands: [*const f32; SLOTS],
    pub results: [*mut f32; RESULTS],
    pub mask: *const u8,
}

/// The last elements of an operand, followed by zeros, or the last results.
pub type Pad = [f32; STEP];

#[repr(C, align(64))]
pub struct Pads {
    operands: [Pad; SLOTS],
    results: [Pad; RESULTS],
    mask: [u8; STEP],
}

/// A tile holds one operand of one leaf, or the columns repeated, beginning with the first: a row
/// and a leaf then. Sixteen floats more keep the tiles in different cache sets.
pub type Tile = [f32; 2 * LEAF + 16];

/// The operands of 16 bits of one leaf, as floats. The last 16 floats keep the tiles in different cache
/// sets, and have room for what is left over of a vector.
pub type Wide = [f32; LEAF + 16];

#[repr(C, align(64))]
pub struct Tiles {
    widened: [Wide; FIRST_TILE],
    operands: [Tile; SLOTS - FIRST_TILE],
    pub losses: Tile,
    mask: [u8; LEAF],
}

/// The slots that a pass with this `shape` reads, as a set of bits. Bit [`SLOTS`] stands for the mask.
#[inline(always)]
fn slots_read(job: &Job, shape: u32) -> u32 {
    let reads = |is_read: bool, from: usize, n: usize| {
        if is_read { ((1 << n) - 1) << from } else { 0 }
    };
    let has = |bit: u32| shape & bit != 0;
    let counts = job.count != count::NOTHING;
    let reads_inputs = job.want != want::NOTHING || job.ignores();
    reads(reads_inputs, operand::INPUT, 2)
        | reads(has(shape::WEIGHTED) && !has(ONE_WEIGHT), operand::INSIDE, 1)
        | reads(has(shape::WEIGHTED) || counts, operand::OUTSIDE, 1)
        | reads(job.want & want::UPSTREAM != 0, operand::UPSTREAM, 1)
        | reads(job.want & want::CURVATURE != 0, operand::DIRECTION, 1)
        | reads(has(shape::COLUMNS), operand::CURVES, 4)
        | reads(has(shape::COLUMNS) && has(shape::SIDED), operand::CURVES + 4, 2)
        | reads(has(shape::MASKED) || counts, SLOTS, 1)
}

/// Calls `f` for the slots of this set, but for that of the mask.
#[inline(always)]
fn each_slot(set: u32, mut f: impl FnMut(usize)) {
    let mut left = set & ((1 << SLOTS) - 1);
    while left != 0 {
        f(left.trailing_zeros() as usize);
        left &= left - 1;
    }
}

/// Where the operands and results of the leaf at element `at` are: in their arrays, or in tiles. Inlined:
/// a loop finds the places of what it reads, and of nothing else.
///
/// # Safety
/// `work` is valid.
#[inline(always)]
pub(crate) unsafe fn locate(job: &Job, at: usize, work: *mut Work) -> Leaf {
    let phase = phase_of(job, at);
    Leaf {
        operands: core::array::from_fn(|slot| operand_at(job, slot, at, phase, work)),
        results: core::array::from_fn(|index| result_at(job, index, at, work)),
        mask: mask_at(job, at, work),
    }
}

/// The same, into `work.leaf`, for a pass with this `shape`.
///
/// # Safety
/// `work` is valid.
#[inline(never)]
pub(crate) unsafe fn locate_all(job: &Job, at: usize, shape: u32, work: *mut Work) {
    let phase = phase_of(job, at);
    let leaf = &raw mut (*work).leaf;
    each_slot(slots_read(job, shape), |slot| {
        let place = (&raw mut (*leaf).operands).cast::<*const f32>().add(slot);
        place.write(operand_at(job, slot, at, phase, work));
    });
    for index in 0..RESULTS {
        (*leaf).results[index] = result_at(job, index, at, work);
    }
    (*leaf).mask = mask_at(job, at, work);
}

/// The column of element `at` where a tile holds whole rows.
#[inline(always)]
unsafe fn phase_of(job: &Job, at: usize) -> usize {
    if has_short_rows(job) { at % row_length(job) } else { 0 }
}

/// # Safety
/// `work` is valid.
#[inline(always)]
unsafe fn operand_at(
    job: &Job,
    slot: usize,
    at: usize,
    phase: usize,
    work: *mut Work,
) -> *const f32 {
    let Operand { layout, pointer, .. } = job.operands[slot.min(operand::CURVES)];
    if slot < FIRST_TILE && layout >= layout::FLOAT16 {
        let tiles = (&raw const (*work).tiles.widened).cast::<Wide>();
        return tiles.wrapping_add(slot).cast();
    }
    if slot < FIRST_TILE || layout == layout::FULL {
        // Wrapping: the pointer of an operand that is not read may be null.
        return pointer.cast::<f32>().wrapping_add(at - job.origin);
    }
    let tiles = (&raw const (*work).tiles.operands).cast::<Tile>();
    let tile: *const f32 = tiles.wrapping_add(slot - FIRST_TILE).cast();
    if layout == layout::COLUMN { tile.add(phase) } else { tile }
}

/// # Safety
/// `work` is valid.
#[inline(always)]
unsafe fn result_at(job: &Job, index: usize, at: usize, work: *mut Work) -> *mut f32 {
    let p = job.results[index];
    if index == result::OUT && job.want & (want::ROWS | want::EXACT) != 0 {
        (&raw mut (*work).tiles.losses).cast()
    } else if p.is_null() {
        p
    } else {
        p.add(at - job.origin)
    }
}

/// # Safety
/// `work` is valid.
#[inline(always)]
unsafe fn mask_at(job: &Job, at: usize, work: *mut Work) -> *const u8 {
    let Operand { layout, pointer, .. } = job.operands[operand::MASK];
    if layout == layout::FULL && !job.ignores() {
        pointer.add(at - job.origin)
    } else {
        (&raw const (*work).tiles.mask).cast()
    }
}

/// Fills the tiles of a leaf that a pass with this `shape` reads. A tile that is the same for all leaves is
/// filled for the first. Returns whether the next leaf needs any filled.
///
/// # Safety
/// `work` is valid, and its tiles are those of the leaf before unless `is_first`.
#[inline(never)]
pub(crate) unsafe fn spread<L: Lanes>(
    job: &Job,
    at: usize,
    len: usize,
    is_first: bool,
    shape: u32,
    work: *mut Work,
) -> bool {
    let mut changes = false;
    let tiles = &raw mut (*work).tiles;
    let read = slots_read(job, shape);
    // The six numbers are fields in a row. A pointer to the first alone may not be used for the rest.
    let curve = (&raw const *job).byte_add(offset_of!(Job, pre)).cast::<f32>();
    if job.shape & shape::HALF != 0 {
        changes = true;
        for slot in 0..FIRST_TILE {
            if job.operands[slot].layout >= layout::FLOAT16 && read >> slot & 1 != 0 {
                let tile = (&raw mut (*tiles).widened).cast::<Wide>().add(slot).cast();
                widen::<L>(&job.operands[slot], at - job.origin, tile, len);
            }
        }
    }
    each_slot(read & !((1 << FIRST_TILE) - 1), |slot| {
        let operand = &job.operands[slot.min(operand::CURVES)];
        let index = slot.saturating_sub(operand::CURVES);
        let values = if operand.layout != layout::NUMBER {
            operand.pointer.cast::<f32>().wrapping_add(index * job.row_length)
        } else if slot < operand::CURVES {
            &raw const operand.number
        } else {
            curve.add(index)
        };
        let tile = (&raw mut (*tiles).operands).cast::<Tile>().add(slot - FIRST_TILE).cast();
        fill::<L>(job, operand.layout, values, at, len, is_first, tile);
        changes |= operand.layout == layout::ROW
            || operand.layout == layout::COLUMN && !has_short_rows(job);
    });
    if read >> SLOTS & 1 != 0 {
        let mask: *mut u8 = (&raw mut (*tiles).mask).cast();
        let Operand { layout, pointer, .. } = job.operands[operand::MASK];
        match layout {
            layout::NUMBER if is_first => write_bytes(mask, 1, len),
            layout::ROW => each_row(job, at, len, |j, count, row, _| {
                write_bytes(mask.add(j), pointer.add(row).read(), count);
            }),
            layout::COLUMN => each_row(job, at, len, |j, count, row, _| {
                let column = at + j - (row + job.row_origin) * row_length(job);
                let (from, to) = (pointer.add(column), mask.add(j));
                // 16 at a time.
                let whole = count - count % STEP;
                let mut k = 0;
                while k < whole {
                    L::load(from.add(k).cast()).store(to.add(k).cast());
                    k += STEP;
                }
                copy(from.add(whole), to.add(whole), count - whole);
            }),
            _ => {}
        }
        changes |= layout == layout::ROW || layout == layout::COLUMN || job.ignores();
        if job.ignores() {
            // Nobody reads the pad before it is filled.
            let ones: *mut u8 = (&raw mut (*work).pads.mask).cast();
            write_bytes(ones, 1, STEP);
            let (from, stride) = match layout {
                layout::FULL => (pointer.add(at - job.origin), STEP),
                layout::NUMBER => (ones.cast_const(), 0),
                _ => (mask.cast_const(), STEP),
            };
            let target = operand_at(job, operand::TARGET, at, 0, work);
            drop_ignored::<L>(job, target, from, stride, mask, len);
        }
    }
    changes
}

/// Copies a mask, with 0 for the elements whose target is ignored, so that no loop looks at targets for that:
/// 1.15 to 1.3 times the time of loops that do, which would take 500 bytes. NaN alone has a loop of its own.
///
/// # Safety
/// `target` is valid for reading `len` floats, `to` for writing as many bytes, and `from` for reading them:
/// it is `to`, or apart from it. With a `stride` of 0, it is 16 bytes for all.
#[inline(never)]
unsafe fn drop_ignored<L: Lanes>(
    job: &Job,
    target: *const f32,
    mut from: *const u8,
    stride: usize,
    to: *mut u8,
    len: usize,
) {
    let mut j = 0;
    macro_rules! drop_where {
        ($is_ignored:expr) => {
            while len - j >= STEP {
                let ignored =
                    core::array::from_fn(|k| $is_ignored(L::load(target.add(j + k * LANES))));
                L::drop_bytes(ignored, from.cast(), to.add(j).cast());
                from = from.add(stride);
                j += STEP;
            }
        };
    }
    if job.ignore == ignore::NAN {
        drop_where!(|y: L| y.nan());
    } else {
        let value = L::splat(job.ignore_value);
        let keeps_nan = L::splat(f32::from_bits((job.ignore & ignore::NAN).wrapping_sub(1)));
        drop_where!(|y: L| y.nan().drop(keeps_nan).or(y.eq(value)));
    }
    copy(from, to.add(j), len - j);
}

/// Fills the tile of an operand with this layout, whose values are at `p`.
///
/// # Safety
/// `p` is valid for the values that these elements have, `tile` for a [`Tile`]; its contents are those
/// for the leaf before unless `is_first`.
#[inline(never)]
unsafe fn fill<L: Lanes>(
    job: &Job,
    layout: u32,
    p: *const f32,
    at: usize,
    len: usize,
    is_first: bool,
    tile: *mut f32,
) {
    match layout {
        layout::NUMBER if is_first => splat_into::<L>(tile, p.read(), len),
        // Boxes: a vector is a row.
        layout::ROW if job.row_length == LANES && (at | len) % LANES == 0 => {
            let row = p.add(at / LANES - job.row_origin);
            for j in 0..len / LANES {
                L::splat(row.add(j).read()).store(tile.add(j * LANES));
            }
        }
        layout::ROW => each_row(job, at, len, |j, count, row, _| {
            splat_into::<L>(tile.add(j), p.add(row).read(), count);
        }),
        layout::COLUMN if !has_short_rows(job) => each_row(job, at, len, |j, count, row, _| {
            let column = at + j - (row + job.row_origin) * row_length(job);
            copy_floats::<L>(p.add(column), tile.add(j), count);
        }),
        // Short rows: one tile serves all leaves, which begin at different columns of it.
        layout::COLUMN if is_first => {
            let length = row_length(job);
            copy_floats::<L>(p, tile, length);
            // The row is repeated up to the end of any full leaf. A leaf that is not full is the last.
            let wanted = if len == LEAF { LEAF + length } else { at % length + len };
            let more = wanted.saturating_sub(length);
            if length >= LANES {
                copy_floats::<L>(tile, tile.add(length), more);
            } else {
                copy(tile, tile.add(length), more);
            }
        }
        _ => {}
    }
}

/// Widens values of 16 bits, from the one at `offset` on. No number is infinite or NaN as a rule, so that
/// is put right afterwards.
///
/// # Safety
/// The operand is valid for reading these `len` values, `tile` for a [`Wide`].
#[inline(never)]
unsafe fn widen<L: Lanes>(operand: &Operand, offset: usize, tile: *mut f32, len: usize) {
    let p = operand.pointer.cast::<u16>().add(offset);
    const PAIR: usize = 2 * LANES;
    let mut largest = L::splat(0.0);
    let mut j = 0;
    while j < len {
        let mut from = p.add(j);
        if len - j < PAIR {
            let rest = tile.add(LEAF).cast();
            copy(from, rest, len - j);
            from = rest;
        }
        let [low, high] = if operand.layout == layout::BFLOAT16 {
            L::bfloat16(from.cast())
        } else {
            L::float16(from.cast(), &mut largest)
        };
        low.store(tile.add(j));
        high.store(tile.add(j + LANES));
        j += PAIR;
    }
    if largest.is_beyond() {
        j = 0;
        while j < len {
            let v = L::load(tile.add(j));
            let is_within = L::splat(BEYOND.next_down()).ge(v.abs());
            v.or(L::splat(f32::INFINITY).drop(is_within)).store(tile.add(j));
            j += LANES;
        }
    }
}

/// # Safety
/// `p` is valid for writing `len` floats.
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

/// # Safety
/// `p` is valid for writing `len` bytes.
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

/// The length of a row, without the check for 0 that a division would have.
///
/// # Safety
/// It is not 0.
#[inline(always)]
unsafe fn row_length(job: &Job) -> usize {
    core::hint::assert_unchecked(job.row_length != 0);
    job.row_length
}

/// Calls `f(j, count, row, is_end)` for each piece of a row in `at .. at + len`: `count` elements
/// from `at + j` on, the last of their row or not.
///
/// # Safety
/// The length of a row is not 0.
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
/// points `work.padded` at them. A padded element has residual 0, weight 0, and is masked. `shape`
/// says which operands the pass reads.
///
/// # Safety
/// `work` is valid, `k` at most [`STEP`], and `i + k` the length of the leaf.
#[inline(never)]
pub(crate) unsafe fn pad<L: Lanes>(
    job: &Job,
    at: usize,
    i: usize,
    k: usize,
    shape: u32,
    work: *mut Work,
) {
    let pads = &raw mut (*work).pads;
    locate_all(job, at, shape, work);
    let home = &raw const (*work).leaf;
    let padded = &raw mut (*work).padded;
    let read = slots_read(job, shape);
    each_slot(read, |slot| {
        let from = (&raw const (*home).operands).cast::<*const f32>().add(slot).read();
        let pad = (&raw mut (*pads).operands).cast::<Pad>().add(slot);
        let to = (&raw mut (*padded).operands).cast::<*const f32>().add(slot);
        to.write(pad_from(from, i, k, pad));
    });
    if read >> SLOTS & 1 != 0 {
        let mask = &raw mut (*pads).mask;
        mask.write([0; STEP]);
        copy((*home).mask.add(i), mask.cast(), k);
        (*padded).mask = mask.cast();
        if job.ignore != 0 {
            let target = (*padded).operands[operand::TARGET];
            drop_ignored::<L>(job, target, mask.cast(), STEP, mask.cast(), STEP);
        }
    }
    for index in 0..RESULTS {
        let p = (*home).results[index];
        let pad = &raw mut (*pads).results[index];
        (*padded).results[index] = if p.is_null() { p } else { pad_from(p, i, k, pad).cast_mut() };
    }
}

/// Copies the results from where [`pad`] put them to their arrays.
///
/// # Safety
/// `pad` was called with the same arguments.
#[inline(never)]
pub(crate) unsafe fn unpad(i: usize, k: usize, work: *mut Work) {
    for index in 0..RESULTS {
        let p = (*work).leaf.results[index];
        if !p.is_null() {
            copy((&raw const (*work).pads.results[index]).cast(), p.add(i), k);
        }
    }
}

/// # Safety
/// `p` is valid for reading `i + k` floats, `pad` for writing; `k` is at most [`STEP`].
#[inline(never)]
unsafe fn pad_from(p: *const f32, i: usize, k: usize, pad: *mut Pad) -> *const f32 {
    pad.write([0.0; STEP]);
    copy(p.add(i), pad.cast(), k);
    pad.cast()
}

/// Copies from the first on: a copy that begins at least [`LANES`] floats into its source repeats it.
///
/// # Safety
/// `from` is valid for reading `k` floats, `to` for writing them.
#[inline(never)]
unsafe fn copy_floats<L: Lanes>(from: *const f32, to: *mut f32, k: usize) {
    let mut j = 0;
    while k - j >= LANES {
        L::load(from.add(j)).store(to.add(j));
        j += LANES;
    }
    copy(from.add(j), to.add(j), k - j);
}

/// Copies one by one, from the first on: a copy that begins within its source repeats it.
///
/// # Safety
/// `from` is valid for reading `k` values, `to` for writing them.
#[inline(never)]
unsafe fn copy<T: Copy>(from: *const T, to: *mut T, k: usize) {
    for j in 0..k {
        // Volatile: a call to copy a block costs more, for the few that there are.
        to.add(j).write_volatile(from.add(j).read_volatile());
    }
}
