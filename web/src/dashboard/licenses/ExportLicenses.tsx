import { useCallback, useEffect, useRef, useState } from "react";
import type { Failure } from "../client/failures";
import { Button } from "../design/Button";
import { Dialog } from "../design/Dialog";
import { FormActions } from "../design/Form";
import forms from "../design/Form.module.css";
import { FailureNote } from "../design/States";
import { useToast } from "../design/Toasts";
import { counted } from "../format";
import type { ManyLicensesQueryVariables } from "../graph/graphql";
import { CSV_HEAD, csvOf, saveCsv } from "./csv";
import styles from "./LicenseTable.module.css";
import { type NextPage, plainClient, readPage } from "./manyLicenses";

/** The dialog that exports all licenses of a filtered list as CSV. Each page becomes text as soon as it arrives. */
export function ExportLicenses({
  question,
  total,
  onClose,
}: {
  question: Omit<ManyLicensesQueryVariables, "after">;
  /** The number of licenses; null if it is not known. */
  total: number | null;
  onClose: () => void;
}) {
  const say = useToast();
  const [count, setCount] = useState(0);
  const [failure, setFailure] = useState<Failure | null>(null);
  const file = useRef({ parts: [new Blob([CSV_HEAD])], count: 0, next: { after: null } as NextPage | null });
  const latest = useRef({ question, onClose, say });
  latest.current = { question, onClose, say };

  /** Reads all pages that are missing. */
  const read = useCallback(async (signal: AbortSignal) => {
    const client = plainClient();
    const { question } = latest.current;
    setFailure(null);
    while (file.current.next) {
      const page = await readPage(client, question, file.current.next, signal);
      if (signal.aborted) return;
      if ("kind" in page) {
        setFailure(page);
        return;
      }
      const { parts, count } = file.current;
      // The browser may keep blobs on the disk, which it cannot do with texts.
      parts.push(new Blob([csvOf(page.licenses)]));
      file.current = { parts, count: count + page.licenses.length, next: page.next };
      setCount(file.current.count);
    }
    saveCsv(file.current.parts, question.slug);
    latest.current.onClose();
    latest.current.say({ text: `${counted(file.current.count, "license")} exported.` });
  }, []);

  const reading = useRef<AbortController | null>(null);
  const start = useCallback(() => {
    reading.current?.abort();
    reading.current = new AbortController();
    void read(reading.current.signal);
  }, [read]);
  useEffect(() => {
    start();
    return () => reading.current?.abort();
  }, [start]);

  return (
    <Dialog title="Export licenses" onClose={onClose}>
      <div className={forms.form}>
        <progress
          className={styles.progress}
          aria-label="Export"
          max={total ?? undefined}
          value={total === null ? undefined : count}
        />
        <p role="status" className={styles.said}>
          {counted(count, "license")}
          {total !== null && ` of ${counted(total, "license")}`} so far
        </p>
        {failure && <FailureNote failure={failure} retry={start} />}
        <FormActions pending={false}>
          <Button onClick={onClose}>Cancel</Button>
        </FormActions>
      </div>
    </Dialog>
  );
}
