//! Four `f32` lanes: the only vector operations that the kernel uses.
//!
//! `v128` is the instance that ships. `[f32; 4]` has the same semantics in plain Rust, so that the
//! same kernel runs under `cargo test` and under miri, where there is no WebAssembly.

/// Number of lanes.
pub const LANES: usize = 4;

/// A vector of [`LANES`] floats. The implementation that ships is `#[inline(always)]`: a call would
/// cost more than the operation.
///
/// A mask is a vector too: all bits of a lane set, or none.
pub trait Lanes: Copy {
    type Pair: Pair;

    fn splat(x: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    /// `other < self ? other : self`. A NaN in `self` survives. `other` is neither NaN nor -0: on
    /// ARM64 the opcode is patched to `min`, which differs there.
    fn pmin(self, other: Self) -> Self;
    /// `self < other ? other : self`. A NaN in `self` survives. `other` is neither NaN nor +0: on
    /// ARM64 the opcode is patched to `max`, which differs there.
    fn pmax(self, other: Self) -> Self;
    fn abs(self) -> Self;
    /// The lanes as `f64`, added as `(0 + 1) + (2 + 3)`.
    fn fold(self) -> f64;

    /// The mask of lanes equal to those of `other`.
    fn eq(self, other: Self) -> Self;
    /// The mask of lanes equal to those of `other` or above.
    fn ge(self, other: Self) -> Self;
    /// The mask of NaN lanes.
    fn nan(self) -> Self;
    /// The masks of lanes whose byte is zero, for four vectors.
    /// # Safety
    /// `p` is valid for reading.
    unsafe fn zero_bytes(p: *const [u8; 4 * LANES]) -> [Self; 4];
    /// The same for one vector.
    /// # Safety
    /// `p` is valid for reading.
    unsafe fn zero_byte4(p: *const [u8; LANES]) -> Self;
    /// Copies bytes, with 0 where these masks are set.
    /// # Safety
    /// `from` is valid for reading, `to` for writing.
    unsafe fn drop_bytes(masks: [Self; 4], from: *const [u8; 4 * LANES], to: *mut [u8; 4 * LANES]);
    fn or(self, mask: Self) -> Self;
    /// The lanes, with +0 where the mask is set.
    fn drop(self, mask: Self) -> Self;
    /// The lanes where the mask is set, those of `other` elsewhere.
    fn select(self, mask: Self, other: Self) -> Self;

    /// The lanes with the lesser bits, compared as integers with a sign.
    fn min_bits(self, other: Self) -> Self;
    /// The least bits of all lanes.
    fn least_bits(self) -> i32;
    /// The f16 numbers at `p` as floats, exactly; infinity as [`BEYOND`], NaN as more. `largest`, 0 at
    /// first, keeps the largest magnitudes.
    /// # Safety
    /// `p` is valid for reading.
    unsafe fn float16(p: *const [u16; 2 * LANES], largest: &mut Self) -> [Self; 2];
    /// True if a number was infinite or NaN, from what [`float16`](Self::float16) kept.
    fn is_beyond(self) -> bool;
    /// The bf16 numbers at `p` as floats, exactly.
    /// # Safety
    /// `p` is valid for reading.
    unsafe fn bfloat16(p: *const [u16; 2 * LANES]) -> [Self; 2];

    /// # Safety
    /// `p` is valid for reading `LANES` floats.
    unsafe fn load(p: *const f32) -> Self;
    /// # Safety
    /// `p` is valid for writing `LANES` floats.
    unsafe fn store(self, p: *mut f32);
}

/// 2^112: the exponents of f32 begin so much lower than those of f16. The product is exact for
/// subnormals too.
pub const UP: f32 = f32::from_bits(239 << 23);
/// What infinity of f16 is before its exponent is corrected.
pub const BEYOND: f32 = 65536.0;

/// Two `f64` lanes.
pub trait Pair: Copy {
    fn splat(x: f64) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    /// The sum of the two.
    fn total(self) -> f64;
    /// Two floats, widened. From memory it is one instruction on x86-64, from a vector two.
    /// # Safety
    /// `p` is valid for reading them.
    unsafe fn promote(p: *const f32) -> Self;
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::{LANES, Lanes, Pair, UP};
    use core::arch::wasm32::*;

    impl Pair for v128 {
        #[inline(always)]
        fn splat(x: f64) -> Self {
            f64x2_splat(x)
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            f64x2_add(self, other)
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            f64x2_sub(self, other)
        }
        #[inline(always)]
        fn total(self) -> f64 {
            f64x2_extract_lane::<0>(self) + f64x2_extract_lane::<1>(self)
        }
        #[inline(always)]
        unsafe fn promote(p: *const f32) -> Self {
            f64x2_promote_low_f32x4(v128_load64_zero(p.cast()))
        }
    }

    impl Lanes for v128 {
        type Pair = Self;

