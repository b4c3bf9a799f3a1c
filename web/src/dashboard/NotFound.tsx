import { SearchX } from "lucide-react";
import { Link } from "wouter";
import { Empty } from "./design/States";
import { useTitle } from "./design/useTitle";
import { paths } from "./navigation";
import { useSession } from "./session/Session";

/** Shown if the URL leads to something that does not exist or belongs to another account. Both cases look the same
 *  to the user. `app` is the slug of the app in the URL, for a link back to the app. `id` is the id of what was not
 *  found: if it was deleted, the app's activity still has its events. */
export function NotFound({
  what,
  app,
  id,
}: {
  what: "page" | "app" | "customer" | "key";
  app?: string;
  id?: string;
}) {
  const { may } = useSession();
  useTitle("Not found");
  return (
    <Empty icon={<SearchX size={20} />} title={`${what.charAt(0).toUpperCase()}${what.slice(1)} not found`}>
      <p>It may have been deleted, or the address may be wrong.</p>
      {app !== undefined && (
        <Link to={paths.app(app)}>
          Overview of <bdi>{app}</bdi>
        </Link>
      )}
      {app !== undefined && id !== undefined && may("READ_EVENTS") && (
        <Link to={`${paths.appActivity(app)}?of=${encodeURIComponent(id)}`}>Activity of this {what}</Link>
      )}
      <Link to={paths.apps()}>All apps</Link>
    </Empty>
  );
}
