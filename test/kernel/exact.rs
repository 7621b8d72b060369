//! Exact sums, against sums of integers.

use smooth_l1::exact::{self, BLOCK, DIGITS, Exact};
use smooth_l1::job::{count, want};
use smooth_l1::lanes::LANES;
use smooth_l1::tiles::{LEAF, STEP};

use crate::case::{Name, OUTPUTS, Operand, Plan, WHOLE, run};
use crate::check::Trying;
use crate::formula::Form;
use crate::numbers::Noise;
use crate::oracle::exact_sum;
use crate::{IS_SLOW, LENGTHS, SHAPES, about, case, some};

const NOTHING: Exact = Exact { digits: [0; DIGITS], specials: 0 };

fn added(values: &[f32]) -> Exact {
    let mut sum = NOTHING;
    for leaf in values.chunks(LEAF) {
        let mut tile = [f32::NAN; LEAF + STEP];
        tile[..leaf.len()].copy_from_slice(leaf);
        unsafe { exact::add::<[f32; LANES]>(tile.as_mut_ptr(), leaf.len(), &mut sum) };
    }
    sum
}

fn assert_exact(values: &[f32]) {
    let _trying =
        Trying(|| format!("{} values: {:?}", values.len(), &values[..values.len().min(40)]));
    assert_eq!(added(values), exact_sum(values.iter().copied()));
}

/// Any float of these exponents, as they are stored.
fn float(noise: &mut Noise, least: u32, most: u32) -> f32 {
    let bits = noise.next();
    let exponent = least + (bits >> 40) as u32 % (most - least + 1);
    f32::from_bits(bits as u32 & 0x7f_ffff | exponent << 23)
}

#[test]
fn values_of_any_size_and_sign_are_added_exactly() {
    let mut noise = Noise(7);
    let spans =
        [(0, 254), (0, 0), (0, 1), (100, 130), (120, 127), (127, 127), (60, 127), (150, 254)];
    for (least, most) in spans {
        for n in if IS_SLOW {
            vec![17, 300]
        } else {
            (0..40).chain([255, 256, 257, 1023, 3000]).collect()
        } {
            let mut values: Vec<_> = (0..n).map(|_| float(&mut noise, least, most)).collect();
            assert_exact(&values);
            for value in values.iter_mut().step_by(3) {
                *value = -*value;
            }
            assert_exact(&values);
            for value in values.iter_mut().step_by(2) {
                *value *= 0.0;
            }
            assert_exact(&values);
        }
    }
}

#[test]
fn values_cancel_to_the_last_bit() {
    let mut noise = Noise(8);
    let mut values: Vec<_> =
        (0..if IS_SLOW { 60 } else { 700 }).map(|_| float(&mut noise, 0, 254)).collect();
    values.extend(values.clone().iter().rev().map(|x| -x));
    assert_eq!(added(&values), NOTHING);
    values.push(-f32::from_bits(1));
    assert_exact(&values);
    assert_eq!(added(&values).digits, [u32::MAX; DIGITS]);
}

#[test]
fn what_is_not_finite_is_told_apart() {
    let specials = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    for set in 0..16 {
        for at in [0, 5, BLOCK, BLOCK + 20] {
            let mut values = Noise(9).floats(BLOCK + 40, 0.5, 2.0);
            for (i, special) in specials.into_iter().enumerate() {
                if set >> i & 1 != 0 {
                    values[at + i] = special;
                }
            }
            assert_exact(&values);
        }
    }
}

#[test]
fn digits_that_are_alike_are_added() {
    // In units of 2^-149, 2^52 + 2^20: both digits are 2^20.
    assert_exact(&[2f32.powi(-97), 2f32.powi(-129)]);
    assert_exact(&[-2f32.powi(-97), -2f32.powi(-129)]);
}

/// The check adds sizes up as floats, which loses all but the first of these.
#[test]
fn sizes_that_are_lost_by_rounding_count() {
    let mut values = vec![0.0; BLOCK];
    for lane in values.iter_mut().skip(3).step_by(LANES) {
        *lane = 2f32.powi(34);
    }
    values[3] = 2f32.powi(60) - 2f32.powi(36);
    // Its last bit is worth 2^7, and a sum of 2^60 or more has none below 2^8.
    values[4] = 2f32.powi(30) + 2f32.powi(7);
    assert_exact(&values);
}

