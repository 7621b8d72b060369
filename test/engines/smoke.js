// One suite for all engines. It knows nothing of its host: that gives it the package and the texts
// of the conformance vectors, and takes what was found, which is plain JSON.

/** Arrays that are not in the kernel's memory, so that calls copy. */
const elsewhere = {
  float32: (source) => new Float32Array(source),
  uint8: (source) => new Uint8Array(source),
};

/** `wanted`: the backend to ask for, or "default". */
export async function smoke(smooth, wanted, vectors, threadOptions = {}) {
  const module = compiledBy(() => {
    if (wanted !== 'default') smooth.load({ backend: wanted });
    else smooth.free(smooth.float32(1));
  });
  const failures = [];
  const cases = vectors.flatMap((text) => parse(text).cases);
  for (const vector of cases)
    for (const make of [smooth, elsewhere]) failures.push(...complaints(smooth, vector, make));

  const hashes = hash(smooth, smooth);
  const same = (how, { elementwise, sums }) => {
    if (elementwise !== hashes.elementwise || sums !== hashes.sums)
      failures.push(`${how}: ${elementwise} ${sums}, not ${hashes.elementwise} ${hashes.sums}`);
  };
  same('staged', hash(smooth, elsewhere));
  failures.push(...halfComplaints(smooth));
  for (const { what, index, expected, actual } of smooth.selfTest())
    failures.push(`selfTest: ${what}[${index}] is ${actual}, not ${expected}`);
  const refusal = await smooth.setNumThreads(2, threadOptions).then(
    () => undefined,
    (error) => error.message,
  );
  const threads = smooth.getNumThreads();
  if (threads > 1) same(`${threads} threads`, hash(smooth, smooth));
  // The pool is left as it is: that must keep no process alive.
  const { backend } = smooth;
  return { backend, module, threads, refusal, vectors: cases.length, ...hashes, failures };
}

/** A hash of the modules that are compiled from bytes while `start` runs; undefined if there are none. */
function compiledBy(start) {
  const { Module } = globalThis.WebAssembly ?? {};
  if (!Module) {
    start();
    return undefined;
  }
  const all = hasher();
  let text;
  WebAssembly.Module = new Proxy(Module, {
    construct(target, [bytes]) {
      const module = new target(bytes);
      all.add(Float32Array.from(bytes));
      text = all.text();
      return module;
    },
  });
  try {
    start();
  } finally {
    WebAssembly.Module = Module;
  }
  return text;
}

// ---- hashes of what comes out, to the last bit --------------------------------------------------

const ROW = 13;
/** Enough for the threads, whole rows, and no multiple of anything else. */
const LENGTH = ROW * 10_091;
const SHORT = ROW * 1_013;

/** The generator Mulberry32, as 32-bit words: integers alone, the same everywhere. */
function words(seed, length) {
  let state = seed;
  return Uint32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word = (word + Math.imul(word ^ (word >>> 7), word | 61)) ^ word;
    return word ^ (word >>> 14);
  });
}
const uniform = (seed, length, least, most) =>
  Float32Array.from(words(seed, length), (word) => least + (word / 2 ** 32) * (most - least));
const anything = (seed, length) => new Float32Array(words(seed, length).buffer);

