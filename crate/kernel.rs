//! The loop.
//!
//! Naively, each pass is
//!
//! ```text
//! for i in 0..n {
//!     d = input[i] - target[i]
//!     t = clamp(d * inv, -lim, lim)
//!     sink(i, d, t)             store the loss, sum it, store the gradient, or two of these
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
//! 4. The last 1 to 15 elements go through single vectors, then through a partial one padded with
//!    zeros, whose loss and slope are 0. Nothing is read or written past the end.

use crate::lanes::{LANES, Lanes};
use crate::loss::{Curve, Params};

/// Vectors in flight.
pub const UNROLL: usize = 4;
/// Floats an iteration.
pub const STEP: usize = LANES * UNROLL;
/// Elements summed in `f32` before they are folded into an `f64`.
pub const LEAF: usize = 1024;

/// What a pass does with residuals `d` and slopes `t`.
///
/// # Safety
/// The pointers of a sink are valid for every element that the pass visits.
pub trait Sink<L: Lanes> {
    /// Takes elements `i .. i + STEP`.
    unsafe fn step<const E: bool>(&mut self, i: usize, c: &Curve<L, E>, d: [L; UNROLL], t: [L; UNROLL]);
    /// Takes elements `i .. i + k`, `k` from 1 to `LANES`. The other lanes are zero.
    unsafe fn tail<const E: bool>(&mut self, i: usize, k: usize, c: &Curve<L, E>, d: L, t: L);
    /// Closes a leaf.
    fn leaf(&mut self) {}
}

/// Stores the loss.
pub struct StoreLoss {
    pub out: *mut f32,
}

impl<L: Lanes> Sink<L> for StoreLoss {
    #[inline(always)]
    unsafe fn step<const E: bool>(&mut self, i: usize, c: &Curve<L, E>, d: [L; UNROLL], t: [L; UNROLL]) {
        // Adding zero turns the -0 of a residual of -0 into 0.
        let zero = L::splat(0.0);
        store4(self.out.add(i), each(|j| c.loss(d[j], t[j]).add(zero)));
    }
    #[inline(always)]
    unsafe fn tail<const E: bool>(&mut self, i: usize, k: usize, c: &Curve<L, E>, d: L, t: L) {
        store_k(c.loss(d, t).add(L::splat(0.0)), self.out.add(i), k);
    }
}

/// Adds the loss to `total`.
pub struct SumLoss<L> {
    lanes: [L; UNROLL],
    pub total: f64,
}

impl<L: Lanes> SumLoss<L> {
    #[inline(always)]
    pub fn new(total: f64) -> Self {
        Self { lanes: [L::splat(0.0); UNROLL], total }
    }
}

impl<L: Lanes> Sink<L> for SumLoss<L> {
    #[inline(always)]
    unsafe fn step<const E: bool>(&mut self, _: usize, c: &Curve<L, E>, d: [L; UNROLL], t: [L; UNROLL]) {
        self.lanes = each(|j| self.lanes[j].add(c.loss(d[j], t[j])));
    }
    #[inline(always)]
    unsafe fn tail<const E: bool>(&mut self, _: usize, _: usize, c: &Curve<L, E>, d: L, t: L) {
        self.lanes[0] = self.lanes[0].add(c.loss(d, t));
    }
    #[inline(always)]
    fn leaf(&mut self) {
        let [a, b, c, d] = self.lanes.map(L::fold);
        self.total += (a + b) + (c + d);
        self.lanes = [L::splat(0.0); UNROLL];
    }
}

/// What a gradient is multiplied by.
///
/// # Safety
/// A pointer of an upstream is valid for every element that the pass visits.
pub trait Upstream<L: Lanes> {
    unsafe fn at(&self, i: usize, k: usize) -> L;
}

/// One number for all elements.
pub struct Uniform(pub f32);

impl<L: Lanes> Upstream<L> for Uniform {
    #[inline(always)]
    unsafe fn at(&self, _: usize, _: usize) -> L {
        L::splat(self.0)
    }
}

/// One number for each element.
pub struct Each(pub *const f32);

impl<L: Lanes> Upstream<L> for Each {
    #[inline(always)]
    unsafe fn at(&self, i: usize, k: usize) -> L {
        load_k(self.0.add(i), k)
    }
}

