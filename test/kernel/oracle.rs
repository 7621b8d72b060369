//! What the kernel is tested against: the textbook formulas in f64, one element at a time. Slow on
//! purpose, so that it can be checked by eye.

use smooth_l1::exact::{DIGITS, Exact, special};
use smooth_l1::job::{count, want};
use smooth_l1::lanes::LANES;
use smooth_l1::tiles::{LEAF, PIECE, STEP, UNROLL};

use crate::case::{Case, Name, OUTPUTS, Operand};
use crate::formula::{Form, curvature, robust_weight, slope, value};

/// The derivative of the loss with respect to its threshold.
pub fn threshold_slope(form: Form, threshold: f64, d: f64) -> f64 {
    let a = d.abs();
    match form {
        _ if d.is_nan() || d == 0.0 => d,
        Form::Huber if a <= threshold => 0.0,
        Form::Huber => a - threshold,
        Form::SmoothL1 if a < threshold => -(d * d) / (2.0 * threshold * threshold),
        Form::SmoothL1 => -0.5,
    }
}

/// A sum, with the size of its terms, which tells how exact an f32 result can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    pub value: f64,
    pub size: f64,
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(terms: I) -> Self {
        // A millionth of it is 16 units of subnormal numbers, which are less exact.
        const LEAST: f64 = 2.0 * f32::MIN_POSITIVE as f64;
        terms.into_iter().fold(Sum::default(), |sum, term| Sum {
            value: sum.value + term,
            size: sum.size + term.abs().max(LEAST),
        })
    }
}

/// What a case should leave behind.
pub struct Expected {
    pub loss: Sum,
    pub count: Sum,
    pub row: Sum,
    pub outputs: [Vec<Sum>; 6],
}

struct Element {
    counts: bool,
    threshold: f64,
    d: f64,
    e: f64,
    inside: f64,
    outside: f64,
    upstream: f64,
    direction: f64,
    /// The weight of the side of 0 that `e` is on.
    side: f64,
}

pub fn expected(case: &Case) -> Expected {
    let elements: Vec<_> = (0..case.len()).map(|i| element(case, i)).collect();
    let counted = || elements.iter().filter(|element| element.counts);
    let loss = if case.want & (want::SUM | want::EXACT | want::BETA | want::DELTA) != 0 {
        counted().map(|element| summand(case, element)).collect()
    } else {
        Sum::default()
    };
    let whole_rows = case.len() - case.len() % case.row_length;
    let rest = if case.want & want::ROWS != 0 { &elements[whole_rows..] } else { &[] };
    Expected {
        loss,
        count: counted().map(|element| share_of_count(case, element)).collect(),
        row: row_sum(case, rest),
        outputs: OUTPUTS.map(|name| {
            if case.outputs.contains(&name) { output(case, name, &elements) } else { Vec::new() }
        }),
    }
}

fn element(case: &Case, i: usize) -> Element {
    // The residual that has a place on the curve is an f32: the kink lies between two of them.
    let d = case.input[i] - case.target[i];
    let inside = case.inside.at(i, case.row_length);
    let e = inside * d;
    let [below, above] = case.sides_at(i);
    let has_upstream = case.want & want::UPSTREAM != 0;
    Element {
        counts: case.counts(i),
        threshold: case.threshold.at(i, case.row_length).into(),
        d: d.into(),
        e: e.into(),
        inside: inside.into(),
        outside: case.outside.at(i, case.row_length).into(),
        upstream: if has_upstream { case.upstream.at(i, case.row_length).into() } else { 1.0 },
        direction: case.direction.at(i, case.row_length).into(),
        side: if e < 0.0 { below } else { above }.into(),
    }
}

fn cost(case: &Case, element: &Element) -> f64 {
    element.side * value(case.form, element.threshold, element.e)
}

/// What an element adds to the loss.
fn summand(case: &Case, element: &Element) -> f64 {
    if case.want & (want::BETA | want::DELTA) == 0 {
        return element.outside * cost(case, element);
    }
    let pull = f64::from(case.grad_scale) * element.upstream * element.outside * element.side;
    pull * threshold_slope(case.form, element.threshold, element.e)
}

fn share_of_count(case: &Case, element: &Element) -> f64 {
    match case.count {
        count::WEIGHTS | count::EXACT_WEIGHTS => element.outside,
        count::NONZERO => f64::from(u8::from(element.outside != 0.0)),
        count::UNMASKED => 1.0,
        _ => 0.0,
    }
}

fn row_sum(case: &Case, elements: &[Element]) -> Sum {
    let counted = elements.iter().filter(|element| element.counts);
    counted.map(|element| element.outside * cost(case, element)).collect()
}

fn output(case: &Case, name: Name, elements: &[Element]) -> Vec<Sum> {
    let before = case.before(name);
    let scale = f64::from(case.scale);
    if name == Name::Out && case.want & want::ROWS != 0 {
        let row = |(i, row): (usize, &[Element])| {
            if row.len() < case.row_length {
                return [f64::from(before[i])].into_iter().collect();
            }
            let Sum { value, size } = row_sum(case, row);
            Sum { value: scale * value, size: scale.abs() * size }
        };
        return elements.chunks(case.row_length).enumerate().map(row).collect();
    }
    let is_gradient = !matches!(name, Name::Out | Name::RobustWeights);
    let is_added = case.accumulate && case.want & want::GRAD != 0 && is_gradient;
    let terms = |(element, &before): (&Element, &f32)| {
        let old = if is_added { before.into() } else { 0.0 };
        let new = if element.counts { result(case, name, element) } else { [0.0, 0.0] };
        [old].into_iter().chain(new).collect()
    };
    elements.iter().zip(&before).map(terms).collect()
}

