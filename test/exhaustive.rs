//! Every residual that there is, all 2^32, at chosen thresholds: the loss, the gradient, the curvature and
//! the weight of robust fitting of the kernel with `[f32; 4]` for its lanes, against the formulas in f64.
//!
//! `npm run exhaustive -- --threads 4`: some minutes of a core for each threshold, on so many threads; on
//! one for each core by default. `--beta X` and `--delta X`, any number of them, choose the thresholds.
//! The last line has the count.

#[path = "kernel/formula.rs"]
mod formula;

use std::mem::MaybeUninit;
use std::process::ExitCode;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use formula::{Form, curvature, curve_of, robust_weight, slope, value};
use smooth_l1::job::{Job, Operand, count, layout, operand, result, want};
use smooth_l1::kernel;
use smooth_l1::lanes::LANES;
use smooth_l1::tiles::Work;

/// How many residuals there are: the bits of an `f32`.
const ALL: u64 = 1 << 32;
/// Residuals of one call of the kernel.
const BATCH: usize = 1 << 11;

/// The thresholds: 0, one whose inverse is out of range, ordinary ones, one whose inverse is subnormal, and
/// infinity.
const SMOOTH_L1: [f32; 7] = [0.0, 1e-40, 1.0 / 9.0, 1.0, 1e10, f32::MAX, f32::INFINITY];
const HUBER: [f32; 4] = [0.0, 0.7, 1.0, f32::INFINITY];

/// What is compared.
#[derive(Clone, Copy)]
struct Output {
    name: &'static str,
    want: u32,
    result: usize,
    /// The most that it may be beside what is right, in units in the last place of that.
    limit: f64,
    /// Whether it has the sign of the residual, also where it is 0.
    is_odd: bool,
}

const LOSS: Output =
    Output { name: "loss", want: want::STORE, result: result::OUT, limit: 4.0, is_odd: false };
const GRADIENT: Output = Output {
    name: "gradient",
    want: want::GRAD,
    result: result::GRAD_INPUT,
    limit: 2.0,
    is_odd: true,
};
const CURVATURE: Output =
    Output { name: "curvature", want: want::CURVATURE, is_odd: false, ..GRADIENT };
const ROBUST_WEIGHT: Output = Output {
    name: "robust weight",
    want: want::ROBUST,
    result: result::ROBUST_WEIGHTS,
    ..CURVATURE
};

/// The largest error that was found, in units in the last place, and at which residual.
#[derive(Clone, Copy, Default)]
struct Worst {
    ulps: f64,
    residual: f32,
    actual: f32,
}

/// How many units in the last place of `right` lie between the two. A wrong sign, and a number in place of
/// NaN, are infinitely far away. Without branches: the compiler makes vectors of it.
#[inline(always)]
fn distance(actual: f32, right: f64, is_negative: bool) -> f64 {
    const EXPONENT: u64 = 0x7ff << 52;
    const SMALLEST: f64 = 1.401_298_464_324_817e-45;
    let ulp = f64::from_bits(right.to_bits() & EXPONENT) * f64::from(f32::EPSILON);
    let ulps = (f64::from(actual) - right).abs() / ulp.max(SMALLEST);
    let are_nan = actual.is_nan() & right.is_nan();
    let is_same = (actual == right as f32) & (actual.is_sign_negative() == is_negative);
    let is_wrong = (actual.is_nan() != right.is_nan())
        | (!are_nan & (actual.is_sign_negative() != is_negative));
    if is_wrong {
        f64::INFINITY
    } else if are_nan | is_same {
        0.0
    } else {
        ulps
    }
}

