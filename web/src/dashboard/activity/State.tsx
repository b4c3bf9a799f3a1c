import { useState } from "react";
import { useQuery } from "urql";
import { useFailure } from "../client/useFailure";
import { Detail, Details } from "../design/Details";
import { Dialog } from "../design/Dialog";
import { Field } from "../design/Field";
import forms from "../design/Form.module.css";
import { Json } from "../design/Json";
import { FailureNote, Loading } from "../design/States";
import { asMoment, dateAndTime } from "../format";
import { type ActivityEventFragment, SnapshotDocument } from "../graph/graphql";
import styles from "./Activity.module.css";
import { Value } from "./Value";
import { inWords, isDeletion, isErased, labelOf, nameOfSubject, titleOf } from "./words";

/** The dialog with what an event is about, as it was after the event, or before it if the event is a deletion. The user
 *  can choose another time. */
export function State({ event, onClose }: { event: ActivityEventFragment; onClose: () => void }) {
  // An event has the state itself. This is more exact than a snapshot, which is the state at the end of a second.
  const [chosen, setChosen] = useState<string | null>(null);
  const { createdAt, data, subjectId } = event;
  const when = isDeletion(event) ? "Before it was deleted" : `After this event: ${titleOf(event.type)}`;
  return (
    <Dialog title={`State of ${nameOfSubject(event)}`} onClose={onClose} wide>
      <div className={forms.form}>
        <Field
          label="Time"
          hint={
            chosen === null ? `${when}, ${dateAndTime(createdAt)}.` : "The state at the end of this second."
          }
        >
          {(props) => (
            <input
              {...props}
              type="datetime-local"
              step={1}
              defaultValue={localTime(createdAt)}
              onChange={({ target }) => {
                const time = new Date(target.value);
                setChosen(Number.isNaN(time.getTime()) ? null : asMoment(time));
              }}
            />
          )}
        </Field>
        {chosen === null ? (
          <Fields data={data} isErased={(field) => isErased(event, field)} />
        ) : (
          <Snapshot id={subjectId} at={chosen} />
        )}
      </div>
    </Dialog>
  );
}

function Snapshot({ id, at }: { id: string; at: string }) {
  const [{ data, error, fetching }, again] = useQuery({ query: SnapshotDocument, variables: { id, at } });
  const failure = useFailure(error);
  if (failure)
    return <FailureNote failure={failure} retry={() => again({ requestPolicy: "network-only" })} />;
  if (fetching || !data) return <Loading what="the state" />;
  if (!data.snapshot) return <p role="status">It did not exist at this time.</p>;
  return <Fields data={data.snapshot} isErased={() => false} />;
}

/** All fields of an object. Long values and nested ones are below the others. */
function Fields({
  data,
  isErased,
}: {
  data: Readonly<Record<string, unknown>>;
  isErased: (field: string) => boolean;
}) {
  const fields = Object.entries(data);
  const blocks = fields.filter(([field, value]) => isBlock(value) && !isErased(field));
  return (
    <div className={forms.form} role="status">
      <Details>
        {fields
          .filter(([field, value]) => !isBlock(value) || isErased(field))
          .map(([field, value]) => (
            <Detail key={field} label={labelOf(field)}>
              <Value field={field} value={inWords(field, value)} isErased={isErased(field)} />
            </Detail>
          ))}
      </Details>
      {blocks.map(([field, value]) => (
        <div key={field}>
          <h3 className={styles.blockTitle}>{labelOf(field)}</h3>
          {typeof value === "string" ? (
            <pre className={styles.block} tabIndex={0} role="region" aria-label={labelOf(field)}>
              {value}
            </pre>
          ) : (
            <Json value={value} className={styles.block} label={labelOf(field)} />
          )}
        </div>
      ))}
    </div>
  );
}

/** Returns true for an object with keys, and for a text of several lines. */
function isBlock(value: unknown): boolean {
  if (typeof value === "string") return value.includes("\n");
  return (
    typeof value === "object" && value !== null && !Array.isArray(value) && Object.keys(value).length > 0
  );
}

/** Returns a time as the value of a field for local times, with seconds. */
function localTime(moment: string): string {
  const at = new Date(moment);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
