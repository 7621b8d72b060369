//! Smooth L1, Huber and L1 loss, forward and backward, for WebAssembly SIMD.
//!
//! With the residual `d = input - target`, each loss is the same two lines with other numbers:
//!
//! ```text
//! t    = clamp(d * inv, -lim, +lim)     the derivative with respect to d
//! loss = t * (d - half * t)
//! ```
//!
//! | loss                 | inv        | lim      | half     |
//! |----------------------|------------|----------|----------|
//! | smooth L1, `beta`    | `1 / beta` | 1        | `beta/2` |
//! | Huber, `delta`       | 1          | `delta`  | 1/2      |
//! | L1                   | huge       | 1        | 0        |
//!
//! This file is the whole interface: pointers (byte offsets into the imported memory) and numbers
//! in, a number out. No function keeps state, allocates or panics. The caller guarantees that each
//! pointer is 4-byte aligned and has `n` floats behind it, that outputs are either exactly one of
//! the inputs or disjoint from them all, and that two outputs are disjoint.
//!
//! [`loss`] holds the formula, [`lanes`] the vector operations, [`kernel`] the loop.

#![cfg_attr(target_arch = "wasm32", no_std)]
#![allow(unsafe_op_in_unsafe_fn)] // every `unsafe fn` here only forwards the contract above
#![allow(clippy::too_many_arguments)] // the interface to JavaScript has numbers only, no structs

pub mod kernel;
pub mod lanes;
pub mod loss;

#[cfg(target_arch = "wasm32")]
mod exports {
    use crate::kernel::{Each, StoreGrad, StoreLoss, SumLoss, Uniform, run};
    use crate::loss::Params;
    use core::arch::wasm32::v128;
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Writes the loss of each element to `out`.
    #[wasm_bindgen]
    pub unsafe fn forward(
        input: *const f32,
        target: *const f32,
        out: *mut f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
        half: f32,
    ) {
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half }, StoreLoss { out });
    }

    /// Returns `total` plus the losses of at most one chunk; see [`crate::kernel`] for the order.
    #[wasm_bindgen]
    pub unsafe fn forward_sum(
        input: *const f32,
        target: *const f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
        half: f32,
        total: f64,
    ) -> f64 {
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half }, SumLoss::new(total)).total
    }

    /// Writes `scale * t` to `grad`.
    #[wasm_bindgen]
    pub unsafe fn backward(
        input: *const f32,
        target: *const f32,
        grad: *mut f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
        scale: f32,
    ) {
        let sink = StoreGrad { grad, upstream: Uniform(scale) };
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half: 0.0 }, sink);
    }

    /// Writes `upstream * t` to `grad`.
    #[wasm_bindgen]
    pub unsafe fn backward_each(
        upstream: *const f32,
        input: *const f32,
        target: *const f32,
        grad: *mut f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
    ) {
        let sink = StoreGrad { grad, upstream: Each(upstream) };
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half: 0.0 }, sink);
    }

    /// `forward_sum` and `backward` in one pass over memory.
    #[wasm_bindgen]
    pub unsafe fn fused_sum(
        input: *const f32,
        target: *const f32,
        grad: *mut f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
        half: f32,
        scale: f32,
        total: f64,
    ) -> f64 {
        let sink = (SumLoss::new(total), StoreGrad { grad, upstream: Uniform(scale) });
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half }, sink).0.total
    }

    /// `forward` and `backward` in one pass over memory.
    #[wasm_bindgen]
    pub unsafe fn fused(
        input: *const f32,
        target: *const f32,
        out: *mut f32,
        grad: *mut f32,
        n: usize,
        pre: f32,
        inv: f32,
        lim: f32,
        half: f32,
        scale: f32,
    ) {
        let sink = (StoreLoss { out }, StoreGrad { grad, upstream: Uniform(scale) });
        run::<v128, _>(input, target, n, Params { pre, inv, lim, half }, sink);
    }

    /// Nothing here allocates, but wasm-bindgen asks for an allocator. This one always refuses.
    struct Refuse;

    unsafe impl core::alloc::GlobalAlloc for Refuse {
        unsafe fn alloc(&self, _: core::alloc::Layout) -> *mut u8 {
            core::ptr::null_mut()
        }
        unsafe fn dealloc(&self, _: *mut u8, _: core::alloc::Layout) {}
    }

    #[global_allocator]
    static ALLOCATOR: Refuse = Refuse;

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        core::arch::wasm32::unreachable()
    }
}
