// ONNX Runtime in this engine: its native build (onnxruntime-node), and its WebAssembly
// (onnxruntime-web).

import { createRequire } from 'node:module';
import type { Contender, Operation, Run, Task } from '../contender.ts';
import { OUTPUTS, onnxModel } from './onnx-model.ts';

interface OrtTensor {
  readonly data: Float32Array;
}
interface Session {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface Ort {
  env: { wasm: { numThreads: number }; logLevel: string };
  Tensor: new (type: 'float32', data: Float32Array, dims: number[]) => OrtTensor;
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
}

const require = createRequire(import.meta.url);

export function onnxRuntime(kind: 'node' | 'web'): Contender {
  const ort = require(`onnxruntime-${kind}`) as Ort;
  const { version } = require(`./node_modules/onnxruntime-${kind}/package.json`) as {
    version: string;
  };
  ort.env.logLevel = 'error';
  // The pool of its WebAssembly is made once, with the first session.
  if (kind === 'web') ort.env.wasm.numThreads = 1;

  async function prepare({ operation, n, windows, threads, pool }: Task): Promise<Run | string> {
    if (kind === 'web' && threads > 1) return 'its threads cannot be changed in a process';
    const session = await ort.InferenceSession.create(onnxModel(operation, n), {
      // The two packages share a list of providers: without a name both take the native one.
      executionProviders: [kind === 'web' ? 'wasm' : 'cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    });
    const feeds = Array.from({ length: windows }, (_, w) => ({
      input: new ort.Tensor('float32', pool.input.slice(w * n, (w + 1) * n), [n]),
      target: new ort.Tensor('float32', pool.target.slice(w * n, (w + 1) * n), [n]),
    }));
    let next = 0;
    return {
      async calls(count) {
        for (let i = 0; i < count; i++) {
          await session.run(feeds[next]!);
          next = (next + 1) % windows;
        }
      },
      check: async () => outcome(operation, await session.run(feeds[0]!)),
      dispose: () => void session.release(),
    };
  }
  return { name: `onnxruntime-${kind} ${version}`, prepare };
}

function outcome(operation: Operation, results: Record<string, OrtTensor>) {
  const [loss, gradient] = ['loss', 'gradient'].map((name) =>
    OUTPUTS[operation].includes(name) ? results[name]!.data : undefined,
  );
  return { loss: loss?.[0], gradient };
}
