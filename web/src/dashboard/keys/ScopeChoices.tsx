import { Button } from "../design/Button";
import { FieldGroup } from "../design/Field";
import forms from "../design/Form.module.css";
import type { KeyKind, Scope } from "../graph/graphql";
import { useSession } from "../session/Session";
import styles from "./KeyForm.module.css";
import { labelOf, PRESETS, presetOf, SCOPES } from "./words";

const OF_PUBLIC: readonly Scope[] = ["READ", "READ_CUSTOMERS"];

/** The form field for scopes: common selections, and one checkbox for each scope. A key cannot grant what it does not
 *  have, so scopes that the user's own key lacks are left out, unless the edited key `had` them. */
export function ScopeChoices({
  label,
  error,
  kind,
  chosen,
  had,
  onChange,
}: {
  label: string;
  error: string | undefined;
  kind: KeyKind;
  chosen: readonly Scope[];
  had: readonly Scope[];
  onChange: (scopes: readonly Scope[]) => void;
}) {
  const { may } = useSession();
  const isPublic = kind === "PUBLIC";
  const known = isPublic ? SCOPES.filter(({ scope }) => OF_PUBLIC.includes(scope)) : SCOPES;
  const offered = known.filter(({ scope }) => may(scope) || had.includes(scope));
  // Scopes are in the order of the graph, so that the same selection always gives the same list.
  const inOrder = (scopes: readonly Scope[]) =>
    [...SCOPES.map(({ scope }) => scope), ...had.filter((scope) => labelOf(scope) === scope)].filter(
      (scope) => scopes.includes(scope),
    );
  const presets = isPublic ? [] : PRESETS.filter((preset) => preset.scopes.every(may));
  return (
    <FieldGroup label={label} error={error}>
      {presets.length > 0 && (
        <div className={styles.presets}>
          {presets.map((preset) => (
            <Button
              key={preset.label}
              size="small"
              aria-pressed={presetOf(chosen) === preset.label}
              onClick={() => onChange(preset.scopes)}
            >
              {preset.label}
            </Button>
          ))}
        </div>
      )}
      <div className={styles.scopes}>
        {offered.map(({ scope, label, hint }) => (
          <label key={scope} className={forms.choice}>
            <input
              type="checkbox"
              checked={chosen.includes(scope)}
              disabled={isPublic && scope === "READ"}
              onChange={(event) =>
                onChange(
                  inOrder(
                    event.target.checked ? [...chosen, scope] : chosen.filter((each) => each !== scope),
                  ),
                )
              }
            />
            <span>
              {label}
              <span className={forms.about}>{hint}</span>
            </span>
          </label>
        ))}
      </div>
    </FieldGroup>
  );
}
