//! Comparisons: of a job with the textbook, and of two jobs bit by bit.

use std::fmt::Debug;
use std::thread;

use smooth_l1::job::want;
use smooth_l1::kernel::DERIVATIVES;

use crate::case::{Case, Name, OUTPUTS, Outcome, Plan, run};
use crate::oracle::{self, Expected, Sum, exact_sum, exact_value, expected};

/// Asserts that a result is as near as f32 arithmetic comes.
pub fn assert_close(actual: f64, expected: Sum, tolerance: f64, what: &dyn Debug) {
    let Sum { value, size } = expected;
    let error = tolerance * size;
    let is_close = actual.is_nan() && value.is_nan()
        || actual == f64::from(value as f32)
        || error.is_finite() && (actual - value).abs() <= error;
    assert!(is_close, "{what:?}: {actual:e}, expected {value:e}");
}

/// Says what was tried when a comparison fails.
pub struct Trying<F: Fn() -> String>(pub F);

impl<F: Fn() -> String> Drop for Trying<F> {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("with {}", self.0());
        }
    }
}

/// Runs a case and compares all that it leaves behind with the textbook, but for what it does not promise.
pub fn check(case: &Case, plan: &Plan) -> Outcome {
    let outcome = run(case, plan);
    let n = case.len();
    let Expected { loss, count, row, outputs } = expected(case);
    let has_exact_loss = case.want & want::EXACT != 0;
    assert!(has_exact_loss || outcome.exact_loss == exact_sum([]), "a sum that is not wanted");
    let promised: Vec<_> = (0..n).map(|i| oracle::is_promised(case, i)).collect();
    let all_promised = |elements: &[bool]| elements.iter().all(|&is| is);
    if all_promised(&promised) {
        let all = if has_exact_loss { exact_value(&outcome.exact_loss) } else { outcome.loss };
        assert_close(all, loss, 4e-6, &"loss");
        assert_close(outcome.row, row, 1e-6, &"row");
        let counted = outcome.count + exact_value(&outcome.exact_count);
        let is_counted = case.want & DERIVATIVES == 0;
        assert_close(counted, if is_counted { count } else { Sum::default() }, 4e-6, &"count");
    }
    for ((actual, expected), name) in outcome.outputs.iter().zip(outputs).zip(OUTPUTS) {
        assert_eq!(actual.len(), expected.len());
        let is_rows = name == Name::Out && case.want & want::ROWS != 0;
        let size = if is_rows { case.row_length } else { 1 };
        for (i, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
            if all_promised(&promised[i * size..n.min((i + 1) * size)]) {
                let what = (name, i, case.input.get(i), case.target.get(i));
                assert_close(actual.into(), expected, 1e-6, &what);
            }
        }
    }
    outcome
}

pub fn assert_same(actual: &Outcome, expected: &Outcome) {
    assert_eq!(actual.bits(), expected.bits(), "{actual:?}\nis not\n{expected:?}");
}
