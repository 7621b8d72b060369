//! Four `f32` lanes: the only vector operations that the kernel uses.
//!
//! `v128` is the instance that ships. `[f32; 4]` has the same semantics in plain Rust, so that the
//! same kernel runs under `cargo test` and under miri, where there is no WebAssembly.

/// Number of lanes.
pub const LANES: usize = 4;

/// A vector of [`LANES`] floats. Implementations are `#[inline(always)]`: a call would cost more
/// than the operation.
pub trait Lanes: Copy {
    fn splat(x: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `other < self ? other : self`. A NaN in `self` survives.
    fn pmin(self, other: Self) -> Self;
    /// `self < other ? other : self`. A NaN in `self` survives.
    fn pmax(self, other: Self) -> Self;
    /// The lanes as `f64`, added as `(0 + 1) + (2 + 3)`.
    fn fold(self) -> f64;

    /// # Safety
    /// `p` is valid for reading `LANES` floats.
    unsafe fn load(p: *const f32) -> Self;
    /// # Safety
    /// `p` is valid for writing `LANES` floats.
    unsafe fn store(self, p: *mut f32);
    /// Loads the first `k` lanes, 1 to 3, and zeros.
    /// # Safety
    /// `p` is valid for reading `k` floats.
    unsafe fn load_part(p: *const f32, k: usize) -> Self;
    /// Stores the first `k` lanes, 1 to 3.
    /// # Safety
    /// `p` is valid for writing `k` floats.
    unsafe fn store_part(self, p: *mut f32, k: usize);
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::Lanes;
    use core::arch::wasm32::*;

    impl Lanes for v128 {
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
        fn pmin(self, other: Self) -> Self {
            f32x4_pmin(self, other)
        }
        #[inline(always)]
        fn pmax(self, other: Self) -> Self {
            f32x4_pmax(self, other)
        }
        #[inline(always)]
        fn fold(self) -> f64 {
            let low = f64x2_promote_low_f32x4(self);
            let high = f64x2_promote_low_f32x4(i64x2_shuffle::<1, 1>(self, self));
            let low = f64x2_extract_lane::<0>(low) + f64x2_extract_lane::<1>(low);
            low + (f64x2_extract_lane::<0>(high) + f64x2_extract_lane::<1>(high))
        }
        #[inline(always)]
        unsafe fn load(p: *const f32) -> Self {
            v128_load(p.cast())
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            v128_store(p.cast(), self);
        }
        #[inline(always)]
        unsafe fn load_part(p: *const f32, k: usize) -> Self {
            match k {
                1 => v128_load32_zero(p.cast()),
                2 => v128_load64_zero(p.cast()),
                _ => v128_load32_lane::<2>(v128_load64_zero(p.cast()), p.add(2).cast()),
            }
        }
        #[inline(always)]
        unsafe fn store_part(self, p: *mut f32, k: usize) {
            v128_store32_lane::<0>(self, p.cast());
            if k > 1 {
                v128_store32_lane::<1>(self, p.add(1).cast());
            }
            if k > 2 {
                v128_store32_lane::<2>(self, p.add(2).cast());
            }
        }
    }
}

impl Lanes for [f32; LANES] {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] + other[i])
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] - other[i])
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        core::array::from_fn(|i| self[i] * other[i])
    }
    #[inline(always)]
    fn pmin(self, other: Self) -> Self {
        core::array::from_fn(|i| if other[i] < self[i] { other[i] } else { self[i] })
    }
    #[inline(always)]
    fn pmax(self, other: Self) -> Self {
        core::array::from_fn(|i| if self[i] < other[i] { other[i] } else { self[i] })
    }
    #[inline(always)]
    fn fold(self) -> f64 {
        let [a, b, c, d] = self.map(f64::from);
        (a + b) + (c + d)
    }
    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        p.cast::<Self>().read_unaligned()
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        p.cast::<Self>().write_unaligned(self);
    }
    #[inline(always)]
    unsafe fn load_part(p: *const f32, k: usize) -> Self {
        core::array::from_fn(|i| if i < k { p.add(i).read() } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_part(self, p: *mut f32, k: usize) {
        for (i, x) in self.into_iter().enumerate().take(k) {
            p.add(i).write(x);
        }
    }
}
