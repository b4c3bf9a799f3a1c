import { paths } from "../navigation";
import { useSession } from "../session/Session";

/** Returns the path of an app's first view: its customers or, if the key cannot read customers, its settings. */
export function useAppPath(): (slug: string) => string {
  return useSession().may("READ_CUSTOMERS") ? paths.customers : paths.settings;
}
