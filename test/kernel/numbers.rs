//! Numbers to compute with.

use crate::case::Sides;

/// Numbers without a pattern, the same in every run.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 31)
    }

    pub fn float(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    pub fn floats(&mut self, n: usize, low: f32, high: f32) -> Vec<f32> {
        (0..n).map(|_| self.float(low, high)).collect()
    }

    /// Weights: some of them 0, some negative.
    pub fn weights(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float(-1.0, 2.0)).map(|x| if x.abs() < 0.2 { 0.0 } else { x }).collect()
    }

    /// A mask: half of it 0, the rest any other byte.
    pub fn mask(&mut self, n: usize) -> Vec<u8> {
        (0..n)
            .map(|_| self.next())
            .map(|x| if x & 1 == 0 { 0 } else { (x >> 8) as u8 | 1 })
            .collect()
    }

    /// Weights of the two sides of 0, as quantiles have them.
    pub fn sides(&mut self, n: usize) -> Vec<Sides> {
        (0..n).map(|_| self.float(0.0, 1.0)).map(|tau| [1.0 - tau, tau]).collect()
    }

    pub fn thresholds(&mut self, n: usize) -> Vec<f32> {
        const ODD: [f32; 3] = [0.0, f32::INFINITY, 1.0];
        (0..n).map(|i| if i % 4 < 3 { self.float(0.3, 2.0) } else { ODD[i / 4 % 3] }).collect()
    }
}

/// Floats of every sort, without sign.
pub const EDGES: [f32; 21] = [
    0.0,
    f32::from_bits(1),
    f32::from_bits(2),
    1e-40,
    f32::from_bits(f32::MIN_POSITIVE.to_bits() - 1),
    f32::MIN_POSITIVE,
    1e-37,
    1e-20,
    0.1,
    0.5,
    1.0 - f32::EPSILON / 2.0,
    1.0,
    1.0 + f32::EPSILON,
    3.0,
    1e20,
    f32::MAX / 2.0,
    f32::from_bits(f32::MAX.to_bits() - 1),
    f32::MAX,
    f32::INFINITY,
    f32::from_bits(0x7fc1_2345),
    f32::from_bits(0x7f80_0001), // a signaling NaN
];

pub fn signed_edges() -> Vec<f32> {
    EDGES.into_iter().flat_map(|x| [x, -x]).collect()
}