/// The two terms of an element's result.
fn result(case: &Case, name: Name, element: &Element) -> [f64; 2] {
    let Element { threshold, d, e, inside, outside, upstream, direction, side, .. } = *element;
    let g = f64::from(case.grad_scale) * upstream;
    let pull = g * outside * side * slope(case.form, threshold, e);
    match name {
        Name::Out => [f64::from(case.scale) * outside * cost(case, element), 0.0],
        Name::GradInput if case.want & want::CURVATURE != 0 => {
            let bend = side * curvature(case.form, threshold, e);
            [g * outside * inside * inside * bend * direction, 0.0]
        }
        Name::GradInput => [pull * inside, 0.0],
        Name::GradTarget => [-pull * inside, 0.0],
        Name::GradInside => [pull * d, 0.0],
        Name::RobustWeights => {
            let factor = outside * inside * inside;
            let weight = side * robust_weight(case.form, threshold, e);
            [if factor == 0.0 { 0.0 } else { f64::from(case.scale) * factor * weight }, 0.0]
        }
        _ => [g * cost(case, element), -g * f64::from(case.shift)],
    }
}

/// Whether the textbook holds for an element: no product leaves the normal floats on its way.
pub fn is_promised(case: &Case, i: usize) -> bool {
    const SMALL: f32 = 1.0 / 4096.0;
    let is_between = |x: f32, low: f32, high: f32| x == 0.0 || (low..=high).contains(&x.abs());
    let is_tame = |x: f32| is_between(x, SMALL, 1.0 / SMALL);
    let at = |operand: &Operand<f32>| operand.at(i, case.row_length);
    if !case.counts(i) {
        // Its loss of 0 is multiplied.
        return case.scale.is_finite();
    }
    let [below, above] = case.sides_at(i);
    let d = case.input[i] - case.target[i];
    let threshold = at(&case.threshold);
    let factors = [
        at(&case.inside),
        at(&case.outside),
        if case.want & want::UPSTREAM != 0 { at(&case.upstream) } else { 1.0 },
        if case.want & want::CURVATURE != 0 { at(&case.direction) } else { 1.0 },
        below,
        above,
        case.scale,
        case.grad_scale,
    ];
    let all_factors = |is: &dyn Fn(f32) -> bool| factors.iter().all(|&x| is(x));
    if all_factors(&|x| x.abs() == 1.0) {
        return true;
    }
    // The slope of a threshold that is higher may be subnormal, so that nothing may enlarge its error.
    let inside = at(&case.inside);
    let growth = factors.iter().chain(&[inside, d]).map(|x| x.abs().max(1.0)).product::<f32>();
    let has_slope =
        is_tame(threshold) || threshold.is_infinite() || threshold > 1.0 && growth <= 4.0;
    has_slope && all_factors(&is_tame) && is_tame(case.shift) && (is_tame(d) || !d.is_finite())
}

/// The documented order: lane `k` of vector `j` takes element `16 i + 4 j + k` of a leaf.
pub fn documented_sum(terms: &[f32]) -> f64 {
    let piece =
        |terms: &[f32]| terms.chunks(LEAF).fold(0.0, |sum, leaf| sum + documented_leaf(leaf));
    terms.chunks(PIECE).fold(0.0, |total, terms| total + piece(terms))
}

fn documented_leaf(terms: &[f32]) -> f64 {
    let mut vectors = [[0.0_f32; LANES]; UNROLL];
    for (i, term) in terms.iter().enumerate() {
        vectors[i % STEP / LANES][i % LANES] += term;
    }
    let [a, b, c, d] = vectors.map(|lanes| {
        let [a, b, c, d] = lanes.map(f64::from);
        (a + b) + (c + d)
    });
    (a + b) + (c + d)
}

/// The sum of values, from the mantissas of each power of two.
pub fn exact_sum(values: impl IntoIterator<Item = f32>) -> Exact {
    let mut mantissas = [0i64; 278];
    let mut specials = 0;
    for value in values {
        let bits = value.to_bits();
        let (exponent, mantissa) = (bits >> 23 & 255, i64::from(bits & 0x7f_ffff));
        let signed = |x: i64| if bits >> 31 == 0 { x } else { -x };
        match exponent {
            255 if value.is_nan() => specials |= special::NAN,
            255 if value > 0.0 => specials |= special::INFINITY,
            255 => specials |= special::MINUS_INFINITY,
            0 => mantissas[0] += signed(mantissa),
            _ => mantissas[exponent as usize - 1] += signed(mantissa | 1 << 23),
        }
    }
    let mut digits = [0; DIGITS];
    let mut carried = 0;
    for bit in 0..32 * DIGITS {
        carried += mantissas.get(bit).copied().unwrap_or(0);
        digits[bit / 32] |= ((carried & 1) as u32) << (bit % 32);
        carried >>= 1;
    }
    Exact { digits, specials }
}

/// The number that an exact sum stands for, rounded more than once.
pub fn exact_value(sum: &Exact) -> f64 {
    let is_negative = sum.digits[DIGITS - 1] >> 31 != 0;
    let digits = sum.digits.iter().rev().map(|&x| if is_negative { !x } else { x });
    let size = digits.fold(0.0, |size, digit| size * 4294967296.0 + f64::from(digit));
    let value = if is_negative { -(size + 1.0) } else { size } * f64::from(f32::from_bits(1));
    match sum.specials {
        0 => value,
        special::INFINITY => f64::INFINITY,
        special::MINUS_INFINITY => f64::NEG_INFINITY,
        _ => f64::NAN,
    }
}
