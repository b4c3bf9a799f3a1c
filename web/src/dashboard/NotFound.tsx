import { SearchX } from "lucide-react";
import { Link } from "wouter";
import { Empty } from "./design/States";
import { useTitle } from "./design/useTitle";
import { paths } from "./navigation";

/** What the address names is not there, or is somebody else's, which is the same. */
export function NotFound({ what }: { what: "page" | "app" | "customer" }) {
  useTitle("Not found");
  return (
    <Empty icon={<SearchX size={20} />} title={`There is no such ${what}`}>
      <p>It may have been deleted, or the address may be mistyped.</p>
      <Link to={paths.apps()}>All apps</Link>
    </Empty>
  );
}
