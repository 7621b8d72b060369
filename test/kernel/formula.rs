//! The losses: the textbook formulas in f64, which a reader can check by eye, and the numbers that the
//! kernel is given for them.

/// L1 is smooth L1 with the threshold 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    SmoothL1,
    Huber,
}

/// The loss at residual `d`.
pub fn value(form: Form, threshold: f64, d: f64) -> f64 {
    let a = d.abs();
    match form {
        _ if a.is_infinite() && threshold > 0.0 => a,
        Form::Huber if a < threshold => d * d / 2.0,
        Form::Huber => threshold * (a - threshold / 2.0),
        Form::SmoothL1 if a < threshold => d * d / (2.0 * threshold),
        Form::SmoothL1 => a - threshold / 2.0,
    }
}

/// The derivative of the loss with respect to `d`.
pub fn slope(form: Form, threshold: f64, d: f64) -> f64 {
    let sign = if d == 0.0 { 0.0 } else { d.signum() };
    match form {
        Form::Huber if d.abs() < threshold => d,
        Form::Huber => threshold * sign,
        Form::SmoothL1 if d.abs() < threshold => d / threshold,
        Form::SmoothL1 => sign,
    }
}

/// The second derivative; at the kink, where it jumps, 0.
pub fn curvature(form: Form, threshold: f64, d: f64) -> f64 {
    match form {
        _ if d.is_nan() => d,
        _ if d.abs() >= threshold => 0.0,
        Form::Huber => 1.0,
        Form::SmoothL1 => 1.0 / threshold,
    }
}

/// The slope divided by `d`; its limit at 0.
pub fn robust_weight(form: Form, threshold: f64, d: f64) -> f64 {
    let a = d.abs();
    match form {
        _ if d.is_nan() => d,
        Form::Huber if a <= threshold => 1.0,
        Form::Huber => threshold / a,
        Form::SmoothL1 => 1.0 / a.max(threshold),
    }
}

/// `pre`, `inv`, `lim` and `half`, as the wrapper makes them of a threshold.
pub fn curve_of(form: Form, threshold: f32) -> [f32; 4] {
    const UP: f32 = (1 << 24) as f32;
    const SMALLEST: f32 = f32::from_bits(1);
    let (pre, inv) = match (form, threshold) {
        (Form::Huber, _) => return [1.0, 1.0, threshold, 0.5],
        (_, 0.0) => (UP, f32::MAX),
        (_, f32::INFINITY) => (SMALLEST, SMALLEST),
        _ => {
            let inverse = 1.0 / f64::from(threshold);
            let pre = if inverse > f64::from(f32::MAX) {
                UP
            } else if inverse < f64::from(f32::MIN_POSITIVE) {
                1.0 / UP
            } else {
                1.0
            };
            (pre, inverse_of(threshold * pre))
        }
    };
    let half = if threshold.is_finite() { threshold / 2.0 } else { 0.0 };
    [pre, inv, 1.0, half]
}

/// The inverse, rounded so that the slope at the threshold is exactly 1.
fn inverse_of(beta: f32) -> f32 {
    let inverse = 1.0 / beta;
    if beta * inverse < 1.0 { f32::from_bits(inverse.to_bits() + 1) } else { inverse }
}
