/** The kernel's raw exports, as wasm-bindgen typed them from the Rust functions. */
export type Exports = Pick<typeof import('./generated/smooth_l1.d.ts'), 'run' | 'work_size'>;
