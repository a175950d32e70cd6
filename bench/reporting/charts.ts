import * as echarts from 'echarts';
import type { Table } from './report.ts';
import { numberText, summary } from './statistics.ts';

const colours = ['#9ca3af', '#60a5fa', '#2563eb', '#1e3a8a'];

/**
 * A table as an SVG: bars on a logarithmic scale, a group for each side, a bar for each point; ours in bold.
 */
export function chartOf({ title, unit, across, points, sides, better }: Table): string {
  const height = 90 + sides.length * (16 + points.length * 13);
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 900, height });
  const names = sides.map(({ name }) => name);
  const figures = sides.map((side) => points.map((_, place) => summary(side.figures[place])));
  const all = figures.flat().flatMap((one) => (one === undefined || one.median <= 0 ? [] : [one.median]));
  // Bars begin a little below the least of them: a logarithmic scale has no zero.
  const least = all.length === 0 ? 1 : 10 ** Math.floor(Math.log10(Math.min(...all) * 0.9));
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    title: {
      text: title,
      subtext: `${unit}, by ${across}; ${better} is better; logarithmic`,
      left: 'center',
      textStyle: { fontSize: 15 },
    },
    legend: points.length > 1 ? { bottom: 0, data: [...points] } : { show: false },
    grid: { left: 220, right: 80, top: 56, bottom: points.length > 1 ? 44 : 24 },
    xAxis: {
      type: 'log',
      min: least,
      startValue: least,
      axisLabel: { formatter: (value: number) => numberText(value) },
    },
    yAxis: {
      type: 'category',
      inverse: true,
      data: names,
      axisTick: { show: false },
      axisLabel: {
        formatter: (name: string) =>
          name.startsWith('fencepost') || name.startsWith('guard') ? `{ours|${name}}` : name,
        rich: { ours: { fontWeight: 'bold' } },
      },
    },
    series: points.map((point, place) => ({
      name: point,
      type: 'bar',
      barMaxWidth: 13,
      itemStyle: { color: colours[place % colours.length] },
      label: {
        show: true,
        position: 'right',
        fontSize: 10,
        formatter: ({ value }: { value: number | string }) =>
          value === '-' ? '' : numberText(Number(value)),
      },
      data: figures.map((row) => {
        const median = row[place]?.median;
        return median === undefined || median <= 0 ? '-' : median;
      }),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg.replace('>', `><title>${title}</title>`);
}
