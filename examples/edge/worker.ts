// A worker for the edge: a batch comes as binary in the body of a POST, and its loss goes back, with the
// gradient if that is asked for. README.md has the layout of both.
//
// The losses are computed on the body's own memory: a call copies 8,192 elements at a time through the kernel's
// buffer. So a request takes none of the kernel's memory, and has nothing to release, however it ends.

import {
  huberLoss,
  huberLossWithGrad,
  l1Loss,
  l1LossWithGrad,
  smoothL1Loss,
  smoothL1LossWithGrad,
} from 'smooth-l1';

/** A request is 8 MiB then. */
const MOST_ELEMENTS = 2 ** 20;
const HEADER_BYTES = 16;
const MOST_BYTES = HEADER_BYTES + 8 * MOST_ELEMENTS;
/** "SML1". */
const MAGIC = 0x314c4d53;
const BINARY = 'application/octet-stream';
const REDUCTIONS = ['mean', 'sum'] as const;

interface Batch {
  readonly input: Float32Array;
  readonly target: Float32Array;
  readonly threshold: number;
  readonly reduction: (typeof REDUCTIONS)[number];
}

/** Each computes the loss, and the gradient if there is an array for it. */
const LOSSES: readonly ((batch: Batch, gradient: Float32Array | undefined) => number)[] = [
  ({ input, target, threshold: beta, reduction }, gradient) =>
    gradient
      ? smoothL1LossWithGrad(input, target, gradient, { beta, reduction })
      : smoothL1Loss(input, target, { beta, reduction }),
  ({ input, target, threshold: delta, reduction }, gradient) =>
    gradient
      ? huberLossWithGrad(input, target, gradient, { delta, reduction })
      : huberLoss(input, target, { delta, reduction }),
  ({ input, target, threshold, reduction }, gradient) => {
    if (threshold !== 0)
      throw new RangeError(`the threshold must be 0, as L1 has none, got ${threshold}`);
    return gradient
      ? l1LossWithGrad(input, target, gradient, { reduction })
      : l1Loss(input, target, { reduction });
  },
];

/** What is thrown to answer a request with an error. */
function refusal(status: number, message: string, headers: HeadersInit = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', ...headers },
  });
}

async function bodyOf(request: Request): Promise<ArrayBuffer> {
  if (request.method !== 'POST')
    throw refusal(405, `the method must be POST, got ${request.method}`, { Allow: 'POST' });
  const type = request.headers.get('Content-Type')?.split(';')[0]?.trim().toLowerCase();
  if (type !== BINARY)
    throw refusal(415, `Content-Type must be ${BINARY}, got ${type ?? 'none'}`, { Accept: BINARY });
  const length = request.headers.get('Content-Length');
  if (length === null) throw refusal(411, 'a Content-Length is needed');
  if (Number(length) > MOST_BYTES)
    throw refusal(
      413,
      `the body may have ${MOST_BYTES} bytes, ${MOST_ELEMENTS} elements, got ${length}`,
    );
  return request.arrayBuffer();
}

/** The loss of a batch, and its gradient, as bytes: an f64, then f32 numbers. */
function answer(body: ArrayBuffer): ArrayBuffer {
  if (body.byteLength < HEADER_BYTES)
    throw refusal(400, `the header has ${HEADER_BYTES} bytes, the body has ${body.byteLength}`);
  const header = new DataView(body);
  const magic = header.getUint32(0, true);
  if (magic !== MAGIC) throw refusal(400, 'the body must begin with "SML1"');
  const compute = LOSSES[header.getUint8(4)];
  if (!compute)
    throw refusal(
      400,
      `the loss must be 0 (smooth L1), 1 (Huber) or 2 (L1), got ${header.getUint8(4)}`,
    );
  const reduction = REDUCTIONS[header.getUint8(5)];
  if (!reduction)
    throw refusal(400, `the reduction must be 0 (mean) or 1 (sum), got ${header.getUint8(5)}`);
  const asks = header.getUint8(6);
  if (asks > 1) throw refusal(400, `byte 6 must be 1 for a gradient, or 0, got ${asks}`);
  if (header.getUint8(7) !== 0) throw refusal(400, `byte 7 must be 0, got ${header.getUint8(7)}`);
  const n = header.getUint32(12, true);
  if (body.byteLength !== HEADER_BYTES + 8 * n)
    throw refusal(
      400,
      `a batch of ${n} elements has ${HEADER_BYTES + 8 * n} bytes, the body has ${body.byteLength}`,
    );
  const batch = {
    input: new Float32Array(body, HEADER_BYTES, n),
    target: new Float32Array(body, HEADER_BYTES + 4 * n, n),
    threshold: header.getFloat32(8, true),
    reduction,
  };
  const result = new ArrayBuffer(8 + asks * 4 * n);
  const gradient = asks ? new Float32Array(result, 8) : undefined;
  try {
    new DataView(result).setFloat64(0, compute(batch, gradient), true);
  } catch (error) {
    // A threshold that is negative or NaN. Anything else is a fault of this program.
    if (error instanceof RangeError) throw refusal(400, error.message);
    throw error;
  }
  return result;
}

/** JSON knows no NaN and no infinity: they are strings. */
const forJson = (value: number): number | string =>
  Number.isFinite(value) ? value : String(value);

function asJson(result: ArrayBuffer): Response {
  const loss = forJson(new DataView(result).getFloat64(0, true));
  const gradient = Array.from(new Float32Array(result, 8), forJson);
  return Response.json(result.byteLength > 8 ? { loss, gradient } : { loss });
}

export default {
  async fetch(request: Request): Promise<Response> {
    try {
      const result = answer(await bodyOf(request));
      const isJson = request.headers.get('Accept')?.includes('application/json');
      return isJson
        ? asJson(result)
        : new Response(result, { headers: { 'Content-Type': BINARY } });
    } catch (error) {
      if (!(error instanceof Response)) throw error;
      // A client that is still sending would not see the answer.
      if (!request.bodyUsed) await request.body?.pipeTo(new WritableStream());
      return error;
    }
  },
};
