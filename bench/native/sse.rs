//! The kernel's four lanes in SSE2, which every x86-64 has: one instruction for each operation, as
//! an engine compiles WebAssembly SIMD. Of the crate's own `[f32; 4]` the compiler makes scalar code.

use core::arch::x86_64::*;
use smooth_l1::lanes::{LANES, Lanes};

#[derive(Clone, Copy)]
pub struct Sse(__m128);

impl Sse {
    fn lanes(self) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        unsafe { self.store(lanes.as_mut_ptr()) };
        lanes
    }
}

fn bits(mask: impl Fn(usize) -> bool) -> [f32; LANES] {
    core::array::from_fn(|i| f32::from_bits(if mask(i) { u32::MAX } else { 0 }))
}

// SAFETY, of every intrinsic below: SSE2 is part of x86-64.
impl Lanes for Sse {
    // Exact sums are not measured here: the crate's own lanes do.
    type Pair = [f64; 2];

    fn min_bits(self, other: Self) -> Self {
        let [a, b] = [self, other].map(Self::lanes);
        unsafe { Self::load(<[f32; LANES] as Lanes>::min_bits(a, b).as_ptr()) }
    }
    fn least_bits(self) -> i32 {
        <[f32; LANES] as Lanes>::least_bits(self.lanes())
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self(unsafe { _mm_set1_ps(x) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(unsafe { _mm_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(unsafe { _mm_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(unsafe { _mm_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(unsafe { _mm_div_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn pmin(self, other: Self) -> Self {
        // The instruction returns its second operand where one is NaN.
        Self(unsafe { _mm_min_ps(other.0, self.0) })
    }
    #[inline(always)]
    fn pmax(self, other: Self) -> Self {
        Self(unsafe { _mm_max_ps(other.0, self.0) })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(unsafe { _mm_andnot_ps(_mm_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    fn fold(self) -> f64 {
        let mut lanes = [0.0; LANES];
        unsafe { _mm_storeu_ps(lanes.as_mut_ptr(), self.0) };
        let [a, b, c, d] = lanes.map(f64::from);
        (a + b) + (c + d)
    }

    #[inline(always)]
    fn eq(self, other: Self) -> Self {
        Self(unsafe { _mm_cmpeq_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn ge(self, other: Self) -> Self {
        Self(unsafe { _mm_cmpge_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn nan(self) -> Self {
        Self(unsafe { _mm_cmpunord_ps(self.0, self.0) })
    }
    #[inline(always)]
    unsafe fn zero_bytes(p: *const [u8; 4 * LANES]) -> [Self; 4] {
        core::array::from_fn(|j| unsafe { Self::zero_byte4(p.cast::<[u8; LANES]>().add(j)) })
    }
    #[inline(always)]
    unsafe fn zero_byte4(p: *const [u8; LANES]) -> Self {
        let bytes = unsafe { p.read() };
        unsafe { Self::load(bits(|i| bytes[i] == 0).as_ptr()) }
    }
    #[inline(always)]
    unsafe fn drop_bytes(masks: [Self; 4], from: *const [u8; 16], to: *mut [u8; 16]) {
        unsafe {
            let [a, b, c, d] = masks.map(|mask| _mm_castps_si128(mask.0));
            let dropped = _mm_packs_epi16(_mm_packs_epi16(a, b), _mm_packs_epi16(c, d));
            _mm_storeu_si128(to.cast(), _mm_andnot_si128(dropped, _mm_loadu_si128(from.cast())));
        }
    }
    #[inline(always)]
    fn or(self, mask: Self) -> Self {
        Self(unsafe { _mm_or_ps(self.0, mask.0) })
    }
    #[inline(always)]
    fn drop(self, mask: Self) -> Self {
        Self(unsafe { _mm_andnot_ps(mask.0, self.0) })
    }
    #[inline(always)]
    fn select(self, mask: Self, other: Self) -> Self {
        Self(unsafe { _mm_or_ps(_mm_and_ps(mask.0, self.0), _mm_andnot_ps(mask.0, other.0)) })
    }

    unsafe fn float16(p: *const [u16; 2 * LANES], largest: &mut Self) -> [Self; 2] {
        let mut plain = [0.0; LANES];
        unsafe {
            largest.store(plain.as_mut_ptr());
            let widened = <[f32; LANES]>::float16(p, &mut plain);
            *largest = Self::load(plain.as_ptr());
            widened.map(|v| Self::load(v.as_ptr()))
        }
    }
    fn is_beyond(self) -> bool {
        let mut plain = [0.0; LANES];
        unsafe { self.store(plain.as_mut_ptr()) };
        plain.is_beyond()
    }
    unsafe fn bfloat16(p: *const [u16; 2 * LANES]) -> [Self; 2] {
        unsafe { <[f32; LANES]>::bfloat16(p).map(|v| Self::load(v.as_ptr())) }
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Self(unsafe { _mm_loadu_ps(p) })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm_storeu_ps(p, self.0) };
    }
}
