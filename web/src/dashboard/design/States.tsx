/** What is shown in place of data: while it is awaited, when there is none, and when it could not be had. */

import { CloudOff, Hourglass, KeyRound, Lock, ServerCrash, TriangleAlert } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Failure } from "../client/failures";
import { Button } from "./Button";
import styles from "./States.module.css";

/** Milliseconds after which waiting is remarked on. */
const SLOW = 2_500;
/** Milliseconds after which a server that does not answer is asked again. */
const ASK_AGAIN = 5_000;

/** Something is awaited. Nothing shows for a moment, so that fast answers do not flicker. */
export function Loading({ what }: { what: string }) {
  return (
    <div className={styles.loading} role="status">
      <span className={styles.bar} aria-hidden />
      <span className={styles.hidden}>Loading {what}…</span>
      <SlowNote />
    </div>
  );
}

/** A remark that appears when an answer takes long. */
export function SlowNote({ text = "The server is taking its time. Still waiting…" }: { text?: string }) {
  const [isSlow, setIsSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setIsSlow(true), SLOW);
    return () => clearTimeout(timer);
  }, []);
  return isSlow ? <p className={styles.slow}>{text}</p> : null;
}

/** There is nothing to show, and what can be done about it. */
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

/** A view could not be read. It is asked for again as soon as that makes sense. */
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

/** The same in one line, beside what is shown or typed. */
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

/** Asks again: when told to, when the network is back, and by itself after a while where waiting helps. */
function Retry({ failure, retry }: { failure: Failure; retry: () => void }) {
  const wait = waitOf(failure);
  const [left, setLeft] = useState(wait);
  const latest = useRef(retry);
  latest.current = retry;
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new failure begins to wait anew
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
  if (failure.kind === "forbidden" || failure.kind === "key") return null;
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

/** A failure in words. */
export function described(failure: Failure): { icon: ReactNode; title: string; text: string } {
  switch (failure.kind) {
    case "unreachable":
      return navigator.onLine
        ? {
            icon: <ServerCrash size={20} />,
            title: "The server does not answer",
            text: "It may be restarting. Nothing is lost.",
          }
        : {
            icon: <CloudOff size={20} />,
            title: "You are offline",
            text: "This goes on as soon as the network is back. Nothing is lost.",
          };
    case "key":
      return {
        icon: <KeyRound size={20} />,
        title: "Your key no longer works",
        text: "It has been revoked or has expired.",
      };
    case "forbidden":
      return { icon: <Lock size={20} />, title: "Your key may not see this", text: failure.message };
    case "busy":
      return {
        icon: <Hourglass size={20} />,
        title: "Too many requests",
        text: `The server asks to wait for ${failure.seconds} s. Nothing is lost.`,
      };
    case "unavailable":
      return {
        icon: <ServerCrash size={20} />,
        title: "The server cannot answer just now",
        text: "Something on its side is not well. Nothing is lost.",
      };
    case "refused":
      return {
        icon: <TriangleAlert size={20} />,
        title: "That could not be answered",
        text: failure.message,
      };
  }
}
