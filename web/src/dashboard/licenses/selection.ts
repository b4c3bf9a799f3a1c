import { createContext, useCallback, useContext, useMemo, useState } from "react";
import type { ListedLicenseFragment } from "../graph/graphql";

/** The maximum number of licenses that can be selected. */
export const SELECT_AT_MOST = 1_000;

export interface Selection {
  /** The selected licenses, as they were when they were selected. */
  licenses: readonly ListedLicenseFragment[];
  has: (id: string) => boolean;
  toggle: (license: ListedLicenseFragment) => void;
  /** Selects these licenses and no others. */
  choose: (licenses: readonly ListedLicenseFragment[]) => void;
}

/** The selection of the table around a row; null if rows cannot be selected. */
export const SelectionContext = createContext<Selection | null>(null);

export const useSelection = (): Selection | null => useContext(SelectionContext);

/** Returns an empty selection, which belongs to the list at the URL `address`. */
export function useNewSelection(address: string): Selection {
  const [state, setState] = useState(() => ({ address, chosen: mapOf([]) }));
  if (state.address !== address) setState({ address, chosen: mapOf([]) });
  const { chosen } = state;
  const choose = useCallback(
    (licenses: readonly ListedLicenseFragment[]) => setState({ address, chosen: mapOf(licenses) }),
    [address],
  );
  return useMemo(() => {
    const licenses = [...chosen.values()];
    return {
      licenses,
      has: (id) => chosen.has(id),
      toggle: (license) =>
        choose(
          chosen.has(license.id) ? licenses.filter(({ id }) => id !== license.id) : [...licenses, license],
        ),
      choose,
    };
  }, [chosen, choose]);
}

const mapOf = (licenses: readonly ListedLicenseFragment[]) =>
  new Map(licenses.map((license) => [license.id, license]));
