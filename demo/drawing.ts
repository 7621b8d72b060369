// What the project's pictures have in common: colours, plots inside of a drawing, its paper.

import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** Middle tones, which can be read on white and on black. */
export const COLOURS = {
  blue: '#3b82f6',
  red: '#e5484d',
  green: '#2f9e64',
  violet: '#8b7fd6',
  amber: '#c98a1b',
  pink: '#d6589f',
  teal: '#1c9aa0',
  brown: '#a0694b',
  olive: '#8a9a1b',
  grey: '#8a929b',
} as const;

const { document } = parseHTML('<html></html>');

/** A plot as an element of a drawing. */
export function panel(x: number, y: number, options: Plot.PlotOptions): string {
  const svg = Plot.plot({
    document,
    style: { fontSize: '12px' },
    marginLeft: 56,
    marginBottom: 40,
    ...options,
  });
  svg.querySelector('style')?.remove(); // meant for a page: it would resize an inner svg
  svg.setAttribute('x', String(x));
  svg.setAttribute('y', String(y));
  return svg.outerHTML;
}

export function axis(label: string, options: Plot.ScaleOptions = {}): Plot.ScaleOptions {
  return { label, labelArrow: false, ...options };
}

export function text(x: number, y: number, size: number, content: string, weight = 400): string {
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}">${content}</text>`;
}

/** The text of an SVG file. It brings its own paper, light or dark, as the reader's system is. */
export function drawing(
  [width, height]: readonly [number, number],
  title: string,
  parts: readonly string[],
): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"
  font-family="system-ui, sans-serif" color="#1f2933">
<title>${title}</title>
<style>
  .paper { fill: #fdfdfc }
  @media (prefers-color-scheme: dark) { svg { color: #dde3ea } .paper { fill: #15191e } }
</style>
<rect class="paper" width="${width}" height="${height}" rx="12"/>
<g fill="currentColor">
${parts.join('\n')}
</g>
</svg>
`;
}
