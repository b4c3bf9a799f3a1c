import { useEffect, useLayoutEffect } from "react";
import { Redirect, Route, Router, Switch, useLocation } from "wouter";
import { Apps } from "./apps/Apps";
import { Settings } from "./apps/Settings";
import { Customer } from "./customers/Customer";
import { Customers } from "./customers/Customers";
import { ToastProvider } from "./design/Toasts";
import { NotFound } from "./NotFound";
import { BASE_PATH, cameBack, paths } from "./navigation";
import { Shell } from "./Shell";
import { SessionProvider } from "./session/Session";

/** The dashboard: every view has an address of its own. */
export function App() {
  return (
    <Router base={BASE_PATH}>
      <SessionProvider>
        <ToastProvider>
          <Shell>
            <Arrival />
            <Switch>
              <Route path="/">
                <Apps />
              </Route>
              <Route path="/apps">
                <Redirect to={paths.apps()} replace />
              </Route>
              <Route path="/apps/:slug">
                {({ slug }) => <Redirect to={paths.customers(slug)} replace />}
              </Route>
              <Route path="/apps/:slug/customers">{({ slug }) => <Customers key={slug} slug={slug} />}</Route>
              <Route path="/apps/:slug/customers/:id">
                {({ slug, id }) => <Customer key={id} slug={slug} id={id} />}
              </Route>
              <Route path="/apps/:slug/settings">{({ slug }) => <Settings key={slug} slug={slug} />}</Route>
              <Route>
                <NotFound what="page" />
              </Route>
            </Switch>
          </Shell>
        </ToastProvider>
      </SessionProvider>
    </Router>
  );
}

/** Has a view begin at its top, and the focus in it when it was gone to. Lists that were come back to then put
 *  themselves where they were. */
function Arrival() {
  const [path] = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the change of address that counts
  useLayoutEffect(() => {
    window.scrollTo(0, 0);
  }, [path]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is the change of address that counts
  useEffect(() => {
    if (!cameBack()) document.querySelector<HTMLElement>("main")?.focus({ preventScroll: true });
  }, [path]);
  return null;
}
