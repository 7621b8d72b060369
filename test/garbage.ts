// What the garbage collector finds.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
export const collect: () => void = runInNewContext('gc');

/** Whether nothing keeps an object alive. */
export async function isCollected(object: WeakRef<object>): Promise<boolean> {
  // What is on the stack of a turn is not collected in it.
  for (let turn = 0; turn < 20 && object.deref(); turn++) {
    await new Promise(setImmediate);
    collect();
  }
  return object.deref() === undefined;
}
