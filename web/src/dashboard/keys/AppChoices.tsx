import { useState } from "react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Button } from "../design/Button";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { AppChoicesDocument, type AppSummaryFragment } from "../graph/graphql";
import styles from "./KeyForm.module.css";

/** Checkboxes for the apps that a key is limited to. `known` are apps that the key is already limited to. They come first,
 *  because they may not be on the pages that are loaded. */
export function AppChoices({
  known,
  chosen,
  onChange,
}: {
  known: readonly AppSummaryFragment[];
  chosen: readonly string[];
  onChange: (slugs: readonly string[]) => void;
}) {
  const [starts, setStarts] = useState<readonly (string | null)[]>([null]);
  const choose = (slug: string, isChosen: boolean) =>
    onChange(isChosen ? [...chosen, slug] : chosen.filter((each) => each !== slug));
  const slugs = known.map((app) => app.slug);
  return (
    <div className={styles.apps}>
      {known.map((app) => (
        <Choice key={app.id} app={app} isChosen={chosen.includes(app.slug)} choose={choose} />
      ))}
      {starts.map((after, number) => (
        <Page
          key={after ?? "first"}
          after={after}
          isLast={number === starts.length - 1}
          left={slugs}
          chosen={chosen}
          choose={choose}
          more={(cursor) => setStarts([...starts, cursor])}
        />
      ))}
    </div>
  );
}

interface ChoiceProps {
  app: AppSummaryFragment;
  isChosen: boolean;
  choose: (slug: string, isChosen: boolean) => void;
}

function Choice({ app: { slug, name }, isChosen, choose }: ChoiceProps) {
  return (
    <label className={forms.choice}>
      <input type="checkbox" checked={isChosen} onChange={(event) => choose(slug, event.target.checked)} />
      <span>
        <bdi>{name}</bdi> <code className={forms.included}>{slug}</code>
      </span>
    </label>
  );
}

function Page({
  after,
  isLast,
  left,
  chosen,
  choose,
  more,
}: {
  after: string | null;
  isLast: boolean;
  /** The slugs of the apps that are left out here, because they come first. */
  left: readonly string[];
  chosen: readonly string[];
  choose: ChoiceProps["choose"];
  more: (cursor: string) => void;
}) {
  const [{ data, error }, again] = useQuery({ query: AppChoicesDocument, variables: { after } });
  const failure = useFailure(error);
  if (failure && !data)
    return <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />;
  if (!data) return <span className={forms.included}>Loading apps…</span>;
  const { nodes, pageInfo } = data.apps;
  return (
    <>
      {nodes
        .filter((app) => !left.includes(app.slug))
        .map((app) => (
          <Choice key={app.id} app={app} isChosen={chosen.includes(app.slug)} choose={choose} />
        ))}
      {isLast && pageInfo.hasNextPage && (
        <div>
          <Button size="small" onClick={() => more(pageInfo.endCursor ?? "")}>
            Show more apps
          </Button>
        </div>
      )}
    </>
  );
}
