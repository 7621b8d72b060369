const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export default {
  base: './',
  cacheDir: '../../target/engines/vite-cache',
  build: {
    outDir: '../../target/engines/vite',
    emptyOutDir: true,
    rollupOptions: { input: 'app.html' },
  },
  server: { headers },
};
