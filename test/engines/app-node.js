// A user's application that a bundler makes for Node, as frameworks do that render on a server.
import { backend, float32, getNumThreads, setNumThreads, smoothL1Loss } from 'smooth-l1';

const x = float32(300_000).fill(0.5);
const y = float32(300_000);
const loss = smoothL1Loss(x, y);
await setNumThreads(2);
console.log(backend, loss, smoothL1Loss(x, y), getNumThreads());
