//! Exact sums: integers of 384 bits in units of 2^-149, the smallest `f32`.
//!
//! Naively, each value is shifted to its place and added. What is done to it: four lanes of two `f64` add
//! the values of a block of [`BLOCK`]. Each value is a multiple of the last bit of the smallest one that is
//! not 0, so nothing was rounded if the sum has no more than 53 bits from there on. The check costs three
//! instructions a vector. The few blocks that fail it take the sums of the upper and the lower bits of their
//! values apart, and only values more than 2^66 apart go one by one.

use crate::lanes::{LANES, Lanes, Pair};
use crate::tiles::STEP;

/// Digits of an integer.
pub const DIGITS: usize = 12;
/// Values that are added up as `f64` before their sum goes to the integer. Longer blocks fail the check more
/// often: of uniform residuals an eighth at 256 (smooth L1), a quarter at 512.
pub const BLOCK: usize = 256;

/// Bits of [`Exact::specials`].
pub mod special {
    pub const NAN: u32 = 1;
    pub const INFINITY: u32 = 2;
    pub const MINUS_INFINITY: u32 = 4;
}

/// An exact sum of `f32` values.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Exact {
    /// The sum of all finite values: an integer in two's complement, the lowest 32 bits first.
    pub digits: [u32; DIGITS],
    /// Which values were not finite: a set of [`special`].
    pub specials: u32,
}

/// Adds `len` values. Those after them, up to a multiple of [`STEP`], become 0.
///
/// # Safety
/// `values` is valid for reading and writing so many, `sum` is valid.
#[inline(always)]
pub unsafe fn add<L: Lanes>(values: *mut f32, len: usize, sum: *mut Exact) {
    add_twice_read::<L>(values, values, len, sum);
}

/// `again` is `values`. With one pointer, the compiler takes the halves of a vector out of a register to
/// widen them, which is three instructions on x86-64 where one widens from memory.
#[inline(never)]
unsafe fn add_twice_read<L: Lanes>(
    values: *mut f32,
    again: *const f32,
    len: usize,
    sum: *mut Exact,
) {
    let mut end = len;
    while end % STEP != 0 {
        values.add(end).write(0.0);
        end += 1;
    }
    let mut from = 0;
    while from != end {
        let to = end.min(from + BLOCK);
        let mut pairs = [L::Pair::splat(0.0); 4];
        let mut least = L::splat(f32::INFINITY);
        let mut i = from;
        loop {
            for (j, pair) in pairs.iter_mut().enumerate() {
                let p = again.add(i + j * LANES);
                *pair = pair.add(L::Pair::promote(p).add(L::Pair::promote(p.add(2))));
                least = least.min_bits(L::load(values.add(i + j * LANES)));
            }
            i += STEP;
            if i == to {
                break;
            }
        }
        let [a, b, c, d] = pairs;
        let total = a.add(b).add(c.add(d)).total();
        let least = least.least_bits();
        // Where all values are above 0, no partial sum is above the total.
        let exponent = (total.to_bits() >> 52) as i32;
        if least > 0 && exponent - 1022 <= exponent_of(least) - 97 {
            put(sum, total);
        } else {
            rough::<L>(values.add(from), to - from, total, least, sum);
        }
        from = to;
    }
}

/// The exponent of a positive float with these bits, as it is stored; that of the smallest normal one for
/// those below.
#[inline(always)]
fn exponent_of(bits: i32) -> i32 {
    1.max(bits >> 23)
}

/// Adds a block that has values other than those above 0, or whose `total` was rounded. `least` is the
/// least value: its bits as an integer.
///
/// # Safety
/// `values` is valid for reading `n`, a multiple of [`STEP`] up to [`BLOCK`] and not 0; `sum` is valid.
#[inline(never)]
unsafe fn rough<L: Lanes>(values: *const f32, n: usize, total: f64, least: i32, sum: *mut Exact) {
    // The sum of all sizes, and the least of them that is not 0.
    let mut size = total;
    let mut low = least;
    if least <= 0 {
        let zero = L::splat(0.0);
        let mut sizes = zero;
        let mut lows = L::splat(f32::INFINITY);
        let mut i = 0;
        loop {
            let v = L::load(values.add(i)).abs();
            sizes = sizes.add(v);
            lows = lows.min_bits(L::splat(f32::INFINITY).select(v.eq(zero), v));
            i += LANES;
            if i == n {
                break;
            }
        }
        // More than was lost by rounding it.
        size = sizes.fold() * 1.001;
        low = lows.least_bits();
    }
    let top = (size.to_bits() >> 52) as i32 - 1022;
    let low = exponent_of(low);
    if top <= low - 97 {
        put(sum, total);
    } else if top <= low - 53 && total.is_finite() {
        // All values together are less than 2^51 times the last bit of `grid`, which rounds each of them to
        // that bit; what remains of a value is half of that bit at most.
        let grid = L::Pair::splat(f64::from_bits(((top + 1024) as u64) << 52 | 1 << 51));
        let mut upper = [L::Pair::splat(0.0); 2];
        let mut lower = upper;
        let mut i = 0;
        loop {
            for j in 0..2 {
                let v = L::Pair::promote(values.add(i + 2 * j));
                let high = v.add(grid).sub(grid);
                upper[j] = upper[j].add(high);
                lower[j] = lower[j].add(v.sub(high));
            }
            i += LANES;
            if i == n {
                break;
            }
        }
        put(sum, upper[0].add(upper[1]).total());
        put(sum, lower[0].add(lower[1]).total());
    } else {
        for i in 0..n {
            put_any(sum, values.add(i).read());
        }
    }
}

/// Adds any value.
///
/// # Safety
/// `sum` is valid.
#[inline(always)]
unsafe fn put_any(sum: *mut Exact, value: f32) {
    if value.is_finite() {
        put(sum, f64::from(value));
    } else {
        (*sum).specials |= if value.is_nan() {
            special::NAN
        } else if value > 0.0 {
            special::INFINITY
        } else {
            special::MINUS_INFINITY
        };
    }
}

/// Adds a finite number that is a multiple of 2^-149.
///
/// # Safety
/// `sum` is valid.
#[inline(never)]
unsafe fn put(sum: *mut Exact, value: f64) {
    let bits = value.to_bits();
    let exponent = (bits >> 52) as i32 & 0x7ff;
    if exponent == 0 {
        return;
    }
    let number = bits << 12 >> 12 | 1 << 52;
    // Its last bit is worth 2^(exponent - 1075), where that of the sum is worth 2^-149.
    let place = exponent - 926;
    let (number, place) = if place < 0 { (number >> -place, 0) } else { (number, place as usize) };
    let shift = place % 32;
    let sign = bits as i64 >> 63;
    let signed = |x: u64| (x as i64 ^ sign) - sign;
    let mut carried = signed(number << shift & 0xffff_ffff);
    let mut high = signed(number >> (32 - shift));
    let mut digit: *mut u32 = (&raw mut (*sum).digits).cast::<u32>().add(place / 32);
    let end: *mut u32 = (&raw mut (*sum).specials).cast();
    while digit != end && (carried | high) != 0 {
        carried += i64::from(*digit);
        *digit = carried as u32;
        carried = (carried >> 32) + high;
        high = 0;
        digit = digit.add(1);
    }
}
