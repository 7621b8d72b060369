import config from './vite.config.js';

export default { ...config, optimizeDeps: { exclude: ['smooth-l1'] } };