/// Stores the gradient with respect to the input.
pub struct StoreGrad<U> {
    pub grad: *mut f32,
    pub upstream: U,
}

impl<L: Lanes, U: Upstream<L>> Sink<L> for StoreGrad<U> {
    #[inline(always)]
    unsafe fn step<const E: bool>(&mut self, i: usize, _: &Curve<L, E>, _: [L; UNROLL], t: [L; UNROLL]) {
        let g: [L; UNROLL] = each(|j| t[j].mul(self.upstream.at(i + j * LANES, LANES)));
        store4(self.grad.add(i), g);
    }
    #[inline(always)]
    unsafe fn tail<const E: bool>(&mut self, i: usize, k: usize, _: &Curve<L, E>, _: L, t: L) {
        store_k(t.mul(self.upstream.at(i, k)), self.grad.add(i), k);
    }
}

/// Two sinks in one pass.
impl<L: Lanes, A: Sink<L>, B: Sink<L>> Sink<L> for (A, B) {
    #[inline(always)]
    unsafe fn step<const E: bool>(&mut self, i: usize, c: &Curve<L, E>, d: [L; UNROLL], t: [L; UNROLL]) {
        self.0.step(i, c, d, t);
        self.1.step(i, c, d, t);
    }
    #[inline(always)]
    unsafe fn tail<const E: bool>(&mut self, i: usize, k: usize, c: &Curve<L, E>, d: L, t: L) {
        self.0.tail(i, k, c, d, t);
        self.1.tail(i, k, c, d, t);
    }
    #[inline(always)]
    fn leaf(&mut self) {
        self.0.leaf();
        self.1.leaf();
    }
}

/// Runs one pass and returns the sink.
///
/// # Safety
/// `input` and `target` are valid for reading `n` floats, the sink's pointers for `n` floats; an
/// output is exactly `input`, `target` or the upstream, or overlaps none of them.
#[inline(always)]
pub unsafe fn run<L: Lanes, S: Sink<L>>(
    input: *const f32,
    target: *const f32,
    n: usize,
    params: Params,
    sink: S,
) -> S {
    if params.pre == 1.0 && params.lim < f32::INFINITY {
        pass(input, target, n, Curve::<L, false>::new(params), sink)
    } else {
        pass(input, target, n, Curve::<L, true>::new(params), sink)
    }
}

#[inline(always)]
unsafe fn pass<L: Lanes, S: Sink<L>, const E: bool>(
    input: *const f32,
    target: *const f32,
    n: usize,
    curve: Curve<L, E>,
    mut sink: S,
) -> S {
    let mut i = 0;
    while i < n {
        let end = i + LEAF.min(n - i);
        while end - i >= STEP {
            let x: [L; UNROLL] = load4(input.add(i));
            let y: [L; UNROLL] = load4(target.add(i));
            let d = each(|j| x[j].sub(y[j]));
            let t = each(|j| curve.slope(d[j]));
            sink.step(i, &curve, d, t);
            i += STEP;
        }
        while i < end {
            let k = LANES.min(end - i);
            let d = L::sub(load_k(input.add(i), k), load_k(target.add(i), k));
            sink.tail(i, k, &curve, d, curve.slope(d));
            i += k;
        }
        sink.leaf();
    }
    sink
}

#[inline(always)]
fn each<T, F: FnMut(usize) -> T>(f: F) -> [T; UNROLL] {
    core::array::from_fn(f)
}

#[inline(always)]
unsafe fn load4<L: Lanes>(p: *const f32) -> [L; UNROLL] {
    each(|j| L::load(p.add(j * LANES)))
}

#[inline(always)]
unsafe fn store4<L: Lanes>(p: *mut f32, v: [L; UNROLL]) {
    for (j, v) in v.into_iter().enumerate() {
        v.store(p.add(j * LANES));
    }
}

#[inline(always)]
unsafe fn load_k<L: Lanes>(p: *const f32, k: usize) -> L {
    if k == LANES { L::load(p) } else { L::load_part(p, k) }
}

#[inline(always)]
unsafe fn store_k<L: Lanes>(v: L, p: *mut f32, k: usize) {
    if k == LANES { v.store(p) } else { v.store_part(p, k) }
}
