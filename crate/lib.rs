//! Smooth L1, Huber, quantile Huber and L1 losses, forward and backward, for WebAssembly SIMD.
//!
//! With the residual `d = input - target`, each loss is the same two lines with other numbers:
//!
//! ```text
//! t    = clamp(d * inv, -lim, +lim)     the derivative with respect to d
//! loss = t * (d - half * t)
//! ```
//!
//! | loss                                      | inv        | lim      | half       |
//! |-------------------------------------------|------------|----------|------------|
//! | smooth L1, threshold `beta`               | `1 / beta` | 1        | `beta / 2` |
//! | Huber, threshold `delta`                  | 1          | `delta`  | 1 / 2      |
//! | L1 (smooth L1 with `beta` = 0)            | huge       | 1        | 0          |
//! | half squared error (`delta` = infinity)   | 1          | infinity | 1 / 2      |
//!
//! (A fourth number, `pre`, is 1 but for thresholds whose inverse is out of range.)
//!
//! With weights, `e = inside * d` takes the place of `d`, and the loss is `outside` times that of `e`.
//! The quantile Huber loss multiplies the loss of `e` and all its derivatives by `below` if `e < 0`, by
//! `above` otherwise; these are 1 for the other losses.
//!
//! [`job`] says what a call is about, [`loss`] has the formula, [`lanes`] the vector operations,
//! [`kernel`] the loop, [`tiles`] the places of its operands, [`exact`] sums without rounding. `exports` below is the whole interface. No
//! function keeps state, allocates or panics.

#![cfg_attr(target_arch = "wasm32", no_std)]
// An `unsafe` block in each unsafe function would enclose its whole body: all of them work on raw pointers.
#![allow(unsafe_op_in_unsafe_fn)]

pub mod exact;
pub mod job;
pub mod kernel;
pub mod lanes;
pub mod loss;
pub mod tiles;

#[cfg(target_arch = "wasm32")]
mod exports {
    use crate::job::Job;
    use crate::tiles::Work;
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Does `job` for the elements `first .. first + n`.
    ///
    /// # Safety
    /// As for [`crate::kernel::run`].
    #[wasm_bindgen]
    pub unsafe fn run(job: *const Job, first: usize, n: usize, work: *mut Work) {
        crate::kernel::run::<core::arch::wasm32::v128>(&*job, first, n, work);
    }

    /// Writes the shape of a job. It must be called before [`run`] when a field has changed other than
    /// `origin`, `row_origin`, `scale`, `grad_scale`, `shift` and the addresses of arrays. A result that
    /// becomes null, or is null no more, is such a change.
    ///
    /// # Safety
    /// `job` is valid.
    #[wasm_bindgen]
    pub unsafe fn prepare(job: *mut Job) {
        (*job).shape = (*job).required_shape();
    }

    /// The bytes that `work` needs.
    #[wasm_bindgen]
    pub fn work_size() -> usize {
        size_of::<Work>()
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
