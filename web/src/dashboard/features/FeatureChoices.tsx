import { FieldGroup } from "../design/Field";
import forms from "../design/Form.module.css";
import type { FeatureDetailsFragment } from "../graph/graphql";

/** The form field for features: one checkbox each. Included features are checked and cannot be removed. */
export function FeatureChoices({
  label,
  error,
  features,
  included = [],
  chosen,
  onChange,
}: {
  label: string;
  error: string | undefined;
  features: readonly FeatureDetailsFragment[];
  /** Slugs of the features that come with the tier. */
  included?: readonly string[];
  chosen: readonly string[];
  onChange: (slugs: readonly string[]) => void;
}) {
  if (features.length === 0) return null;
  return (
    <FieldGroup label={label} error={error}>
      <div className={forms.choices}>
        {features.map(({ slug, name }) => {
          const isIncluded = included.includes(slug);
          return (
            <label key={slug} className={forms.choice}>
              <input
                type="checkbox"
                checked={isIncluded || chosen.includes(slug)}
                disabled={isIncluded}
                onChange={(event) =>
                  onChange(event.target.checked ? [...chosen, slug] : chosen.filter((each) => each !== slug))
                }
              />
              <span>
                <bdi>{name}</bdi>
                {isIncluded && <span className={forms.included}> (included)</span>}
              </span>
            </label>
          );
        })}
      </div>
    </FieldGroup>
  );
}
