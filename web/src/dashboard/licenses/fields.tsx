/** Fields of forms that issue and change licenses. */

import type { ComponentProps } from "react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Field } from "../design/Field";
import { FailureNote } from "../design/States";
import { CatalogDocument, type CatalogQuery } from "../graph/graphql";
import styles from "./Licenses.module.css";

export type CatalogApp = NonNullable<CatalogQuery["app"]>;

/** Returns the tiers and features of an app, and what to show while they are loading or if that fails. */
export function useCatalog(slug: string) {
  const [{ data, error }, again] = useQuery({
    query: CatalogDocument,
    variables: { slug },
    requestPolicy: "cache-and-network",
  });
  const failure = useFailure(error);
  const app = data?.app ?? null;
  const tiers = app?.tiers.nodes ?? [];
  const note =
    !data &&
    (failure ? (
      <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />
    ) : (
      <p className={styles.catalog}>Loading tiers and features…</p>
    ));
  return { app, tiers, note, isLoaded: data !== undefined };
}

/** The tier of a license. `none` is the label of the empty choice, which cannot be chosen if it is `disabled`. */
export function TierField({
  error,
  tiers,
  none,
  control,
}: {
  error: string | undefined;
  tiers: CatalogApp["tiers"]["nodes"];
  none: { label: string; disabled: boolean };
  control: ComponentProps<"select">;
}) {
  return (
    <Field label="Tier" error={error} required={none.disabled}>
      {(props) => (
        <select {...props} {...control}>
          <option value="" disabled={none.disabled}>
            {none.label}
          </option>
          {tiers.map((each) => (
            <option key={each.id} value={each.id}>
              {each.name}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

// If GraphQL's types reject a value, the error is not a userError, so the form could not show it next to the field. The
// forms therefore check the types of values first.
const UUID_DIGITS = "(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32})";
const UUID = new RegExp(`^(?:(?:urn:uuid:)?${UUID_DIGITS}|\\{${UUID_DIGITS}\\})$`, "i");

/** Returns what is wrong with the text of an installation, or null if it is a UUID. */
export const faultOfInstallation = (text: string): string | null =>
  UUID.test(text.trim()) ? null : "Enter a UUID, such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11.";

export function InstallationField({
  error,
  hint,
  control,
}: {
  error: string | undefined;
  hint: string;
  control: ComponentProps<"input">;
}) {
  return (
    <Field label="Installation" error={error} hint={hint}>
      {(props) => <input {...props} {...control} autoComplete="off" spellCheck={false} />}
    </Field>
  );
}
