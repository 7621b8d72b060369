//! Contenders of the bench that are not JavaScript: the kernel as the host's compiler makes it, a
//! loop as wide as the host's vectors, and a loop that only moves the bytes.
//!
//! It answers, line by line, what `bench/remote.ts` asks:
//!
//! ```text
//! prepare CONTENDER OPERATION N WINDOWS THREADS   ->  ok, or no
//! time CALLS                                      ->  milliseconds
//! check FILE                                      ->  the loss of one call, its gradient in FILE
//! ```
//!
//! A call works on the next of WINDOWS pieces of N elements.

#[cfg(target_arch = "x86_64")]
mod sse;

use std::hint::black_box;
use std::io::BufRead;
use std::time::Instant;

use smooth_l1::job::{Job, layout, operand, result, want};
use smooth_l1::kernel;
use smooth_l1::tiles::Work;

#[cfg(target_arch = "x86_64")]
type FourLanes = sse::Sse;
#[cfg(not(target_arch = "x86_64"))]
type FourLanes = [f32; 4];

/// Elements summed in f32 before they are folded into an f64, as in the kernel.
const LEAF: usize = 1024;
/// Floats in flight: four vectors of 512 bits, eight of 256.
const WIDE: usize = 64;

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Forward,
    Backward,
    Fused,
}

/// Loss and gradient (where wanted) of the mean over `x` and `y`, for beta 1. The kernel works in the
/// last argument.
type Pass = fn(Operation, &[f32], &[f32], &mut [f32], &mut Work) -> f64;

fn kernel_pass(
    operation: Operation,
    x: &[f32],
    y: &[f32],
    grad: &mut [f32],
    work: &mut Work,
) -> f64 {
    let n = x.len();
    // SAFETY: all fields are numbers or pointers, for which zeros are a value.
    let mut job: Job = unsafe { core::mem::zeroed() };
    job.want = match operation {
        Operation::Forward => want::SUM,
        Operation::Backward => want::GRAD,
        Operation::Fused => kernel::SUM_GRAD,
    };
    for (index, array) in [(operand::INPUT, x), (operand::TARGET, y)] {
        let operand = &mut job.operands[index];
        (operand.layout, operand.pointer) = (layout::FULL, array.as_ptr().cast());
    }
    for index in [operand::INSIDE, operand::OUTSIDE] {
        job.operands[index].number = 1.0;
    }
    job.results[result::GRAD_INPUT] = grad.as_mut_ptr();
    (job.pre, job.inv, job.lim, job.half, job.below, job.above) = (1.0, 1.0, 1.0, 0.5, 1.0, 1.0);
    job.grad_scale = 1.0 / n as f32;
    job.shape = job.required_shape();
    work.totals.loss.total = 0.0;
    // SAFETY: the three slices have n elements and do not overlap.
    unsafe { kernel::run::<FourLanes>(&job, 0, n, work) };
    work.totals.loss.total / n as f64
}

fn wide_pass(operation: Operation, x: &[f32], y: &[f32], grad: &mut [f32], _: &mut Work) -> f64 {
    match operation {
        Operation::Forward => wide::<true, false>(x, y, grad),
        Operation::Backward => wide::<false, true>(x, y, grad),
        Operation::Fused => wide::<true, true>(x, y, grad),
    }
}

