// uPlot with the page's colours, in the width that there is.

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colour, onTheme } from './theme.ts';

export interface Plot {
  setData(data: uPlot.AlignedData): void;
  redraw(): void;
}

/** Axes and grid as the page's text and lines. */
function axis(label?: string): uPlot.Axis {
  return {
    stroke: () => colour('soft'),
    grid: { stroke: () => colour('line'), width: 1 },
    ticks: { stroke: () => colour('line'), width: 1 },
    font: '12px system-ui, sans-serif',
    labelFont: '12px system-ui, sans-serif',
    ...(label && { label, labelSize: 22 }),
  };
}

export function plot(
  place: HTMLElement,
  data: uPlot.AlignedData,
  { xLabel, ...options }: Omit<uPlot.Options, 'width' | 'height'> & { xLabel?: string },
): Plot {
  const size = (): { width: number; height: number } => ({
    width: place.clientWidth,
    height: place.clientHeight,
  });
  const chart = new uPlot(
    {
      ...size(),
      legend: { show: false },
      axes: [axis(xLabel), { ...axis(), size: 56 }],
      ...options,
    },
    data,
    place,
  );
  new ResizeObserver(() => chart.setSize(size())).observe(place);
  const redraw = (): void => chart.redraw(false, false);
  onTheme(redraw);
  return { setData: (data) => chart.setData(data), redraw };
}
