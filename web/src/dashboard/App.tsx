import { useEffect, useLayoutEffect } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { AppActivity } from "./activity/AppActivity";
import { Apps } from "./apps/Apps";
import { Settings } from "./apps/Settings";
import { Customer } from "./customers/Customer";
import { Customers } from "./customers/Customers";
import { ConfirmDiscard } from "./design/Dialog";
import { ToastProvider } from "./design/Toasts";
import { Key } from "./keys/Key";
import { Keys } from "./keys/Keys";
import { TokenProvider } from "./keys/Token";
import { AppLicenses } from "./licenses/AppLicenses";
import { NotFound } from "./NotFound";
import { BASE_PATH, cameBack, paths } from "./navigation";
import { Shell } from "./Shell";
import { SessionProvider } from "./session/Session";
import { Overview } from "./statistics/Overview";
import { answerLeave, useWaiting } from "./unsaved";

/** The dashboard. Every view has its own URL. */
export function App() {
  return (
    <Router base={BASE_PATH}>
      <SessionProvider>
        <ToastProvider>
          <TokenProvider>
            <Shell>
              <RouteFocus />
              <Leaving />
              <Switch>
                <Route path="/">
                  <Apps />
                </Route>
                <Route path="/apps">
                  <Redirect to={paths.apps()} replace />
                </Route>
                <Route path="/apps/:slug">{({ slug }) => <Overview key={slug} slug={slug} />}</Route>
                <Route path="/apps/:slug/customers">
                  {({ slug }) => <Customers key={slug} slug={slug} />}
                </Route>
                <Route path="/apps/:slug/customers/:id">
                  {({ slug, id }) => <Customer key={id} slug={slug} id={id} />}
                </Route>
                <Route path="/apps/:slug/customers/:id/activity">
                  {({ slug, id }) => <Customer key={id} slug={slug} id={id} view="activity" />}
                </Route>
                <Route path="/apps/:slug/licenses">
                  {({ slug }) => <AppLicenses key={slug} slug={slug} />}
                </Route>
                <Route path="/apps/:slug/activity">
                  {({ slug }) => <AppActivity key={slug} slug={slug} />}
                </Route>
                <Route path="/apps/:slug/settings">{({ slug }) => <Settings key={slug} slug={slug} />}</Route>
                <Route path="/keys">
                  <Keys />
                </Route>
                <Route path="/keys/:id">{({ id }) => <Key key={id} id={id} />}</Route>
                <Route path="/apps/:slug/*">{({ slug }) => <NotFound what="page" app={slug} />}</Route>
                <Route>
                  <NotFound what="page" />
                </Route>
              </Switch>
            </Shell>
          </TokenProvider>
        </ToastProvider>
      </SessionProvider>
    </Router>
  );
}

/** Scrolls a new view to the top, and focuses it if the user followed a link. If the user went back to a list, the list
 *  then restores its own scroll position and focus. */
function RouteFocus() {
  const [path] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs on every change of the path
  useLayoutEffect(() => {
    window.scrollTo(0, 0);
  }, [path]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs on every change of the path
  useEffect(() => {
    if (!cameBack()) document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
  }, [path]);
  return null;
}

/** Asks before the user leaves a view with changes that are not saved. */
function Leaving() {
  return useWaiting() && <ConfirmDiscard onAnswer={answerLeave} />;
}
