import { scaleLinear, scaleUtc } from "d3-scale";
import { area, curveMonotoneX, line } from "d3-shape";
import { type PointerEvent, useEffect, useRef, useState } from "react";
import { day, number } from "../format";
import styles from "./CurveChart.module.css";
import type { Curve, Point } from "./curve";

const HEIGHT = 260;
const TOP = 24;
const RIGHT = 16;
const BOTTOM = 26;
/** The width of a digit of the axes, and the widths of the label of a day and of the word "Reconstructed", in pixels. */
const DIGIT = 7.5;
const LABEL = 64;
const WORD = 96;
const DAY_MS = 86_400_000;

const DAYS = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const MONTHS = new Intl.DateTimeFormat(undefined, { month: "short", year: "numeric", timeZone: "UTC" });
const YEARS = new Intl.DateTimeFormat(undefined, { year: "numeric", timeZone: "UTC" });

/** The chart of a curve: solid until now, then dotted. `label` says in words what it shows. The table below it has the
 *  same numbers for those who do not see the chart. */
export default function CurveChart({ curve, label }: { curve: Curve; label: string }) {
  const [box, width] = useWidth();
  const [pointed, setPointed] = useState<Point | null>(null);
  const { past, now, future, since } = curve;
  const points = [...past, now, ...future];
  const left = number(Math.max(...points.map((each) => each.active), 1)).length * DIGIT + 16;
  const [begin, end] = [points[0]?.at ?? now.at, points.at(-1)?.at ?? now.at];
  const x = scaleUtc()
    .domain([begin, end])
    .range([left, Math.max(width - RIGHT, left + 1)]);
  const y = scaleLinear()
    .domain([0, Math.max(...points.map((each) => each.active), 1)])
    .nice(4)
    .range([HEIGHT - BOTTOM, TOP]);
  const path = line<Point>()
    .x((each) => x(each.at))
    .y((each) => y(each.active))
    .curve(curveMonotoneX);
  const below = area<Point>()
    .x((each) => x(each.at))
    .y0(y(0))
    .y1((each) => y(each.active))
    .curve(curveMonotoneX);
  const ticks = x.ticks(Math.max(Math.floor((width - left) / (1.6 * LABEL)), 3));
  // There can be more ticks than asked for, because months and years only have some useful steps.
  const step = Math.ceil((ticks.length * 1.15 * LABEL) / Math.max(width - left, 1));
  const wording = end - begin < 100 * DAY_MS ? DAYS : end - begin < 3000 * DAY_MS ? MONTHS : YEARS;

  function point(event: PointerEvent<SVGSVGElement>) {
    const at = x.invert(event.clientX - event.currentTarget.getBoundingClientRect().left).getTime();
    const distance = (each: Point) => Math.abs(each.at - at);
    setPointed(points.reduce((best, each) => (distance(each) < distance(best) ? each : best)));
  }

  return (
    <div ref={box} className={styles.box}>
      {width > 0 && (
        <svg
          className={styles.chart}
          width={width}
          height={HEIGHT}
          role="img"
          aria-label={label}
          onPointerMove={point}
          onPointerDown={point}
          onPointerLeave={() => setPointed(null)}
        >
          {y
            .ticks(4)
            .filter(Number.isInteger)
            .map((tick) => (
              <g key={tick} className={styles.grid}>
                <line x1={left} x2={width - RIGHT} y1={y(tick)} y2={y(tick)} />
                <text x={left - 8} y={y(tick)} dy="0.32em" textAnchor="end">
                  {number(tick)}
                </text>
              </g>
            ))}
          {ticks
            .filter((tick, index) => index % step === 0 && x(tick) <= width - LABEL / 2)
            .map((tick) => (
              <text key={tick.getTime()} x={x(tick)} y={HEIGHT - 6} textAnchor="middle">
                {wording.format(tick)}
              </text>
            ))}
          <path className={styles.below} d={below([...past, now]) ?? ""} />
          {since !== null && (
            <g className={styles.mark}>
              <rect x={left} y={TOP} width={Math.max(x(since) - left, 0)} height={HEIGHT - BOTTOM - TOP} />
              <line x1={x(since)} x2={x(since)} y1={TOP} y2={HEIGHT - BOTTOM} />
              {x(since) - left > WORD && (
                <text x={x(since) - 6} y={HEIGHT - BOTTOM - 8} textAnchor="end">
                  Reconstructed
                </text>
              )}
            </g>
          )}
          <line className={styles.today} x1={x(now.at)} x2={x(now.at)} y1={TOP} y2={HEIGHT - BOTTOM} />
          <path className={styles.past} d={path([...past, now]) ?? ""} />
          <path className={styles.future} d={path([now, ...future]) ?? ""} />
          <Marked point={pointed ?? now} x={x} y={y} middle={(left + width - RIGHT) / 2} />
        </svg>
      )}
    </div>
  );
}

/** A point with its number in words, at the top of the chart. */
function Marked({
  point,
  x,
  y,
  middle,
}: {
  point: Point;
  x: (at: number) => number;
  y: (active: number) => number;
  middle: number;
}) {
  const isLeft = x(point.at) < middle;
  return (
    <g className={styles.marked}>
      <line x1={x(point.at)} x2={x(point.at)} y1={TOP - 4} y2={HEIGHT - BOTTOM} />
      <circle cx={x(point.at)} cy={y(point.active)} r={4} />
      <text x={x(point.at) + (isLeft ? -4 : 4)} y={12} textAnchor={isLeft ? "start" : "end"}>
        {point.day === null ? "Now" : day(point.day)}: <tspan>{number(point.active)}</tspan>
      </text>
    </g>
  );
}

/** Returns a ref for an element, and the element's width in pixels. It is 0 until the element is measured. */
function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    if (element.current) observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return [element, width] as const;
}
