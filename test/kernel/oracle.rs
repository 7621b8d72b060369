//! What the kernel is tested against: the textbook formulas in f64, one element at a time. Slow on
//! purpose, so that it can be checked by eye.

use smooth_l1::job::{count, want};

use crate::case::{Case, Name, OUTPUTS};
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
        terms.into_iter().fold(Sum::default(), |sum, term| Sum {
            value: sum.value + term,
            size: sum.size + term.abs(),
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
    let loss = if case.want & (want::SUM | want::BETA | want::DELTA) != 0 {
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
    let [below, above] = case.sides.at(i, case.row_length);
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
    if case.want & want::SUM != 0 {
        return element.outside * cost(case, element);
    }
    let pull = f64::from(case.grad_scale) * element.upstream * element.outside * element.side;
    pull * threshold_slope(case.form, element.threshold, element.e)
}

fn share_of_count(case: &Case, element: &Element) -> f64 {
    match case.count {
        count::WEIGHTS => element.outside,
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