fn wide<const LOSS: bool, const GRAD: bool>(x: &[f32], y: &[f32], grad: &mut [f32]) -> f64 {
    let n = x.len();
    let scale = 1.0 / n as f32;
    let one = |x: f32, y: f32| {
        let d = x - y;
        let t = if d > 1.0 { 1.0 } else { d };
        let t = if t < -1.0 { -1.0 } else { t };
        (t * multiply_add(t, -0.5, d), t * scale)
    };
    let mut total = 0.0;
    for from in (0..n).step_by(LEAF) {
        let to = n.min(from + LEAF);
        let body = to - (to - from) % WIDE;
        let mut sums = [0.0_f32; WIDE];
        for i in (from..body).step_by(WIDE) {
            let (x, y) = (&x[i..i + WIDE], &y[i..i + WIDE]);
            if GRAD {
                let grad = &mut grad[i..i + WIDE];
                for j in 0..WIDE {
                    let (loss, slope) = one(x[j], y[j]);
                    grad[j] = slope;
                    if LOSS {
                        sums[j] += loss;
                    }
                }
            } else {
                for j in 0..WIDE {
                    sums[j] += one(x[j], y[j]).0;
                }
            }
        }
        for i in body..to {
            let (loss, slope) = one(x[i], y[i]);
            sums[i - body] += loss;
            if GRAD {
                grad[i] = slope;
            }
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total / n as f64
}

#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    // Without the instruction, mul_add is a call to a function.
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// Reads what a forward reads; with a gradient, also writes what a backward writes.
fn limit_pass(operation: Operation, x: &[f32], y: &[f32], grad: &mut [f32], _: &mut Work) -> f64 {
    if operation != Operation::Forward {
        for ((g, x), y) in grad.iter_mut().zip(x).zip(y) {
            *g = f32::from_bits(x.to_bits() ^ y.to_bits());
        }
        return 0.0;
    }
    let mut bits = [0_u32; WIDE];
    for (x, y) in x.chunks_exact(WIDE).zip(y.chunks_exact(WIDE)) {
        for j in 0..WIDE {
            bits[j] ^= x[j].to_bits() ^ y[j].to_bits();
        }
    }
    f64::from(bits.iter().fold(0, |all, word| all ^ word))
}

struct Race {
    pass: Pass,
    operation: Operation,
    n: usize,
    windows: usize,
    next: usize,
}

struct Data {
    input: Vec<f32>,
    target: Vec<f32>,
    grad: Vec<f32>,
    work: Box<Work>,
}

impl Race {
    fn call(&mut self, data: &mut Data) -> f64 {
        let window = self.next * self.n..(self.next + 1) * self.n;
        self.next = (self.next + 1) % self.windows;
        let (x, y) = (&data.input[window.clone()], &data.target[window.clone()]);
        (self.pass)(self.operation, x, y, black_box(&mut data.grad[window]), &mut data.work)
    }
}

fn prepare(words: &[&str]) -> Option<Race> {
    let [contender, operation, n, windows, "1"] = words else { return None };
    let operation = match *operation {
        "forward" => Operation::Forward,
        "backward" => Operation::Backward,
        "fused" => Operation::Fused,
        _ => return None,
    };
    let pass = match *contender {
        "kernel" => kernel_pass,
        "wide" => wide_pass,
        "limit" => limit_pass,
        _ => return None,
    };
    Some(Race { pass, operation, n: n.parse().ok()?, windows: windows.parse().ok()?, next: 0 })
}

fn floats(path: &str) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, target] = &arguments[..] else { panic!("usage: smooth-l1-native INPUT TARGET") };
    let (input, target) = (floats(input), floats(target));
    // Written, so that no page of it is new to the first call.
    let grad = vec![1.0; input.len()];
    // SAFETY: as for a job.
    let work = Box::new(unsafe { core::mem::zeroed() });
    let mut data = Data { input, target, grad, work };
    let mut race = None;
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match (&words[..], &mut race) {
            (["prepare", words @ ..], _) => {
                race = prepare(words);
                println!("{}", if race.is_some() { "ok" } else { "no" });
            }
            (["time", calls], Some(race)) => {
                let calls: usize = calls.parse().expect("a number of calls");
                let start = Instant::now();
                for _ in 0..calls {
                    black_box(race.call(&mut data));
                }
                println!("{}", start.elapsed().as_secs_f64() * 1e3);
            }
            (["check", path], Some(race)) => {
                race.next = 0;
                data.grad[..race.n].fill(f32::NAN);
                let loss = race.call(&mut data);
                let bytes: Vec<u8> =
                    data.grad[..race.n].iter().flat_map(|g| g.to_le_bytes()).collect();
                std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{path}: {error}"));
                println!("{loss}");
            }
            _ => panic!("what is '{line}'?"),
        }
    }
}