/// The worst of the residuals whose bits are `first .. first + BATCH`, if it is worse than `worst`.
#[inline(always)]
fn check(
    (form, threshold): (Form, f32),
    output: Output,
    right: impl Fn(Form, f64, f64) -> f64,
    first: u32,
    work: *mut Work,
    worst: Worst,
) -> Worst {
    // The residual is `input - 0`, so each is the input itself.
    let zeros = [0.0_f32; BATCH];
    let mut residuals = zeros;
    for (word, residual) in (first..).zip(&mut residuals) {
        *residual = f32::from_bits(word);
    }
    let mut out = [f32::NAN; BATCH];
    let [pre, inv, lim, mut half] = curve_of(form, threshold);
    if output.want == want::CURVATURE {
        half = threshold;
    }
    let mut operands = [Operand { layout: layout::NUMBER, pointer: null_mut(), number: 1.0 }; 8];
    for (index, values) in [(operand::INPUT, &residuals), (operand::TARGET, &zeros)] {
        operands[index].layout = layout::FULL;
        operands[index].pointer = values.as_ptr().cast();
    }
    let mut results = [null_mut(); 6];
    results[output.result] = out.as_mut_ptr();
    let mut job = Job {
        want: output.want,
        shape: 0,
        count: count::NOTHING,
        accumulate: 0,
        ignore: 0,
        ignore_value: f32::NAN,
        pre,
        inv,
        lim,
        half,
        below: 1.0,
        above: 1.0,
        origin: 0,
        row_length: 0,
        row_origin: 0,
        scale: 1.0,
        grad_scale: 1.0,
        shift: 0.0,
        operands,
        results,
    };
    job.shape = job.required_shape();
    unsafe { kernel::run::<[f32; LANES]>(&job, 0, BATCH, work) };
    let ulps_at = |i: usize| {
        let is_negative = output.is_odd & residuals[i].is_sign_negative();
        distance(out[i], right(form, threshold.into(), residuals[i].into()), is_negative)
    };
    let mut is_worse = false;
    for i in 0..BATCH {
        is_worse |= ulps_at(i) > worst.ulps;
    }
    if !is_worse {
        return worst;
    }
    (0..BATCH).fold(worst, |worst, i| {
        let ulps = ulps_at(i);
        if ulps > worst.ulps {
            Worst { ulps, residual: residuals[i], actual: out[i] }
        } else {
            worst
        }
    })
}

/// Compares all residuals. Returns whether one is wrong.
fn check_all(
    curve: (Form, f32),
    output: Output,
    right: impl Fn(Form, f64, f64) -> f64 + Copy + Sync,
    threads: usize,
) -> bool {
    let next = AtomicU64::new(0);
    let worst = thread::scope(|scope| {
        let run = || {
            let mut work = Box::new(MaybeUninit::<Work>::zeroed());
            let mut worst = Worst::default();
            loop {
                let first = next.fetch_add(BATCH as u64, Ordering::Relaxed);
                if first >= ALL {
                    return worst;
                }
                worst = check(curve, output, right, first as u32, work.as_mut_ptr(), worst);
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let results = workers.into_iter().map(|worker| worker.join().expect("a worker's result"));
        results.fold(Worst::default(), |a, b| if b.ulps > a.ulps { b } else { a })
    });
    print!(" {} {:.2} ulp,", output.name, worst.ulps);
    let is_wrong = worst.ulps > output.limit;
    if is_wrong {
        let Worst { residual, actual, .. } = worst;
        let (form, threshold) = curve;
        let right = right(form, threshold.into(), residual.into());
        print!(" WRONG: of {residual:e} it is {actual:e}, not {right:e};");
    }
    is_wrong
}

/// What the arguments ask for: how many threads, and which curves.
fn asked() -> Result<(usize, Vec<(Form, f32)>), String> {
    let mut threads = thread::available_parallelism().map_or(1, usize::from);
    let mut curves = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match name.as_str() {
            "--threads" => {
                threads = value.parse().ok().filter(|&n| n > 0).ok_or_else(|| {
                    format!("--threads must be an integer from 1, got \"{value}\"")
                })?;
            }
            "--beta" | "--delta" => {
                let form = if name == "--beta" { Form::SmoothL1 } else { Form::Huber };
                let threshold = value.parse().ok().filter(|&x: &f32| x >= 0.0);
                curves.push((
                    form,
                    threshold.ok_or_else(|| {
                        format!("{name} must be a number from 0, got \"{value}\"")
                    })?,
                ));
            }
            _ => return Err(format!("there are --threads, --beta and --delta, got {name}")),
        }
    }
    if curves.is_empty() {
        curves.extend(SMOOTH_L1.map(|threshold| (Form::SmoothL1, threshold)));
        curves.extend(HUBER.map(|threshold| (Form::Huber, threshold)));
    }
    Ok((threads, curves))
}

fn main() -> ExitCode {
    let (threads, curves) = match asked() {
        Ok(asked) => asked,
        Err(message) => {
            eprintln!("exhaustive: {message}");
            return ExitCode::FAILURE;
        }
    };
    let (mut compared, mut wrong) = (0, 0);
    for curve in curves {
        let (form, threshold) = curve;
        let name = if form == Form::Huber { "Huber, delta" } else { "smooth L1, beta" };
        print!("{name} {threshold:e}:");
        let are_wrong = [
            check_all(curve, LOSS, value, threads),
            check_all(curve, GRADIENT, slope, threads),
            check_all(curve, CURVATURE, curvature, threads),
            check_all(curve, ROBUST_WEIGHT, robust_weight, threads),
        ];
        println!();
        compared += are_wrong.len() as u64 * ALL;
        wrong += are_wrong.into_iter().filter(|&is_wrong| is_wrong).count();
    }
    println!("{compared} values compared, {wrong} passes wrong");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
