import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import { useEffect, useEffectEvent, useRef, useSyncExternalStore } from "react";
import mark from "../mark.svg";
import { chooseTheme, onThemeChange, readTheme, shownTheme, type Theme } from "../theme";
import { connection, type Measured, useConnection } from "./connection";
import { KeyField } from "./KeyField";
import { lastTab, storage } from "./storage";
import { firstTabs } from "./tabs";

const explorer = explorerPlugin({ showAttribution: false });
const plugins = [HISTORY_PLUGIN, { ...explorer, content: Explorer }];
// Of the tab that is open at first, GraphiQL takes neither the document nor the variables by itself.
const openTab = lastTab() ?? firstTabs[0];
const isPhone = matchMedia("(max-width: 760px)").matches;

/** GraphiQL with a place for the key above it, and the cost of the last request below the answer. */
export function Page() {
  const theme = useSyncExternalStore(onThemeChange, shownTheme);
  const chosen = useSyncExternalStore(onThemeChange, readTheme);
  return (
    <>
      <header>
        <h1>
          <img src={mark} alt="" width="28" height="28" />
          <span>Licensegraph</span> <span>GraphiQL</span>
        </h1>
        <KeyField />
        <nav>
          <a href="./">Dashboard</a>
          <select
            aria-label="Theme"
            value={chosen}
            onChange={(event) => chooseTheme(event.target.value as Theme)}
          >
            <option value="system">System</option>
            <option value="light">Light</option>
            <option value="dark">Dark</option>
          </select>
        </nav>
      </header>
      <main>
        <GraphiQL
          fetcher={connection.fetcher}
          plugins={plugins}
          defaultTabs={firstTabs}
          initialQuery={openTab?.query ?? undefined}
          initialVariables={openTab?.variables ?? undefined}
          defaultEditorToolsVisibility={isPhone ? false : "variables"}
          shouldPersistHeaders={false}
          showPersistHeadersSettings={false}
          inputValueDeprecation
          storage={storage}
          forcedTheme={theme}
        >
          <GraphiQL.Logo>{null}</GraphiQL.Logo>
          <GraphiQL.Footer>
            <Cost />
          </GraphiQL.Footer>
          <Forgetting />
        </GraphiQL>
      </main>
    </>
  );
}

/** The plugin, with a name for the only control to which it gives none. */
function Explorer() {
  const place = useRef<HTMLDivElement>(null);
  useGraphiQL((state) => state.schema); // Before there is a schema, the control is not there.
  useEffect(() =>
    place.current?.querySelector("select")?.setAttribute("aria-label", "Kind of operation to add"),
  );
  return (
    <div ref={place}>
      <explorer.content />
    </div>
  );
}

function Cost() {
  const { measured } = useConnection();
  return <output className="cost">{measured === null ? "" : inWords(measured)}</output>;
}

function inWords({ cost, milliseconds }: Measured): string {
  const time = `${Math.round(milliseconds)} ms`;
  if (cost === undefined) return time;
  const most = cost.maximum === null ? "" : ` of at most ${cost.maximum.toLocaleString("en")}`;
  return `Cost ${cost.requested.toLocaleString("en")}${most} · ${time}`;
}

/** Sees to it that no answer outlives the key it was given to, and none arrives in another tab than its own. */
function Forgetting() {
  const { key } = useConnection();
  const tab = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.id);
  return (
    <>
      <UnderOneKey key={`key ${key}`} />
      <InOneTab key={`tab ${tab}`} />
    </>
  );
}

function UnderOneKey() {
  const { stop, updateActiveTabValues } = useGraphiQLActions();
  const tabs = useGraphiQL((state) => state.tabs);
  const responseEditor = useGraphiQL((state) => state.responseEditor);
  const forget = useEffectEvent(() => {
    stop();
    responseEditor?.setValue("");
    for (const tab of tabs) tab.response = null; // Of tabs that are not shown, GraphiQL has no action for it.
    updateActiveTabValues({ response: null });
  });
  useEffect(() => () => forget(), []);
  return null;
}

function InOneTab() {
  const { stop } = useGraphiQLActions();
  const forget = useEffectEvent(() => {
    stop();
    connection.forgetMeasured();
  });
  useEffect(() => () => forget(), []);
  return null;
}