        #[inline(always)]
        fn splat(x: f32) -> Self {
            f32x4_splat(x)
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            f32x4_add(self, other)
        }
        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            f32x4_sub(self, other)
        }
        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            f32x4_mul(self, other)
        }
        #[inline(always)]
        fn div(self, other: Self) -> Self {
            f32x4_div(self, other)
        }
        #[inline(always)]
        fn pmin(self, other: Self) -> Self {
            f32x4_pmin(self, other)
        }
        #[inline(always)]
        fn pmax(self, other: Self) -> Self {
            f32x4_pmax(self, other)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            f32x4_abs(self)
        }
        #[inline(always)]
        fn fold(self) -> f64 {
            let low = f64x2_promote_low_f32x4(self);
            let high = f64x2_promote_low_f32x4(i64x2_shuffle::<1, 1>(self, self));
            let low = f64x2_extract_lane::<0>(low) + f64x2_extract_lane::<1>(low);
            low + (f64x2_extract_lane::<0>(high) + f64x2_extract_lane::<1>(high))
        }

        #[inline(always)]
        fn eq(self, other: Self) -> Self {
            f32x4_eq(self, other)
        }
        #[inline(always)]
        fn ge(self, other: Self) -> Self {
            f32x4_ge(self, other)
        }
        #[inline(always)]
        fn nan(self) -> Self {
            f32x4_ne(self, self)
        }
        #[inline(always)]
        unsafe fn zero_bytes(p: *const [u8; 4 * LANES]) -> [Self; 4] {
            let bytes = i8x16_eq(v128_load(p.cast()), i8x16_splat(0));
            // Doubling what is 0 or -1 extends it. It is one instruction where x86-64 needs two for
            // `extend_high`: 5 to 9 % of a masked pass.
            let low = i16x8_extend_low_i8x16(bytes);
            let high = i8x16_shuffle::<8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15>(
                bytes, bytes,
            );
            let double_high = |v| i16x8_shuffle::<4, 4, 5, 5, 6, 6, 7, 7>(v, v);
            [
                i32x4_extend_low_i16x8(low),
                double_high(low),
                i32x4_extend_low_i16x8(high),
                double_high(high),
            ]
        }
        #[inline(always)]
        unsafe fn zero_byte4(p: *const [u8; LANES]) -> Self {
            let bytes = i8x16_eq(v128_load32_zero(p.cast()), i8x16_splat(0));
            i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes))
        }
        #[inline(always)]
        unsafe fn drop_bytes([a, b, c, d]: [Self; 4], from: *const [u8; 16], to: *mut [u8; 16]) {
            // Both from i16 to i8, which is right for masks. From i32 to i16 the compiler makes 10 instructions.
            let (low, high) = (i8x16_narrow_i16x8(a, b), i8x16_narrow_i16x8(c, d));
            let kept = v128_andnot(v128_load(from.cast()), i8x16_narrow_i16x8(low, high));
            v128_store(to.cast(), kept);
        }
        #[inline(always)]
        fn or(self, mask: Self) -> Self {
            v128_or(self, mask)
        }
        #[inline(always)]
        fn drop(self, mask: Self) -> Self {
            v128_andnot(self, mask)
        }
        #[inline(always)]
        fn select(self, mask: Self, other: Self) -> Self {
            v128_bitselect(self, other, mask)
        }

        #[inline(always)]
        fn min_bits(self, other: Self) -> Self {
            i32x4_min(self, other)
        }
        #[inline(always)]
        fn least_bits(self) -> i32 {
            let two = i32x4_min(self, i64x2_shuffle::<1, 0>(self, self));
            i32x4_extract_lane::<0>(i32x4_min(two, i32x4_shuffle::<1, 0, 3, 2>(two, two)))
        }
        #[inline(always)]
        unsafe fn float16(p: *const [u16; 2 * LANES], largest: &mut Self) -> [Self; 2] {
            let v = v128_load(p.cast());
            *largest = i16x8_max(*largest, v128_and(v, i16x8_splat(0x7fff)));
            // The halves of a float, for eight at once: its sign, three zeros, the rest.
            let high = v128_and(i16x8_shr(v, 3), u16x8_splat(0x8fff));
            let low = i16x8_shl(v, 13);
            let up = f32x4_splat(UP);
            [
                f32x4_mul(i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(low, high), up),
                f32x4_mul(i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(low, high), up),
            ]
        }
        #[inline(always)]
        fn is_beyond(self) -> bool {
            v128_any_true(i16x8_ge(self, i16x8_splat(0x7c00)))
        }
        #[inline(always)]
        unsafe fn bfloat16(p: *const [u16; 2 * LANES]) -> [Self; 2] {
            let (v, zero) = (v128_load(p.cast()), i16x8_splat(0));
            // Zeros first: one instruction each on x86-64, three if they come second.
            [
                i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, v),
                i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, v),
            ]
        }

        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            v128_load(p.cast())
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            v128_store(p.cast(), self);
        }
    }
}

fn mask(bits: [bool; LANES]) -> [f32; LANES] {
    bits.map(|set| f32::from_bits(if set { u32::MAX } else { 0 }))
}

/// Whether no lane is NaN or exactly `zero`.
fn bounds(v: [f32; LANES], zero: f32) -> bool {
    v.iter().all(|x| !x.is_nan() && x.to_bits() != zero.to_bits())
}

