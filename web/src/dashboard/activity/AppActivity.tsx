import { useQuery } from "urql";
import { AppHeader } from "../apps/AppHeader";
import { useFailure } from "../client/useFailure";
import { Failed, FailureNote, Loading } from "../design/States";
import { useTitle } from "../design/useTitle";
import { ActivityAppDocument } from "../graph/graphql";
import { NotFound } from "../NotFound";
import { paths } from "../navigation";
import { useSession } from "../session/Session";
import { Activity } from "./Activity";

/** Everything that happened in an app. */
export function AppActivity({ slug }: { slug: string }) {
  const { may } = useSession();
  const [{ data, error }, again] = useQuery({ query: ActivityAppDocument, variables: { slug } });
  const failure = useFailure(error);
  const retry = () => again({ requestPolicy: "network-only" });
  const app = data?.app;
  useTitle(app ? `Activity of ${app.name}` : undefined);

  if (!may("READ_EVENTS")) return <NotFound what="page" app={slug} />;
  if (!data) return failure ? <Failed failure={failure} retry={retry} /> : <Loading what="activity" />;
  if (!app) return <NotFound what="app" />;
  return (
    <>
      <AppHeader app={app} />
      {failure && <FailureNote failure={failure} retry={retry} />}
      <Activity
        owner={{ kind: "app", id: app.id, appSlug: app.slug }}
        address={paths.appActivity(app.slug)}
      />
    </>
  );
}