/// A block whose sum is just below 2^`top`, and whose smallest value is 2^`bottom` and one bit more.
fn block(top: i32, bottom: i32) -> Vec<f32> {
    let power = |exponent: i32| 2f64.powi(exponent) as f32;
    let mut values = vec![0.0; BLOCK];
    values[3] = power(top) * (1.0 - f32::EPSILON);
    values[90] = power(bottom) * (1.0 + f32::EPSILON);
    values
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn the_checks_hold_at_their_last_bit() {
    // Nothing is rounded up to 53 bits; two sums hold up to 97.
    for bottom in [-126, -100, -40, 0, 20] {
        for bits in (28..34).chain(70..80) {
            let top = bottom + bits;
            if top > 127 {
                continue;
            }
            for sign in [1.0, -1.0] {
                let mut values = block(top, bottom);
                values[90] *= sign;
                assert_exact(&values);
                for zero in values.iter_mut().filter(|x| **x == 0.0) {
                    *zero = 2f64.powi(bottom) as f32;
                }
                assert_exact(&values);
                // Just below half of the last bit of the upper sums: all of it is in the lower ones.
                let rest = 2f64.powi(top - 52) as f32 * (1.0 - f32::EPSILON);
                for value in &mut values[100..] {
                    *value = rest;
                }
                assert_exact(&values);
                values[91] = f32::from_bits(1);
                assert_exact(&values);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "about values alone")]
fn a_full_block_of_the_largest_is_added_exactly() {
    assert_exact(&[f32::MAX; 3 * LEAF]);
    assert_exact(&[-f32::MAX; 3 * LEAF]);
    assert_exact(&[f32::from_bits(1); 3 * LEAF]);
    let mixed: Vec<_> = (0..LEAF).map(|i| if i % 2 == 0 { f32::MAX } else { -f32::MAX }).collect();
    assert_eq!(added(&mixed), NOTHING);
}

#[test]
fn every_exact_pass_adds_the_losses_that_are_stored() {
    let wants = [want::EXACT, want::EXACT | want::GRAD, want::NOTHING];
    let counts = [count::NOTHING, count::EXACT_WEIGHTS, count::WEIGHTS];
    let jobs = LENGTHS.iter().flat_map(|&n| SHAPES.iter().map(move |shape| (n, shape)));
    for (n, (name, reshape)) in some(37, jobs) {
        for (wanted, counted) in wants.into_iter().flat_map(|w| counts.map(|c| (w, c))) {
            for all_gradients in [false, true] {
                let mut case = case(wanted, n);
                case.count = counted;
                if all_gradients && wanted & want::GRAD != 0 {
                    case.outputs = OUTPUTS[1..].to_vec();
                }
                reshape(&mut case);
                let _trying = Trying(|| about(name, &case));
                let outcome = run(&case, &WHOLE);

                let mut stored = case.clone();
                stored.want = case.want & !want::EXACT | want::STORE;
                stored.count = count::NOTHING;
                stored.scale = 1.0;
                stored.outputs.push(Name::Out);
                let stored = run(&stored, &WHOLE);
                let losses = if wanted == want::NOTHING { &[] } else { stored.output(Name::Out) };
                assert_eq!(outcome.exact_loss, exact_sum(losses.iter().copied()));
                for output in &case.outputs {
                    assert_eq!(outcome.output(*output), stored.output(*output));
                }
                assert_eq!((outcome.loss, outcome.row), (0.0, 0.0));

                let weights = (0..n)
                    .filter(|&i| counted == count::EXACT_WEIGHTS && case.counts(i))
                    .map(|i| case.outside.at(i, case.row_length));
                assert_eq!(outcome.exact_count, exact_sum(weights));
                if counted == count::EXACT_WEIGHTS {
                    assert_eq!(outcome.count, 0.0);
                }

                let cut = run(&case, &Plan { call: 7, ..WHOLE });
                if n < 100 || *name == "weighted" {
                    assert_eq!(
                        (cut.exact_loss, cut.exact_count),
                        (outcome.exact_loss, outcome.exact_count)
                    );
                }
            }
        }
    }
}

#[test]
fn derivatives_by_the_threshold_are_added_exactly() {
    for (wanted, form) in [(want::BETA, Form::SmoothL1), (want::DELTA, Form::Huber)] {
        let mut case = case(wanted | want::EXACT, 20);
        case.form = form;
        // Multiples of a power of two, so that the other sum is exact too.
        let quarters = |x: &mut f32| *x = (*x * 4.0).round() / 4.0;
        case.input.iter_mut().chain(&mut case.target).for_each(quarters);
        case.threshold = Operand::number(0.5);
        let outcome = run(&case, &WHOLE);
        assert_eq!(outcome.loss, 0.0);
        case.want = wanted;
        let sum = run(&case, &WHOLE).loss as f32;
        assert_ne!(sum, 0.0);
        assert_eq!(outcome.exact_loss, exact_sum([sum]));
    }
}

#[test]
fn the_weights_of_rows_and_columns_are_added_exactly() {
    let mut case = case(want::EXACT, 1030);
    case.count = count::EXACT_WEIGHTS;
    for layout in [smooth_l1::job::layout::ROW, smooth_l1::job::layout::COLUMN] {
        case.outside = Operand { layout, values: Noise(5).floats(206, -1.0, 1.0) };
        let weights = (0..1030).map(|i| case.outside.at(i, case.row_length));
        assert_eq!(run(&case, &WHOLE).exact_count, exact_sum(weights));
    }
}