fn bitwise(a: [f32; LANES], b: [f32; LANES], op: fn(u32, u32) -> u32) -> [f32; LANES] {
    core::array::from_fn(|i| f32::from_bits(op(a[i].to_bits(), b[i].to_bits())))
}

impl Pair for [f64; 2] {
    fn splat(x: f64) -> Self {
        [x; 2]
    }
    fn add(self, other: Self) -> Self {
        [self[0] + other[0], self[1] + other[1]]
    }
    fn sub(self, other: Self) -> Self {
        [self[0] - other[0], self[1] - other[1]]
    }
    fn total(self) -> f64 {
        self[0] + self[1]
    }
    unsafe fn promote(p: *const f32) -> Self {
        p.cast::<[f32; 2]>().read_unaligned().map(f64::from)
    }
}

/// # Safety
/// `p` is valid for reading.
unsafe fn halves(p: *const [u16; 2 * LANES], widen: impl Fn(u16) -> f32) -> [[f32; LANES]; 2] {
    let [low, high] = p.cast::<[[u16; LANES]; 2]>().read_unaligned();
    [low.map(&widen), high.map(&widen)]
}

impl Lanes for [f32; LANES] {
    type Pair = [f64; 2];

    fn splat(x: f32) -> Self {
        [x; LANES]
    }
    fn add(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] + other[i])
    }
    fn sub(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] - other[i])
    }
    fn mul(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] * other[i])
    }
    fn div(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] / other[i])
    }
    fn pmin(self, other: Self) -> Self {
        debug_assert!(bounds(other, -0.0), "min would differ from pmin: {other:?}");
        core::array::from_fn(|i| if other[i] < self[i] { other[i] } else { self[i] })
    }
    fn pmax(self, other: Self) -> Self {
        debug_assert!(bounds(other, 0.0), "max would differ from pmax: {other:?}");
        core::array::from_fn(|i| if self[i] < other[i] { other[i] } else { self[i] })
    }
    fn abs(self) -> Self {
        self.map(|x| f32::from_bits(x.to_bits() & !(1 << 31)))
    }
    fn fold(self) -> f64 {
        let [a, b, c, d] = self.map(f64::from);
        (a + b) + (c + d)
    }

    fn eq(self, other: Self) -> Self {
        mask(core::array::from_fn(|i| self[i] == other[i]))
    }
    fn ge(self, other: Self) -> Self {
        mask(core::array::from_fn(|i| self[i] >= other[i]))
    }
    fn nan(self) -> Self {
        mask(self.map(|x| x.is_nan()))
    }
    unsafe fn zero_bytes(p: *const [u8; 4 * LANES]) -> [Self; 4] {
        core::array::from_fn(|j| Self::zero_byte4(p.cast::<[u8; LANES]>().add(j)))
    }
    unsafe fn zero_byte4(p: *const [u8; LANES]) -> Self {
        mask(p.read().map(|byte| byte == 0))
    }
    unsafe fn drop_bytes(masks: [Self; 4], from: *const [u8; 16], to: *mut [u8; 16]) {
        let bytes = from.read();
        to.write(core::array::from_fn(|i| {
            if masks[i / LANES][i % LANES].to_bits() == 0 { bytes[i] } else { 0 }
        }));
    }
    fn or(self, mask: Self) -> Self {
        bitwise(self, mask, |a, b| a | b)
    }
    fn drop(self, mask: Self) -> Self {
        bitwise(self, mask, |a, b| a & !b)
    }
    fn select(self, mask: Self, other: Self) -> Self {
        self.drop(bitwise(mask, mask, |m, _| !m)).or(other.drop(mask))
    }

    fn min_bits(self, other: Self) -> Self {
        let bits = |x: f32| x.to_bits() as i32;
        core::array::from_fn(|i| f32::from_bits(bits(self[i]).min(bits(other[i])) as u32))
    }
    fn least_bits(self) -> i32 {
        self.map(|x| x.to_bits() as i32).into_iter().fold(i32::MAX, i32::min)
    }
    unsafe fn float16(p: *const [u16; 2 * LANES], largest: &mut Self) -> [Self; 2] {
        let widened = halves(p, |h| {
            let sign = u32::from(h >> 15) << 31;
            f32::from_bits(sign | u32::from(h & 0x7fff) << 13) * UP
        });
        for v in widened {
            *largest = core::array::from_fn(|i| largest[i].max(v[i].abs()));
        }
        widened
    }
    fn is_beyond(self) -> bool {
        self.into_iter().any(|x| x >= BEYOND)
    }
    unsafe fn bfloat16(p: *const [u16; 2 * LANES]) -> [Self; 2] {
        halves(p, |h| f32::from_bits(u32::from(h) << 16))
    }

    unsafe fn load(p: *const f32) -> Self {
        p.cast::<Self>().read_unaligned()
    }
    unsafe fn store(self, p: *mut f32) {
        p.cast::<Self>().write_unaligned(self);
    }
}
