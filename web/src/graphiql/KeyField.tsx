import { useId, useState } from "react";
import { connection, type Standing, useConnection } from "./connection";

/** The key that requests are sent with, and what it turned out to be. */
export function KeyField() {
  const { key, standing } = useConnection();
  const [isShown, setIsShown] = useState(false);
  const id = useId();

  return (
    <form className="key" onSubmit={(event) => event.preventDefault()}>
      <label htmlFor={id}>Key</label>
      <input
        id={id}
        type={isShown ? "text" : "password"}
        value={key}
        onChange={(event) => connection.changeKey(event.target.value)}
        placeholder="sk_live_… or pk_live_…"
        aria-describedby={`${id}-standing`}
        aria-invalid={standing.is === "refused"}
        autoComplete="off"
        autoCapitalize="off"
        spellCheck={false}
      />
      <button type="button" aria-pressed={isShown} onClick={() => setIsShown(!isShown)}>
        {isShown ? "Hide" : "Show"}
        <span className="only-heard"> key</span>
      </button>
      <button type="button" disabled={key === ""} onClick={() => connection.changeKey("")}>
        Forget<span className="only-heard"> key</span>
      </button>
      <output id={`${id}-standing`} className="standing" data-standing={standing.is}>
        {inWords(standing)}
      </output>
    </form>
  );
}

function inWords(standing: Standing): string {
  switch (standing.is) {
    case "none":
      return "No key: the schema can be read, data cannot.";
    case "asked":
      return "Asking whose key this is …";
    case "refused":
      return "This key is refused: it is wrong, revoked or expired.";
    case "unanswered":
      return standing.why;
    case "known": {
      const { accountName, keyKind } = standing.viewer;
      return keyKind === "SECRET"
        ? `Secret key of account ${accountName}: it reads and writes.`
        : `Public key of account ${accountName}: it only reads.`;
    }
  }
}
