//! The formula, once, for every loop, for its tail and for the tests.

use crate::job::shape;
use crate::lanes::Lanes;

/// A bit of a loop's `SHAPE` that no job has: `inv` is 1.
pub const UNIT: u32 = 1 << 31;
/// Another one: `INSIDE` is the number 1, though the job is weighted.
pub const ONE_WEIGHT: u32 = 1 << 30;
/// And a third: `OUTSIDE` has one number for each vector.
pub const BOXES: u32 = 1 << 29;

/// The numbers that make one loss of the family, in one lane each; see the table at the head of
/// the crate.
///
/// `pre` is 1 for every ordinary threshold. Where the inverse of a threshold is not a normal `f32`,
/// `pre` is a power of two that brings `d` to where it can be compared.
///
/// `SHAPE` says whether `pre` counts ([`shape::SCALED`]), whether `inv` does not ([`UNIT`]), and
/// whether `lim` may be infinite ([`shape::COLUMNS`]). It is a constant of the loop, because each step
/// costs the plain loop 10 to 20 % in cache.
#[derive(Clone, Copy)]
pub struct Curve<L> {
    pub pre: L,
    pub inv: L,
    pub lim: L,
    pub half: L,
    pub below: L,
    pub above: L,
}

impl<L: Lanes> Curve<L> {
    /// The derivative of the loss at residual `d`, before the weight of its side.
    #[inline(always)]
    pub fn slope<const SHAPE: u32>(&self, d: L) -> L {
        let d = if SHAPE & shape::SCALED != 0 { d.mul(self.pre) } else { d };
        // pmin and pmax with the data first: one instruction each on x86-64, and NaN stays NaN. On
        // ARM64 the module is patched to min and max, which give the same bits, since `lim` is +0 or more.
        let d = if SHAPE & UNIT != 0 { d } else { d.mul(self.inv) };
        d.pmin(self.lim).pmax(self.lim.mul(L::splat(-1.0)))
    }

    /// The loss at residual `d`, whose slope is `t`, before the weight of its side.
    #[inline(always)]
    pub fn loss<const SHAPE: u32>(&self, d: L, t: L) -> L {
        // With an infinite limit t can be infinite too, and d - half * t would be inf - inf.
        let t = if SHAPE & shape::COLUMNS != 0 {
            t.pmin(L::splat(f32::MAX)).pmax(L::splat(-f32::MAX))
        } else {
            t
        };
        t.mul(d.sub(self.half.mul(t)))
    }

    /// The slope divided by `d`, where that of a parabola ends at most; its limit at 0.
    #[inline(always)]
    pub fn robust_weight(&self, d: L) -> L {
        let top = self.pre.mul(self.inv);
        let size = d.abs();
        // What compares as false takes the quotient: NaN, and infinity times 0.
        top.select(self.lim.ge(size.mul(top)), self.lim.div(size))
    }

    /// The second derivative at residual `d`, divided by `pre`: 0 from the kink on, so 0 everywhere for
    /// L1. The kink is the threshold itself, in place of `half`. With `pre` it may leave the range of
    /// `f32`, as 1e40 does for a threshold of 1e-40: `pre` comes after the weights.
    #[inline(always)]
    pub fn curvature(&self, d: L) -> L {
        let kink = self.half;
        // d * 0 adds nothing but the NaN of a NaN.
        let inside = self.inv.add(d.mul(L::splat(0.0)));
        inside.drop(d.abs().ge(kink))
    }

    /// The derivative of smooth L1 with respect to `beta`, where the slope is `t`.
    #[inline(always)]
    pub fn beta_slope(&self, t: L) -> L {
        t.mul(t).mul(L::splat(-0.5))
    }

    /// The derivative of Huber with respect to `delta` at residual `d`, whose slope is `t`.
    #[inline(always)]
    pub fn delta_slope(&self, d: L, t: L) -> L {
        // 0 up to the kink, where d - t may be infinity less infinity.
        d.sub(t).abs().drop(self.lim.ge(d.abs()))
    }

    /// The weight of the side of 0 that residual `d` is on. What it multiplies is NaN for NaN.
    #[inline(always)]
    pub fn side(&self, d: L) -> L {
        self.above.select(d.ge(L::splat(0.0)), self.below)
    }
}
