//! The formula, once, for the loops, for their tails and for the tests.

use crate::lanes::Lanes;

/// The numbers that make one loss of the family; see the table at the head of the crate.
///
/// `pre` is 1 for every ordinary threshold. For a threshold so small or so large that its inverse
/// is not a normal `f32`, `pre` is a power of two that brings `d` to where it can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Params {
    pub pre: f32,
    pub inv: f32,
    pub lim: f32,
    pub half: f32,
}

/// [`Params`] spread over the lanes.
///
/// `EXTREME` says that `pre` counts, or that `lim` is infinite. It is a constant of the loop because
/// its two extra steps cost the plain loop 10 to 20 % in cache.
#[derive(Clone, Copy)]
pub struct Curve<L, const EXTREME: bool> {
    pre: L,
    inv: L,
    lim: L,
    neg_lim: L,
    half: L,
    max: L,
    neg_max: L,
}

impl<L: Lanes, const EXTREME: bool> Curve<L, EXTREME> {
    #[inline(always)]
    pub fn new(p: Params) -> Self {
        Self {
            pre: L::splat(p.pre),
            inv: L::splat(p.inv),
            lim: L::splat(p.lim),
            neg_lim: L::splat(-p.lim),
            half: L::splat(p.half),
            max: L::splat(f32::MAX),
            neg_max: L::splat(-f32::MAX),
        }
    }

    /// The derivative of the loss at residual `d`.
    #[inline(always)]
    pub fn slope(&self, d: L) -> L {
        let d = if EXTREME { d.mul(self.pre) } else { d };
        // pmin and pmax with the data first: one instruction each, and NaN stays NaN.
        d.mul(self.inv).pmin(self.lim).pmax(self.neg_lim)
    }

    /// The loss at residual `d`, whose slope is `t`.
    #[inline(always)]
    pub fn loss(&self, d: L, t: L) -> L {
        // With an infinite limit t can be infinite too, and d - half * t would be inf - inf.
        let t = if EXTREME { t.pmin(self.max).pmax(self.neg_max) } else { t };
        t.mul(d.sub(self.half.mul(t)))
    }
}
