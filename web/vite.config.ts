/** Two pages from one source: the dashboard (served by the coordinator) and the page of a device's own agent. */
import { resolve } from 'node:path';
import tailwind from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const here = import.meta.dirname;

/** The text face is asked for with the page, not once the stylesheet has been read: no jump when it comes. */
function preloadTextFace(): Plugin {
  return {
    name: 'preload-text-face',
    transformIndexHtml: {
      order: 'post',
      handler(_html, context) {
        const face = Object.keys(context.bundle ?? {}).find((name) => /next-latin-wght-normal.*\.woff2$/.test(name));
        if (!face) return [];
        const attrs = { rel: 'preload', href: `/${face}`, as: 'font', type: 'font/woff2', crossorigin: true };
        return [{ tag: 'link', attrs, injectTo: 'head' }];
      },
    },
  };
}

export default defineConfig({
  plugins: [react(), tailwind(), preloadTextFace()],
  build: {
    outDir: resolve(here, '../src/mesh/pages/built'),
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // a data: font or picture would need a looser Content-Security-Policy
    modulePreload: { polyfill: false },
    rollupOptions: { input: { dashboard: resolve(here, 'dashboard.html'), agent: resolve(here, 'agent.html') } },
  },
  test: { include: ['tests/**/*.test.ts', 'tests/**/*.test.tsx'] },
});
