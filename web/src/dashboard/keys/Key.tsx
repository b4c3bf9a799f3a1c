import { Ban, Pencil, RefreshCw } from "lucide-react";
import { useState } from "react";
import { useQuery } from "urql";
import { Link } from "wouter";
import { useFailure } from "../client/useFailure";
import { Badge } from "../design/Badge";
import { Button } from "../design/Button";
import { Detail, Details } from "../design/Details";
import { Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { dateAndTime, fromNow } from "../format";
import { KeyDocument, type KeyQuery } from "../graph/graphql";
import { NotFound } from "../NotFound";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import styles from "./Key.module.css";
import { EditKey } from "./KeyForm";
import { RevokeKey } from "./RevokeKey";
import { RotateKey } from "./RotateKey";
import { Usage } from "./Usage";
import { KINDS, labelOf, masked, nameOf, STATES, stateOf } from "./words";

export type KeyView = Extract<NonNullable<KeyQuery["node"]>, { __typename: "ApiKey" }>;

/** One key: what it may do, how much it is used, and its actions. */
export function Key({ id }: { id: string }) {
  const [{ data, error }, again] = useQuery({ query: KeyDocument, variables: { id } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const apiKey = data?.node?.__typename === "ApiKey" ? data.node : null;
  useTitle(apiKey ? nameOf(apiKey) : undefined);

  if (!data && failure) return <Failed failure={failure} retry={retry} />;
  if (!data) return <Loading what="the key" />;
  if (!apiKey) return <NotFound what="key" />;
  return (
    <>
      {failure && <FailureNote failure={failure} retry={retry} />}
      <Header apiKey={apiKey} />
      <div className={styles.columns}>
        <Usage usage={apiKey.usage} lastUsedAt={apiKey.lastUsedAt} />
        <Access apiKey={apiKey} />
        <About apiKey={apiKey} />
      </div>
    </>
  );
}

function Header({ apiKey }: { apiKey: KeyView }) {
  const { viewer } = useSession();
  const [open, setOpen] = useState<"edit" | "rotate" | "revoke" | null>(null);
  const state = stateOf(apiKey);
  const close = () => setOpen(null);
  return (
    <header className={styles.header}>
      <p className={styles.crumbs}>
        <Link to={paths.keys()}>Keys</Link>
      </p>
      <div className={styles.title}>
        <div className={styles.names}>
          <h1>
            <bdi>{nameOf(apiKey)}</bdi>
          </h1>
          <p>
            <Badge tone={STATES[state].tone}>{STATES[state].label}</Badge>
            {apiKey.id === viewer.keyId && <Badge tone="accent">Signed in with this key</Badge>}
            <code>{masked(apiKey)}</code>
          </p>
        </div>
        {state !== "revoked" && (
          <div className={styles.actions}>
            {apiKey.kind !== "SESSION" && (
              <>
                <Button onClick={() => setOpen("edit")}>
                  <Pencil size={15} aria-hidden /> Edit
                </Button>
                {state === "live" && (
                  <Button onClick={() => setOpen("rotate")}>
                    <RefreshCw size={15} aria-hidden /> Rotate…
                  </Button>
                )}
              </>
            )}
            <Button onClick={() => setOpen("revoke")}>
              <Ban size={15} aria-hidden /> Revoke…
            </Button>
          </div>
        )}
      </div>
      {open === "edit" && <EditKey apiKey={apiKey} onClose={close} />}
      {open === "rotate" && <RotateKey apiKey={apiKey} onClose={close} />}
      {open === "revoke" && <RevokeKey apiKey={apiKey} onClose={close} />}
    </header>
  );
}

function Access({ apiKey: { kind, scopes, apps, origins, documents, documentSets } }: { apiKey: KeyView }) {
  return (
    <section className={`${styles.panel} ${styles.access}`} aria-labelledby="access">
      <h2 id="access">Access</h2>
      <Details>
        <Detail label="Scopes">
          {kind === "SECRET" ? (
            "Everything"
          ) : (
            <ul className={styles.badges}>
              {scopes.map((scope) => (
                <li key={scope}>
                  <Badge>{labelOf(scope)}</Badge>
                </li>
              ))}
            </ul>
          )}
        </Detail>
        <Detail label="Apps">
          {apps === null ? (
            "All, including apps created later"
          ) : apps.length === 0 ? (
            "None: the apps of this key were deleted."
          ) : (
            <ul className={styles.lines}>
              {apps.map((app) => (
                <li key={app.id}>
                  <Link to={paths.settings(app.slug)}>
                    <bdi>{app.name}</bdi>
                  </Link>
                </li>
              ))}
            </ul>
          )}
        </Detail>
        <Detail label="Origins">
          {origins === null ? (
            "Any"
          ) : (
            <ul className={styles.lines}>
              {origins.map((origin) => (
                <li key={origin}>
                  <code>{origin}</code>
                </li>
              ))}
            </ul>
          )}
        </Detail>
        <Detail label="Documents">
          {documents === "ANY" ? "Any" : "Registered only"}
          {documents === "REGISTERED" && documentSets && (
            <ul className={styles.lines}>
              {documentSets.map((set) => (
                <li key={set}>
                  <code>{set}</code>
                </li>
              ))}
            </ul>
          )}
        </Detail>
      </Details>
    </section>
  );
}

function About({ apiKey }: { apiKey: KeyView }) {
  const { id, kind, createdAt, createdBy, expiresAt, revokedAt } = apiKey;
  return (
    <section className={`${styles.panel} ${styles.about}`} aria-labelledby="details">
      <h2 id="details">Details</h2>
      <Details>
        <Detail label="Kind">{KINDS[kind].label}</Detail>
        <Detail label="ID" copied={id}>
          <code>{id}</code>
        </Detail>
        <Detail label="Created">
          <time dateTime={createdAt}>{dateAndTime(createdAt)}</time>
        </Detail>
        <Detail label="Created by">
          {createdBy ? (
            <Link to={paths.key(createdBy.id)}>
              <bdi>{nameOf(createdBy)}</bdi>
            </Link>
          ) : (
            "The command line, or a key that your key cannot see"
          )}
        </Detail>
        <Detail label="Expires">
          {expiresAt ? (
            <time dateTime={expiresAt}>
              {dateAndTime(expiresAt)} ({fromNow(expiresAt)})
            </time>
          ) : (
            "Never"
          )}
        </Detail>
        {revokedAt && (
          <Detail label="Revoked">
            <time dateTime={revokedAt}>{dateAndTime(revokedAt)}</time>
          </Detail>
        )}
      </Details>
    </section>
  );
}