/** Hashes of elementwise results, and of sums of many elements. */
function hash(smooth, make) {
  const elementwise = hasher();
  const sums = hasher();
  const { float32, uint8, freeAll } = keeping(smooth, make);
  const tame = {
    x: float32(uniform(1, LENGTH, -3, 3)),
    y: float32(uniform(2, LENGTH, -1, 1)),
    upstream: float32(uniform(3, LENGTH, -1, 1)),
    weights: float32(uniform(4, LENGTH, 0.25, 2)),
    columns: float32(uniform(5, ROW, 0.5, 1.5)),
    mask: uint8(words(6, LENGTH).map((word) => word & 1)),
  };
  const { columns } = tame;
  const short = { columns, mask: tame.mask.subarray(0, SHORT) };
  for (const name of ['x', 'y', 'upstream', 'weights'])
    short[name] = tame[name].subarray(1, SHORT + 1);
  const wild = {
    x: float32(anything(7, SHORT)),
    y: float32(anything(8, SHORT)),
    upstream: float32(anything(9, SHORT)),
    weights: float32(anything(10, SHORT)),
    columns: float32(anything(11, ROW)),
    mask: uint8(words(12, SHORT).map((word) => word & 1)),
  };
  const { smoothL1Loss, smoothL1LossBackward, smoothL1LossWithGrad, smoothL1LossHessian } = smooth;
  const { huberLoss, huberLossBackward, huberLossWithGrad, huberLossHessian } = smooth;
  const { l1Loss, l1LossBackward, l1LossWithGrad } = smooth;
  const smoothL1 = [smoothL1Loss, smoothL1LossBackward, smoothL1LossHessian];
  const huber = [huberLoss, huberLossBackward, huberLossHessian];
  for (const [loss, backward, hessian, thresholds] of [
    [...smoothL1, [{}, { beta: 0 }, { sigma: 3 }, { beta: 1e-40 }, { beta: Infinity }]],
    [...huber, [{ delta: 0.7 }, { delta: Infinity }]],
    [l1Loss, l1LossBackward, undefined, [{}]],
  ])
    for (const threshold of thresholds) {
      for (const { x, y, upstream, weights, columns, mask } of [short, wild]) {
        const out = float32(x.length);
        const rows = float32(x.length / ROW);
        const scaled = { ...threshold, scale: 0.75 };
        const weighted = {
          ...scaled,
          rowLength: ROW,
          insideWeights: { perColumn: columns },
          outsideWeights: weights,
          mask,
        };
        elementwise.add(loss(x, y, { ...scaled, reduction: 'none', out }));
        elementwise.add(loss(x, y, { ...scaled, reduction: 'rows', rowLength: ROW, out: rows }));
        elementwise.add(loss(x, y, { ...weighted, reduction: 'none', out }));
        elementwise.add(backward(0.5, x, y, { ...threshold, out }));
        elementwise.add(backward(upstream, x, y, { ...scaled, reduction: 'none', out }));
        elementwise.add(backward(upstream, x, y, { ...weighted, reduction: 'none', out }));
        elementwise.add(loss(x, y, { ...threshold, mask, reduction: 'none', out }));
        elementwise.add(backward(0.5, x, y, { ...threshold, mask, out }));
        if (hessian) elementwise.add(hessian(x, y, { ...threshold, out }));
      }
    }

  const { x, y, weights, mask } = tame;
  const out = float32(LENGTH);
  for (const [loss, withGrad, threshold] of [
    [smoothL1Loss, smoothL1LossWithGrad, {}],
    [smoothL1Loss, smoothL1LossWithGrad, { sigma: 3 }],
    [huberLoss, huberLossWithGrad, { delta: 0.7 }],
    [l1Loss, l1LossWithGrad, {}],
  ]) {
    sums.add(loss(x, y, threshold));
    sums.add(loss(x, y, { ...threshold, reduction: 'sum' }));
    sums.add(loss(x.subarray(1), y.subarray(1), threshold));
    sums.add(loss(x, y, { ...threshold, mask, divisor: 'unmasked' }));
    sums.add(withGrad(x, y, out, threshold));
    elementwise.add(out);
    elementwise.add(loss(x, y, { ...threshold, reduction: 'none', out }));
    sums.add(withGrad(x, y, out, { ...threshold, weight: weights, divisor: 'weights' }));
    sums.add(out);
  }
  sums.add(smooth.smoothL1LossBetaGrad(x, y));
  sums.add(smooth.huberLossDeltaGrad(x, y));
  sums.add(smooth.l1Distance(x, y));
  freeAll();
  return { elementwise: elementwise.text(), sums: sums.text() };
}

/** What is wrong about inputs of 16 bits, beside the same as floats. */
function halfComplaints(smooth) {
  const wrong = [];
  const { float32, freeAll } = keeping(smooth, smooth);
  for (const type of ['float16', 'bfloat16']) {
    const bits = words(13, SHORT).map((word) => word & 0xffff);
    const own = smooth[type](SHORT);
    const view = new Uint16Array(own.buffer, own.byteOffset, SHORT);
    view.set(bits);
    // By another way than the kernel's: from the definition of the formats.
    const [fraction, bias] = type === 'float16' ? [10, 15] : [7, 127];
    const right = float32(SHORT);
    for (const [i, word] of view.entries()) {
      const exponent = (word & 0x7fff) >> fraction;
      const part = (word & ((1 << fraction) - 1)) / (1 << fraction);
      const magnitude = exponent ? (1 + part) * 2 ** (exponent - bias) : part * 2 ** (1 - bias);
      const isLast = exponent === 2 * bias + 1;
      right[i] = (word >> 15 ? -1 : 1) * (isLast ? (part ? NaN : Infinity) : magnitude);
    }
    const zeros = float32(SHORT);
    const inputs = [own, own.slice()];
    // Bits that an engine shows as numbers.
    if (type === 'float16' && globalThis.Float16Array)
      inputs.push(new Float16Array(view.slice().buffer));
    for (const [how, input] of inputs.entries())
      for (const beta of [0, 1]) {
        const options = { beta, reduction: 'none', inputType: type };
        const [found, wanted] = [input, right].map((x) => {
          const all = hasher();
          all.add(
            smooth.smoothL1Loss(x, zeros, {
              ...options,
              inputType: x === right ? undefined : type,
            }),
          );
          return all.text();
        });
        if (found !== wanted)
          wrong.push(`${type}, array ${how}, beta ${beta}: ${found}, not ${wanted}`);
      }
    smooth.free(own);
  }
  freeAll();
  return wrong;
}

