import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { GraphiQL } from "graphiql";
import { useEffect, useEffectEvent, useRef, useSyncExternalStore } from "react";
import mark from "../mark.svg";
import { chooseTheme, onThemeChange, readTheme, shownTheme, type Theme } from "../theme";
import { connection, type Measured, useConnection } from "./connection";
import { KeyField } from "./KeyField";
import { customScalarSchemas } from "./scalars";
import { lastTab, storage } from "./storage";
import { firstTabs } from "./tabs";

const explorer = explorerPlugin({ showAttribution: false });
const plugins = [HISTORY_PLUGIN, { ...explorer, content: Explorer }];
// GraphiQL does not load the document and the variables of the initially open tab by itself.
const openTab = lastTab() ?? firstTabs[0];
const isPhone = matchMedia("(max-width: 760px)").matches;

/** GraphiQL, with a field for the key above it and the cost of the last request below the response. */
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
          customScalarSchemas={customScalarSchemas}
          inputValueDeprecation
          schemaDescription
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

/** The explorer plugin. One of its controls has no label, so this adds a label. */
function Explorer() {
  const place = useRef<HTMLDivElement>(null);
  useGraphiQL((state) => state.schema); // Renders again when the schema is loaded. Until then, the control does not exist.
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
  const most = cost.maximum === null ? "" : ` of ${cost.maximum.toLocaleString("en")} allowed`;
  return `Cost ${cost.requested.toLocaleString("en")}${most} · ${time}`;
}

/** Stops the running request when the key changes or the user switches to another tab. A change of the key also clears
 *  all responses, and a switch also clears the cost. */
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
    for (const tab of tabs) tab.response = null; // GraphiQL has no action that clears the response of a hidden tab.
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
