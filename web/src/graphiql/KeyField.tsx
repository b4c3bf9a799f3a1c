import { useId, useState } from "react";
import { connection, type Standing, useConnection, type Viewer } from "./connection";

/** The field for the key that requests are sent with, and the key's status. */
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
        placeholder="sk_live_…"
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
      <button type="button" disabled={key === ""} onClick={() => connection.endSession()}>
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
      return "No key: you can read the schema, but no data.";
    case "asked":
      return "Checking the key …";
    case "refused":
      return "This key is wrong, revoked or expired.";
    case "unanswered":
      return standing.why;
    case "known":
      return described(standing.viewer);
  }
}

function described({ accountName, keyKind, scopes }: Viewer): string {
  switch (keyKind) {
    case "SECRET":
      return `Secret key of account ${accountName}: can read and write.`;
    case "PUBLIC":
      return `Public key of account ${accountName}: can only read.`;
    case "SESSION":
      return `Session of a customer of account ${accountName}: only shows that customer.`;
    default:
      return `Restricted key of account ${accountName}: ${scopes.join(", ")}.`;
  }
}