/** The two makers of arrays, and a function that frees all that they made. */
function keeping(smooth, make) {
  const kept = [];
  const keep = (maker) => (source) => {
    const array = maker(source);
    kept.push(array);
    return array;
  };
  return {
    float32: keep(make.float32),
    uint8: keep(make.uint8),
    freeAll: () => make === smooth && kept.forEach(smooth.free),
  };
}

function hasher() {
  let [a, b] = [1, 2];
  return {
    /** Takes the bits of an f64 or of f32 numbers. Which NaN a NaN is, is up to the engine. */
    add(value) {
      const array = typeof value === 'number' ? Float64Array.of(value) : value;
      const bits = new Uint32Array(array.buffer, array.byteOffset, array.byteLength / 4);
      const isDouble = array instanceof Float64Array;
      for (let word of bits) {
        if (isDouble ? Number.isNaN(value) : (word & 0x7fffffff) > 0x7f800000) word = 0x7fc00000;
        a = Math.imul(a ^ word, 0x9e3779b1);
        a ^= a >>> 15;
        b = Math.imul(b + a, 0x85ebca6b);
        b ^= b >>> 13;
      }
    },
    text: () => [a, b].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join(''),
  };
}

// ---- the conformance vectors; their form is in ../vectors/README.md -----------------------------

/** Reads JSON in which the numbers that JSON lacks are strings. */
function parse(text) {
  const named = new Map([
    ['nan', NaN],
    ['inf', Infinity],
    ['-inf', -Infinity],
    ['-0', -0],
  ]);
  return JSON.parse(text, (key, x) => (key === 'onZeroDivisor' ? x : (named.get(x) ?? x)));
}

const names = {
  smoothL1: ['smoothL1Loss', 'smoothL1LossBackward', 'smoothL1LossHessian', 'smoothL1LossBetaGrad'],
  huber: ['huberLoss', 'huberLossBackward', 'huberLossHessian', 'huberLossDeltaGrad'],
  l1: ['l1Loss', 'l1LossBackward'],
};

/** What is wrong about the results of a vector. */
function complaints(smooth, vector, make) {
  const { float32, uint8, freeAll } = keeping(smooth, make);
  const layout = (value, array) => {
    if (typeof value === 'number') return value;
    for (const key of ['perRow', 'perColumn'])
      if (key in value) return { [key]: array(value[key]) };
    return array(value);
  };

  const { gradOutput = 1, ...options } = vector.options;
  for (const name of ['insideWeights', 'outsideWeights', 'beta', 'delta'])
    if (name in options) options[name] = layout(options[name], float32);
  if ('mask' in options) options.mask = uint8(options.mask.perRow ?? options.mask);
  const upstream = layout(gradOutput.perRow ?? gradOutput, float32);

  const [loss, backward, hessian, thresholdGrad] = names[vector.form].map((name) => smooth[name]);
  const { input, target, expected } = vector;
  const [x, y] = [float32(input), float32(target)];
  const [out, gradInsideWeights, gradOutsideWeights] = [0, 0, 0].map(() => float32(input.length));
  const shifts = options.divisor === 'weights' && typeof upstream !== 'number';
  const more = { gradInsideWeights, ...(!shifts && { gradOutsideWeights }) };
  const found = {
    loss: loss(x, y, options),
    gradInput: backward(upstream, x, y, { ...options, ...more, out }),
    ...more,
  };
  // The Hessian function takes no upstream gradient.
  if (hessian && gradOutput === 1) found.hessian = hessian(x, y, options);
  if (thresholdGrad && typeof (options.beta ?? options.delta ?? 1) === 'number')
    found.thresholdGrad = thresholdGrad(x, y, { ...options, gradOutput: upstream });

  const failures = [];
  for (const output of Object.keys(found)) {
    const list = (value) => (typeof value === 'number' ? [value] : value);
    if (expected[output] === undefined) continue;
    const theirs = list(expected[output]);
    const mine = list(found[output]);
    const wrong = theirs.findIndex((number, i) => !matches(mine[i], number, output, vector));
    if (wrong >= 0 || mine.length !== theirs.length)
      failures.push(`${vector.name}: ${output}[${wrong}] is ${mine[wrong]}, not ${theirs[wrong]}`);
  }
  freeAll();
  return failures;
}

function matches(actual, expected, output, { tolerance, signedZeros }) {
  if (signedZeros && output === 'gradInput' && expected === 0) return Object.is(actual, expected);
  if (Object.is(Math.fround(expected), Math.fround(actual))) return true;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(expected))));
  const allowed = Math.max(tolerance.absolute?.[output] ?? 0, tolerance.ulp * 2 ** (exponent - 23));
  return Number.isFinite(expected) && Math.abs(actual - expected) <= allowed;
}
