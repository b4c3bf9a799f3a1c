/** What is shown instead of data: while it is loading, if there is none, and if loading failed. */

import { CloudOff, Hourglass, KeyRound, Lock, ServerCrash, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Failure } from "../client/failures";
import { Button } from "./Button";
import styles from "./States.module.css";

/** Milliseconds after which a notice says that the server is slow. */
const SLOW = 2_500;
/** Milliseconds after which a request is tried again, if the server did not respond or had a problem. */
const ASK_AGAIN = 5_000;

/** Shown while data is loading. The bar appears after a short delay, so that the view does not flicker. */
export function Loading({ what }: { what: string }) {
  return (
    <div className={styles.loading} role="status">
      <span className={styles.bar} aria-hidden />
      <span className={styles.hidden}>Loading {what}…</span>
      <SlowNote />
    </div>
  );
}

/** A notice that appears if a response takes a while. */
export function SlowNote({ text = "The server is slow to respond. Still waiting…" }: { text?: string }) {
  const [isSlow, setIsSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsSlow(true), SLOW);
    return () => clearTimeout(timer);
  }, []);
  return isSlow ? <p className={styles.slow}>{text}</p> : null;
}

/** Shown if there is no data, with what the user can do about it. */
export function Empty({ icon, title, children }: { icon: ReactNode; title: string; children?: ReactNode }) {
  return (
    <div className={styles.state}>
      <span className={styles.icon} aria-hidden>
        {icon}
      </span>
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Shown if a view could not be loaded. Tries again if another attempt may help. */
export function Failed({ failure, retry }: { failure: Failure; retry: () => void }) {
  const { icon, title, text } = described(failure);
  return (
    <div className={styles.state} role="alert">
      <span className={styles.icon} aria-hidden>
        {icon}
      </span>
      <h2>{title}</h2>
      <p>{text}</p>
      <Retry failure={failure} retry={retry} />
    </div>
  );
}

/** Shows a failure in one line, next to other content. `Failed` takes the place of a whole view. */
export function FailureNote({ failure, retry }: { failure: Failure; retry?: () => void }) {
  const { icon, title, text } = described(failure);
  return (
    <div className={styles.note} role="alert">
      <span aria-hidden>{icon}</span>
      <span>
        <strong>{title}.</strong> {text}
      </span>
      {retry && <Retry failure={failure} retry={retry} />}
    </div>
  );
}

/** A button that tries again. There is no button if the key is the problem. If waiting may help, also tries again by
 *  itself: after a while, and when the network is back. */
function Retry({ failure, retry }: { failure: Failure; retry: () => void }) {
  const wait = waitOf(failure);
  const [left, setLeft] = useState(wait);
  const latest = useRef(retry);
  latest.current = retry;
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new failure starts a new wait
  useEffect(() => {
    setLeft(wait);
    if (wait === null) return;
    const until = Date.now() + wait * 1000;
    const timer = setInterval(() => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      setLeft(Math.max(seconds, 0));
      if (seconds > 0) return;
      clearInterval(timer);
      latest.current();
    }, 250);
    const atOnce = () => latest.current();
    window.addEventListener("online", atOnce);
    return () => {
      clearInterval(timer);
      window.removeEventListener("online", atOnce);
    };
  }, [failure]);
  if (failure.kind === "forbidden" || failure.kind === "key" || failure.kind === "unfit") return null;
  return (
    <Button size="small" onClick={retry}>
      {left === null ? "Try again" : `Try again (${left} s)`}
    </Button>
  );
}

function waitOf(failure: Failure): number | null {
  if (failure.kind === "busy") return failure.seconds;
  return failure.kind === "unreachable" || failure.kind === "unavailable" ? ASK_AGAIN / 1000 : null;
}

/** Describes a failure to the user. */
export function described(failure: Failure): { icon: ReactNode; title: string; text: string } {
  switch (failure.kind) {
    case "unreachable":
      return navigator.onLine
        ? {
            icon: <ServerCrash size={20} />,
            title: "The server is not responding",
            text: "It may be restarting. Nothing is lost.",
          }
        : {
            icon: <CloudOff size={20} />,
            title: "You are offline",
            text: "This continues as soon as the network is back. Nothing is lost.",
          };
    case "key":
      return {
        icon: <KeyRound size={20} />,
        title: "Your key no longer works",
        text: "It has been revoked or has expired.",
      };
    case "unfit":
      return {
        icon: <KeyRound size={20} />,
        title: "This key is not for the dashboard",
        text: failure.message,
      };
    case "forbidden":
      return { icon: <Lock size={20} />, title: "Your key does not allow this", text: failure.message };
    case "busy":
      return {
        icon: <Hourglass size={20} />,
        title: "Too many requests",
        text: `Wait for ${failure.seconds} s. Nothing is lost.`,
      };
    case "unavailable":
      return {
        icon: <ServerCrash size={20} />,
        title: "The server has a problem",
        text: "It could not process this request. Nothing is lost.",
      };
    case "refused":
      return {
        icon: <TriangleAlert size={20} />,
        title: "The request failed",
        text: failure.message,
      };
  }
}
