import { dateAndTime, day, fromNow, number } from "../format";
import type { KeyView } from "./Key";
import styles from "./Key.module.css";

const DAYS = 30;
const DAY_MS = 86_400_000;
const HEIGHT = 96;
const WIDTH = 10;
const GAP = 3;

type Day = KeyView["usage"][number];

/** How much a key was used on each of the last 30 days. */
export function Usage({ usage, lastUsedAt }: { usage: readonly Day[]; lastUsedAt: string | null }) {
  const total = (of: "requests" | "points" | "refused") => usage.reduce((sum, each) => sum + each[of], 0);
  return (
    <section className={`${styles.panel} ${styles.usage}`} aria-labelledby="usage">
      <h2 id="usage">Usage in 30 days</h2>
      <dl className={styles.totals}>
        <div>
          <dt>Last used</dt>
          <dd>
            {lastUsedAt ? (
              <time dateTime={lastUsedAt} title={dateAndTime(lastUsedAt)}>
                {fromNow(lastUsedAt)}
              </time>
            ) : (
              "Never"
            )}
          </dd>
        </div>
        <div>
          <dt>Requests</dt>
          <dd>{number(total("requests"))}</dd>
        </div>
        <div>
          <dt>Points</dt>
          <dd>{number(total("points"))}</dd>
        </div>
        <div>
          <dt>Refused</dt>
          <dd>{number(total("refused"))}</dd>
        </div>
      </dl>
      {usage.length === 0 ? (
        <p className={styles.quiet}>The key was not used in this time.</p>
      ) : (
        <>
          <Chart usage={usage} />
          <details className={styles.days}>
            <summary>Show days</summary>
            <table>
              <thead>
                <tr>
                  <th scope="col">Day</th>
                  <th scope="col">Requests</th>
                  <th scope="col">Points</th>
                  <th scope="col">Refused</th>
                </tr>
              </thead>
              <tbody>
                {[...usage]
                  .sort((one, other) => other.day.localeCompare(one.day))
                  .map((each) => (
                    <tr key={each.day}>
                      <td>{day(each.day)}</td>
                      <td>{number(each.requests)}</td>
                      <td>{number(each.points)}</td>
                      <td>{number(each.refused)}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </details>
        </>
      )}
    </section>
  );
}

/** A chart with one bar for the requests of each day. The refused requests are at the top of the bar. The table in
 *  `Usage` has the same numbers. */
function Chart({ usage }: { usage: readonly Day[] }) {
  const byDay = new Map(usage.map((each) => [each.day, each]));
  const days = Array.from({ length: DAYS }, (_, index) =>
    new Date(Date.now() - (DAYS - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
  const most = Math.max(1, ...usage.map((each) => each.requests));
  const height = (value: number) => (value / most) * (HEIGHT - 2);
  return (
    <>
      <svg
        className={styles.chart}
        viewBox={`0 0 ${DAYS * WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Requests per day, at most ${number(most)}`}
      >
        {days.map((each, index) => {
          const { requests = 0, refused = 0 } = byDay.get(each) ?? {};
          const x = index * WIDTH + GAP / 2;
          const served = height(requests - refused);
          return (
            <g key={each}>
              <title>{`${day(each)}: ${number(requests)} requests, ${number(refused)} refused`}</title>
              <rect x={x} y={HEIGHT - 1 - served} width={WIDTH - GAP} height={served} />
              <rect
                className={styles.refused}
                x={x}
                y={HEIGHT - 1 - served - height(refused)}
                width={WIDTH - GAP}
                height={height(refused)}
              />
            </g>
          );
        })}
        <line
          x1={0}
          x2={DAYS * WIDTH}
          y1={HEIGHT - 0.5}
          y2={HEIGHT - 0.5}
          vectorEffect="non-scaling-stroke"
        />
      </svg>
      <p className={styles.axis} aria-hidden>
        <span>{day(days[0] ?? "")}</span>
        <span>Today (UTC)</span>
      </p>
    </>
  );
}
