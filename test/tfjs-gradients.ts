// The gradients of TensorFlow.js's own operations, for its core in Node.
import { createRequire } from 'node:module';
import { build } from 'esbuild';

const require = createRequire(import.meta.url);

/** Registers them, as "@tensorflow/tfjs" does; the core alone does not, and has no file that Node could load. */
export async function registerGradients(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: [require.resolve('@tensorflow/tfjs-core/dist/register_all_gradients.js')],
    bundle: true,
    format: 'cjs',
    platform: 'node',
    write: false,
  });
  new Function('require', 'module', 'exports', outputFiles[0]?.text as string)(require, {}, {});
}
